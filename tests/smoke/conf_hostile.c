/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings as a hostile guest fills them. The attacker is VM a; VM b is well-behaved and must not feel
 * it. After each attack a is served again, once it is set up anew.
 */
#include "smoke2.h"

#include <pthread.h>

#define RX 0
#define TX 1
#define SIZE 256

static struct vhu *v; /**< the attacker */
static uint8_t *page; /**< 64 KiB of its memory, to point descriptors at */
static int fds;       /**< the daemon's, with b alone */

/* ---- tools ---- */

static void
attack_with(uint64_t features, unsigned int regions)
{
	struct vhu_conf conf = { .path = proc_path(smoke.d, "a.sock"), .features = features,
		.regions = regions, .ring_size = SIZE };

	v = vhu_open(&conf);
	assert_non_null(v);
	page = vhu_alloc(v, 65536);
	assert_non_null(page);
	memset(page, 0, 65536);
}

static void
attack(void)
{
	attack_with(0, 2);
}

static void
desc(unsigned int ring, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	v->rings[ring].desc[i] = (struct vring_desc){ addr, len, flags, next };
}

static uint64_t
at(size_t off)
{
	return vhu_gpa(v, page) + off;
}

/* Make one head available and have the daemon look. */
static void
offer(unsigned int ring, uint16_t head)
{
	struct vhu_ring *r = &v->rings[ring];

	vhu_ring_avail(r, head);
	vhu_ring_publish(v, r);
	vhu_ring_kick(r);
}

/* b is served; a as well, when it has come anew; and nothing was kept. */
static void
all_is_well(void)
{
	struct guest_conf conf = { .addr = "10.0.2.15", .addr6 = "fd00:2::15",
		.mac = { 0x52, 0x54, 0, 6, 6, 6 } };
	struct guest *g;

	smoke_serves(smoke.g);
	vhu_close(v);
	v = NULL;
	g = smoke_guest("a.sock", &conf);
	assert_non_null(g);
	smoke_serves(g);
	guest_close(g);
	assert_true(smoke_fds(fds) <= fds);
}

/* What was done breaks the queue, for this reason, and is counted as such. */
static void
broken_by(const char *counter, unsigned int ring, uint16_t head)
{
	long long before = smoke_vm_count("a", counter);

	offer(ring, head);
	if (!smoke_vm_counts("a", counter, before))
		fail_msg("%s does not count", counter);
	all_is_well();
}

/* A frame is dropped for this reason, and the queue goes on. */
static void
dropped_by(const char *counter)
{
	long long before = smoke_vm_count("a", counter), frames;
	struct vring_used_elem e;
	uint8_t frame[64] = { 0 };

	vhu_ring_kick(&v->rings[TX]);
	if (!smoke_vm_counts("a", counter, before))
		fail_msg("%s does not count", counter);
	while (vhu_ring_used(v, &v->rings[TX], &e) == 1)
		;
	frames = smoke_vm_count("a", "vport-rx-pkts");
	memset(frame, 0xff, 6);
	assert_int_equal(vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL), 0);
	assert_true(smoke_vm_counts("a", "vport-rx-pkts", frames));
}

/* ---- heads and chains ---- */

static void
head_outside_the_table(void **state)
{
	static const uint16_t heads[] = { SIZE, SIZE + 1, 0x7fff, 0xffff };

	for (unsigned int i = 0; i < 8; i++) {
		attack();
		broken_by("vport-ring-bad-head", i & 1, heads[i / 2]);
	}
}

static void
next_outside_the_table(void **state)
{
	for (unsigned int ring = 0; ring < 2; ring++) {
		attack();
		desc(ring, 0, at(0), 64, VRING_DESC_F_NEXT | (ring == RX ? VRING_DESC_F_WRITE : 0),
			0xffff);
		broken_by("vport-ring-bad-chain", ring, 0);
	}
}

static void
chain_that_loops(void **state)
{
	for (unsigned int ring = 0; ring < 2; ring++) {
		uint16_t flags = VRING_DESC_F_NEXT | (ring == RX ? VRING_DESC_F_WRITE : 0);

		attack();
		desc(ring, 0, at(0), 64, flags, 0);
		broken_by("vport-ring-bad-chain", ring, 0);
		attack();
		for (uint16_t i = 0; i < SIZE; i++)
			desc(ring, i, at(0), 1, flags, (uint16_t)((i + 1) % SIZE));
		broken_by("vport-ring-bad-chain", ring, 7);
		attack();
		desc(ring, 0, at(0), 0, flags, 1); /* of no length at all */
		desc(ring, 1, at(0), 0, flags, 0);
		broken_by("vport-ring-bad-chain", ring, 0);
	}
}

static void
address_outside_memory(void **state)
{
	for (unsigned int ring = 0; ring < 2; ring++) {
		for (unsigned int i = 0; i < 8; i++) {
			uint16_t flags = ring == RX ? VRING_DESC_F_WRITE : 0;
			const struct vhu_mem_region *last;
			uint64_t addr[8];

			attack();
			last = &v->table.regions[1];
			addr[0] = 0;
			addr[1] = v->table.regions[0].gpa - 1;
			addr[2] = v->table.regions[0].gpa + v->table.regions[0].bytes;
			addr[3] = last->gpa - 64;
			addr[4] = last->gpa + last->bytes;
			addr[5] = UINT64_MAX;
			addr[6] = UINT64_MAX - 63;
			addr[7] = (uintptr_t)page; /* the front-end's own address */
			desc(ring, 0, addr[i], 64, flags, 0);
			broken_by("vport-ring-bad-addr", ring, 0);
		}
	}
}

static void
length_over_the_end_of_memory(void **state)
{
	static const uint32_t lens[] = { 4097, 65536, 0x7fffffff, 0xffffffff };

	for (unsigned int ring = 0; ring < 2; ring++) {
		for (unsigned int i = 0; i < 4; i++) {
			const struct vhu_mem_region *last;

			attack();
			last = &v->table.regions[1];
			desc(ring, 0, last->gpa + last->bytes - 4096, lens[i],
				ring == RX ? VRING_DESC_F_WRITE : 0, 0);
			broken_by("vport-ring-bad-addr", ring, 0);
		}
	}
}

static void
lengths_that_add_up_past_32_bits(void **state)
{
	struct vhu_mem_region *r;
	uint16_t i;

	attack();
	r = &v->table.regions[0];
	for (i = 0; i < 200; i++)
		desc(TX, i, r->gpa, (uint32_t)r->bytes, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	desc(TX, i, r->gpa, 64, 0, 0);
	vhu_ring_avail(&v->rings[TX], 0);
	vhu_ring_publish(v, &v->rings[TX]);
	v->rings[TX].chains[0].n_desc = 1;
	v->rings[TX].n_free--;
	dropped_by("vport-rx-too-long");
	all_is_well();
}

static void
write_flag_the_wrong_way(void **state)
{
	attack();
	desc(TX, 0, at(0), 64, VRING_DESC_F_WRITE, 0);
	broken_by("vport-ring-bad-chain", TX, 0);
	attack();
	desc(TX, 0, at(0), 64, VRING_DESC_F_NEXT, 1);
	desc(TX, 1, at(64), 64, VRING_DESC_F_WRITE, 0);
	broken_by("vport-ring-bad-chain", TX, 0);
	attack();
	desc(RX, 0, at(0), 2048, 0, 0);
	broken_by("vport-ring-bad-chain", RX, 0);
	attack();
	desc(RX, 0, at(0), 64, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	desc(RX, 1, at(64), 2048, 0, 0);
	broken_by("vport-ring-bad-chain", RX, 0);
}

/* ---- indirect tables ---- */

static void
indirect(unsigned int n, struct vring_desc *table, uint32_t bytes, uint16_t flags)
{
	memcpy(page, table, n * sizeof(*table));
	desc(TX, 0, at(0), bytes, VRING_DESC_F_INDIRECT | flags, 1);
}

static void
indirect_table_of_a_wrong_size(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 15, 17, 24, 16 * 257, 16 * 1024, 0xfffffff0,
		0xffffffff };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vring_desc d;

		attack();
		d = (struct vring_desc){ at(4096), 64, 0, 0 };
		indirect(1, &d, sizes[i], 0);
		broken_by("vport-ring-bad-indirect", TX, 0);
	}
}

static void
indirect_table_in_a_table_or_in_a_chain(void **state)
{
	struct vring_desc d[2];

	attack();
	d[0] = (struct vring_desc){ at(0), 16, VRING_DESC_F_INDIRECT, 0 };
	indirect(1, d, 16, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
	attack();
	d[0] = (struct vring_desc){ at(4096), 64, 0, 0 };
	indirect(1, d, 16, VRING_DESC_F_NEXT);
	desc(TX, 1, at(4096), 64, 0, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
}

static void
indirect_links_that_lead_astray(void **state)
{
	struct vring_desc d[2];

	attack();
	d[0] = (struct vring_desc){ at(4096), 64, VRING_DESC_F_NEXT, 2 };
	d[1] = d[0];
	indirect(2, d, 32, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
	attack();
	d[0] = (struct vring_desc){ at(4096), 64, VRING_DESC_F_NEXT, 1 };
	d[1] = (struct vring_desc){ at(4096), 64, VRING_DESC_F_NEXT, 0 };
	indirect(2, d, 32, 0);
	broken_by("vport-ring-bad-chain", TX, 0);
	attack();
	d[0] = (struct vring_desc){ vhu_gpa_hole(v), 64, 0, 0 };
	indirect(1, d, 16, 0);
	broken_by("vport-ring-bad-addr", TX, 0);
	attack();
	desc(TX, 0, vhu_gpa_hole(v), 16, VRING_DESC_F_INDIRECT, 0);
	broken_by("vport-ring-bad-addr", TX, 0);
	attack();
	desc(TX, 0, v->table.regions[0].gpa + v->table.regions[0].bytes - 16, 32,
		VRING_DESC_F_INDIRECT, 0);
	broken_by("vport-ring-bad-addr", TX, 0);
}

static void
indirect_table_that_was_not_negotiated(void **state)
{
	struct vring_desc d;

	attack_with(VHU_FEATURES_LINUX & ~VHU_F_INDIRECT, 1);
	d = (struct vring_desc){ at(4096), 64, 0, 0 };
	indirect(1, &d, 16, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
}

/* ---- indices ---- */

static void
available_index_that_jumps(void **state)
{
	static const uint16_t jumps[] = { SIZE + 1, 0x7fff, 0x8000, 0xffff };

	for (unsigned int ring = 0; ring < 2; ring++) {
		for (unsigned int i = 0; i < 4; i++) {
			attack();
			v->rings[ring].avail_idx = (uint16_t)(v->rings[ring].avail_idx + jumps[i] - 1);
			broken_by("vport-ring-bad-index", ring, 0);
		}
	}
}

static void
head_offered_twice(void **state)
{
	uint8_t frame[2000] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	/* Receive buffers are held: the second offer is seen. */
	attack();
	desc(RX, 0, at(0), 2048, VRING_DESC_F_WRITE, 0);
	for (unsigned int i = 0; i < 100; i++)
		vhu_ring_avail(&v->rings[RX], 0);
	broken_by("vport-ring-busy-head", RX, 0);
	/* A frame to send is taken in two bursts, or at once: no harm. */
	attack();
	memcpy(page + 12, frame, sizeof(frame));
	desc(TX, 0, at(0), sizeof(frame) + 12, 0, 0);
	for (unsigned int i = 0; i < SIZE - 1; i++)
		vhu_ring_avail(&v->rings[TX], 0);
	offer(TX, 0);
	vhu_sleep_ms(20);
	all_is_well();
}

static void
event_indices_of_nonsense(void **state)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	attack();
	vhu_rx_post(v, 0, 1536, 128, NULL, true);
	for (unsigned int i = 0; i < 300; i++) {
		v->rings[RX].avail->ring[SIZE] = (uint16_t)(i * 7919);
		v->rings[TX].avail->ring[SIZE] = (uint16_t)(i * 104729);
		v->rings[RX].avail->flags = v->rings[TX].avail->flags = (uint16_t)(i * 31);
		v->rings[TX].used->flags = 0xffff; /* the daemon's own */
		assert_int_equal(vhu_tx_queue(v, 0, NULL, frame, sizeof(frame), NULL), 0);
		vhu_tx_flush(v, 0);
		vhu_ring_kick(&v->rings[TX]);
		if (i % 64 == 63)
			while (!vhu_tx_drain(v, 0, 0) && vhu_ring_in_flight(&v->rings[TX]) > 100)
				vhu_sleep_ms(1);
	}
	all_is_well();
}

/* ---- frames and their headers ---- */

static void
frame_cut_short_at_every_byte(void **state)
{
	attack();
	for (uint32_t len = 0; len < 12 + 14; len++) {
		struct vhu_seg s = { page, len };
		int head = vhu_ring_chain(v, &v->rings[TX], &s, 1, 0, false);

		assert_true(head >= 0);
		vhu_ring_avail(&v->rings[TX], (uint16_t)head);
		vhu_ring_publish(v, &v->rings[TX]);
		dropped_by("vport-rx-short");
	}
	all_is_well();
}

static void
header_of_nonsense(void **state)
{
	static const struct virtio_net_hdr hdrs[] = {
		{ .gso_type = 0x7f, .gso_size = 1400, .flags = 1, .csum_start = 34, .csum_offset = 16 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1400, .flags = 1, .csum_start = 34,
			.csum_offset = 6 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0, .flags = 1, .csum_start = 34,
			.csum_offset = 16 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400 },
		{ .flags = 1, .csum_start = 0, .csum_offset = 0 },
		{ .flags = 1, .csum_start = 65535, .csum_offset = 65535 },
		{ .flags = 1, .csum_start = 99, .csum_offset = 0 },
		{ .flags = 1, .csum_start = 34, .csum_offset = 65 },
	};
	uint8_t frame[100] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0, 0x45 };

	attack();
	for (unsigned int i = 0; i < sizeof(hdrs) / sizeof(hdrs[0]); i++) {
		assert_int_equal(vhu_tx_queue(v, 0, &hdrs[i], frame, sizeof(frame), NULL), 0);
		vhu_tx_flush(v, 0);
		dropped_by("vport-rx-bad-header");
	}
	all_is_well();
}

/* Headers that may stand, over frames that they do not fit. */
static void
header_that_does_not_fit_its_frame(void **state)
{
	struct guest_conf conf = { .mac = { 0x52, 0x54, 0, 6, 6, 6 } };
	struct pkt_tcp t = { .sport = 1, .dport = 2, .flags = PKT_ACK, .wscale = -1 };
	struct virtio_net_hdr h = { .flags = 1 };
	static uint8_t f[3000], data[2000];
	struct guest *g = smoke_guest("a.sock", &conf);
	struct pkt_ip ip = guest_ip(g, &g->gw);
	size_t len;

	assert_non_null(g);
	len = pkt_build_tcp(f, &ip, &t, data, sizeof(data));
	for (unsigned int i = 0; i < 400; i++) {
		h.gso_type = (uint8_t[]){ 0, 1, 4, 0x81, 0x84 }[i % 5];
		h.gso_size = (uint16_t[]){ 1, 7, 536, 1460, 65535 }[i / 5 % 5];
		h.hdr_len = (uint16_t)(i * 331);
		h.csum_start = (uint16_t)(14 + i % 60);
		h.csum_offset = (uint16_t)(i % 17);
		f[14 + i % 40] ^= (uint8_t)(1u << i % 8);
		guest_send_raw(g, &h, f, len);
		guest_pump(g, 0);
	}
	host_idle(g, 20);
	guest_close(g);
	attack();
	all_is_well();
}

static void
receive_buffers_of_no_use(void **state)
{
	static const uint32_t lens[] = { 0, 1, 9, 11, 12, 13 };

	for (unsigned int i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (unsigned int mrg = 0; mrg < 2; mrg++) {
			static const uint8_t none[6], all[6] = { 255, 255, 255, 255, 255, 255 };
			struct pkt_addr me = pkt_addr("10.0.2.15"), gw = pkt_addr(GW);
			static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };
			uint8_t f[64];
			size_t len = pkt_build_arp(f, all, 1, mac, &me, none, &gw);

			attack_with(mrg ? VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF : 0, 1);
			for (uint16_t n = 0; n < 200; n++) {
				desc(RX, n, at(0), lens[i], VRING_DESC_F_WRITE, 0);
				vhu_ring_avail(&v->rings[RX], n);
			}
			vhu_ring_publish(v, &v->rings[RX]);
			vhu_ring_kick(&v->rings[RX]);
			/* An answer that has to go somewhere. */
			vhu_tx(v, 0, NULL, f, len, NULL);
			vhu_sleep_ms(5);
			all_is_well();
		}
	}
}

/* ---- at random ---- */

static uint32_t
dice(void)
{
	static uint32_t x = 0x2545f491;

	x ^= x << 13;
	x ^= x >> 17;
	return x ^= x << 5;
}

static void
rings_filled_at_random(void **state)
{
	for (unsigned int round = 0; round < 60; round++) {
		attack();
		for (unsigned int i = 0; i < 40; i++) {
			const unsigned int ring = dice() % 2;

			for (unsigned int n = 0; n < 8; n++)
				desc(ring, dice() % SIZE,
					dice() % 8 ? at(dice() % 60000) : (uint64_t)dice() << dice() % 33,
					dice() % 8 ? dice() % 4000 : dice(),
					dice() % 8 ? (ring == RX ? 2 : 0) | (dice() % 4 == 0) : dice() % 8,
					(uint16_t)(dice() % (SIZE + 1)));
			for (unsigned int n = dice() % 8; n > 0; n--)
				vhu_ring_avail(&v->rings[ring], (uint16_t)(dice() % SIZE));
			((uint32_t *)page)[dice() % 16384] = dice();
			vhu_ring_publish(v, &v->rings[ring]);
			vhu_ring_kick(&v->rings[ring]);
		}
		if (round % 10 == 9)
			smoke_serves(smoke.g);
		vhu_close(v);
		v = NULL;
	}
	attack();
	all_is_well();
}

/* Descriptors, headers and frames change while the daemon reads them. */
static void *
flip(void *stop)
{
	uint32_t x = 88172645;

	while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED)) {
		struct vring_desc *d = &v->rings[x >> 8 & 1].desc[x >> 16 & 0xff];

		x = x * 1664525 + 1013904223;
		switch (x >> 28) {
		case 0:
			d->len = x;
			break;
		case 1:
			d->addr ^= (uint64_t)1 << (x >> 8 & 63);
			break;
		case 2:
			d->flags = x >> 8 & 7;
			break;
		case 3:
			d->next = (uint16_t)(x >> 8);
			break;
		default:
			v->mem[(x >> 4) % 400000] ^= (uint8_t)x;
			break;
		}
	}
	return NULL;
}

static void
memory_that_changes_while_it_is_read(void **state)
{
	struct pkt_addr me = pkt_addr("10.0.2.15"), gw = pkt_addr(GW);
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 }, gw_mac[6] = { 255, 255, 255, 255, 255, 255 };
	struct pkt_ip ip = { .src = me, .dst = gw };
	static uint8_t f[2000], data[1400];
	size_t len;

	memcpy(ip.src_mac, mac, 6);
	memcpy(ip.dst_mac, gw_mac, 6);
	len = pkt_build_udp(f, &ip, 1000, 1001, data, sizeof(data));
	for (unsigned int round = 0; round < 20; round++) {
		bool stop = false;
		pthread_t thread;

		attack();
		vhu_rx_post(v, 0, 1536, 64, NULL, false);
		assert_int_equal(pthread_create(&thread, NULL, flip, &stop), 0);
		for (unsigned int i = 0; i < 100; i++) {
			vhu_tx_queue(v, 0, NULL, f, len, NULL);
			if (i % 4 == 3) {
				vhu_tx_flush(v, 0);
				vhu_ring_kick(&v->rings[TX]);
				vhu_sleep_ms(0);
			}
		}
		vhu_sleep_ms(5);
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		vhu_close(v);
		v = NULL;
	}
	attack();
	all_is_well();
}

static void
broken_queue_is_said_once(void **state)
{
	const char *said;

	attack();
	said = proc_log(smoke.d) + strlen(proc_log(smoke.d));
	for (unsigned int i = 0; i < 20; i++)
		offer(TX, 0xffff);
	vhu_sleep_ms(50);
	said = proc_log(smoke.d) + (said - smoke.d->log);
	assert_int_equal(smoke_lines(said), 1);
	assert_non_null(strstr(said, "vm a: queue 0 stopped"));
	/* Nor does it cost anything afterwards. */
	{
		unsigned long cpu = proc_cpu_ms(smoke.d);

		for (unsigned int i = 0; i < 100; i++) {
			vhu_ring_kick(&v->rings[TX]);
			vhu_sleep_ms(2);
		}
		assert_true(proc_cpu_ms(smoke.d) - cpu <= 60);
	}
	all_is_well();
}
