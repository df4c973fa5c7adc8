/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * SIGBUS inside guest memory.
 *
 * Whoever owns the memory's file can cut it short at any time; the next access then raises SIGBUS.
 * The handler backs the page with a private zero page and sets the flag of whose memory it is, so
 * that the access goes on and the flag is found at the next burst.
 *
 * A signal handler belongs to the process, and so does the table of watched ranges: these are the
 * only data here that no port owns. The table is grown, never freed, and read without a lock.
 *
 * Threads: any. A range must not be unmapped while another thread may still touch it.
 */
#ifndef SIGBUS_H
#define SIGBUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sigbus_range;

/**
 * Watch a mapping.
 * @param bytes a multiple of page
 * @param page size by which it can be replaced: that of huge pages if it consists of them
 * @param lost set in the handler; valid until sigbus_unwatch()
 * @return the entry, NULL: no memory
 */
struct sigbus_range *sigbus_watch(void *start, size_t bytes, size_t page, _Atomic bool *lost);
void sigbus_unwatch(struct sigbus_range *r);
/**
 * While on, the calling thread works on mappings that are not watched, because nobody has told of
 * them yet (a message is in librte_vhost's hands): any page whose file is gone is replaced.
 */
void sigbus_guard(bool on);

#endif
