/* SPDX-License-Identifier: BSD-3-Clause */
#include "resolv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"

static void
add_server(struct resolv *r, char *rest)
{
	struct flowtab_addr a;
	char *save = NULL, *word = strtok_r(rest, " \t\r\n", &save);

	if (word != NULL && r->n_servers < RESOLV_MAX_SERVERS && flowtab_addr_parse(&a, word) == 0)
		r->servers[r->n_servers++] = a;
}

/** The last search (or domain) line wins, as in resolv.conf(5). */
static void
set_search(struct resolv *r, char *rest)
{
	char *save = NULL, *word;
	size_t used = 0;

	r->search[0] = '\0';
	for (word = strtok_r(rest, " \t\r\n", &save); word != NULL;
		word = strtok_r(NULL, " \t\r\n", &save)) {
		const size_t len = strlen(word);

		if (word[len - 1] == '.')
			word[len - 1] = '\0';
		if (!conf_hostname_valid(word) || used + len + 2 > sizeof(r->search))
			continue;
		used += (size_t)snprintf(r->search + used, sizeof(r->search) - used, "%s%s",
			used == 0 ? "" : " ", word);
	}
}

int
resolv_read(const char *path, struct resolv *r)
{
	char line[1024];
	FILE *in;

	memset(r, 0, sizeof(*r));
	in = fopen(path, "re");
	if (in == NULL)
		return -errno;
	while (fgets(line, sizeof(line), in) != NULL) {
		if (strncmp(line, "nameserver", 10) == 0 && (line[10] == ' ' || line[10] == '\t'))
			add_server(r, line + 10);
		else if (strncmp(line, "search", 6) == 0 && (line[6] == ' ' || line[6] == '\t'))
			set_search(r, line + 6);
		else if (strncmp(line, "domain", 6) == 0 && (line[6] == ' ' || line[6] == '\t'))
			set_search(r, line + 6);
	}
	fclose(in);
	return 0;
}
