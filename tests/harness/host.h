/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The host's side of a test: ordinary sockets, and the transfer of patterned data between them and
 * a guest. While a call waits for a socket it pumps the guest that it was given (NULL: none), so
 * that one thread can play both ends.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "gtcp.h"
#include "guest.h"

/** A listener. @param port 0: any; receives what it is. -1 with errno set */
int host_tcp_listen(const char *addr, uint16_t *port);
/** The same on a socket that was made elsewhere (another network). 0 or -errno */
int host_listen_on(int fd, const char *addr, uint16_t *port);
int host_accept(struct guest *g, int listener, int timeout_ms);
/** A connection to addr and port, made without waiting for it. */
int host_tcp_connect(const char *addr, uint16_t port);
/** Wait until it is made. 0 or -errno */
int host_connected(struct guest *g, int fd, int timeout_ms);
int host_udp(const char *addr, uint16_t *port);
/** poll() for events. True: ready. */
bool host_wait(struct guest *g, int fd, short events, int timeout_ms);
/** 0: end of file; -errno: -ETIMEDOUT, -ECONNRESET, ... */
ssize_t host_recv(struct guest *g, int fd, void *buf, size_t len, int timeout_ms);
/** Exactly len. 0 or -errno */
int host_recv_all(struct guest *g, int fd, void *buf, size_t len, int timeout_ms);
int host_send_all(struct guest *g, int fd, const void *buf, size_t len, int timeout_ms);
/** A datagram and where it came from. */
ssize_t host_recv_from(struct guest *g, int fd, void *buf, size_t len, struct pkt_addr *from,
	uint16_t *port, int timeout_ms);
int host_send_to(int fd, const char *addr, uint16_t port, const void *buf, size_t len);
/** Pump the guest for a while. */
void host_idle(struct guest *g, int ms);

/** Byte i of stream `which`. */
uint8_t host_pattern(unsigned int which, uint64_t i);
void host_fill(unsigned int which, uint64_t from, void *buf, size_t len);
/**
 * Move data both ways at once between a guest's connection and a host socket, and compare it.
 * @return NULL, or what went wrong
 */
const char *host_transfer(struct gtcp *c, int fd, size_t up, size_t down, int timeout_ms);
/**
 * The same from the guest alone, to a reader that takes nothing before the guest was told a window
 * of zero, and then no more than piece bytes at a time.
 */
const char *host_transfer_slowly(struct gtcp *c, int fd, size_t up, size_t piece, int timeout_ms);

#endif
