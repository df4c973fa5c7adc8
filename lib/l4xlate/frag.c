/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#include <rte_malloc.h>

/*
 * librte_ip_frag takes 8 fragments a packet and does not look for overlaps, so the store is our
 * own. Limits: 15 s; 1000 mbufs in all, so that it cannot empty the frame pool. When it is full,
 * the oldest datagram of the guest that holds most goes, so that nobody can shut others out.
 * Fragments are copied in: guest memory is never held back.
 */
#define FRAG_TIMEOUT_US 15000000ULL
#define FRAG_MAX 1000
#define FRAG_DATAGRAMS 64
/** Largest part in front of the fragments that is kept: L2, L3, extension headers. */
#define FRAG_HEAD_MAX L4X_HEAD_BYTES
#define FRAG_NONE UINT16_MAX

#define ICMP_TIME 11
#define ICMP6_TIME 3
#define TIME_REASSEMBLY 1

struct piece {
	struct rte_mbuf *m; /**< the fragment's payload */
	uint16_t off, len;
	uint16_t next; /**< in the order of offsets; or in the free list */
};

struct datagram {
	bool used;
	bool poisoned; /**< overlapped: nothing of it will be taken (RFC 5722) */
	bool silent;   /**< its sender is not told that it was never completed */
	bool v4;
	uint16_t pif;
	uint8_t proto, queue;
	uint32_t id;
	struct flowtab_addr src, dst;
	uint64_t deadline_us;
	uint16_t first; /**< piece */
	uint16_t mbufs;
	uint32_t bytes;    /**< there */
	uint32_t total;    /**< 0 until the last fragment came */
	uint16_t head_len; /**< 0 until the first fragment came */
	uint16_t next_at;  /**< IPv6: where in head the type of the fragment header is written */
	uint64_t ol_flags;
	uint8_t head[FRAG_HEAD_MAX]; /**< IPv6: and the fragment header */
};

struct l4x_frags {
	uint64_t next_us;
	uint32_t mbufs;
	uint16_t free;
	uint16_t port_mbufs[L4X_MAX_PIFS];
	uint16_t port_datagrams[L4X_MAX_PIFS];
	struct datagram datagrams[FRAG_DATAGRAMS];
	struct piece pieces[FRAG_MAX];
};

struct l4x_frags *
l4x_frags_create(int socket_id)
{
	struct l4x_frags *f = rte_zmalloc_socket("l4x_frags", sizeof(*f), 0, socket_id);

	if (f == NULL)
		return NULL;
	f->next_us = UINT64_MAX;
	for (unsigned int i = 0; i < FRAG_MAX; i++)
		f->pieces[i].next = i + 1 < FRAG_MAX ? i + 1 : FRAG_NONE;
	return f;
}

static void
pieces_free(struct l4x_frags *f, struct datagram *d)
{
	while (d->first != FRAG_NONE) {
		struct piece *pc = &f->pieces[d->first];
		uint16_t next = pc->next;

		rte_pktmbuf_free(pc->m);
		pc->m = NULL;
		pc->next = f->free;
		f->free = d->first;
		d->first = next;
	}
	f->mbufs -= d->mbufs;
	f->port_mbufs[d->pif] -= d->mbufs;
	d->mbufs = 0;
	d->bytes = 0;
}

static void
datagram_free(struct l4x_frags *f, struct datagram *d)
{
	pieces_free(f, d);
	f->port_datagrams[d->pif]--;
	d->used = false;
}

void
l4x_frags_destroy(struct l4x_frags *f)
{
	if (f == NULL)
		return;
	for (unsigned int i = 0; i < FRAG_DATAGRAMS; i++) {
		if (f->datagrams[i].used)
			datagram_free(f, &f->datagrams[i]);
	}
	rte_free(f);
}

/** RFC 791, 3.2: IPv4's identification counts per protocol; RFC 8200, 4.5: IPv6's does not. */
static bool
datagram_is(const struct datagram *d, const struct l4x_pkt *p)
{
	return d->used && d->pif == p->port->conf.pif && d->id == p->frag_id && d->v4 == p->v4 &&
		(!p->v4 || d->proto == p->proto) && flowtab_addr_eq(&d->src, &p->tuple.eaddr) &&
		flowtab_addr_eq(&d->dst, &p->tuple.oaddr);
}

/**
 * Give up the oldest datagram of the port that holds most.
 * @param held what each port holds of what is scarce
 * @param pif  who needs it: of those that hold most, the first to pay
 * @param keep is not given up; NULL: none
 * @return where it was, or NULL: there is nothing to give up
 */
static struct datagram *
evict(struct l4x *l, const uint16_t held[], uint16_t pif, const struct datagram *keep)
{
	struct datagram *all = l->frags->datagrams, *oldest = NULL;
	uint16_t most = held[pif];

	for (unsigned int i = 0; i < FRAG_DATAGRAMS; i++) {
		if (all[i].used)
			most = RTE_MAX(most, held[all[i].pif]);
	}
	for (unsigned int i = 0; i < FRAG_DATAGRAMS; i++) {
		struct datagram *d = &all[i];

		if (!d->used || d == keep || held[d->pif] != most ||
			(held[pif] == most && d->pif != pif))
			continue;
		if (oldest == NULL || d->deadline_us < oldest->deadline_us)
			oldest = d;
	}
	if (oldest != NULL) {
		l4x_count(l, L4X_DROP_FRAG_FULL);
		datagram_free(l->frags, oldest);
	}
	return oldest;
}

/** The datagram that the fragment belongs to; a new one if there is none. */
static struct datagram *
datagram_find(struct l4x *l, const struct l4x_pkt *p)
{
	struct l4x_frags *f = l->frags;
	uint16_t pif = p->port->conf.pif;
	struct datagram *d = NULL;

	for (unsigned int i = 0; i < FRAG_DATAGRAMS; i++) {
		if (datagram_is(&f->datagrams[i], p))
			return &f->datagrams[i];
		if (!f->datagrams[i].used)
			d = &f->datagrams[i];
	}
	if (d == NULL)
		d = evict(l, f->port_datagrams, pif, NULL);
	f->port_datagrams[pif]++;
	memset(d, 0, offsetof(struct datagram, head));
	d->used = true;
	d->v4 = p->v4;
	d->pif = pif;
	d->proto = p->proto;
	d->queue = p->queue;
	d->id = p->frag_id;
	d->src = p->tuple.eaddr;
	d->dst = p->tuple.oaddr;
	d->first = FRAG_NONE;
	d->deadline_us = l->now_us + FRAG_TIMEOUT_US;
	d->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN;
	f->next_us = RTE_MIN(f->next_us, d->deadline_us);
	return d;
}

/** Where a piece goes: behind *prev. False: it overlaps, or lies past the end. */
static bool
piece_fits(const struct l4x_frags *f, const struct datagram *d, uint32_t off, uint32_t len,
	bool more, uint16_t *prev)
{
	uint16_t at = d->first;
	uint32_t end = off + len;

	*prev = FRAG_NONE;
	while (at != FRAG_NONE && f->pieces[at].off < off) {
		*prev = at;
		at = f->pieces[at].next;
	}
	if (*prev != FRAG_NONE && f->pieces[*prev].off + f->pieces[*prev].len > off)
		return false;
	if (at != FRAG_NONE && f->pieces[at].off < end)
		return false;
	/* Behind the last one there is nothing, and there is one last only. */
	if (more)
		return d->total == 0 || end < d->total;
	return at == FRAG_NONE && d->total == 0;
}

/** The headers of the first fragment are those of the datagram. */
static bool
keep_head(struct datagram *d, const struct l4x_pkt *p)
{
	const uint8_t *frame = rte_pktmbuf_mtod(p->m, const uint8_t *);
	uint16_t len = p->v4 ? p->l4_off : p->frag_hdr;

	if (p->l4_off > sizeof(d->head))
		return false;
	memcpy(d->head, frame, p->l4_off);
	d->head_len = len;
	d->silent = l4x_icmp_error_forbidden(p, p->v4 ? ICMP_TIME : ICMP6_TIME, TIME_REASSEMBLY);
	d->proto = p->proto;
	return true;
}

/** Something, in units of 8 bytes but at the end, inside of a packet. */
static bool
piece_ok(const struct l4x_pkt *p)
{
	return p->l4_len > 0 && (!p->frag_more || p->l4_len % 8 == 0) &&
		p->frag_off + p->l4_len <= UINT16_MAX;
}

static int
piece_add(struct l4x *l, struct datagram *d, struct l4x_pkt *p)
{
	struct l4x_frags *f = l->frags;
	uint32_t end = (uint32_t)p->frag_off + p->l4_len;
	struct rte_mbuf *m;
	struct piece *pc;
	uint16_t prev, i;

	if (d->poisoned)
		return L4X_DROP_FRAG_BAD;
	if (!piece_fits(f, d, p->frag_off, p->l4_len, p->frag_more, &prev) ||
		(p->frag_off == 0 && !keep_head(d, p))) {
		d->poisoned = true;
		pieces_free(f, d);
		return L4X_DROP_FRAG_BAD;
	}
	while (f->free == FRAG_NONE || f->mbufs >= FRAG_MAX) {
		if (evict(l, f->port_mbufs, d->pif, d) == NULL)
			return L4X_DROP_FRAG_FULL;
	}
	m = rte_pktmbuf_copy(p->m, l->pool, p->l4_off, p->l4_len);
	if (m == NULL)
		return L4X_DROP_NO_MBUF;
	i = f->free;
	pc = &f->pieces[i];
	f->free = pc->next;
	pc->m = m;
	pc->off = p->frag_off;
	pc->len = (uint16_t)p->l4_len;
	pc->next = prev == FRAG_NONE ? d->first : f->pieces[prev].next;
	if (prev == FRAG_NONE)
		d->first = i;
	else
		f->pieces[prev].next = i;
	f->mbufs += m->nb_segs;
	f->port_mbufs[d->pif] += m->nb_segs;
	d->mbufs += m->nb_segs;
	d->bytes += p->l4_len;
	if (!p->frag_more)
		d->total = end;
	return L4X_PKT_OK;
}

/** The header as if there had been no fragments. 0, or -1: larger than a packet can be. */
static int
head_finish(struct datagram *d)
{
	uint8_t *l3 = d->head + L4X_ETH_LEN;
	uint32_t len = d->head_len - L4X_ETH_LEN + d->total;

	if (d->v4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)l3;

		if (len > UINT16_MAX)
			return -1;
		ip->total_length = rte_cpu_to_be_16((uint16_t)len);
		ip->fragment_offset = 0;
		ip->hdr_checksum = 0;
		ip->hdr_checksum = (rte_be16_t)~rte_raw_cksum(ip, d->head_len - L4X_ETH_LEN);
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)l3;

		len -= L4X_IP6_LEN;
		if (len > UINT16_MAX)
			return -1;
		ip->payload_len = rte_cpu_to_be_16((uint16_t)len);
		d->head[d->next_at] = d->head[d->head_len];
	}
	return 0;
}

/** Append len bytes to the chain, in the room of its last segment or in new ones. */
static int
chain_append(struct l4x *l, struct rte_mbuf *head, struct rte_mbuf **last, const uint8_t *data,
	uint32_t len)
{
	while (len > 0) {
		uint32_t n = RTE_MIN((uint32_t)rte_pktmbuf_tailroom(*last), len);

		if (n == 0) {
			struct rte_mbuf *m = l4x_mbuf(l);

			if (m == NULL)
				return -1;
			(*last)->next = m;
			*last = m;
			head->nb_segs++;
			continue;
		}
		memcpy(rte_pktmbuf_mtod_offset(*last, uint8_t *, (*last)->data_len), data, n);
		(*last)->data_len += (uint16_t)n;
		head->pkt_len += n;
		data += n;
		len -= n;
	}
	return 0;
}

/** All there: one frame, headers in one piece. Copied, so the pieces' odd sizes end here. */
static struct rte_mbuf *
assemble(struct l4x *l, struct datagram *d)
{
	struct rte_mbuf *m, *last;

	if (head_finish(d) < 0) {
		l4x_count(l, L4X_DROP_FRAG_BAD);
		return NULL;
	}
	m = l4x_mbuf(l);
	if (m == NULL)
		return NULL;
	last = m;
	/* The guest lets it travel in pieces: see l4x_dgram_how(). Survives a hand-over. */
	m->packet_type = RTE_PTYPE_L4_FRAG;
	if (chain_append(l, m, &last, d->head, d->head_len) < 0)
		goto fail;
	for (uint16_t i = d->first; i != FRAG_NONE; i = l->frags->pieces[i].next) {
		for (const struct rte_mbuf *s = l->frags->pieces[i].m; s != NULL; s = s->next) {
			if (chain_append(l, m, &last, rte_pktmbuf_mtod(s, const uint8_t *),
				    s->data_len) < 0)
				goto fail;
		}
	}
	return m;
fail:
	rte_pktmbuf_free(m);
	return NULL;
}

/** IPv6: where the type of the fragment header stands, in the header before it. */
static uint16_t
next_header_at(const struct l4x_pkt *p)
{
	const uint8_t *frame = rte_pktmbuf_mtod(p->m, const uint8_t *);
	uint16_t at = p->l3_off + 6, off = p->l3_off + L4X_IP6_LEN;

	while (off < p->frag_hdr) {
		at = off;
		off = (uint16_t)(off + 8 + 8 * frame[off + 1]);
	}
	return at;
}

struct rte_mbuf *
l4x_frag_rx(struct l4x *l, struct l4x_pkt *p)
{
	struct rte_mbuf *whole = NULL;
	struct datagram *d;
	int why;

	if (!piece_ok(p)) {
		l4x_drop(l, p->m, L4X_DROP_FRAG_BAD);
		return NULL;
	}
	d = datagram_find(l, p);
	if (!p->v4 && p->frag_off == 0)
		d->next_at = next_header_at(p);
	why = piece_add(l, d, p);
	if (why != L4X_PKT_OK) {
		/* What began with nothing but a bad fragment takes no place in the store. */
		if (d->first == FRAG_NONE && !d->poisoned)
			datagram_free(l->frags, d);
		l4x_drop(l, p->m, (enum l4x_counter)why);
		return NULL;
	}
	rte_pktmbuf_free(p->m);
	if (d->total != 0 && d->bytes == d->total && d->head_len != 0) {
		whole = assemble(l, d);
		datagram_free(l->frags, d);
	}
	return whole;
}

/** RFC 792 and RFC 8200, 4.5: the sender is told if the first fragment is there. */
static void
time_exceeded(struct l4x *l, const struct datagram *d)
{
	struct l4x_port *port = l4x_port(l, d->pif);
	uint8_t quote[FRAG_HEAD_MAX + 8];
	uint32_t len = d->head_len - L4X_ETH_LEN + (d->v4 ? 0 : L4X_FRAG6_LEN);
	const struct piece *pc;

	if (port == NULL || !port->up || d->poisoned || d->head_len == 0 || d->silent ||
		d->first == FRAG_NONE)
		return;
	pc = &l->frags->pieces[d->first];
	memcpy(quote, d->head + L4X_ETH_LEN, len);
	if (pc->off == 0 && rte_pktmbuf_data_len(pc->m) >= 8) {
		memcpy(quote + len, rte_pktmbuf_mtod(pc->m, const void *), 8);
		len += 8;
	}
	l4x_icmp_error(l, port, d->queue, d->v4, d->v4 ? ICMP_TIME : ICMP6_TIME, TIME_REASSEMBLY, 0,
		NULL, quote, len);
}

void
l4x_frags_expire(struct l4x *l)
{
	struct l4x_frags *f = l->frags;
	uint64_t next = UINT64_MAX;

	for (unsigned int i = 0; i < FRAG_DATAGRAMS; i++) {
		struct datagram *d = &f->datagrams[i];

		if (!d->used)
			continue;
		if (d->deadline_us > l->now_us) {
			next = RTE_MIN(next, d->deadline_us);
			continue;
		}
		l4x_count(l, L4X_DROP_FRAG_TIMEOUT);
		time_exceeded(l, d);
		datagram_free(f, d);
	}
	f->next_us = next;
}

uint64_t
l4x_frags_next_us(const struct l4x_frags *f)
{
	return f->next_us;
}

void
l4x_frags_flush(struct l4x *l, uint16_t pif)
{
	for (unsigned int i = 0; i < FRAG_DATAGRAMS; i++) {
		struct datagram *d = &l->frags->datagrams[i];

		if (d->used && d->pif == pif)
			datagram_free(l->frags, d);
	}
}
