/* SPDX-License-Identifier: BSD-3-Clause */
/** What the parsers of values (conf_value*.c) share. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <flowtab_addr.h>

/** For parsers: write the reason. @return -EINVAL */
#define WHY(...) conf_explain(why, why_size, __VA_ARGS__)
int conf_explain(char *why, size_t why_size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** A whole decimal number (or 0x..., where hex), nothing else; UINT64_MAX if it is larger. */
bool conf_number(const char *text, bool hex, uint64_t *value);

/**
 * Take the next word of a list: separated by commas, slashes (commas are taken in --vm) and blanks.
 * @param too_long tells that it did not fit: word holds its beginning
 * @return false: the end
 */
bool conf_word(const char **list, char *word, size_t size, bool *too_long);

/** Clear the bits of an address past the first so many (of 128). */
void conf_mask(struct flowtab_addr *a, unsigned int bits);
/** "80" or "80-90", ports from 1 on. @return 0 or -EINVAL */
int conf_port_range(const char *text, uint16_t *first, uint16_t *last, char *why, size_t why_size);
/**
 * Split "[ADDR]:" or "1.2.3.4:" off a text, which is changed: an address of the host.
 * @param addr written if there is one
 * @return what follows, or NULL
 */
char *conf_forward_addr(char *text, struct flowtab_addr *addr, char *why, size_t why_size);

#endif
