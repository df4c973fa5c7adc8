/* SPDX-License-Identifier: BSD-3-Clause */
/* Every virtio feature works when the guest declines it, and every legal set of them together. */
#include "smoke2.h"

#define BULK 1000000

/** What a guest declines, with all that the specification has depend on it (virtio 1.2, 5.1.3.1).
 */
#define NO_CSUM (VHU_F_CSUM | VHU_F_HOST_TSO | VHU_F(VIRTIO_NET_F_HOST_ECN))
#define NO_GUEST_CSUM (VHU_F_GUEST_CSUM | VHU_F_GUEST_TSO | VHU_F(VIRTIO_NET_F_GUEST_ECN))

/* A guest in place of the one before it, of which all was read first: an unread reset would leave a
 * flow, and its segments would come to the next guest. */
static void
next_guest(const struct guest_conf *conf)
{
	const uint64_t deadline = vhu_now_ms() + SOON;

	for (unsigned int pair = 0; pair < smoke.g->v->conf.pairs; pair++) {
		while (vhu_tx_reap(smoke.g->v, pair),
			vhu_ring_in_flight(&smoke.g->v->rings[VHU_TX(pair)]) != 0) {
			assert_true(vhu_now_ms() < deadline);
			vhu_sleep_ms(1);
		}
	}
	guest_close(smoke.g);
	smoke.g = smoke_guest("a.sock", conf);
	assert_non_null(smoke.g);
}

static void
guest_without(uint64_t declined, unsigned int pairs)
{
	/* A bit that nobody offers: 0 would stand for the default. */
	struct guest_conf conf = {
		.vhu = { .features = (VHU_FEATURES_LINUX & ~declined) | VHU_F(63), .pairs = pairs }
	};

	next_guest(&conf);
	assert_int_equal(smoke.g->v->features & declined, 0);
	smoke.g->partial = smoke.g->v->features & VHU_F_CSUM;
}

/* DHCP, ARP, ND, ping, UDP, TCP both ways, then the same with the frames cut over descriptors. */
static void
works(void)
{
	static const size_t split[] = { 4, 12, 26, 50, 60, 300, 1200 };
	struct vhu_shape shape = { split, sizeof(split) / sizeof(split[0]), false };

	smoke_all(smoke.g, BULK);
	shape.indirect = smoke.g->v->features & VHU_F_INDIRECT;
	smoke.g->tx_shape = &shape;
	smoke_all(smoke.g, BULK / 10);
	smoke.g->tx_shape = NULL;
	assert_ok(vhu_violation(smoke.g->v));
}

static void
all_that_linux_takes_is_offered_and_works(void **state)
{
	guest_without(0, 1);
	assert_int_equal(smoke.g->v->features & (VHU_FEATURES_LINUX & ~VHU_F_MQ),
		VHU_FEATURES_LINUX & ~VHU_F_MQ);
	works();
}

static void
works_without_mergeable_buffers(void **state)
{
	guest_without(VHU_F_MRG_RXBUF, 1);
	works();
}

static void
works_without_mergeable_buffers_and_large_frames(void **state)
{
	guest_without(VHU_F_MRG_RXBUF | VHU_F_GUEST_TSO | VHU_F_ECN, 1);
	works();
}

static void
works_without_checksum_offload_from_the_guest(void **state)
{
	guest_without(NO_CSUM, 1);
	works();
}

static void
works_without_checksum_offload_to_the_guest(void **state)
{
	guest_without(NO_GUEST_CSUM, 1);
	works();
}

static void
works_without_segmentation_offload_from_the_guest(void **state)
{
	guest_without(VHU_F_HOST_TSO | VHU_F(VIRTIO_NET_F_HOST_ECN), 1);
	works();
}

static void
works_without_segmentation_offload_to_the_guest(void **state)
{
	guest_without(VHU_F_GUEST_TSO | VHU_F(VIRTIO_NET_F_GUEST_ECN), 1);
	works();
}

static void
works_with_segmentation_offload_of_one_family(void **state)
{
	guest_without(VHU_F(VIRTIO_NET_F_GUEST_TSO4) | VHU_F(VIRTIO_NET_F_HOST_TSO4), 1);
	works();
	guest_without(VHU_F(VIRTIO_NET_F_GUEST_TSO6) | VHU_F(VIRTIO_NET_F_HOST_TSO6), 1);
	works();
}

static void
works_without_event_index(void **state)
{
	guest_without(VHU_F_EVENT_IDX, 1);
	works();
}

static void
works_without_indirect_descriptors(void **state)
{
	guest_without(VHU_F_INDIRECT, 1);
	works();
}

static void
works_for_a_legacy_guest_with_a_header_of_12_bytes(void **state)
{
	guest_without(VHU_F_VERSION_1, 1);
	assert_int_equal(smoke.g->v->hdr_bytes, 12);
	works();
}

static void
works_for_a_legacy_guest_with_a_header_of_10_bytes(void **state)
{
	guest_without(VHU_F_VERSION_1 | VHU_F_MRG_RXBUF, 1);
	assert_int_equal(smoke.g->v->hdr_bytes, 10);
	works();
}

static void
works_without_protocol_features(void **state)
{
	guest_without(VHU_F_PROTOCOL | VHU_F_MQ, 1);
	works();
}

static void
works_for_a_guest_that_takes_nothing(void **state)
{
	guest_without(~UINT64_C(0), 1);
	assert_int_equal(smoke.g->v->hdr_bytes, 10);
	works();
	/* Firmware: VERSION_1 and what the transport wants, no more. */
	guest_without(~(VHU_F_VERSION_1 | VHU_F_PROTOCOL), 1);
	assert_int_equal(smoke.g->v->hdr_bytes, 12);
	works();
}

static void
works_with_receive_buffers_of_many_descriptors(void **state)
{
	static const size_t one[] = { 12 }, many[] = { 10, 12, 14, 26, 60, 64, 100, 700, 1400 };
	const struct vhu_shape shapes[] = { { one, 1, false }, { one, 1, true }, { many, 9, false },
		{ many, 9, true } };

	for (unsigned int mrg = 0; mrg < 2; mrg++) {
		for (unsigned int i = 0; i < 4; i++) {
			struct guest_conf conf = { .rx_shape = &shapes[i], .rx_count = 24 };

			/* So few do not hold a large frame. */
			conf.vhu.features = VHU_FEATURES_LINUX &
				~(mrg ? VHU_F_MRG_RXBUF : VHU_F_GUEST_TSO | VHU_F_ECN);
			next_guest(&conf);
			smoke_all(smoke.g, i < 2 ? BULK / 5 : 10000);
		}
	}
}

static void
works_with_few_receive_buffers(void **state)
{
	static const unsigned int counts[] = { 8, 31 };

	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		/* iPXE has eight in a ring of 256, and takes no offloads. */
		struct guest_conf conf = { .rx_count = counts[i],
			.vhu.features = VHU_F_VERSION_1 | VHU_F_MTU };

		next_guest(&conf);
		smoke_all(smoke.g, BULK / 5);
	}
}

static void
works_with_receive_buffers_of_odd_sizes(void **state)
{
	static const size_t sizes[] = { 100, 128, 300, 1514, 1526, 2048, 4096, 65562 };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct guest_conf conf = { .rx_bytes = sizes[i] };

		/* A ring full of small buffers does not hold a large frame. */
		if (sizes[i] < 1000)
			conf.vhu.features = VHU_FEATURES_LINUX & ~(VHU_F_GUEST_TSO | VHU_F_ECN);

		next_guest(&conf);
		smoke_all(smoke.g, sizes[i] < 1000 ? 10000 : BULK / 5);
	}
}

/* ---- queue pairs ---- */

static void
one_pair_is_enough_where_two_are_offered(void **state)
{
	guest_without(0, 1);
	assert_int_equal(smoke.g->v->max_pairs, 2);
	works();
}

static void
both_pairs_carry_traffic(void **state)
{
	uint64_t seen[2];

	guest_without(0, 2);
	for (unsigned int pair = 0; pair < 2; pair++) {
		smoke.g->pair = pair;
		works();
	}
	seen[0] = smoke.g->v->rings[VHU_RX(0)].used_chains;
	seen[1] = smoke.g->v->rings[VHU_RX(1)].used_chains;
	/* What a guest sends on a pair is answered on that pair. */
	assert_true(seen[0] > 0);
	assert_true(seen[1] > 0);
	smoke.g->pair = 0;
}

static void
connection_may_move_between_pairs(void **state)
{
	struct smoke_conn k;

	guest_without(0, 2);
	k = smoke_out(smoke.g, false);
	for (unsigned int i = 0; i < 6; i++) {
		smoke.g->pair = i & 1;
		assert_ok(host_transfer(k.c, k.fd, 50000, 50000, SOON));
	}
	smoke_drop(&k);
	smoke.g->pair = 0;
}

/** A segment to the guest, which came on this pair. */
static void
came_on(struct guest_frame *f, unsigned int pair)
{
	assert_int_equal(smoke_must(f)->pair, pair);
	free(f);
}

/** The next segment with new data: those before may be sent again. */
static struct guest_frame *
new_data(struct gtcp *c)
{
	for (;;) {
		struct guest_frame *f = smoke_must(smoke_data(c, SOON));

		if (f->view.tcp.seq == c->rcv_nxt)
			return f;
		free(f);
	}
}

/**
 * Of one connection, sent on one pair and then on the other; one segment at a time, for what is
 * sent on two pairs is in no order.
 */
static void
segments_come_on_the_pair_that_the_guest_sends_on(void **state)
{
	static const char text[] = "there and back";
	struct smoke_conn k;
	char buf[sizeof(text)];

	guest_without(0, 2);
	k = smoke_by_hand(smoke.g);
	for (unsigned int i = 0; i < 6; i++) {
		smoke.g->pair = i / 2 & 1;
		gtcp_segment(k.c, PKT_ACK | PKT_PSH, k.c->snd_nxt, text, sizeof(text));
		k.c->snd_nxt += sizeof(text);
		assert_int_equal(host_recv_all(smoke.g, k.fd, buf, sizeof(text), SOON), 0);
		came_on(smoke_acked(k.c, k.c->snd_nxt), smoke.g->pair);
		assert_int_equal(host_send_all(smoke.g, k.fd, text, sizeof(text), SOON), 0);
		came_on(new_data(k.c), smoke.g->pair);
		k.c->rcv_nxt += sizeof(text);
	}
	smoke_drop(&k);
	smoke.g->pair = 0;
}

/** Of one flow, and of the gateway itself. */
static void
datagrams_come_on_the_pair_that_the_guest_sends_on(void **state)
{
	uint16_t port = 0, sport, from_port;
	struct pkt_addr from;
	uint8_t buf[8] = { 0 };
	int fd;

	guest_without(0, 2);
	sport = guest_port(smoke.g);
	fd = host_udp(LO, &port);
	assert_true(fd >= 0);
	for (unsigned int i = 0; i < 6; i++) {
		smoke.g->pair = i / 2 & 1;
		assert_int_equal(guest_udp_send(smoke.g, sport, &smoke.g->gw, port, buf, 8), 0);
		assert_int_equal(host_recv_from(smoke.g, fd, buf, 8, &from, &from_port, SOON), 8);
		host_send_to(fd, LO, from_port, buf, 8);
		came_on(guest_udp_recv(smoke.g, sport, SOON), smoke.g->pair);
		/* Nobody listens there. */
		assert_int_equal(guest_udp_send(smoke.g, sport, &smoke.g->gw, 1, buf, 8), 0);
		came_on(guest_icmp_error(smoke.g, 3, SOON), smoke.g->pair);
	}
	close(fd);
	smoke.g->pair = 0;
}

/** Each pair has a worker of its own: one of the two ways goes by the other. */
static void
what_workers_hand_over_is_counted(void **state)
{
	const long long in = smoke_stat("handover"), out = smoke_stat("handover-out");

	segments_come_on_the_pair_that_the_guest_sends_on(state);
	assert_in_range(smoke_stat("handover") - in, 2, 60);
	assert_in_range(smoke_stat("handover-out") - out, 2, 60);
}

static void
second_pair(bool on)
{
	assert_int_equal(vhu_ring_enable(smoke.g->v, VHU_RX(1), on), 0);
	assert_int_equal(vhu_ring_enable(smoke.g->v, VHU_TX(1), on), 0);
	smoke_take_back(smoke.g);
	guest_refresh(smoke.g);
}

static void
second_pair_may_be_disabled(void **state)
{
	guest_without(0, 2);
	smoke.g->pair = 1;
	smoke_bulk(smoke.g, false, BULK / 10, BULK / 10);
	second_pair(false);
	smoke.g->pair = 0;
	works();
	second_pair(true);
	smoke.g->pair = 1;
	works();
	smoke.g->pair = 0;
}

/* Of one worker; where another polls the other pair, what is under way may change its owner. */
static void
connection_goes_on_when_its_pair_is_disabled(void **state)
{
	struct smoke_conn k;

	guest_without(0, 2);
	smoke.g->pair = 1;
	k = smoke_out(smoke.g, false);
	smoke_echo(smoke.g, &k);
	second_pair(false);
	smoke.g->pair = 0;
	smoke_echo(smoke.g, &k);
	second_pair(true);
	smoke.g->pair = 1;
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
	smoke.g->pair = 0;
}

/** A download, with frames for which there was no buffer, and no timeout for any of them. */
static void
runs_out_without_a_timeout(const struct guest_conf *conf, int least)
{
	for (int i = 0; i < 10; i++) {
		const long long unsent = smoke_stat("tcp-unsent"), rto = smoke_stat("tcp-rto");

		next_guest(conf);
		smoke_bulk(smoke.g, false, 0, BULK);
		/* A test that is not run for 200 ms makes one. */
		if (smoke_stat("tcp-unsent") - unsent >= least && smoke_stat("tcp-rto") == rto)
			return;
	}
	fail_msg("a frame without a buffer costs a timeout");
}

static void
runs_out_of_receive_buffers_that_are_copied_into(void **state)
{
	/* Too small for the largest frame, so nothing is lent; and few. */
	const struct guest_conf whole = { .vhu.features = VHU_F_VERSION_1 | VHU_F_MTU,
		.mtu = 1400,
		.rx_bytes = 1500,
		.rx_count = 8 };
	/* Too small in front. */
	const struct guest_conf parts = { .vhu.features = VHU_FEATURES_LINUX &
			~(VHU_F_GUEST_TSO | VHU_F_ECN),
		.rx_bytes = 130,
		.rx_count = 40 };

	runs_out_without_a_timeout(&whole, 0);
	runs_out_without_a_timeout(&parts, 1);
}

static void
guest_without_kick_descriptors_is_polled(void **state)
{
	struct guest *g;
	uint64_t begun;

	guest_without(0, 1);
	g = smoke.g;
	for (unsigned int ring = 0; ring < 2; ring++) {
		const uint64_t message = ring | VHU_VRING_NOFD;

		assert_int_equal(
			vhu_send_ack(g->v, VHU_SET_VRING_KICK, &message, sizeof(message), NULL, 0),
			0);
	}
	smoke_take_back(g);
	guest_refresh(g);
	begun = vhu_now_ms();
	for (uint16_t i = 0; i < 40; i++) {
		vhu_sleep_ms(20);
		assert_int_equal(guest_ping(g, &g->gw, 1, i, "polled", 6, SOON), 0);
	}
	/* A worker that only sleeps looks again after a second. */
	assert_true(vhu_now_ms() - begun < 20000);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };

	return smoke_up(args);
}

static int
up_pairs(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway,queues=2",
		NULL };

	return smoke_up(args);
}

static int
up_workers(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway,queues=2",
		"--workers", "0,1", "--bridges", "inline", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest one[] = {
		SMOKE(all_that_linux_takes_is_offered_and_works),
		SMOKE(works_without_mergeable_buffers),
		SMOKE(works_without_mergeable_buffers_and_large_frames),
		SMOKE(works_without_checksum_offload_from_the_guest),
		SMOKE(works_without_checksum_offload_to_the_guest),
		SMOKE(works_without_segmentation_offload_from_the_guest),
		SMOKE(works_without_segmentation_offload_to_the_guest),
		SMOKE(works_with_segmentation_offload_of_one_family),
		SMOKE(works_without_event_index),
		SMOKE(works_without_indirect_descriptors),
		SMOKE(works_for_a_legacy_guest_with_a_header_of_12_bytes),
		SMOKE(works_for_a_legacy_guest_with_a_header_of_10_bytes),
		SMOKE(works_without_protocol_features),
		SMOKE(works_for_a_guest_that_takes_nothing),
		SMOKE(works_with_receive_buffers_of_many_descriptors),
		SMOKE(works_with_few_receive_buffers),
		SMOKE(works_with_receive_buffers_of_odd_sizes),
		SMOKE(runs_out_of_receive_buffers_that_are_copied_into),
		SMOKE(guest_without_kick_descriptors_is_polled),
	};
	const struct CMUnitTest pairs[] = {
		SMOKE(one_pair_is_enough_where_two_are_offered),
		SMOKE(both_pairs_carry_traffic),
		SMOKE(connection_may_move_between_pairs),
		SMOKE(segments_come_on_the_pair_that_the_guest_sends_on),
		SMOKE(datagrams_come_on_the_pair_that_the_guest_sends_on),
		SMOKE(second_pair_may_be_disabled),
		SMOKE(connection_goes_on_when_its_pair_is_disabled),
	};
	const struct CMUnitTest workers[] = {
		SMOKE(one_pair_is_enough_where_two_are_offered),
		SMOKE(both_pairs_carry_traffic),
		SMOKE(connection_may_move_between_pairs),
		SMOKE(segments_come_on_the_pair_that_the_guest_sends_on),
		SMOKE(datagrams_come_on_the_pair_that_the_guest_sends_on),
		SMOKE(what_workers_hand_over_is_counted),
		SMOKE(second_pair_may_be_disabled),
	};
	int failed = cmocka_run_group_tests_name("conf_features", one, up, smoke_down);

	failed += cmocka_run_group_tests_name("conf_features: pairs", pairs, up_pairs, smoke_down);
	if (sysconf(_SC_NPROCESSORS_ONLN) >= 2)
		failed += cmocka_run_group_tests_name(
			"conf_features: workers", workers, up_workers, smoke_down);
	return failed;
}
