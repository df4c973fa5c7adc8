/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: file, --vm and other options, resolv.conf. A configuration is loaded, or at
 * least one error says why not; one that is loaded is the same the next time, and each of its ports
 * is one that lib/l4xlate takes.
 *
 * Input: text up to a zero byte is the file; each text after it an option as it is if it begins
 * with "--", resolv.conf if it begins with '@', else the value of a --vm.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <l4xkit.h>

#include "conf.h"
#include "fuzz.h"

#define ARGS_MAX 32

static struct l4x *l4x;
static int file_fd, resolv_fd;
static char file_path[32], resolv_path[32];
static unsigned int n_errors;

static void
note_error(void *arg, const char *line)
{
	n_errors++;
	fuzz_trace("  %s", line);
	FUZZ_CHECK(*line != '\0' && strlen(line) < CONF_ERROR_LEN, "an error of %zu bytes",
		strlen(line));
}

static int
memory_file(const char *name, char *path, size_t size)
{
	const int fd = memfd_create(name, 0);

	FUZZ_CHECK(fd >= 0, "memfd_create");
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static void
write_file(int fd, const char *text, size_t len)
{
	FUZZ_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, text, len, 0) == (ssize_t)len, "write");
}

/** What the command line would be. @return argc */
static int
make_args(char **argv, char *text, const char *end)
{
	static char self[] = "weir", file[] = "-c", vm[] = "--vm";
	int argc = 0;

	argv[argc++] = self;
	argv[argc++] = file;
	argv[argc++] = file_path;
	for (; text < end && argc + 2 < ARGS_MAX; text += strlen(text) + 1) {
		if (*text == '@') {
			write_file(resolv_fd, text + 1, strlen(text + 1));
			continue;
		}
		/* It must not read files of the machine's. */
		if (strncmp(text, "--conf", 6) == 0)
			continue;
		if (strncmp(text, "--", 2) != 0)
			argv[argc++] = vm;
		argv[argc++] = text;
	}
	argv[argc] = NULL;
	return argc;
}

static struct conf *
load(const struct conf_cli *cli)
{
	const struct conf_load_params p = {
		.cli = cli,
		.resolv_conf = resolv_path,
		.report = note_error,
	};
	struct conf *c;

	n_errors = 0;
	c = conf_load(&p);
	FUZZ_CHECK((c != NULL) == (n_errors == 0), "%sloaded with %u errors",
		c == NULL ? "not " : "", n_errors);
	return c;
}

/** Twice the same, and fit for use. */
static void
check_loaded(const struct conf *c, const struct conf *again)
{
	FUZZ_CHECK(conf_diff_fixed(c, again, note_error, NULL) == 0, "loaded again it differs");
	FUZZ_CHECK(c->n_vms == again->n_vms && c->n_vms > 0, "%u VMs, then %u", c->n_vms,
		again->n_vms);
	for (uint32_t i = 0; i < c->n_vms; i++) {
		struct conf_vm *vm = c->vms[i];

		FUZZ_CHECK(memcmp(&vm->port, &again->vms[i]->port, sizeof(vm->port)) == 0,
			"%s has another port when loaded again", vm->name);
		FUZZ_CHECK(conf_vm_find(c, vm->name) == vm, "two VMs are called %s", vm->name);
		vm->port.pif = 1;
		vm->port.n_queues = (uint8_t)vm->queues;
		FUZZ_CHECK(l4x_port_set(l4x, &vm->port) == 0, "%s: its port is refused", vm->name);
	}
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct l4x_params p = { .name = "conf", .max_flows = 1, .socket_id = SOCKET_ID_ANY };

	l4xkit_eal("fuzz_conf");
	p.pool =
		rte_pktmbuf_pool_create("conf", 15, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	l4x = l4x_create(&p);
	FUZZ_CHECK(l4x != NULL, "l4x_create");
	file_fd = memory_file("weir.conf", file_path, sizeof(file_path));
	resolv_fd = memory_file("resolv.conf", resolv_path, sizeof(resolv_path));
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf_cli cli;
	char *text = malloc(size + 1), *argv[ARGS_MAX + 1];
	struct conf *c, *again;
	size_t len;
	int argc;

	FUZZ_CHECK(text != NULL, "no memory");
	memcpy(text, data, size);
	text[size] = '\0';
	len = strlen(text);
	write_file(file_fd, text, len);
	write_file(resolv_fd, "", 0);
	argc = make_args(argv, text + RTE_MIN(len + 1, size), text + size);
	n_errors = 0;
	if (conf_cli_parse(&cli, argc, argv, note_error, NULL) != 0) {
		FUZZ_CHECK(n_errors > 0, "options are wrong, and nobody says why");
	} else {
		c = load(&cli);
		again = load(&cli);
		if (c != NULL && again != NULL)
			check_loaded(c, again);
		conf_destroy(c);
		conf_destroy(again);
	}
	free(text);
	return 0;
}
