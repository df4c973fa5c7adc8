/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections and flows that are there while others are measured, and say nothing. There may be
 * very many, so each is its number and a few bytes: the number gives the guest (in turn), the
 * guest's port and the peer's. A peer's port leads to PER_SERVICE of them, for a guest has no more
 * than 64k ports, and the back-end's host fewer.
 *
 * Those between guests lead from the second one (gen_pair.c) to the first, and take no file of
 * anybody's: there can be more of them than of others.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gen_frame.h"

#define PER_SERVICE 8192u
#define FIRST_PORT 10000
/** Not answered yet, at most: a SYN and an ACK of each shall find a slot. */
#define IN_FLIGHT_OF_SLOTS 3
/** The oldest is asked again after this time, and given up after that. */
#define AGAIN_NS UINT64_C(500000000)
#define GIVE_UP_NS UINT64_C(5000000000)

struct idle {
	uint32_t rcv_nxt; /**< TCP */
	bool open;
};

/** A port of the peer's. */
struct idle_service {
	struct gen_service tcp;
	int udp_fd;
	uint16_t port;
};

struct gen_idle {
	struct idle *flows; /**< n_idle */
	unsigned int done;  /**< before it, all are open */
	unsigned int next;  /**< before it, all have been begun */
	unsigned int n_open;
	uint64_t again_ns, moved_ns;
	struct idle_service *services;
	unsigned int n_services;
	uint16_t *service_of; /**< TCP, by the peer's port: number of the service + 1 */
};

/** Who begins it. */
static struct gen_guest *
guest_of(struct gen *g, unsigned int number)
{
	return g->idle_kind == GEN_IDLE_EAST_WEST ? g->peer : &g->guests[number % g->n_vms];
}

static uint16_t
port_of(unsigned int number)
{
	return (uint16_t)(FIRST_PORT + number % PER_SERVICE);
}

static uint16_t
host_port_of(const struct gen *g, unsigned int number)
{
	return g->idle->services[number / PER_SERVICE].port;
}

/** What the guest's sequence numbers begin with. */
static uint32_t
first_seq(unsigned int number)
{
	return number * 2654435761u;
}

static bool
segment(struct gen *g, unsigned int number, bool syn)
{
	const struct gen_seg s = { .port = port_of(number),
		.host_port = host_port_of(g, number),
		.seq = first_seq(number) + (syn ? 0 : 1),
		.ack = g->idle->flows[number].rcv_nxt,
		.syn = syn };

	return gen_seg_send(guest_of(g, number), &s);
}

static void
is_open(struct gen *g, unsigned int number)
{
	struct gen_idle *idle = g->idle;

	if (idle->flows[number].open)
		return;
	idle->flows[number].open = true;
	idle->n_open++;
}

bool
gen_idle_is(const struct gen *g, uint16_t host_port)
{
	return g->idle != NULL && g->idle->service_of[host_port] != 0;
}

void
gen_idle_tcp(struct gen_guest *u, const struct tcphdr *t, uint32_t payload)
{
	struct gen_idle *idle = u->g->idle;
	const unsigned int service = idle->service_of[ntohs(t->source)] - 1u;
	const unsigned int number = service * PER_SERVICE + ntohs(t->dest) - FIRST_PORT;
	struct idle *f;

	if (ntohs(t->dest) < FIRST_PORT || ntohs(t->dest) - FIRST_PORT >= (int)PER_SERVICE ||
		number >= u->g->n_idle)
		return;
	f = &idle->flows[number];
	if (t->rst) {
		idle->n_open -= f->open;
		f->open = false;
	} else if (t->syn) {
		f->rcv_nxt = ntohl(t->seq) + 1;
		/* Without a slot the SYN|ACK comes again. */
		if (segment(u->g, number, false))
			is_open(u->g, number);
	} else if (payload != 0 || t->fin || ntohl(t->seq) != f->rcv_nxt) {
		/* A keepalive probe. */
		segment(u->g, number, false);
	}
}

static bool
begin(struct gen *g, unsigned int number)
{
	if (g->idle_kind == GEN_IDLE_TCP)
		return segment(g, number, true);
	return gen_guest_udp_number(
		guest_of(g, number), port_of(number), host_port_of(g, number), number);
}

/** The peer's part: accept, or see whose datagrams have come. */
static void
peer_turn(struct gen *g)
{
	const unsigned int first = g->idle->done / PER_SERVICE;
	unsigned int i, k;

	for (i = first; i <= first + 1 && i < g->idle->n_services; i++) {
		struct idle_service *s = &g->idle->services[i];
		struct sockaddr_in from;
		uint32_t number;
		ssize_t bytes;

		if (g->idle_kind == GEN_IDLE_TCP) {
			gen_host_accept(&s->tcp);
			continue;
		}
		for (k = 0; k < PER_SERVICE && gen_udp_read(s->udp_fd, g->host_buf, &from, &bytes);
			k++) {
			memcpy(&number, g->host_buf, sizeof(number));
			if (bytes == sizeof(number) && number < g->n_idle)
				is_open(g, number);
		}
	}
}

/** A frame for the first guest: one of the second's that has come through? */
static void
arrived(struct gen_guest *u, const uint8_t *buf, uint32_t frame_bytes, unsigned int pair)
{
	const struct gen_frame *f = (const struct gen_frame *)(const void *)buf;
	struct gen *g = u->g;
	uint32_t number = UINT32_MAX;

	if (frame_bytes >= GEN_UDP_HEAD + sizeof(number) && f->eth.h_proto == htons(ETH_P_IP) &&
		f->ip.protocol == IPPROTO_UDP && f->ip.saddr == htonl(g->peer_ip))
		memcpy(&number, buf + sizeof(f->vnet) + GEN_UDP_HEAD, sizeof(number));
	if (number < g->n_idle && f->udp.source == htons(port_of(number)) &&
		f->udp.dest == htons(host_port_of(g, number)))
		is_open(g, number);
	else
		gen_guest_frame(u, buf, frame_bytes, pair);
}

static void
pair_turn(struct gen *g)
{
	gen_ring_poll(g->peer, gen_guest_frame);
	gen_guest_flush(g->peer);
	gen_ring_poll(&g->guests[0], arrived);
	gen_guest_flush(&g->guests[0]);
}

static void
open_turn(struct gen *g)
{
	const unsigned int in_flight = g->guests[0].rings[0].n_slots / IN_FLIGHT_OF_SLOTS;
	struct gen_idle *idle = g->idle;
	unsigned int i;

	g->now_ns = gen_clock_ns();
	while (idle->next < g->n_idle && idle->next - idle->done < in_flight &&
		begin(g, idle->next))
		idle->next++;
	if (g->now_ns - idle->again_ns > AGAIN_NS) {
		idle->again_ns = g->now_ns;
		for (i = idle->done; i < idle->next; i++)
			if (!idle->flows[i].open)
				begin(g, i);
	}
	if (g->idle_kind == GEN_IDLE_EAST_WEST) {
		pair_turn(g);
	} else {
		gen_guests_turn(g);
		peer_turn(g);
	}
	for (; idle->done < idle->next && idle->flows[idle->done].open; idle->done++)
		idle->again_ns = idle->moved_ns = g->now_ns;
}

static int
init(struct gen *g)
{
	struct gen_idle *idle = calloc(1, sizeof(*idle));
	unsigned int i;

	g->idle = idle;
	if (idle == NULL)
		return -1;
	idle->n_services = (g->n_idle + PER_SERVICE - 1) / PER_SERVICE;
	idle->flows = calloc(g->n_idle, sizeof(*idle->flows));
	idle->services = calloc(idle->n_services, sizeof(*idle->services));
	idle->service_of = calloc(65536, sizeof(*idle->service_of));
	if (idle->flows == NULL || idle->services == NULL || idle->service_of == NULL)
		return -1;
	for (i = 0; i < idle->n_services; i++) {
		struct idle_service *s = &idle->services[i];

		s->udp_fd = -1;
		if (g->idle_kind == GEN_IDLE_EAST_WEST)
			s->port = (uint16_t)(FIRST_PORT + i);
		else if (g->idle_kind == GEN_IDLE_UDP)
			s->udp_fd = gen_host_udp_open(&s->port);
		else if (gen_service_open(&s->tcp, PER_SERVICE) == 0)
			s->port = s->tcp.port;
		if (s->port == 0)
			return -1;
		if (g->idle_kind == GEN_IDLE_TCP)
			idle->service_of[s->port] = (uint16_t)(i + 1);
	}
	return 0;
}

/** All have been accepted, not only answered by the kernel. */
static bool
all_accepted(const struct gen *g)
{
	unsigned int i, n = 0;

	for (i = 0; i < g->idle->n_services; i++)
		n += g->idle->services[i].tcp.n_fds;
	return g->idle_kind != GEN_IDLE_TCP || n == g->n_idle;
}

int
gen_idle_open(struct gen *g)
{
	static const char *const what[GEN_IDLE_KINDS] = { "TCP connections", "UDP flows",
		"flows between guests" };
	struct gen_idle *idle;
	unsigned int i;

	if (init(g) != 0) {
		perror("weir-gen: --idle");
		return -1;
	}
	if (g->idle_kind == GEN_IDLE_EAST_WEST && gen_pair_open(g) != 0)
		return -1;
	idle = g->idle;
	idle->again_ns = idle->moved_ns = g->now_ns = gen_clock_ns();
	while (idle->done < g->n_idle && g->now_ns - idle->moved_ns < GIVE_UP_NS)
		open_turn(g);
	while (idle->done == g->n_idle && !all_accepted(g) &&
		g->now_ns - idle->moved_ns < GIVE_UP_NS) {
		g->now_ns = gen_clock_ns();
		for (i = 0; i < idle->n_services; i++)
			gen_host_accept(&idle->services[i].tcp);
		gen_guests_turn(g);
	}
	if (idle->done == g->n_idle && all_accepted(g))
		return 0;
	fprintf(stderr, "weir-gen: --idle: of %u %s only %u could be opened\n", g->n_idle,
		what[g->idle_kind], idle->n_open);
	return -1;
}

void
gen_idle_close(struct gen *g)
{
	unsigned int i;

	if (g->idle == NULL)
		return;
	for (i = 0; g->idle->services != NULL && i < g->idle->n_services; i++) {
		gen_service_close(&g->idle->services[i].tcp);
		if (g->idle->services[i].udp_fd > 0)
			close(g->idle->services[i].udp_fd);
	}
	free(g->idle->flows);
	free(g->idle->services);
	free(g->idle->service_of);
	free(g->idle);
	g->idle = NULL;
}
