/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The form of vhost-user requests: what can be told without knowing a connection's state.
 *
 * librte_vhost checks little of what it reads (a message may be shorter than its payload, an
 * inflight area has any size), and loses descriptors of requests that it does not expect. So only
 * the requests of the table below are let through, with the sizes given there.
 */
#include "vhost_msg.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct form {
	bool known;
	uint8_t min_fds, max_fds;
	uint16_t bytes; /**< of payload, at least */
};

static const struct form forms[VHU_REQUESTS] = {
	[VHU_GET_FEATURES] = { true, 0, 0, 0 },
	[VHU_SET_FEATURES] = { true, 0, 0, 8 },
	[VHU_SET_OWNER] = { true, 0, 0, 0 },
	[VHU_RESET_OWNER] = { true, 0, 0, 0 },
	[VHU_SET_MEM_TABLE] = { true, 0, GUESTMEM_REGIONS, 8 },
	[VHU_SET_LOG_BASE] = { true, 1, 1, sizeof(struct vhost_msg_log) },
	[VHU_SET_LOG_FD] = { true, 1, 1, 0 },
	[VHU_SET_VRING_NUM] = { true, 0, 0, sizeof(struct vhost_vring_state) },
	[VHU_SET_VRING_ADDR] = { true, 0, 0, sizeof(struct vhost_vring_addr) },
	[VHU_SET_VRING_BASE] = { true, 0, 0, sizeof(struct vhost_vring_state) },
	[VHU_GET_VRING_BASE] = { true, 0, 0, sizeof(struct vhost_vring_state) },
	[VHU_SET_VRING_KICK] = { true, 0, 1, 8 },
	[VHU_SET_VRING_CALL] = { true, 0, 1, 8 },
	[VHU_SET_VRING_ERR] = { true, 0, 1, 8 },
	[VHU_GET_PROTOCOL_FEATURES] = { true, 0, 0, 0 },
	[VHU_SET_PROTOCOL_FEATURES] = { true, 0, 0, 8 },
	[VHU_GET_QUEUE_NUM] = { true, 0, 0, 0 },
	[VHU_SET_VRING_ENABLE] = { true, 0, 0, sizeof(struct vhost_vring_state) },
	[VHU_NET_SET_MTU] = { true, 0, 0, 8 },
};

/** Can it be closed by a thread that must not wait? */
static bool
is_harmless(int fd)
{
	char path[64], target[64];
	ssize_t len;

	/* Files that live in memory have seals. */
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0 || strncmp(target, "pipe:[", 6) == 0;
}

const char *
vhost_msg_malformed(
	const struct vhost_user_msg *msg, const int *fds, unsigned int n_fds, unsigned int n_rings)
{
	const struct form *form = &forms[msg->request < VHU_REQUESTS ? msg->request : VHU_NONE];

	if (!form->known)
		return "a request that was not negotiated";
	if (msg->size < form->bytes)
		return "a message that is too short";
	if (n_fds < form->min_fds || n_fds > form->max_fds)
		return "a message with a wrong number of descriptors";
	if (vhost_msg_ring(msg) >= (int64_t)n_rings)
		return "a message about a ring that is not there";
	for (unsigned int i = 0; i < n_fds; i++) {
		if (!is_harmless(fds[i]))
			return "a file that is not of memfd, tmpfs or hugetlbfs, nor an eventfd";
	}
	return NULL;
}
