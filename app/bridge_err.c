/* SPDX-License-Identifier: BSD-3-Clause */
/* Error queues: ICMP errors about what guests have sent. */
#include "bridge_priv.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>

/** Errors told of one socket before the next has its turn. */
#define ERRORS 16

/** What the kernel says of one error; the sender's address follows it. */
struct report {
	struct sock_extended_err ee;
	struct sockaddr_in6 offender;
};

static bool
is_error(const struct cmsghdr *c)
{
	return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
		(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
}

/** Take one error off the queue. @return 0, -EAGAIN at the end, or -errno */
static int
take_error(int fd, struct report *report)
{
	union {
		char buf[256];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;

	memset(report, 0, sizeof(*report));
	if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return -errno;
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		const size_t len = c->cmsg_len - CMSG_LEN(0);

		if (is_error(c) && len >= sizeof(report->ee))
			memcpy(report, CMSG_DATA(c), RTE_MIN(len, sizeof(*report)));
	}
	return 0;
}

static void
tell_error(struct l4x_event *ev, const struct report *report)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };

	ev->error.err = (int32_t)report->ee.ee_errno;
	ev->error.info = report->ee.ee_info;
	if (report->ee.ee_origin != SO_EE_ORIGIN_ICMP && report->ee.ee_origin != SO_EE_ORIGIN_ICMP6)
		return;
	ev->error.from_icmp = 1;
	ev->error.icmp_type = report->ee.ee_type;
	ev->error.icmp_code = report->ee.ee_code;
	memcpy(&ss, &report->offender, sizeof(report->offender));
	sock_addr_get(&ss, &ev->error.offender, NULL);
}

unsigned int
bridge_err_read(struct bridge *b, struct bridge_rec *r)
{
	struct bridge_worker *w = bridge_rec_worker(b, r);
	struct report report;
	unsigned int told;

	for (told = 0; told < ERRORS && bridge_room(w) != 0; told++) {
		struct l4x_event *ev;

		if (take_error(r->fd, &report) != 0) {
			r->flags &= ~REC_ERRQ;
			break;
		}
		ev = bridge_event(b, w, L4X_EV_ERROR);
		ev->flow = r->handle;
		tell_error(ev, &report);
	}
	return told;
}
