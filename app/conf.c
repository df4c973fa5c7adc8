/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *
conf_place_format(const struct conf_place *p, char *buf, size_t size)
{
	const char *sep = p->key != NULL ? " " : "";
	const char *key = p->key != NULL ? p->key : "";
	const bool weir = strcmp(p->section, "weir") == 0;

	if (p->where.source == CONF_OPTION && weir)
		snprintf(buf, size, "--%s", key);
	else if (p->where.source == CONF_OPTION)
		snprintf(buf, size, "--%s %s%s%s", p->section, p->name, p->key != NULL ? ": " : "",
			key);
	else if (p->where.source == CONF_FILE && weir)
		snprintf(buf, size, "%s:%u: [weir]%s%s", p->file, p->where.line, sep, key);
	else if (p->where.source == CONF_FILE)
		snprintf(buf, size, "%s:%u: [%s.%s]%s%s", p->file, p->where.line, p->section,
			p->name, sep, key);
	else if (weir)
		snprintf(buf, size, "[weir]%s%s", sep, key);
	else
		snprintf(buf, size, "[%s.%s]%s%s", p->section, p->name, sep, key);
	return buf;
}

void
conf_error(struct conf_loader *l, const struct conf_place *place, const char *fmt, ...)
{
	char text[CONF_ERROR_LEN / 2], line[CONF_ERROR_LEN], where[CONF_ERROR_LEN / 2];
	va_list ap;

	l->errors++;
	if (l->errors > CONF_MAX_ERRORS) {
		if (l->errors == CONF_MAX_ERRORS + 1)
			l->p->report(l->p->report_arg, "more errors follow; these first");
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (place != NULL)
		snprintf(line, sizeof(line), "%s: %s",
			conf_place_format(place, where, sizeof(where)), text);
	else
		snprintf(line, sizeof(line), "%s", text);
	l->p->report(l->p->report_arg, line);
}

static struct conf_place
loader_place(const struct conf_loader *l, const char *key, struct conf_where where)
{
	struct conf_place p = { l->conf->file, l->section, l->name, key, where };

	return p;
}

static void
select_weir(struct conf_loader *l)
{
	l->section = "weir";
	l->name = NULL;
	l->table = conf_weir_keys;
	l->where = l->conf->where;
	l->object = l->conf;
}

static void
select_object(struct conf_loader *l, const struct conf_kind *k, struct conf_object *o)
{
	l->section = k->section;
	l->name = o->name;
	l->table = k->keys;
	l->where = o->where;
	l->object = o;
}

/** Keys that follow are looked at no further: their section is wrong. */
static void
select_nothing(struct conf_loader *l)
{
	l->table = NULL;
}

/** Some other readers of INI take quotes off; here they would be a part of the value. */
static bool
is_quoted(const char *text)
{
	const size_t len = strlen(text);

	return len >= 2 && (*text == '"' || *text == '\'') && text[len - 1] == *text;
}

/** Set one key of the selected section. */
static void
set_key(struct conf_loader *l, const char *key, const char *text, struct conf_where where)
{
	struct conf_place place = loader_place(l, key, where);
	char why[CONF_ERROR_LEN / 2] = "";
	const struct conf_key *k;
	struct conf_where *had;
	void *field;
	int i;

	i = conf_key_find(l->table, key);
	if (i < 0) {
		conf_error(l, &place, "no such key, see %s",
			where.source == CONF_FILE ? "weir.conf(5)" : "weir --help");
		return;
	}
	k = &l->table[i];
	had = &l->where[i];
	field = (char *)l->object + k->offset;
	if (had->source == where.source && !(k->flags & CONF_LIST)) {
		if (where.source == CONF_FILE)
			conf_error(l, &place, "given twice, first in line %u", had->line);
		else
			conf_error(l, &place, "given twice");
		return;
	}
	if (is_quoted(text)) {
		conf_error(l, &place, "write %s without the quotes", text);
		return;
	}
	/* A list is added to within one source; the command line takes the file's place. */
	if (had->source != where.source)
		memset(field, 0, k->size);
	*had = where;
	if (k->parse(k, text, field, why, sizeof(why)) != 0) {
		conf_error(l, &place, "%s", why);
		memset(field, 0, k->size);
		had->bad = true;
	}
}

/* ---- the file ---- */

/** An error about a section's line. */
#define SECTION_ERROR(l, line, name, fmt, ...) \
	conf_error(l, NULL, "%s:%u: [%.64s]: " fmt, (l)->conf->file, line, name, __VA_ARGS__)

static void
section_object(struct conf_loader *l, const struct conf_kind *k, const char *section,
	struct conf_where where)
{
	const char *name = section + strlen(k->section) + 1;
	struct conf_object *o = conf_object_find(l->conf, k, name);

	if (!k->valid(name)) {
		SECTION_ERROR(l, where.line, section, "%s", k->rule);
		return;
	}
	/* Some are there without a section. */
	if (o != NULL && o->section.line != 0) {
		SECTION_ERROR(
			l, where.line, section, "given twice, first in line %u", o->section.line);
		return;
	}
	if (o == NULL)
		o = conf_object_add(l->conf, k, name);
	if (o == NULL) {
		SECTION_ERROR(l, where.line, section, "too many: at most %u %s", k->max, k->what);
		return;
	}
	o->section = where;
	select_object(l, k, o);
}

static void
section_weir(struct conf_loader *l, struct conf_where where)
{
	if (l->weir_line != 0) {
		SECTION_ERROR(l, where.line, "weir", "given twice, first in line %u", l->weir_line);
		return;
	}
	l->weir_line = where.line;
	select_weir(l);
}

/** "[weir], [vm.NAME] and [network.NAME]" */
static const char *
kinds_format(char *buf, size_t size)
{
	size_t used = (size_t)snprintf(buf, size, "[weir]");
	const struct conf_kind *k;

	for (k = conf_kinds; k->section != NULL; k++)
		used += (size_t)snprintf(buf + used, size - used, "%s[%s.%s]",
			k[1].section != NULL ? ", " : " and ", k->section, k->name);
	return buf;
}

static void
on_section(void *arg, const char *name, uint32_t line)
{
	const struct conf_where where = { .source = CONF_FILE, .line = line };
	struct conf_loader *l = arg;
	const struct conf_kind *k = conf_kind_find(name, strcspn(name, "."));
	char all[128];

	select_nothing(l);
	if (*name == '\0')
		return;
	if (strcmp(name, "weir") == 0)
		section_weir(l, where);
	else if (k == NULL || name[strlen(k->section)] != '.')
		SECTION_ERROR(l, line, name, "no such section: there are %s",
			kinds_format(all, sizeof(all)));
	else
		section_object(l, k, name, where);
}

static void
on_value(void *arg, const char *key, const char *value, uint32_t line)
{
	struct conf_loader *l = arg;

	if (l->table != NULL)
		set_key(l, key, value, (struct conf_where){ .source = CONF_FILE, .line = line });
}

static void
on_bad(void *arg, const char *what, uint32_t line)
{
	struct conf_loader *l = arg;

	conf_error(l, NULL, "%s:%u: %s", l->conf->file, line, what);
}

static void
load_file(struct conf_loader *l)
{
	const struct conf_ini_handler h = { on_section, on_value, on_bad, l };
	FILE *in = fopen(l->conf->file, "re");
	int ret;

	if (in == NULL) {
		conf_error(l, NULL, "%s: cannot be opened: %s", l->conf->file, strerror(errno));
		return;
	}
	ret = conf_ini_read(in, &h);
	if (ret != 0)
		conf_error(l, NULL, "%s: cannot be read: %s", l->conf->file, strerror(-ret));
	fclose(in);
}

/* ---- the command line ---- */

/** Cut at the first single comma; ",," is a comma. @return what follows, or NULL at the end */
static char *
cut_at_comma(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s == ',') {
			if (s[1] != ',') {
				*to = '\0';
				return s + 1;
			}
			s++;
		}
		*to++ = *s;
	}
	*to = '\0';
	return NULL;
}

/** The keys of --KIND NAME,key=value,... */
static void
load_keys(struct conf_loader *l, const struct conf_kind *k, const char *name, char *next)
{
	const struct conf_where where = { .source = CONF_OPTION };

	while (next != NULL) {
		char *item = next, *eq;

		next = cut_at_comma(item);
		eq = strchr(item, '=');
		if (eq == NULL) {
			conf_error(l, NULL,
				"--%s %s: \"%s\" is not key=value (in lists write / for a comma)",
				k->section, name, item);
			continue;
		}
		*eq = '\0';
		set_key(l, item, eq + 1, where);
	}
}

static void
load_object(struct conf_loader *l, const struct conf_kind *k, const char *option)
{
	char *text = strdup(option), *next;
	struct conf_object *o;

	if (text == NULL) {
		conf_error(l, NULL, "--%s %s: %s", k->section, option, strerror(ENOMEM));
		return;
	}
	next = cut_at_comma(text);
	if (!k->valid(text)) {
		conf_error(l, NULL, "--%s %.64s: %s: begin with one, as in --%s %s", k->section,
			option, k->rule, k->section, k->example);
		goto out;
	}
	o = conf_object_find(l->conf, k, text);
	if (o == NULL)
		o = conf_object_add(l->conf, k, text);
	if (o == NULL) {
		conf_error(l, NULL, "--%s %s: too many: at most %u %s", k->section, text, k->max,
			k->what);
		goto out;
	}
	if (o->section.source == CONF_OPTION) {
		conf_error(l, NULL, "--%s %s: given twice", k->section, text);
		goto out;
	}
	o->section.source = CONF_OPTION;
	select_object(l, k, o);
	load_keys(l, k, o->name, next);
out:
	free(text);
}

static void
load_options(struct conf_loader *l)
{
	const struct conf_where where = { .source = CONF_OPTION };
	const struct conf_cli *cli = l->p->cli;
	unsigned int i;

	for (i = 0; i < cli->n_given; i++) {
		if (cli->given[i].kind != NULL) {
			load_object(l, cli->given[i].kind, cli->given[i].text);
		} else {
			select_weir(l);
			set_key(l, cli->given[i].key->name, cli->given[i].text, where);
		}
	}
}

struct conf *
conf_load(const struct conf_load_params *p)
{
	struct conf *c = calloc(1, sizeof(*c));
	struct conf_loader l = { .p = p, .conf = c };

	if (c == NULL || conf_object_add(c, &conf_kinds[CONF_KIND_NETWORK], "default") == NULL ||
		conf_object_add(c, &conf_kinds[CONF_KIND_TIMEOUTS], "default") == NULL)
		goto no_memory;
	if (p->cli->file != NULL) {
		c->file = strdup(p->cli->file);
		if (c->file == NULL)
			goto no_memory;
		load_file(&l);
	}
	load_options(&l);
	conf_complete(&l);
	if (l.errors == 0)
		return c;
	conf_destroy(c);
	return NULL;
no_memory:
	p->report(p->report_arg, "out of memory");
	conf_destroy(c);
	return NULL;
}

/* ---- differences ---- */

static unsigned int
report_fixed(struct conf_place *place, const char *key, struct conf_where where,
	conf_report_fn report, void *arg)
{
	char buf[CONF_ERROR_LEN / 2], line[CONF_ERROR_LEN];

	place->key = key;
	place->where = where;
	snprintf(line, sizeof(line), "%s: cannot change while weir runs: restart it",
		conf_place_format(place, buf, sizeof(buf)));
	report(arg, line);
	return 1;
}

static unsigned int
diff_fixed(const struct conf_key *table, const void *old, const void *new, struct conf_place *place,
	const struct conf_where *where, conf_report_fn report, void *arg)
{
	unsigned int n = 0;
	int i;

	for (i = 0; table[i].name != NULL; i++) {
		const struct conf_key *k = &table[i];

		if ((k->flags & CONF_LIVE) ||
			memcmp((const char *)old + k->offset, (const char *)new + k->offset,
				k->size) == 0)
			continue;
		n += report_fixed(place, k->name, where[i], report, arg);
	}
	return n;
}

unsigned int
conf_diff_fixed(
	const struct conf *old, const struct conf *new, conf_report_fn report, void *report_arg)
{
	struct conf_place place = { new->file, "weir", NULL, NULL, { 0 } };
	unsigned int n;
	uint32_t i;

	n = diff_fixed(conf_weir_keys, old, new, &place, new->where, report, report_arg);
	for (i = 0; i < new->n_vms; i++) {
		const struct conf_vm *vm = new->vms[i];
		const struct conf_vm *was = conf_vm_same(old, new, vm);

		if (was == NULL)
			continue;
		place.section = "vm";
		place.name = vm->name;
		n += diff_fixed(conf_vm_keys, was, vm, &place, vm->where, report, report_arg);
		/* It can come from the network or from [weir], too. */
		if (was->port.mtu != vm->port.mtu && was->mtu == vm->mtu)
			n += report_fixed(&place, "mtu", vm->section, report, report_arg);
	}
	return n;
}
