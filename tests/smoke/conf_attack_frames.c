/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames, headers and receive buffers as a hostile guest makes them, and rings filled at random. */
#include "attack.h"

#include <pthread.h>

/* What is queued on the tx ring is dropped for this reason, and the queue goes on. */
static void
dropped_by(const char *counter)
{
	long long before = smoke_vm_count("a", counter), frames;
	struct vring_used_elem e;
	uint8_t frame[64] = { 0 };

	vhu_ring_publish(attacker.v, &attacker.v->rings[TX]);
	vhu_ring_kick(&attacker.v->rings[TX]);
	if (!smoke_vm_counts("a", counter, before))
		fail_msg("%s does not count", counter);
	while (vhu_ring_used(attacker.v, &attacker.v->rings[TX], &e) == 1)
		;
	frames = smoke_vm_count("a", "vport-rx-pkts");
	memset(frame, 0xff, 6);
	assert_int_equal(vhu_tx(attacker.v, 0, NULL, frame, sizeof(frame), NULL), 0);
	assert_true(smoke_vm_counts("a", "vport-rx-pkts", frames));
}

/* ---- frames and their headers ---- */

static void
lengths_that_add_up_past_32_bits(void **state)
{
	struct vhu_mem_region *r;
	uint16_t i;

	attack_open(0, 2);
	r = &attacker.v->table.regions[0];
	for (i = 0; i < 200; i++)
		attack_desc(
			TX, i, r->gpa, (uint32_t)r->bytes, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	attack_desc(TX, i, r->gpa, 64, 0, 0);
	vhu_ring_avail(&attacker.v->rings[TX], 0);
	attacker.v->rings[TX].chains[0].n_desc = 1;
	attacker.v->rings[TX].n_free--;
	dropped_by("vport-rx-too-long");
	attack_over();
}

static void
frame_cut_short_at_every_byte(void **state)
{
	attack_open(0, 2);
	for (uint32_t len = 0; len < 12 + 14; len++) {
		struct vhu_seg s = { attacker.page, len };
		int head = vhu_ring_chain(attacker.v, &attacker.v->rings[TX], &s, 1, 0, false);

		assert_true(head >= 0);
		vhu_ring_avail(&attacker.v->rings[TX], (uint16_t)head);
		dropped_by("vport-rx-short");
	}
	attack_over();
}

static void
header_of_nonsense(void **state)
{
	static const struct virtio_net_hdr hdrs[] = {
		{ .gso_type = 0x7f,
			.gso_size = 1400,
			.flags = 1,
			.csum_start = 34,
			.csum_offset = 16 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_UDP,
			.gso_size = 1400,
			.flags = 1,
			.csum_start = 34,
			.csum_offset = 6 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.gso_size = 0,
			.flags = 1,
			.csum_start = 34,
			.csum_offset = 16 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400 },
		{ .flags = 1, .csum_start = 0, .csum_offset = 0 },
		{ .flags = 1, .csum_start = 65535, .csum_offset = 65535 },
		{ .flags = 1, .csum_start = 99, .csum_offset = 0 },
		{ .flags = 1, .csum_start = 34, .csum_offset = 65 },
	};
	uint8_t frame[100] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0, 0x45 };

	attack_open(0, 2);
	for (unsigned int i = 0; i < sizeof(hdrs) / sizeof(hdrs[0]); i++) {
		assert_int_equal(
			vhu_tx_queue(attacker.v, 0, &hdrs[i], frame, sizeof(frame), NULL), 0);
		dropped_by("vport-rx-bad-header");
	}
	attack_over();
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
	attack_open(0, 2);
	attack_over();
}

/* More operations than one burst may make: what is dropped for it lies in the guest's memory. */
static void
segments_of_a_few_bytes_give_their_memory_back(void **state)
{
	struct guest_conf conf = { .mac = { 0x52, 0x54, 0, 6, 6, 6 } };
	struct guest *g = smoke_guest("a.sock", &conf);
	long long before = smoke_count("out-full");
	struct pkt_addr far = pkt_addr("192.0.2.9");
	static uint8_t f[PKT_MAX], data[32760];
	struct virtio_net_hdr h;
	struct pkt_ip ip;

	assert_non_null(g);
	ip = guest_ip(g, &far);
	for (uint16_t i = 0; i < 32; i++) {
		/* The last one is plain, and long enough to stay in the guest's memory. */
		size_t len =
			pkt_build_udp(f, &ip, 1000 + i, 9, data, i < 31 ? sizeof(data) : 30000);

		memset(&h, 0, sizeof(h));
		if (i < 31) {
			pkt_make_partial(f, len, &h);
			h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
			h.gso_size = 16;
			h.hdr_len = 42;
		}
		assert_int_equal(vhu_tx_queue(g->v, 0, &h, f, len, NULL), 0);
	}
	vhu_tx_flush(g->v, 0);
	assert_true(vhu_tx_drain(g->v, 0, SOON));
	assert_true(smoke_count("out-full") > before);
	guest_close(g);
	attack_over();
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

			attack_open(mrg ? VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF : 0, 1);
			for (uint16_t n = 0; n < 200; n++) {
				attack_desc(RX, n, attack_at(0), lens[i], VRING_DESC_F_WRITE, 0);
				vhu_ring_avail(&attacker.v->rings[RX], n);
			}
			vhu_ring_publish(attacker.v, &attacker.v->rings[RX]);
			vhu_ring_kick(&attacker.v->rings[RX]);
			/* An answer that has to go somewhere. */
			vhu_tx(attacker.v, 0, NULL, f, len, NULL);
			vhu_sleep_ms(5);
			attack_over();
		}
	}
}

/* ---- at random ---- */

static void
rings_filled_at_random(void **state)
{
	for (unsigned int round = 0; round < 60; round++) {
		attack_open(0, 2);
		for (unsigned int i = 0; i < 40; i++) {
			const unsigned int ring = attack_dice() % 2;

			for (unsigned int n = 0; n < 8; n++)
				attack_desc(ring, attack_dice() % ATTACK_RING,
					attack_dice() % 8
						? attack_at(attack_dice() % 60000)
						: (uint64_t)attack_dice() << attack_dice() % 33,
					attack_dice() % 8 ? attack_dice() % 4000 : attack_dice(),
					attack_dice() % 8
						? (ring == RX ? 2 : 0) | (attack_dice() % 4 == 0)
						: attack_dice() % 8,
					(uint16_t)(attack_dice() % (ATTACK_RING + 1)));
			for (unsigned int n = attack_dice() % 8; n > 0; n--)
				vhu_ring_avail(&attacker.v->rings[ring],
					(uint16_t)(attack_dice() % ATTACK_RING));
			((uint32_t *)attacker.page)[attack_dice() % 16384] = attack_dice();
			vhu_ring_publish(attacker.v, &attacker.v->rings[ring]);
			vhu_ring_kick(&attacker.v->rings[ring]);
		}
		if (round % 10 == 9)
			smoke_serves(smoke.g);
		vhu_close(attacker.v);
		attacker.v = NULL;
	}
	attack_open(0, 2);
	attack_over();
}

/* Descriptors, headers and frames change while the daemon reads them. */
static void *
flip(void *stop)
{
	uint32_t x = 88172645;

	while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED)) {
		struct vring_desc *d = &attacker.v->rings[x >> 8 & 1].desc[x >> 16 & 0xff];

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
			attacker.v->mem[(x >> 4) % 400000] ^= (uint8_t)x;
			break;
		}
	}
	return NULL;
}

static void
memory_that_changes_while_it_is_read(void **state)
{
	struct pkt_addr me = pkt_addr("10.0.2.15"), gw = pkt_addr(GW);
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 },
			     gw_mac[6] = { 255, 255, 255, 255, 255, 255 };
	struct pkt_ip ip = { .src = me, .dst = gw };
	static uint8_t f[2000], data[1400];
	size_t len;

	memcpy(ip.src_mac, mac, 6);
	memcpy(ip.dst_mac, gw_mac, 6);
	len = pkt_build_udp(f, &ip, 1000, 1001, data, sizeof(data));
	for (unsigned int round = 0; round < 20; round++) {
		bool stop = false;
		pthread_t thread;

		attack_open(0, 2);
		vhu_rx_post(attacker.v, 0, 1536, 64, NULL, false);
		assert_int_equal(pthread_create(&thread, NULL, flip, &stop), 0);
		for (unsigned int i = 0; i < 100; i++) {
			vhu_tx_queue(attacker.v, 0, NULL, f, len, NULL);
			if (i % 4 == 3) {
				vhu_tx_flush(attacker.v, 0);
				vhu_ring_kick(&attacker.v->rings[TX]);
				vhu_sleep_ms(0);
			}
		}
		vhu_sleep_ms(5);
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		vhu_close(attacker.v);
		attacker.v = NULL;
	}
	attack_open(0, 2);
	attack_over();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ATTACK(lengths_that_add_up_past_32_bits),
		ATTACK(frame_cut_short_at_every_byte),
		ATTACK(header_of_nonsense),
		ATTACK(header_that_does_not_fit_its_frame),
		ATTACK(segments_of_a_few_bytes_give_their_memory_back),
		ATTACK(receive_buffers_of_no_use),
		ATTACK(rings_filled_at_random),
		ATTACK(memory_that_changes_while_it_is_read),
	};

	return cmocka_run_group_tests_name("conf_attack_frames", tests, attack_up, smoke_down);
}
