/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything but TCP: how far a flow is follows from the directions that packets were seen in. */
#include "ct_priv.h"

/** How far; kept in the first byte of flowtab_flow.track. */
enum {
	STATE_FIRST,   /**< one packet */
	STATE_ONE_WAY, /**< more, without an answer */
	STATE_BOTH_WAYS,
};

static enum ct_timeout
timeout_class(const struct flowtab_flow *f)
{
	switch (f->proto) {
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return CT_TIMEOUT_UDP_FIRST + f->track[0];
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return f->track[0] == STATE_BOTH_WAYS ? CT_TIMEOUT_ICMP_REPLY
						      : CT_TIMEOUT_ICMP_FIRST;
	default:
		return CT_TIMEOUT_OTHER_FIRST + f->track[0];
	}
}

bool
ct_dgram_may_begin(struct ct *ct, struct ct_pkt *p)
{
	if (p->tuple->answer == 0)
		return true;
	return ct_invalid(ct, p, CT_REASON_ICMP_TYPE);
}

void
ct_dgram_begin(struct ct *ct, const struct ct_pkt *p, uint32_t idx, uint64_t now_ms)
{
	struct flowtab_flow *f = &ct->flows[idx];

	f->track[0] = STATE_FIRST;
	ct_touch(ct, idx, timeout_class(f), now_ms);
}

enum ct_update
ct_dgram_update(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	struct flowtab_flow *f = &ct->flows[p->flow];

	if (p->side == FLOWTAB_SIDE_OTHER)
		f->track[0] = STATE_BOTH_WAYS;
	else if (f->track[0] == STATE_FIRST)
		f->track[0] = STATE_ONE_WAY;
	ct_touch(ct, p->flow, timeout_class(f), now_ms);
	return CT_UPDATE_VALID;
}

const char *
ct_dgram_state_name(const struct flowtab_flow *f)
{
	static const char *const names[] = { "new", "one-way", "both-ways" };

	return names[f->track[0]];
}
