/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_l4x_udp_util.h"

uint8_t frame[PKT_MAX], data[PKT_MAX];

int
setup(void **state)
{
	*state = l4xkit_create(NULL);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8));
	return 0;
}

int
teardown(void **state)
{
	l4xkit_destroy(*state);
	return 0;
}

size_t
udp(const char *dst, uint16_t sport, uint16_t dport, size_t len)
{
	struct pkt_ip ip = l4xkit_ip(dst);

	return pkt_build_udp(frame, &ip, sport, dport, data, len);
}

uint64_t
open_flow(struct l4xkit *k, const char *dst, uint16_t sport, uint16_t dport)
{
	uint64_t flow;

	l4xkit_rx(k, frame, udp(dst, sport, dport, 10));
	flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	return flow;
}
