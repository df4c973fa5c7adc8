/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes the source of weir.conf(5): the lines of a template, with @weir@, @network@ and so on, on
 * lines of their own, replaced by the keys of that table. So the page cannot differ from the
 * program.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"

/** scdoc takes '_' and '*' for markup and '\' for an escape. */
static void
put_text(const char *s)
{
	for (; *s != '\0'; s++) {
		if (strchr("_*\\[]<>#", *s) != NULL)
			putchar('\\');
		putchar(*s);
	}
}

static void
put_key(const struct conf_key *k)
{
	putchar('*');
	put_text(k->name);
	fputs("* = ", stdout);
	put_text(k->arg);
	fputs("\n\t", stdout);
	/* A sentence begins with a capital, a name stays as it is. */
	putchar(strncmp(k->help, "weir", 4) == 0 ? 'w' : toupper((unsigned char)k->help[0]));
	put_text(k->help + 1);
	fputs(".", stdout);
	if (k->max != 0 && k->parse != NULL && strcmp(k->arg, "S") == 0 && k->max % 1000 == 0 &&
		k->min == 1000)
		printf(" From %u to %u.", k->min / 1000, k->max / 1000);
	else if (k->max != 0)
		printf(" From %u to %u.", k->min, k->max);
	if (k->flags & CONF_LIST)
		fputs(" Can be given more than once.", stdout);
	fputs(" Default: ", stdout);
	put_text(k->def != NULL ? k->def : k->shown);
	fputs(".", stdout);
	if (!(k->flags & CONF_LIVE))
		fputs(" Needs a restart.", stdout);
	fputs("\n\n", stdout);
}

static void
put_table(const struct conf_key *k)
{
	for (; k->name != NULL; k++)
		put_key(k);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *mark;
		const struct conf_key *table;
	} tables[] = {
		{ "@weir@\n", conf_weir_keys },
		{ "@network@\n", conf_network_keys },
		{ "@vm@\n", conf_vm_keys },
		{ "@rule@\n", conf_rule_keys },
		{ "@timeouts@\n", conf_timeouts_keys },
	};
	char line[1024];
	FILE *in;
	size_t i;

	if (argc != 2 || (in = fopen(argv[1], "r")) == NULL) {
		fputs("usage: conf-doc TEMPLATE\n", stderr);
		return 2;
	}
	while (fgets(line, sizeof(line), in) != NULL) {
		for (i = 0; i < RTE_DIM(tables); i++)
			if (strcmp(line, tables[i].mark) == 0)
				break;
		if (i < RTE_DIM(tables))
			put_table(tables[i].table);
		else
			fputs(line, stdout);
	}
	fclose(in);
	return fflush(stdout) == 0 ? 0 : 1;
}
