/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A queue pair of drivers/vhost under a fuzzer: guest memory between pages that nobody may touch,
 * its two rings, and a session made by hand, without librte_vhost.
 *
 * Ring 0 is the guest's tx, ring 1 its rx. The steps of a fuzz target write guest memory, call the
 * ring code, and have checked afterwards: world_check_heads(): each head that was taken is used,
 * out or waiting; world_check_written(): nothing was written but what the guest had offered.
 *
 * Private headers of drivers/vhost. One world at a time, one thread.
 */
#ifndef WORLD_H
#define WORLD_H

#include "fuzz.h"
#include "vhost_priv.h"

#define WORLD_REGIONS 4
#define WORLD_HELD_MAX 256
#define WORLD_MBUFS 511 /**< in each of the two pools */
/** The guest's share of them. */
#define WORLD_FRAMES 100
#define WORLD_EXTS 200
#define WORLD_PAGE 4096u
#define WORLD_RINGS_BYTES (4 * WORLD_PAGE) /**< region 0: the rings */
#define WORLD_BYTES (WORLD_RINGS_BYTES + (2 + 20 + 1) * WORLD_PAGE)

struct world_region {
	uint64_t gpa;
	uint32_t bytes;
};
extern const struct world_region world_layout[WORLD_REGIONS];
extern uint8_t *world_memory[WORLD_REGIONS];
extern struct rte_mempool *world_pool, *world_ext_pool;

struct world {
	struct fuzz_tape *tape;
	struct vport vp;
	struct vport_queue *q;
	struct vhost_session *s;
	struct guestmem mem;
	struct guestlog log;
	uint64_t features;
	uint32_t size[2];
	uint32_t place[2][3];   /**< of table, available and used ring in region 0 */
	uint16_t avail_from[2]; /**< indices at the session's start */
	uint16_t used_from[2];
	uint16_t next_desc[2];
	struct rte_mbuf *held[WORLD_HELD_MAX]; /**< frames from the guest, and lent buffers */
	unsigned int n_held;
	struct vport_quota quota;
	struct rte_mbuf *starved[2 * WORLD_MBUFS];
	unsigned int n_starved;
	bool with_fds;
	uint8_t before[WORLD_BYTES];
	uint8_t writable[WORLD_BYTES]; /**< what the guest has ever offered for writing */
};

/** EAL, pools, memory. Once per process. */
void world_init(void);
/** Features, sizes, places and indices off the tape; memory is zero. */
struct world *world_begin(struct fuzz_tape *tape);
void world_end(struct world *w);
/** Take the session away from the worker, and give it another that goes on where it stood. */
void world_restart(struct world *w);

/** Bytes to guest memory, as far as there is any. */
void world_put(struct world *w, uint64_t gpa, const void *bytes, uint64_t len);
struct vhost_ring *world_ring(struct world *w, unsigned int ring);
/** Free the last n mbufs that are held. */
void world_free_held(struct world *w, unsigned int n);

/** Leave so many mbufs in each pool ... */
void world_starve(struct world *w, unsigned int left);
/** ... and give them back. */
void world_feed(struct world *w);

/** Note how memory looks, and what the guest's rx ring offers for writing. */
void world_remember(struct world *w);
/** Nothing has changed since but the ring's used part, and, if so said, what was offered. */
void world_check_written(struct world *w, unsigned int ring, bool offered);
/** Every head that was taken is somewhere, and only once. */
void world_check_heads(struct world *w);

#endif
