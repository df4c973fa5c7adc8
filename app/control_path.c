/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int
user_path(char *path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int len;

	if (runtime == NULL || *runtime != '/')
		return -ENOENT;
	len = snprintf(path, size, "%s/weir/control.sock", runtime);
	return len < 0 || (size_t)len >= size ? -ENOENT : 0;
}

int
control_path_server(char *path, size_t size)
{
	if (geteuid() != 0 && access("/run/weir", W_OK | X_OK) != 0)
		return user_path(path, size);
	snprintf(path, size, "%s", CONTROL_PATH_SYSTEM);
	return 0;
}

void
control_path_client(char *path, size_t size)
{
	if (geteuid() != 0 && user_path(path, size) == 0 && access(path, F_OK) == 0)
		return;
	snprintf(path, size, "%s", CONTROL_PATH_SYSTEM);
}
