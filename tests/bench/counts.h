/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * weir-counts: the data path in lockstep with its guests and their peers, to be counted.
 *
 * Theory of operation. The objects of a daemon are made as weir makes them, but no thread runs
 * them: this program polls each worker, one iteration at a time, with a time of its own, and
 * between two iterations plays guests and peers (the parts of weir-gen). A step puts an exact
 * number of frames or bytes in, and iterates until nothing moves. So bursts and batches are the
 * same in every run, whatever the machine is busy with, and what a worker executes for them can be
 * counted by valgrind: instructions by callgrind, which collects within iterations only, and system
 * calls by its trace of them, in which iterations stand between marks. counts.py does so, and
 * compares.
 *
 *   counts.c        the program: steps, the line for each case
 *   counts_guest.c  guests, and flows that do nothing
 *   counts_case.c   cases: what is put in, what has to come out
 *   counts_world.c  the daemon's objects, polled by hand
 */
#ifndef COUNTS_H
#define COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "gen.h"

/** One world's: those that have a case run, and three more. */
#define COUNTS_MAX_VMS 67

struct world;

/* counts_world.c */

/**
 * A daemon with so many VMs and workers, each with an inline bridge.
 * @param east_west may guests reach each other?
 * @return NULL: said on stderr
 */
struct world *world_create(unsigned int n_vms, unsigned int n_workers, bool east_west);
void world_destroy(struct world *o);
const char *world_socket(const struct world *o, unsigned int vm);
/** Have a thread poll the workers, for what waits for them (front-ends that connect). */
void world_run(struct world *o);
void world_halt(struct world *o);
/** One iteration of each worker. @return how much was done; 0: idle */
unsigned int world_iterate(struct world *o, bool measured);
/** Measured iterations between the two are those of a case, for callgrind's dump of that name. */
void world_count_begin(void);
void world_count_end(const char *name);
/** Can callgrind be told what to count? */
extern const bool world_has_callgrind;
/** Flows of all workers. */
uint32_t world_flows(const struct world *o);

/* counts_guest.c */

/** A guest and its peer on the host. */
struct guest {
	struct gen g; /**< its time stands still: nothing is late */
	struct gen_guest u;
	uint64_t got; /**< by the peer; transactions that are over */
};

struct guest_conf {
	unsigned int n_conns;
	bool no_tso;
	bool interrupts;      /**< wanted for each frame, as a guest does that sleeps */
	uint16_t first_port;  /**< of its connections */
	unsigned int peer_vm; /**< of frames between guests; a case's prepare() connects it */
};

/** Connect a guest, with its peer, while world_run(). False: guest_close(), too. */
bool guest_open(struct guest *t, struct world *o, unsigned int vm, const struct guest_conf *c);
void guest_close(struct guest *t);
/** Have guests vm and vm + 1 make so many flows between them, and go. The flows stay. */
bool flows_make(struct world *o, unsigned int vm, unsigned int n);

/* counts_case.c */

struct counts_case;

/** How traffic of one kind is made. */
struct counts_kind {
	const char *unit; /**< that figures are given for: so many bytes, or pieces */
	unsigned int per;
	/** While world_run(); NULL: nothing to do. */
	bool (*prepare)(struct gen *g);
	/** Put a step in, as far as there is room. @return bytes or pieces */
	uint64_t (*load)(struct guest *t, const struct counts_case *k);
	/** The peer's turn, and what the guest does of itself. @return whether something moved */
	bool (*react)(struct guest *t, const struct counts_case *k);
	/** Bytes or pieces since the case began. */
	uint64_t (*arrived)(const struct guest *t, const struct counts_case *k);
};

struct counts_case {
	const char *name;
	const struct counts_kind *kind;
	unsigned int n_conns; /**< connections or flows of a guest */
	unsigned int amount;  /**< of each in one step: bytes or pieces */
	unsigned int train;   /**< datagrams of one flow in a row */
	bool no_tso;
	bool interrupts;
};

/** The last one's name is NULL. */
extern const struct counts_case counts_cases[];

/** Bytes or pieces of one guest in one step. */
static inline uint64_t
counts_step(const struct counts_case *k)
{
	return (uint64_t)k->n_conns * k->amount;
}

#endif
