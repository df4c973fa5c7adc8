/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drivers/vhost: a front-end's files on a file system that does not answer. The front-end serves it
 * itself, as any user may with FUSE. Whoever asks such a file anything waits until it is killed.
 */
#include "test_vport_util.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/fuse.h>

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FILE_BYTES 4096
#define MSG_BYTES (1 << 17)

struct fuse {
	char dir[32];
	pid_t pid;
	int file;
};

static void
answer(int dev, uint64_t unique, int error, const void *data, size_t len)
{
	struct {
		struct fuse_out_header head;
		uint8_t data[256];
	} out = { .head = { .len = (uint32_t)(sizeof(out.head) + len),
			  .error = error,
			  .unique = unique } };

	memcpy(out.data, data, len);
	if (write(dev, &out, out.head.len) < 0)
		_exit(1);
}

/** A file can be found and opened: that is all that is ever answered. */
static void
serve(int dev)
{
	const struct fuse_init_out init = { .major = 7, .minor = 31, .max_write = 65536 };
	const struct fuse_entry_out entry = { .nodeid = 2,
		.attr = { .ino = 2, .mode = S_IFREG | 0666, .nlink = 1, .size = FILE_BYTES } };
	const struct fuse_open_out opened = { .fh = 1, .open_flags = FOPEN_KEEP_CACHE };
	struct fuse_in_header *in = malloc(MSG_BYTES);

	while (in && read(dev, in, MSG_BYTES) >= (ssize_t)sizeof(*in)) {
		switch (in->opcode) {
		case FUSE_INIT:
			answer(dev, in->unique, 0, &init, sizeof(init));
			break;
		case FUSE_LOOKUP:
			answer(dev, in->unique, 0, &entry, sizeof(entry));
			break;
		case FUSE_OPEN:
			answer(dev, in->unique, 0, &opened, sizeof(opened));
			break;
		}
	}
	_exit(0);
}

/** Its end waits for the server, too. */
static void
open_and_send(const char *dir, int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { "", 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	char path[64];
	int file;

	snprintf(path, sizeof(path), "%s/file", dir);
	file = open(path, O_RDWR);
	if (file < 0)
		_exit(1);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &file, sizeof(int));
	_exit(sendmsg(sock, &msg, 0) < 0);
}

/** In a mount namespace of its own. */
static void
mount_and_serve(const char *dir, int sock)
{
	char options[64];
	int dev;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dev = open("/dev/fuse", O_RDWR);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	if (dev < 0 || unshare(CLONE_NEWNS) != 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("fuse", dir, "fuse", 0, options) != 0)
		_exit(1);
	if (fork() == 0) {
		close(dev);
		open_and_send(dir, sock);
	}
	close(sock);
	serve(dev);
}

static int
receive_file(int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	int file = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(file));
	return file;
}

/** @return false: FUSE cannot be had here */
static bool
fuse_start(struct fuse *f)
{
	int sv[2];

	strcpy(f->dir, "/tmp/vport-fuse-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0) {
		close(sv[0]);
		mount_and_serve(f->dir, sv[1]);
	}
	close(sv[1]);
	f->file = receive_file(sv[0]);
	close(sv[0]);
	return f->file >= 0;
}

/** All who wait for an answer get an error. */
static void
fuse_stop(struct fuse *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	if (f->file >= 0)
		close(f->file);
	assert_int_equal(rmdir(f->dir), 0);
}

static void
is_not_held_up_by_a_file_system_that_does_not_answer(void **state)
{
	const struct vhu_mem_table table = { .n = 1,
		.regions = { { 0, FILE_BYTES, FILE_BYTES, 0 } } };
	const uint64_t log[2] = { FILE_BYTES, 0 }, ring = 0;
	struct fx *fx = fx_new(), *other = fx_new();
	struct fuse f;

	if (!fuse_start(&f)) {
		fuse_stop(&f);
		fx_free(other);
		fx_free(fx);
		skip();
	}
	for (unsigned int i = 0; i < 3; i++) {
		fx_open(fx, 0);
		fx_exchange(fx);
		if (i == 0)
			vhu_send(fx->v, VHU_SET_MEM_TABLE, 0, &table, 40, &f.file, 1);
		else if (i == 1)
			vhu_send(fx->v, VHU_SET_LOG_BASE, 0, log, 16, &f.file, 1);
		else
			vhu_send(fx->v, VHU_SET_VRING_CALL, 0, &ring, 8, &f.file, 1);
		assert_true(vhu_closed_by_peer(fx->v, 3000));
		vhu_close(fx->v);
		fx->v = NULL;
		fx_wait(fx, !vport_queue_ready(fx->q[0]) && !fx->releasing[0]);
		fx_open(other, 0);
		fx_exchange(other);
		fx_close(other);
	}
	assert_true(fx_noted(fx, "not of memfd, tmpfs or hugetlbfs"));
	assert_int_equal(fx_count(fx, VPORT_COUNT_MSG_REFUSED), 3);
	fx_free(other);
	fx_free(fx);
	fuse_stop(&f);
}

static void
refuses_front_ends_that_send_nothing_else(void **state)
{
	struct fx *fx = fx_new();
	const uint64_t ring = 0;
	struct fuse f;

	if (!fuse_start(&f)) {
		fuse_stop(&f);
		fx_free(fx);
		skip();
	}
	for (unsigned int i = 0; i < 20; i++) {
		fx->v = vhu_new(&fx->vconf);
		assert_int_equal(vhu_connect(fx->v), 0);
		vhu_send(fx->v, VHU_SET_VRING_CALL, 0, &ring, 8, &f.file, 1);
		assert_true(vhu_closed_by_peer(fx->v, 3000));
		vhu_close(fx->v);
	}
	fx->v = NULL;
	/* Not each of them has cost a thread. */
	assert_true(fx_count(fx, VPORT_COUNT_MSG_REFUSED) < 15);
	assert_true(fx_count(fx, VPORT_COUNT_FRONT_REFUSED) > 5);
	assert_true(fx_noted(fx, "cannot be closed"));
	fuse_stop(&f);
	/* When they are closed, all is well. */
	fx_wait(fx, (fx->v = vhu_open(&fx->vconf)) != NULL);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	fx_exchange(fx);
	fx_free(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_not_held_up_by_a_file_system_that_does_not_answer),
		cmocka_unit_test(refuses_front_ends_that_send_nothing_else),
	};

	return cmocka_run_group_tests_name("vport_fuse", tests, fx_group_setup, fx_group_teardown);
}
