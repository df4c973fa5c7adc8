/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A whole world in virtual time: a guest with a TCP of its own (sim_guest.c), a link that loses,
 * repeats, delays and reorders (sim.c), the code under test, and a bridge with one socket that
 * takes and gives as it is told to (sim_sock.c). Every byte is compared where it arrives, every
 * promise of tcp.c where it is made: acknowledgements do not move back, nothing is acknowledged
 * that the socket has not taken, no window is told that the socket has no room for, no credit is
 * given that the guest's window does not have.
 *
 * Equal configurations run equally. Asserts with cmocka. One thread.
 */
#ifndef SIM_H
#define SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4xkit.h>

#define SIM_MS 1000ull
#define SIM_S 1000000ull

/** Chances are of 10000. */
struct sim_conf {
	uint64_t seed;
	uint64_t start_us; /**< the world begins so much later, and weir's ISN is another */
	uint32_t loss, repeat, reorder;
	uint32_t full;     /**< chance that a frame finds the guest without buffers ... */
	uint32_t full_us;  /**< ... which it then is for so long */
	uint32_t delay_us; /**< of the link, each way; 0: 20 */
	bool v6, inbound;
	uint64_t up, down; /**< bytes guest -> host, host -> guest */
	/* the guest */
	uint32_t gisn;
	uint16_t mtu;      /**< 0: 1500 */
	bool no_tso;       /**< neither sent nor received */
	uint32_t rcvbuf;   /**< 0: 256 KiB */
	uint32_t app_rate; /**< bytes per ms that the guest's program reads; 0: at once */
	uint32_t pause_ms; /**< ... and how long it pauses after each 64 KiB */
	bool shrinks;      /**< takes its window back now and then */
	bool no_scale;
	/* the socket */
	uint32_t sndbuf;      /**< 0: 256 KiB */
	uint32_t peer_rate;   /**< bytes per ms that the peer takes; 0: at once */
	uint32_t source_rate; /**< bytes per ms that the peer sends; 0: at once */
	uint32_t remote_us;   /**< round trip to the peer; 0: local */
	bool lies;            /**< tells more space than there is */
	uint32_t stingy;      /**< chance that a send takes only a part */
	uint32_t bridge_us;   /**< delay of operations and events; 0: 5 */
	uint64_t limit_us;    /**< the world ends here, and the test fails; 0: 600 s */
	/* who closes: up and down are closed when all was sent */
	bool peer_waits;  /**< the peer closes only when it has seen the guest's FIN */
	bool guest_waits; /**< the guest closes only when it has seen ours */
};

struct sim_result {
	uint64_t took_us;
	uint32_t isn; /**< weir's */
	uint64_t counters[L4X_COUNTERS];
	uint64_t frames_up, frames_down, frames_unsent;
};

/** Run until both have everything and every flow is gone. */
struct sim_result sim_run(const struct sim_conf *conf);

#endif
