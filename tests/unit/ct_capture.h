/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Captures in pcap's format, with a ct_state beside each packet: in the last byte of the frame's
 * destination address, where it is not in anybody's way.
 */
#ifndef CT_CAPTURE_H
#define CT_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture;

/** NULL: see errno. */
struct capture *capture_create(const char *path);
struct capture *capture_open(const char *path);
void capture_close(struct capture *c);
void capture_write(struct capture *c, uint64_t ms, uint8_t state, const uint8_t *frame, size_t len);
/** @return false: at the end, or the file is damaged */
bool capture_read(
	struct capture *c, uint64_t *ms, uint8_t *state, uint8_t *frame, size_t max, size_t *len);

#endif
