/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * weir-gen: a guest and its peer in one polled thread, as a load for weir.
 *
 * The guest is a vhost-user front-end (tests/harness/vhu.h) that drives the rings itself: frames
 * are a few header bytes and payload that nobody ever writes or reads. The peer is the host's side:
 * kernel sockets on 127.0.0.1, read with MSG_TRUNC, so that the load costs as little as it can.
 * Every loop is bounded in time.
 *
 *   gen.c        options
 *   gen_case.c   the cases: what guest and peer do in turn
 *   gen_report.c measuring a case, and the line of JSON
 *   gen_ring.c   descriptors: slots to send, buffers to receive
 *   gen_guest.c  the guest's ARP, TCP and UDP
 *   gen_host.c   the peer's sockets
 *   gen_pair.c   a second guest in the peer's place
 *   gen_limit.c  bare sockets in the guest's and the back-end's place: what the kernel can do
 */
#ifndef GEN_H
#define GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

#include "vhu.h"

#define GEN_MAX_CONNS 4096
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

enum gen_tcp_state {
	GEN_IDLE,
	GEN_SYN_SENT,
	GEN_OPEN,
	GEN_FIN_SENT, /**< our FIN is out, the peer's has not come */
	GEN_DONE,
};

/** One of the guest's connections or UDP flows. */
struct gen_conn {
	enum gen_tcp_state state;
	uint16_t port; /**< the guest's */
	uint32_t snd_una, snd_nxt, rcv_nxt;
	uint32_t window; /**< bytes past snd_una that may be sent */
	uint8_t wscale;
	uint8_t dup_acks;
	bool ack_owed;
	bool asked; /**< request-response: under way, up to request_end */
	uint32_t request_end;
	uint64_t got_bytes; /**< payload received by the guest */
	uint64_t una_ms;    /**< when snd_una moved last, for going back */
	uint64_t start_ns;  /**< of the request under way */
};

struct gen_slot {
	uint8_t *head; /**< vnet header and frame headers, in guest memory */
	uint16_t next_free;
};

struct gen {
	struct vhu *v;
	/* options */
	const char *path;
	const char *mode;
	unsigned int n_conns;
	unsigned int mtu;
	bool interrupts; /**< wanted for each frame */
	bool tso;
	bool whole; /**< a frame is one descriptor, headers and payload together */
	unsigned int ring_size;
	unsigned int rx_buf_bytes;
	unsigned int size;  /**< payload of a datagram */
	unsigned int train; /**< datagrams per send() of the peer */
	unsigned int ms;
	int backend_pid; /**< whose CPU time counts; 0 unknown */
	int limit_cpu;   /**< bare sockets on this CPU instead of guest and back-end; -1: no */
	/* guest */
	uint8_t mac[6], gw_mac[6];
	uint32_t ip, gw_ip; /**< host order */
	bool gw_known;
	bool no_arp; /**< the back-end answers no ARP, and looks at no address */
	uint16_t host_port;
	struct gen_conn *conns;
	uint16_t next_port; /**< of the next short connection */
	int32_t *by_port;   /**< 65536 entries: connection of a guest port, -1 none */
	uint64_t now_ns;
	uint64_t rx_frames, tx_frames, retransmits;
	uint64_t failed; /**< connections that ended before their answer */
	uint64_t udp_got, udp_sent;
	/* rings */
	struct gen_slot *slots;
	uint16_t n_slots, free_slot, slots_free;
	uint8_t *payload;
	uint8_t **rx_bufs;
	uint16_t rx_posted;
	/* peer */
	int listen_fd, udp_fd, epoll_fd;
	int *fds; /**< accepted, n_fds of them */
	unsigned int n_fds, fill_turn;
	struct sockaddr_in *udp_peers; /**< n_udp_peers, as learnt */
	uint8_t *udp_seen;             /**< by port: it is among them */
	unsigned int n_udp_peers, udp_turn;
	uint8_t *host_buf;
	/* a second guest in its place */
	const char *peer_path;
	uint32_t peer_ip;
	unsigned int frame_bytes; /**< of the frames that the peer counts */
	struct gen *peer;
	struct gen_limit *limit;
};

#define GEN_MAX_SAMPLES (1u << 20)

/** What a case has measured. */
struct gen_result {
	uint64_t units; /**< bytes, datagrams or transactions */
	uint64_t ns;
	uint32_t *samples_ns; /**< of transactions, room for GEN_MAX_SAMPLES */
	uint32_t n_samples;
	double cpu_s; /**< of the back-end */
};

struct gen_case {
	const char *name, *unit;
	/** One iteration: load on, count what arrived. @return units */
	uint64_t (*turn)(struct gen *g, struct gen_result *r);
	bool (*prepare)(struct gen *g);                     /**< NULL: nothing to do */
	void (*begin)(struct gen *g, struct gen_result *r); /**< the warm-up is over; may be NULL */
	void (*end)(struct gen *g, struct gen_result *r);   /**< measured; may be NULL */
};

#define GEN_NO_SLOT UINT16_MAX

uint64_t gen_clock_ns(void);

/* gen_case.c */
/** @return NULL: there is none */
const struct gen_case *gen_case_find(const char *name);

/* gen_report.c */
/** A transaction that began then ends now; 0: it was not timed. */
void gen_sample(struct gen_result *r, uint64_t start_ns);
/** Warm up, measure, report. @return 0, or -1 with a message */
int gen_measure(struct gen *g, const struct gen_case *k, struct gen_result *r);

/* gen_ring.c */
int gen_ring_init(struct gen *g);
/** @return a free slot, or GEN_NO_SLOT */
uint16_t gen_slot_get(struct gen *g);
/** Queue a slot: head_bytes of headers (vnet header included) and payload. */
void gen_slot_send(struct gen *g, uint16_t slot, unsigned int head_bytes, unsigned int payload);
/** Publish what was queued, kick if wished for, take back what was used. */
void gen_ring_flush(struct gen *g);
/** Called with the first buffer of each frame, vnet header included, and the frame's length. */
typedef void (*gen_frame_fn)(struct gen *g, const uint8_t *buf, uint32_t frame_bytes);
unsigned int gen_ring_poll(struct gen *g, gen_frame_fn fn);

/* gen_guest.c */
void gen_guest_frame(struct gen *g, const uint8_t *buf, uint32_t frame_bytes);
bool gen_guest_arp(struct gen *g); /**< learn the gateway's MAC; bounded */
void gen_guest_connect(struct gen *g, struct gen_conn *c);
void gen_guest_close(struct gen *g, struct gen_conn *c);
/** Send up to bytes, as far as window and slots allow. @return bytes sent */
uint32_t gen_guest_send(struct gen *g, struct gen_conn *c, uint32_t bytes);
/** ACKs that are owed, and go back where nothing has moved for long. */
void gen_guest_tick(struct gen *g);
bool gen_guest_udp(struct gen *g, struct gen_conn *c, unsigned int bytes);
/** Headers of a datagram into a slot. */
void gen_guest_udp_head(struct gen *g, uint16_t slot, uint16_t port, unsigned int bytes);

/* gen_host.c */
int gen_host_init(struct gen *g);
void gen_host_accept(struct gen *g);
/** Read and forget whatever has come, on all sockets. @return bytes */
uint64_t gen_host_drain(struct gen *g);
/** Write to sockets what they take, some in each turn. */
void gen_host_fill(struct gen *g);
/** Answer every byte with a byte; a peer that has closed is closed. */
void gen_host_echo(struct gen *g);
void gen_host_close_all(struct gen *g);
uint64_t gen_host_udp_drain(struct gen *g); /**< @return datagrams */
/** Answer every datagram to where it came from. */
void gen_host_udp_echo(struct gen *g);
/** Learn the address of a flow, if a datagram of a new one has come. */
void gen_host_udp_learn(struct gen *g);
/** Send one datagram, or one train of them, to the next flow in turn. */
void gen_host_udp_fill(struct gen *g);

/** One recvmsg() of a socket with UDP_GRO, into GEN_READ_BYTES. @return datagrams, 0 none */
unsigned int gen_udp_read(int fd, uint8_t *buf, struct sockaddr_in *from, ssize_t *bytes);
/** Send train datagrams of this size in one call; to is NULL on a connected socket. */
bool gen_udp_send(
	int fd, struct sockaddr_in *to, uint8_t *buf, unsigned int size, unsigned int train);

/* gen_pair.c */
/** Open the second guest, and lay the frames out. */
bool gen_pair_open(struct gen *g);
/** @return frames that the second guest received */
uint64_t gen_pair_turn(struct gen *g);
void gen_pair_close(struct gen *g);

/* gen_limit.c */
/** The child that plays guest and back-end; in place of connections by rings. */
const struct gen_case *gen_limit_find(const char *name);
void gen_limit_close(struct gen *g);

#endif
