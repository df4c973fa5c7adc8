/* SPDX-License-Identifier: BSD-3-Clause */
/** What the tests of UDP translation share: a context, and a guest's datagrams. One thread. */
#ifndef TEST_L4X_UDP_UTIL_H
#define TEST_L4X_UDP_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <errno.h>

#include <cmocka.h>

#include "l4xkit.h"

/** A frame in the making, and the payload that all are made of. */
extern uint8_t frame[PKT_MAX], data[PKT_MAX];

int setup(void **state);
int teardown(void **state);
/** Build a datagram of the guest's in frame. @return its length */
size_t udp(const char *dst, uint16_t sport, uint16_t dport, size_t len);
/** Open a flow with a first datagram. @return its handle */
uint64_t open_flow(struct l4xkit *k, const char *dst, uint16_t sport, uint16_t dport);

#endif
