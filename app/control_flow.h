/* SPDX-License-Identifier: BSD-3-Clause */
/** Flows and counters as JSON, and which flows a request asks for. Pure functions. */
#ifndef CONTROL_FLOW_H
#define CONTROL_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <l4x.h>

/** An address, a port, both, or neither of an end of a flow. */
struct control_end {
	bool by_addr, by_port;
	struct flowtab_addr addr;
	uint16_t port; /**< host order */
};

/** What a request's args ask for; zero matches every flow. */
struct control_filter {
	uint16_t pif;  /**< 0: any */
	uint8_t proto; /**< 0: any */
	bool by_zone;
	struct control_end any;      /**< at whichever end, as guest or host see it */
	struct control_end src, dst; /**< of packets in one direction, whichever, likewise */
	uint16_t zone;
	uint32_t mark, mark_mask; /**< mask 0: any */
};

/**
 * Read "proto", "addr", "port", "src", "sport", "dst", "dport", "zone" and "mark" of args ("vm" is
 * the caller's); a mark is a number, or a text "MARK/MASK".
 * @param err receives what is wrong
 * @return 0 or -EINVAL
 */
int control_filter_parse(struct control_filter *f, const json_t *args, char *err, size_t err_size);
bool control_filter_match(const struct control_filter *f, const struct l4x_flow_info *info);

/** True if it matches every flow. */
bool control_filter_is_open(const struct control_filter *f);

/**
 * @param vm name of the VM that is at the guest's end
 * @param to of a flow between guests, the other one's
 * @return a new object, NULL out of memory
 */
json_t *control_flow_json(
	const struct l4x_flow_info *info, const char *vm, const char *to, unsigned int worker);
/** Where the guest wanted to go. As above. */
json_t *control_original_json(const struct l4x_flow_info *info, const char *vm);
/** "tcp", "udp", "icmp", "icmpv6", "sctp" or the number. @return buf */
const char *control_proto_name(uint8_t proto, char *buf, size_t size);

#endif
