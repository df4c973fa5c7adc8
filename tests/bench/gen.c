/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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
	"  --no-arp           the back-end forwards frames whatever they say\n"
	"  --limit CPU        no back-end and no --socket: what the kernel itself can do, by a\n"
	"                     process on this CPU that has the sockets which guest and back-end\n"
	"                     would have; CPU time is that process's\n";

static bool
options(struct gen *g, int argc, char **argv)
{
	static const struct option opts[] = { { "socket", 1, NULL, 's' }, { "case", 1, NULL, 'c' },
		{ "connections", 1, NULL, 'n' }, { "mtu", 1, NULL, 'm' },
		{ "no-tso", 0, NULL, 'T' }, { "size", 1, NULL, 'z' }, { "train", 1, NULL, 't' },
		{ "ms", 1, NULL, 'd' }, { "ring", 1, NULL, 'r' }, { "rx-buf", 1, NULL, 'b' },
		{ "guest-ip", 1, NULL, 'g' }, { "gateway", 1, NULL, 'w' }, { "pid", 1, NULL, 'p' },
		{ "interrupts", 0, NULL, 'i' }, { "peer-socket", 1, NULL, 'P' },
		{ "peer-ip", 1, NULL, 'G' }, { "no-arp", 0, NULL, 'A' }, { "whole", 0, NULL, 'W' },
		{ "limit", 1, NULL, 'L' }, { NULL, 0, NULL, 0 } };
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
			g->backend_pid = (int)n;
			break;
		case 'P':
			g->peer_path = optarg;
			break;
		case 'G':
			g->peer_ip = ntohl(inet_addr(optarg));
			break;
		case 'L':
			g->limit_cpu = (int)n;
			break;
		case 'A':
			g->no_arp = g->gw_known = true;
			break;
		default:
			return false;
		}
	}
	return (g->path != NULL || g->limit_cpu >= 0) && g->mode != NULL && g->n_conns > 0 &&
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
open_guest(struct gen *g)
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
	memset(g->by_port, 0xff, 65536 * sizeof(*g->by_port));
	for (i = 0; i < g->n_conns; i++) {
		g->conns[i].port = (uint16_t)(20000 + i);
		g->by_port[20000 + i] = (int32_t)i;
	}
	if (gen_ring_init(g) != 0 || !gen_guest_arp(g)) {
		fprintf(stderr, "weir-gen: no answer from the back-end\n");
		return -1;
	}
	return 0;
}

static int
run(struct gen *g, const struct gen_case *k)
{
	struct gen_result r = { .samples_ns = malloc(GEN_MAX_SAMPLES * sizeof(uint32_t)) };
	int ret;

	raise_files();
	if (r.samples_ns == NULL || gen_host_init(g) != 0) {
		perror("weir-gen: the peer's sockets");
		free(r.samples_ns);
		return -1;
	}
	ret = g->limit_cpu < 0 ? open_guest(g) : 0;
	if (ret == 0 && k->prepare != NULL && !k->prepare(g)) {
		fprintf(stderr, "weir-gen: %s: the connections did not come up (%u of %u)\n",
			k->name, g->n_fds + g->n_udp_peers, g->n_conns);
		ret = -1;
	}
	if (ret == 0)
		ret = gen_measure(g, k, &r);
	free(r.samples_ns);
	return ret;
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
		.limit_cpu = -1,
		.mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
		.ip = 0x0a00020f,
		.gw_ip = 0x0a000202,
		.peer_ip = 0x0a000210,
		.next_port = 2000 };
	const struct gen_case *k;
	int ret;

	if (!options(&g, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	k = g.limit_cpu >= 0 ? gen_limit_find(g.mode) : gen_case_find(g.mode);
	if (k == NULL) {
		fprintf(stderr, "weir-gen: --case: there is no %s\n", g.mode);
		return 2;
	}
	ret = run(&g, k);
	gen_limit_close(&g);
	gen_host_close_all(&g);
	gen_pair_close(&g);
	vhu_close(g.v);
	return ret == 0 ? 0 : 1;
}
