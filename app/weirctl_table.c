/* SPDX-License-Identifier: BSD-3-Clause */
#include "weirctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
weirctl_table_init(struct weirctl_table *t, const char *const *heads)
{
	const char *names[WEIRCTL_COLUMNS];
	unsigned int i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < WEIRCTL_COLUMNS && heads[i] != NULL; i++) {
		t->right[i] = heads[i][0] == '>';
		names[i] = heads[i] + t->right[i];
	}
	t->n_columns = i;
	return weirctl_table_row(t, names);
}

int
weirctl_table_row(struct weirctl_table *t, const char *const *cells)
{
	char(*row)[WEIRCTL_CELL];
	unsigned int i, len;

	if (t->n_rows == t->room) {
		const unsigned int room = t->room == 0 ? 64 : t->room * 2;
		void *grown = realloc(t->cells, (size_t)room * t->n_columns * WEIRCTL_CELL);

		if (grown == NULL)
			return -ENOMEM;
		t->cells = grown;
		t->room = room;
	}
	row = &t->cells[(size_t)t->n_rows * t->n_columns];
	for (i = 0; i < t->n_columns; i++) {
		snprintf(row[i], WEIRCTL_CELL, "%s", cells[i]);
		len = (unsigned int)strlen(row[i]);
		if (len > t->width[i])
			t->width[i] = len;
	}
	t->n_rows++;
	return 0;
}

void
weirctl_table_print(struct weirctl_table *t, FILE *out)
{
	unsigned int r, i;

	for (r = 0; r < t->n_rows; r++) {
		char(*row)[WEIRCTL_CELL] = &t->cells[(size_t)r * t->n_columns];

		for (i = 0; i < t->n_columns; i++) {
			const bool last = i + 1 == t->n_columns;
			const int width = last && !t->right[i] ? 0 : (int)t->width[i];

			fprintf(out, "%*s%s", t->right[i] ? width : -width, row[i],
				last ? "\n" : "  ");
		}
	}
	t->n_rows = 0;
}

void
weirctl_table_fini(struct weirctl_table *t)
{
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

const char *
weirctl_bytes(uint64_t n, char *buf, size_t size)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)n;
	int unit = -1;

	/* 1023.95 is shown as 1.0 of the next, not as 1024.0. */
	while (value >= (unit < 0 ? 1024 : 1023.95) && unit < 5) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(buf, size, "%u B", (unsigned int)n);
	else
		snprintf(buf, size, "%.1f %s", value, units[unit]);
	return buf;
}

const char *
weirctl_count(uint64_t n, char *buf, size_t size)
{
	static const char units[] = "kMGTPE";
	double value = (double)n;
	int unit = -1;

	while (value >= (unit < 0 ? 10000 : 999.95) && unit < 5) {
		value /= 1000;
		unit++;
	}
	if (unit < 0)
		snprintf(buf, size, "%u", (unsigned int)n);
	else
		snprintf(buf, size, "%.1f%c", value, units[unit]);
	return buf;
}

const char *
weirctl_time(uint64_t ms, char *buf, size_t size)
{
	const unsigned long s = (unsigned long)(ms / 1000);

	if (ms < 10000)
		snprintf(buf, size, "%lu.%lus", s, (unsigned long)(ms % 1000 / 100));
	else if (s < 60)
		snprintf(buf, size, "%lus", s);
	else if (s < 3600)
		snprintf(buf, size, "%lum%02lus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, size, "%luh%02lum", s / 3600, s % 3600 / 60);
	else
		snprintf(buf, size, "%lud%02luh", s / 86400, s % 86400 / 3600);
	return buf;
}
