/* SPDX-License-Identifier: BSD-3-Clause */
/** DHCPv6 (RFC 8415): a client's message, as dhcp6_read.c takes it apart and dhcp6.c answers it. */
#ifndef L4X_DHCP6_H
#define L4X_DHCP6_H

#include "l4x_priv.h"

/** Largest message that is looked at. */
#define DHCP6_MSG_MAX 1452
/** IAs of one message that are answered. */
#define DHCP6_IA_MAX 8

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
	DHCP6_INFORMATION,
};

enum dhcp6_option {
	DHCP6_OPT_CLIENT = 1,
	DHCP6_OPT_SERVER = 2,
	DHCP6_OPT_IA_NA = 3,
	DHCP6_OPT_IA_TA = 4,
	DHCP6_OPT_IAADDR = 5,
	DHCP6_OPT_ORO = 6,
	DHCP6_OPT_PREFERENCE = 7,
	DHCP6_OPT_STATUS = 13,
	DHCP6_OPT_RAPID = 14,
	DHCP6_OPT_DNS = 23,
	DHCP6_OPT_SEARCH = 24,
	DHCP6_OPT_IA_PD = 25,
	DHCP6_OPT_REFRESH = 32,
	DHCP6_OPT_FQDN = 39,
};

/** An IA: where its option's value lies in the message. */
struct dhcp6_ia {
	uint16_t code;
	uint16_t len;
	const uint8_t *v;
};

struct dhcp6_request {
	uint8_t msg[DHCP6_MSG_MAX]; /**< a copy: the guest cannot change it any more */
	uint32_t len;
	uint8_t type;
	bool rapid, dns, search, refresh, fqdn; /**< asked for */
	const uint8_t *client, *server;         /**< DUIDs, NULL when there is none */
	uint16_t client_len, server_len;
	struct dhcp6_ia ias[DHCP6_IA_MAX];
	unsigned int n_ias;
};

/** Take the message apart. @return false: malformed */
bool l4x_dhcp6_read(struct dhcp6_request *r, const struct l4x_pkt *p);
/**
 * The next address that an IA names.
 * @param at NULL to begin with
 * @return its 16 bytes, or NULL: there is no other
 */
const uint8_t *l4x_dhcp6_next_addr(const struct dhcp6_ia *ia, const uint8_t **at);

#endif
