/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhu.h"
#include "vhu_priv.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

int
vhu_send_bytes(struct vhu *v, const void *bytes, size_t len, const int *fds, unsigned int n_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VHU_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (v->sock < 0)
		return -ENOTCONN;
	if (n_fds > VHU_MAX_FDS)
		return -EINVAL;
	if (n_fds != 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	while ((sent = sendmsg(v->sock, &msg, MSG_NOSIGNAL)) < 0) {
		struct pollfd p = { v->sock, POLLOUT, 0 };

		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (!vhu_wait_fds(v, &p, 1, vhu_now_ms() + (unsigned int)v->conf.timeout_ms))
			return -ETIMEDOUT;
	}
	return (size_t)sent == len ? 0 : -EIO;
}

int
vhu_send(struct vhu *v, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	const int *fds, unsigned int n_fds)
{
	uint8_t buf[12 + VHU_MAX_PAYLOAD];
	uint32_t head[3] = { request, flags | VHU_MSG_VERSION, size };

	if (size > VHU_MAX_PAYLOAD)
		return -EINVAL;
	memcpy(buf, head, sizeof(head));
	if (size != 0)
		memcpy(buf + sizeof(head), payload, size);
	return vhu_send_bytes(v, buf, sizeof(head) + size, fds, n_fds);
}

static void
take_fds(struct msghdr *msg, int *fds, unsigned int n_fds)
{
	unsigned int taken = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fds != NULL && taken < n_fds)
				fds[taken++] = fd;
			else
				close(fd);
		}
	}
}

/* Exactly len bytes, whatever pieces they come in. */
static int
recv_exact(struct vhu *v, void *buf, size_t len, int *fds, unsigned int n_fds, uint64_t deadline)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VHU_MAX_FDS)];
		struct cmsghdr align;
	} control;
	size_t got = 0;

	while (got < len) {
		struct iovec iov = { (uint8_t *)buf + got, len - got };
		struct msghdr msg = { .msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf) };
		struct pollfd p = { v->sock, POLLIN, 0 };
		ssize_t n;

		if (!vhu_wait_fds(v, &p, 1, deadline))
			return -ETIMEDOUT;
		n = recvmsg(v->sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				continue;
			return -errno;
		}
		take_fds(&msg, fds, n_fds);
		got += (size_t)n;
	}
	return 0;
}

ssize_t
vhu_recv(struct vhu *v, uint32_t *request, uint32_t *flags, void *payload, size_t max, int *fds,
	unsigned int n_fds)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)v->conf.timeout_ms;
	uint32_t head[3];
	int rc;

	if (v->sock < 0)
		return -ENOTCONN;
	for (unsigned int i = 0; fds != NULL && i < n_fds; i++)
		fds[i] = -1;
	rc = recv_exact(v, head, sizeof(head), fds, n_fds, deadline);
	if (rc < 0)
		return rc;
	*request = head[0];
	*flags = head[1];
	if (head[2] > max) {
		vhu_violate(v, "reply to request %u has %u bytes", head[0], head[2]);
		return -EPROTO;
	}
	rc = recv_exact(v, payload, head[2], NULL, 0, deadline);
	return rc < 0 ? rc : (ssize_t)head[2];
}

int
vhu_recv_u64(struct vhu *v, uint32_t request, uint64_t *value)
{
	uint8_t buf[VHU_MAX_PAYLOAD];
	uint32_t req, flags;
	ssize_t n = vhu_recv(v, &req, &flags, buf, sizeof(buf), NULL, 0);

	if (n < 0)
		return (int)n;
	if (req != request || !(flags & VHU_MSG_REPLY) || n != 8) {
		vhu_violate(v, "reply to request %u: request %u flags %#x length %zd", request, req,
			flags, n);
		return -EPROTO;
	}
	memcpy(value, buf, 8);
	return 0;
}

int
vhu_send_ack(struct vhu *v, uint32_t request, const void *payload, uint32_t size, const int *fds,
	unsigned int n_fds)
{
	bool ack = v->protocol & VHU_F(VHU_PF_REPLY_ACK);
	uint64_t status;
	int rc = vhu_send(v, request, ack ? VHU_MSG_NEED_REPLY : 0, payload, size, fds, n_fds);

	if (rc < 0 || !ack)
		return rc;
	rc = vhu_recv_u64(v, request, &status);
	if (rc == 0 && status != 0) {
		v->status = (int)status;
		return -EPROTO;
	}
	return rc;
}

int
vhu_get_u64(struct vhu *v, uint32_t request, uint64_t *value)
{
	int rc = vhu_send(v, request, 0, NULL, 0, NULL, 0);

	return rc < 0 ? rc : vhu_recv_u64(v, request, value);
}

int
vhu_set_u64(struct vhu *v, uint32_t request, uint64_t value)
{
	return vhu_send_ack(v, request, &value, sizeof(value), NULL, 0);
}

bool
vhu_closed_by_peer(struct vhu *v, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	struct pollfd p = { v->sock, POLLIN, 0 };
	uint8_t drop[256];

	while (v->sock >= 0 && vhu_wait_fds(v, &p, 1, deadline)) {
		ssize_t n = recv(v->sock, drop, sizeof(drop), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return true;
	}
	return v->sock < 0;
}
