/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char usage[] =
	"usage: weir-gen --socket PATH --case NAME [OPTIONS]\n"
	"       weir-gen --limit CPU --case NAME [OPTIONS]\n"
	"A guest and its host peer in one thread, as a load for a vhost-user back-end whose guest "
	"is\n"
	"10.0.2.15 and whose gateway 10.0.2.2 stands for the host's loopback.\n\n"
	"  --case NAME        tcp-out tcp-in tcp-rr tcp-crr tcp-mix udp-out udp-in udp-rr "
	"east-west\n"
	"  --connections N    connections or flows (1)\n"
	"  --bulk N           tcp-mix: connections that are full, beside those that ask: one from\n"
	"                     the guest, one to it, and so on (1)\n"
	"  --idle N           so many connections or flows more, which are open and silent\n"
	"  --idle-kind KIND   tcp, udp, or east-west: UDP from a second guest (tcp)\n"
	"  --vms N            guests, 10.0.2.15 and up; --socket is a pattern with %u, from 0 (1)\n"
	"  --queues N         queue pairs of a guest (1)\n"
	"  --mtu N            of the guest (1500)\n"
	"  --no-tso           the guest declines TSO and sends no large frames\n"
	"  --size N           payload of a datagram (64); east-west: bytes of a frame\n"
	"  --train N          udp-in: datagrams per send of the peer (1)\n"
	"  --ms N             how long to measure (1000)\n"
	"  --ring N           ring size (256)\n"
	"  --rx-buf N         bytes of a receive buffer (4096)\n"
	"  --whole            a frame is one descriptor, not headers and pieces of payload\n"
	"  --interrupts       the guest wants one for each frame\n"
	"  --guest-ip A --gateway A\n"
	"  --pid N            back-end, for its CPU time\n"
	"  --peer-socket PATH --peer-ip A    east-west: the second guest (10.0.2.16)\n"
	"  --no-arp           the back-end forwards frames whatever they say\n"
	"  --limit CPU        no back-end and no --socket: what the kernel itself can do, by a\n"
	"                     process on this CPU that has the sockets which guest and back-end\n"
	"                     would have; CPU time is that process's\n";

/** Where an option goes in struct gen. */
static const struct option_def {
	const char *name;
	enum {
		NUMBER,
		TEXT,
		ADDRESS,
		ON,
		OFF
	} kind;
	size_t offset;
} option_defs[] = {
	{ "socket", TEXT, offsetof(struct gen, path) },
	{ "case", TEXT, offsetof(struct gen, mode) },
	{ "connections", NUMBER, offsetof(struct gen, n_conns) },
	{ "bulk", NUMBER, offsetof(struct gen, n_bulk) },
	{ "idle", NUMBER, offsetof(struct gen, n_idle) },
	{ "idle-kind", TEXT, offsetof(struct gen, idle_name) },
	{ "vms", NUMBER, offsetof(struct gen, n_vms) },
	{ "queues", NUMBER, offsetof(struct gen, n_queues) },
	{ "mtu", NUMBER, offsetof(struct gen, mtu) },
	{ "no-tso", OFF, offsetof(struct gen, tso) },
	{ "size", NUMBER, offsetof(struct gen, size) },
	{ "train", NUMBER, offsetof(struct gen, train) },
	{ "ms", NUMBER, offsetof(struct gen, ms) },
	{ "ring", NUMBER, offsetof(struct gen, ring_size) },
	{ "rx-buf", NUMBER, offsetof(struct gen, rx_buf_bytes) },
	{ "whole", ON, offsetof(struct gen, whole) },
	{ "interrupts", ON, offsetof(struct gen, interrupts) },
	{ "guest-ip", ADDRESS, offsetof(struct gen, ip) },
	{ "gateway", ADDRESS, offsetof(struct gen, gw_ip) },
	{ "pid", NUMBER, offsetof(struct gen, backend_pid) },
	{ "peer-socket", TEXT, offsetof(struct gen, peer_path) },
	{ "peer-ip", ADDRESS, offsetof(struct gen, peer_ip) },
	{ "no-arp", ON, offsetof(struct gen, no_arp) },
	{ "limit", NUMBER, offsetof(struct gen, limit_cpu) },
};
#define N_OPTIONS (sizeof(option_defs) / sizeof(option_defs[0]))

static bool
option_take(struct gen *g, const struct option_def *d, const char *text)
{
	uint8_t *field = (uint8_t *)g + d->offset;
	unsigned long n;
	uint32_t value;
	char *end;

	switch (d->kind) {
	case NUMBER:
		n = strtoul(text, &end, 10);
		value = (uint32_t)n;
		memcpy(field, &value, sizeof(value));
		return *text >= '0' && *text <= '9' && *end == '\0' && n <= INT32_MAX;
	case ADDRESS:
		value = ntohl(inet_addr(text));
		memcpy(field, &value, sizeof(value));
		return value != INADDR_NONE;
	case TEXT:
		memcpy(field, &text, sizeof(text));
		return true;
	default:
		*(bool *)field = d->kind == ON;
		return true;
	}
}

static bool
options(struct gen *g, int argc, char **argv)
{
	struct option opts[N_OPTIONS + 1] = { 0 };
	unsigned int i;
	int at;

	for (i = 0; i < N_OPTIONS; i++) {
		opts[i].name = option_defs[i].name;
		opts[i].has_arg = option_defs[i].kind < ON;
	}
	while ((i = (unsigned int)getopt_long(argc, argv, "", opts, &at)) == 0)
		if (!option_take(g, &option_defs[at], optarg))
			return false;
	return i == (unsigned int)-1 && optind == argc;
}

static bool
idle_fits(struct gen *g)
{
	static const char *const names[GEN_IDLE_KINDS] = { "tcp", "udp", "east-west" };

	while (g->idle_kind < GEN_IDLE_KINDS && strcmp(g->idle_name, names[g->idle_kind]) != 0)
		g->idle_kind++;
	if (g->idle_kind == GEN_IDLE_KINDS || g->n_idle > GEN_MAX_IDLE)
		return false;
	/* The second guest is there once, and has the address after the first. */
	return g->idle_kind != GEN_IDLE_EAST_WEST ||
		(g->peer_path != NULL && g->n_vms == 1 && strcmp(g->mode, "east-west") != 0);
}

static bool
options_fit(struct gen *g)
{
	const bool limit = g->limit_cpu >= 0;

	if (g->mode == NULL || (g->path == NULL) != limit || !idle_fits(g))
		return false;
	if (limit && (g->n_vms != 1 || g->n_queues != 1 || g->n_idle != 0))
		return false;
	if (g->n_vms > 1 && strstr(g->path, "%u") == NULL)
		return false;
	if (g->n_conns < g->n_vms)
		g->n_conns = g->n_vms;
	if (strcmp(g->mode, "tcp-mix") != 0)
		g->n_bulk = 0;
	return g->n_vms > 0 && g->n_vms <= GEN_MAX_VMS && g->n_queues > 0 &&
		g->n_queues <= VHU_MAX_PAIRS && g->n_conns > 0 && g->n_conns <= GEN_MAX_CONNS &&
		g->n_bulk <= GEN_MAX_CONNS && g->mtu >= 576 && g->size > 0 && g->train > 0 &&
		g->train * g->size < 65000 && g->ms <= 600000;
}

/** A connection is a file descriptor of the peer's. */
static int
raise_files(const struct gen *g)
{
	/* Beside them the rings', and two for each port that idle ones lead to. */
	const rlim_t wanted = g->n_conns + g->n_bulk + 512 +
		(g->idle_kind == GEN_IDLE_TCP ? g->n_idle : 0) + g->n_idle / 1024;
	struct rlimit limit = { wanted, wanted };

	/* Above the hard limit root alone may go, up to it anybody. */
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (wanted <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return 0;
	fprintf(stderr, "weir-gen: %llu files must be open, and only %llu can (ulimit -Hn)\n",
		(unsigned long long)wanted, (unsigned long long)limit.rlim_max);
	return -1;
}

/** The pattern's %u becomes the guest's number. */
static void
path_of(char *path, size_t room, const char *pattern, unsigned int number)
{
	const char *at = strstr(pattern, "%u");

	if (at == NULL)
		snprintf(path, room, "%s", pattern);
	else
		snprintf(path, room, "%.*s%u%s", (int)(at - pattern), pattern, number, at + 2);
}

static int
open_guests(struct gen *g)
{
	unsigned int i;

	g->guests = calloc(g->n_vms, sizeof(*g->guests));
	g->conns = calloc(g->n_conns + g->n_bulk, sizeof(*g->conns));
	if (g->guests == NULL || g->conns == NULL)
		return -1;
	for (i = 0; i < g->n_vms; i++) {
		struct gen_guest *u = &g->guests[i];
		const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, (uint8_t)(0x56 + i) };
		char path[108];

		path_of(path, sizeof(path), g->path, i);
		u->g = g;
		u->number = i;
		u->n_pairs = g->n_queues;
		u->ip = g->ip + i;
		u->gw_ip = g->gw_ip;
		u->gw_known = g->no_arp;
		memcpy(u->mac, mac, sizeof(mac));
		if (gen_guest_open(u, path) != 0)
			return -1;
	}
	return 0;
}

static int
run(struct gen *g, const struct gen_case *k)
{
	struct gen_result r = { 0 };
	int ret;

	if (raise_files(g) != 0)
		return -1;
	r.samples_ns = malloc(GEN_MAX_SAMPLES * sizeof(uint32_t));
	if (r.samples_ns == NULL || gen_host_init(g) != 0) {
		perror("weir-gen: the peer's sockets");
		free(r.samples_ns);
		return -1;
	}
	g->tcp.fills = strcmp(g->mode, "tcp-in") == 0;
	ret = g->limit_cpu < 0 ? open_guests(g) : 0;
	if (ret == 0 && g->n_idle > 0)
		ret = gen_idle_open(g);
	if (ret == 0 && k->prepare != NULL && !k->prepare(g)) {
		fprintf(stderr, "weir-gen: %s: the connections did not come up (%u of %u)\n",
			k->name,
			g->tcp.n_fds + g->bulk_out.n_fds + g->bulk_in.n_fds + g->n_udp_peers,
			g->n_conns + g->n_bulk);
		ret = -1;
	}
	if (ret == 0)
		ret = gen_measure(g, k, &r);
	free(r.samples_ns);
	return ret;
}

static void
clean_up(struct gen *g)
{
	unsigned int i;

	gen_limit_close(g);
	gen_idle_close(g);
	gen_host_close(g);
	gen_pair_close(g);
	for (i = 0; g->guests != NULL && i < g->n_vms; i++)
		gen_guest_close(&g->guests[i]);
	free(g->guests);
	free(g->conns);
}

static const struct gen_case *
find_case(const struct gen *g)
{
	const struct gen_case *k;

	if (g->limit_cpu >= 0)
		return gen_limit_find(g->mode);
	k = gen_case_tcp_find(g->mode);
	if (k == NULL)
		k = gen_case_udp_find(g->mode);
	return k != NULL ? k : gen_pair_find(g->mode);
}

int
main(int argc, char **argv)
{
	struct gen g = { .n_conns = 1,
		.n_bulk = 1,
		.n_vms = 1,
		.n_queues = 1,
		.idle_name = "tcp",
		.mtu = 1500,
		.tso = true,
		.ring_size = 256,
		.rx_buf_bytes = 4096,
		.size = 64,
		.train = 1,
		.ms = 1000,
		.limit_cpu = -1,
		.ip = 0x0a00020f,
		.gw_ip = 0x0a000202,
		.peer_ip = 0x0a000210,
		.udp_fd = -1 };
	const struct gen_case *k;
	int ret;

	if (!options(&g, argc, argv) || !options_fit(&g)) {
		fputs(usage, stderr);
		return 2;
	}
	k = find_case(&g);
	if (k == NULL) {
		fprintf(stderr, "weir-gen: --case: there is no %s\n", g.mode);
		return 2;
	}
	ret = run(&g, k);
	clean_up(&g);
	return ret == 0 ? 0 : 1;
}
