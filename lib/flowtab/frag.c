/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtab_frag.h"

#include <assert.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "flowtab_zone.h"

#define NONE UINT16_MAX
#define IP6_LEN 40
#define IP6_NEXT 6
#define FRAG6_LEN 8
#define NEXT_AH 51

struct piece {
	struct rte_mbuf *m; /**< the fragment's payload */
	uint16_t off, len;
	uint16_t next; /**< in the order of offsets; or in the free list */
};

struct datagram {
	bool used;
	bool poisoned; /**< overlapped: nothing of it will be taken */
	bool silent;   /**< its sender is not told that it was never completed */
	bool v4;
	uint8_t proto;
	uint16_t pif, zone, cookie;
	uint32_t id;
	struct flowtab_addr src, dst;
	uint64_t deadline_ms;
	uint16_t first; /**< piece */
	uint16_t mbufs;
	uint32_t bytes;    /**< there */
	uint32_t total;    /**< 0 until the last fragment came */
	uint16_t head_len; /**< 0 until the first fragment came */
	uint16_t l3_off;
	uint16_t next_at; /**< IPv6: where in head the type of the fragment header is written */
	uint8_t head[FLOWTAB_FRAG_HEAD]; /**< IPv6: and the fragment header */
};

/** What can be scarce, and who holds how much of it. */
enum scarce {
	MBUFS,
	DATAGRAMS,
	SCARCE,
};

struct held {
	uint16_t n[SCARCE];
};

struct flowtab_frags {
	struct rte_mempool *pool;
	uint64_t next_ms;
	uint32_t mbufs;
	uint16_t max_mbufs, max_zone_mbufs;
	uint16_t free;
	struct held ports[FLOWTAB_MAX_PIFS];
	struct held zones[FLOWTAB_ZONES];
	struct datagram datagrams[FLOWTAB_FRAG_DATAGRAMS];
	struct piece pieces[]; /**< max_mbufs */
};

struct flowtab_frags *
flowtab_frags_create(const struct flowtab_frags_params *p)
{
	uint16_t max = p->max_mbufs != 0 ? p->max_mbufs : FLOWTAB_FRAG_MBUFS;
	struct flowtab_frags *f;

	if (p->pool == NULL || max == NONE) {
		rte_errno = EINVAL;
		return NULL;
	}
	f = rte_zmalloc_socket("flowtab_frags", sizeof(*f) + max * sizeof(f->pieces[0]),
		RTE_CACHE_LINE_SIZE, p->socket_id);
	if (f == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	f->pool = p->pool;
	f->next_ms = UINT64_MAX;
	f->max_mbufs = max;
	f->max_zone_mbufs = p->max_zone_mbufs != 0 ? p->max_zone_mbufs : UINT16_MAX;
	for (uint16_t i = 0; i < max; i++)
		f->pieces[i].next = i + 1 < max ? i + 1 : NONE;
	return f;
}

static void
hold(struct flowtab_frags *f, const struct datagram *d, enum scarce what, int n)
{
	f->ports[d->pif].n[what] += n;
	f->zones[d->zone].n[what] += n;
}

static void
pieces_free(struct flowtab_frags *f, struct datagram *d)
{
	while (d->first != NONE) {
		struct piece *pc = &f->pieces[d->first];
		uint16_t next = pc->next;

		rte_pktmbuf_free(pc->m);
		pc->m = NULL;
		pc->next = f->free;
		f->free = d->first;
		d->first = next;
	}
	f->mbufs -= d->mbufs;
	hold(f, d, MBUFS, -d->mbufs);
	d->mbufs = 0;
	d->bytes = 0;
}

static void
datagram_free(struct flowtab_frags *f, struct datagram *d)
{
	pieces_free(f, d);
	hold(f, d, DATAGRAMS, -1);
	d->used = false;
}

void
flowtab_frags_destroy(struct flowtab_frags *f)
{
	if (f == NULL)
		return;
	for (unsigned int i = 0; i < FLOWTAB_FRAG_DATAGRAMS; i++) {
		if (f->datagrams[i].used)
			datagram_free(f, &f->datagrams[i]);
	}
	rte_free(f);
}

/** RFC 791, 3.2: IPv4's identification counts per protocol; RFC 8200, 4.5: IPv6's does not. */
static bool
datagram_is(const struct datagram *d, const struct flowtab_frag *p)
{
	return d->used && d->id == p->id && d->pif == p->pif && d->zone == p->zone &&
		d->v4 == p->v4 && (!p->v4 || d->proto == p->proto) &&
		flowtab_addr_eq(&d->src, &p->src) && flowtab_addr_eq(&d->dst, &p->dst);
}

/**
 * Who pays: by what the zone holds, then by what the port does. Of those that hold the same, who
 * needs it.
 */
static uint64_t
rank(const struct flowtab_frags *f, enum scarce what, uint16_t zone, uint16_t pif,
	const struct flowtab_frag *needs)
{
	uint32_t z = f->zones[zone].n[what] * 2U + (zone == needs->zone);
	uint32_t p = f->ports[pif].n[what] * 2U + (pif == needs->pif);

	return (uint64_t)z << 32 | p;
}

/**
 * Give up the oldest datagram of whoever holds most, but of nobody who holds less than who needs
 * it.
 * @param keep is not given up; NULL: none
 * @return where it was, or NULL: there is nothing to give up
 */
static struct datagram *
evict(struct flowtab_frags *f, enum scarce what, const struct flowtab_frag *needs,
	const struct datagram *keep)
{
	uint64_t most = rank(f, what, needs->zone, needs->pif, needs);
	struct datagram *oldest = NULL;

	for (unsigned int i = 0; i < FLOWTAB_FRAG_DATAGRAMS; i++) {
		struct datagram *d = &f->datagrams[i];
		uint64_t r;

		if (!d->used || d == keep)
			continue;
		r = rank(f, what, d->zone, d->pif, needs);
		if (r > most || (r == most && oldest == NULL) ||
			(r == most && d->deadline_ms < oldest->deadline_ms)) {
			most = r;
			oldest = d;
		}
	}
	if (oldest != NULL)
		datagram_free(f, oldest);
	return oldest;
}

/** The datagram that the fragment belongs to; a new one if there is none. */
static struct datagram *
datagram_find(
	struct flowtab_frags *f, const struct flowtab_frag *p, uint64_t now_ms, uint32_t *evicted)
{
	struct datagram *d = NULL;

	for (unsigned int i = 0; i < FLOWTAB_FRAG_DATAGRAMS; i++) {
		if (datagram_is(&f->datagrams[i], p))
			return &f->datagrams[i];
		if (!f->datagrams[i].used)
			d = &f->datagrams[i];
	}
	if (d == NULL) {
		d = evict(f, DATAGRAMS, p, NULL);
		assert(d != NULL);
		(*evicted)++;
	}
	memset(d, 0, offsetof(struct datagram, head));
	d->used = true;
	d->v4 = p->v4;
	d->pif = p->pif;
	d->zone = p->zone;
	d->cookie = p->cookie;
	d->proto = p->proto;
	d->id = p->id;
	d->src = p->src;
	d->dst = p->dst;
	d->first = NONE;
	d->deadline_ms = now_ms + FLOWTAB_FRAG_MS;
	hold(f, d, DATAGRAMS, 1);
	f->next_ms = RTE_MIN(f->next_ms, d->deadline_ms);
	return d;
}

/** Where a piece goes: behind *prev. False: it overlaps, or lies past the end. */
static bool
piece_fits(const struct flowtab_frags *f, const struct datagram *d, uint32_t off, uint32_t len,
	bool more, uint16_t *prev)
{
	uint16_t at = d->first;
	uint32_t end = off + len;

	*prev = NONE;
	while (at != NONE && f->pieces[at].off < off) {
		*prev = at;
		at = f->pieces[at].next;
	}
	if (*prev != NONE && f->pieces[*prev].off + f->pieces[*prev].len > off)
		return false;
	if (at != NONE && f->pieces[at].off < end)
		return false;
	/* Behind the last one there is nothing, and there is one last only. */
	if (more)
		return d->total == 0 || end < d->total;
	return at == NONE && d->total == 0;
}

/** IPv6: where the type of the fragment header stands, in the header before it. */
static uint16_t
next_header_at(const struct flowtab_frag *p, const uint8_t *frame)
{
	uint16_t at = p->l3_off + IP6_NEXT, off = p->l3_off + IP6_LEN;

	while (off < p->hdr_off) {
		uint8_t type = frame[at];

		at = off;
		off = (uint16_t)(off + 8 + (type == NEXT_AH ? 4 : 8) * frame[off + 1]);
	}
	return at;
}

/** The headers of the first fragment are those of the datagram. */
static bool
keep_head(struct datagram *d, const struct flowtab_frag *p)
{
	const uint8_t *frame = rte_pktmbuf_mtod(p->m, const uint8_t *);

	if (p->l4_off > sizeof(d->head))
		return false;
	memcpy(d->head, frame, p->l4_off);
	d->head_len = p->v4 ? p->l4_off : p->hdr_off;
	d->l3_off = p->l3_off;
	d->silent = p->silent;
	if (!p->v4)
		d->next_at = next_header_at(p, frame);
	return true;
}

/** Something, in units of 8 bytes but at the end, inside of a packet. */
static bool
piece_ok(const struct flowtab_frag *p)
{
	return p->l4_len > 0 && (!p->more || p->l4_len % 8 == 0) &&
		p->off + p->l4_len <= UINT16_MAX;
}

/** Make room for one more piece. A zone at its limit holds most: it pays for itself. */
static bool
make_room(struct flowtab_frags *f, const struct datagram *d, const struct flowtab_frag *p,
	uint32_t *evicted)
{
	while (f->free == NONE || f->mbufs >= f->max_mbufs ||
		f->zones[d->zone].n[MBUFS] >= f->max_zone_mbufs) {
		if (evict(f, MBUFS, p, d) == NULL)
			return false;
		(*evicted)++;
	}
	return true;
}

static enum flowtab_frag_reason
piece_add(struct flowtab_frags *f, struct datagram *d, const struct flowtab_frag *p,
	uint32_t *evicted)
{
	struct rte_mbuf *m;
	struct piece *pc;
	uint16_t prev, i;

	if (d->poisoned)
		return FLOWTAB_FRAG_BAD;
	if (!piece_fits(f, d, p->off, p->l4_len, p->more, &prev) ||
		(p->off == 0 && !keep_head(d, p))) {
		d->poisoned = true;
		pieces_free(f, d);
		return FLOWTAB_FRAG_BAD;
	}
	if (!make_room(f, d, p, evicted))
		return FLOWTAB_FRAG_FULL;
	m = rte_pktmbuf_copy(p->m, f->pool, p->l4_off, p->l4_len);
	if (m == NULL)
		return FLOWTAB_FRAG_NO_MBUF;
	i = f->free;
	pc = &f->pieces[i];
	f->free = pc->next;
	pc->m = m;
	pc->off = p->off;
	pc->len = (uint16_t)p->l4_len;
	pc->next = prev == NONE ? d->first : f->pieces[prev].next;
	if (prev == NONE)
		d->first = i;
	else
		f->pieces[prev].next = i;
	f->mbufs += m->nb_segs;
	hold(f, d, MBUFS, m->nb_segs);
	d->mbufs += m->nb_segs;
	d->bytes += p->l4_len;
	if (!p->more)
		d->total = p->off + p->l4_len;
	return FLOWTAB_FRAG_OK;
}

/** The header as if there had been no fragments. False: larger than a packet can be. */
static bool
head_finish(struct datagram *d)
{
	uint8_t *l3 = d->head + d->l3_off;
	uint32_t len = d->head_len - d->l3_off + d->total;

	if (d->v4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)l3;

		if (len > UINT16_MAX)
			return false;
		ip->total_length = rte_cpu_to_be_16((uint16_t)len);
		ip->fragment_offset = 0;
		ip->hdr_checksum = 0;
		ip->hdr_checksum = (rte_be16_t)~rte_raw_cksum(ip, d->head_len - d->l3_off);
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)l3;

		len -= IP6_LEN;
		if (len > UINT16_MAX)
			return false;
		ip->payload_len = rte_cpu_to_be_16((uint16_t)len);
		d->head[d->next_at] = d->head[d->head_len];
	}
	return true;
}

/** Append len bytes to the chain, in the room of its last segment or in new ones. */
static bool
chain_append(struct flowtab_frags *f, struct rte_mbuf *head, struct rte_mbuf **last,
	const uint8_t *data, uint32_t len)
{
	while (len > 0) {
		uint32_t n = RTE_MIN((uint32_t)rte_pktmbuf_tailroom(*last), len);

		if (n == 0) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(f->pool);

			if (m == NULL)
				return false;
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
	return true;
}

/** All there: one packet, headers in one piece. Copied, so the pieces' odd sizes end here. */
static enum flowtab_frag_reason
assemble(struct flowtab_frags *f, struct datagram *d, struct rte_mbuf **whole)
{
	struct rte_mbuf *m, *last;
	bool ok;

	if (!head_finish(d))
		return FLOWTAB_FRAG_BAD;
	m = rte_pktmbuf_alloc(f->pool);
	if (m == NULL)
		return FLOWTAB_FRAG_NO_MBUF;
	last = m;
	ok = chain_append(f, m, &last, d->head, d->head_len);
	for (uint16_t i = d->first; ok && i != NONE; i = f->pieces[i].next) {
		for (const struct rte_mbuf *s = f->pieces[i].m; ok && s != NULL; s = s->next)
			ok = chain_append(
				f, m, &last, rte_pktmbuf_mtod(s, const uint8_t *), s->data_len);
	}
	if (!ok) {
		rte_pktmbuf_free(m);
		return FLOWTAB_FRAG_NO_MBUF;
	}
	*whole = m;
	return FLOWTAB_FRAG_OK;
}

enum flowtab_frag_reason
flowtab_frags_add(struct flowtab_frags *f, const struct flowtab_frag *p, uint64_t now_ms,
	struct rte_mbuf **whole, uint32_t *evicted)
{
	enum flowtab_frag_reason why;
	struct datagram *d;

	*whole = NULL;
	*evicted = 0;
	assert(p->pif < FLOWTAB_MAX_PIFS);
	if (!piece_ok(p))
		return FLOWTAB_FRAG_BAD;
	d = datagram_find(f, p, now_ms, evicted);
	why = piece_add(f, d, p, evicted);
	if (why != FLOWTAB_FRAG_OK) {
		/* What began with nothing but a bad fragment takes no place in the store. */
		if (d->first == NONE && !d->poisoned)
			datagram_free(f, d);
		return why;
	}
	if (d->total != 0 && d->bytes == d->total && d->head_len != 0) {
		why = assemble(f, d, whole);
		datagram_free(f, d);
	}
	return why;
}

/** RFC 792 and RFC 8200, 4.5: the sender is told if the first fragment is there. */
static void
quote(const struct flowtab_frags *f, const struct datagram *d, struct flowtab_frag_late *late)
{
	uint32_t len = d->head_len - d->l3_off + (d->v4 ? 0 : FRAG6_LEN);
	const struct piece *pc;

	late->quote_len = 0;
	if (d->poisoned || d->head_len == 0 || d->silent || d->first == NONE)
		return;
	pc = &f->pieces[d->first];
	memcpy(late->quote, d->head + d->l3_off, len);
	if (pc->off == 0 && rte_pktmbuf_data_len(pc->m) >= 8) {
		memcpy(late->quote + len, rte_pktmbuf_mtod(pc->m, const void *), 8);
		len += 8;
	}
	late->quote_len = (uint16_t)len;
}

bool
flowtab_frags_expire(struct flowtab_frags *f, uint64_t now_ms, struct flowtab_frag_late *late)
{
	uint64_t next = UINT64_MAX;

	if (f->next_ms > now_ms)
		return false;
	for (unsigned int i = 0; i < FLOWTAB_FRAG_DATAGRAMS; i++) {
		struct datagram *d = &f->datagrams[i];

		if (!d->used)
			continue;
		if (d->deadline_ms > now_ms) {
			next = RTE_MIN(next, d->deadline_ms);
			continue;
		}
		late->pif = d->pif;
		late->zone = d->zone;
		late->cookie = d->cookie;
		late->v4 = d->v4;
		quote(f, d, late);
		datagram_free(f, d);
		return true;
	}
	f->next_ms = next;
	return false;
}

uint64_t
flowtab_frags_next_ms(const struct flowtab_frags *f)
{
	return f->next_ms;
}

void
flowtab_frags_flush(struct flowtab_frags *f, uint16_t pif)
{
	for (unsigned int i = 0; i < FLOWTAB_FRAG_DATAGRAMS; i++) {
		struct datagram *d = &f->datagrams[i];

		if (d->used && d->pif == pif)
			datagram_free(f, d);
	}
}
