/* SPDX-License-Identifier: BSD-3-Clause */
/** What the files of weirctl share: how replies are shown to people. Single-threaded. */
#ifndef WEIRCTL_H
#define WEIRCTL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#define WEIRCTL_COLUMNS 13
#define WEIRCTL_CELL 384

/** A table whose columns are as wide as the widest cell so far. */
struct weirctl_table {
	unsigned int n_columns;
	unsigned int width[WEIRCTL_COLUMNS];
	bool right[WEIRCTL_COLUMNS]; /**< numbers stand at the right */
	unsigned int n_rows, room;
	char (*cells)[WEIRCTL_CELL]; /**< n_rows * n_columns */
};

/** @param heads NULL-terminated; a leading '>' makes a column of numbers */
int weirctl_table_init(struct weirctl_table *t, const char *const *heads);
/** A row of n_columns strings. 0 or -ENOMEM */
int weirctl_table_row(struct weirctl_table *t, const char *const *cells);
/** Print the rows there are and forget them; widths stay. */
void weirctl_table_print(struct weirctl_table *t, FILE *out);
void weirctl_table_fini(struct weirctl_table *t);

/** "512 B", "1.5 KiB", "3.0 GiB" */
const char *weirctl_bytes(uint64_t n, char *buf, size_t size);
/** "999", "12.3k", "4.5M" */
const char *weirctl_count(uint64_t n, char *buf, size_t size);
/** "0.5s", "12s", "3m04s", "2h15m", "4d06h" */
const char *weirctl_time(uint64_t ms, char *buf, size_t size);

/** What show functions take out of replies: a text, "-" where there is none; a number, or 0. */
const char *weirctl_text(const json_t *object, const char *key);
uint64_t weirctl_number(const json_t *object, const char *key);
/** A list of words as "csum,tso4"; "-": there are none. @return buf */
const char *weirctl_words(const json_t *object, const char *key, char *buf, size_t size);

/** One reply of a command, as text; state is kept from one reply to the next. */
struct weirctl_show {
	FILE *out;
	struct weirctl_table table;
	bool table_made;
	bool all; /**< stats: counters that are 0, too */
	uint64_t n;
	uint64_t took_us; /**< ping */
};
typedef int (*weirctl_show_fn)(struct weirctl_show *s, const json_t *reply, bool last);

/** Begin the table with the first reply. @param heads as for weirctl_table_init() */
int weirctl_show_heads(struct weirctl_show *s, const char *const *heads);

int weirctl_show_vms(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_flows(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_flush(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_original(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_rules(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_zones(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_zone_limit(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_stats(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_version(struct weirctl_show *s, const json_t *reply, bool last);
int weirctl_show_ping(struct weirctl_show *s, const json_t *reply, bool last);

#endif
