/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * DHCP and DHCPv6 messages for tests: a client's are built, a server's are taken apart strictly.
 * No state, any thread; buffers belong to the caller.
 */
#ifndef DHCP_H
#define DHCP_H

#include "pkt.h"

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER,
	DHCP_REQUEST,
	DHCP_DECLINE,
	DHCP_ACK,
	DHCP_NAK,
	DHCP_RELEASE,
	DHCP_INFORM,
};

enum dhcp_option {
	DHCP_OPT_MASK = 1,
	DHCP_OPT_ROUTER = 3,
	DHCP_OPT_DNS = 6,
	DHCP_OPT_HOSTNAME = 12,
	DHCP_OPT_DOMAIN = 15,
	DHCP_OPT_MTU = 26,
	DHCP_OPT_REQUESTED = 50,
	DHCP_OPT_LEASE = 51,
	DHCP_OPT_OVERLOAD = 52,
	DHCP_OPT_TYPE = 53,
	DHCP_OPT_SERVER = 54,
	DHCP_OPT_PARAMS = 55,
	DHCP_OPT_MAX_SIZE = 57,
	DHCP_OPT_CLIENT_ID = 61,
	DHCP_OPT_RAPID = 80,
	DHCP_OPT_FQDN = 81,
	DHCP_OPT_SEARCH = 119,
};

/** A client's message. Zero fields are left out, where they can be. */
struct dhcp_request {
	uint8_t type;
	uint32_t xid;
	uint8_t mac[6];
	bool broadcast;
	struct pkt_addr ciaddr, requested, server;
	const uint8_t *params; /**< options asked for */
	size_t n_params;
	const uint8_t *extra; /**< further options, raw */
	size_t extra_len;
	bool bad_magic, no_end;
};

/** @return length of the message in out (1024 bytes) */
size_t dhcp_build(uint8_t *out, const struct dhcp_request *r);

/** A server's message. */
struct dhcp_reply {
	uint8_t type;
	uint32_t xid;
	bool broadcast;
	struct pkt_addr ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[6];
	/** Options by code; NULL: absent. Overload and repeated options are not taken. */
	const uint8_t *opt[256];
	uint8_t opt_len[256];
};

/** @return NULL, or what is wrong */
const char *dhcp_parse(const uint8_t *msg, size_t len, struct dhcp_reply *r);
/** An option that is a list of addresses: entry i, or none. */
struct pkt_addr dhcp_opt_addr(const struct dhcp_reply *r, uint8_t code, unsigned int i);
uint32_t dhcp_opt_u32(const struct dhcp_reply *r, uint8_t code);
uint16_t dhcp_opt_u16(const struct dhcp_reply *r, uint8_t code);

enum dhcp6_type {
	DHCP6_SOLICIT = 1,
	DHCP6_ADVERTISE,
	DHCP6_REQUEST,
	DHCP6_CONFIRM,
	DHCP6_RENEW,
	DHCP6_REBIND,
	DHCP6_REPLY,
	DHCP6_RELEASE,
	DHCP6_DECLINE,
	DHCP6_RECONFIGURE,
	DHCP6_INFORM,
};

enum dhcp6_option {
	DHCP6_OPT_CLIENT_ID = 1,
	DHCP6_OPT_SERVER_ID = 2,
	DHCP6_OPT_IA_NA = 3,
	DHCP6_OPT_IAADDR = 5,
	DHCP6_OPT_ORO = 6,
	DHCP6_OPT_ELAPSED = 8,
	DHCP6_OPT_STATUS = 13,
	DHCP6_OPT_RAPID = 14,
	DHCP6_OPT_DNS = 23,
	DHCP6_OPT_SEARCH = 24,
	DHCP6_OPT_FQDN = 39,
};

struct dhcp6_request {
	uint8_t type;
	uint32_t xid; /**< 24 bits */
	const uint8_t *client_id;
	size_t client_id_len;
	const uint8_t *server_id;
	size_t server_id_len;
	uint32_t iaid;        /**< 0: no IA_NA */
	struct pkt_addr addr; /**< in the IA_NA; none: left out */
	const uint16_t *oro;
	size_t n_oro;
	bool rapid;
};

/** @return length of the message in out (1024 bytes) */
size_t dhcp6_build(uint8_t *out, const struct dhcp6_request *r);

struct dhcp6_reply {
	uint8_t type;
	uint32_t xid;
	const uint8_t *client_id, *server_id;
	size_t client_id_len, server_id_len;
	bool has_ia;
	uint32_t iaid, t1, t2;
	struct pkt_addr addr; /**< of the IAADDR with a lifetime, else of the first */
	uint32_t preferred, valid;
	bool has_status;
	uint16_t status; /**< of the message */
	int ia_status;   /**< of the IA, -1: none */
	int addr_status; /**< of the IAADDR, -1: none */
	struct pkt_addr dns[4];
	unsigned int n_dns;
	const uint8_t *search;
	size_t search_len;
	bool rapid;
	const uint8_t *fqdn;
	size_t fqdn_len;
};

/** @return NULL, or what is wrong */
const char *dhcp6_parse(const uint8_t *msg, size_t len, struct dhcp6_reply *r);

/** Names in DNS wire form, uncompressed, as "a.b c.d" in out. False: malformed. */
bool dhcp_search_text(const uint8_t *wire, size_t len, char *out, size_t size);

#endif
