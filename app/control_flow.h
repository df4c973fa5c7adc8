/* SPDX-License-Identifier: BSD-3-Clause */
/** Flows and counters as JSON, and which flows a request asks for. Pure functions. */
#ifndef CONTROL_FLOW_H
#define CONTROL_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <l4x.h>

/** What a request's args ask for; zero matches every flow. */
struct control_filter {
	uint16_t pif;  /**< 0: any */
	uint8_t proto; /**< 0: any */
	bool by_addr, by_port;
	struct flowtab_addr addr; /**< of either end, as guest or host see it */
	uint16_t port;            /**< likewise, host order */
};

/**
 * Read "proto", "addr" and "port" of args ("vm" is the caller's).
 * @param err receives what is wrong
 * @return 0 or -EINVAL
 */
int control_filter_parse(struct control_filter *f, const json_t *args, char *err, size_t err_size);
bool control_filter_match(const struct control_filter *f, const struct l4x_flow_info *info);

/** @return a new object, NULL out of memory */
json_t *control_flow_json(const struct l4x_flow_info *info, const char *vm, unsigned int worker);
/** "tcp", "udp", "icmp", "icmpv6", "sctp" or the number. @return buf */
const char *control_proto_name(uint8_t proto, char *buf, size_t size);

#endif
