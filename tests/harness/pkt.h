/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Frames for tests: built, taken apart, and checked without mercy.
 *
 * Shares nothing with the code under test. Builders write a whole frame with correct lengths and
 * checksums, which a test then spoils if it likes. pkt_check() holds a received frame against every
 * rule that concerns its header fields, and is the oracle of the conformance suite.
 *
 * All numbers in structures are in host order. Buffers belong to the caller; the pointers in a view
 * point into the frame it was made of. No state, any thread.
 */
#ifndef PKT_H
#define PKT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

#include <linux/virtio_net.h>

#define PKT_MAX 66000

#define PKT_ETH_IP4 0x0800
#define PKT_ETH_ARP 0x0806
#define PKT_ETH_IP6 0x86dd

/** An address of either family; unused bytes are zero. */
struct pkt_addr {
	uint8_t len; /**< 4, 16; 0: none */
	uint8_t b[16];
};

/** From text ("10.0.2.15", "fd00:2::2"); aborts on nonsense, which is the test's own mistake. */
struct pkt_addr pkt_addr(const char *text);
bool pkt_addr_eq(const struct pkt_addr *a, const struct pkt_addr *b);
/** As text, in one of four buffers used in turn. */
const char *pkt_addr_text(const struct pkt_addr *a);
/** The socket address of addr and port. */
socklen_t pkt_sockaddr(const struct pkt_addr *a, uint16_t port, struct sockaddr_storage *ss);

/** One's complement sum of bytes, added to sum; not complemented. */
uint32_t pkt_sum(const void *bytes, size_t len, uint32_t sum);
/** Folded to 16 bits and complemented. */
uint16_t pkt_sum_fold(uint32_t sum);
/** Sum of the pseudo-header. */
uint32_t pkt_sum_pseudo(
	const struct pkt_addr *src, const struct pkt_addr *dst, uint8_t proto, uint32_t len);

/* ---- building ---- */

/** What lies under the transport header. */
struct pkt_ip {
	uint8_t src_mac[6], dst_mac[6];
	struct pkt_addr src, dst;
	uint8_t ttl;   /**< 0: 64 */
	bool ttl_zero; /**< really 0 */
	uint8_t tos;
	uint16_t id;
	uint16_t frag; /**< IPv4: flags and offset field as it is */
	/** IPv4 options (multiple of 4 bytes), or IPv6 extension headers, complete and linked. */
	const uint8_t *options;
	size_t options_len;
	uint8_t first_ext; /**< IPv6: type of the first extension header */
};

#define PKT_FIN 0x01
#define PKT_SYN 0x02
#define PKT_RST 0x04
#define PKT_PSH 0x08
#define PKT_ACK 0x10
#define PKT_URG 0x20
#define PKT_ECE 0x40
#define PKT_CWR 0x80

struct pkt_tcp {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t win;
	uint16_t urg;
	uint16_t mss; /**< 0: no option */
	int wscale;   /**< -1: no option */
	bool sack_ok;
	const uint8_t *options; /**< raw, multiple of 4 bytes, behind those above */
	size_t options_len;
};

/* Each returns the length of the frame in out (PKT_MAX bytes). */
size_t pkt_build_eth(uint8_t *out, const uint8_t dst[6], const uint8_t src[6], uint16_t type,
	const void *body, size_t len);
size_t pkt_build_ip(
	uint8_t *out, const struct pkt_ip *ip, uint8_t proto, const void *l4, size_t len);
size_t pkt_build_tcp(uint8_t *out, const struct pkt_ip *ip, const struct pkt_tcp *tcp,
	const void *data, size_t len);
size_t pkt_build_udp(uint8_t *out, const struct pkt_ip *ip, uint16_t sport, uint16_t dport,
	const void *data, size_t len);
/** ICMP or ICMPv6, by the family of ip. @param rest the second word of the header */
size_t pkt_build_icmp(uint8_t *out, const struct pkt_ip *ip, uint8_t type, uint8_t code,
	uint32_t rest, const void *data, size_t len);
/** @param op 1 request, 2 reply */
size_t pkt_build_arp(uint8_t *out, const uint8_t eth_dst[6], uint16_t op, const uint8_t sha[6],
	const struct pkt_addr *spa, const uint8_t tha[6], const struct pkt_addr *tpa);
/** Neighbour solicitation for target; source link-layer option unless the source is unspecified. */
size_t pkt_build_ns(uint8_t *out, const uint8_t mac[6], const struct pkt_addr *src,
	const struct pkt_addr *target);
/** Neighbour advertisement, solicited and override, to dst. */
size_t pkt_build_na(uint8_t *out, const uint8_t mac[6], const uint8_t dst_mac[6],
	const struct pkt_addr *src, const struct pkt_addr *dst, const struct pkt_addr *target);
/** Router solicitation. */
size_t pkt_build_rs(uint8_t *out, const uint8_t mac[6], const struct pkt_addr *src);
/** Leave the transport checksum to the device: pseudo-header sum in place, hdr filled. */
void pkt_make_partial(uint8_t *frame, size_t len, struct virtio_net_hdr *hdr);
/** The same, as a TSO frame of mss-sized segments. */
void pkt_make_tso(uint8_t *frame, size_t len, uint16_t mss, struct virtio_net_hdr *hdr);
/** Write the IPv4 header checksum and the transport checksum anew after a change. */
void pkt_fix_sums(uint8_t *frame, size_t len);
/** The link-local address made of a MAC (RFC 4291, appendix A), and the solicited-node group. */
struct pkt_addr pkt_link_local(const uint8_t mac[6]);
struct pkt_addr pkt_solicited_node(const struct pkt_addr *a);

/* ---- taking apart ---- */

struct pkt_view {
	const uint8_t *frame;
	size_t len;
	const uint8_t *dst_mac, *src_mac;
	uint16_t eth_type;
	struct pkt_addr src, dst; /**< ARP: sender and target protocol address */
	uint8_t proto, ttl, tos;
	uint16_t ip_id, ip_frag;
	const uint8_t *l3, *l4;
	size_t l3_len; /**< of header and payload */
	size_t l4_len;
	const uint8_t *data; /**< payload of TCP, UDP; ICMP: behind the 8 bytes of its header */
	size_t data_len;
	struct pkt_tcp tcp;
	uint16_t sport, dport; /**< UDP, TCP */
	uint8_t icmp_type, icmp_code;
	uint32_t icmp_rest;
	uint16_t arp_op;
	const uint8_t *arp_sha, *arp_tha;
	uint16_t gso_size; /**< 0: not a GSO frame */
};

/** What the guest has agreed to receive. */
struct pkt_limits {
	uint16_t mtu; /**< 0: 1500 */
	bool csum, tso4, tso6, ecn;
};

/**
 * Take a received frame apart and hold it against the rules.
 * @param hdr its vnet header, NULL: none
 * @return NULL, or what is wrong with it
 */
const char *pkt_check(const uint8_t *frame, size_t len, const struct virtio_net_hdr *hdr,
	const struct pkt_limits *limits, struct pkt_view *view);
/** One line that says what the frame is, in one of four buffers used in turn. */
const char *pkt_text(const struct pkt_view *v);

uint16_t pkt_get16(const uint8_t *p);
uint32_t pkt_get32(const uint8_t *p);
void pkt_put16(uint8_t *p, uint16_t x);
void pkt_put32(uint8_t *p, uint32_t x);

#endif
