/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * virtio-net headers and mbuf offload fields (virtio 1.2, 5.1.6), and checksums for guests and
 * devices that compute none. No state; any thread.
 */
#ifndef VNET_H
#define VNET_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

struct rte_mbuf;

#define VNET_F(bit) (UINT64_C(1) << (bit))

/** Bytes of the header as negotiated: 12, or 10. */
unsigned int vnet_hdr_bytes(uint64_t features);
/** VPORT_OFFLOAD_* that follow from the features. */
uint32_t vnet_offloads(uint64_t features);
/**
 * From the guest: set the mbuf's offload fields.
 * @param len bytes of the frame
 * @return false: the header asks for what was not negotiated, or contradicts itself
 */
bool vnet_from_guest(
	const struct virtio_net_hdr *h, uint32_t len, uint64_t features, struct rte_mbuf *m);
/**
 * To the guest: fill the header, num_buffers aside; completes what the guest does not take.
 * @param offloads VPORT_OFFLOAD_*
 * @return false: the frame cannot go to this guest
 */
bool vnet_to_guest(struct virtio_net_hdr *h, struct rte_mbuf *m, uint32_t offloads);
/**
 * Complete the checksums that ol_flags asks for and clear those flags.
 * @param which RTE_MBUF_F_TX_* checksum flags to complete
 * @return false: the lengths do not fit the frame
 */
bool vnet_checksum(struct rte_mbuf *m, uint64_t which);

#endif
