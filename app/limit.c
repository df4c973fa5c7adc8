/* SPDX-License-Identifier: BSD-3-Clause */
#include "limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *what, *advice;
} texts[LIMITS] = {
	[LIMIT_FLOW_TABLE] = { "a worker has as many flows as max-flows allows",
		"raise max-flows of [weir]" },
	[LIMIT_FLOWS_OF_VM] = { "a VM has as many flows as its max-flows allows",
		"raise max-flows of that VM; weirctl flow list shows who has many" },
	[LIMIT_FLOWS_OF_ZONE] = { "a zone has as many flows as its zone-limit allows",
		"raise zone-limit of [weir]; weirctl zone list shows which zone it is" },
	[LIMIT_FLOW_RATE] = { "a VM begins more flows in a second than its new-flows-per-s allows",
		"raise new-flows-per-s of that VM" },
	[LIMIT_FILES] = { "no socket could be made: too many open files, or no memory for them",
		"raise the limit of open files (ulimit -n, LimitNOFILE=)" },
	[LIMIT_FRAMES] = { "no frame buffer was free", "raise memory" },
};

static void
say_one(enum limit i, uint64_t times, uint64_t ms, void (*say)(void *arg, const char *line),
	void *arg)
{
	char line[LIMITS_LINE_MAX];

	snprintf(line, sizeof(line), "%s, %" PRIu64 " times in %" PRIu64 " s: %s", texts[i].what,
		times, (ms + 999) / 1000, texts[i].advice);
	say(arg, line);
}

void
limits_init(struct limits *l, uint64_t now_ms)
{
	enum limit i;

	memset(l, 0, sizeof(*l));
	for (i = 0; i < LIMITS; i++)
		l->of[i].since_ms = now_ms;
}

void
limits_look(struct limits *l, const uint64_t met[LIMITS], uint64_t now_ms,
	void (*say)(void *arg, const char *line), void *arg)
{
	enum limit i;

	for (i = 0; i < LIMITS; i++) {
		/* Counters of a VM go with it. */
		if (met[i] < l->of[i].said)
			l->of[i].said = met[i];
		if (met[i] > l->of[i].said) {
			if (now_ms < l->of[i].next_ms)
				continue;
			say_one(i, met[i] - l->of[i].said, now_ms - l->of[i].since_ms, say, arg);
			l->of[i].said = met[i];
			l->of[i].next_ms = now_ms + LIMITS_SAY_MS;
		}
		l->of[i].since_ms = now_ms;
	}
}
