/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_MS 300
#define MAX_SAMPLES (1u << 20)

uint64_t
gen_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/** What a case has measured. */
struct result {
	uint64_t units; /**< bytes, datagrams or transactions */
	uint64_t ns;
	uint32_t *samples_ns; /**< of transactions */
	uint32_t n_samples;
	double cpu_s; /**< of the daemon */
};

/** CPU seconds of the daemon, user and system; 0 when it is not known. */
static double
daemon_cpu_s(const struct gen *g)
{
	unsigned long user = 0, sys = 0;
	char path[64];
	FILE *f;

	if (g->daemon_pid == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", g->daemon_pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		    &sys) != 2)
		user = sys = 0;
	fclose(f);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void
guest_turn(struct gen *g)
{
	g->now_ns = gen_clock_ns();
	gen_ring_poll(g, gen_guest_frame);
	gen_guest_tick(g);
	gen_ring_flush(g);
}

/** Open all connections and wait, bounded, until the peer has them all. */
static bool
connect_all(struct gen *g)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;
	unsigned int i, open = 0;

	g->now_ns = gen_clock_ns();
	while (open < g->n_conns && vhu_now_ms() < end) {
		open = 0;
		for (i = 0; i < g->n_conns; i++) {
			if (g->conns[i].state == GEN_IDLE || g->conns[i].state == GEN_DONE)
				gen_guest_connect(g, &g->conns[i]);
			open += g->conns[i].state == GEN_OPEN;
		}
		guest_turn(g);
		gen_host_accept(g);
	}
	while (g->n_fds < g->n_conns && vhu_now_ms() < end) {
		guest_turn(g);
		gen_host_accept(g);
	}
	return g->n_fds >= g->n_conns;
}

/** One iteration of a case: load on, count what arrived. @return units */
typedef uint64_t (*turn_fn)(struct gen *g, struct result *r);

static uint64_t
turn_tcp_out(struct gen *g, struct result *r)
{
	unsigned int i;

	for (i = 0; i < g->n_conns; i++)
		gen_guest_send(g, &g->conns[i], 256 << 10);
	guest_turn(g);
	return gen_host_drain(g);
}

static uint64_t
turn_tcp_in(struct gen *g, struct result *r)
{
	uint64_t bytes = 0;
	unsigned int i;

	gen_host_fill(g);
	guest_turn(g);
	for (i = 0; i < g->n_conns; i++) {
		bytes += g->conns[i].got_bytes;
		g->conns[i].got_bytes = 0;
	}
	return bytes;
}

static void
sample(struct gen *g, struct gen_conn *c, struct result *r)
{
	if (c->start_ns != 0 && r->n_samples < MAX_SAMPLES)
		r->samples_ns[r->n_samples++] = (uint32_t)(gen_clock_ns() - c->start_ns);
}

/** The request's byte, again if it was not sent yet or is to be sent again. */
static void
ask(struct gen *g, struct gen_conn *c)
{
	if (!c->asked)
		c->request_end = c->snd_nxt + 1;
	c->asked = true;
	if (c->snd_nxt != c->request_end)
		gen_guest_send(g, c, 1);
}

/** A byte out, a byte back, the next. */
static uint64_t
turn_rr(struct gen *g, struct result *r)
{
	uint64_t done = 0;
	unsigned int i;

	for (i = 0; i < g->n_conns; i++) {
		struct gen_conn *c = &g->conns[i];

		if (c->asked && c->got_bytes != 0) {
			sample(g, c, r);
			c->asked = false;
			done++;
		}
		if (!c->asked) {
			c->got_bytes = 0;
			c->start_ns = gen_clock_ns();
		}
		ask(g, c);
	}
	guest_turn(g);
	gen_host_echo(g);
	return done;
}

/** Connect, a byte each way, close; from ports that change. */
static uint64_t
turn_crr(struct gen *g, struct result *r)
{
	uint64_t done = 0;
	unsigned int i;

	for (i = 0; i < g->n_conns; i++) {
		struct gen_conn *c = &g->conns[i];

		if (c->state == GEN_OPEN && c->got_bytes == 0) {
			ask(g, c);
		} else if (c->state == GEN_OPEN) {
			gen_guest_close(g, c);
		} else if (c->state == GEN_IDLE || (c->state == GEN_DONE && !c->ack_owed)) {
			if (c->state == GEN_DONE && c->got_bytes != 0) {
				sample(g, c, r);
				done++;
			} else if (c->state == GEN_DONE) {
				g->failed++;
			}
			g->by_port[c->port] = -1;
			c->port = g->next_port;
			g->next_port = (uint16_t)(g->next_port >= 60000 ? 2000 : g->next_port + 1);
			g->by_port[c->port] = (int32_t)i;
			c->asked = false;
			c->start_ns = gen_clock_ns();
			gen_guest_connect(g, c);
		}
	}
	guest_turn(g);
	gen_host_accept(g);
	gen_host_echo(g);
	return done;
}

static uint64_t
turn_udp_out(struct gen *g, struct result *r)
{
	unsigned int i;

	for (i = 0; i < 64; i++) {
		if (!gen_guest_udp(g, &g->conns[g->udp_turn % g->n_conns], g->size))
			break;
		/* Bursts of a flow, as an application that sends makes them. */
		if ((i & 15) == 15)
			g->udp_turn++;
	}
	guest_turn(g);
	return gen_host_udp_drain(g);
}

static uint64_t
turn_udp_in(struct gen *g, struct result *r)
{
	const uint64_t before = g->udp_got;
	unsigned int i;

	for (i = 0; i < 16; i++)
		gen_host_udp_fill(g);
	guest_turn(g);
	return g->udp_got - before;
}

static uint64_t
turn_udp_rr(struct gen *g, struct result *r)
{
	uint64_t done = 0;
	unsigned int i;

	for (i = 0; i < g->n_conns; i++) {
		struct gen_conn *c = &g->conns[i];

		/* A lost datagram is not waited for longer than a second. */
		if (c->start_ns != 0 && c->got_bytes == 0 && g->now_ns - c->start_ns < 1000000000)
			continue;
		if (c->got_bytes != 0) {
			sample(g, c, r);
			done++;
		}
		c->got_bytes = 0;
		c->start_ns = gen_guest_udp(g, c, g->size) ? gen_clock_ns() : 0;
	}
	guest_turn(g);
	gen_host_udp_echo(g);
	return done;
}

static uint64_t
turn_pair(struct gen *g, struct result *r)
{
	return gen_pair_turn(g);
}

static const struct gen_case {
	const char *name, *unit;
	turn_fn turn;
	bool (*prepare)(struct gen *g);
} cases[] = {
	{ "tcp-out", "bit", turn_tcp_out, connect_all },
	{ "tcp-in", "bit", turn_tcp_in, connect_all },
	{ "tcp-rr", "transaction", turn_rr, connect_all },
	{ "tcp-crr", "transaction", turn_crr, NULL },
	{ "udp-out", "datagram", turn_udp_out, gen_host_udp_learn },
	{ "udp-in", "datagram", turn_udp_in, gen_host_udp_learn },
	{ "udp-rr", "transaction", turn_udp_rr, NULL },
	{ "east-west", "frame", turn_pair, gen_pair_open },
};

static int
compare_u32(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
report(const struct gen *g, const struct gen_case *k, struct result *r)
{
	const double s = (double)r->ns / 1e9;
	const double factor = strcmp(k->unit, "bit") == 0 ? 8 : 1;

	printf("{\"case\":\"%s\",\"connections\":%u,\"mtu\":%u,\"tso\":%s,\"size\":%u,\"train\":%u,"
	       "\"seconds\":%.3f,\"%ss_per_s\":%.0f",
		k->name, g->n_conns, g->mtu, g->tso ? "true" : "false", g->size, g->train, s,
		k->unit, (double)r->units * factor / s);
	if (factor == 8)
		printf(",\"gbit_per_s\":%.2f,\"cpu_s_per_gb\":%.3f", (double)r->units * 8 / s / 1e9,
			r->cpu_s / ((double)r->units / 1e9));
	else
		printf(",\"cpu_us_per_%s\":%.3f", k->unit, r->cpu_s * 1e6 / (double)r->units);
	if (r->n_samples > 0) {
		qsort(r->samples_ns, r->n_samples, sizeof(uint32_t), compare_u32);
		printf(",\"p50_us\":%.1f,\"p99_us\":%.1f", r->samples_ns[r->n_samples / 2] / 1e3,
			r->samples_ns[(uint64_t)r->n_samples * 99 / 100] / 1e3);
	}
	printf(",\"retransmits\":%llu,\"failed\":%llu}\n", (unsigned long long)g->retransmits,
		(unsigned long long)g->failed);
}

static int
run(struct gen *g, const struct gen_case *k)
{
	struct result r = { .samples_ns = malloc(MAX_SAMPLES * sizeof(uint32_t)) };
	uint64_t start, now, until;
	double cpu;

	if (r.samples_ns == NULL || (k->prepare != NULL && !k->prepare(g))) {
		fprintf(stderr, "weir-gen: %s: the connections did not come up (%u of %u)\n",
			k->name, g->n_fds + g->n_udp_peers, g->n_conns);
		free(r.samples_ns);
		return 1;
	}
	g->now_ns = gen_clock_ns();
	until = g->now_ns + WARM_UP_MS * UINT64_C(1000000);
	while (gen_clock_ns() < until)
		k->turn(g, &r);
	r.n_samples = 0;
	cpu = daemon_cpu_s(g);
	start = now = gen_clock_ns();
	until = start + g->ms * UINT64_C(1000000);
	while (now < until) {
		r.units += k->turn(g, &r);
		now = gen_clock_ns();
	}
	r.ns = now - start;
	r.cpu_s = daemon_cpu_s(g) - cpu;
	if (r.units != 0)
		report(g, k, &r);
	else
		fprintf(stderr, "weir-gen: %s: no traffic\n", k->name);
	free(r.samples_ns);
	return r.units == 0;
}

static const char usage[] =
	"usage: weir-gen --socket PATH --case NAME [OPTIONS]\n"
	"A guest and its host peer in one thread, as a load for a vhost-user back-end whose guest "
	"is\n"
	"10.0.2.15 and whose gateway 10.0.2.2 stands for the host's loopback.\n\n"
	"  --case NAME        tcp-out tcp-in tcp-rr tcp-crr udp-out udp-in udp-rr east-west\n"
	"  --connections N    connections or flows (1)\n"
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
	"  --peer-socket PATH --peer-ip A    east-west: the guest that receives (10.0.2.16)\n"
	"  --no-arp           the back-end forwards frames whatever they say\n";

static bool
options(struct gen *g, int argc, char **argv)
{
	static const struct option opts[] = { { "socket", 1, NULL, 's' }, { "case", 1, NULL, 'c' },
		{ "connections", 1, NULL, 'n' }, { "mtu", 1, NULL, 'm' },
		{ "no-tso", 0, NULL, 'T' }, { "size", 1, NULL, 'z' }, { "train", 1, NULL, 't' },
		{ "ms", 1, NULL, 'd' }, { "ring", 1, NULL, 'r' }, { "rx-buf", 1, NULL, 'b' },
		{ "guest-ip", 1, NULL, 'g' }, { "gateway", 1, NULL, 'w' }, { "pid", 1, NULL, 'p' },
		{ "interrupts", 0, NULL, 'i' }, { "peer-socket", 1, NULL, 'P' },
		{ "peer-ip", 1, NULL, 'G' }, { "no-arp", 0, NULL, 'A' },
		{ "whole", 0, NULL, 'W' }, { NULL, 0, NULL, 0 } };
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		const unsigned int n = optarg != NULL ? (unsigned int)strtoul(optarg, NULL, 10) : 0;

		switch (o) {
		case 's':
			g->path = optarg;
			break;
		case 'c':
			g->mode = optarg;
			break;
		case 'n':
			g->n_conns = n;
			break;
		case 'm':
			g->mtu = n;
			break;
		case 'T':
			g->tso = false;
			break;
		case 'W':
			g->whole = true;
			break;
		case 'i':
			g->interrupts = true;
			break;
		case 'z':
			g->size = n;
			break;
		case 't':
			g->train = n;
			break;
		case 'd':
			g->ms = n;
			break;
		case 'r':
			g->ring_size = n;
			break;
		case 'b':
			g->rx_buf_bytes = n;
			break;
		case 'g':
			g->ip = ntohl(inet_addr(optarg));
			break;
		case 'w':
			g->gw_ip = ntohl(inet_addr(optarg));
			break;
		case 'p':
			g->daemon_pid = (int)n;
			break;
		case 'P':
			g->peer_path = optarg;
			break;
		case 'G':
			g->peer_ip = ntohl(inet_addr(optarg));
			break;
		case 'A':
			g->no_arp = g->gw_known = true;
			break;
		default:
			return false;
		}
	}
	return g->path != NULL && g->mode != NULL && g->n_conns > 0 &&
		g->n_conns <= GEN_MAX_CONNS && g->mtu >= 576 && g->size > 0 && g->train > 0 &&
		g->train * g->size < 65000 && g->ms <= 600000;
}

/** A connection is a file descriptor of the peer's. */
static void
raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
set_up(struct gen *g)
{
	struct vhu_conf conf = { .path = g->path,
		.ring_size = g->ring_size,
		.busy = true,
		.mem_bytes = 256u << 20,
		.features = VHU_FEATURES_LINUX };
	unsigned int i;

	if (!g->tso)
		conf.features &= ~(VHU_F_GUEST_TSO | VHU_F_HOST_TSO);
	g->conns = calloc(g->n_conns, sizeof(*g->conns));
	g->by_port = malloc(65536 * sizeof(*g->by_port));
	g->v = vhu_open(&conf);
	if (g->conns == NULL || g->by_port == NULL || g->v == NULL) {
		perror("weir-gen: vhost-user");
		return -1;
	}
	raise_files();
	memset(g->by_port, 0xff, 65536 * sizeof(*g->by_port));
	for (i = 0; i < g->n_conns; i++) {
		g->conns[i].port = (uint16_t)(20000 + i);
		g->by_port[20000 + i] = (int32_t)i;
	}
	if (gen_ring_init(g) != 0 || gen_host_init(g) != 0 || !gen_guest_arp(g)) {
		fprintf(stderr, "weir-gen: no answer from the back-end\n");
		return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct gen g = { .n_conns = 1,
		.mtu = 1500,
		.tso = true,
		.ring_size = 256,
		.rx_buf_bytes = 4096,
		.size = 64,
		.train = 1,
		.ms = 1000,
		.mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
		.ip = 0x0a00020f,
		.gw_ip = 0x0a000202,
		.peer_ip = 0x0a000210,
		.next_port = 2000 };
	const struct gen_case *k = NULL;
	unsigned int i;
	int ret;

	if (!options(&g, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, g.mode) == 0)
			k = &cases[i];
	if (k == NULL) {
		fprintf(stderr, "weir-gen: --case: there is no %s\n", g.mode);
		return 2;
	}
	if (set_up(&g) != 0)
		return 1;
	ret = run(&g, k);
	gen_host_close_all(&g);
	gen_pair_close(&g);
	vhu_close(g.v);
	return ret;
}
