/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reload, all or nothing. What can fail is done first, in steps that can be taken back: forwards
 * that are not wanted any more are closed (another VM may want their ports), new VMs are made, VMs
 * are changed, new forwards opened, new VMs started, new rules made and given to the workers. Only
 * then are VMs taken down that are gone.
 * A VM is the same as before if its name is or, its name being gone, its socket: it was renamed.
 */
#include "daemon.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "sdnotify.h"

static void
report(void *arg, const char *line)
{
	log_error("%s", line);
}

struct reload {
	struct daemon *d;
	struct conf *old, *new;
	struct rules *rules; /**< of new */
};

/** What the VM was before; NULL: it is a new one. */
static const struct conf_vm *
old_conf(const struct reload *r, const struct conf_vm *vm)
{
	return conf_vm_same(r->old, r->new, vm);
}

/** What the VM is to be; NULL: it goes. */
static const struct conf_vm *
new_conf(const struct reload *r, const struct conf_vm *vm)
{
	return conf_vm_same(r->new, r->old, vm);
}

static int
plan_forwards(struct reload *r)
{
	struct daemon_vm *vm;
	int ret;

	TAILQ_FOREACH (vm, &r->d->vms, next) {
		ret = daemon_listen_plan(vm, new_conf(r, &vm->conf));
		if (ret != 0)
			return ret;
	}
	TAILQ_FOREACH (vm, &r->d->vms, next)
		daemon_listen_shut(vm);
	return 0;
}

static int
change_vms(struct reload *r)
{
	struct daemon_vm *vm;
	int ret = 0;

	TAILQ_FOREACH (vm, &r->d->vms, next) {
		const struct conf_vm *conf = new_conf(r, &vm->conf);

		if (conf == NULL)
			continue;
		ret = daemon_vm_change(vm, conf);
		if (ret == 0)
			ret = daemon_listen_open(vm);
		if (ret != 0)
			break;
	}
	return ret;
}

static int
make_new_vms(struct reload *r)
{
	uint32_t i;

	for (i = 0; i < r->new->n_vms; i++)
		if (old_conf(r, r->new->vms[i]) == NULL &&
			daemon_vm_create(r->d, r->new->vms[i]) == NULL)
			return -EIO;
	return 0;
}

static int
start_new_vms(struct reload *r)
{
	struct daemon_vm *vm;

	TAILQ_FOREACH (vm, &r->d->vms, next)
		if (old_conf(r, &vm->conf) == NULL && daemon_vm_start(vm) != 0)
			return -EIO;
	return 0;
}

/** Last, for it ends flows: until control returns, no guest that is new can connect. */
static int
change_rules(struct reload *r)
{
	r->rules = daemon_rules_make(r->d, r->new);
	return r->rules == NULL ? -EIO : daemon_rules_set(r->d, r->rules, r->new);
}

static void
roll_back(struct reload *r)
{
	struct daemon_vm *vm, *after;

	if (r->rules != NULL)
		daemon_rules_set(r->d, r->d->rules, r->old);
	daemon_rules_free(r->d, r->rules);
	for (vm = TAILQ_FIRST(&r->d->vms); vm != NULL; vm = after) {
		after = TAILQ_NEXT(vm, next);
		if (old_conf(r, &vm->conf) == NULL)
			daemon_vm_destroy(vm);
	}
	TAILQ_FOREACH (vm, &r->d->vms, next) {
		const struct conf_vm *conf = old_conf(r, &vm->conf);

		if (memcmp(&vm->conf, conf, sizeof(*conf)) != 0)
			daemon_vm_change(vm, conf);
	}
	/* All that was added is closed before what was closed is opened again. */
	TAILQ_FOREACH (vm, &r->d->vms, next)
		daemon_listen_rollback_shut(vm);
	TAILQ_FOREACH (vm, &r->d->vms, next)
		daemon_listen_rollback_open(vm);
}

static void
commit(struct reload *r)
{
	struct daemon_vm *vm, *after;

	daemon_rules_free(r->d, r->d->rules);
	r->d->rules = r->rules;
	daemon_zones_set(r->d, r->new);
	for (vm = TAILQ_FIRST(&r->d->vms); vm != NULL; vm = after) {
		after = TAILQ_NEXT(vm, next);
		if (new_conf(r, &vm->conf) == NULL)
			daemon_vm_destroy(vm);
		else
			daemon_listen_commit(vm);
	}
	log_set_level((enum log_level)r->new->log_level);
	r->d->conf = r->new;
	conf_destroy(r->old);
}

static struct conf *
read_new(struct daemon *d)
{
	const struct conf_load_params p = { .cli = d->cli, .reload = true, .report = report };
	struct conf *new = conf_load(&p);

	if (new == NULL)
		return NULL;
	conf_networks_number(new, d->conf);
	if (conf_diff_fixed(d->conf, new, report, NULL) != 0 || daemon_permit_check(d, new) != 0) {
		conf_destroy(new);
		return NULL;
	}
	return new;
}

void
daemon_reload(struct daemon *d)
{
	struct reload r = { .d = d, .old = d->conf };
	int ret;

	sdnotify("RELOADING=1");
	r.new = read_new(d);
	if (r.new == NULL) {
		log_error("reload: nothing was changed, see above");
		sdnotify("READY=1");
		return;
	}
	ret = plan_forwards(&r);
	if (ret == 0)
		ret = change_vms(&r);
	if (ret == 0)
		ret = make_new_vms(&r);
	if (ret == 0)
		ret = start_new_vms(&r);
	if (ret == 0)
		ret = change_rules(&r);
	if (ret == 0) {
		commit(&r);
		log_info("reload: done, %u VMs", d->conf->n_vms);
	} else {
		roll_back(&r);
		conf_destroy(r.new);
		log_error("reload: rolled back, see above");
	}
	sdnotify("READY=1");
}
