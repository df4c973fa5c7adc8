/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost/guestmem.c, sigbus.c: memory whose file is cut short, and what lies around it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "guestmem.h"
#include "sigbus.h"
#include "vport.h"

#define MAP_BYTES 8192
#define NEIGHBOURS 64

/* In children: a handler is installed once in a process. */
enum verdict {
	FINE,
	WRONG,
	SKIPPED,
};

/** @return exit status, or minus the signal that ended it */
static int in_child(enum verdict (*fn)(void))
{
	const pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGBUS, SIG_DFL);
		if (vport_sigbus_install() != 0)
			_exit(WRONG);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/** A file on a tmpfs of huge pages, whose st_blksize is 2 MiB. -1: it cannot be had */
static int
file_on_huge_tmpfs(void)
{
	char dir[] = "/tmp/vport-mem-XXXXXX", path[64];
	int fd = -1;

	if (mkdtemp(dir) == NULL)
		return -1;
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("mem", dir, "tmpfs", 0, "huge=always") == 0) {
		snprintf(path, sizeof(path), "%s/log", dir);
		fd = open(path, O_RDWR | O_CREAT, 0600);
		umount2(dir, MNT_DETACH);
	}
	rmdir(dir);
	return fd;
}

static enum verdict
cut_log_short(void)
{
	uint8_t *maps[NEIGHBOURS];
	struct guestlog *log = NULL;
	const int fd = file_on_huge_tmpfs();

	if (fd < 0)
		return SKIPPED;
	if (ftruncate(fd, MAP_BYTES) != 0)
		return WRONG;
	/* The log lies between them, as it happens in a daemon. */
	for (unsigned int i = 0; i < NEIGHBOURS; i++) {
		if (i == NEIGHBOURS / 2)
			log = guestlog_map(fd, 0, MAP_BYTES);
		maps[i] = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
		if (maps[i] == MAP_FAILED)
			return WRONG;
		memset(maps[i], 0x5a, MAP_BYTES);
	}
	if (log == NULL || ftruncate(fd, 0) != 0)
		return WRONG;
	guestlog_write(log, 0, 1);
	for (unsigned int i = 0; i < NEIGHBOURS; i++) {
		if (maps[i][0] != 0x5a || maps[i][MAP_BYTES - 1] != 0x5a)
			return WRONG;
	}
	return log->lost && log->bits[0] == 1 ? FINE : WRONG;
}

static void
replaces_nothing_beside_a_mapping(void **state)
{
	const int verdict = in_child(cut_log_short);

	if (verdict == SKIPPED)
		skip();
	assert_int_equal(verdict, FINE);
}

/** A mapping that its page size does not fit, and the fault in it. */
static enum verdict
fault_in_part_of_a_page(void)
{
	const int fd = memfd_create("mem", 0);
	_Atomic bool lost = false;
	volatile uint8_t *map;

	if (ftruncate(fd, MAP_BYTES) != 0)
		return WRONG;
	map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || !sigbus_watch((void *)(uintptr_t)map, MAP_BYTES, 1 << 21, &lost) ||
		ftruncate(fd, 0) != 0)
		return WRONG;
	return map[0] == 0 ? WRONG : FINE;
}

static void
lets_a_fault_take_its_course_that_it_cannot_mend(void **state)
{
	assert_int_equal(in_child(fault_in_part_of_a_page), -SIGBUS);
}

static enum verdict
fault_at_the_end(void)
{
	const int fd = memfd_create("mem", 0);
	struct guestmem *m = guestmem_create();
	volatile uint8_t *last;
	uint64_t len = 1;

	/* Neither offset nor length is that of a page. */
	if (ftruncate(fd, 3 * MAP_BYTES) != 0 || !m ||
		guestmem_add(m, 1 << 20, MAP_BYTES + 100, fd, MAP_BYTES + 300) != 0)
		return WRONG;
	if (pwrite(fd, "x", 1, MAP_BYTES + 300 + MAP_BYTES + 99) != 1)
		return WRONG;
	last = guestmem_at(m, (1 << 20) + MAP_BYTES + 99, &len);
	if (last == NULL || *last != 'x' || ftruncate(fd, 0) != 0)
		return WRONG;
	return *last == 0 && m->lost ? FINE : WRONG;
}

static void
mends_memory_of_any_offset_and_length(void **state)
{
	assert_int_equal(in_child(fault_at_the_end), FINE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replaces_nothing_beside_a_mapping),
		cmocka_unit_test(lets_a_fault_take_its_course_that_it_cannot_mend),
		cmocka_unit_test(mends_memory_of_any_offset_and_length),
	};

	return cmocka_run_group_tests_name("vport_mem", tests, NULL, NULL);
}
