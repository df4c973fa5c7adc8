/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A daemon with a hostile guest (VM a) and a well-behaved one (VM b, smoke.g), for the groups that
 * attack it. After every attack b must be served, a as well once it is set up anew, and the daemon
 * must have kept nothing.
 *
 * Threads: the test's one.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include "smoke2.h"

#define RX 0
#define TX 1
#define ATTACK_RING 256
#define ATTACK_PAGE 65536

struct attacker {
	struct vhu *v; /**< the attacker's front-end, NULL: none */
	uint8_t *page; /**< ATTACK_PAGE bytes of its memory, to point descriptors at */
	int fds;       /**< the daemon's descriptors, with b alone connected */
};
extern struct attacker attacker;

/** Group set-up: daemon, b. */
int attack_up(void **state);
/** Test tear-down: smoke_check(), and the attacker of a test that failed goes. */
int attack_check(void **state);
#define ATTACK(f) cmocka_unit_test_setup_teardown(f, smoke_each, attack_check)

/** Set a front-end up as a well-behaved one does. @param features 0: Linux's */
void attack_open(uint64_t features, unsigned int regions);
/** The same, not yet connected. */
void attack_new(void);
/** Guest-physical address of an offset in the page. */
uint64_t attack_at(size_t off);
void attack_desc(
	unsigned int ring, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
/** Make one head available and have the daemon look. */
void attack_offer(unsigned int ring, uint16_t head);
/** An ARP request for the gateway, from the attacker: what is answered with a frame. */
size_t attack_question(uint8_t *frame);
/** A well-behaved guest on socket "a.sock" or "c.sock" is served. */
void attack_serve(const char *sock);
/** The attacker goes. b is served; a as well, when it has come anew; and nothing was kept. */
void attack_over(void);
/** Pseudo-random numbers, the same in every run. */
uint32_t attack_dice(void);

#endif
