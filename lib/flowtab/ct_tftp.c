/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TFTP: a request goes to port 69, the answer comes from a port that the server chooses for the
 * transfer (RFC 1350, 4). So each request makes the client's port one that the server may speak to
 * from any of its own.
 */
#include "ct.h"

#include <string.h>

#include "ct_priv.h"

#define OP_READ 1
#define OP_WRITE 2
/** Opcode, name, mode: the strings are empty at least (RFC 1350, 5). */
#define REQUEST_MIN 4

bool
ct_tftp_packet(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	struct flowtab_tuple client, server;
	struct ct_expect e;
	rte_be16_t op;

	if (p->side != FLOWTAB_SIDE_GUEST || ct_payload_len(p) < REQUEST_MIN ||
		p->data_off + sizeof(op) > rte_pktmbuf_data_len(p->m))
		return true;
	memcpy(&op, ct_at(p, p->data_off), sizeof(op));
	if (op != rte_cpu_to_be_16(OP_READ) && op != rte_cpu_to_be_16(OP_WRITE))
		return true;
	flowtab_tuple(ct->ft, p->flow, FLOWTAB_SIDE_GUEST, &client);
	flowtab_tuple(ct->ft, p->flow, FLOWTAB_SIDE_OTHER, &server);
	e = (struct ct_expect){
		.tuple = server,
		.parent = flowtab_handle(ct->ft, p->flow),
		.dst = client.eaddr,
		.dport = client.eport,
		.src = client.oaddr,
		.helper = CT_HELPER_NONE,
	};
	e.tuple.eport = 0;
	if (!flowtab_addr_eq(&e.dst, &server.oaddr) || e.dport != server.oport)
		e.nat |= CT_F_DNAT;
	if (!flowtab_addr_eq(&e.src, &server.eaddr))
		e.nat |= CT_F_SNAT;
	ct_expect_add(ct, &e, now_ms);
	return true;
}
