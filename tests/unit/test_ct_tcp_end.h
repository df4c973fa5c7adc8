/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * An end of TCP connections as RFC 9293 wants it, with the habits of different systems to choose
 * from: numbers only, no bytes. What two of them say to each other is what a tracker must let pass.
 */
#ifndef TEST_CT_TCP_END_H
#define TEST_CT_TCP_END_H

#include <stdbool.h>
#include <stdint.h>

struct seg {
	uint32_t seq, ack, len; /**< len: payload */
	uint16_t win;
	uint8_t flags; /**< PKT_* */
	int8_t scale;  /**< of a SYN; below 0: no option */
};

/** How it behaves. */
struct end_habits {
	uint32_t mss;        /**< largest segment it makes; with TSO up to 65000 */
	uint32_t rcv_buf;    /**< what it can take before it is read */
	int8_t scale;        /**< that it offers; below 0: none */
	bool shrinks;        /**< takes back what it has offered (RFC 9293, 3.8.6: SHOULD NOT) */
	bool goes_back;      /**< after a timeout all is sent again, else the first segment only */
	bool fin_overflows;  /**< its FIN may lie behind a full window */
	bool probes_by_byte; /**< of a zero window: by new data; else by an old number */
	uint32_t read_max;   /**< bytes that its user reads at once; 0: never stops reading */
};

enum end_state {
	END_LISTENS, /**< or is closed: answers SYNs if it accepts, all else by RST */
	END_CALLS,
	END_IS_CALLED,
	END_TALKS,
	END_WAITS, /**< TIME_WAIT */
};

struct end {
	struct end_habits h;
	bool accepts;
	void (*emit)(void *arg, const struct seg *s);
	void *arg;
	uint64_t *seed;

	enum end_state state;
	uint32_t iss, una, nxt, max; /**< sent: acknowledged, next, most */
	uint32_t stop;               /**< behind the last byte that its user has written */
	uint32_t edge, wl1, wl2;     /**< of the window that it may fill */
	uint8_t peer_shift, shift;
	bool scaled, fin, fin_acked; /**< fin: nothing will be written any more */
	uint32_t cwnd, rto_ms;
	uint64_t rto_at, ack_at, probe_at, wait_until, alive_at;

	uint32_t rcv_nxt, rcv_edge, unread, fin_at;
	bool fin_known, fin_got, ack_due;
	struct {
		uint32_t from, to;
	} gaps[8]; /**< received out of order */
	unsigned int n_gaps;

	uint64_t got, resets; /**< bytes, in all connections; RSTs that ended one */
};

void end_call(struct end *e, uint64_t now_ms);
/** Its user writes, and closes if so. */
void end_write(struct end *e, uint32_t bytes, bool close, uint64_t now_ms);
/** Its user closes without having read all. */
void end_abort(struct end *e);
/** Everything is forgotten, as by a power failure. */
void end_forget(struct end *e);
void end_input(struct end *e, const struct seg *s, uint64_t now_ms);
/** Timers, and the user who reads. To be called once a ms, or at end_next(). */
void end_run(struct end *e, uint64_t now_ms);
/** Would this segment, if it came now, tell the end anything that it must know? */
bool end_needs(const struct end *e, const struct seg *s);
/** Would the end that has sent this segment send it otherwise now? */
bool end_has_moved_on(const struct end *e, const struct seg *s);
/** All that was written has been acknowledged, and both have closed. */
bool end_is_done(const struct end *e);
/** When end_run() has something to do, but reading. */
uint64_t end_next(const struct end *e);

#endif
