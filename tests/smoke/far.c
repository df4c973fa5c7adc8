/* SPDX-License-Identifier: BSD-3-Clause */
#include "far.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>

struct netns far = { .fd = -1 };

int
far_up(const char *const *args)
{
	int rc = smoke_up(args);

	if (rc < 0 || !smoke.net)
		return rc;
	if (netns_peer(&far, 0, FAR_HERE "/24", FAR_PEER "/24", FAR_HERE6 "/64", FAR_PEER6 "/64") ==
		0)
		netns_run(NULL,
			"ip neigh add " FAR_NOBODY " lladdr 02:00:00:00:00:99 dev weir0; "
			"ip neigh add " FAR_NOBODY6 " lladdr 02:00:00:00:00:99 dev weir0");
	return rc;
}

int
far_down(void **state)
{
	netns_close(&far);
	return smoke_down(state);
}

int
far_check(void **state)
{
	if (far.fd >= 0)
		netns_link(&far, 0, 0);
	return smoke_check(state);
}

void
far_need(void)
{
	smoke_need_net();
	if (far.fd < 0) {
		print_message("skipped: no peer network\n");
		skip();
	}
}

void
far_link(unsigned int delay_ms, unsigned int loss_permille)
{
	far_need();
	netns_link(&far, delay_ms, loss_permille);
}

void
far_run(bool there, const char *command)
{
	far_need();
	if (netns_run(there ? &far : NULL, command) != 0)
		fail_msg("this failed: %s", command);
}

int
far_listen(bool v6, uint16_t *port)
{
	int fd;

	far_need();
	fd = netns_socket(&far, v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	*port = 0;
	assert_int_equal(host_listen_on(fd, v6 ? FAR_PEER6 : FAR_PEER, port), 0);
	return fd;
}

struct smoke_conn
far_out(bool v6)
{
	struct smoke_conn k = { .fd = -1 };
	uint16_t port;

	k.listener = far_listen(v6, &port);
	k.c = gtcp_open(smoke.g, v6 ? FAR_PEER6 : FAR_PEER, port);
	if (k.c == NULL)
		fail_msg("guest cannot connect: %s", strerror(errno));
	k.c->tso = true;
	k.fd = host_accept(smoke.g, k.listener, SOON);
	assert_true(k.fd >= 0);
	return k;
}

struct smoke_conn
far_in(bool v6, uint16_t port, uint16_t guest_port)
{
	struct smoke_conn k = { .listener = -1 };
	struct pkt_addr here = pkt_addr(v6 ? FAR_HERE6 : FAR_HERE);
	struct sockaddr_storage ss;
	socklen_t len = pkt_sockaddr(&here, port, &ss);

	far_need();
	k.fd = netns_socket(&far, v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_true(connect(k.fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS);
	k.c = gtcp_accept(smoke.g, guest_port, SOON);
	assert_non_null(k.c);
	return k;
}

int
far_watch(void)
{
	int fd;

	far_need();
	fd = netns_socket(&far, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
	assert_true(fd >= 0);
	return fd;
}

bool
far_seen(int watch, uint16_t port, uint8_t *frame, struct pkt_view *v, int timeout_ms)
{
	static const struct pkt_limits limits;
	const uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	const char *bad;

	for (;;) {
		struct sockaddr_ll from;
		socklen_t from_len = sizeof(from);
		uint64_t now = vhu_now_ms();
		ssize_t n;

		if (!host_wait(smoke.g, watch, POLLIN, now < deadline ? (int)(deadline - now) : 0))
			return false;
		n = recvfrom(watch, frame, PKT_MAX, 0, (struct sockaddr *)&from, &from_len);
		if (n < 14 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		bad = pkt_check(frame, (size_t)n, NULL, &limits, v);
		if (v->proto != IPPROTO_TCP || v->dport != port)
			continue;
		assert_ok(bad);
		return true;
	}
}
