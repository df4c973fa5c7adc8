/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands between the front-end and librte_vhost: each message is vetted before the library
 * sees it, and the rings it is about are taken back from the worker before and handed out again
 * after.
 *
 * The library checks little of what it reads (a message may be shorter than its payload, a log's
 * offset goes unmapped, an inflight area has any size), and some of its handlers change a ring that
 * is in use. So only the requests of the table below are let through, with the sizes given there.
 */
#include "vhost_msg.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "sigbus.h"
#include "vhost_priv.h"

enum scope {
	SCOPE_NONE,
	SCOPE_RING,   /**< the ring that it names changes */
	SCOPE_DEVICE, /**< all rings change */
};

enum index_place {
	INDEX_NONE,
	INDEX_STATE, /**< struct vhost_vring_state, and first in struct vhost_vring_addr */
	INDEX_U64,   /**< the low byte */
};

struct rule {
	bool known;
	uint8_t scope;
	uint8_t index;
	uint8_t min_fds, max_fds;
	uint16_t bytes; /**< of payload, at least */
};

static const struct rule rules[VHU_REQUESTS] = {
	[VHU_GET_FEATURES] = { true },
	[VHU_SET_FEATURES] = { true, SCOPE_DEVICE, .bytes = 8 },
	[VHU_SET_OWNER] = { true },
	[VHU_RESET_OWNER] = { true },
	[VHU_SET_MEM_TABLE] = { true, SCOPE_DEVICE, .max_fds = GUESTMEM_REGIONS, .bytes = 8 },
	[VHU_SET_LOG_BASE] = { true, SCOPE_DEVICE, .min_fds = 1, .max_fds = 1, .bytes = 16 },
	[VHU_SET_LOG_FD] = { true, .min_fds = 1, .max_fds = 1 },
	[VHU_SET_VRING_NUM] = { true, SCOPE_RING, INDEX_STATE, .bytes = 8 },
	[VHU_SET_VRING_ADDR] = { true, SCOPE_RING, INDEX_STATE,
		.bytes = sizeof(struct vhost_vring_addr) },
	[VHU_SET_VRING_BASE] = { true, SCOPE_RING, INDEX_STATE, .bytes = 8 },
	[VHU_GET_VRING_BASE] = { true, SCOPE_RING, INDEX_STATE, .bytes = 8 },
	[VHU_SET_VRING_KICK] = { true, SCOPE_RING, INDEX_U64, .max_fds = 1, .bytes = 8 },
	[VHU_SET_VRING_CALL] = { true, SCOPE_NONE, INDEX_U64, .max_fds = 1, .bytes = 8 },
	[VHU_SET_VRING_ERR] = { true, SCOPE_NONE, INDEX_U64, .max_fds = 1, .bytes = 8 },
	[VHU_GET_PROTOCOL_FEATURES] = { true },
	[VHU_SET_PROTOCOL_FEATURES] = { true, .bytes = 8 },
	[VHU_GET_QUEUE_NUM] = { true },
	[VHU_SET_VRING_ENABLE] = { true, SCOPE_NONE, INDEX_STATE, .bytes = 8 },
	[VHU_NET_SET_MTU] = { true, .bytes = 8 },
};

/**
 * Only files that live in memory have seals: memfd, tmpfs, hugetlbfs. Another file system may
 * never answer (FUSE, NFS): the thread that asks it, by a load or by fstat(), is lost.
 */
static const char *
check_file(int fd, uint64_t bytes)
{
	struct stat st;

	if (fcntl(fd, F_GET_SEALS) < 0)
		return "a file that is not of memfd, tmpfs or hugetlbfs";
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return "something that is not a file";
	if (st.st_size < 0 || (uint64_t)st.st_size < bytes)
		return "a file that is too short";
	return NULL;
}

static const char *
check_region(const struct vhost_msg_region *r, int fd)
{
	if (r->bytes == 0 || r->gpa + r->bytes < r->gpa || r->uva + r->bytes < r->uva ||
		r->offset + r->bytes < r->offset)
		return "a memory region of no possible size";
	return check_file(fd, r->offset + r->bytes);
}

static const char *
check_regions(const struct vhost_msg_ctx *msg, const struct vhost_msg_memory *mem)
{
	uint64_t sum = 0;

	if (mem->n == 0 || mem->n > GUESTMEM_REGIONS || msg->n_fds != (int)mem->n ||
		msg->size < offsetof(struct vhost_msg_memory, regions[mem->n]))
		return "a malformed memory table";
	for (uint32_t i = 0; i < mem->n; i++) {
		const struct vhost_msg_region *r = &mem->regions[i];
		const char *bad = check_region(r, msg->fds[i]);

		if (bad)
			return bad;
		/* Does not wrap: it was within the bound, and a file has less than 2^63 bytes. */
		sum += r->offset + r->bytes;
		if (sum > GUESTMEM_MAX_BYTES)
			return "more memory than a guest may have";
		for (uint32_t k = 0; k < i; k++) {
			const struct vhost_msg_region *o = &mem->regions[k];

			if (r->gpa < o->gpa + o->bytes && o->gpa < r->gpa + r->bytes)
				return "memory regions that overlap";
		}
	}
	return NULL;
}

/** The connection has the new memory; the old one stays with those who hold it. */
static const char *
take_memory(struct vhost_conn *conn, const struct vhost_msg_ctx *msg)
{
	struct vhost_msg_memory table; /* the message's is not aligned */
	struct guestmem *mem;
	const char *bad;

	memcpy(&table, &msg->payload, sizeof(table));
	bad = check_regions(msg, &table);
	if (bad)
		return bad;
	mem = guestmem_create();
	for (uint32_t i = 0; mem && i < table.n; i++) {
		const struct vhost_msg_region *r = &table.regions[i];

		if (guestmem_add(mem, r->gpa, r->bytes, msg->fds[i], r->offset) == 0)
			continue;
		guestmem_unref(mem);
		mem = NULL;
	}
	if (mem == NULL)
		return "guest memory that cannot be mapped to read and write";
	guestmem_unref(conn->mem);
	conn->mem = mem;
	conn->have_mem = false;
	return NULL;
}

static const char *
take_log(struct vhost_conn *conn, const struct vhost_msg_ctx *msg)
{
	const uint64_t bytes = msg->payload.log.bytes, offset = msg->payload.log.offset;
	struct guestlog *log;
	const char *bad;

	/* The library would map a log at an offset where it does not lie. */
	if (bytes == 0 || offset != 0)
		return "a dirty log of no possible place";
	bad = check_file(msg->fds[0], bytes);
	if (bad)
		return bad;
	log = guestlog_map(msg->fds[0], offset, bytes);
	if (log == NULL)
		return "a dirty log that cannot be mapped";
	guestlog_unref(conn->log);
	conn->log = log;
	return NULL;
}

/** @return what is wrong with the message, NULL: nothing */
static const char *
vet(struct vhost_conn *conn, const struct vhost_msg_ctx *msg)
{
	const struct rule *rule = &rules[msg->request < VHU_REQUESTS ? msg->request : VHU_NONE];

	if (!rule->known)
		return "a request that was not negotiated";
	if (msg->size < rule->bytes)
		return "a message that is too short";
	if (msg->n_fds < rule->min_fds || msg->n_fds > rule->max_fds)
		return "a message with a wrong number of descriptors";
	if (rule->index) {
		const uint32_t index = rule->index == INDEX_STATE
			? msg->payload.state.index
			: (uint32_t)msg->payload.u64 & VHOST_MSG_RING_MASK;

		if (index >= 2u * conn->port->base.conf.n_queues)
			return "a message about a ring that is not there";
		conn->request_ring = index;
	}
	return NULL;
}

static enum rte_vhost_msg_result
refuse(struct vhost_conn *conn, struct vhost_msg_ctx *msg, const char *why)
{
	vport_count_port(&conn->port->base, VPORT_COUNT_MSG_REFUSED);
	vport_note(&conn->port->base, "refused %s (request %u)", why, msg->request);
	/* The library forgets the descriptors of what it is told to refuse. */
	for (int i = 0; i < msg->n_fds && i < GUESTMEM_REGIONS; i++) {
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
		msg->fds[i] = -1;
	}
	msg->n_fds = 0;
	return RTE_VHOST_MSG_RESULT_ERR;
}

/** Rings that stay as they are: all of them, when SET_FEATURES says what is known. */
static bool
changes_rings(const struct vhost_conn *conn, const struct vhost_msg_ctx *msg)
{
	return msg->request != VHU_SET_FEATURES || msg->payload.u64 != conn->features;
}

/** The library acknowledges these before it tells that the ring is not ready any more. */
static bool
ends_ring(const struct vhost_msg_ctx *msg)
{
	return msg->request == VHU_GET_VRING_BASE ||
		(msg->request == VHU_SET_VRING_ENABLE && msg->payload.state.num == 0);
}

static void
before(struct vhost_conn *conn, const struct vhost_msg_ctx *msg)
{
	const struct rule *rule = &rules[msg->request];
	const uint16_t pair = (uint16_t)(conn->request_ring / 2);
	const bool ends = ends_ring(msg);

	if (ends)
		conn->ready[conn->request_ring] = false;
	if (rule->scope == SCOPE_RING) {
		/* A pair that is given up waits for a message after the one that asked it back. */
		if (vhost_take_back(conn, pair))
			vhost_forgive(conn, pair);
	} else if (ends) {
		vhost_take_back(conn, pair);
	} else if (rule->scope == SCOPE_DEVICE && changes_rings(conn, msg)) {
		vhost_take_back_all(conn);
	}
}

static enum rte_vhost_msg_result
pre_handle(int vid, void *message)
{
	struct vhost_msg_ctx *msg = message;
	struct vhost_conn *conn = vhost_conn_get(vid);
	enum rte_vhost_msg_result result = RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	const char *bad;

	if (conn == NULL)
		return RTE_VHOST_MSG_RESULT_ERR;
	/* The thread is librte_vhost's own: it stays on between messages. */
	sigbus_guard(true);
	conn->request = VHU_NONE;
	bad = vet(conn, msg);
	if (bad == NULL && msg->request == VHU_SET_MEM_TABLE)
		bad = take_memory(conn, msg);
	else if (bad == NULL && msg->request == VHU_SET_LOG_BASE)
		bad = take_log(conn, msg);
	if (bad) {
		result = refuse(conn, msg, bad);
		goto out;
	}
	conn->request = msg->request;
	before(conn, msg);
	if (msg->request == VHU_GET_QUEUE_NUM) {
		/* The library would tell its own limit. */
		msg->payload.u64 = conn->port->base.conf.n_queues;
		msg->size = sizeof(msg->payload.u64);
		result = RTE_VHOST_MSG_RESULT_REPLY;
	} else if (msg->request == VHU_RESET_OWNER) {
		/* To be ignored, says the protocol; the library would forget what it allocated. */
		result = RTE_VHOST_MSG_RESULT_OK;
	}
out:
	vhost_conn_put(conn);
	return result;
}

static void
find_memory(struct vhost_conn *conn)
{
	struct rte_vhost_memory *table;

	if (rte_vhost_get_mem_table(conn->vid, &table) != 0)
		return;
	conn->have_mem = guestmem_set_lib(conn->mem, table);
	free(table);
}

/** The call descriptor of a ring in use is replaced without the ring being taken back. */
static void
pass_call_fd(struct vhost_conn *conn)
{
	const uint16_t ring = (uint16_t)conn->request_ring;
	struct vport_queue *q = conn->port->base.queues[ring / 2];
	struct vhost_session *s = (struct vhost_session *)q->mine;
	struct rte_vhost_vring v;
	struct vhost_ring *r;
	int old;

	if (s == NULL || s->unusable || conn->port->conn != conn ||
		rte_vhost_get_vhost_vring(conn->vid, ring, &v) != 0)
		return;
	r = ring % 2 ? &s->tx : &s->rx;
	old = atomic_exchange_explicit(
		&r->next_call_fd, vhost_dup_call_fd(v.callfd), memory_order_acq_rel);
	if (old >= 0)
		close(old);
	vport_queue_tell(q);
}

static enum rte_vhost_msg_result
post_handle(int vid, void *message)
{
	struct vhost_conn *conn = vhost_conn_get(vid);
	uint32_t request;

	if (conn == NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	request = conn->request;
	conn->request = VHU_NONE;
	switch (request) {
	case VHU_SET_FEATURES:
		rte_vhost_get_negotiated_features(vid, &conn->features);
		break;
	case VHU_SET_MEM_TABLE:
		find_memory(conn);
		break;
	case VHU_SET_VRING_CALL:
		pass_call_fd(conn);
		/* The library is about to tell of the ring twice; it has not changed. */
		conn->request = request;
		break;
	}
	if (request < VHU_REQUESTS && rules[request].scope == SCOPE_RING)
		vhost_hand_out(conn, (uint16_t)(conn->request_ring / 2));
	else if (request < VHU_REQUESTS && rules[request].scope == SCOPE_DEVICE)
		vhost_hand_out_all(conn);
	vhost_conn_put(conn);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

const struct rte_vhost_user_extern_ops vhost_msg_ops = {
	.pre_msg_handle = pre_handle,
	.post_msg_handle = post_handle,
};
