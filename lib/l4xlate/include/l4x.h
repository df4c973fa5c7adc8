/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * lib/l4xlate: between a guest's frames and the host's sockets.
 *
 * A compiler, not a framework. Feed it a burst of frames from a guest (l4x_rx_burst()), a burst of
 * events from the bridges (l4x_events()) or the time (l4x_timers()); each appends to the context's
 * output (l4x_out()): frames to guests, operations to bridges, frames to hand to another worker.
 * The caller takes the output and calls l4x_out_reset() before it feeds more. The library makes no
 * system call, reads no clock, takes no lock, and logs nothing: what goes wrong is counted.
 *
 * Frames from a guest. The first segment holds at least L4X_HEAD_BYTES bytes of the frame (or all
 * of it), copied out of guest memory; later segments may be guest memory and are never parsed.
 * Offload flags as DPDK defines them: RTE_MBUF_F_RX_L4_CKSUM_NONE: the guest left the L4 checksum
 * to us, the data is good; RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN (0): to be verified here; tso_segsz != 0:
 * the frame is a TSO (or USO) frame of such segments. l2_len.. are not looked at; packet_type is 0,
 * or as it was in a frame handed over.
 *
 * Frames to a guest. RTE_MBUF_F_TX_TCP_CKSUM / UDP_CKSUM with the pseudo-header sum in place ask
 * the port to vouch or to complete; RTE_MBUF_F_TX_TCP_SEG and tso_segsz make a TSO frame; l2_len,
 * l3_len and l4_len are set. Payload frames are the mbufs of L4X_EV_DATA with headers prepended in
 * place.
 *
 * A frame that the port does not take, for want of buffers in the guest, goes back by
 * l4x_frames_unsent().
 *
 * East-west: ports of one network and one zone reach each other by their assigned addresses, if
 * rules let them (rules.h; none at first, so nobody reaches anybody). Such packets are tracked
 * (ct.h) and forwarded, frame by frame, at the worker that owns the flow; a frame whose receiver's
 * queue pair is polled by another worker goes there as L4X_FRAME_OUT. Zones are worlds apart.
 *
 * Ownership: an mbuf passed in belongs to the context; an mbuf in the output to the caller.
 * Threads: one context belongs to one worker. l4x_steer() and the text functions are pure.
 * Time: now_us, monotonic, any origin, the same for all calls.
 */
#ifndef L4X_H
#define L4X_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>

#include <ct.h>
#include <flowtab.h>
#include <rules.h>

#include "l4x_msg.h"
#include "l4x_reason.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

#define L4X_BURST 32
#define L4X_HEAD_BYTES 256
/** Largest IP packet that is exchanged with a guest that takes TSO. */
#define L4X_GSO_MAX 65535
#define L4X_MAX_DNS 4
#define L4X_MAX_SEARCH 256 /**< bytes of search list text, names separated by spaces */
#define L4X_MAX_QUEUES 64
#define L4X_MAX_PIFS 1024

/** What the guest behind a port has negotiated: L4X_OFFLOAD_*. */
#define L4X_OFFLOAD_CSUM 0x01 /**< takes frames with partial checksums (GUEST_CSUM) */
#define L4X_OFFLOAD_TSO4 0x02
#define L4X_OFFLOAD_TSO6 0x04
#define L4X_OFFLOAD_ECN 0x08

/** Ports first..last of the host that lead to as many of the guest, from guest_first on. */
struct l4x_forward {
	struct flowtab_addr addr;          /**< of the host; ::, any address of either family */
	uint16_t first, last, guest_first; /**< host order */
	uint16_t pad;
};

/** Everything about one guest's port that translation needs. Plain data, copied. */
struct l4x_port_conf {
	uint16_t pif; /**< 1 .. L4X_MAX_PIFS-1 */
	/** Ports of one network and one zone are neighbours: see "East-west" above. */
	uint16_t network;
	uint16_t zone;
	uint16_t mtu; /**< 68 (1280 with IPv6) .. 65520 */
	struct rte_ether_addr
		guest_mac; /**< told by DHCP nothing; used until a frame shows another */
	struct rte_ether_addr gateway_mac;    /**< weir's own MAC on this link */
	bool ipv4, ipv6;                      /**< family enabled */
	struct flowtab_addr address, gateway; /**< IPv4 */
	uint8_t prefix_len;
	struct flowtab_addr address6, gateway6; /**< IPv6 */
	uint8_t prefix6_len;
	/** Guest address that stands for the host's 127.0.0.1 / ::1; zero: none. */
	struct flowtab_addr loopback, loopback6;
	/** Resolvers told to the guest (DHCP, DHCPv6, RA). */
	struct flowtab_addr dns[L4X_MAX_DNS];
	uint8_t n_dns;
	/** Where port 53 of a gateway address is forwarded; zero: nowhere. */
	struct flowtab_addr dns_forward;
	char search[L4X_MAX_SEARCH];
	char hostname[64];
	uint32_t max_flows;       /**< 0: no limit of its own */
	uint32_t new_flows_per_s; /**< 0: no limit */
	uint32_t mark;            /**< SO_MARK of its sockets */
	uint32_t lease_s;         /**< DHCP and DHCPv6 lease time */
	/** UDP forwards to the guest, and whose listeners they are; valid as long as this conf is.
	 */
	const struct l4x_forward *udp;
	uint32_t n_udp;
	uint8_t udp_bridge;
	/** Which worker polls queue pair q: the flow's owner is one of these. */
	uint8_t n_queues;
	uint8_t queue_worker[L4X_MAX_QUEUES];
	/**
	 * How many queue pairs, from the first on, the guest uses at present: shared by all who
	 * steer, written by the port's owner. NULL: all. Only those can be owners: an owner must
	 * have a queue pair to answer on.
	 */
	const _Atomic uint32_t *live_queues;
};

/** Limits in ms, each a configuration key (tcp.md). 0 in l4x_params.timeouts means the default. */
struct l4x_timeouts {
	uint32_t tcp_syn_ms;           /**< inbound SYN unanswered: 240 000 */
	uint32_t tcp_established_ms;   /**< silent: 7 200 000 */
	uint32_t tcp_half_closed_ms;   /**< 240 000 */
	uint32_t tcp_fin_ms;           /**< last ACK: 240 000 */
	uint32_t tcp_keepalive_ms;     /**< silence before a probe to the guest: 30 000 */
	uint32_t tcp_keepalive_probes; /**< unanswered ones before reset: 9 */
	uint32_t tcp_retries;          /**< retransmissions before RST: 10 */
	uint32_t udp_ms;               /**< one way: 30 000 */
	uint32_t udp_stream_ms;        /**< both ways: 180 000 */
	uint32_t icmp_ms;              /**< 30 000 */
};

/** A rule with `log` has decided about a flow. */
struct l4x_log {
	struct flowtab_tuple tuple; /**< as its first packet came in; pif: the guest's */
	uint32_t rule;              /**< its number */
	uint8_t direction;          /**< enum rules_direction */
	uint8_t action;             /**< enum rules_action */
	uint8_t pad[2];
};
static_assert(sizeof(struct l4x_log) % 4 == 0, "an element of a ring");

struct l4x_params {
	const char *name; /**< unique in the process */
	uint8_t worker;   /**< number of the worker that owns this context */
	uint8_t bridge;   /**< bridge for the flows that guests open */
	uint32_t max_flows;
	int socket_id;
	uint64_t now_us;
	uint8_t secret[16]; /**< ISN and hash key; the hash part must be equal in all workers */
	struct rte_mempool *pool; /**< frames that l4x makes: 2 KiB data room */
	struct l4x_timeouts timeouts;
	uint8_t n_workers; /**< that there are; 0: 1 */
	/** Of all workers: flowtab_params.zones. NULL: zones of its own. */
	struct flowtab_zones *zones;
	/** Flows that rules want logged: struct l4x_log, single producer. NULL: nobody reads. */
	struct rte_ring *log;
	bool evict;        /**< flowtab_params.evict */
	bool no_seq_check; /**< ct_params.no_seq_check */
	bool no_pickup;    /**< ct_params.no_pickup */
};

/** What one worker hands to another: see l4x_rx_handover(). */
enum l4x_frame_kind {
	L4X_FRAME_IN = 0,      /**< from the guest, for the worker that owns its flow */
	L4X_FRAME_OUT,         /**< to the guest, for the worker that polls the queue pair */
	L4X_FRAME_NORTH_SOUTH, /**< the same as IN: it is known not to be for another guest */
	L4X_FRAME_NEWS,        /**< no frame, but what one worker has heard of the guest */
};

/** A frame in the output. */
struct l4x_frame {
	struct rte_mbuf *m;
	uint16_t pif;
	uint8_t queue;  /**< queue pair of the port */
	uint8_t worker; /**< whose frame it is: in frames, who polls the queue */
	uint8_t kind;   /**< enum l4x_frame_kind */
	uint64_t flow;  /**< its handle, for l4x_frames_unsent(); 0: of none that would care */
};

/** Room in the output; what one call can make at most is below it. */
#define L4X_OUT_OPS 2048
#define L4X_OUT_FRAMES 2048
/** Operations of one frame or event, DGRAM aside: to make room for a flow, others are closed. */
#define L4X_UNIT_OPS (FLOWTAB_GONE_MAX + 8)
/** Places that DGRAM leaves free: what opens and closes sockets is never lost for lack of room. */
#define L4X_OUT_RESERVED (L4X_BURST * L4X_UNIT_OPS)
static_assert(L4X_OUT_OPS - L4X_OUT_RESERVED >= 512, "datagrams have room, too");

/** What the last calls made, in order. Read-only but for l4x_out_reset(). */
struct l4x_out {
	uint32_t n_ops;
	uint32_t n_frames;
	uint32_t n_handover;
	struct l4x_op ops[L4X_OUT_OPS];
	/** To guests; those whose worker is another go there, others to their queue pair. */
	struct l4x_frame frames[L4X_OUT_FRAMES];
	struct l4x_frame handover[L4X_BURST]; /**< to other workers: IN and NEWS */
};

struct l4x;

/** @return the context, or NULL with rte_errno set (EINVAL, ENOMEM, EEXIST) */
struct l4x *l4x_create(const struct l4x_params *p);
/** Frees what the context holds, output included. Sockets are the bridges' affair. */
void l4x_destroy(struct l4x *l);

/**
 * Make a port known, or change it. The link is down until l4x_port_link(). Flows go on, but for
 * those of another zone and those between guests one of which is not whom they began with: these
 * are cut as by l4x_rules_set().
 * @return 0, -EINVAL, -ENOMEM
 */
int l4x_port_set(struct l4x *l, const struct l4x_port_conf *conf);
/**
 * Remove a port: its flows are closed, and the guest is told that its router goes (in the output;
 * repeat while it returns > 0).
 */
int l4x_port_remove(struct l4x *l, uint16_t pif);
/**
 * The guest came, went, or negotiated anew. Flows live on over a reconnect of the port: a guest
 * that was rebooted has them reset by its own RSTs or by their timers.
 * @param offloads L4X_OFFLOAD_*
 */
void l4x_port_link(struct l4x *l, uint16_t pif, bool up, uint32_t offloads);

/**
 * Frames of one burst of one queue of one port.
 * @param n <= L4X_BURST
 */
void l4x_rx_burst(struct l4x *l, uint16_t pif, uint8_t queue, struct rte_mbuf **frames,
	unsigned int n, uint64_t now_us);
/**
 * What another worker has handed over: frames from guests, which are not steered again, frames to
 * guests, and news.
 */
void l4x_rx_handover(
	struct l4x *l, const struct l4x_frame *frames, unsigned int n, uint64_t now_us);
/** Events of one burst. n <= L4X_BURST */
void l4x_events(struct l4x *l, const struct l4x_event *events, unsigned int n, uint64_t now_us);
/**
 * From now on these rules hold. Flows that they do not allow are cut by l4x_timers(), little by
 * little. Those of before are not referred to any more when this returns.
 * @param r shared by all contexts, outlives its use; NULL: out and in everything is allowed,
 *          east-west nothing
 */
void l4x_rules_set(struct l4x *l, struct rules *r);
/** The tracker of east-west flows, for its settings and counters. */
struct ct *l4x_ct(struct l4x *l);
/** Whatever is due: retransmission, probes, expiry, router advertisements. Bounded per call. */
void l4x_timers(struct l4x *l, uint64_t now_us);
/** When l4x_timers() is to be called next, for sleeping: us, UINT64_MAX = never. */
uint64_t l4x_next_us(const struct l4x *l);

/**
 * Frames of the output for which the guest had no buffer. What a TCP flow had counted as sent is
 * taken back and sent a few ms later; others are lost, as on any wire. Frees the mbufs, makes no
 * output: to be called between the output's being taken and l4x_out_reset().
 */
void l4x_frames_unsent(
	struct l4x *l, const struct l4x_frame *frames, unsigned int n, uint64_t now_us);

struct l4x_out *l4x_out(struct l4x *l);
/** Forget the output (its mbufs have gone their way). */
void l4x_out_reset(struct l4x *l);

/**
 * The worker that owns a flow, by its guest-side tuple: a pure function of tuple, key and conf.
 * The bridge calls it for accepted connections, through l4x_steer_inbound().
 */
uint8_t l4x_steer(const struct l4x_port_conf *conf, const uint8_t key[16],
	const struct flowtab_tuple *guest_side);
/** The tuple that a guest will see of a connection from peer, and its owner. */
uint8_t l4x_steer_inbound(const struct l4x_port_conf *conf, const uint8_t key[16],
	const struct l4x_event *accepted, uint8_t proto);

/**
 * True for addresses of the port's subnets: weir's own, the guest's, and such as nobody has.
 * Nothing that is sent to them is carried, but what is for a gateway address.
 */
bool l4x_addr_on_link(const struct l4x_port_conf *conf, const struct flowtab_addr *a);

/**
 * Shutdown: all flows are closed (orderly FIN/RST to guests, CLOSE to bridges), guests are told
 * that their router goes. > 0 while not done: empty the output and call again.
 */
int l4x_shutdown(struct l4x *l, uint64_t now_us);

/** L4X_COUNTERS counters; one writer (the worker), readable from any thread (relaxed). */
const uint64_t *l4x_counters(const struct l4x *l);
uint32_t l4x_flow_count(const struct l4x *l);

/** A flow as people see it; for `weirctl flow list`. */
struct l4x_flow_info {
	uint64_t handle;
	uint8_t kind;               /**< enum flowtab_kind; TRACKED: guest to guest */
	struct flowtab_tuple guest; /**< as the guest shows it; TRACKED: the one that began */
	/** As the socket shows it; TRACKED: as the other guest's answers come in. */
	struct flowtab_tuple host;
	bool translated;            /**< by a rule: guest and host do not name the same ends */
	uint8_t ct_state;           /**< TRACKED: CT_* */
	uint8_t helper;             /**< TRACKED: enum ct_helper */
	uint16_t rule;              /**< that has decided about it; RULES_NONE: the policy */
	uint64_t label[2];          /**< TRACKED */
	uint64_t parent;            /**< TRACKED: handle of the flow it is related to, or 0 */
	uint64_t pkts[2], bytes[2]; /**< [0] from the guest, [1] to the guest */
	uint64_t age_ms, left_ms;   /**< left_ms UINT64_MAX: no limit */
	uint32_t mark;
	uint16_t zone;
	uint8_t proto;
	bool inbound;
	char state[32]; /**< "established", "syn-sent", ... */
};
/**
 * @param cursor start with 0
 * @return number of entries; 0 at the end
 */
uint32_t l4x_flow_dump(const struct l4x *l, uint32_t *cursor, struct l4x_flow_info *info,
	uint32_t max, uint64_t now_us);
/** Operations and frames that ending one flow may take. */
#define L4X_END_ROOM 8
/**
 * End a flow: a socket's is closed, with RST to a guest's TCP; one between guests is forgotten.
 * @return 0; -ENOENT it is gone; -EAGAIN no room in the output: empty it and come again
 */
int l4x_flow_end(struct l4x *l, uint64_t handle, uint64_t now_us);
/**
 * The flow that a rule has led elsewhere and whose socket has this name.
 * @param cursor start with 0
 * @param max    flows looked at, at most
 * @return true: found, info is written; false: not among these; *cursor is UINT32_MAX at the end
 */
bool l4x_flow_named(const struct l4x *l, uint32_t *cursor, uint32_t max, uint8_t proto,
	const struct flowtab_addr *local, rte_be16_t local_port, struct l4x_flow_info *info,
	uint64_t now_us);

#endif
