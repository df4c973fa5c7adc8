/* SPDX-License-Identifier: BSD-3-Clause */
/* Front-ends that leave, come back, stop rings and are killed: weir serves on, and keeps nothing.
 */
#include "smoke2.h"

#include <signal.h>

/** A guest in client mode: the test makes the socket, weir connects. */
#define CLIENT_SOCK "client.sock"

static int
fds_now(void)
{
	vhu_sleep_ms(20);
	return proc_open_fds(smoke.d);
}

/* Back after vhu_disconnect(): as QEMU does with reconnect=1, rings and memory are the same. */
static void
come_back(struct guest *g)
{
	assert_int_equal(vhu_reconnect(g->v), 0);
	smoke_take_back(g);
	guest_refresh(g);
}

/* A new front-end with the same addresses, as when the VM was started again. */
static void
start_again(const struct guest_conf *conf)
{
	guest_close(smoke.g);
	smoke.g = smoke_guest("a.sock", conf);
	assert_non_null(smoke.g);
}

static void
guest_is_served_after_every_reconnect(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		vhu_disconnect(smoke.g->v);
		come_back(smoke.g);
		smoke_serves(smoke.g);
	}
}

static void
guest_is_served_after_every_new_start(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		start_again(NULL);
		smoke_serves(smoke.g);
	}
}

static void
reconnects_leak_no_descriptor(void **state)
{
	int before;

	start_again(NULL);
	before = fds_now();
	for (unsigned int i = 0; i < 30; i++)
		start_again(NULL);
	assert_true(smoke_fds(before) <= before);
	guest_close(smoke.g);
	smoke.g = NULL;
	before = fds_now();
	smoke.g = smoke_guest("a.sock", NULL);
	guest_close(smoke.g);
	smoke.g = NULL;
	assert_true(smoke_fds(before) <= before);
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
}

static long
resident_kib(void)
{
	char path[64], line[256];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)smoke.d->pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

static void
reconnects_leak_no_memory(void **state)
{
	long before;

	for (unsigned int i = 0; i < 10; i++)
		start_again(NULL);
	before = resident_kib();
	for (unsigned int i = 0; i < 60; i++)
		start_again(NULL);
	/* One session's heads of two rings are some 60 KiB: sixty would show. */
	if (resident_kib() - before > 2048)
		fail_msg("%ld KiB more after 60 reconnects", resident_kib() - before);
}

/* Start a transfer both ways and stop looking half way. */
static struct smoke_conn
under_way(bool v6)
{
	struct smoke_conn k = smoke_out(smoke.g, v6);

	k.c->tso = true;
	assert_ok(host_transfer(k.c, k.fd, 200000, 200000, SOON));
	return k;
}

static void
connection_lives_through_a_reconnect(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct smoke_conn k = under_way(v6);
		static char data[300000];

		/* Data waits for the guest while it is away. */
		vhu_disconnect(smoke.g->v);
		host_fill(2, 0, data, sizeof(data));
		assert_true(send(k.fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
		vhu_sleep_ms(50);
		come_back(smoke.g);
		smoke_say_up(&k, "here again");
		shutdown(k.fd, SHUT_WR);
		assert_true(gtcp_wait_fin(k.c, SOON));
		smoke_drop(&k);
	}
}

static void
connection_lives_through_a_stop_of_the_rings(void **state)
{
	struct smoke_conn k = under_way(false);

	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(vhu_stop(smoke.g->v), 0);
		smoke_take_back(smoke.g);
		vhu_sleep_ms(10);
		assert_int_equal(vhu_start(smoke.g->v), 0);
		guest_refresh(smoke.g);
		assert_ok(host_transfer(k.c, k.fd, 100000, 100000, SOON));
	}
	smoke_drop(&k);
}

static void
disabled_rings_are_left_alone(void **state)
{
	struct smoke_conn k = under_way(false);
	static char data[100000];
	uint16_t idx;

	assert_int_equal(vhu_ring_enable(smoke.g->v, 0, false), 0);
	assert_int_equal(vhu_ring_enable(smoke.g->v, 1, false), 0);
	smoke_take_back(smoke.g);
	idx = smoke.g->v->rings[0].used->idx;
	assert_true(send(k.fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
	vhu_sleep_ms(100);
	assert_int_equal(smoke.g->v->rings[0].used->idx, idx);
	assert_int_equal(vhu_ring_enable(smoke.g->v, 0, true), 0);
	assert_int_equal(vhu_ring_enable(smoke.g->v, 1, true), 0);
	guest_refresh(smoke.g);
	assert_int_equal(gtcp_recv_all(k.c, data, sizeof(data), SOON), 0);
	smoke_say_up(&k, "still here");
	smoke_drop(&k);
}

/* The guest forgets its connections; what they still get is answered with RST, and they end. */
static void
peer_learns_that_the_guest_was_reset(void **state)
{
	struct smoke_conn k = under_way(false);
	static char data[100000];
	struct pkt_tcp rst = { .flags = PKT_RST, .wscale = -1 };
	struct pkt_ip ip;
	uint8_t f[128];
	char byte;

	assert_int_equal(vhu_reset(smoke.g->v, VHU_FEATURES_LINUX), 0);
	guest_refresh(smoke.g);
	smoke_serves(smoke.g);
	send(k.fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
	rst.sport = k.c->lport;
	rst.dport = k.c->rport;
	rst.seq = k.c->snd_nxt;
	ip = guest_ip(smoke.g, &smoke.g->gw);
	guest_send(smoke.g, f, pkt_build_tcp(f, &ip, &rst, NULL, 0));
	assert_int_equal(host_recv(smoke.g, k.fd, &byte, 1, SOON), -ECONNRESET);
	k.c->reset_received = true;
	smoke_drop(&k);
	guest_flush(smoke.g);
	smoke.g->error[0] = '\0';
}

static void
reset_in_mid_transfer_with_other_features(void **state)
{
	static const uint64_t off[] = { 0, VHU_F_MRG_RXBUF, VHU_F_EVENT_IDX,
		VHU_F_GUEST_CSUM | VHU_F_GUEST_TSO | VHU_F_ECN, VHU_F_INDIRECT, 0 };

	for (unsigned int i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		struct smoke_conn k = under_way(i & 1);
		static char data[100000];

		send(k.fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
		assert_int_equal(vhu_reset(smoke.g->v, VHU_FEATURES_LINUX & ~off[i]), 0);
		guest_refresh(smoke.g);
		assert_int_equal(vhu_reset(smoke.g->v, VHU_FEATURES_LINUX & ~off[i]), 0);
		guest_refresh(smoke.g);
		gtcp_reset(k.c);
		smoke_drop(&k);
		smoke_all(smoke.g, 100000);
	}
	assert_int_equal(vhu_reset(smoke.g->v, VHU_FEATURES_LINUX), 0);
	guest_refresh(smoke.g);
}

static void
front_end_killed_in_mid_transfer(void **state)
{
	for (unsigned int i = 0; i < 5; i++) {
		struct smoke_conn k = under_way(false);
		static char data[100000];

		send(k.fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
		gtcp_write(k.c, data, 50000);
		k.c->reset_received = true;
		smoke_drop(&k);
		start_again(NULL);
		smoke_serves(smoke.g);
	}
}

static void
other_memory_and_other_rings_after_a_new_start(void **state)
{
	static const struct {
		size_t mem;
		unsigned int regions, ring;
	} shapes[] = { { 16u << 20, 1, 64 }, { 64u << 20, 4, 256 }, { 128u << 20, 8, 1024 },
		{ 64u << 20, 1, 16 }, { 32u << 20, 2, 128 } };

	for (unsigned int i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct guest_conf conf = { .vhu = { .mem_bytes = shapes[i].mem,
						   .regions = shapes[i].regions,
						   .ring_size = shapes[i].ring } };

		start_again(&conf);
		smoke_all(smoke.g, 100000);
	}
	start_again(NULL);
}

static void
flows_of_a_guest_that_left_are_few_and_end(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	smoke_echo(smoke.g, &k);
	gtcp_reset(k.c);
	k.c->reset_received = true;
	smoke_drop(&k);
	/* UDP and ping flows end after a second here, TCP at once by its reset. */
	host_idle(smoke.g, 1500);
	if (smoke_flows(0) != 0) {
		char *text = proc_ctl_text(smoke.d, NULL, (const char *[]){ "flow", "list", NULL });

		print_error("%s\n", text);
		free(text);
		fail();
	}
}

static void
second_front_end_does_not_disturb_the_first(void **state)
{
	struct vhu_conf conf = { .path = proc_path(smoke.d, "a.sock"), .timeout_ms = 300 };
	struct vhu *v[4];

	for (unsigned int i = 0; i < 4; i++)
		v[i] = vhu_open(&conf);
	smoke_serves(smoke.g);
	for (unsigned int i = 0; i < 4; i++)
		vhu_close(v[i]);
	smoke_serves(smoke.g);
}

static void
half_set_up_front_ends_leave_nothing(void **state)
{
	struct vhu_conf conf = { .path = proc_path(smoke.d, "a.sock"), .timeout_ms = 1000 };
	int before;

	guest_close(smoke.g);
	smoke.g = NULL;
	before = fds_now();
	for (unsigned int step = 0; step < 5; step++) {
		struct vhu *v = vhu_new(&conf);

		assert_non_null(v);
		assert_int_equal(vhu_connect(v), 0);
		if (step > 0)
			assert_int_equal(vhu_negotiate(v), 0);
		if (step > 1)
			assert_int_equal(vhu_set_mem(v), 0);
		if (step > 2)
			assert_int_equal(vhu_ring_start(v, 0), 0);
		if (step > 3)
			assert_int_equal(vhu_ring_enable(v, 0, true), 0);
		vhu_close(v);
	}
	assert_true(smoke_fds(before) <= before);
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
	smoke_serves(smoke.g);
}

static void
dirty_log_tells_every_page_that_was_written(void **state)
{
	struct guest_conf conf = { .vhu.protocol_features = VHU_F(VHU_PF_MQ) |
			VHU_F(VHU_PF_REPLY_ACK) | VHU_F(VHU_PF_LOG_SHMFD) };
	const struct vhu_ring *r;
	struct smoke_conn k;
	struct vhu *v;
	uint16_t first, end;

	start_again(&conf);
	v = smoke.g->v;
	r = &v->rings[VHU_RX(0)];
	k = smoke_out(smoke.g, false);
	assert_int_equal(vhu_log_start(v), 0);
	smoke_take_back(smoke.g);
	guest_refresh(smoke.g);
	/* What was used before is not in the log, and need not be. */
	first = r->last_used;
	assert_ok(host_transfer(k.c, k.fd, 1000, 200000, SOON));
	smoke_drop(&k);
	guest_pump(smoke.g, 20);
	assert_int_equal(guest_ping(smoke.g, &smoke.g->gw, 1, 1, "dirty", 5, SOON), 0);
	end = r->last_used;
	assert_int_not_equal(first, end);
	if ((uint16_t)(end - first) > r->size)
		first = (uint16_t)(end - r->size);
	for (uint16_t i = first; i != end; i++) {
		const struct vring_used_elem *e = &r->used->ring[i % r->size];

		assert_true(vhu_log_dirty(v, r->desc[e->id % r->size].addr));
		assert_true(vhu_log_dirty(v, vhu_gpa(v, e)));
	}
	assert_true(vhu_log_dirty(v, vhu_gpa(v, r->used)));
	assert_int_equal(vhu_log_stop(v), 0);
	smoke_take_back(smoke.g);
	guest_refresh(smoke.g);
	smoke_serves(smoke.g);
	start_again(NULL);
}

/* A datagram to the forward comes to the guest under this address. */
static void
forward_leads_to(const char *addr)
{
	uint16_t own = 0;
	int fd = host_udp(LO, &own);
	struct guest_frame *f;

	assert_true(fd >= 0);
	assert_int_equal(host_send_to(fd, LO, 5000, "forward", 7), 0);
	f = guest_udp_recv(smoke.g, 50, SOON);
	assert_non_null(f);
	assert_string_equal(pkt_addr_text(&f->view.dst), addr);
	free(f);
	close(fd);
}

static void
forwards_follow_the_address_of_the_guest_that_is_there(void **state)
{
	const struct guest_conf own = { .addr = "10.0.2.77" };

	start_again(NULL);
	assert_true(smoke_udp_echo(smoke.g, false, 10));
	forward_leads_to("10.0.2.15");
	start_again(&own);
	assert_true(smoke_udp_echo(smoke.g, false, 10));
	forward_leads_to("10.0.2.77");
	start_again(NULL);
	forward_leads_to("10.0.2.15");
}

static void
client_mode_connects_and_connects_again(void **state)
{
	struct guest_conf conf = { .vhu = { .listen = true },
		.addr = "10.0.2.16",
		.addr6 = "fd00:2::16",
		.mac = { 0x52, 0x54, 0, 1, 2, 3 } };

	for (unsigned int i = 0; i < 3; i++) {
		struct guest *g = smoke_guest(CLIENT_SOCK, &conf);

		assert_non_null(g);
		smoke_serves(g);
		vhu_disconnect(g->v);
		come_back(g);
		smoke_serves(g);
		guest_close(g);
	}
	smoke_serves(smoke.g);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,udp=5000:50", "--vm",
		"b,socket=%d/" CLIENT_SOCK ",mode=client,loopback=gateway", "--timeout-udp", "1",
		"--timeout-udp-stream", "1", "--timeout-icmp", "1", "--timeout-tcp-half-closed",
		"1", "--timeout-tcp-fin", "1", "--tcp-retries", "2", NULL };

	/* A sanitizer keeps what was freed for a while: not much of it, for its size is looked at.
	 */
	setenv("ASAN_OPTIONS", "quarantine_size_mb=1:thread_local_quarantine_size_kb=64", 0);
	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(guest_is_served_after_every_reconnect),
		SMOKE(guest_is_served_after_every_new_start),
		SMOKE(reconnects_leak_no_descriptor),
		SMOKE(reconnects_leak_no_memory),
		SMOKE(connection_lives_through_a_reconnect),
		SMOKE(connection_lives_through_a_stop_of_the_rings),
		SMOKE(disabled_rings_are_left_alone),
		SMOKE(peer_learns_that_the_guest_was_reset),
		SMOKE(reset_in_mid_transfer_with_other_features),
		SMOKE(front_end_killed_in_mid_transfer),
		SMOKE(other_memory_and_other_rings_after_a_new_start),
		SMOKE(flows_of_a_guest_that_left_are_few_and_end),
		SMOKE(second_front_end_does_not_disturb_the_first),
		SMOKE(half_set_up_front_ends_leave_nothing),
		SMOKE(dirty_log_tells_every_page_that_was_written),
		SMOKE(forwards_follow_the_address_of_the_guest_that_is_there),
		SMOKE(client_mode_connects_and_connects_again),
	};

	return cmocka_run_group_tests_name("conf_reconnect", tests, up, smoke_down);
}
