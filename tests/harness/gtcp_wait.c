/* SPDX-License-Identifier: BSD-3-Clause */
/* The calls of a TCP endpoint that wait. */
#include "gtcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Pump until done() or the time is over. */
static bool
wait_for(struct gtcp *c, bool (*done)(const struct gtcp *), int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	while (!done(c)) {
		uint64_t now = vhu_now_ms();
		int rc;

		if (now >= deadline)
			return false;
		rc = guest_pump(c->g, deadline - now > 50 ? 50 : (int)(deadline - now));
		if (rc < 0)
			return done(c);
		gtcp_tick(c);
	}
	return true;
}

static bool
is_unreachable(const struct pkt_view *v, void *arg)
{
	const struct gtcp *c = arg;
	size_t head = c->remote.len == 16 ? 40 : 20;

	if (v->proto == IPPROTO_ICMP ? v->icmp_type != 3
				     : v->proto != IPPROTO_ICMPV6 || v->icmp_type != 1)
		return false;
	return v->data_len >= head + 4 && pkt_get16(v->data + head) == c->lport;
}

static bool
is_answered(const struct gtcp *c)
{
	return c->established || c->reset_received;
}

int
gtcp_connect(struct gtcp *c, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
	c->snd_nxt = c->iss + 1;
	for (;;) {
		struct guest_frame *f;
		uint64_t now = vhu_now_ms();

		if (is_answered(c))
			return c->reset_received ? -ECONNREFUSED : 0;
		f = guest_wait(c->g, is_unreachable, c, 0);
		if (f != NULL) {
			free(f);
			return -EHOSTUNREACH;
		}
		if (now >= deadline)
			return -ETIMEDOUT;
		/* guest_wait() may have taken the answer: do not wait for another frame for long.
		 */
		if (!is_answered(c) && guest_pump(c->g, 10) < 0)
			return -EPROTO;
	}
}

struct gtcp *
gtcp_open(struct guest *g, const char *remote, uint16_t rport)
{
	struct pkt_addr to = pkt_addr(remote);
	struct gtcp *c = gtcp_new(g, &to, rport, 0);
	int rc = c != NULL ? gtcp_connect(c, GUEST_TIMEOUT_MS) : -ENOMEM;

	if (rc < 0) {
		gtcp_free(c);
		errno = -rc;
		return NULL;
	}
	return c;
}

struct port_match {
	uint16_t port;
};

static bool
is_syn_to(const struct pkt_view *v, void *arg)
{
	const struct port_match *m = arg;

	return v->proto == IPPROTO_TCP && v->dport == m->port &&
		(v->tcp.flags & (PKT_SYN | PKT_ACK)) == PKT_SYN;
}

struct gtcp *
gtcp_accept_syn(struct guest *g, uint16_t lport, int timeout_ms)
{
	struct port_match m = { lport };
	struct guest_frame *f = guest_wait(g, is_syn_to, &m, timeout_ms);
	struct gtcp *c;

	if (f == NULL)
		return NULL;
	c = gtcp_new(g, &f->view.src, f->view.sport, lport);
	if (c != NULL) {
		const struct pkt_tcp *t = &f->view.tcp;

		c->local = f->view.dst;
		c->listening = true;
		c->syn = *t;
		c->syn.options = NULL;
		c->irs = t->seq;
		c->rcv_nxt = c->rcv_edge = t->seq + 1;
		c->offered_scale = t->wscale >= 0;
		c->snd_scale = c->offered_scale ? (uint8_t)t->wscale : 0;
		c->snd_mss = t->mss != 0 ? t->mss : 536;
		if (c->mss < c->snd_mss)
			c->snd_mss = c->mss;
		c->snd_wnd = t->win;
	}
	free(f);
	return c;
}

struct gtcp *
gtcp_accept(struct guest *g, uint16_t lport, int timeout_ms)
{
	struct gtcp *c = gtcp_accept_syn(g, lport, timeout_ms);

	if (c == NULL)
		return NULL;
	gtcp_segment(c, PKT_SYN | PKT_ACK, c->iss, NULL, 0);
	c->snd_nxt = c->iss + 1;
	if (!wait_for(c, is_answered, timeout_ms) || c->reset_received) {
		gtcp_free(c);
		return NULL;
	}
	return c;
}

static bool
all_acked(const struct gtcp *c)
{
	return c->n_unacked == 0 || c->reset_received;
}

static bool
has_input(const struct gtcp *c)
{
	return c->n_in != 0 || c->fin_received || c->reset_received;
}

static bool
has_fin(const struct gtcp *c)
{
	return c->fin_received || c->reset_received;
}

static bool
has_reset(const struct gtcp *c)
{
	return c->reset_received;
}

static bool
fin_is_acked(const struct gtcp *c)
{
	return c->fin_acked || c->reset_received;
}

int
gtcp_send(struct gtcp *c, const void *data, size_t len, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	const uint8_t *p = data;

	while (len != 0) {
		size_t n = gtcp_write(c, p, len);

		p += n;
		len -= n;
		if (c->reset_received)
			return -ECONNRESET;
		if (vhu_now_ms() >= deadline)
			return -ETIMEDOUT;
		if (len != 0 && guest_pump(c->g, 10) < 0)
			return -EPROTO;
		gtcp_tick(c);
	}
	if (!wait_for(c, all_acked, timeout_ms))
		return -ETIMEDOUT;
	return c->reset_received ? -ECONNRESET : 0;
}

ssize_t
gtcp_recv(struct gtcp *c, void *buf, size_t len, int timeout_ms)
{
	size_t n;

	if (!wait_for(c, has_input, timeout_ms))
		return -ETIMEDOUT;
	if (c->n_in == 0)
		return c->reset_received ? -ECONNRESET : 0;
	n = len < c->n_in ? len : c->n_in;
	memcpy(buf, c->in, n);
	memmove(c->in, c->in + n, c->n_in - n);
	c->n_in -= n;
	return (ssize_t)n;
}

int
gtcp_recv_all(struct gtcp *c, void *buf, size_t len, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	uint8_t *p = buf;

	while (len != 0) {
		uint64_t now = vhu_now_ms();
		ssize_t n = gtcp_recv(c, p, len, now < deadline ? (int)(deadline - now) : 0);

		if (n <= 0)
			return n == 0 ? -EPIPE : (int)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

bool
gtcp_wait_fin(struct gtcp *c, int timeout_ms)
{
	return wait_for(c, has_fin, timeout_ms) && c->fin_received;
}

bool
gtcp_wait_reset(struct gtcp *c, int timeout_ms)
{
	return wait_for(c, has_reset, timeout_ms);
}

bool
gtcp_wait_fin_acked(struct gtcp *c, int timeout_ms)
{
	return wait_for(c, fin_is_acked, timeout_ms) && c->fin_acked;
}

bool
gtcp_wait_acked(struct gtcp *c, int timeout_ms)
{
	return wait_for(c, all_acked, timeout_ms) && !c->reset_received;
}
