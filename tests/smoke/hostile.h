/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Two VMs: `a` does what it should not, `b` is well-behaved, and must notice nothing.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "smoke.h"

/** Declares a test after which b is served and a can come back. */
#define HOSTILE(f) cmocka_unit_test_setup_teardown(f, hostile_each, hostile_check)

int hostile_up(void **state);
int hostile_each(void **state);
int hostile_check(void **state);
/** A front-end on a's socket; rings of 16, running, rx posted. Asserts that it can be had. */
struct vhu *hostile_open(void);
/** The same, not connected yet. */
struct vhu *hostile_new(void);
/** A broadcast ARP request as a guest would send it, in guest memory of v, with vnet header. */
uint8_t *hostile_frame(struct vhu *v, size_t *len);
/** Make a descriptor. */
void hostile_desc(struct vhu_ring *r, uint16_t id, uint64_t addr, uint32_t len, uint16_t flags,
	uint16_t next);
/** Offer a head and kick. */
void hostile_offer(struct vhu *v, struct vhu_ring *r, uint16_t head);
/** Time for the daemon to have looked. */
void hostile_wait(void);

#endif
