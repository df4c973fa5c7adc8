/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings as a hostile guest fills them. After each, another VM is served as before. */
#include "hostile.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

/* One descriptor on the tx ring, and what comes of it. */
static void
tx_one(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];

	hostile_desc(r, 0, addr, len, flags, next);
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
}

static void
descriptor_outside_of_memory(void **state)
{
	struct vhu *v = hostile_new();
	uint64_t hole = vhu_gpa_hole(v);

	vhu_close(v);
	tx_one(hole, 64, 0, 0);
	tx_one(0, 64, 0, 0);
	tx_one(UINT64_MAX - 10, 64, 0, 0);
	tx_one(UINT64_C(0x40000000), UINT32_MAX, 0, 0);
}

static void
descriptor_that_runs_over_the_end_of_its_region(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	const struct vhu_mem_region *m = &v->table.regions[0];

	hostile_desc(r, 0, m->gpa + m->bytes - 20, 100, 0, 0);
	hostile_offer(v, r, 0);
	hostile_wait();
	hostile_desc(r, 1, v->table.regions[1].gpa + v->table.regions[1].bytes - 1, 2, 0, 0);
	hostile_offer(v, r, 1);
	hostile_wait();
	vhu_close(v);
}

static void
head_outside_of_the_table(void **state)
{
	for (unsigned int head = 16; head <= 0xffff; head = head * 4 + 3) {
		struct vhu *v = hostile_open();

		hostile_offer(v, &v->rings[VHU_TX(0)], (uint16_t)head);
		hostile_wait();
		vhu_close(v);
	}
}

static void
next_outside_of_the_table(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	size_t len;
	uint8_t *p = hostile_frame(v, &len);

	hostile_desc(r, 0, vhu_gpa(v, p), (uint32_t)len, NEXT, 16);
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
	tx_one(UINT64_C(0x40000000), 64, NEXT, 0xffff);
}

static void
chain_that_is_a_loop(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	size_t len;
	uint64_t gpa = vhu_gpa(v, hostile_frame(v, &len));

	hostile_desc(r, 0, gpa, 64, NEXT, 1);
	hostile_desc(r, 1, gpa, 64, NEXT, 0);
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
	v = hostile_open();
	r = &v->rings[VHU_TX(0)];
	hostile_desc(r, 3, gpa, 0, NEXT, 3);
	hostile_offer(v, r, 3);
	hostile_wait();
	vhu_close(v);
}

static void
avail_index_that_jumps(void **state)
{
	static const uint16_t jumps[] = { 17, 1000, 0x7fff, 0x8000, 0xffff };

	for (int i = 0; i < 5; i++) {
		struct vhu *v = hostile_open();
		struct vhu_ring *r = &v->rings[VHU_TX(0)];

		__atomic_store_n(
			&r->avail->idx, (uint16_t)(r->avail_idx + jumps[i]), __ATOMIC_RELEASE);
		vhu_ring_kick(r);
		hostile_wait();
		vhu_close(v);
	}
}

static void
avail_index_of_the_rx_ring_that_jumps(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_RX(0)];

	__atomic_store_n(&r->avail->idx, 0x7000, __ATOMIC_RELEASE);
	vhu_ring_kick(r);
	hostile_wait();
	vhu_close(v);
}

static void
same_head_offered_again_and_again(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	size_t len;
	uint8_t *p = hostile_frame(v, &len);

	hostile_desc(r, 0, vhu_gpa(v, p), (uint32_t)len, 0, 0);
	for (int i = 0; i < 16; i++)
		vhu_ring_avail(r, 0);
	vhu_ring_publish(v, r);
	hostile_wait();
	vhu_close(v);
}

static void
same_rx_buffer_offered_again_and_again(void **state)
{
	struct vhu *v = hostile_new();
	struct vhu_ring *r = &v->rings[VHU_RX(0)];
	uint8_t *p = vhu_alloc(v, 2048);
	size_t len;
	uint8_t *f = hostile_frame(v, &len);

	assert_int_equal(vhu_reconnect(v), 0);
	hostile_desc(r, 0, vhu_gpa(v, p), 2048, WRITE, 0);
	for (int i = 0; i < 16; i++)
		vhu_ring_avail(r, 0);
	vhu_ring_publish(v, r);
	for (uint16_t i = 0; i < 12; i++) {
		hostile_desc(&v->rings[VHU_TX(0)], i, vhu_gpa(v, f), (uint32_t)len, 0, 0);
		hostile_offer(v, &v->rings[VHU_TX(0)], i);
	}
	hostile_wait();
	vhu_close(v);
}

static void
writable_descriptor_on_the_tx_ring(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	size_t len;
	uint8_t *p = hostile_frame(v, &len);

	hostile_desc(r, 0, vhu_gpa(v, p), (uint32_t)len, WRITE, 0);
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
}

static void
read_only_descriptor_on_the_rx_ring(void **state)
{
	struct vhu *v = hostile_new();
	struct vhu_ring *r = &v->rings[VHU_RX(0)];
	size_t len;
	uint8_t *p = vhu_alloc(v, 2048), *f = hostile_frame(v, &len);

	assert_int_equal(vhu_reconnect(v), 0);
	memset(p, 0x5a, 2048);
	hostile_desc(r, 0, vhu_gpa(v, p), 2048, 0, 0);
	hostile_offer(v, r, 0);
	hostile_desc(&v->rings[VHU_TX(0)], 0, vhu_gpa(v, f), (uint32_t)len, 0, 0);
	hostile_offer(v, &v->rings[VHU_TX(0)], 0);
	hostile_wait();
	for (int i = 0; i < 2048; i++)
		assert_int_equal(p[i], 0x5a);
	vhu_close(v);
}

static void
unknown_descriptor_flags(void **state)
{
	tx_one(UINT64_C(0x40100000), 64, 0xfff8, 0);
}

static void
frames_of_impossible_length(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 9, 10, 11, 12, 13, 25, 26, 1 << 20, 2 << 20 };

	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		tx_one(UINT64_C(0x40040000), lengths[i], 0, 0);
}

static void
chain_of_empty_descriptors(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];

	for (uint16_t i = 0; i < 16; i++)
		hostile_desc(
			r, i, vhu_gpa(v, v->mem + 65536), 0, i < 15 ? NEXT : 0, (uint16_t)(i + 1));
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
}

static void
spoiled_vnet_headers(void **state)
{
	static const struct virtio_net_hdr bad[] = {
		{ .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff },
		{ .flags = 1, .csum_start = 40, .csum_offset = 20 },
		{ .flags = 1, .csum_start = 0, .csum_offset = 0 },
		{ .flags = 0xff },
		{ .gso_type = 0x7f, .gso_size = 100 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1, .hdr_len = 0xffff },
		{ .flags = 1,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
			.gso_size = 1400,
			.csum_start = 34,
			.csum_offset = 16 },
		{ .flags = 1,
			.gso_type = VIRTIO_NET_HDR_GSO_UDP,
			.gso_size = 8,
			.csum_start = 34,
			.csum_offset = 6 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_ECN, .gso_size = 1 },
	};
	struct vhu *v = hostile_open();
	struct pkt_ip ip = { .src = pkt_addr("10.0.2.15"), .dst = pkt_addr(GW) };
	uint8_t *f = malloc(PKT_MAX);
	static const uint8_t data[30000];

	memset(ip.src_mac, 2, 6);
	memset(ip.dst_mac, 0xff, 6);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pkt_tcp t = { .sport = 5, .dport = 9, .flags = PKT_ACK, .wscale = -1 };

		vhu_tx(v, 0, &bad[i], f, pkt_build_tcp(f, &ip, &t, data, 4), NULL);
		vhu_tx(v, 0, &bad[i], f, pkt_build_tcp(f, &ip, &t, data, sizeof(data)), NULL);
		vhu_tx(v, 0, &bad[i], f, pkt_build_udp(f, &ip, 5, 9, data, 3), NULL);
		vhu_tx(v, 0, &bad[i], f, 14, NULL);
		vhu_tx_drain(v, 0, 200);
	}
	free(f);
	vhu_close(v);
}

static void
frame_longer_than_any_packet(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	const struct vhu_mem_region *m = &v->table.regions[0];

	for (uint16_t i = 0; i < 16; i++)
		hostile_desc(r, i, m->gpa + 65536, 1 << 20, i < 15 ? NEXT : 0, (uint16_t)(i + 1));
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
}

static void
descriptors_that_change_while_they_are_read(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	uint64_t good = vhu_gpa(v, v->mem + 65536), bad = vhu_gpa_hole(v), end = vhu_now_ms() + 300;

	for (uint32_t i = 0; vhu_now_ms() < end; i++) {
		volatile struct vring_desc *d = &r->desc[i % 16];

		d->addr = good;
		d->len = 64;
		d->flags = 0;
		vhu_ring_avail(r, (uint16_t)(i % 16));
		__atomic_store_n(&r->avail->idx, r->avail_idx, __ATOMIC_RELEASE);
		if (i % 64 == 0)
			vhu_ring_kick(r);
		d->addr = bad;
		d->len = UINT32_MAX;
		d->flags = NEXT | INDIRECT;
		d->next = 0xffff;
	}
	vhu_close(v);
}

static void
used_ring_scribbled_over(void **state)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	size_t len;
	uint8_t *p = hostile_frame(v, &len);

	for (uint16_t i = 0; i < 16; i++) {
		memset(r->used, 0xff, 6 + 8 * 16);
		hostile_desc(r, i, vhu_gpa(v, p), (uint32_t)len, 0, 0);
		hostile_offer(v, r, i);
	}
	hostile_wait();
	vhu_close(v);
}

static void
inbound_connections_to_a_guest_without_buffers(void **state)
{
	struct vhu *v = hostile_new();
	int fd[20];

	assert_int_equal(vhu_reconnect(v), 0);
	for (int i = 0; i < 20; i++)
		fd[i] = host_tcp_connect(LO, 8080);
	hostile_wait();
	for (int i = 0; i < 20; i++)
		close(fd[i]);
	vhu_close(v);
}

static void
flood_of_frames(void **state)
{
	struct vhu *v = hostile_open();
	uint64_t end = vhu_now_ms() + 300;
	uint8_t f[128] = { 0 };

	memset(f, 0xff, 6);
	f[6] = 2;
	for (uint32_t n = 0; vhu_now_ms() < end; n++) {
		memcpy(f + 30, &n, 4);
		vhu_tx(v, 0, NULL, f, 60 + n % 60, NULL);
		if (n % 1000 == 0)
			assert_int_equal(guest_arp(smoke.g), 0);
	}
	vhu_close(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTILE(descriptor_outside_of_memory),
		HOSTILE(descriptor_that_runs_over_the_end_of_its_region),
		HOSTILE(head_outside_of_the_table),
		HOSTILE(next_outside_of_the_table),
		HOSTILE(chain_that_is_a_loop),
		HOSTILE(avail_index_that_jumps),
		HOSTILE(avail_index_of_the_rx_ring_that_jumps),
		HOSTILE(same_head_offered_again_and_again),
		HOSTILE(same_rx_buffer_offered_again_and_again),
		HOSTILE(writable_descriptor_on_the_tx_ring),
		HOSTILE(read_only_descriptor_on_the_rx_ring),
		HOSTILE(unknown_descriptor_flags),
		HOSTILE(frames_of_impossible_length),
		HOSTILE(chain_of_empty_descriptors),
		HOSTILE(spoiled_vnet_headers),
		HOSTILE(frame_longer_than_any_packet),
		HOSTILE(descriptors_that_change_while_they_are_read),
		HOSTILE(used_ring_scribbled_over),
		HOSTILE(inbound_connections_to_a_guest_without_buffers),
		HOSTILE(flood_of_frames),
	};

	return cmocka_run_group_tests_name("conf_hostile", tests, hostile_up, smoke_down);
}
