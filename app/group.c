/* SPDX-License-Identifier: BSD-3-Clause */
#include "group.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
group_give(const char *path, const char *group, char *err, size_t err_size)
{
	const struct group *g;
	int ret;

	errno = 0;
	g = getgrnam(group);
	if (g == NULL) {
		ret = errno != 0 ? -errno : -ENOENT;
		snprintf(err, err_size, "there is no group %s", group);
		return ret;
	}
	if (chown(path, (uid_t)-1, g->gr_gid) == 0 && chmod(path, 0660) == 0)
		return 0;
	ret = -errno;
	snprintf(err, err_size,
		"%s cannot be given to the group %s: %s: be root, or a member of that group", path,
		group, strerror(-ret));
	return ret;
}
