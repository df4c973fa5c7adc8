/* SPDX-License-Identifier: BSD-3-Clause */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int
write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int
netns_run(const struct netns *ns, const char *command)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (ns != NULL && setns(ns->fd, CLONE_NEWNET) < 0)
			_exit(126);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

bool
netns_private(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return false;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	/* Settings of this namespace are seen through a /sys and /proc of its own only. */
	write_text("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	return netns_run(NULL, "ip link set lo up") == 0;
}

int
netns_resolv_conf(const char *text)
{
	char path[] = "/tmp/weir-resolv-XXXXXX";
	int fd = mkstemp(path), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	/* The last one, which has no name any more and can have nothing mounted over it. */
	umount2("/etc/resolv.conf", MNT_DETACH);
	if (rc == 0 && mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0)
		rc = -errno;
	unlink(path);
	return rc;
}

/* A process that does nothing but hold a namespace. */
static pid_t
holder(void)
{
	int pipes[2];
	char c;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	if (pid > 0 && read(pipes[0], &c, 1) != 1) {
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(pipes[0]);
	return pid;
}

static int
add_address(const struct netns *ns, const char *dev, unsigned int n, const char *addr)
{
	char cmd[256];

	if (addr == NULL)
		return 0;
	snprintf(cmd, sizeof(cmd), "ip addr add %s dev %s%u %s", addr, dev, n,
		strchr(addr, ':') != NULL ? "nodad" : "");
	return netns_run(ns, cmd) == 0 ? 0 : -EIO;
}

/* A TAP in either network, and a wire between them. */
static int
join(struct netns *ns, unsigned int n)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), here, there;
	char name[16];

	snprintf(name, sizeof(name), "weir%u", n);
	here = wire_tap(name);
	if (own < 0 || here < 0 || setns(ns->fd, CLONE_NEWNET) < 0)
		return -errno;
	snprintf(name, sizeof(name), "peer%u", n);
	there = wire_tap(name);
	/* Left in the peer's network nothing would be true any more. */
	if (setns(own, CLONE_NEWNET) < 0)
		abort();
	close(own);
	return there < 0 ? -ENODEV : wire_start(&ns->wire, here, there);
}

int
netns_peer(struct netns *ns, unsigned int n, const char *here, const char *there, const char *here6,
	const char *there6)
{
	char cmd[256];
	int rc;

	memset(ns, 0, sizeof(*ns));
	ns->fd = -1;
	ns->pid = holder();
	if (ns->pid < 0)
		return -EPERM;
	snprintf(cmd, sizeof(cmd), "/proc/%d/ns/net", (int)ns->pid);
	ns->fd = open(cmd, O_RDONLY | O_CLOEXEC);
	if (ns->fd < 0)
		return -errno;
	rc = join(ns, n);
	if (rc == 0)
		rc = add_address(NULL, "weir", n, here);
	if (rc == 0)
		rc = add_address(NULL, "weir", n, here6);
	if (rc == 0)
		rc = add_address(ns, "peer", n, there);
	if (rc == 0)
		rc = add_address(ns, "peer", n, there6);
	snprintf(cmd, sizeof(cmd), "ip link set weir%u up", n);
	if (rc == 0)
		rc = netns_run(NULL, cmd) == 0 ? 0 : -EIO;
	snprintf(cmd, sizeof(cmd), "ip link set lo up; ip link set peer%u up", n);
	if (rc == 0)
		rc = netns_run(ns, cmd) == 0 ? 0 : -EIO;
	return rc;
}

void
netns_link(struct netns *ns, unsigned int delay_ms, unsigned int loss_permille)
{
	wire_set(&ns->wire, delay_ms, loss_permille);
}

int
netns_socket(const struct netns *ns, int domain, int type, int protocol)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	if (own < 0)
		return -1;
	if (setns(ns->fd, CLONE_NEWNET) < 0) {
		close(own);
		return -1;
	}
	fd = socket(domain, type, protocol);
	/* Left in the peer's network nothing would be true any more. */
	if (setns(own, CLONE_NEWNET) < 0)
		abort();
	close(own);
	return fd;
}

void
netns_close(struct netns *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	if (ns->pid > 0) {
		kill(ns->pid, SIGKILL);
		waitpid(ns->pid, NULL, 0);
	}
	wire_stop(&ns->wire);
	ns->fd = -1;
	ns->pid = 0;
}
