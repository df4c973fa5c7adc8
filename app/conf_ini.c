/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reader of INI text of our own. rte_cfgfile tells no line numbers, cuts names at 64 and values
 * at 256 bytes without a word, and needs an initialised EAL for its memory, where we must know the
 * configuration before. inih as distributions build it cuts lines at 200 bytes, does not tell its
 * handler the line number, does not tell of sections without keys, and of the first bad line only.
 */
#include "conf_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** The text without blanks at both ends; changed in place. */
static char *
trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

/** A '#' or ';' at the start of the line, or after a blank, begins a comment. */
static void
cut_comment(char *s)
{
	char *p;

	for (p = s; *p != '\0'; p++) {
		if ((*p == '#' || *p == ';') && (p == s || isspace((unsigned char)p[-1]))) {
			*p = '\0';
			return;
		}
	}
}

static void
read_section(const struct conf_ini_handler *h, char *s, uint32_t line)
{
	char *end = strchr(s, ']');

	if (end == NULL || end[1] != '\0') {
		h->bad(h->arg, "a section is written [NAME], alone on its line", line);
		/* What follows must not go to the section before. */
		h->section(h->arg, "", line);
		return;
	}
	*end = '\0';
	s = trim(s + 1);
	if (*s == '\0')
		h->bad(h->arg, "a section without a name", line);
	h->section(h->arg, s, line);
}

static void
read_line(const struct conf_ini_handler *h, char *s, uint32_t line, bool *in_section)
{
	char *eq;

	cut_comment(s);
	s = trim(s);
	if (*s == '\0')
		return;
	if (*s == '[') {
		*in_section = true;
		read_section(h, s, line);
		return;
	}
	eq = strchr(s, '=');
	if (eq == NULL) {
		h->bad(h->arg, "neither [SECTION] nor key = value", line);
		return;
	}
	*eq = '\0';
	if (!*in_section)
		h->bad(h->arg, "a key before the first section: begin with [weir]", line);
	else
		h->value(h->arg, trim(s), trim(eq + 1), line);
}

/** The lines of a text, changed in place; text[len] is writable. */
static void
read_lines(const struct conf_ini_handler *h, char *text, size_t len)
{
	char *const end = text + len;
	bool in_section = false;
	uint32_t line = 0;
	char *s, *newline;

	*end = '\0';
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (s = text; s < end; s = newline + 1) {
		newline = memchr(s, '\n', (size_t)(end - s));
		if (newline == NULL)
			newline = end;
		*newline = '\0';
		line++;
		if (strlen(s) != (size_t)(newline - s)) {
			h->bad(h->arg, "a zero byte: this is no text file", line);
			return;
		}
		read_line(h, s, line, &in_section);
	}
}

int
conf_ini_read(FILE *in, const struct conf_ini_handler *h)
{
	/* Bounded, for it may be a device that never ends. Nothing costs memory that is not read.
	 */
	char *text = malloc(CONF_INI_FILE_MAX + 1);
	size_t len;
	int ret = 0;

	if (text == NULL)
		return -ENOMEM;
	errno = 0;
	len = fread(text, 1, CONF_INI_FILE_MAX + 1, in);
	if (ferror(in))
		ret = errno != 0 ? -errno : -EIO;
	else if (len > CONF_INI_FILE_MAX)
		h->bad(h->arg, "longer than any configuration", 1);
	else
		read_lines(h, text, len);
	free(text);
	return ret;
}
