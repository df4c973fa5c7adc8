/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The one table of counters of lib/l4xlate: why a frame went no further, and what was done.
 *
 * L4X_DROPS: a frame, or a request in it, was dropped. L4X_COUNTS: events worth a number.
 * The name is what `weirctl stats` prints. One writer (the worker), any reader.
 */
#ifndef L4X_REASON_H
#define L4X_REASON_H

#include <stdint.h>

/* X(enumerator, "name", "what happened") */
#define L4X_DROPS(X)                                                                        \
	X(ETH_SHORT, "eth-short", "frame shorter than its Ethernet header")                 \
	X(ETH_SOURCE, "eth-source", "multicast or zero source MAC address")                 \
	X(ETH_TYPE, "eth-type", "EtherType weir does not speak")                            \
	X(ETH_NOT_US, "eth-not-us", "unicast to a MAC address that is not the gateway's")   \
	X(ARP_BAD, "arp-bad", "malformed or unwanted ARP")                                  \
	X(IP_VERSION, "ip-version", "IP version does not fit the EtherType")                \
	X(IP_SHORT, "ip-short", "IP header or packet cut short")                            \
	X(IP_CHECKSUM, "ip-checksum", "wrong IPv4 header checksum")                         \
	X(IP_OPTION, "ip-option", "malformed or source-routing IPv4 option")                \
	X(IP_SOURCE, "ip-source", "source address a guest may not use")                     \
	X(IP_DEST, "ip-dest", "destination weir does not carry")                            \
	X(IP_TTL, "ip-ttl", "TTL or hop limit 0")                                           \
	X(IP_EXTHDR, "ip-exthdr", "malformed or too many IPv6 extension headers")           \
	X(IP_PROTO, "ip-proto", "protocol weir does not carry")                             \
	X(FRAG_BAD, "frag-bad", "malformed, overlapping or overlong fragment")              \
	X(FRAG_FULL, "frag-full", "too many fragments in reassembly")                       \
	X(FRAG_TIMEOUT, "frag-timeout", "fragments that were never completed")              \
	X(L4_SHORT, "l4-short", "transport header or datagram cut short")                   \
	X(L4_CHECKSUM, "l4-checksum", "wrong transport checksum")                           \
	X(L4_PORT, "l4-port", "port 0")                                                     \
	X(TCP_FLAGS, "tcp-flags", "impossible combination of TCP flags")                    \
	X(TCP_OPTION, "tcp-option", "malformed TCP options")                                \
	X(TCP_NO_FLOW, "tcp-no-flow", "segment for no flow")                                \
	X(TCP_WINDOW, "tcp-window", "segment or RST outside the window")                    \
	X(TCP_ACK, "tcp-ack", "acknowledgement of data never sent")                         \
	X(TCP_GAP, "tcp-gap", "segment after a gap")                                        \
	X(TCP_DUP, "tcp-dup", "segment with nothing new")                                   \
	X(TCP_STATE, "tcp-state", "segment that does not fit the flow's state")             \
	X(UDP_NO_FLOW, "udp-no-flow", "datagram that no flow could be made for")            \
	X(ICMP_TYPE, "icmp-type", "ICMP type weir does not carry")                          \
	X(ND_BAD, "nd-bad", "neighbour discovery malformed, routed or fragmented")          \
	X(DHCP_BAD, "dhcp-bad", "malformed DHCP message")                                   \
	X(DHCP_SERVER, "dhcp-server", "DHCP message for another server")                    \
	X(DHCP6_BAD, "dhcp6-bad", "malformed DHCPv6 message")                               \
	X(DHCP6_SERVER, "dhcp6-server", "DHCPv6 message for another server")                \
	X(FLOW_TABLE, "flow-table", "flow table full")                                      \
	X(FLOW_LIMIT, "flow-limit", "limit or share of flows of this guest reached")        \
	X(ZONE_LIMIT, "zone-limit", "limit of flows of this zone reached")                  \
	X(FLOW_RATE, "flow-rate", "limit of new flows per second of this guest reached")    \
	X(FLOW_STALE, "flow-stale", "event for a flow that is gone")                        \
	X(EV_OFFSET, "ev-offset", "data read for an offset no longer wanted")               \
	X(NO_MBUF, "no-mbuf", "out of frame buffers")                                       \
	X(OUT_FULL, "out-full", "more output than one call may make")                       \
	X(NO_LINK, "no-link", "frame for a guest that is not connected")                    \
	X(GSO, "gso", "frame of more segments than are made, or of no TCP segments at all") \
	X(TOO_BIG, "too-big", "datagram larger than the guest takes")                       \
	X(RULE, "rule-drop", "dropped by a rule or the policy")                             \
	X(RULE_REJECT, "rule-reject", "rejected by a rule or the policy")                   \
	X(RULE_NAT, "rule-nat", "a rule's address cannot be the guest's, or its peer's")    \
	X(RATE, "rate", "ICMP error or RST not sent, rate limited")

#define L4X_COUNTS(X)                                                                           \
	X(RX_PKTS, "rx-pkts", "frames from guests")                                             \
	X(RX_BYTES, "rx-bytes", "bytes from guests")                                            \
	X(TX_PKTS, "tx-pkts", "frames to guests")                                               \
	X(TX_BYTES, "tx-bytes", "bytes to guests")                                              \
	X(HANDOVER, "handover", "frames handed to the worker that owns their flow")             \
	X(HANDOVER_OUT, "handover-out", "frames handed to the worker that polls a queue pair")  \
	X(FLOWS_NEW, "flows-new", "flows made")                                                 \
	X(FLOWS_EXPIRED, "flows-expired", "flows that timed out")                               \
	X(UDP_UNANSWERED, "udp-unanswered", "unanswered flows from outside ended for new ones") \
	X(TCP_OPENED, "tcp-opened", "TCP connections established")                              \
	X(TCP_REFUSED, "tcp-refused", "TCP connections refused or unreachable")                 \
	X(TCP_RETRANSMIT, "tcp-retransmit", "times data or FIN was sent to a guest again")      \
	X(TCP_RTO, "tcp-rto", "retransmission timeouts")                                        \
	X(TCP_FAST, "tcp-fast-retransmit", "fast retransmits")                                  \
	X(TCP_UNSENT, "tcp-unsent", "segments taken back: the guest had no buffer")             \
	X(TCP_PROBE, "tcp-probe", "zero-window probes and keepalives sent")                     \
	X(TCP_RST_SENT, "tcp-rst-sent", "RST sent to guests")                                   \
	X(TCP_SHORT, "tcp-short", "times a socket took less than it was given")                 \
	X(ICMP_ERRORS, "icmp-errors", "ICMP errors sent to guests")                             \
	X(EW_PKTS, "ew-pkts", "frames forwarded between guests")                                \
	X(EW_BYTES, "ew-bytes", "bytes forwarded between guests")                               \
	X(RULE_CUT, "rule-cut", "flows ended that rules do not allow, or VMs have, any more")   \
	X(LOG_LOST, "log-lost", "flows that a rule wants logged and that were too many")        \
	X(ECHO_LOCAL, "echo-local", "echo requests answered for the gateway")                   \
	X(ARP_REPLIES, "arp-replies", "ARP replies")                                            \
	X(ND_ADVERTS, "nd-adverts", "neighbour and router advertisements")                      \
	X(DHCP_REPLIES, "dhcp-replies", "DHCP replies")                                         \
	X(DHCP6_REPLIES, "dhcp6-replies", "DHCPv6 replies")

enum l4x_counter {
#define X(e, name, help) L4X_DROP_##e,
	L4X_DROPS(X)
#undef X
	L4X_DROP_LAST,
	L4X_COUNT_BEFORE_FIRST = L4X_DROP_LAST - 1,
#define X(e, name, help) L4X_COUNT_##e,
	L4X_COUNTS(X)
#undef X
	L4X_COUNTERS,
};

struct l4x_counter_info {
	const char *name;
	const char *help;
	uint8_t is_drop;
};

/** L4X_COUNTERS entries, by enum l4x_counter. */
extern const struct l4x_counter_info l4x_counter_info[];

#endif
