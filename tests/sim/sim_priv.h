/* SPDX-License-Identifier: BSD-3-Clause */
/** What the parts of the simulated world share. */
#ifndef SIM_PRIV_H
#define SIM_PRIV_H

#include "sim.h"

/** A segment on its way to the guest. */
struct sim_seg {
	struct sim_seg *next;
	uint64_t at_us;
	uint64_t order; /**< ties are kept in order */
	bool up;        /**< to weir: bytes is a whole frame */
	uint32_t seq, ack, win;
	uint8_t flags;
	int wscale;
	uint16_t mss, gso;
	uint32_t len;
	uint8_t *bytes;
};

/** An operation or an event on its way; first in, first out. */
struct sim_msg {
	struct sim_msg *next;
	uint64_t at_us;
	struct l4x_op op;
	struct l4x_event ev;
	uint8_t *bytes;
	uint32_t len;
};

struct sim_fifo {
	struct sim_msg *head, **tail;
};

enum sim_guest_state {
	SIM_CLOSED,
	SIM_SYN_SENT,
	SIM_SYN_RCVD,
	SIM_ESTABLISHED,
};

struct sim_guest {
	enum sim_guest_state state;
	uint32_t isn, peer_isn;
	int snd_scale, rcv_scale;
	uint16_t mss;
	/* sending: offsets */
	uint64_t una, nxt, max, edge, recover;
	uint32_t wl1;
	bool fin_sent, fin_acked, fin_ready;
	unsigned int dupacks, retries;
	uint64_t rto_at_us;
	uint64_t cwnd, ssthresh;
	/* receiving */
	uint8_t *got; /**< by offset */
	uint64_t rcv_nxt, read, told_edge, pause_until_us, app_us;
	uint64_t fin_off;
	bool fin_seen, fin_rcvd;
	unsigned int unacked;
	uint64_t delack_us;
	uint64_t done_us; /**< both ways closed */
};

struct sim_sock {
	bool opened, connected, closed;
	uint64_t flow;
	/* guest -> host */
	uint64_t taken, drained, peer_acked, shut_off;
	uint64_t edge; /**< furthest that room was told of */
	bool shut_wanted, shut_done, low;
	uint64_t drain_us;
	/* acknowledgements of a remote peer on their way: taken at a time */
	struct {
		uint64_t at_us, off;
	} acks[64];
	unsigned int n_acks;
	/* host -> guest */
	uint64_t avail, read_off, top, consumed, acked, limit;
	uint32_t frame_max;
	uint64_t source_us;
	bool eof_told;
};

struct sim {
	struct sim_conf c;
	struct l4xkit *k;
	uint64_t rng, order;
	struct sim_seg *segs; /**< sorted by time */
	struct sim_fifo ops, events;
	struct sim_guest g;
	struct sim_sock s;
	uint16_t gport, pport;
	const char *peer;
	uint64_t full_until_us;
	/* promises made to the guest */
	uint32_t last_ack;
	bool ack_seen;
	struct sim_result r;
	bool busy; /**< something happened in this round */
};

uint8_t sim_byte(uint64_t off, bool up);
uint32_t sim_random(struct sim *s, uint32_t below);
bool sim_chance(struct sim *s, uint32_t of_10000);

void sim_link_up(struct sim *s, const uint8_t *frame, uint32_t len, uint16_t gso);

void sim_guest_start(struct sim *s);
void sim_guest_in(struct sim *s, const struct sim_seg *seg);
void sim_guest_tick(struct sim *s);
uint64_t sim_guest_next(const struct sim *s);

void sim_sock_accept(struct sim *s);
void sim_sock_op(struct sim *s, struct sim_msg *m);
void sim_sock_tick(struct sim *s);
uint64_t sim_sock_next(const struct sim *s);
void sim_event(struct sim *s, const struct l4x_event *ev);

#endif
