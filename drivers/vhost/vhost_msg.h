/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * vhost-user messages as librte_vhost shows them to message handlers (its handlers' `void *msg`),
 * and as they travel. The layout is fixed: external handlers depend on it.
 */
#ifndef VHOST_MSG_H
#define VHOST_MSG_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vhost.h>

#include "guestmem.h"

enum vhost_request {
	VHU_NONE,
	VHU_GET_FEATURES,
	VHU_SET_FEATURES,
	VHU_SET_OWNER,
	VHU_RESET_OWNER,
	VHU_SET_MEM_TABLE,
	VHU_SET_LOG_BASE,
	VHU_SET_LOG_FD,
	VHU_SET_VRING_NUM,
	VHU_SET_VRING_ADDR,
	VHU_SET_VRING_BASE,
	VHU_GET_VRING_BASE,
	VHU_SET_VRING_KICK,
	VHU_SET_VRING_CALL,
	VHU_SET_VRING_ERR,
	VHU_GET_PROTOCOL_FEATURES,
	VHU_SET_PROTOCOL_FEATURES,
	VHU_GET_QUEUE_NUM,
	VHU_SET_VRING_ENABLE,
	VHU_SEND_RARP,
	VHU_NET_SET_MTU,
	VHU_REQUESTS,
};

struct vhost_msg_region {
	uint64_t gpa, bytes, uva, offset;
};

struct vhost_msg_memory {
	uint32_t n, padding;
	struct vhost_msg_region regions[GUESTMEM_REGIONS];
};

struct vhost_msg_log {
	uint64_t bytes, offset;
};

/** Room of librte_vhost's payload, for its largest message (a session of a crypto device). */
#define VHOST_MSG_PAYLOAD 632
#define VHOST_MSG_HEADER 12
#define VHOST_MSG_RING_MASK 0xffu

/** A message as it travels. */
struct __attribute__((packed)) vhost_user_msg {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /**< of the payload */
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct vhost_msg_memory memory;
		struct vhost_msg_log log;
		uint8_t room[VHOST_MSG_PAYLOAD];
	} payload;
};
static_assert(offsetof(struct vhost_user_msg, payload) == VHOST_MSG_HEADER, "vhost-user's header");

struct __attribute__((packed)) vhost_msg_ctx {
	struct vhost_user_msg msg;
	int fds[GUESTMEM_REGIONS];
	int n_fds;
};
static_assert(offsetof(struct vhost_msg_ctx, fds) == 644, "as librte_vhost has it");
static_assert(sizeof(struct vhost_msg_ctx) == 680, "as librte_vhost has it");

/** The ring that a message is about, -1: it is about none. */
static inline int64_t
vhost_msg_ring(const struct vhost_user_msg *msg)
{
	switch (msg->request) {
	case VHU_SET_VRING_NUM:
	case VHU_SET_VRING_ADDR: /* begins with the index as well */
	case VHU_SET_VRING_BASE:
	case VHU_GET_VRING_BASE:
	case VHU_SET_VRING_ENABLE:
		return msg->payload.state.index;
	case VHU_SET_VRING_KICK:
	case VHU_SET_VRING_CALL:
	case VHU_SET_VRING_ERR:
		return msg->payload.u64 & VHOST_MSG_RING_MASK;
	default:
		return -1;
	}
}

/**
 * Look at the form of a request, see vhost_form.c.
 * @return what is wrong with it, NULL: nothing
 */
const char *vhost_msg_malformed(
	const struct vhost_user_msg *msg, const int *fds, unsigned int n_fds, unsigned int n_rings);

#endif
