/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_reason.h"

const struct l4x_counter_info l4x_counter_info[L4X_COUNTERS] = {
#define X(e, n, h) [L4X_DROP_##e] = { .name = n, .help = h, .is_drop = 1 },
	L4X_DROPS(X)
#undef X
#define X(e, n, h) [L4X_COUNT_##e] = { .name = n, .help = h, .is_drop = 0 },
		L4X_COUNTS(X)
#undef X
};
