/* SPDX-License-Identifier: BSD-3-Clause */
#include "weirctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control_path.h"
#include "waits.h"

enum {
	EXIT_FAILED = 1, /**< the daemon is not there, or says no */
	EXIT_USAGE = 2,
};

struct options {
	char path[CONTROL_PATH_MAX];
	bool json, all;
	json_t *args; /**< of the request */
};

struct command {
	const char *name;
	weirctl_show_fn show;
	const char *list; /**< array that comes in several replies, or NULL */
	bool filters;     /**< takes --vm, --proto, and the like */
	/** Words or numbers that follow the name, and what they are called in the request. */
	const char *args[2];
};

static const struct command commands[] = {
	{ "vm list", weirctl_show_vms, NULL, false },
	{ "flow list", weirctl_show_flows, "flows", true },
	{ "flow flush", weirctl_show_flush, "flows", true },
	{ "flow original", weirctl_show_original, NULL, true },
	{ "rule list", weirctl_show_rules, "rules", false },
	{ "zone list", weirctl_show_zones, "zones", false },
	{ "zone limit", weirctl_show_zone_limit, NULL, false, { "zone", "limit" } },
	{ "stats", weirctl_show_stats, NULL, false },
	{ "version", weirctl_show_version, NULL, false },
	{ "ping", weirctl_show_ping, NULL, false },
};

static void
help(FILE *out)
{
	fputs("usage: weirctl [--control PATH] [--json] COMMAND\n"
	      "\n"
	      "Asks a running weir.\n"
	      "\n"
	      "Commands:\n"
	      "  vm list             virtual machines, connected or not\n"
	      "  flow list           flows, all or some\n"
	      "  flow flush          end flows: some, or with --all all\n"
	      "  flow original       where a guest wanted to go whose connection a rule has led\n"
	      "                      here: --proto, --addr and --port of it as it came in\n"
	      "  rule list           rules in order, then policies, with the flows that met them\n"
	      "  zone list           zones that have flows or a limit\n"
	      "  zone limit ZONE N   flows of a zone (or default: of each that has no limit of "
	      "its\n"
	      "                      own) at most, until weir reloads; none, unset: no limit\n"
	      "  stats               counters that are not 0, with --all: all\n"
	      "  version             versions and lay-out of the daemon\n"
	      "  ping                does it answer?\n"
	      "\n"
	      "Options:\n"
	      "  --control PATH      the daemon's socket [$XDG_RUNTIME_DIR/weir/control.sock,\n"
	      "                      /run/weir/control.sock]\n"
	      "  --json              the reply as JSON\n"
	      "  --vm NAME           flows of this VM\n"
	      "  --proto PROTO       tcp, udp, icmp, icmpv6, sctp or a number\n"
	      "  --addr ADDR         flows with this address at either end\n"
	      "  --port PORT         flows with this port at either end\n"
	      "  --src ADDR, --sport PORT, --dst ADDR, --dport PORT\n"
	      "                      flows with packets, in either direction, from and to these\n"
	      "  --zone ZONE         flows that count for this zone\n"
	      "  --mark MARK[/MASK]  flows with this mark\n"
	      "  --all               counters that are 0, too; flow flush: every flow\n"
	      "  -h, --help          this text\n"
	      "  -V, --version       weirctl's version\n"
	      "\n"
	      "Exit status: 0 done; 1 weir does not answer, or says no; 2 wrong command line.\n",
		out);
}

static int
fail(int status, const char *what, const char *why)
{
	fprintf(stderr, "weirctl: error: %s: %s\n", what, why);
	return status;
}

/* ---- the connection ---- */

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = WAIT_REPLY_MS / 1000 };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *why;

	if (fd < 0)
		return -1;
	memcpy(sun.sun_path, path, strlen(path) + 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	switch (errno) {
	case ENOENT:
		why = "there is no such socket: start weir, or give the --control that it was "
		      "started with";
		break;
	case ECONNREFUSED:
		why = "nobody listens there: weir has gone; start it";
		break;
	case EACCES:
		why = "not permitted: be root, or the user that weir runs as, or of its "
		      "control-group";
		break;
	default:
		why = strerror(errno);
		break;
	}
	fail(EXIT_FAILED, path, why);
	close(fd);
	return -1;
}

static int
send_request(int fd, const char *cmd, json_t *args)
{
	json_t *request = json_pack("{s:s, s:O}", "cmd", cmd, "args", args);
	char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t len, sent = 0;
	int ret = 0;

	json_decref(request);
	if (text == NULL)
		return -ENOMEM;
	len = strlen(text);
	text[len++] = '\n'; /* in the place of the terminating zero */
	while (ret == 0 && sent < len) {
		const ssize_t n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);

		if (n < 0)
			ret = -errno;
		else
			sent += (size_t)n;
	}
	free(text);
	return ret;
}

/** @return the next reply, or NULL: said why */
static json_t *
receive_reply(FILE *in, const char *path, bool first)
{
	char *line = NULL;
	size_t room = 0;
	json_error_t error;
	json_t *reply;
	ssize_t len;

	errno = 0;
	len = getline(&line, &room, in);
	if (len <= 0 || line[len - 1] != '\n') {
		fail(EXIT_FAILED, path,
			errno == EAGAIN            ? "weir does not answer in time"
				: first && len < 0 ? "weir closed the connection"
						   : "weir closed the connection in the middle of "
						     "the reply: it is not complete");
		free(line);
		return NULL;
	}
	reply = json_loads(line, 0, &error);
	free(line);
	if (reply == NULL)
		fail(EXIT_FAILED, path, "this is not weir's control socket");
	else if (!json_is_true(json_object_get(reply, "ok"))) {
		const char *said = json_string_value(json_object_get(reply, "error"));

		fail(EXIT_FAILED, "weir says", said != NULL ? said : "no");
		json_decref(reply);
		reply = NULL;
	}
	return reply;
}

/* ---- JSON out ---- */

/** What a reply has beside the list, if it has. */
static void
print_json_rest(const struct command *cmd, const json_t *reply)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)reply, key, value)
	{
		if (strcmp(key, "ok") == 0 || strcmp(key, cmd->list) == 0)
			continue;
		printf(", \"%s\": ", key);
		json_dumpf(value, stdout, JSON_ENCODE_ANY);
	}
}

/** A list that comes in parts is printed as one document. */
static void
print_json(const struct command *cmd, json_t *reply, bool first, bool last)
{
	const json_t *list = cmd->list != NULL ? json_object_get(reply, cmd->list) : NULL;
	static bool any;
	const json_t *item;
	size_t i;

	if (list == NULL) {
		json_object_del(reply, "ok");
		json_dumpf(reply, stdout, JSON_INDENT(2));
		putchar('\n');
		return;
	}
	if (first)
		printf("{\"%s\": [", cmd->list);
	json_array_foreach(list, i, item)
	{
		fputs(any ? ",\n  " : "\n  ", stdout);
		json_dumpf(item, stdout, 0);
		any = true;
	}
	if (!last)
		return;
	fputs(any ? "\n]" : "]", stdout);
	print_json_rest(cmd, reply);
	fputs("}\n", stdout);
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int
run(const struct command *cmd, const struct options *o)
{
	struct weirctl_show show = { .out = stdout, .all = o->all };
	const uint64_t begun_us = now_us();
	bool first = true, last = false;
	int fd, ret = 0;
	FILE *in;

	fd = connect_to(o->path);
	if (fd < 0)
		return EXIT_FAILED;
	in = fdopen(fd, "r");
	if (in == NULL || send_request(fd, cmd->name, o->args) != 0) {
		ret = fail(EXIT_FAILED, o->path, strerror(errno));
		last = true;
	}
	while (!last) {
		json_t *reply = receive_reply(in, o->path, first);

		if (reply == NULL) {
			ret = EXIT_FAILED;
			break;
		}
		last = !json_is_true(json_object_get(reply, "more"));
		show.took_us = now_us() - begun_us;
		if (o->json)
			print_json(cmd, reply, first, last);
		else if (cmd->show(&show, reply, last) != 0)
			last = true, ret = fail(EXIT_FAILED, cmd->name, strerror(ENOMEM));
		first = false;
		json_decref(reply);
	}
	weirctl_table_fini(&show.table);
	if (in != NULL)
		fclose(in);
	else
		close(fd);
	if (fflush(stdout) != 0 && ret == 0)
		ret = fail(EXIT_FAILED, "standard output", strerror(errno));
	return ret;
}

/* ---- the command line ---- */

enum option_code {
	OPTION_CONTROL = 256,
	OPTION_JSON,
	OPTION_ALL,
	OPTION_VM,
	OPTION_PROTO,
	OPTION_ADDR,
	OPTION_PORT,
	OPTION_SRC,
	OPTION_SPORT,
	OPTION_DST,
	OPTION_DPORT,
	OPTION_ZONE,
	OPTION_MARK,
};

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPTION_CONTROL },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "vm", required_argument, NULL, OPTION_VM },
	{ "proto", required_argument, NULL, OPTION_PROTO },
	{ "addr", required_argument, NULL, OPTION_ADDR },
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "src", required_argument, NULL, OPTION_SRC },
	{ "sport", required_argument, NULL, OPTION_SPORT },
	{ "dst", required_argument, NULL, OPTION_DST },
	{ "dport", required_argument, NULL, OPTION_DPORT },
	{ "zone", required_argument, NULL, OPTION_ZONE },
	{ "mark", required_argument, NULL, OPTION_MARK },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL },
};

static int
take_u16(struct options *o, const char *option, const char *text)
{
	char *end;
	const unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || n > 65535)
		return fail(EXIT_USAGE, option, "give a number from 0 to 65535");
	json_object_set_new(o->args, option + 2, json_integer((json_int_t)n));
	return 0;
}

static int
take_text(struct options *o, const char *option, const char *text)
{
	if (json_object_set_new(o->args, option + 2, json_string(text)) != 0)
		return fail(EXIT_USAGE, option, "not text");
	return 0;
}

static int
take(struct options *o, int code, const char *option)
{
	switch (code) {
	case OPTION_CONTROL:
		if (strlen(optarg) >= sizeof(o->path))
			return fail(EXIT_USAGE, "--control", "longer than a socket's path can be");
		strcpy(o->path, optarg);
		return 0;
	case OPTION_JSON:
		o->json = true;
		return 0;
	case OPTION_ALL:
		o->all = true;
		return 0;
	case OPTION_PORT:
		return take_u16(o, "--port", optarg);
	case OPTION_SPORT:
		return take_u16(o, "--sport", optarg);
	case OPTION_DPORT:
		return take_u16(o, "--dport", optarg);
	case OPTION_ZONE:
		return take_u16(o, "--zone", optarg);
	case OPTION_VM:
		return take_text(o, "--vm", optarg);
	case OPTION_PROTO:
		return take_text(o, "--proto", optarg);
	case OPTION_ADDR:
		return take_text(o, "--addr", optarg);
	case OPTION_SRC:
		return take_text(o, "--src", optarg);
	case OPTION_DST:
		return take_text(o, "--dst", optarg);
	case OPTION_MARK:
		return take_text(o, "--mark", optarg);
	case 'h':
		help(stdout);
		exit(0);
	case 'V':
		printf("weirctl %s\n", WEIR_VERSION);
		exit(0);
	case ':':
		return fail(EXIT_USAGE, option, "needs a value");
	default:
		return fail(EXIT_USAGE, option, "no such option, see weirctl --help");
	}
}

/** getopt_long() that takes no beginnings of options for the whole. */
static int
next_option(int argc, char **argv)
{
	int which = -1;
	const int code = getopt_long(argc, argv, ":hV", long_options, &which);
	const char *option;

	if (which < 0 || code == '?' || code == ':')
		return code;
	option = argv[optind - (optarg == argv[optind - 1] ? 2 : 1)];
	return strcspn(option + 2, "=") == strlen(long_options[which].name) ? code : '?';
}

/** Words of a command's name: "flow list" has two. */
static int
name_words(const char *name)
{
	return strchr(name, ' ') != NULL ? 2 : 1;
}

static const struct command *
find_command(int argc, char **argv)
{
	char name[64];
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const int n = name_words(commands[i].name);

		snprintf(name, sizeof(name), "%s%s%s", argv[0], n == 2 ? " " : "",
			n == 2 && argc > 1 ? argv[1] : "");
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	}
	return NULL;
}

/** What follows the name of the command becomes a part of the request: numbers as such. */
static int
take_args(struct options *o, const struct command *cmd, int argc, char **argv)
{
	const int max = (int)(sizeof(cmd->args) / sizeof(cmd->args[0]));
	char *end;
	int i;

	for (i = 0; i < max && cmd->args[i] != NULL; i++) {
		json_t *value;

		if (i == argc)
			return fail(EXIT_USAGE, cmd->name, "a word is missing, see weirctl --help");
		errno = 0;
		value = json_integer(strtoll(argv[i], &end, 10));
		if (argv[i][0] < '0' || argv[i][0] > '9' || *end != '\0' || errno != 0) {
			json_decref(value);
			value = json_string(argv[i]);
		}
		if (json_object_set_new(o->args, cmd->args[i], value) != 0)
			return fail(EXIT_USAGE, argv[i], "not text");
	}
	return i == argc ? 0 : fail(EXIT_USAGE, argv[i], "what is this? See weirctl --help");
}

/** What is left of the command line: a command. */
static int
run_command(struct options *o, int argc, char **argv)
{
	const struct command *cmd = find_command(argc, argv);
	int ret, n;

	if (cmd == NULL)
		return fail(EXIT_USAGE, argv[0], "no such command, see weirctl --help");
	if (!cmd->filters && json_object_size(o->args) != 0)
		return fail(EXIT_USAGE, cmd->name,
			"options that name flows (--vm, --proto, ...) go with flow list, flush "
			"and original");
	if (o->all && cmd->show == weirctl_show_flush)
		json_object_set_new(o->args, "all", json_true());
	n = name_words(cmd->name);
	ret = take_args(o, cmd, argc - n, argv + n);
	return ret != 0 ? ret : run(cmd, o);
}

int
main(int argc, char **argv)
{
	struct options o = { .args = json_object() };
	int code, ret = 0;

	opterr = 0;
	control_path_client(o.path, sizeof(o.path));
	while (ret == 0 && (code = next_option(argc, argv)) != -1)
		ret = take(&o, code, argv[optind - 1]);
	if (ret == 0 && optind == argc) {
		help(stderr);
		ret = EXIT_USAGE;
	} else if (ret == 0) {
		ret = run_command(&o, argc - optind, argv + optind);
	}
	json_decref(o.args);
	return ret;
}
