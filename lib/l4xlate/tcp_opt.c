/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

#include <errno.h>

#include <flowtab_siphash.h>

#define OPT_END 0
#define OPT_NOP 1
#define OPT_MSS 2
#define OPT_WSCALE 3
#define OPT_MSS_LEN 4
#define OPT_WSCALE_LEN 3
/** RFC 7323, 2.3. */
#define WSCALE_MAX 14
/** RFC 9293, 3.7.1: what holds for who has told nothing. */
#define MSS_DEFAULT4 536
#define MSS_DEFAULT6 1220
/** No smaller segments, whatever the guest asks for: each costs a frame. */
#define MSS_MIN 64
/** Keeps ISNs apart from the other uses of the key. */
#define ISN_DOMAIN 0x69736eULL

static void
option_take(const uint8_t *o, struct tcp_options *out)
{
	if (o[0] == OPT_MSS && o[1] == OPT_MSS_LEN) {
		out->mss = (uint16_t)(o[2] << 8 | o[3]);
	} else if (o[0] == OPT_WSCALE && o[1] == OPT_WSCALE_LEN) {
		out->scaled = true;
		out->shift = RTE_MIN(o[2], WSCALE_MAX);
	}
}

int
l4x_tcp_options(const struct l4x_pkt *p, struct tcp_options *out)
{
	const uint8_t *o = (const uint8_t *)l4x_pkt_l4(p) + TCP_HDR_LEN;
	uint32_t len = p->data_off - p->l4_off - TCP_HDR_LEN, i = 0;

	*out = (struct tcp_options){ 0 };
	while (i < len && o[i] != OPT_END) {
		if (o[i] == OPT_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= len || o[i + 1] < 2 || i + o[i + 1] > len)
			return -EINVAL;
		option_take(&o[i], out);
		i += o[i + 1];
	}
	return 0;
}

void
l4x_tcp_mss(const struct l4x_port *port, bool v4, uint16_t told, struct l4x_tcp *t)
{
	uint16_t hdr = TCP_HDR_LEN + (v4 ? L4X_IP4_LEN : L4X_IP6_LEN), mss = told;

	if (mss == 0)
		mss = v4 ? MSS_DEFAULT4 : MSS_DEFAULT6;
	t->told_mss = told != 0;
	t->rcv_mss = port->conf.mtu - hdr;
	t->mss = RTE_MIN(RTE_MAX(mss, MSS_MIN), t->rcv_mss);
}

/* Counts up by one each 4 us, so that a tuple used again soon has a greater number than before. */
uint32_t
l4x_tcp_isn(const struct l4x *l, const struct flowtab_tuple *guest)
{
	const struct flowtab_sipkey key = flowtab_sipkey_load(l->params.secret);
	uint64_t words[6] = { guest->eaddr.q[0], guest->eaddr.q[1], guest->oaddr.q[0],
		guest->oaddr.q[1], 0, ISN_DOMAIN };

	words[4] = (uint64_t)guest->eport << 48 | (uint64_t)guest->oport << 32 |
		(uint32_t)guest->pif << 16 | guest->zone;
	return (uint32_t)flowtab_siphash13(&key, words, RTE_DIM(words)) + (uint32_t)(l->now_us / 4);
}
