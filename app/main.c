/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_version.h>

#include "conf.h"
#include "daemon.h"
#include "log.h"

/** Exit status of a wrong command line or configuration. */
#define EXIT_CONF 2

static void
report(void *arg, const char *line)
{
	log_error("%s", line);
}

/** Where 0 to 2 are closed, the next files opened would be them, and the log written into one. */
static void
open_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int
main(int argc, char **argv)
{
	static struct conf_cli cli;
	struct conf_load_params p = { .cli = &cli, .report = report };
	struct conf *conf;

	open_stdio();
	if (conf_cli_parse(&cli, argc, argv, report, NULL) != 0)
		return EXIT_CONF;
	if (cli.help) {
		conf_cli_help(stdout);
		return 0;
	}
	if (cli.version) {
		printf("weir %s (%s)\n", WEIR_VERSION, rte_version());
		return 0;
	}
	if (cli.file == NULL && cli.n_given == 0) {
		conf_cli_usage(stderr);
		return EXIT_CONF;
	}
	conf = conf_load(&p);
	if (conf == NULL)
		return EXIT_CONF;
	if (cli.check) {
		printf("weir: the configuration is right: %u VMs\n", conf->n_vms);
		conf_destroy(conf);
		return 0;
	}
	return daemon_run(&cli, conf);
}
