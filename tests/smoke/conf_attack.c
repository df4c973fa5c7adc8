/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings as a hostile guest fills them: heads, chains, indirect tables, indices. */
#include "attack.h"

/* What was done breaks the queue, for this reason, and is counted as such. */
static void
broken_by(const char *counter, unsigned int ring, uint16_t head)
{
	long long before = smoke_vm_count("a", counter);
	uint8_t question[64];

	attack_offer(ring, head);
	/* A lone receive buffer is looked at when there is a frame for it. */
	if (ring == RX) {
		vhu_tx_queue(attacker.v, 0, NULL, question, attack_question(question), NULL);
		vhu_tx_flush(attacker.v, 0);
	}
	if (!smoke_vm_counts("a", counter, before))
		fail_msg("%s does not count", counter);
	attack_over();
}

/* ---- heads and chains ---- */

static void
head_outside_the_table(void **state)
{
	static const uint16_t heads[] = { ATTACK_RING, ATTACK_RING + 1, 0x7fff, 0xffff };

	for (unsigned int i = 0; i < 8; i++) {
		attack_open(0, 2);
		broken_by("vport-ring-bad-head", i & 1, heads[i / 2]);
	}
}

static void
next_outside_the_table(void **state)
{
	for (unsigned int ring = 0; ring < 2; ring++) {
		attack_open(0, 2);
		attack_desc(ring, 0, attack_at(0), 64,
			VRING_DESC_F_NEXT | (ring == RX ? VRING_DESC_F_WRITE : 0), 0xffff);
		broken_by("vport-ring-bad-chain", ring, 0);
	}
}

static void
chain_that_loops(void **state)
{
	for (unsigned int ring = 0; ring < 2; ring++) {
		uint16_t flags = VRING_DESC_F_NEXT | (ring == RX ? VRING_DESC_F_WRITE : 0);

		attack_open(0, 2);
		attack_desc(ring, 0, attack_at(0), 64, flags, 0);
		broken_by("vport-ring-bad-chain", ring, 0);
		attack_open(0, 2);
		for (uint16_t i = 0; i < ATTACK_RING; i++)
			attack_desc(
				ring, i, attack_at(0), 1, flags, (uint16_t)((i + 1) % ATTACK_RING));
		broken_by("vport-ring-bad-chain", ring, 7);
		attack_open(0, 2);
		attack_desc(ring, 0, attack_at(0), 0, flags, 1); /* of no length at all */
		attack_desc(ring, 1, attack_at(0), 0, flags, 0);
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

			attack_open(0, 2);
			last = &attacker.v->table.regions[1];
			addr[0] = 0;
			addr[1] = attacker.v->table.regions[0].gpa - 1;
			addr[2] = attacker.v->table.regions[0].gpa +
				attacker.v->table.regions[0].bytes;
			addr[3] = last->gpa - 64;
			addr[4] = last->gpa + last->bytes;
			addr[5] = UINT64_MAX;
			addr[6] = UINT64_MAX - 63;
			addr[7] = (uintptr_t)attacker.page; /* the front-end's own address */
			attack_desc(ring, 0, addr[i], 64, flags, 0);
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

			attack_open(0, 2);
			last = &attacker.v->table.regions[1];
			attack_desc(ring, 0, last->gpa + last->bytes - 4096, lens[i],
				ring == RX ? VRING_DESC_F_WRITE : 0, 0);
			broken_by("vport-ring-bad-addr", ring, 0);
		}
	}
}

static void
write_flag_the_wrong_way(void **state)
{
	attack_open(0, 2);
	attack_desc(TX, 0, attack_at(0), 64, VRING_DESC_F_WRITE, 0);
	broken_by("vport-ring-bad-chain", TX, 0);
	attack_open(0, 2);
	attack_desc(TX, 0, attack_at(0), 64, VRING_DESC_F_NEXT, 1);
	attack_desc(TX, 1, attack_at(64), 64, VRING_DESC_F_WRITE, 0);
	broken_by("vport-ring-bad-chain", TX, 0);
	attack_open(0, 2);
	attack_desc(RX, 0, attack_at(0), 2048, 0, 0);
	broken_by("vport-ring-bad-chain", RX, 0);
	attack_open(0, 2);
	attack_desc(RX, 0, attack_at(0), 64, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	attack_desc(RX, 1, attack_at(64), 2048, 0, 0);
	broken_by("vport-ring-bad-chain", RX, 0);
}

/* ---- indirect tables ---- */

static void
indirect(unsigned int n, struct vring_desc *table, uint32_t bytes, uint16_t flags)
{
	memcpy(attacker.page, table, n * sizeof(*table));
	attack_desc(TX, 0, attack_at(0), bytes, VRING_DESC_F_INDIRECT | flags, 1);
}

static void
indirect_table_of_a_wrong_size(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 15, 17, 24, 16 * 257, 16 * 1024, 0xfffffff0,
		0xffffffff };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vring_desc d;

		attack_open(0, 2);
		d = (struct vring_desc){ attack_at(4096), 64, 0, 0 };
		indirect(1, &d, sizes[i], 0);
		broken_by("vport-ring-bad-indirect", TX, 0);
	}
}

static void
indirect_table_in_a_table_or_in_a_chain(void **state)
{
	struct vring_desc d[2];

	attack_open(0, 2);
	d[0] = (struct vring_desc){ attack_at(0), 16, VRING_DESC_F_INDIRECT, 0 };
	indirect(1, d, 16, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
	attack_open(0, 2);
	d[0] = (struct vring_desc){ attack_at(4096), 64, 0, 0 };
	indirect(1, d, 16, VRING_DESC_F_NEXT);
	attack_desc(TX, 1, attack_at(4096), 64, 0, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
}

static void
indirect_links_that_lead_astray(void **state)
{
	struct vring_desc d[2];

	attack_open(0, 2);
	d[0] = (struct vring_desc){ attack_at(4096), 64, VRING_DESC_F_NEXT, 2 };
	d[1] = d[0];
	indirect(2, d, 32, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
	attack_open(0, 2);
	d[0] = (struct vring_desc){ attack_at(4096), 64, VRING_DESC_F_NEXT, 1 };
	d[1] = (struct vring_desc){ attack_at(4096), 64, VRING_DESC_F_NEXT, 0 };
	indirect(2, d, 32, 0);
	broken_by("vport-ring-bad-chain", TX, 0);
	attack_open(0, 2);
	d[0] = (struct vring_desc){ vhu_gpa_hole(attacker.v), 64, 0, 0 };
	indirect(1, d, 16, 0);
	broken_by("vport-ring-bad-addr", TX, 0);
	attack_open(0, 2);
	attack_desc(TX, 0, vhu_gpa_hole(attacker.v), 16, VRING_DESC_F_INDIRECT, 0);
	broken_by("vport-ring-bad-addr", TX, 0);
	attack_open(0, 2);
	attack_desc(TX, 0,
		attacker.v->table.regions[0].gpa + attacker.v->table.regions[0].bytes - 16, 32,
		VRING_DESC_F_INDIRECT, 0);
	broken_by("vport-ring-bad-addr", TX, 0);
}

static void
indirect_table_that_was_not_negotiated(void **state)
{
	struct vring_desc d;

	attack_open(VHU_FEATURES_LINUX & ~VHU_F_INDIRECT, 1);
	d = (struct vring_desc){ attack_at(4096), 64, 0, 0 };
	indirect(1, &d, 16, 0);
	broken_by("vport-ring-bad-indirect", TX, 0);
}

/* ---- indices ---- */

static void
available_index_that_jumps(void **state)
{
	static const uint16_t jumps[] = { ATTACK_RING + 1, 0x7fff, 0x8000, 0xffff };

	for (unsigned int ring = 0; ring < 2; ring++) {
		for (unsigned int i = 0; i < 4; i++) {
			attack_open(0, 2);
			attacker.v->rings[ring].avail_idx =
				(uint16_t)(attacker.v->rings[ring].avail_idx + jumps[i] - 1);
			broken_by("vport-ring-bad-index", ring, 0);
		}
	}
}

static void
head_offered_twice(void **state)
{
	uint8_t frame[2000] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	/* Receive buffers are held: the second offer is seen. */
	attack_open(0, 2);
	attack_desc(RX, 0, attack_at(0), 2048, VRING_DESC_F_WRITE, 0);
	for (unsigned int i = 0; i < 100; i++)
		vhu_ring_avail(&attacker.v->rings[RX], 0);
	broken_by("vport-ring-busy-head", RX, 0);
	/* A frame to send is taken in two bursts, or at once: no harm. */
	attack_open(0, 2);
	memcpy(attacker.page + 12, frame, sizeof(frame));
	attack_desc(TX, 0, attack_at(0), sizeof(frame) + 12, 0, 0);
	for (unsigned int i = 0; i < ATTACK_RING - 1; i++)
		vhu_ring_avail(&attacker.v->rings[TX], 0);
	attack_offer(TX, 0);
	vhu_sleep_ms(20);
	attack_over();
}

static void
event_indices_of_nonsense(void **state)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	attack_open(0, 2);
	vhu_rx_post(attacker.v, 0, 1536, 128, NULL, true);
	for (unsigned int i = 0; i < 300; i++) {
		attacker.v->rings[RX].avail->ring[ATTACK_RING] = (uint16_t)(i * 7919);
		attacker.v->rings[TX].avail->ring[ATTACK_RING] = (uint16_t)(i * 104729);
		attacker.v->rings[RX].avail->flags = attacker.v->rings[TX].avail->flags =
			(uint16_t)(i * 31);
		attacker.v->rings[TX].used->flags = 0xffff; /* the daemon's own */
		assert_int_equal(vhu_tx_queue(attacker.v, 0, NULL, frame, sizeof(frame), NULL), 0);
		vhu_tx_flush(attacker.v, 0);
		vhu_ring_kick(&attacker.v->rings[TX]);
		if (i % 64 == 63)
			while (!vhu_tx_drain(attacker.v, 0, 0) &&
				vhu_ring_in_flight(&attacker.v->rings[TX]) > 100)
				vhu_sleep_ms(1);
	}
	attack_over();
}

/** How often text stands in what the daemon has said since. */
static unsigned int
times_said(size_t since, const char *text)
{
	unsigned int n = 0;
	const char *at = proc_log(smoke.d) + since;

	while ((at = strstr(at, text)) != NULL) {
		at += strlen(text);
		n++;
	}
	return n;
}

static void
broken_queue_is_said_once_and_costs_nothing(void **state)
{
	static const char stopped[] = "vm a: queue 0 stopped";
	const unsigned int kicks = 200;
	long long sleeps, broken = smoke_vm_count("a", "vport-queue-broken");
	size_t before = strlen(proc_log(smoke.d));

	attack_open(0, 2);
	for (unsigned int i = 0; i < 20; i++)
		attack_offer(TX, 0xffff);
	assert_true(smoke_vm_counts("a", "vport-queue-broken", broken));
	/* Nobody listens to its kicks: the worker, which sleeps, is not woken by them. */
	sleeps = smoke_count("worker-sleeps");
	for (unsigned int i = 0; i < kicks; i++) {
		vhu_ring_kick(&attacker.v->rings[TX]);
		vhu_sleep_ms(1);
	}
	assert_true(smoke_count("worker-sleeps") - sleeps < kicks / 2);
	assert_int_equal(times_said(before, stopped), 1);
	assert_int_equal(smoke_vm_count("a", "vport-queue-broken"), broken + 1);
	attack_over();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: a guest that makes many lines is silenced for a while. */
		ATTACK(broken_queue_is_said_once_and_costs_nothing),
		ATTACK(head_outside_the_table),
		ATTACK(next_outside_the_table),
		ATTACK(chain_that_loops),
		ATTACK(address_outside_memory),
		ATTACK(length_over_the_end_of_memory),
		ATTACK(write_flag_the_wrong_way),
		ATTACK(indirect_table_of_a_wrong_size),
		ATTACK(indirect_table_in_a_table_or_in_a_chain),
		ATTACK(indirect_links_that_lead_astray),
		ATTACK(indirect_table_that_was_not_negotiated),
		ATTACK(available_index_that_jumps),
		ATTACK(head_offered_twice),
		ATTACK(event_indices_of_nonsense),
	};

	return cmocka_run_group_tests_name("conf_attack", tests, attack_up, smoke_down);
}
