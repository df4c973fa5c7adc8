/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: frames both ways, through a real vhost-user connection. */
#include "test_vport_util.h"

#include <string.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#define TSO_FRAME (14 + 20 + 20 + 61000)

static uint8_t frame[70000];

/* ---- from the guest ---- */

static void
copies_small_frame_whole_and_returns_it_at_once(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;

	fx_open(fx, 0);
	fx_fill(frame, 512, 1);
	m = fx_pass(fx, NULL, frame, 512, NULL);
	fx_assert_bytes(m, frame, 512);
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->ol_flags, 0);
	assert_int_equal(m->tso_segsz, 0);
	/* The frame is still ours, its descriptor is the guest's again. */
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
	rte_pktmbuf_free(m);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_PKTS), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_BYTES), 512);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_ZERO_COPY), 0);
	fx_free(fx);
}

static void
leaves_large_frame_in_guest_memory_until_it_is_freed(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;

	fx_open(fx, 0);
	fx_fill(frame, 1514, 2);
	m = fx_pass(fx, NULL, frame, 1514, NULL);
	fx_assert_bytes(m, frame, 1514);
	assert_int_equal(m->data_len, VPORT_HEAD_BYTES);
	assert_true(RTE_MBUF_HAS_EXTBUF(m->next));
	vport_queue_flush(fx->q[0]);
	assert_false(vhu_tx_drain(fx->v, 0, 20));
	rte_pktmbuf_free(m);
	vport_queue_flush(fx->q[0]);
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_ZERO_COPY), 1);
	fx_free(fx);
}

static void
keeps_the_head_as_it_was_when_the_guest_rewrites_it(void **state)
{
	struct fx *fx = fx_new();
	const struct vring_desc *d;
	struct rte_mbuf *m;
	uint8_t *guest;

	fx_open(fx, 0);
	fx_fill(frame, 1514, 2);
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 1514, NULL), 0);
	m = fx_rx_one(fx);
	d = &fx->v->rings[1].desc[fx->v->rings[1].avail->ring[0]];
	guest = fx->v->mem + (d->addr - fx->v->table.regions[0].gpa) + fx->v->hdr_bytes;
	memset(guest, 0xff, 1514);
	/* What was checked is what is used. The rest is payload, and the guest's affair. */
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), frame, VPORT_HEAD_BYTES);
	assert_int_equal(*rte_pktmbuf_mtod(m->next, uint8_t *), 0xff);
	rte_pktmbuf_free(m);
	/* A small frame is copied whole. */
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, VPORT_COPY_BYTES, NULL), 0);
	m = fx_rx_one(fx);
	d = &fx->v->rings[1].desc[fx->v->rings[1].avail->ring[1]];
	guest = fx->v->mem + (d->addr - fx->v->table.regions[0].gpa) + fx->v->hdr_bytes;
	memset(guest, 0xff, VPORT_COPY_BYTES);
	fx_assert_bytes(m, frame, VPORT_COPY_BYTES);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
takes_frame_split_at_each_byte(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	fx_fill(frame, 600, 3);
	for (size_t at = 1; at < 300; at++) {
		const struct vhu_shape shape = { .split = &at, .n_split = 1, .indirect = at % 2 };
		struct rte_mbuf *m = fx_pass(fx, NULL, frame, 600, &shape);

		fx_assert_bytes(m, frame, 600);
		rte_pktmbuf_free(m);
		vport_queue_flush(fx->q[0]);
		assert_true(vhu_tx_drain(fx->v, 0, 1000));
	}
	fx_free(fx);
}

static void
takes_header_of_one_byte_descriptors(void **state)
{
	struct fx *fx = fx_new();
	const struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16
	};
	struct vhu_shape shape = { .n_split = 80 };
	size_t split[80];
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < 80; i++)
		split[i] = i + 1;
	shape.split = split;
	fx_open(fx, 0);
	fx_fill(frame, 100, 4);
	m = fx_pass(fx, &hdr, frame, 100, &shape);
	fx_assert_bytes(m, frame, 100);
	assert_int_equal(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
takes_segmentation_offload_frame(void **state)
{
	struct fx *fx = fx_new();
	const struct virtio_net_hdr hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
		.gso_size = 1460,
		.hdr_len = 54,
		.csum_start = 34,
		.csum_offset = 16 };
	struct rte_mbuf *m;

	fx_open(fx, 0);
	fx_fill(frame, TSO_FRAME, 5);
	m = fx_pass(fx, &hdr, frame, TSO_FRAME, NULL);
	fx_assert_bytes(m, frame, TSO_FRAME);
	assert_int_equal(m->tso_segsz, 1460);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
takes_checksum_as_good_when_the_guest_vouches(void **state)
{
	struct fx *fx = fx_new();
	const struct virtio_net_hdr hdr = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	struct rte_mbuf *m;

	fx_open(fx, 0);
	m = fx_pass(fx, &hdr, frame, 100, NULL);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
drops_headers_that_were_not_negotiated_or_contradict_themselves(void **state)
{
	const uint64_t none = VHU_F_PROTOCOL | VHU_F_VERSION_1;
	const uint64_t csum = none | VHU_F_CSUM;
	const uint64_t tso = csum | VHU_F_HOST_TSO;
	const struct {
		uint64_t features;
		struct virtio_net_hdr hdr;
	} cases[] = {
		{ none, { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 } },
		{ none, { .flags = VIRTIO_NET_HDR_F_DATA_VALID } },
		{ csum, { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 13 } },
		{ csum, { .flags = 1, .csum_start = 99, .csum_offset = 0 } },
		{ csum, { .flags = 1, .csum_start = 65535, .csum_offset = 65535 } },
		{ csum,
			{ .flags = 1,
				.csum_start = 34,
				.csum_offset = 16,
				.gso_type = 1,
				.gso_size = 10 } },
		{ tso, { .flags = 1, .csum_start = 34, .csum_offset = 16, .gso_type = 1 } },
		{ tso, { .flags = 0, .gso_type = 1, .gso_size = 10 } },
		{ tso,
			{ .flags = 1,
				.csum_start = 34,
				.csum_offset = 16,
				.gso_type = 3,
				.gso_size = 10 } },
		{ tso,
			{ .flags = 1,
				.csum_start = 34,
				.csum_offset = 16,
				.gso_type = 0x7f,
				.gso_size = 10 } },
		{ tso,
			{ .flags = 1,
				.csum_start = 34,
				.csum_offset = 16,
				.gso_type = 0x81,
				.gso_size = 10 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fx *fx = fx_new();
		struct rte_mbuf *m;

		fx_open(fx, cases[i].features);
		assert_int_equal(vhu_tx(fx->v, 0, &cases[i].hdr, frame, 100, NULL), 0);
		/* The next one is none the worse for it. */
		m = fx_pass(fx, NULL, frame, 60, NULL);
		assert_int_equal(m->pkt_len, 60);
		rte_pktmbuf_free(m);
		assert_int_equal(fx_count(fx, VPORT_COUNT_RX_BAD_HEADER), 1);
		assert_true(vhu_tx_drain(fx->v, 0, 1000));
		fx_free(fx);
	}
}

static void
ignores_flags_it_does_not_know(void **state)
{
	struct fx *fx = fx_new();
	const struct virtio_net_hdr hdr = { .flags = 0xfc };
	struct rte_mbuf *m;

	fx_open(fx, 0);
	m = fx_pass(fx, &hdr, frame, 100, NULL);
	assert_int_equal(m->ol_flags, 0);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
drops_frames_too_short_and_too_long(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;

	fx_open(fx, 0);
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 13, NULL), 0);
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 0, NULL), 0);
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 65535 + 19, NULL), 0);
	m = fx_pass(fx, NULL, frame, 14, NULL);
	rte_pktmbuf_free(m);
	m = fx_pass(fx, NULL, frame, 65535 + 18, NULL);
	assert_int_equal(m->pkt_len, 65535 + 18);
	rte_pktmbuf_free(m);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_SHORT), 2);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_TOO_LONG), 1);
	fx_free(fx);
}

static void
keeps_frame_in_ring_while_there_is_no_mbuf(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mempool *pools[] = { fx_pool(), fx_ext_pool() };
	struct rte_mbuf *m, *got;

	fx_open(fx, 0);
	fx_fill(frame, 1000, 6);
	for (unsigned int i = 0; i < 2; i++) {
		struct rte_mbuf *hoard = NULL;

		while ((m = rte_pktmbuf_alloc(pools[i])) != NULL) {
			m->next = hoard;
			hoard = m;
		}
		assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 1000, NULL), 0);
		assert_int_equal(vport_rx_burst(fx->q[0], &got, 1), 0);
		assert_int_equal(fx_count(fx, VPORT_COUNT_RX_NO_MBUF), i + 1);
		while (hoard) {
			m = hoard;
			hoard = m->next;
			m->next = NULL;
			rte_pktmbuf_free(m);
		}
		m = fx_rx_one(fx);
		fx_assert_bytes(m, frame, 1000);
		rte_pktmbuf_free(m);
	}
	fx_free(fx);
}

static void
goes_on_over_the_wrap_of_16_bit_indices(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *burst[VPORT_BURST];
	unsigned int sent = 0, got = 0;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, true);
	while (got < 70000) {
		uint16_t n;

		for (unsigned int i = 0; i < VPORT_BURST && sent - got < 200; i++, sent++) {
			frame[0] = (uint8_t)sent;
			vhu_tx_reap(fx->v, 0);
			assert_int_equal(vhu_tx_queue(fx->v, 0, NULL, frame, 60, NULL), 0);
		}
		vhu_tx_flush(fx->v, 0);
		n = vport_rx_burst(fx->q[0], burst, VPORT_BURST);
		for (uint16_t i = 0; i < n; i++) {
			struct vhu_frame f;

			assert_int_equal(*rte_pktmbuf_mtod(burst[i], uint8_t *), (uint8_t)got);
			got++;
			assert_int_equal(fx_tx(fx, burst[i]), 1);
			assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
			assert_int_equal(f.len, 60);
			assert_int_equal(f.data[0], (uint8_t)(got - 1));
		}
		vport_queue_flush(fx->q[0]);
	}
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
	fx_free(fx);
}

/* ---- to the guest ---- */

static void
copies_frame_into_one_buffer(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_frame f;

	fx_open(fx, 0);
	assert_int_equal(vhu_rx_post(fx->v, 0, 2048, 1, NULL, false), 1);
	fx_fill(frame, 1514, 7);
	assert_int_equal(fx_tx(fx, fx_mbuf(frame, 1514)), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 1514);
	assert_memory_equal(f.data, frame, 1514);
	assert_int_equal(f.n_buffers, 1);
	assert_int_equal(f.hdr.num_buffers, 1);
	assert_int_equal(f.hdr.hdr.flags, 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_PKTS), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_BYTES), 1514);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 0);
	fx_free(fx);
}

static void
merges_buffers_of_every_shape(void **state)
{
	const size_t header_apart = 12, uneven[] = { 5, 12, 13, 100 };
	const struct vhu_shape shapes[] = {
		{ 0 },
		{ .split = &header_apart, .n_split = 1 },
		{ .split = uneven, .n_split = 4 },
		{ .split = uneven, .n_split = 4, .indirect = true },
	};

	fx_fill(frame, 9000, 8);
	for (unsigned int i = 0; i < 4; i++) {
		struct fx *fx = fx_new();
		struct vhu_frame f;

		fx_open(fx, 0);
		assert_int_equal(vhu_rx_post(fx->v, 0, 1000, 20, &shapes[i], false), 20);
		assert_int_equal(fx_tx(fx, fx_mbuf(frame, 9000)), 1);
		assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
		assert_int_equal(f.len, 9000);
		assert_int_equal(f.n_buffers, 10);
		assert_memory_equal(f.data, frame, 9000);
		fx_free(fx);
	}
}

static void
returns_frame_when_there_is_no_buffer(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m = fx_mbuf(frame, 3000);
	struct vhu_frame f;

	fx_open(fx, 0);
	assert_int_equal(fx_tx(fx, m), 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_NO_BUFFER), 1);
	/* Not enough of them: nothing is used up, nothing is lost. */
	vhu_rx_post(fx->v, 0, 1024, 2, NULL, false);
	assert_int_equal(fx_tx(fx, m), 0);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 20, &f), 0);
	vhu_rx_post(fx->v, 0, 1024, 1, NULL, false);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.n_buffers, 3);
	fx_free(fx);
}

static void
drops_frame_too_big_for_an_unmergeable_buffer(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_frame f;

	fx_open(fx, VHU_F_PROTOCOL | VHU_F_VERSION_1);
	vhu_rx_post(fx->v, 0, 1526, 2, NULL, false);
	assert_int_equal(fx_tx(fx, fx_mbuf(frame, 1515)), 1);
	assert_int_equal(fx_tx(fx, fx_mbuf(frame, 1514)), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 1514);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_TOO_BIG), 1);
	fx_free(fx);
}

static void
drops_frame_that_a_whole_ring_cannot_hold(void **state)
{
	struct fx *fx = fx_new();

	fx->vconf.ring_size = 4;
	fx_open(fx, 0);
	assert_int_equal(vhu_rx_post(fx->v, 0, 500, 4, NULL, false), 4);
	assert_int_equal(fx_tx(fx, fx_mbuf(frame, 3000)), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_TOO_BIG), 1);
	fx_free(fx);
}

static struct rte_mbuf *
tcp_frame(uint32_t len, uint64_t flags)
{
	struct rte_mbuf *m;

	fx_fill(frame, len, len);
	frame[47] = 0x80; /* CWR */
	m = fx_mbuf(frame, len);
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | flags;
	return m;
}

static void
vouches_for_checksum_when_the_guest_takes_that(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_frame f;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 2, NULL, false);
	assert_int_equal(fx_tx(fx, tcp_frame(100, RTE_MBUF_F_TX_TCP_CKSUM)), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.hdr.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(f.hdr.hdr.csum_start, 34);
	assert_int_equal(f.hdr.hdr.csum_offset, 16);
	assert_memory_equal(f.data, frame, 100);
	assert_int_equal(fx_tx(fx, tcp_frame(100, RTE_MBUF_F_TX_UDP_CKSUM)), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.hdr.hdr.csum_offset, 6);
	fx_free(fx);
}

static uint16_t
sum_be(const uint8_t *at, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)(at[i] << 8 | (i + 1 < len ? at[i + 1] : 0));
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
completes_checksum_when_the_guest_declines_that(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_frame f;
	/* Odd lengths, and one over several segments. */
	const uint32_t lens[] = { 55, 100, 1513, 1000, 5001 };

	fx_open(fx, VHU_F_PROTOCOL | VHU_F_VERSION_1 | VHU_F_MRG_RXBUF);
	vhu_rx_post(fx->v, 0, 2048, 32, NULL, false);
	for (unsigned int i = 0; i < 5; i++) {
		const bool udp = i % 2;
		const uint16_t at = udp ? 40 : 50;

		assert_int_equal(
			fx_tx(fx,
				tcp_frame(lens[i],
					udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM)),
			1);
		assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
		assert_int_equal(f.hdr.hdr.flags, 0);
		/* With the pseudo-header's sum taken out again, the rest is right. */
		frame[at] = f.data[at];
		frame[at + 1] = f.data[at + 1];
		assert_memory_equal(f.data, frame, lens[i]);
		fx_fill(frame, lens[i], lens[i]);
		frame[47] = 0x80;
		const uint32_t pseudo = (uint32_t)(frame[at] << 8 | frame[at + 1]);
		uint32_t sum = pseudo + sum_be(f.data + 34, lens[i] - 34);

		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		assert_int_equal(sum, 0xffff);
	}
	fx_free(fx);
}

static void
sends_no_udp_checksum_of_zero(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	struct vhu_frame f;

	fx_open(fx, VHU_F_PROTOCOL | VHU_F_VERSION_1);
	vhu_rx_post(fx->v, 0, 2048, 1, NULL, false);
	memset(frame, 0, 60);
	frame[40] = frame[41] = 0xff;
	m = fx_mbuf(frame, 60);
	m->l2_len = 14;
	m->l3_len = 20;
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.data[40] << 8 | f.data[41], 0xffff);
	fx_free(fx);
}

static void
sends_segmentation_offload_frame(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	struct vhu_frame f;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 4096, 20, NULL, false);
	m = tcp_frame(TSO_FRAME, RTE_MBUF_F_TX_TCP_SEG);
	m->tso_segsz = 1448;
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, TSO_FRAME);
	assert_memory_equal(f.data, frame, TSO_FRAME);
	assert_int_equal(f.hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN);
	assert_int_equal(f.hdr.hdr.gso_size, 1448);
	assert_int_equal(f.hdr.hdr.hdr_len, 54);
	assert_int_equal(f.hdr.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(f.hdr.hdr.csum_start, 34);
	fx_free(fx);
}

static void
drops_segmentation_offload_frame_when_the_guest_declines_that(void **state)
{
	const uint64_t base = VHU_F_PROTOCOL | VHU_F_VERSION_1 | VHU_F_MRG_RXBUF;
	const uint64_t features[] = {
		base,
		base | VHU_F_GUEST_CSUM,
		base | VHU_F_GUEST_TSO, /* worth nothing without GUEST_CSUM */
		base | VHU_F_GUEST_CSUM | VHU_F(VIRTIO_NET_F_GUEST_TSO6),
	};

	for (unsigned int i = 0; i < 4; i++) {
		struct fx *fx = fx_new();
		struct rte_mbuf *m;

		fx_open(fx, features[i]);
		vhu_rx_post(fx->v, 0, 4096, 20, NULL, false);
		m = tcp_frame(TSO_FRAME, RTE_MBUF_F_TX_TCP_SEG);
		m->tso_segsz = 1448;
		assert_int_equal(fx_tx(fx, m), 1);
		assert_int_equal(fx_count(fx, VPORT_COUNT_TX_TOO_BIG), 1);
		fx_free(fx);
	}
}

static void
sends_no_ecn_offload_to_a_guest_without(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	struct vhu_frame f;

	fx_open(fx, VHU_FEATURES_LINUX & ~VHU_F_ECN);
	vhu_rx_post(fx->v, 0, 4096, 20, NULL, false);
	m = tcp_frame(5000, RTE_MBUF_F_TX_TCP_SEG);
	m->tso_segsz = 1448;
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	fx_free(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_small_frame_whole_and_returns_it_at_once),
		cmocka_unit_test(leaves_large_frame_in_guest_memory_until_it_is_freed),
		cmocka_unit_test(keeps_the_head_as_it_was_when_the_guest_rewrites_it),
		cmocka_unit_test(takes_frame_split_at_each_byte),
		cmocka_unit_test(takes_header_of_one_byte_descriptors),
		cmocka_unit_test(takes_segmentation_offload_frame),
		cmocka_unit_test(takes_checksum_as_good_when_the_guest_vouches),
		cmocka_unit_test(drops_headers_that_were_not_negotiated_or_contradict_themselves),
		cmocka_unit_test(ignores_flags_it_does_not_know),
		cmocka_unit_test(drops_frames_too_short_and_too_long),
		cmocka_unit_test(keeps_frame_in_ring_while_there_is_no_mbuf),
		cmocka_unit_test(goes_on_over_the_wrap_of_16_bit_indices),
		cmocka_unit_test(copies_frame_into_one_buffer),
		cmocka_unit_test(merges_buffers_of_every_shape),
		cmocka_unit_test(returns_frame_when_there_is_no_buffer),
		cmocka_unit_test(drops_frame_too_big_for_an_unmergeable_buffer),
		cmocka_unit_test(drops_frame_that_a_whole_ring_cannot_hold),
		cmocka_unit_test(vouches_for_checksum_when_the_guest_takes_that),
		cmocka_unit_test(completes_checksum_when_the_guest_declines_that),
		cmocka_unit_test(sends_no_udp_checksum_of_zero),
		cmocka_unit_test(sends_segmentation_offload_frame),
		cmocka_unit_test(drops_segmentation_offload_frame_when_the_guest_declines_that),
		cmocka_unit_test(sends_no_ecn_offload_to_a_guest_without),
	};

	return cmocka_run_group_tests_name("vport", tests, fx_group_setup, fx_group_teardown);
}
