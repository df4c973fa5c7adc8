/* SPDX-License-Identifier: BSD-3-Clause */
/** Rules as text and as JSON. Pure functions. */
#ifndef CONTROL_RULE_H
#define CONTROL_RULE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <rules.h>

/** Room for a tuple as text. */
#define CONTROL_TUPLE_LEN 128

/** "out", "in", "east-west" */
const char *control_direction_name(uint8_t direction);
/** "accept", "drop", "reject" */
const char *control_action_name(uint8_t action);
/** "tcp 10.0.2.15:4711 -> 192.0.2.1:80". @return buf */
const char *control_tuple_format(const struct flowtab_tuple *t, char *buf, size_t size);

/** What the configuration calls the parts of a rule; "": any. */
struct control_rule_names {
	const char *vm, *to_vm, *network;
};
/** What is not open, and not as it is by default. @return a new object, NULL out of memory */
json_t *control_rule_json(
	const struct rule *rule, const struct control_rule_names *names, uint64_t hits);

#endif
