/* SPDX-License-Identifier: BSD-3-Clause */
/** What the tests of the configuration share: load a text, keep the errors that were reported. */
#ifndef TEST_CONF_H
#define TEST_CONF_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf_priv.h"

static char errors[64][CONF_ERROR_LEN];
static unsigned int n_errors;
static bool reload;
static const char *resolv_path = "/dev/null";

static void
note_error(void *arg, const char *line)
{
	(void)arg;
	if (n_errors < 64)
		snprintf(errors[n_errors++], CONF_ERROR_LEN, "%s", line);
}

/** One of the errors begins with text. */
__attribute__((unused)) static void
assert_error(const char *text)
{
	unsigned int i;

	for (i = 0; i < n_errors; i++)
		if (strncmp(errors[i], text, strlen(text)) == 0)
			return;
	for (i = 0; i < n_errors; i++)
		print_error("reported: %s\n", errors[i]);
	fail_msg("not reported: %s", text);
}

__attribute__((unused)) static void
assert_addr(const struct flowtab_addr *a, const char *text)
{
	char buf[FLOWTAB_ADDR_STRLEN];

	assert_string_equal(flowtab_addr_format(a, buf), text);
}

static struct conf *
load_args(int argc, char **argv)
{
	static struct conf_cli cli;
	struct conf_load_params p = {
		.cli = &cli,
		.resolv_conf = resolv_path,
		.reload = reload,
		.report = note_error,
	};

	n_errors = 0;
	if (conf_cli_parse(&cli, argc, argv, note_error, NULL) != 0)
		return NULL;
	return conf_load(&p);
}

/** A file weir.conf in a directory of its own, which becomes the working directory. */
static struct conf *
load_bytes(const char *text, size_t len)
{
	char dir[] = "/tmp/test_conf_XXXXXX";
	char *argv[] = { "weir", "-c", "weir.conf" };
	struct conf *c;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	f = fopen("weir.conf", "w");
	assert_non_null(f);
	fwrite(text, 1, len, f);
	fclose(f);
	c = load_args(3, argv);
	unlink("weir.conf");
	assert_int_equal(chdir("/"), 0);
	rmdir(dir);
	return c;
}

__attribute__((unused)) static struct conf *
load_ok(const char *text)
{
	struct conf *c = load_bytes(text, strlen(text));
	unsigned int i;

	for (i = 0; i < n_errors; i++)
		print_error("reported: %s\n", errors[i]);
	assert_non_null(c);
	assert_int_equal(n_errors, 0);
	return c;
}

__attribute__((unused)) static void
load_errors_bytes(const char *text, size_t len)
{
	assert_null(load_bytes(text, len));
	assert_true(n_errors > 0);
}

__attribute__((unused)) static void
load_errors(const char *text)
{
	load_errors_bytes(text, strlen(text));
}

#endif
