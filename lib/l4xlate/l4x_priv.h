/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the files of lib/l4xlate share. Who does what:
 * - l4x.c: the context: creation, flows, output
 * - flows.c: flows seen from outside: shown, closed
 * - port.c: ports: configuration, link, token buckets
 * - rx.c: a burst of frames: parse, steer, look up, hand to the protocols
 * - loop.c: events and timers: the other two things a context is fed
 * - pkt.c: frame in -> struct l4x_pkt: Ethernet, IPv4 and its options, transport, checksums
 * - pkt6.c: the same for IPv6 and its extension headers
 * - frag.c: the guest's fragments, gathered in a store of the flow table's
 * - frame.c: payload out -> frame: L2 and L3 headers, fragments for the guest
 * - gso.c: a TSO frame -> segments, for guests that take no TSO
 * - error.c: ICMP errors for the guest
 * - neigh.c: which port of a network has an address
 * - addr.c: which address stands for which: loopback, gateway, DNS forwarding, peers; steering
 * - reason.c: names and help of the counters
 * - ew.c ew_steer.c ew_out.c: packets between guests
 * - rule.c: what rules say of flows to and from the host; counting, logging
 * - recheck.c: flows that live, after rules have changed
 * - arp.c nd.c dhcp.c dhcp6*.c: the guest's own configuration; answered without flows
 * - names.c: search lists as DNS names
 * - dgram.c udp.c icmp.c: flows of datagrams
 * - tcp*.c: flows of bytes
 */
#ifndef L4X_PRIV_H
#define L4X_PRIV_H

#include "l4x.h"

#include <rte_branch_prediction.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "flowtab_frag.h"
#include "tcp.h"

#define L4X_ETH_LEN 14
#define L4X_IP4_LEN 20
#define L4X_IP6_LEN 40
#define L4X_FRAG6_LEN 8
#define L4X_IP4_OPT_END 0
#define L4X_IP4_OPT_NOP 1

/** ICMP errors and RSTs for no flow, per guest: RFC 1812, 4.3.2.8 and RFC 4443, 2.4 (f). */
#define L4X_ERRORS_PER_S 1000
#define L4X_ERRORS_BURST 64

/** UDP flows of one guest that began outside and that it has not answered; half its limit at most.
 */
#define L4X_UNANSWERED_MAX 1024

/** A token bucket; see l4x_bucket_take(). */
struct l4x_bucket {
	uint64_t us;     /**< when credit was counted last */
	uint64_t credit; /**< millionths of a token */
};

/** Flows in the order in which they began, linked by l4x_dgram_flow; valid while n > 0. */
struct l4x_unanswered {
	uint32_t oldest, newest;
	uint32_t n;
};

/** What has been heard of a guest since its link came up; a worker tells it to others, see rx.c. */
struct l4x_guest {
	struct rte_ether_addr mac;        /**< source of the last good frame, or conf.guest_mac */
	bool used4, used6;                /**< conf.address, conf.address6 were a source */
	struct flowtab_addr seen4, seen6; /**< the last source besides; zero: none */
};

/** A port and what has been learnt of its guest. */
struct l4x_port {
	struct l4x_port_conf conf;
	bool present, up;
	bool removing; /**< l4x_port_remove() has begun: nothing is taken from this guest */
	uint32_t offloads;
	struct l4x_guest guest;
	struct l4x_guest told; /**< what the other workers know of it ... */
	uint32_t told_queues;  /**< ... when it used so many queue pairs */
	uint64_t next_ra_us;
	uint32_t ra_sent;      /**< unsolicited advertisements since the link came up */
	uint32_t close_cursor; /**< how far l4x_port_remove() has come */
	struct l4x_bucket new_flows;
	struct l4x_unanswered unanswered;
	struct l4x_bucket errors;       /**< ICMP errors and RSTs for no flow */
	struct flowtab_addr linklocal6; /**< of the gateway: fe80:: and its MAC as EUI-64 */
	uint32_t frag_id;  /**< identification of the next datagram sent in fragments */
	uint8_t tx_queue;  /**< a queue pair of this port that this worker polls, if it does any */
	bool polled;       /**< it does: up, offloads and guest are known here */
	uint8_t n_workers; /**< distinct workers in conf.queue_worker */
	bool ew_nat;       /**< rules translate addresses in this port's network */
	uint8_t network_worker;     /**< the same of all its ports, see ew_steer.c */
	uint64_t workers;           /**< bit per worker that polls a queue pair in use ... */
	uint32_t workers_of_queues; /**< ... as found when so many were; 0: not yet */
};

/** What a frame is, hence who gets it. */
enum l4x_kind {
	L4X_KIND_ARP,
	L4X_KIND_ND,
	L4X_KIND_DHCP,
	L4X_KIND_DHCP6,
	L4X_KIND_FRAG, /**< a fragment: l4_off is where its piece begins, l4_len its length */
	L4X_KIND_TCP,  /**< from here on: has a tuple, is steered and looked up */
	L4X_KIND_UDP,
	L4X_KIND_ICMP,  /**< IPv4 or IPv6; queries and answers have the id for ports, errors none */
	L4X_KIND_OTHER, /**< protocols that no socket carries: forwarded east-west */
};

/** A frame from a guest, taken apart. Offsets are from the start of the frame. */
struct l4x_pkt {
	struct rte_mbuf *m;
	struct l4x_port *port;
	uint8_t kind;      /**< enum l4x_kind */
	bool l2_multicast; /**< not sent to us alone: never a reason for an ICMP error */
	bool fragmented;   /**< was in fragments, if only one (RFC 6946) */
	bool icmp_query;   /**< ICMP: a query or an answer, its id stands for ports in the tuple */
	bool north_south;  /**< another worker has found that it is not for a guest */
	uint16_t l3_off, l4_off;
	uint16_t frag_hdr; /**< FRAG, IPv6: offset of the fragment header */
	uint16_t next_at;  /**< IPv6: offset of the transport's number in the IP packet */
	uint16_t frag_off; /**< FRAG: bytes */
	bool frag_more;
	uint32_t frag_id;
	uint32_t ip_len;   /**< bytes from l3_off on, padding excluded */
	uint16_t data_off; /**< L4 payload */
	uint32_t data_len; /**< bytes of L4 payload (padding excluded) */
	uint32_t l4_len;   /**< bytes from l4_off on */
	uint8_t queue;
	uint8_t proto; /**< the transport protocol, after extension headers */
	uint8_t tos, ttl;
	bool v4;
	struct flowtab_tuple tuple; /**< guest side */
};

/** Headers kept for quoting: 40 of IPv6, 40 of extension headers, 8 of L4. */
#define L4X_QUOTE 88

/** State of a UDP or ICMP echo flow. */
struct l4x_dgram_flow {
	struct rte_mbuf *pending_tail; /**< last segment of that op's chain */
	uint32_t pending_op; /**< index in out.ops of this burst's open DGRAM op, or UINT32_MAX */
	/** IP header (and options or extension headers) and first 8 bytes of L4 of the guest's last
	 * datagram, as it sent them: an ICMP error quotes it byte for byte. */
	uint8_t quote_len;
	uint8_t quote_l4; /**< where those 8 bytes begin; 0: they are not all there */
	uint8_t quote[L4X_QUOTE];
	bool both_ways;
	uint32_t older, newer; /**< the next ones without an answer, FLOWTAB_NONE at the ends */
};

/** The guest has not sent anything yet. */
#define L4X_NO_QUEUE UINT8_MAX

/** Per-flow state, in an array parallel to the flow table's. */
struct l4x_flow {
	uint16_t pif;
	/** Queue pair of the port on which frames go to the guest: the one on which it has sent
	 * last (virtio 1.2, 5.1.6.5.6). TRACKED: the same of the guest at side GUEST, or
	 * L4X_NO_QUEUE. */
	uint8_t queue;
	uint8_t bridge;
	bool inbound;
	bool v4;
	bool reuse;      /**< UDP: shares its port with a listener */
	bool unanswered; /**< UDP: began outside, and the guest has said nothing: no socket yet */
	rte_be16_t peer_port, local_port; /**< of the socket side; local 0: the kernel's choice */
	rte_be16_t guest_port; /**< where a forward leads, or the guest's own; before rules */
	bool translated;       /**< a rule has led it elsewhere than the guest knows */
	uint8_t other_queue;   /**< TRACKED: as queue, of the guest at side OTHER */
	struct flowtab_addr peer, local; /**< local zero: the kernel's choice */
	union {
		struct l4x_tcp tcp;
		struct l4x_dgram_flow dgram;
	};
};

struct rte_hash;

/** NAT rules east-west whose addresses are looked at one by one; of more, every address may be. */
#define L4X_EW_RANGES 32

/** What packets between guests go by. */
struct l4x_ew {
	struct ct *ct;       /**< flows of kind TRACKED are its */
	struct rules *rules; /**< NULL: nothing is allowed */
	uint32_t recheck;    /**< flows from here on are to be held against the rules */
	bool rechecking;
	bool open;           /**< some rule or the policy may let guests reach each other */
	bool all;            /**< any address may stand for a guest */
	bool nat_everywhere; /**< in all networks, else in those whose bit is set */
	uint64_t nat_networks[(UINT16_MAX + 1) / 64];
	/** Addresses that may stand for a guest: what rules translate, or translate to. */
	uint32_t n_ranges;
	struct {
		struct flowtab_addr min, max;
	} ranges[L4X_EW_RANGES];
};

struct l4x {
	struct flowtab *ft;
	struct flowtab_flow *ftf; /**< flowtab_flows(ft) */
	struct l4x_flow *flows;
	struct l4x_port *ports; /**< L4X_MAX_PIFS, by pif */
	struct rte_mempool *pool;
	/** TCP timers: item = flow index, tick a few ms. Flow expiry is the table's own wheel. */
	struct flowtab_wheel *timers;
	struct l4x_params params;
	struct flowtab_frags *frags;
	struct rte_hash *neighbours; /**< see neigh.c */
	struct l4x_ew ew;
	struct l4x_bucket log;  /**< flows that are logged */
	uint64_t now_us;        /**< of the call under way */
	uint64_t rng;           /**< see l4x_random() */
	uint64_t next_ra_us;    /**< the earliest of all ports */
	uint64_t flows_made;    /**< in this context's life: tells a burst that a lookup is stale */
	uint32_t close_cursor;  /**< how far l4x_shutdown() has come */
	struct l4x_tcp_ctx tcp; /**< per-burst lists and the like of tcp*.c */
	uint32_t dgram_dirty[L4X_BURST]; /**< flows with a pending_op */
	uint32_t n_dgram_dirty;
	uint16_t max_pif; /**< highest port present */
	uint64_t counters[L4X_COUNTERS];
	struct l4x_out out;
};

static inline uint64_t
l4x_now_ms(const struct l4x *l)
{
	return l->now_us / 1000;
}

static inline void
l4x_count(struct l4x *l, enum l4x_counter c)
{
	__atomic_store_n(&l->counters[c], l->counters[c] + 1, __ATOMIC_RELAXED);
}

static inline void
l4x_count_add(struct l4x *l, enum l4x_counter c, uint64_t n)
{
	__atomic_store_n(&l->counters[c], l->counters[c] + n, __ATOMIC_RELAXED);
}

/** Count the reason and free the mbuf. */
static inline void
l4x_drop(struct l4x *l, struct rte_mbuf *m, enum l4x_counter why)
{
	l4x_count(l, why);
	rte_pktmbuf_free(m);
}

/** What a rule asks for, of a flow to or from the host. */
struct l4x_terms {
	uint32_t mark;
	uint16_t zone;
	uint16_t cookie;       /**< the rule's number */
	rte_be16_t guest_port; /**< as it was before rules */
	bool translated;       /**< it leads elsewhere than the guest knows */
	/** IN: ports that the peer may appear with, if not with its own; host order. */
	uint16_t peer_port_min, peer_port_max;
};

/* ---- l4x.c: flows and output ---- */

/**
 * The next operation of the output, with type, bridge and flow handle set and the rest zero.
 * There is room: what frames and events make is bounded (L4X_UNIT_OPS), DGRAM, of which one frame
 * can make many, leaves that free (l4x_dgram_room()), and what goes on at length (timers, closing
 * all flows) looks before each step (l4x_out_room()).
 */
struct l4x_op *l4x_op_add(struct l4x *l, enum l4x_op_type type, uint32_t idx);
/** May one more DGRAM operation be added? */
bool l4x_dgram_room(const struct l4x *l);
/** True while at least n more ops and n more frames fit. */
bool l4x_out_room(const struct l4x *l, uint32_t n);
/**
 * A finished frame (Ethernet header first) to the guest; owns m. Counts, or drops when full or
 * down. One for a queue pair that another worker polls is handed over to it.
 */
void l4x_frame_add(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m);
/**
 * The same for a frame that asks for what the guest may not have negotiated, and whose destination
 * may not be the guest's card: this worker polls the queue pair.
 */
void l4x_frame_deliver(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m);

/**
 * A new flow: both sides bound, limits (table, port, rate) observed and counted.
 * @param guest tuple of the guest side
 * @param host  tuple of the socket side (pif FLOWTAB_PIF_HOST)
 * @param terms what rules ask for
 * @return index, or FLOWTAB_NONE (counted)
 */
uint32_t l4x_flow_new(struct l4x *l, struct l4x_port *port, const struct flowtab_tuple *guest,
	const struct flowtab_tuple *host, const struct l4x_terms *terms, uint8_t queue,
	uint8_t bridge, bool inbound);
/** Forget the flow: the handle is stale from here on. No operation is made: CLOSE comes before. */
void l4x_flow_free(struct l4x *l, uint32_t idx);
/** Have l4x_tcp_timer() called for the flow at at_us, at the latest a tick after. */
void l4x_timer_set(struct l4x *l, uint32_t idx, uint64_t at_us);

/** Does this worker know that the guest cannot be reached? */
static inline bool
l4x_port_is_down(const struct l4x_port *port)
{
	return port->polled && !port->up;
}

static inline struct l4x_port *
l4x_flow_port(struct l4x *l, uint32_t idx)
{
	return &l->ports[l->flows[idx].pif];
}

/** Not for secrets: spreads timers, numbers datagrams. */
uint64_t l4x_random(struct l4x *l);
/** flows.c: end a flow of either kind; takes L4X_END_ROOM of the output. */
void l4x_flow_cut(struct l4x *l, uint32_t idx);
/**
 * flows.c: close flows from *cursor on, as far as output has room; only those of one port, or all.
 * @param pif 0: all ports
 * @return 0 when the end was reached, else 1: empty the output and call again
 */
int l4x_flows_close(struct l4x *l, uint16_t pif, uint32_t *cursor);

/* ---- port.c ---- */

/** @return the port if it is present and not being removed, else NULL */
static inline struct l4x_port *
l4x_port(struct l4x *l, uint16_t pif)
{
	struct l4x_port *port;

	if (pif == 0 || pif >= L4X_MAX_PIFS)
		return NULL;
	port = &l->ports[pif];
	return port->present && !port->removing ? port : NULL;
}

/** Take one token. rate_per_s tokens come back each second, at most burst are kept. */
bool l4x_bucket_take(struct l4x_bucket *b, uint64_t rate_per_s, uint64_t burst, uint64_t now_us);
/** May one more ICMP error or RST for no flow be sent to this guest? Counted if not. */
bool l4x_error_allowed(struct l4x *l, struct l4x_port *port);

/* ---- addr.c ---- */

/**
 * Where a guest's packet really goes: the host side of its tuple (DNS forward, loopback, or as is).
 * @return 0; -EHOSTUNREACH not carried (the gateway itself, multicast, the guest's own subnet)
 */
int l4x_outbound(
	const struct l4x_port *port, const struct flowtab_tuple *guest, struct flowtab_tuple *host);
/**
 * The guest side and the host side of a connection or datagram from outside.
 * A peer the guest could not answer to (loopback, link-local, its own address) appears as the
 * gateway or as the address that stands for loopback.
 * @return 0; -EAFNOSUPPORT the guest has no address of that family
 */
int l4x_inbound(const struct l4x_port *port, const struct l4x_event *accepted, uint8_t proto,
	struct flowtab_tuple *guest, struct flowtab_tuple *host);

/**
 * What a guest sees of a peer must be another's nowhere, and its answers must come to this worker:
 * if they would not, another port of the peer is found that does, of those that the terms give.
 * @return false: there is none
 */
bool l4x_answers_come_here(struct l4x *l, const struct l4x_port *port,
	const struct l4x_terms *terms, struct flowtab_tuple *guest);
/** True for an address that is weir's own on this link: gateway, its link-local, loopback's. */
bool l4x_addr_is_gateway(const struct l4x_port *port, const struct flowtab_addr *a);
/** The guest is heard to use this address as its own. */
void l4x_guest_uses(struct l4x_port *port, const struct flowtab_addr *a);
/** Where the guest listens: at the address given to it, unless it is known to use another. */
const struct flowtab_addr *l4x_guest_addr(
	const struct l4x_port_conf *conf, const struct l4x_guest *guest, bool v4);
/** True for an address that the guest is known to use, or was assigned. */
bool l4x_addr_is_guest(const struct l4x_port *port, const struct flowtab_addr *a);
/** 255.255.255.255, or the subnet's broadcast address in its present or its old form. */
bool l4x_addr_is_broadcast(const struct l4x_port_conf *conf, const struct flowtab_addr *a);
/** Addresses that no host has on any link: loopback, multicast, reserved. */
bool l4x_addr_is_nobody(const struct flowtab_addr *a);
/** May a guest have this address, assigned to it or not? */
bool l4x_addr_is_free(const struct l4x_port *port, const struct flowtab_addr *a);
/** How many queue pairs, from the first on, the guest uses; at least 1. */
uint32_t l4x_queues_in_use(const struct l4x_port_conf *conf);
/** The queue pair that l4x_steer() finds; conf->queue_worker[] of it is the owner. */
uint8_t l4x_steer_queue(const struct l4x_port_conf *conf, const uint8_t key[16],
	const struct flowtab_tuple *guest_side);

/* ---- neigh.c: who has an address ---- */

/** The map, empty; NULL with rte_errno set. */
struct rte_hash *l4x_neighbours_create(const char *name, int socket_id);
/** Ports have come, gone or changed: make the map anew. 0 or -ENOSPC */
int l4x_neighbours_update(struct l4x *l);
/**
 * The other port of this one's network and zone that the address is assigned to.
 * @return its pif; 0: no other port's
 */
uint16_t l4x_neighbour(
	const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *a);

/* ---- pkt.c ---- */

/**
 * Take a frame apart and check it. On failure the frame is freed and counted; ICMP errors that are
 * due (TTL, parameter problem) are in the output.
 * @return 0, or -1: the frame is no more
 */
int l4x_pkt_parse(struct l4x *l, struct l4x_pkt *p);
/** Verify the transport checksum unless the guest's offload vouches for it. 0 or -1 (not freed). */
int l4x_pkt_verify(const struct l4x_pkt *p);
/** Contiguous pointer into the first segment; the parser has seen to it that headers are there. */
static inline void *
l4x_pkt_l4(const struct l4x_pkt *p)
{
	return rte_pktmbuf_mtod_offset(p->m, void *, p->l4_off);
}
/** Strip headers and padding: what is left is the L4 payload, data_len bytes. */
struct rte_mbuf *l4x_pkt_payload(struct l4x_pkt *p);
/** Cut a chain to its first len bytes; segments past them are freed. */
void l4x_mbuf_cut(struct rte_mbuf *m, uint32_t len);
/** Not a reason to drop: the frame goes on. */
#define L4X_PKT_OK L4X_COUNTERS
/** pkt6.c: the IPv6 header and what follows. @return L4X_PKT_OK or the reason to drop */
int l4x_pkt_parse_ip6(struct l4x *l, struct l4x_pkt *p);
/** pkt6.c: is it an ICMPv6 error, as far as its headers can be followed? Looks at nothing else. */
bool l4x_pkt_is_error6(const struct l4x_pkt *p);
/** The transport header at l4_off. @return L4X_PKT_OK or the reason to drop */
int l4x_pkt_parse_l4(struct l4x_pkt *p);
/** No socket carries the packet's protocol: say so to the guest, and drop it. */
void l4x_pkt_no_proto(struct l4x *l, struct l4x_pkt *p);

/* ---- frag.c ---- */

/**
 * Take a fragment.
 * @return the whole frame, as if it had never been in pieces, or NULL: not complete, or dropped
 */
struct rte_mbuf *l4x_frag_rx(struct l4x *l, struct l4x_pkt *p);
/** Give up what was not completed in time; its senders are told. */
void l4x_frags_expire(struct l4x *l);

/* ---- frame.c ---- */

/** An empty mbuf with headroom for all headers, or NULL (counted). */
struct rte_mbuf *l4x_mbuf(struct l4x *l);
/** What l4x_ip_prepend() puts before l4_len bytes, at `at`. */
void l4x_head_write(const struct l4x_port *port, const struct flowtab_tuple *guest, uint8_t tos,
	uint8_t ttl, uint8_t *at, uint32_t l4_len);
/**
 * Prepend Ethernet and IP headers to an L4 packet for the guest: source oaddr, destination eaddr of
 * the guest-side tuple. Sets l2_len, l3_len and the RTE_MBUF_F_TX_IPV4/IPV6 flags; the IPv4 header
 * checksum is complete.
 * @param ttl 0: 64 (IPv4: and DF set)
 */
void l4x_ip_prepend(const struct l4x_port *port, struct rte_mbuf *m,
	const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl);
/**
 * An L4 packet with its checksum complete, of any size, to the guest: in fragments when it is
 * larger than the MTU. Owns m.
 */
void l4x_ip_send(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m,
	const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl);
/** An IP packet, header first, that is being cut into fragments. */
struct l4x_cut {
	const struct rte_mbuf *m;
	bool v4;
	uint16_t mtu;     /**< no fragment is larger */
	uint16_t hdr_len; /**< of what is in each: IPv6 without extension headers, or one */
	uint32_t id;  /**< IPv6: of the fragment header, wire order; IPv4 has it in its header */
	uint32_t off; /**< how far it has been cut; 0 at first */
};
/** Extension headers that are in each fragment: what leaves room for others in front. */
#define L4X_CUT_HDR_MAX 64
/**
 * The next fragment, an IP packet with room for an Ethernet header, copied out of m.
 * @return NULL at the end, or when there is no mbuf (counted)
 */
struct rte_mbuf *l4x_cut_next(struct l4x *l, struct l4x_cut *c);
/** Prepend an Ethernet header from the gateway to the guest. */
void l4x_eth_prepend(const struct l4x_port *port, struct rte_mbuf *m, uint16_t ether_type);
/** Checksum of len bytes at off of the chain on top of the sum phdr, complemented: for a header. */
uint16_t l4x_cksum(const struct rte_mbuf *m, uint32_t off, uint32_t len, uint32_t phdr);
/** Pseudo-header sum for a L4 packet of l4_len bytes (0 for TSO), not complemented. */
uint16_t l4x_phdr_sum(const struct flowtab_tuple *guest, uint32_t l4_len);
/**
 * ICMP or ICMPv6 error to the guest about the packet quoted, rate limited (RFC 1812, RFC 4443).
 * @param from  source address; NULL: the gateway's
 * @param quote IP header and what follows, as the guest sent it
 * @return false: none was sent, for want of a buffer, of a whole quote, or of leave
 */
bool l4x_icmp_error(struct l4x *l, struct l4x_port *port, uint8_t queue, bool v4, uint8_t type,
	uint8_t code, uint32_t info, const struct flowtab_addr *from, const void *quote,
	uint32_t quote_len);
/** RFC 1122, 3.2.2 and RFC 4443, 2.4 (e): is this a packet that no such error is ever sent about?
 */
bool l4x_icmp_error_forbidden(const struct l4x_pkt *p, uint8_t type, uint8_t code);
/** The same about a packet just parsed (not freed), unless that is forbidden. */
void l4x_icmp_error_pkt(
	struct l4x *l, const struct l4x_pkt *p, uint8_t type, uint8_t code, uint32_t info);
/** Which ICMP error tells errno best; false: none does. type and code in the guest's family. */
bool l4x_errno_to_icmp(int err, bool v4, uint8_t *type, uint8_t *code);

/* ---- rule.c: flows to and from the host, and what rules ask for besides ---- */

/**
 * May the guest begin this flow, and where does it lead?
 * @param host receives the host side: l4x_outbound(), or as a rule has it
 * @return 0; -EHOSTUNREACH not carried; -EPERM a rule drops it; -EACCES one rejects it
 */
int l4x_rule_out(struct l4x *l, const struct l4x_port *port, const struct flowtab_tuple *guest,
	struct flowtab_tuple *host, struct l4x_terms *terms);
/**
 * May a flow from outside come to the guest, and as what?
 * @param guest, host as by l4x_inbound(); a rule may change what the guest sees
 * @return 0; -EPERM no; -EADDRNOTAVAIL it cannot be what the rule wants it to be; both are counted
 */
int l4x_rule_in(struct l4x *l, const struct l4x_port *port, struct flowtab_tuple *guest,
	const struct flowtab_tuple *host, struct l4x_terms *terms);
/** A rule (or policy) does not let the packet pass: count it, and tell its sender of a reject. */
void l4x_rule_refuse(struct l4x *l, const struct l4x_pkt *p, enum rules_action action);
/**
 * One address of a range, by who asks.
 * @param choice enum ct_nat_choice
 * @param nth    0 and up, below the number of addresses: another one for each
 */
struct flowtab_addr l4x_rule_pick(struct l4x *l, const struct ct_nat_range *r, uint8_t choice,
	const struct flowtab_tuple *t, uint32_t nth);
/** The flow as its first packet came: from the peer, unless it is of the guest's other family. */
struct flowtab_tuple l4x_rule_seen_in(
	const struct flowtab_tuple *guest, const struct flowtab_addr *peer, rte_be16_t peer_port);
/** The rule and its action for a flow; without rules: accept, but drop east-west. */
enum rules_action l4x_rule_find(const struct l4x *l, const struct l4x_port *port,
	const struct flowtab_tuple *t, enum rules_direction direction, uint16_t to_pif,
	const struct rule **rule);

/** A flow was decided about: count it, and log it if the rule wants that. rule NULL: the policy. */
void l4x_rule_decided(struct l4x *l, const struct rule *rule, enum rules_direction direction,
	const struct flowtab_tuple *t);

/* ---- recheck.c ---- */

/** From now on, flows that live are held against rules and ports as they are now. */
void l4x_recheck_begin(struct l4x *l);
/** Hold some flows against them, and cut those that are allowed no more. */
void l4x_recheck(struct l4x *l);

/* ---- ew_steer.c: what rules mean for the way of packets ---- */

/** Rules have changed. */
void l4x_ew_update(struct l4x *l);
/** A port has come or changed. */
void l4x_ew_port(const struct l4x *l, struct l4x_port *port);
/** May the address stand for a guest, though it is assigned to none? */
bool l4x_ew_stands_for_guest(
	const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *a);
/**
 * The worker that owns a flow between guests, by a packet of either direction.
 * @return -1: the packet is for nobody on this network
 */
int l4x_ew_owner(struct l4x *l, struct l4x_port *port, const struct flowtab_tuple *t);

/** Is it another guest's address, and one that this guest may come to know of? */
static inline bool
l4x_ew_is_taken(const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *a)
{
	return l->ew.open && l4x_neighbour(l, port, a) != 0;
}

/* ---- ew.c: packets between guests ---- */

/** Are both of one network and zone? */
static inline bool
l4x_ew_may_meet(const struct l4x_port *a, const struct l4x_port *b)
{
	return a->conf.zone == b->conf.zone && a->conf.network == b->conf.network;
}

/** May the guest be met under this address: its own, or one of the link that is no other's? */
bool l4x_ew_is_own(const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *a);

/** A packet of a tracked flow; owns the frame. */
void l4x_ew_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx, uint8_t side);
/** A packet of no flow. @return false: not for another guest, the frame is still the caller's */
bool l4x_ew_begin(struct l4x *l, struct l4x_pkt *p);

/* ---- ew_out.c: from the flow's owner to the guest ---- */

/** Is the packet small enough for the port, or may be cut? If not, its sender is told. */
bool l4x_ew_fits(struct l4x *l, struct l4x_pkt *p, const struct l4x_port *to);
/** A packet that was tracked, to the guest, by the flow idx; owns the frame. */
void l4x_ew_send(struct l4x *l, struct l4x_pkt *p, struct l4x_port *to, uint32_t idx, uint8_t side);

/* ---- gso.c ---- */

/** The segments of a TSO frame, headers complete but for the TCP checksums; owns m. */
void l4x_gso_send(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m);

/* ---- the guest's own configuration: frame in, answer in the output; the frame is freed ---- */
void l4x_arp(struct l4x *l, struct l4x_pkt *p);
void l4x_nd(struct l4x *l, struct l4x_pkt *p); /**< all ND types; checksum verified here */
void l4x_dhcp(struct l4x *l, struct l4x_pkt *p);
void l4x_dhcp6(struct l4x *l, struct l4x_pkt *p);

/** Room for the names of a search list: "a b" takes six bytes. */
#define L4X_NAMES_MAX (2 * L4X_MAX_SEARCH)
/**
 * names.c: a list of names, separated by blanks, as DNS writes them (RFC 1035, 3.1; uncompressed).
 * What is no legal name, or does not fit, is left out.
 * @return bytes written
 */
uint32_t l4x_names_encode(const char *list, uint8_t *out, uint32_t size);
/** The guest's host name in the first domain of its search list. @return bytes written, 0: none */
uint32_t l4x_fqdn_encode(const struct l4x_port_conf *conf, uint8_t *out, uint32_t size);
/**
 * dhcp.c: a datagram of weir's own, checksum complete, IP and Ethernet headers in front.
 * @param t source oaddr:oport, destination eaddr:eport
 * @return the frame, or NULL (counted)
 */
struct rte_mbuf *l4x_dhcp_frame(struct l4x *l, const struct l4x_port *port,
	const struct flowtab_tuple *t, const void *msg, uint32_t len);
/** Send what advertisements are due; sets l->next_ra_us. */
void l4x_nd_timers(struct l4x *l);
/** The link came up: advertise soon, if this worker is the one to do so. */
void l4x_nd_link(struct l4x *l, struct l4x_port *port);
/** weir leaves the link: if this worker advertised, it says that there is no router any more. */
void l4x_nd_leave(struct l4x *l, struct l4x_port *port);

/* ---- protocols: idx is FLOWTAB_NONE for a packet of no flow; the frame becomes theirs ---- */
void l4x_udp_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx);
void l4x_udp_event(struct l4x *l, uint32_t idx, const struct l4x_event *ev);
void l4x_udp_listen(struct l4x *l, const struct l4x_event *ev);
void l4x_icmp_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx);
void l4x_icmp_event(struct l4x *l, uint32_t idx, const struct l4x_event *ev);
/** End of a burst: close the DGRAM operations of the burst. */
void l4x_dgram_burst_end(struct l4x *l);
/** The flow is about to be freed: its socket goes. Makes no call into the flow table. */
void l4x_dgram_gone(struct l4x *l, uint32_t idx);
/** Close and free the flow. */
void l4x_dgram_close(struct l4x *l, uint32_t idx);

void l4x_tcp_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx);
void l4x_tcp_event(struct l4x *l, uint32_t idx, const struct l4x_event *ev);
void l4x_tcp_accepted(struct l4x *l, const struct l4x_event *ev);
/** End of a burst of frames or events: one SEND, one ACK frame, one ACK op per flow at most. */
void l4x_tcp_burst_end(struct l4x *l);
/** The timer of the flow has come. */
void l4x_tcp_timer(struct l4x *l, uint32_t idx);
/** The earliest thing the flow waits for, us; for the wheel. */
uint64_t l4x_tcp_deadline_us(const struct l4x *l, uint32_t idx);
/** Shut down, port removed: RST to the guest and to the peer; frees the flow. */
void l4x_tcp_kill(struct l4x *l, uint32_t idx);
const char *l4x_tcp_state_name(const struct l4x_flow *f);

#endif
