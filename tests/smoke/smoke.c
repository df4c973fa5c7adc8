/* SPDX-License-Identifier: BSD-3-Clause */
#include "smoke.h"

#include <sys/ioctl.h>

#include <linux/sockios.h>

#define FIRST_PORT 20001

struct smoke smoke = { .next_port = FIRST_PORT };

/* One test alone: SMOKE_FILTER=pattern in the environment. */
__attribute__((constructor)) static void
filter_tests(void)
{
	const char *pattern = getenv("SMOKE_FILTER");

	if (pattern != NULL)
		cmocka_set_test_filter(pattern);
}

int
smoke_up_daemon(const char *const *args)
{
	smoke.net = netns_private();
	if (!smoke.net)
		print_message("not root: the host's own network is used\n");
	smoke.d = proc_start(args);
	return smoke.d != NULL ? 0 : -1;
}

int
smoke_up(const char *const *args)
{
	if (smoke_up_daemon(args) < 0)
		return -1;
	smoke.g = smoke_guest("a.sock", NULL);
	return smoke.g != NULL ? 0 : -1;
}

/* cmocka (1.1) prints that a group's tear-down failed, but does not let main() know. */
static void
fail_at_exit(void)
{
	fflush(NULL);
	_exit(EXIT_FAILURE);
}

int
smoke_down(void **state)
{
	const char *bad;

	guest_close(smoke.g);
	smoke.g = NULL;
	if (smoke.d == NULL)
		return 0;
	bad = proc_stop(smoke.d);
	if (bad != NULL) {
		print_error("daemon: %s\n", bad);
		atexit(fail_at_exit);
	}
	proc_free(smoke.d);
	smoke.d = NULL;
	return bad != NULL ? -1 : 0;
}

int
smoke_each(void **state)
{
	struct guest *g = smoke.g;

	if (g == NULL)
		return 0;
	while (g->tcps != NULL)
		gtcp_free(g->tcps);
	guest_pump(g, 0);
	guest_flush(g);
	g->error[0] = '\0';
	g->silent = g->hold = g->partial = false;
	g->tx_shape = NULL;
	g->next_port = smoke.next_port;
	return 0;
}

int
smoke_check(void **state)
{
	struct guest *g = smoke.g;
	int rc = 0;

	if (g != NULL) {
		smoke.next_port = g->next_port;
		if (guest_error(g) != NULL) {
			print_error("guest: %s\n", guest_error(g));
			rc = -1;
		}
		if (vhu_lost_calls(g->v) != 0) {
			print_error("frames came without an interrupt\n");
			rc = -1;
		}
	}
	if (smoke.d != NULL && !proc_alive(smoke.d)) {
		print_error("the daemon has ended with status %#x:\n%s\n", smoke.d->status,
			proc_log(smoke.d));
		rc = -1;
	}
	return rc;
}

struct guest *
smoke_guest(const char *sock, const struct guest_conf *conf)
{
	struct guest_conf c = { 0 };
	struct guest *g;

	if (conf != NULL)
		c = *conf;
	c.vhu.path = proc_path(smoke.d, sock);
	g = guest_open(&c);
	if (g == NULL) {
		print_error("cannot connect to %s: %s\n", sock, strerror(errno));
		return NULL;
	}
	g->next_port = smoke.next_port;
	if (guest_resolve(g) < 0) {
		print_error("the gateway does not answer: %s\n",
			guest_error(g) != NULL ? guest_error(g) : "time out");
		guest_close(g);
		return NULL;
	}
	return g;
}

void
smoke_resolve(struct guest *g)
{
	assert_int_equal(guest_resolve(g), 0);
}

void
smoke_need_net(void)
{
	if (!smoke.net) {
		print_message("skipped: needs a network of its own\n");
		skip();
	}
}

struct smoke_conn
smoke_out(struct guest *g, bool v6)
{
	struct smoke_conn k = { .fd = -1 };
	uint16_t port = 0;

	k.listener = host_tcp_listen(v6 ? LO6 : LO, &port);
	assert_true(k.listener >= 0);
	k.c = gtcp_open(g, v6 ? GW6 : GW, port);
	if (k.c == NULL)
		fail_msg("guest cannot connect: %s %s", strerror(errno),
			guest_error(g) != NULL ? guest_error(g) : "");
	k.fd = host_accept(g, k.listener, SOON);
	assert_true(k.fd >= 0);
	return k;
}

struct smoke_conn
smoke_in(struct guest *g, bool v6, uint16_t port, uint16_t guest_port)
{
	struct smoke_conn k = { .listener = -1 };

	k.fd = host_tcp_connect(v6 ? LO6 : LO, port);
	assert_true(k.fd >= 0);
	k.c = gtcp_accept(g, guest_port, SOON);
	if (k.c == NULL)
		fail_msg("no connection reached the guest: %s",
			guest_error(g) != NULL ? guest_error(g) : "time out");
	assert_int_equal(host_connected(g, k.fd, SOON), 0);
	return k;
}

struct smoke_conn
smoke_by_hand(struct guest *g)
{
	struct smoke_conn k = smoke_out(g, false);

	host_idle(g, 5);
	k.c->manual = true;
	return k;
}

void
smoke_half_open(struct gtcp *c)
{
	struct guest_frame *f;

	gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
	c->snd_nxt = c->snd_una = c->iss + 1;
	f = smoke_must(gtcp_expect(c, PKT_SYN | PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, c->iss + 1);
	c->irs = f->view.tcp.seq;
	c->syn = f->view.tcp;
	c->rcv_nxt = c->rcv_edge = c->irs + 1;
	c->offered_scale = f->view.tcp.wscale >= 0;
	c->snd_scale = c->offered_scale ? (uint8_t)f->view.tcp.wscale : 0;
	free(f);
}

void
smoke_answer_and_reset(struct smoke_conn *k, const void *answer, size_t len)
{
	int queued = 1;

	assert_int_equal(host_send_all(NULL, k->fd, answer, len, SOON), 0);
	for (int i = 0; i < SOON && queued != 0; i++) {
		assert_int_equal(ioctl(k->fd, SIOCOUTQ, &queued), 0);
		vhu_sleep_ms(1);
	}
	assert_int_equal(queued, 0);
	close(k->fd);
	k->fd = -1;
}

struct guest_frame *
smoke_must(struct guest_frame *f)
{
	if (f == NULL)
		fail_msg("no such segment: %s",
			guest_error(smoke.g) != NULL ? guest_error(smoke.g) : "time out");
	return f;
}

struct guest_frame *
smoke_data(struct gtcp *c, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	while (vhu_now_ms() < deadline) {
		struct guest_frame *f = gtcp_next(c, (int)(deadline - vhu_now_ms()));

		if (f == NULL || f->view.data_len != 0)
			return f;
		free(f);
	}
	return NULL;
}

struct guest_frame *
smoke_acked(struct gtcp *c, uint32_t ack)
{
	for (;;) {
		struct guest_frame *f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));

		if (gtcp_diff(f->view.tcp.ack, ack) >= 0)
			return f;
		free(f);
	}
}

void
smoke_drop(struct smoke_conn *k)
{
	if (k->c != NULL && !k->c->reset_received)
		gtcp_reset(k->c);
	gtcp_free(k->c);
	if (k->fd >= 0)
		close(k->fd);
	if (k->listener >= 0)
		close(k->listener);
	k->c = NULL;
	k->fd = k->listener = -1;
}

void
smoke_say_up(struct smoke_conn *k, const char *text)
{
	char buf[256] = { 0 };

	assert_int_equal(gtcp_send(k->c, text, strlen(text), SOON), 0);
	assert_int_equal(host_recv_all(k->c->g, k->fd, buf, strlen(text), SOON), 0);
	assert_string_equal(buf, text);
}

void
smoke_say_down(struct smoke_conn *k, const char *text)
{
	char buf[256] = { 0 };

	assert_int_equal(host_send_all(k->c->g, k->fd, text, strlen(text), SOON), 0);
	assert_int_equal(gtcp_recv_all(k->c, buf, strlen(text), SOON), 0);
	assert_string_equal(buf, text);
}

void
smoke_echo(struct guest *g, struct smoke_conn *k)
{
	smoke_say_up(k, "from the guest");
	smoke_say_down(k, "from the host");
}

void
smoke_serves(struct guest *g)
{
	struct pkt_addr gw = g->gw;
	struct smoke_conn k;

	assert_int_equal(guest_arp(g), 0);
	assert_int_equal(guest_ping(g, &gw, 7, 9, "are you there", 13, SOON), 0);
	k = smoke_out(g, false);
	smoke_echo(g, &k);
	smoke_drop(&k);
	assert_ok(guest_error(g));
}

static bool
is_last_ra(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_ICMPV6 && v->icmp_type == 134 && v->dst.b[0] == 0xff &&
		(v->icmp_rest & 0xffff) == 0;
}

bool
smoke_router_left(struct guest *g)
{
	struct guest_frame *f = guest_wait(g, is_last_ra, NULL, SOON);

	free(f);
	return f != NULL;
}

long long
smoke_stat(const char *name)
{
	static const char *const args[] = { "stats", NULL }, *const groups[] = { "total", "drops" };
	json_t *j = proc_ctl(smoke.d, NULL, args);
	long long n = -1;

	for (unsigned int i = 0; i < 2; i++) {
		const json_t *one = json_object_get(json_object_get(j, groups[i]), name);

		if (one != NULL)
			n = json_integer_value(one);
	}
	json_decref(j);
	return n;
}
