/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * weir-gen: guests and their peer in one polled thread, as a load for weir.
 *
 * A guest is a vhost-user front-end (tests/harness/vhu.h) that drives the rings itself: frames are
 * a few header bytes and payload that nobody ever writes or reads. The peer is the host's side:
 * kernel sockets on 127.0.0.1, read with MSG_TRUNC, so that the load costs as little as it can.
 * Every loop is bounded in time.
 *
 *   gen.c           options; a run from beginning to end
 *   gen_case_tcp.c  the cases: what guests and peer do in turn
 *   gen_case_udp.c
 *   gen_report.c    measuring a case, and the line of JSON
 *   gen_ring.c      descriptors: slots to send, buffers to receive
 *   gen_guest.c     a guest: its front-end, ARP, UDP, what is due in each turn
 *   gen_tcp.c       the guests' TCP
 *   gen_host.c      the peer's sockets
 *   gen_idle.c      connections and flows that are there and silent
 *   gen_pair.c      a second guest, for what goes between two
 *   gen_limit.c     bare sockets in place of guest and back-end: what the kernel can do
 *
 * struct gen is the run. It has guests, each with its rings and its share of the connections, and
 * the peer, which has one service (a listening port and what was accepted there) for each kind of
 * connection.
 */
#ifndef GEN_H
#define GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "vhu.h"

#define GEN_MAX_CONNS 4096
#define GEN_MAX_VMS 64
/** As many flows as weir can have. */
#define GEN_MAX_IDLE (1u << 24)
/** Longest wait for the back-end to be there, and for all connections to be open. */
#define GEN_PATIENCE_MS 30000
/** Ethernet, IPv4 and TCP headers. */
#define GEN_TCP_HEAD 54
#define GEN_UDP_HEAD 42
/** Largest frame that lies in a slot as a whole. */
#define GEN_FRAME_MAX 112
/** Descriptors of a slot: headers, and payload in halves as a Linux guest's page fragments lie. */
#define GEN_SLOT_DESCS 3
#define GEN_HALF_BYTES 32768
/** What a socket is asked for, or given, in one call. */
#define GEN_READ_BYTES (1u << 20)
#define GEN_WRITE_BYTES (256u << 10)

struct gen;

enum gen_idle_kind {
	GEN_IDLE_TCP,
	GEN_IDLE_UDP,
	GEN_IDLE_EAST_WEST, /**< UDP between two guests */
	GEN_IDLE_KINDS
};

enum gen_tcp_state {
	GEN_IDLE,
	GEN_SYN_SENT,
	GEN_OPEN,
	GEN_FIN_SENT, /**< our FIN is out, the peer's has not come */
	GEN_DONE,
};

/** A connection or UDP flow of a guest. */
struct gen_conn {
	struct gen_guest *guest;
	enum gen_tcp_state state;
	uint16_t port;      /**< the guest's */
	uint16_t host_port; /**< the service's */
	uint32_t snd_una, snd_nxt, rcv_nxt;
	uint32_t window; /**< bytes past snd_una that may be sent */
	uint8_t wscale;
	uint8_t dup_acks;
	bool ack_owed;
	bool touched; /**< is in the guest's list */
	bool bulk;    /**< tcp-mix: not one that asks */
	bool asked;   /**< request-response: under way, up to request_end */
	uint32_t request_end;
	uint64_t got_bytes; /**< payload received by the guest */
	uint64_t una_ms;    /**< when snd_una moved last, for going back */
	uint64_t start_ns;  /**< of the request under way */
};

struct gen_slot {
	uint8_t *head; /**< vnet header and frame headers, in guest memory */
	uint16_t next_free;
};

/** A queue pair. */
struct gen_rings {
	struct vhu_ring *tx, *rx;
	struct gen_slot *slots;
	uint16_t n_slots, free_slot;
	uint8_t **rx_bufs;
};

/** One virtual machine. */
struct gen_guest {
	struct gen *g;
	struct vhu *v;
	unsigned int number;
	uint8_t mac[6], gw_mac[6];
	uint32_t ip, gw_ip; /**< host order */
	bool gw_known;
	/* rings */
	struct gen_rings rings[VHU_MAX_PAIRS];
	unsigned int n_pairs;
	unsigned int slots_free; /**< of all pairs */
	uint8_t *payload;
	/* connections: every so many-th of the run's */
	struct gen_conn **conns;
	unsigned int n_conns;
	unsigned int next_conn; /**< whose turn to send it is */
	struct gen_conn **by_port;
	struct gen_conn **touched; /**< something has come for them, or is to be done again */
	unsigned int n_touched;
	uint16_t next_port; /**< of the next short connection */
	uint64_t swept_ns;  /**< when all connections were last looked at for being late */
	/* counted */
	uint64_t rx_frames, tx_frames, retransmits;
	uint64_t other_queue; /**< frames of a flow that came on another pair than it sends on */
	uint64_t acked_bytes, got_bytes;
	uint64_t udp_got, udp_arrived; /**< by the guest; at the peer */
	uint64_t transactions;
	uint64_t share_before; /**< of units, when measuring began */
};

/** A port of the peer's, and the connections that were accepted there. */
struct gen_service {
	int listen_fd, epoll_fd;
	uint16_t port;
	int *fds;
	unsigned int n_fds, max_fds;
	bool fills; /**< the peer writes as fast as it can, and reads nothing */
	bool *full; /**< fills: by socket, it takes no more for now */
	unsigned int n_full, fill_turn;
};

struct gen {
	/* options */
	const char *path; /**< with several guests, a pattern with %u */
	const char *mode;
	unsigned int n_vms, n_queues;
	unsigned int n_conns;
	unsigned int n_bulk; /**< tcp-mix: connections beside them */
	unsigned int n_idle;
	const char *idle_name; /**< tcp, udp or east-west */
	enum gen_idle_kind idle_kind;
	unsigned int mtu;
	bool interrupts; /**< wanted for each frame */
	bool tso;
	bool whole; /**< a frame is one descriptor, headers and payload together */
	unsigned int ring_size;
	unsigned int rx_buf_bytes;
	unsigned int size;  /**< payload of a datagram */
	unsigned int train; /**< datagrams per send() of the peer */
	unsigned int ms;
	int backend_pid;    /**< whose CPU time counts; 0 unknown */
	int limit_cpu;      /**< bare sockets on this CPU instead of guest and back-end; -1: no */
	uint32_t ip, gw_ip; /**< of the first guest, host order */
	bool no_arp;        /**< the back-end answers no ARP, and looks at no address */
	const char *peer_path; /**< east-west: of the second guest */
	uint32_t peer_ip;
	/* guests */
	struct gen_guest *guests; /**< n_vms */
	struct gen_conn *conns;   /**< n_conns, then n_bulk */
	uint64_t now_ns;
	uint64_t failed; /**< connections that ended before their answer */
	struct gen_idle *idle;
	/* peer */
	struct gen_service tcp, bulk_out, bulk_in;
	int udp_fd;
	uint16_t udp_port;
	struct sockaddr_in *udp_peers; /**< of flows by number, port 0: not known yet */
	uint16_t *udp_flow;            /**< by the port of its datagrams: number of the flow + 1 */
	unsigned int n_udp_peers, udp_turn;
	uint64_t udp_swept_ns; /**< udp-rr: when answers were last missed */
	uint8_t *host_buf;
	/* in place of one or the other, or beside them */
	struct gen_guest *peer;
	struct gen_limit *limit;
};

#define GEN_NO_SLOT UINT16_MAX
#define GEN_MAX_SAMPLES (1u << 20)

/** What a case has measured. */
struct gen_result {
	uint64_t units; /**< bytes, datagrams or transactions */
	uint64_t bulk_bytes;
	uint64_t ns;
	uint32_t *samples_ns; /**< of transactions, room for GEN_MAX_SAMPLES */
	uint32_t n_samples;
	double cpu_s; /**< of the back-end */
};

struct gen_case {
	const char *name, *unit;
	/** One iteration: load on, count what arrived. */
	void (*turn)(struct gen *g, struct gen_result *r);
	bool (*prepare)(struct gen *g);                     /**< NULL: nothing to do */
	void (*begin)(struct gen *g, struct gen_result *r); /**< the warm-up is over; may be NULL */
	void (*end)(struct gen *g, struct gen_result *r);   /**< measured; may be NULL */
	uint64_t (*share)(const struct gen_guest *u); /**< units so far of one guest; may be NULL */
};

uint64_t gen_clock_ns(void);

/* gen_case_tcp.c, gen_case_udp.c */
/** @return NULL: there is none */
const struct gen_case *gen_case_tcp_find(const char *name);
const struct gen_case *gen_case_udp_find(const char *name);

/* gen_report.c */
/** A transaction that began then ends now; 0: it was not timed. */
void gen_sample(struct gen_result *r, uint64_t start_ns);
/** Warm up, measure, report. @return 0, or -1 with a message */
int gen_measure(struct gen *g, const struct gen_case *k, struct gen_result *r);

/* gen_ring.c */
int gen_ring_init(struct gen_guest *u);
/** @return a free slot of this pair, or GEN_NO_SLOT */
uint16_t gen_slot_get(struct gen_guest *u, unsigned int pair);
/** Queue a slot: head_bytes of headers (vnet header included) and payload. */
void gen_slot_send(struct gen_guest *u, unsigned int pair, uint16_t slot, unsigned int head_bytes,
	unsigned int payload);
/** Publish what was queued, kick if wished for, take back what was used. */
void gen_ring_flush(struct gen_guest *u);
/**
 * Called with the first buffer of each frame, vnet header included, the frame's length, and the
 * pair that it came on.
 */
typedef void (*gen_frame_fn)(
	struct gen_guest *u, const uint8_t *buf, uint32_t frame_bytes, unsigned int pair);
unsigned int gen_ring_poll(struct gen_guest *u, gen_frame_fn fn);
void gen_ring_free(struct gen_guest *u);

/* gen_guest.c */
/** Connect to the back-end, and learn the gateway. @return 0, or -1 with a message */
int gen_guest_open(struct gen_guest *u, const char *path);
void gen_guest_close(struct gen_guest *u);
void gen_guest_frame(
	struct gen_guest *u, const uint8_t *buf, uint32_t frame_bytes, unsigned int pair);
bool gen_guest_arp(struct gen_guest *u); /**< learn the gateway's MAC; bounded */
unsigned int gen_guest_pair(const struct gen_guest *u, uint16_t port);
/** The case is to look at this connection in its next turn. */
void gen_guest_touch(struct gen_conn *c);
/**
 * Hand each connection that was touched to the case. fn returns true when it has done what there
 * was to do, false when it must be asked again (no slot was free).
 */
typedef bool (*gen_conn_fn)(struct gen *g, struct gen_conn *c, struct gen_result *r);
void gen_guest_touched(struct gen_guest *u, gen_conn_fn fn, struct gen_result *r);
/** ACKs that are owed, and connections that are late; then publish. */
void gen_guest_flush(struct gen_guest *u);
/** Poll, nothing for the case to do, flush: for all guests. */
void gen_guests_turn(struct gen *g);
bool gen_guest_udp(struct gen_conn *c, unsigned int bytes);
/** A datagram whose payload is a number, of 4 bytes as they lie. */
bool gen_guest_udp_number(struct gen_guest *u, uint16_t port, uint16_t host_port, uint32_t number);
/** Headers of a datagram into a slot. */
void gen_guest_udp_head(
	struct gen_guest *u, uint8_t *head, uint16_t port, uint16_t host_port, unsigned int bytes);

/* gen_tcp.c */
void gen_tcp_connect(struct gen_conn *c);
bool gen_tcp_close(struct gen_conn *c);
/** @return false: no slot */
bool gen_tcp_ack(struct gen_conn *c);
/** Send up to bytes, as far as window and slots allow. @return bytes sent */
uint32_t gen_tcp_send(struct gen_conn *c, uint32_t bytes);
/** Go back where nothing has moved for long. */
void gen_tcp_late(struct gen_conn *c);

/* gen_host.c */
int gen_host_init(struct gen *g);
void gen_host_close(struct gen *g);
/** A port to listen on, for so many connections. @return 0 or -1 with errno set */
int gen_service_open(struct gen_service *s, unsigned int max_fds);
void gen_service_close(struct gen_service *s);
void gen_host_accept(struct gen_service *s);
/** Read and forget whatever has come, on all sockets. @return bytes */
uint64_t gen_host_drain(struct gen_service *s);
/** Write to a socket that has room, each in its turn. */
void gen_host_fill(struct gen_service *s, const uint8_t *buf);
/** Answer every byte with a byte; a peer that has closed is closed. */
void gen_host_echo(struct gen_service *s);
/** A bound socket for datagrams of many flows. @return -1 with errno set */
int gen_host_udp_open(uint16_t *port);
uint64_t gen_host_udp_drain(struct gen *g); /**< @return datagrams */
/** Answer every datagram to where it came from. */
void gen_host_udp_echo(struct gen *g);
/** Learn the address of a flow, if a datagram with the number of one has come. */
void gen_host_udp_learn(struct gen *g);
/** Send one datagram, or one train of them, to the next flow in turn. */
void gen_host_udp_fill(struct gen *g);
/** One recvmsg() of a socket with UDP_GRO, into GEN_READ_BYTES. @return datagrams, 0 none */
unsigned int gen_udp_read(int fd, uint8_t *buf, struct sockaddr_in *from, ssize_t *bytes);
/** Send train datagrams of this size in one call; to is NULL on a connected socket. */
bool gen_udp_send(
	int fd, struct sockaddr_in *to, uint8_t *buf, unsigned int size, unsigned int train);

/* gen_idle.c */
/** Open n_idle connections or flows. @return 0, or -1 with a message */
int gen_idle_open(struct gen *g);
/** Is this one of the ports that idle connections lead to? */
bool gen_idle_is(const struct gen *g, uint16_t host_port);
void gen_idle_tcp(struct gen_guest *u, const struct tcphdr *t, uint32_t payload);
void gen_idle_close(struct gen *g);

/* gen_pair.c */
/** The case east-west. */
const struct gen_case *gen_pair_find(const char *name);
/** The second guest, which sends to the first. @return 0, or -1 with a message */
int gen_pair_open(struct gen *g);
void gen_pair_close(struct gen *g);

/* gen_limit.c */
/** The same cases with a child that plays guest and back-end. */
const struct gen_case *gen_limit_find(const char *name);
void gen_limit_close(struct gen *g);

#endif
