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

#define VHOST_MSG_RING_MASK 0xffu
/** Room of librte_vhost's payload, for its largest message (a session of a crypto device). */
#define VHOST_MSG_PAYLOAD 632

struct __attribute__((packed)) vhost_msg_ctx {
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
	int fds[GUESTMEM_REGIONS];
	int n_fds;
};
static_assert(offsetof(struct vhost_msg_ctx, payload) == 12, "vhost-user's header is 12 bytes");
static_assert(offsetof(struct vhost_msg_ctx, fds) == 644, "as librte_vhost has it");
static_assert(sizeof(struct vhost_msg_ctx) == 680, "as librte_vhost has it");

#endif
