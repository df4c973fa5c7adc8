/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf_priv.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

/** Options that are no keys. */
enum option_code {
	OPTION_CHECK = 256,
	OPTION_KINDS,                            /**< + CONF_KIND_* */
	OPTION_KEYS = OPTION_KINDS + CONF_KINDS, /**< + position in conf_weir_keys */
};

#define OPTION_FIXED 4 /**< config, check, help, version */
#define HELP_COLUMN 28
#define HELP_WIDTH 96

static void say(conf_report_fn report, void *arg, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void
say(conf_report_fn report, void *arg, const char *fmt, ...)
{
	char line[CONF_ERROR_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	report(arg, line);
}

static void
make_options(struct option *o)
{
	const struct option fixed[OPTION_FIXED] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, OPTION_CHECK },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
	};
	int i;

	memcpy(o, fixed, sizeof(fixed));
	o += OPTION_FIXED;
	for (i = 0; i < CONF_KINDS; i++)
		if (conf_kinds[i].example != NULL)
			*o++ = (struct option){ conf_kinds[i].section, required_argument, NULL,
				OPTION_KINDS + i };
	for (i = 0; conf_weir_keys[i].name != NULL; i++)
		*o++ = (struct option){ conf_weir_keys[i].name, required_argument, NULL,
			OPTION_KEYS + i };
	memset(o, 0, sizeof(*o));
}

static int
take(struct conf_cli *cli, int code, conf_report_fn report, void *report_arg)
{
	struct conf_cli_key *given = &cli->given[cli->n_given];

	switch (code) {
	case 'c':
		if (cli->file != NULL) {
			say(report, report_arg, "--config: given twice");
			return -EINVAL;
		}
		cli->file = optarg;
		return 0;
	case 'h':
		cli->help = true;
		return 0;
	case 'V':
		cli->version = true;
		return 0;
	case OPTION_CHECK:
		cli->check = true;
		return 0;
	default:
		break;
	}
	if (cli->n_given == RTE_DIM(cli->given)) {
		say(report, report_arg, "more than %u options: use a file", cli->n_given);
		return -EINVAL;
	}
	if (code < OPTION_KEYS)
		given->kind = &conf_kinds[code - OPTION_KINDS];
	else
		given->key = &conf_weir_keys[code - OPTION_KEYS];
	given->text = optarg;
	cli->n_given++;
	return 0;
}

/** getopt_long() takes the beginnings of options, which a key added later would make ambiguous. */
static bool
is_whole(const char *option, const char *name)
{
	return strncmp(option, "--", 2) == 0 && strcspn(option + 2, "=") == strlen(name);
}

int
conf_cli_parse(struct conf_cli *cli, int argc, char **argv, conf_report_fn report, void *report_arg)
{
	struct option options[OPTION_FIXED + CONF_KINDS + CONF_MAX_KEYS + 1];
	int code, ret = 0;

	memset(cli, 0, sizeof(*cli));
	make_options(options);
	opterr = 0;
	optind = 0;
	for (;;) {
		const int at = optind == 0 ? 1 : optind;
		int which = -1;

		code = getopt_long(argc, argv, "+:c:hV", options, &which);
		if (code == -1)
			break;
		if (which >= 0 && !is_whole(argv[at], options[which].name))
			code = '?';
		if (code == ':') {
			say(report, report_arg, "%s: needs a value", argv[optind - 1]);
			ret = -EINVAL;
		} else if (code == '?') {
			say(report, report_arg, "%s: no such option, see weir --help", argv[at]);
			ret = -EINVAL;
		} else if (take(cli, code, report, report_arg) != 0) {
			ret = -EINVAL;
		}
	}
	if (optind < argc) {
		say(report, report_arg, "%s: what is this? Options begin with --, see weir --help",
			argv[optind]);
		ret = -EINVAL;
	}
	return ret;
}

/** One entry in two columns, the second one wrapped. */
static void
help_entry(FILE *out, const char *left, const char *text)
{
	const int width = HELP_WIDTH - HELP_COLUMN;
	int used = fprintf(out, "  %s", left);

	if (used > HELP_COLUMN - 2) {
		fputc('\n', out);
		used = 0;
	}
	while (*text != '\0') {
		int len = (int)strlen(text);

		if (len > width) {
			for (len = width; len > 0 && text[len] != ' '; len--)
				;
			if (len == 0)
				len = width;
		}
		fprintf(out, "%*s%.*s\n", HELP_COLUMN - used, "", len, text);
		text += len;
		text += strspn(text, " ");
		used = 0;
	}
}

static void
help_keys(FILE *out, const struct conf_key *k, const char *dashes)
{
	char left[64], text[512];

	for (; k->name != NULL; k++) {
		const char *def = k->def != NULL ? k->def : k->shown;

		snprintf(left, sizeof(left), "%s%s%s%s", dashes, k->name, *dashes ? " " : "=",
			k->arg);
		snprintf(text, sizeof(text), "%s [%s]", k->help, def);
		help_entry(out, left, text);
	}
}

void
conf_cli_usage(FILE *out)
{
	fputs("usage: weir [-c FILE] [--vm NAME,key=value,...]... [--KEY VALUE]...\n"
	      "\n"
	      "weir plugs virtual machines into the host's sockets. It needs at least one VM:\n"
	      "\n"
	      "  weir --vm web,socket=/tmp/web.sock,tcp=8080:80\n"
	      "\n"
	      "and the VM's network card is then, with its memory shared,\n"
	      "\n"
	      "  qemu-system-x86_64 ... -m 1G \\\n"
	      "    -object memory-backend-memfd,id=m,size=1G,share=on -numa node,memdev=m \\\n"
	      "    -chardev socket,id=c,path=/tmp/web.sock -netdev vhost-user,id=n,chardev=c \\\n"
	      "    -device virtio-net-pci,netdev=n\n"
	      "\n"
	      "All options: weir --help; the file: weir.conf(5).\n",
		out);
}

void
conf_cli_help(FILE *out)
{
	fputs("usage: weir [-c FILE] [--vm NAME,key=value,...]... [--rule N,key=value,...]...\n"
	      "            [--KEY VALUE]...\n"
	      "\n"
	      "Plugs virtual machines into the host's own sockets, over vhost-user.\n"
	      "For example: weir --vm web,socket=/tmp/web.sock,tcp=8080:80\n"
	      "\n"
	      "Options:\n",
		out);
	help_entry(out, "-c, --config FILE", "configuration, see weir.conf(5)");
	help_entry(
		out, "--vm NAME,key=value,...", "a virtual machine; can be given more than once");
	help_entry(out, "--rule N,key=value,...",
		"what is allowed between guests and the outside, and what becomes of it; the "
		"lowest "
		"N that is about a flow decides");
	help_entry(out, "--check", "only say whether the configuration is right");
	help_entry(out, "-h, --help", "this text");
	help_entry(out, "-V, --version", "weir's version and DPDK's");
	fputs("\nKeys of the section [weir], as options (defaults in brackets):\n", out);
	help_keys(out, conf_weir_keys, "--");
	fputs("\nKeys of --vm and of the sections [vm.NAME] (in --vm, lists have / for a comma,\n"
	      "and ,, is a comma in a value):\n",
		out);
	help_keys(out, conf_vm_keys, "");
	fputs("\nKeys of --rule and of the sections [rule.N]:\n", out);
	help_keys(out, conf_rule_keys, "");
	fputs("\nKeys of the sections [network.NAME], in the file only:\n", out);
	help_keys(out, conf_network_keys, "");
	fputs("\nKeys of the sections [timeouts.NAME], in the file only:\n", out);
	help_keys(out, conf_timeouts_keys, "");
	fputs("\nExit status: 0 stopped by SIGTERM or SIGINT; 1 could not start; 2 wrong\n"
	      "configuration. SIGHUP: read the configuration again.\n",
		out);
}
