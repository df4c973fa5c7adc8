/* SPDX-License-Identifier: BSD-3-Clause */
/* Error queues: ICMP errors about what guests have sent. */
#include "bridge_priv.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stddef.h>
#include <string.h>

#include <rte_ip.h>

/** Errors told of one socket before the next has its turn. */
#define ERRORS 16

/** What the kernel says of one error; the sender's address follows it. */
struct report {
	struct sock_extended_err ee;
	struct sockaddr_in6 offender;
	struct icmphdr echo; /**< ping sockets: of what failed */
	bool has_echo;
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
	struct iovec iov = { &report->echo, sizeof(report->echo) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	memset(report, 0, sizeof(*report));
	n = recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	report->has_echo = n == sizeof(report->echo);
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		const size_t len = c->cmsg_len - CMSG_LEN(0);

		if (is_error(c) && len >= sizeof(report->ee))
			memcpy(report, CMSG_DATA(c), RTE_MIN(len, offsetof(struct report, echo)));
	}
	return 0;
}

/** ICMPv6 sums the addresses up, too (RFC 4443, 2.3): take them out. @return false: unknown */
static bool
strip_addresses(const struct bridge_rec *r, struct icmphdr *echo)
{
	struct sockaddr_in6 self = { 0 };
	socklen_t len = sizeof(self);
	uint32_t sum;

	if (getsockname(r->fd, (struct sockaddr *)&self, &len) < 0)
		return false;
	sum = __rte_raw_cksum(&self.sin6_addr, sizeof(self.sin6_addr), 0);
	sum = __rte_raw_cksum(r->dgram.peer.b, sizeof(r->dgram.peer.b), sum);
	sum = (uint16_t)~echo->checksum + (uint32_t)(uint16_t)~__rte_raw_cksum_reduce(sum);
	echo->checksum = (uint16_t)~__rte_raw_cksum_reduce(sum);
	return true;
}

/** What failed, where the kernel tells it: of UDP it does not show the header. */
static void
tell_echo(const struct bridge_rec *r, struct l4x_event *ev, struct report *report)
{
	if (r->kind != BRIDGE_PING || !report->has_echo)
		return;
	if (!flowtab_addr_is_v4(&r->dgram.peer) && !strip_addresses(r, &report->echo))
		return;
	ev->error.has_echo = 1;
	memcpy(ev->error.echo, &report->echo, sizeof(ev->error.echo));
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
		tell_echo(r, ev, &report);
	}
	return told;
}
