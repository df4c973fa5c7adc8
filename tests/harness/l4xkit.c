/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4xkit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_tcp.h>

#define POOL_SIZE 8191
#define START_US 1000000000ULL

const uint8_t l4xkit_guest_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
const uint8_t l4xkit_gateway_mac[6] = { 0x02, 0x57, 0x45, 0x49, 0x52, 0x01 };

void
l4xkit_eal(const char *file_prefix)
{
	char prefix[64];
	char *argv[] = { (char[]){ "test" }, (char[]){ "--no-huge" }, (char[]){ "-m" },
		(char[]){ "128" }, (char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" },
		(char[]){ "--no-pci" }, (char[]){ "--file-prefix" }, prefix, (char[]){ "-l" },
		(char[]){ "0" }, (char[]){ "--log-level" }, (char[]){ "lib.eal:error" } };

	snprintf(prefix, sizeof(prefix), "%s_%d", file_prefix, (int)getpid());
	if (rte_eal_init(RTE_DIM(argv), argv) < 0) {
		fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
		exit(1);
	}
}

struct flowtab_addr
l4xkit_addr(const char *text)
{
	struct flowtab_addr a;

	assert_int_equal(flowtab_addr_parse(&a, text), 0);
	return a;
}

struct pkt_ip
l4xkit_ip(const char *dst)
{
	struct pkt_ip ip = { .dst = pkt_addr(dst) };

	ip.src = pkt_addr(ip.dst.len == 4 ? "10.0.2.15" : "fd00:2::15");
	memcpy(ip.src_mac, l4xkit_guest_mac, 6);
	memcpy(ip.dst_mac, l4xkit_gateway_mac, 6);
	return ip;
}

struct l4x_port_conf
l4xkit_conf(void)
{
	struct l4x_port_conf c = { .pif = L4XKIT_PIF,
		.mtu = 1500,
		.ipv4 = true,
		.ipv6 = true,
		.prefix_len = 24,
		.prefix6_len = 64,
		.n_dns = 2,
		.search = "example.org lab.example.org",
		.hostname = "guest",
		.lease_s = 3600,
		.n_queues = 1 };

	memcpy(c.guest_mac.addr_bytes, l4xkit_guest_mac, 6);
	memcpy(c.gateway_mac.addr_bytes, l4xkit_gateway_mac, 6);
	c.address = l4xkit_addr("10.0.2.15");
	c.gateway = l4xkit_addr("10.0.2.2");
	c.address6 = l4xkit_addr("fd00:2::15");
	c.gateway6 = l4xkit_addr("fd00:2::2");
	c.dns[0] = l4xkit_addr("10.0.2.2");
	c.dns[1] = l4xkit_addr("fd00:2::2");
	return c;
}

struct l4xkit *
l4xkit_create(l4xkit_tweak tweak)
{
	static unsigned int number;
	struct l4xkit *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	snprintf(k->name, sizeof(k->name), "kit%u", number++);
	k->now_us = START_US;
	k->pool = rte_pktmbuf_pool_create(
		k->name, POOL_SIZE, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(k->pool);
	k->conf = l4xkit_conf();
	k->params = (struct l4x_params){ .name = k->name,
		.max_flows = 1024,
		.socket_id = SOCKET_ID_ANY,
		.now_us = k->now_us,
		.secret = "0123456789abcde",
		.pool = k->pool };
	if (tweak != NULL)
		tweak(&k->params, &k->conf);
	k->l = l4x_create(&k->params);
	assert_non_null(k->l);
	k->limits =
		(struct pkt_limits){ .mtu = k->conf.mtu, .csum = true, .tso4 = true, .tso6 = true };
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	l4x_port_link(
		k->l, k->conf.pif, true, L4X_OFFLOAD_CSUM | L4X_OFFLOAD_TSO4 | L4X_OFFLOAD_TSO6);
	return k;
}

void
l4xkit_destroy(struct l4xkit *k)
{
	for (unsigned int i = 0; i < k->n_burst; i++)
		rte_pktmbuf_free(k->burst[i]);
	while (l4x_shutdown(k->l, k->now_us) > 0)
		l4xkit_collect(k);
	l4xkit_collect(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
	l4xkit_discard(k);
	l4x_destroy(k->l);
	assert_int_equal(rte_mempool_in_use_count(k->pool), 0);
	rte_mempool_free(k->pool);
	free(k);
}

struct rte_mbuf *
l4xkit_mbuf(struct l4xkit *k, const void *bytes, uint32_t len, uint32_t head, uint32_t seg)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(k->pool), *last = m;
	const uint8_t *at = bytes;
	uint32_t n = RTE_MIN(len, head == 0 ? L4X_HEAD_BYTES : head);

	assert_non_null(m);
	while (true) {
		n = RTE_MIN(n, (uint32_t)rte_pktmbuf_tailroom(last));
		memcpy(rte_pktmbuf_mtod_offset(last, void *, last->data_len), at, n);
		last->data_len += (uint16_t)n;
		m->pkt_len += n;
		at += n;
		len -= n;
		if (len == 0)
			return m;
		last->next = rte_pktmbuf_alloc(k->pool);
		last = last->next;
		assert_non_null(last);
		m->nb_segs++;
		n = RTE_MIN(len, seg == 0 ? UINT16_MAX : seg);
	}
}

struct rte_mbuf *
l4xkit_payload(struct l4xkit *k, const void *bytes, uint32_t len)
{
	return l4xkit_mbuf(k, bytes, len, UINT16_MAX, 0);
}

void
l4xkit_push_mbuf(struct l4xkit *k, struct rte_mbuf *m)
{
	assert_true(k->n_burst < L4X_BURST);
	k->burst[k->n_burst++] = m;
}

void
l4xkit_push(struct l4xkit *k, const void *bytes, size_t len)
{
	l4xkit_push_mbuf(k, l4xkit_mbuf(k, bytes, (uint32_t)len, 0, 0));
}

void
l4xkit_flush(struct l4xkit *k)
{
	unsigned int n = k->n_burst;

	k->n_burst = 0;
	l4x_rx_burst(k->l, k->conf.pif, 0, k->burst, n, k->now_us);
	l4xkit_collect(k);
}

void
l4xkit_rx(struct l4xkit *k, const void *bytes, size_t len)
{
	l4xkit_push(k, bytes, len);
	l4xkit_flush(k);
}

void
l4xkit_events(struct l4xkit *k, const struct l4x_event *ev, unsigned int n)
{
	l4x_events(k->l, ev, n, k->now_us);
	l4xkit_collect(k);
}

void
l4xkit_event(struct l4xkit *k, const struct l4x_event *ev)
{
	l4xkit_events(k, ev, 1);
}

void
l4xkit_advance(struct l4xkit *k, uint64_t us)
{
	k->now_us += us;
	l4x_timers(k->l, k->now_us);
	l4xkit_collect(k);
}

void
l4xkit_run(struct l4xkit *k, uint64_t us)
{
	uint64_t end = k->now_us + us;

	while (k->now_us < end) {
		uint64_t next = l4x_next_us(k->l);

		/* A wheel may name a time that has come: it moves on a tick. */
		if (next <= k->now_us)
			next = k->now_us + 1000;
		l4xkit_advance(k, RTE_MIN(next, end) - k->now_us);
	}
}

/** What drivers/vhost makes of the offload flags of a frame. */
static struct virtio_net_hdr
vnet_header(const struct rte_mbuf *m)
{
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	struct virtio_net_hdr h = { 0 };

	if (l4 == RTE_MBUF_F_TX_TCP_CKSUM || l4 == RTE_MBUF_F_TX_UDP_CKSUM ||
		(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = m->l2_len + m->l3_len;
		h.csum_offset = l4 == RTE_MBUF_F_TX_UDP_CKSUM ? 6 : 16;
	}
	if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0) {
		h.gso_type = (m->ol_flags & RTE_MBUF_F_TX_IPV4) != 0 ? VIRTIO_NET_HDR_GSO_TCPV4
								     : VIRTIO_NET_HDR_GSO_TCPV6;
		h.gso_size = m->tso_segsz;
		h.hdr_len = m->l2_len + m->l3_len + m->l4_len;
	}
	return h;
}

static uint8_t *
flatten(struct rte_mbuf *m, uint32_t *len)
{
	uint8_t *bytes;
	const void *at;

	*len = rte_pktmbuf_pkt_len(m);
	bytes = malloc(*len + 1);
	assert_non_null(bytes);
	rte_mbuf_sanity_check(m, 1);
	at = rte_pktmbuf_read(m, 0, *len, bytes);
	assert_non_null(at);
	if (at != bytes)
		memcpy(bytes, at, *len);
	rte_pktmbuf_free(m);
	return bytes;
}

static void
keep_op(struct l4xkit *k, const struct l4x_op *op)
{
	struct l4xkit_op *o = &k->ops[k->op_tail++ % L4XKIT_QUEUE_MAX];

	assert_true(k->op_tail - k->op_head <= L4XKIT_QUEUE_MAX);
	*o = (struct l4xkit_op){ .op = *op };
	if (op->type == L4X_OP_SEND)
		o->data = flatten(op->send.m, &o->len);
	else if (op->type == L4X_OP_DGRAM)
		o->data = flatten(op->dgram.m, &o->len);
	if (o->data != NULL)
		assert_int_equal(o->len, op->len);
}

static void
keep_frame(struct l4xkit *k, const struct l4x_frame *f)
{
	struct l4xkit_frame *o = &k->frames[k->frame_tail++ % L4XKIT_QUEUE_MAX];

	assert_true(k->frame_tail - k->frame_head <= L4XKIT_QUEUE_MAX);
	*o = (struct l4xkit_frame){ .pif = f->pif, .queue = f->queue };
	o->hdr = vnet_header(f->m);
	o->bytes = flatten(f->m, &o->len);
}

static void
hand_over(struct l4xkit *k, const struct l4x_frame *f)
{
	k->handover_worker = f->worker;
	k->n_handover++;
	if (k->hand_over != NULL)
		k->hand_over(k->hand_over_arg, f);
	else
		rte_pktmbuf_free(f->m);
}

static void
keep_frames(struct l4xkit *k, const struct l4x_out *out)
{
	unsigned int sent = 0;

	for (; sent < out->n_frames; sent++) {
		if (out->frames[sent].worker != k->params.worker) {
			hand_over(k, &out->frames[sent]);
			continue;
		}
		if (k->full != NULL && k->full(k->full_arg, &out->frames[sent]))
			break;
		keep_frame(k, &out->frames[sent]);
	}
	if (sent == out->n_frames)
		return;
	k->n_unsent += out->n_frames - sent;
	l4x_frames_unsent(k->l, &out->frames[sent], out->n_frames - sent, k->now_us);
}

void
l4xkit_collect(struct l4xkit *k)
{
	struct l4x_out *out = l4x_out(k->l);

	keep_frames(k, out);
	for (unsigned int i = 0; i < out->n_ops; i++)
		keep_op(k, &out->ops[i]);
	for (unsigned int i = 0; i < out->n_handover; i++)
		hand_over(k, &out->handover[i]);
	l4x_out_reset(k->l);
}

/** A queue entry's bytes live until the entry is used again, or the next call. */
static void
release(uint8_t **bytes)
{
	static uint8_t *last;

	free(last);
	last = *bytes;
	*bytes = NULL;
}

const struct l4xkit_frame *
l4xkit_frame(struct l4xkit *k)
{
	static struct l4xkit_frame f;
	const char *wrong;

	if (k->frame_head == k->frame_tail)
		return NULL;
	f = k->frames[k->frame_head % L4XKIT_QUEUE_MAX];
	release(&k->frames[k->frame_head++ % L4XKIT_QUEUE_MAX].bytes);
	wrong = pkt_check(f.bytes, f.len, &f.hdr, &k->limits, &k->view);
	if (wrong != NULL && !k->unchecked)
		fail_msg("frame to the guest: %s", wrong);
	return &f;
}

const struct l4xkit_op *
l4xkit_op(struct l4xkit *k)
{
	static struct l4xkit_op o;

	if (k->op_head == k->op_tail)
		return NULL;
	o = k->ops[k->op_head % L4XKIT_QUEUE_MAX];
	release(&k->ops[k->op_head++ % L4XKIT_QUEUE_MAX].data);
	return &o;
}

const struct l4xkit_op *
l4xkit_expect_op(struct l4xkit *k, enum l4x_op_type type)
{
	const struct l4xkit_op *o = l4xkit_op(k);

	assert_non_null(o);
	assert_int_equal(o->op.type, type);
	return o;
}

const struct l4xkit_frame *
l4xkit_expect_frame(struct l4xkit *k)
{
	const struct l4xkit_frame *f = l4xkit_frame(k);

	assert_non_null(f);
	return f;
}

void
l4xkit_expect_nothing(struct l4xkit *k)
{
	const struct l4xkit_frame *f = l4xkit_frame(k);
	const struct l4xkit_op *o = l4xkit_op(k);

	if (f != NULL)
		fail_msg("unexpected frame: %s", pkt_text(&k->view));
	if (o != NULL)
		fail_msg("unexpected operation of type %u", o->op.type);
}

void
l4xkit_discard(struct l4xkit *k)
{
	uint8_t *none = NULL;

	while (k->frame_head != k->frame_tail)
		release(&k->frames[k->frame_head++ % L4XKIT_QUEUE_MAX].bytes);
	while (k->op_head != k->op_tail)
		release(&k->ops[k->op_head++ % L4XKIT_QUEUE_MAX].data);
	release(&none);
}

uint64_t
l4xkit_counter(const struct l4xkit *k, enum l4x_counter c)
{
	return l4x_counters(k->l)[c];
}

void
l4xkit_expect_drop(struct l4xkit *k, const void *bytes, size_t len, enum l4x_counter why)
{
	uint64_t before[L4X_COUNTERS];

	memcpy(before, l4x_counters(k->l), sizeof(before));
	l4xkit_rx(k, bytes, len);
	for (unsigned int i = 0; i < L4X_COUNTERS; i++) {
		uint64_t grown = l4x_counters(k->l)[i] - before[i];

		if (l4x_counter_info[i].is_drop && grown != (i == why))
			fail_msg("dropped as %s %u times, not %s once", l4x_counter_info[i].name,
				(unsigned int)grown, l4x_counter_info[why].name);
	}
}
