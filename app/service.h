/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A bridge on a core of its own, as an rte_service: bridge_poll() again and again, and, unless the
 * configuration says busy, sleep when there has been nothing to do for spin_us.
 *
 * Threads: made and destroyed by the control thread while the service does not run; the rest
 * happens on the service lcore it is mapped to (one; the service is not multi-thread safe).
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "bridge.h"
#include "chan.h"

struct service;

struct service_params {
	const char *name; /**< unique: the rte_service's */
	struct bridge *bridge;
	struct waker *waker; /**< bridge_params.waker */
	uint32_t lcore;      /**< a service lcore, see rte_service_lcore_add() */
	int socket_id;
	bool busy;
	uint32_t spin_us;
};

/** Register the service and map it to its lcore. NULL with rte_errno set. */
struct service *service_create(const struct service_params *p);
/** Have it run. Takes nothing that could be out: after service_stop() it can be run again. 0 or
 * -errno. */
int service_start(struct service *s);
/** Have it stop; waits for the iteration under way, and for its lcore to have left it. */
void service_stop(struct service *s);
/** Of one that does not run. */
void service_destroy(struct service *s);

#endif
