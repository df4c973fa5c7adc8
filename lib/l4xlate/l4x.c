/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_malloc.h>

#include <flowtab_siphash.h>

/** Length of a slot of the TCP timer wheel. */
#define TIMER_TICK_MS 4

static void
set_default(uint32_t *v, uint32_t def)
{
	if (*v == 0)
		*v = def;
}

static void
timeouts_complete(struct l4x_timeouts *t)
{
	set_default(&t->tcp_syn_ms, 240000);
	set_default(&t->tcp_established_ms, 7200000);
	set_default(&t->tcp_half_closed_ms, 240000);
	set_default(&t->tcp_fin_ms, 240000);
	set_default(&t->tcp_keepalive_ms, 30000);
	set_default(&t->tcp_keepalive_probes, 9);
	set_default(&t->tcp_retries, 10);
	set_default(&t->udp_ms, 30000);
	set_default(&t->udp_stream_ms, 180000);
	set_default(&t->icmp_ms, 30000);
}

/** The table is about to free a flow that expired: its socket goes, too. Makes no table call. */
static void
flow_gone(void *arg, uint32_t idx)
{
	struct l4x *l = arg;

	l4x_count(l, L4X_COUNT_FLOWS_EXPIRED);
	if (l->ftf[idx].kind == FLOWTAB_KIND_TRACKED) {
		ct_gone(l->ew.ct, idx);
		return;
	}
	if (l->ftf[idx].proto == IPPROTO_TCP)
		l4x_op_add(l, L4X_OP_CLOSE, idx)->close.reset = true;
	else
		l4x_dgram_gone(l, idx);
	flowtab_wheel_clear(l->timers, idx);
}

static int
tracker_create(struct l4x *l)
{
	struct ct_params p = {
		.ft = l->ft,
		.no_seq_check = l->params.no_seq_check,
		.no_pickup = l->params.no_pickup,
		.socket_id = l->params.socket_id,
	};

	memcpy(p.secret, l->params.secret, sizeof(p.secret));
	l->ew.ct = ct_create(&p);
	return l->ew.ct != NULL ? 0 : -rte_errno;
}

static int
context_fill(struct l4x *l)
{
	const struct l4x_params *p = &l->params;
	struct flowtab_params fp = {
		.name = p->name,
		.max_flows = p->max_flows,
		.max_pifs = L4X_MAX_PIFS,
		.owner = p->worker,
		.socket_id = p->socket_id,
		.now_ms = p->now_us / 1000,
		.zones = p->zones,
		.evict = p->evict,
	};
	const struct flowtab_frags_params frags = { .pool = p->pool, .socket_id = p->socket_id };
	int rc;

	memcpy(fp.hash_key, p->secret, sizeof(fp.hash_key));
	l->ft = flowtab_create(&fp);
	if (l->ft == NULL)
		return -rte_errno;
	l->ftf = flowtab_flows(l->ft);
	rc = tracker_create(l);
	if (rc < 0)
		return rc;
	flowtab_on_gone(l->ft, flow_gone, l);
	l->timers =
		flowtab_wheel_create(p->max_flows, TIMER_TICK_MS, p->now_us / 1000, p->socket_id);
	if (l->timers == NULL)
		return -rte_errno;
	l->flows = rte_zmalloc_socket("l4x_flows", (size_t)p->max_flows * sizeof(*l->flows),
		RTE_CACHE_LINE_SIZE, p->socket_id);
	l->ports = rte_zmalloc_socket(
		"l4x_ports", L4X_MAX_PIFS * sizeof(*l->ports), RTE_CACHE_LINE_SIZE, p->socket_id);
	l->frags = flowtab_frags_create(&frags);
	if (l->flows == NULL || l->ports == NULL || l->frags == NULL)
		return -ENOMEM;
	l->neighbours = l4x_neighbours_create(p->name, p->socket_id);
	if (l->neighbours == NULL)
		return -rte_errno;
	return 0;
}

struct l4x *
l4x_create(const struct l4x_params *p)
{
	struct l4x *l;
	struct flowtab_sipkey key;
	int rc;

	if (p == NULL || p->name == NULL || p->pool == NULL || p->max_flows == 0) {
		rte_errno = EINVAL;
		return NULL;
	}
	l = rte_zmalloc_socket("l4x", sizeof(*l), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (l == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	l->params = *p;
	l->params.n_workers = RTE_MAX(p->n_workers, 1);
	timeouts_complete(&l->params.timeouts);
	l->pool = p->pool;
	l->now_us = p->now_us;
	l->next_ra_us = UINT64_MAX;
	key = flowtab_sipkey_load(p->secret);
	l->rng = flowtab_siphash13(&key, &p->now_us, 1);
	rc = context_fill(l);
	if (rc < 0) {
		l4x_destroy(l);
		rte_errno = -rc;
		return NULL;
	}
	return l;
}

void
l4x_destroy(struct l4x *l)
{
	if (l == NULL)
		return;
	for (uint32_t i = 0; i < l->out.n_ops; i++)
		l4x_op_free(&l->out.ops[i]);
	for (uint32_t i = 0; i < l->out.n_frames; i++)
		rte_pktmbuf_free(l->out.frames[i].m);
	for (uint32_t i = 0; i < l->out.n_handover; i++)
		rte_pktmbuf_free(l->out.handover[i].m);
	flowtab_frags_destroy(l->frags);
	rte_hash_free(l->neighbours);
	flowtab_wheel_destroy(l->timers);
	ct_destroy(l->ew.ct);
	flowtab_destroy(l->ft);
	rte_free(l->ports);
	rte_free(l->flows);
	rte_free(l);
}

uint64_t
l4x_random(struct l4x *l)
{
	uint64_t z = l->rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

struct ct *
l4x_ct(struct l4x *l)
{
	return l->ew.ct;
}

void
l4x_rules_set(struct l4x *l, struct rules *r)
{
	l->ew.rules = r;
	l4x_recheck_begin(l);
	l4x_ew_update(l);
}

struct l4x_out *
l4x_out(struct l4x *l)
{
	return &l->out;
}

void
l4x_out_reset(struct l4x *l)
{
	l->out.n_ops = 0;
	l->out.n_frames = 0;
	l->out.n_handover = 0;
}

bool
l4x_out_room(const struct l4x *l, uint32_t n)
{
	return l->out.n_ops + n <= L4X_OUT_OPS && l->out.n_frames + n <= L4X_OUT_FRAMES;
}

bool
l4x_dgram_room(const struct l4x *l)
{
	return l->out.n_ops < L4X_OUT_OPS - L4X_OUT_RESERVED;
}

struct l4x_op *
l4x_op_add(struct l4x *l, enum l4x_op_type type, uint32_t idx)
{
	struct l4x_op *op = &l->out.ops[l->out.n_ops++];

	assert(l->out.n_ops <= L4X_OUT_OPS);
	memset(op, 0, sizeof(*op));
	op->type = type;
	op->bridge = l->params.bridge;
	if (idx != FLOWTAB_NONE) {
		op->bridge = l->flows[idx].bridge;
		op->flow = flowtab_handle_make(l->params.worker, l->ftf[idx].generation, idx);
	}
	return op;
}

/** In place of a queue pair that the guest has given up: an own one, if there is. */
static uint8_t
queue_in_use(const struct l4x_port *port, uint8_t queue)
{
	const uint32_t n = l4x_queues_in_use(&port->conf);

	if (likely(queue < n))
		return queue;
	return port->tx_queue < n ? port->tx_queue : 0;
}

void
l4x_frame_add(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m)
{
	struct l4x_frame *f;
	uint8_t worker;

	if (queue != 0)
		queue = queue_in_use(port, queue);
	worker = port->conf.queue_worker[queue];
	if (unlikely(!port->up && worker == l->params.worker)) {
		l4x_drop(l, m, L4X_DROP_NO_LINK);
		return;
	}
	if (unlikely(l->out.n_frames == L4X_OUT_FRAMES)) {
		l4x_drop(l, m, L4X_DROP_OUT_FULL);
		return;
	}
	f = &l->out.frames[l->out.n_frames++];
	*f = (struct l4x_frame){ .m = m, .pif = port->conf.pif, .queue = queue };
	f->worker = worker;
	f->kind = L4X_FRAME_OUT;
	if (unlikely(worker != l->params.worker)) {
		l4x_count(l, L4X_COUNT_HANDOVER_OUT);
		return;
	}
	l4x_count(l, L4X_COUNT_TX_PKTS);
	l4x_count_add(l, L4X_COUNT_TX_BYTES, rte_pktmbuf_pkt_len(m));
}

/** A TSO frame that the guest's driver cannot be given as it is. */
static bool
wants_cutting(const struct l4x_port *port, const struct rte_mbuf *m)
{
	const struct rte_tcp_hdr *th;
	uint32_t need = L4X_OFFLOAD_TSO4;

	if (likely((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0))
		return false;
	if ((m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0)
		need = L4X_OFFLOAD_TSO6;
	/* RFC 3168, 6.1.2: CWR is for the first segment alone, which not every card knows. */
	th = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, m->l2_len + m->l3_len);
	if ((th->tcp_flags & RTE_TCP_CWR_FLAG) != 0)
		need |= L4X_OFFLOAD_ECN;
	return (port->offloads & need) != need;
}

void
l4x_frame_deliver(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m)
{
	/* It may lie in a buffer that the guest has lent at an odd address. */
	static_assert(offsetof(struct rte_ether_hdr, dst_addr) == 0, "the destination comes first");
	memcpy(rte_pktmbuf_mtod(m, void *), &port->guest.mac, sizeof(port->guest.mac));
	if (unlikely(wants_cutting(port, m)))
		l4x_gso_send(l, port, queue, m);
	else
		l4x_frame_add(l, port, queue, m);
}

/** Bind what can be: the socket side only when its port is known, for only then is it unique. */
static int
flow_bind(struct l4x *l, uint32_t idx, const struct flowtab_tuple *guest,
	const struct flowtab_tuple *host)
{
	int rc = flowtab_bind(l->ft, idx, FLOWTAB_SIDE_GUEST, guest, l4x_now_ms(l));

	if (rc < 0 || host->oport == 0)
		return rc;
	return flowtab_bind(l->ft, idx, FLOWTAB_SIDE_OTHER, host, l4x_now_ms(l));
}

static enum l4x_counter
flow_refused(int rc)
{
	switch (rc) {
	case -EDQUOT:
		return L4X_DROP_FLOW_LIMIT;
	case -EUSERS:
		return L4X_DROP_ZONE_LIMIT;
	default:
		return L4X_DROP_FLOW_TABLE;
	}
}

uint32_t
l4x_flow_new(struct l4x *l, struct l4x_port *port, const struct flowtab_tuple *guest,
	const struct flowtab_tuple *host, const struct l4x_terms *terms, uint8_t queue,
	uint8_t bridge, bool inbound)
{
	/* Who sends datagrams from outside must not keep the guest from what it wants itself. */
	bool unasked = inbound && guest->proto == IPPROTO_UDP;
	uint32_t rate = unasked ? 0 : port->conf.new_flows_per_s, idx;
	struct l4x_flow *f;
	int rc;

	if (port->removing) {
		l4x_count(l, L4X_DROP_NO_LINK);
		return FLOWTAB_NONE;
	}
	if (rate != 0 && !l4x_bucket_take(&port->new_flows, rate, rate, l->now_us)) {
		l4x_count(l, L4X_DROP_FLOW_RATE);
		return FLOWTAB_NONE;
	}
	rc = flowtab_new(l->ft, port->conf.pif, terms->zone, guest->proto, l4x_now_ms(l), &idx);
	if (rc < 0) {
		l4x_count(l, flow_refused(rc));
		return FLOWTAB_NONE;
	}
	f = &l->flows[idx];
	memset(f, 0, sizeof(*f));
	f->pif = port->conf.pif;
	f->queue = queue;
	f->bridge = bridge;
	f->inbound = inbound;
	f->v4 = flowtab_addr_is_v4(&guest->eaddr);
	f->peer = host->eaddr;
	f->peer_port = host->eport;
	f->local = host->oaddr;
	f->local_port = host->oport;
	f->guest_port = terms->guest_port;
	f->translated = terms->translated;
	l->ftf[idx].mark = terms->mark;
	l->ftf[idx].cookie = terms->cookie;
	rc = flow_bind(l, idx, guest, host);
	if (rc < 0) {
		flowtab_free(l->ft, idx);
		l4x_count(l, L4X_DROP_FLOW_TABLE);
		return FLOWTAB_NONE;
	}
	l->flows_made++;
	l4x_count(l, L4X_COUNT_FLOWS_NEW);
	return idx;
}

void
l4x_flow_free(struct l4x *l, uint32_t idx)
{
	flowtab_wheel_clear(l->timers, idx);
	flowtab_free(l->ft, idx);
}

void
l4x_timer_set(struct l4x *l, uint32_t idx, uint64_t at_us)
{
	if (at_us != UINT64_MAX)
		flowtab_wheel_set(l->timers, idx, at_us / 1000 + (at_us % 1000 != 0));
}

int
l4x_shutdown(struct l4x *l, uint64_t now_us)
{
	l->now_us = now_us;
	if (l4x_flows_close(l, 0, &l->close_cursor) > 0)
		return 1;
	for (unsigned int pif = 1; pif <= l->max_pif; pif++) {
		if (!l4x_out_room(l, 1))
			return 1;
		l4x_nd_leave(l, &l->ports[pif]);
	}
	l->close_cursor = 0;
	return 0;
}

const uint64_t *
l4x_counters(const struct l4x *l)
{
	return l->counters;
}

uint32_t
l4x_flow_count(const struct l4x *l)
{
	return flowtab_count(l->ft);
}
