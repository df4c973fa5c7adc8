/* SPDX-License-Identifier: BSD-3-Clause */
/* What the host's resolv.conf makes of a guest's resolvers, in each of the ways they are told. */
#include "smoke.h"

#include <signal.h>

#define OPT_RDNSS 25

/** What a guest has been told. */
struct told {
	struct pkt_addr dhcp[4], dhcp6[4], ra[4];
	unsigned int n_dhcp, n_dhcp6, n_ra;
};

/* The host's file is another; the daemon reads it again. */
static void
host_has(const char *resolv_conf)
{
	size_t before = strlen(proc_log(smoke.d));
	unsigned int waited;

	smoke_need_net();
	assert_int_equal(netns_resolv_conf(resolv_conf), 0);
	kill(smoke.d->pid, SIGHUP);
	for (waited = 0; waited < 4 * SOON; waited += 10) {
		const char *log = proc_log(smoke.d);

		if (strlen(log) > before && strstr(log + before, "reload: done") != NULL)
			return;
		assert_true(proc_alive(smoke.d));
		vhu_sleep_ms(10);
	}
	fail_msg("not reloaded: %s", proc_log(smoke.d));
}

static void
by_dhcp(struct told *t)
{
	struct guest_frame *f;
	struct dhcp_reply p;

	assert_int_equal(guest_dhcp(smoke.g, &p, &f), 0);
	for (; t->n_dhcp < 4; t->n_dhcp++) {
		t->dhcp[t->n_dhcp] = dhcp_opt_addr(&p, DHCP_OPT_DNS, t->n_dhcp);
		if (t->dhcp[t->n_dhcp].len == 0)
			break;
	}
	free(f);
}

static void
by_dhcp6(struct told *t)
{
	static const uint8_t duid[] = { 0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	static const uint16_t oro[] = { DHCP6_OPT_DNS };
	const struct dhcp6_request r = { .type = DHCP6_INFORM,
		.xid = 77,
		.client_id = duid,
		.client_id_len = sizeof(duid),
		.oro = oro,
		.n_oro = 1 };
	struct guest_frame *f;
	struct dhcp6_reply p;

	guest_dhcp6_send(smoke.g, &r);
	f = guest_dhcp6_wait(smoke.g, &p, SOON);
	assert_non_null(f);
	t->n_dhcp6 = p.n_dns;
	memcpy(t->dhcp6, p.dns, sizeof(t->dhcp6));
	free(f);
}

static bool
is_ra(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_ICMPV6 && v->icmp_type == 134;
}

static void
by_ra(struct told *t)
{
	struct guest_frame *f;
	const uint8_t *o, *end;
	uint8_t rs[128];

	/* Those that nobody asked for may be older than the file. */
	guest_flush(smoke.g);
	guest_send(smoke.g, rs, pkt_build_rs(rs, smoke.g->mac, &smoke.g->ll6));
	do {
		f = guest_wait(smoke.g, is_ra, NULL, SOON);
		assert_non_null(f);
		if (f->view.dst.b[0] != 0xff)
			break;
		free(f);
	} while (true);
	end = f->view.data + f->view.data_len;
	for (o = f->view.data + 8; o < end; o += o[1] * 8) {
		if (o[0] != OPT_RDNSS)
			continue;
		t->n_ra = (unsigned int)(o[1] - 1) / 2;
		assert_in_range(t->n_ra, 1, 4);
		for (unsigned int i = 0; i < t->n_ra; i++) {
			t->ra[i].len = 16;
			memcpy(t->ra[i].b, o + 8 + (size_t)16 * i, 16);
		}
	}
	free(f);
}

static struct told
ask(void)
{
	struct told t = { 0 };

	by_dhcp(&t);
	by_dhcp6(&t);
	by_ra(&t);
	return t;
}

static void
assert_list(const struct pkt_addr *a, unsigned int n, const char *first, const char *second)
{
	assert_int_equal(n, (first != NULL) + (second != NULL));
	if (first != NULL)
		assert_string_equal(pkt_addr_text(&a[0]), first);
	if (second != NULL)
		assert_string_equal(pkt_addr_text(&a[1]), second);
}

static void
each_family_is_told_its_resolvers_without_those_on_loopback(void **state)
{
	struct told t;

	host_has("nameserver 127.0.0.53\nnameserver 2001:db8::53\nnameserver 192.0.2.53\n"
		 "nameserver ::1\nnameserver 192.0.2.54\nnameserver 2001:db8::54\n");
	t = ask();
	assert_list(t.dhcp, t.n_dhcp, "192.0.2.53", "192.0.2.54");
	assert_list(t.dhcp6, t.n_dhcp6, "2001:db8::53", "2001:db8::54");
	assert_list(t.ra, t.n_ra, "2001:db8::53", "2001:db8::54");
}

static void
ipv6_resolvers_alone_are_told_over_ipv6(void **state)
{
	struct told t;

	host_has("nameserver 2001:db8::53\nnameserver 2001:db8::54\n");
	t = ask();
	assert_list(t.dhcp, t.n_dhcp, NULL, NULL);
	assert_list(t.dhcp6, t.n_dhcp6, "2001:db8::53", "2001:db8::54");
	assert_list(t.ra, t.n_ra, "2001:db8::53", "2001:db8::54");
}

static void
resolvers_on_loopback_alone_make_the_gateway_one(void **state)
{
	struct told t;

	host_has("nameserver 127.0.0.53\nnameserver ::1\n");
	t = ask();
	assert_list(t.dhcp, t.n_dhcp, GW, NULL);
	assert_list(t.dhcp6, t.n_dhcp6, GW6, NULL);
	assert_list(t.ra, t.n_ra, GW6, NULL);
}

static void
resolver_that_lies_in_the_guests_own_subnet_is_reached_through_the_gateway(void **state)
{
	uint16_t port = 53, from_port, gport = guest_port(smoke.g);
	struct guest_frame *f;
	struct pkt_addr from;
	char buf[16];
	struct told t;
	int fd;

	/* As in a VM with QEMU's user networking. */
	host_has("nameserver 10.0.2.3\n");
	t = ask();
	assert_list(t.dhcp, t.n_dhcp, GW, NULL);
	assert_list(t.ra, t.n_ra, GW6, NULL);
	assert_int_equal(netns_run(NULL, "ip addr add 10.0.2.3/32 dev lo"), 0);
	fd = host_udp("10.0.2.3", &port);
	assert_true(fd >= 0);
	guest_udp_send(smoke.g, gport, &t.dhcp[0], 53, "query", 5);
	assert_int_equal(host_recv_from(smoke.g, fd, buf, sizeof(buf), &from, &from_port, SOON), 5);
	assert_int_equal(host_send_to(fd, pkt_addr_text(&from), from_port, "answer", 6), 0);
	f = guest_udp_recv(smoke.g, gport, SOON);
	assert_non_null(f);
	assert_true(pkt_addr_eq(&f->view.src, &t.dhcp[0]));
	free(f);
	close(fd);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(each_family_is_told_its_resolvers_without_those_on_loopback),
		SMOKE(ipv6_resolvers_alone_are_told_over_ipv6),
		SMOKE(resolvers_on_loopback_alone_make_the_gateway_one),
		SMOKE(resolver_that_lies_in_the_guests_own_subnet_is_reached_through_the_gateway),
	};

	return cmocka_run_group_tests_name("conf_resolv", tests, up, smoke_down);
}
