/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A port under test and a front-end in one thread: whatever the front-end waits for, the fixture
 * goes on being the port's worker, and control.
 */
#ifndef TEST_VPORT_UTIL_H
#define TEST_VPORT_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_mbuf.h>

#include <vhu.h>
#include <vport.h>

#define FX_MAX_HELD 1024
#define FX_NOTES 64
#define FX_GATEWAY_MAC                  \
	{                               \
		0x52, 0x55, 10, 0, 2, 2 \
	}

struct fx {
	char dir[64], path[96];
	struct vport *vp;
	struct vport_queue *q[VHU_MAX_PAIRS];
	unsigned int n_queues;
	unsigned int out_before; /**< mbufs of earlier tests that failed */
	struct vhu *v;
	struct vhu_conf vconf;
	struct vport_conf conf;
	/** Freed on VPORT_SYNC_STOP unless keep is set. */
	struct rte_mbuf *held[FX_MAX_HELD];
	unsigned int n_held;
	bool keep;
	bool deaf; /**< the worker does nothing */
	unsigned int started[VHU_MAX_PAIRS], stopped[VHU_MAX_PAIRS], released[VHU_MAX_PAIRS];
	bool releasing[VHU_MAX_PAIRS];
	char notes[FX_NOTES][256];
	_Atomic unsigned int n_notes;
	_Atomic unsigned int wakes, owner_wakes;
};

/** EAL and pools, once for a test program. */
int fx_group_setup(void **state);
int fx_group_teardown(void **state);
struct rte_mempool *fx_pool(void);
struct rte_mempool *fx_ext_pool(void);
/** Lend all that the first queue pair has into fx->held. @return how many */
unsigned int fx_lend_all(struct fx *fx);
/** Mbufs that are not in the pools. */
unsigned int fx_mbufs_out(void);

/** A port (server, one queue pair) that is started, nothing connected. */
struct fx *fx_new(void);
/** The same with features off and n pairs. */
struct fx *fx_new_conf(uint64_t features_off, uint16_t pairs, enum vport_kind kind);
/** fx_new() with a share of the pools. */
struct fx *fx_new_quota(const struct vport_quota *quota);
/** Connect a front-end as vconf says, and wait until the worker has the queue pairs. */
void fx_open(struct fx *fx, uint64_t features);
/** All of it, the checks that nothing has leaked and no rule was broken included. */
void fx_free(struct fx *fx);
/** The front-end is gone (checked for violations). */
void fx_close(struct fx *fx);
/** vport_stop() in a thread of its own, with the fixture as worker. */
void fx_stop_port(struct fx *fx);

/** One iteration of control and the worker. */
void fx_poll(struct fx *fx);
/** fx_poll() until the condition holds; fails the test after 5 s. */
#define fx_wait(fx, condition) fx_wait_at(fx, condition, #condition, __FILE__, __LINE__)
#define fx_wait_at(fx, condition, text, file, line)                     \
	do {                                                            \
		const uint64_t until_ = vhu_now_ms() + 5000;            \
		while (!(condition)) {                                  \
			fx_poll(fx);                                    \
			if (vhu_now_ms() > until_) {                    \
				print_error("not in time: %s\n", text); \
				_fail(file, line);                      \
			}                                               \
		}                                                       \
	} while (0)

uint64_t fx_count(const struct fx *fx, enum vport_counter c);
bool fx_noted(const struct fx *fx, const char *text);
/** A frame from the guest, received by the port. The caller's. */
struct rte_mbuf *fx_rx_one(struct fx *fx);
/** Send from the guest and receive; hdr and shape may be NULL. */
struct rte_mbuf *fx_pass(struct fx *fx, const struct virtio_net_hdr *hdr, const void *frame,
	size_t len, const struct vhu_shape *shape);
/** An mbuf with these bytes, of the pool. */
struct rte_mbuf *fx_mbuf(const void *bytes, size_t len);
/** A frame from the guest to the port and back, whole: it works. */
void fx_exchange(struct fx *fx);
/** Send to the guest, flush; 1 or 0 as vport_tx_burst() says. */
uint16_t fx_tx(struct fx *fx, struct rte_mbuf *m);
/** Bytes of an mbuf chain against memory. */
void fx_assert_bytes(const struct rte_mbuf *m, const void *bytes, size_t len);
/** Bytes that depend on seed. */
void fx_fill(void *to, size_t len, unsigned int seed);
/** Run one group with the fixture's setup. */
int fx_file_count(void);

#endif
