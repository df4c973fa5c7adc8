/* SPDX-License-Identifier: BSD-3-Clause */
/* What a configuration has several of: VMs, networks, rules, sets of timeouts. */
#include "conf_priv.h"

#include <stdlib.h>
#include <string.h>

#define NAME_RULE "a name has letters, digits, '-', '_' and '.', at most 32"

static_assert(CONF_NAME_MAX == 33, "NAME_RULE");

#define LIST(f, n) offsetof(struct conf, f), offsetof(struct conf, n)

const struct conf_kind conf_kinds[] = {
	[CONF_KIND_VM] = { "vm", "NAME", "VMs", "web,socket=/tmp/web.sock", CONF_MAX_VMS,
		conf_vm_keys, LIST(vms, n_vms), sizeof(struct conf_vm), false, conf_name_valid,
		NAME_RULE },
	[CONF_KIND_NETWORK] = { "network", "NAME", "networks", NULL, CONF_MAX_NETWORKS,
		conf_network_keys, LIST(networks, n_networks), sizeof(struct conf_network), false,
		conf_name_valid, NAME_RULE },
	[CONF_KIND_RULE] = { "rule", "N", "rules", "10,direction=out,action=drop", RULES_MAX,
		conf_rule_keys, LIST(rules, n_rules), sizeof(struct conf_rule), true,
		conf_rule_name_valid, "a rule has a number from 1 to 16384" },
	[CONF_KIND_TIMEOUTS] = { "timeouts", "NAME", "sets of timeouts", NULL, CT_POLICIES,
		conf_timeouts_keys, LIST(ct_timeouts, n_ct_timeouts), sizeof(struct conf_timeouts),
		false, conf_name_valid, NAME_RULE },
	[CONF_KINDS] = { NULL },
};

static_assert(RULES_MAX == 16384, "text of CONF_KIND_RULE");

/* Objects of all kinds begin alike. */
#define IS_OBJECT(type)                                                                        \
	static_assert(offsetof(struct type, name) == offsetof(struct conf_object, name),       \
		"name of " #type);                                                             \
	static_assert(offsetof(struct type, section) == offsetof(struct conf_object, section), \
		"section of " #type);                                                          \
	static_assert(offsetof(struct type, where) == offsetof(struct conf_object, where),     \
		"where of " #type)
IS_OBJECT(conf_vm);
IS_OBJECT(conf_network);
IS_OBJECT(conf_rule);
IS_OBJECT(conf_timeouts);

const struct conf_kind *
conf_kind_find(const char *text, size_t len)
{
	const struct conf_kind *k;

	for (k = conf_kinds; k->section != NULL; k++)
		if (strlen(k->section) == len && memcmp(k->section, text, len) == 0)
			return k;
	return NULL;
}

static struct conf_object **
objects(const struct conf *c, const struct conf_kind *k)
{
	return (struct conf_object **)((uintptr_t)c + k->list);
}

static uint32_t *
objects_count(const struct conf *c, const struct conf_kind *k)
{
	return (uint32_t *)((uintptr_t)c + k->count);
}

static uint32_t
position_by_number(struct conf_object **list, uint32_t n, const char *name)
{
	const unsigned long number = strtoul(name, NULL, 10);
	uint32_t begin = 0, end = n;

	while (begin < end) {
		const uint32_t middle = (begin + end) / 2;

		if (strtoul(list[middle]->name, NULL, 10) < number)
			begin = middle + 1;
		else
			end = middle;
	}
	return begin;
}

/** Where the object of this name is, or would be put. */
static uint32_t
position(const struct conf *c, const struct conf_kind *k, const char *name, bool *there)
{
	struct conf_object **list = objects(c, k);
	const uint32_t n = *objects_count(c, k);
	uint32_t i = 0;

	if (k->numbered)
		i = position_by_number(list, n, name);
	while (!k->numbered && i < n && strcmp(list[i]->name, name) != 0)
		i++;
	*there = i < n && strcmp(list[i]->name, name) == 0;
	return i;
}

struct conf_object *
conf_object_find(const struct conf *c, const struct conf_kind *k, const char *name)
{
	bool there;
	const uint32_t at = position(c, k, name, &there);

	return there ? objects(c, k)[at] : NULL;
}

struct conf_object *
conf_object_add(struct conf *c, const struct conf_kind *k, const char *name)
{
	bool there;
	const uint32_t at = position(c, k, name, &there);
	struct conf_object **list = objects(c, k);
	uint32_t *n = objects_count(c, k);
	struct conf_object *o;

	if (*n == k->max)
		return NULL;
	o = calloc(1, k->size);
	if (o == NULL)
		return NULL;
	snprintf(o->name, sizeof(o->name), "%s", name);
	memmove(list + at + 1, list + at, (*n - at) * sizeof(list[0]));
	list[at] = o;
	(*n)++;
	return o;
}

bool
conf_rule_name_valid(const char *name)
{
	const size_t len = strlen(name);

	return len <= 5 && strspn(name, "0123456789") == len && *name > '0' &&
		strtoul(name, NULL, 10) <= RULES_MAX;
}

/* ---- VMs and networks ---- */

struct conf_vm *
conf_vm_find(const struct conf *c, const char *name)
{
	return (struct conf_vm *)conf_object_find(c, &conf_kinds[CONF_KIND_VM], name);
}

struct conf_vm *
conf_vm_same(const struct conf *c, const struct conf *other, const struct conf_vm *vm)
{
	struct conf_vm *same = conf_vm_find(c, vm->name);
	uint32_t i;

	for (i = 0; i < c->n_vms && same == NULL; i++)
		if (strcmp(c->vms[i]->socket, vm->socket) == 0 &&
			strcmp(c->vms[i]->ethdev, vm->ethdev) == 0 &&
			conf_vm_find(other, c->vms[i]->name) == NULL)
			same = c->vms[i];
	return same;
}

struct conf_network *
conf_network_find(const struct conf *c, const char *name)
{
	return (struct conf_network *)conf_object_find(c, &conf_kinds[CONF_KIND_NETWORK], name);
}

/** The number is nobody's, neither now nor before. */
static uint16_t
network_number_free(const struct conf *c, const struct conf *old, uint32_t n_numbered)
{
	uint16_t number = 0;
	bool taken;
	uint32_t i;

	do {
		taken = false;
		for (i = 0; i < n_numbered; i++)
			taken |= c->networks[i]->number == number;
		for (i = 0; i < old->n_networks; i++)
			taken |= old->networks[i]->number == number;
	} while (taken && ++number != 0);
	return number;
}

void
conf_networks_number(struct conf *c, const struct conf *old)
{
	const struct conf_network *n;
	uint32_t i;

	for (i = 0; i < c->n_networks; i++) {
		n = conf_network_find(old, c->networks[i]->name);
		c->networks[i]->number = n != NULL ? n->number : network_number_free(c, old, i);
	}
	for (i = 0; i < c->n_vms; i++) {
		n = conf_network_find(c, c->vms[i]->network);
		c->vms[i]->port.network = n->number;
	}
}

void
conf_destroy(struct conf *c)
{
	const struct conf_kind *k;
	uint32_t i;

	if (c == NULL)
		return;
	for (k = conf_kinds; k->section != NULL; k++)
		for (i = 0; i < *objects_count(c, k); i++)
			free(objects(c, k)[i]);
	free(c->file);
	free(c);
}
