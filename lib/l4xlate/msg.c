/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_msg.h"

#include <rte_mbuf.h>

void
l4x_op_free(struct l4x_op *op)
{
	if (op->type == L4X_OP_SEND)
		rte_pktmbuf_free(op->send.m);
	else if (op->type == L4X_OP_DGRAM)
		rte_pktmbuf_free(op->dgram.m);
}

void
l4x_event_free(struct l4x_event *ev)
{
	if (ev->type == L4X_EV_DATA)
		rte_pktmbuf_free_bulk(ev->data.m, L4X_DATA_FRAMES);
	else if (ev->type == L4X_EV_DGRAM)
		rte_pktmbuf_free(ev->dgram.m);
	else if (ev->type == L4X_EV_LISTEN_DGRAM)
		rte_pktmbuf_free(ev->accepted.m);
}
