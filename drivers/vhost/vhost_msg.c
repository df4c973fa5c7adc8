/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Before librte_vhost handles a message, and after. Some of its handlers change a ring that is in
 * use: the rings that a message is about are taken back from the worker before, and handed out
 * again after. It maps what it is given: memory and log are looked at, and mapped, before it.
 *
 * What comes here has the right form, see vhost_relay.h.
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

static const uint8_t scopes[VHU_REQUESTS] = {
	[VHU_SET_FEATURES] = SCOPE_DEVICE,
	[VHU_SET_MEM_TABLE] = SCOPE_DEVICE,
	[VHU_SET_LOG_BASE] = SCOPE_DEVICE,
	[VHU_SET_VRING_NUM] = SCOPE_RING,
	[VHU_SET_VRING_ADDR] = SCOPE_RING,
	[VHU_SET_VRING_BASE] = SCOPE_RING,
	[VHU_GET_VRING_BASE] = SCOPE_RING,
	[VHU_SET_VRING_KICK] = SCOPE_RING,
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
check_regions(const struct vhost_msg_ctx *ctx, const struct vhost_msg_memory *mem)
{
	uint64_t sum = 0;

	if (mem->n == 0 || mem->n > GUESTMEM_REGIONS || ctx->n_fds != (int)mem->n ||
		ctx->msg.size < offsetof(struct vhost_msg_memory, regions[mem->n]))
		return "a malformed memory table";
	for (uint32_t i = 0; i < mem->n; i++) {
		const struct vhost_msg_region *r = &mem->regions[i];
		const char *bad = check_region(r, ctx->fds[i]);

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
take_memory(struct vhost_conn *conn, const struct vhost_msg_ctx *ctx)
{
	struct vhost_msg_memory table; /* the message's is not aligned */
	struct guestmem *mem;
	const char *bad;

	memcpy(&table, &ctx->msg.payload, sizeof(table));
	bad = check_regions(ctx, &table);
	if (bad)
		return bad;
	mem = guestmem_create();
	for (uint32_t i = 0; mem && i < table.n; i++) {
		const struct vhost_msg_region *r = &table.regions[i];

		if (guestmem_add(mem, r->gpa, r->bytes, ctx->fds[i], r->offset) == 0)
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
take_log(struct vhost_conn *conn, const struct vhost_msg_ctx *ctx)
{
	const uint64_t bytes = ctx->msg.payload.log.bytes, offset = ctx->msg.payload.log.offset;
	struct guestlog *log;
	const char *bad;

	/* The library would map a log at an offset where it does not lie. */
	if (bytes == 0 || offset != 0)
		return "a dirty log of no possible place";
	bad = check_file(ctx->fds[0], bytes);
	if (bad)
		return bad;
	log = guestlog_map(ctx->fds[0], offset, bytes);
	if (log == NULL)
		return "a dirty log that cannot be mapped";
	guestlog_unref(conn->log);
	conn->log = log;
	return NULL;
}

static enum rte_vhost_msg_result
refuse(struct vhost_conn *conn, struct vhost_msg_ctx *ctx, const char *why)
{
	vport_count_port(&conn->port->base, VPORT_COUNT_MSG_REFUSED);
	vport_note(&conn->port->base, "refused %s (request %u)", why, ctx->msg.request);
	/* The library forgets the descriptors of what it is told to refuse. */
	for (int i = 0; i < ctx->n_fds; i++)
		close(ctx->fds[i]);
	ctx->n_fds = 0;
	return RTE_VHOST_MSG_RESULT_ERR;
}

/** Rings that stay as they are: all of them, when SET_FEATURES says what is known. */
static bool
changes_rings(const struct vhost_conn *conn, const struct vhost_user_msg *msg)
{
	return msg->request != VHU_SET_FEATURES || msg->payload.u64 != conn->features;
}

/** The library acknowledges these before it tells that the ring is not ready any more. */
static bool
ends_ring(const struct vhost_user_msg *msg)
{
	return msg->request == VHU_GET_VRING_BASE ||
		(msg->request == VHU_SET_VRING_ENABLE && msg->payload.state.num == 0);
}

static void
before(struct vhost_conn *conn, const struct vhost_user_msg *msg)
{
	const uint8_t scope = scopes[msg->request];
	const uint16_t pair = (uint16_t)(conn->request_ring / 2);
	const bool ends = ends_ring(msg);

	if (ends)
		conn->ready[conn->request_ring] = false;
	if (scope == SCOPE_RING) {
		/* A pair that is given up waits for a message after the one that asked it back. */
		if (vhost_take_back(conn, pair))
			vhost_forgive(conn, pair);
	} else if (ends) {
		vhost_take_back(conn, pair);
	} else if (scope == SCOPE_DEVICE && changes_rings(conn, msg)) {
		vhost_take_back_all(conn);
	}
}

static enum rte_vhost_msg_result
pre_handle(int vid, void *message)
{
	struct vhost_msg_ctx *ctx = message;
	struct vhost_user_msg *msg = &ctx->msg;
	struct vhost_conn *conn = vhost_conn_get(vid);
	enum rte_vhost_msg_result result = RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	const char *bad = NULL;

	if (conn == NULL)
		return RTE_VHOST_MSG_RESULT_ERR;
	/* The thread is librte_vhost's own: it stays on between messages. */
	sigbus_guard(true);
	conn->request = VHU_NONE;
	if (msg->request == VHU_SET_MEM_TABLE)
		bad = take_memory(conn, ctx);
	else if (msg->request == VHU_SET_LOG_BASE)
		bad = take_log(conn, ctx);
	if (bad) {
		result = refuse(conn, ctx, bad);
		goto out;
	}
	conn->request = msg->request;
	conn->request_ring = (uint32_t)RTE_MAX(vhost_msg_ring(msg), 0);
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
	if (scopes[request] == SCOPE_RING)
		vhost_hand_out(conn, (uint16_t)(conn->request_ring / 2));
	else if (scopes[request] == SCOPE_DEVICE)
		vhost_hand_out_all(conn);
	vhost_conn_put(conn);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

const struct rte_vhost_user_extern_ops vhost_msg_ops = {
	.pre_msg_handle = pre_handle,
	.post_msg_handle = post_handle,
};
