/* SPDX-License-Identifier: BSD-3-Clause */
/** What the files of the front-end share. */
#ifndef VHU_PRIV_H
#define VHU_PRIV_H

#include "vhu.h"

#include <poll.h>

#define VHU_FRAME_MAX (256 * 1024)

/** Keep the first violation as text. */
void vhu_violate(struct vhu *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** poll() until something is ready or the time is over; calls conf.idle. True: ready. */
bool vhu_wait_fds(struct vhu *v, struct pollfd *fds, unsigned int n, uint64_t deadline_ms);
/** Guest memory and its regions. 0 or -errno */
int vhu_mem_make(struct vhu *v);
int vhu_ring_make(struct vhu *v, unsigned int index);
void vhu_ring_destroy(struct vhu *v, unsigned int index);
/** SET_VRING_ADDR, with logging if LOG_ALL is negotiated. */
int vhu_ring_addr(struct vhu *v, unsigned int index);
/** The used element `ahead` of the next one, not taken. 1, 0, -EPROTO */
int vhu_ring_peek(struct vhu *v, struct vhu_ring *r, uint16_t ahead, struct vring_used_elem *elem);
/** Free a chain's descriptors and memory. */
void vhu_ring_release(struct vhu *v, struct vhu_ring *r, uint16_t head);
/** Wait, as conf.busy says, until one of the rings has an element. */
bool vhu_ring_wait_any(struct vhu *v, struct vhu_ring **rings, unsigned int n, int timeout_ms);
/** A reply of 64 bits to request. 0 or -errno */
int vhu_recv_u64(struct vhu *v, uint32_t request, uint64_t *value);

#endif
