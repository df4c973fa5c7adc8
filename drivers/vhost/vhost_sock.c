/* SPDX-License-Identifier: BSD-3-Clause */
/* What librte_vhost leaves to its user about sockets: paths, stale ones, and where its own are. */
#include "vhost_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/** Descriptors below the lowest free one that are looked at before all the others. */
#define NEAR_FDS 64

static int
fill_address(struct sockaddr_un *un, const char *path)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(un->sun_path))
		return -ENAMETOOLONG;
	memcpy(un->sun_path, path, strlen(path));
	return 0;
}

/** 0: somebody listens there; else -errno of connect(). */
static int
probe(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : -errno;
	close(fd);
	return ret;
}

/** Can a socket be made in the directory? */
static int
check_directory(const char *path, char *err, size_t err_size)
{
	char *copy = strdup(path);
	const char *dir;
	int ret = 0;

	if (copy == NULL)
		return vport_err(err, err_size, ENOMEM, "%s: no memory", path);
	dir = dirname(copy);
	if (access(dir, F_OK) != 0)
		ret = vport_err(err, err_size, errno,
			"%s: the directory %s is not there (%s); make it first", path, dir,
			strerror(errno));
	else if (access(dir, W_OK | X_OK) != 0)
		ret = vport_err(err, err_size, errno, "%s: no socket can be made in %s: %s", path,
			dir, strerror(errno));
	free(copy);
	return ret;
}

int
vhost_sock_fits(const char *path, char *err, size_t err_size)
{
	struct sockaddr_un un;

	if (fill_address(&un, path) == 0)
		return 0;
	return vport_err(err, err_size, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes",
		path, sizeof(un.sun_path) - 1);
}

int
vhost_sock_prepare(const char *path, char *err, size_t err_size)
{
	struct sockaddr_un un;
	struct stat st;
	int ret;

	ret = vhost_sock_fits(path, err, err_size);
	if (ret != 0)
		return ret;
	fill_address(&un, path);
	if (lstat(path, &st) != 0) {
		if (errno != ENOENT)
			return vport_err(err, err_size, errno, "%s: %s", path, strerror(errno));
		return check_directory(path, err, err_size);
	}
	if (!S_ISSOCK(st.st_mode))
		return vport_err(err, err_size, EEXIST,
			"%s: something that is no socket is in the way; remove it or choose "
			"another path",
			path);
	ret = probe(&un);
	/* EAGAIN: its backlog is full. */
	if (ret == 0 || ret == -EAGAIN)
		return vport_err(err, err_size, EADDRINUSE,
			"%s: another process listens there; stop it or choose another path", path);
	if (ret != -ECONNREFUSED)
		return vport_err(err, err_size, -ret, "%s: %s", path, strerror(-ret));
	if (unlink(path) != 0)
		return vport_err(err, err_size, errno, "%s: the stale socket cannot be removed: %s",
			path, strerror(errno));
	return check_directory(path, err, err_size);
}

/** A connection at this path, and librte_vhost's: all of ours are closed on exec. */
static bool
is_library_connection(int fd, const struct sockaddr_un *un, bool server)
{
	struct sockaddr_un name = { 0 };
	socklen_t len = sizeof(name), int_len = sizeof(int);
	struct sockaddr *to = (struct sockaddr *)&name;
	int listening = 0;

	if ((server ? getsockname(fd, to, &len) : getpeername(fd, to, &len)) != 0)
		return false;
	if (name.sun_family != AF_UNIX || (fcntl(fd, F_GETFD) & FD_CLOEXEC) ||
		strncmp(name.sun_path, un->sun_path, sizeof(name.sun_path)) != 0)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) == 0 && !listening;
}

/** Among those that were likely opened last: a process may have a million of them. */
static int
find_near(const struct sockaddr_un *un, bool server)
{
	const int lowest_free = fcntl(0, F_DUPFD_CLOEXEC, 0);
	int fd = lowest_free;

	if (lowest_free < 0)
		return -1;
	close(lowest_free);
	while (--fd >= 0 && fd >= lowest_free - NEAR_FDS) {
		if (is_library_connection(fd, un, server))
			return fd;
	}
	return -1;
}

int
vhost_sock_find(const char *path, bool server)
{
	struct sockaddr_un un;
	struct dirent *e;
	int found;
	DIR *dir;

	if (fill_address(&un, path) != 0)
		return -1;
	found = find_near(&un, server);
	if (found >= 0)
		return found;
	dir = opendir("/proc/self/fd");
	if (dir == NULL)
		return -1;
	while (found < 0 && (e = readdir(dir)) != NULL) {
		const int fd = atoi(e->d_name);

		if (e->d_name[0] != '.' && is_library_connection(fd, &un, server))
			found = fd;
	}
	closedir(dir);
	return found;
}
