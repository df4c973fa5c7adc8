/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel can do: a child process has the sockets that guest and back-end would have
 * between them, and nothing else to do. The peer is the same as ever, in the same thread, so what
 * is between this and a back-end is the back-end. Where the peer cannot count, the child does, in
 * memory that both see.
 */
#include "gen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS 64
/** Datagrams of one flow in a row, where there are others: as turn_udp_out() makes them. */
#define BURST 16
/** The best of what was tried; with very many flows less, for the kernel's memory for TCP ends. */
#define READ_MOST (1 << 20)
#define READ_MANY (256 << 10)
#define MANY_FLOWS 64
/** A lost datagram is not waited for longer. */
#define LOST_NS UINT64_C(1000000000)

/** Written by the child, but for measuring. */
struct shared {
	uint64_t units;
	uint64_t failed;
	uint32_t measuring; /**< written by the parent: samples are wanted */
	uint32_t n_samples;
	uint32_t samples_ns[GEN_MAX_SAMPLES];
};

struct flow {
	int fd;
	bool asked; /**< the request is out */
	uint64_t start_ns;
};

struct gen_limit {
	struct shared *shared;
	pid_t pid;
	uint64_t first_units, first_failed; /**< when measuring began */
	/* the child's */
	unsigned int n_flows;
	struct flow *flows;
	struct sockaddr_in to;
	int epoll_fd;
	unsigned int size, segments, next; /**< of udp-out */
	int read_bytes;                    /**< of tcp-in */
	uint8_t *buf;
};

/** A case: the peer's part, and the child's. */
struct limit_case {
	struct gen_case peer;
	void (*turn)(struct gen_limit *l);
	int type;   /**< of sockets */
	bool opens; /**< all flows, before it begins */
};

static const struct limit_case *find(const char *name);

static void
add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static void
transaction(struct gen_limit *l, struct flow *f)
{
	struct shared *s = l->shared;

	add(&s->units, 1);
	if (__atomic_load_n(&s->measuring, __ATOMIC_RELAXED) && s->n_samples < GEN_MAX_SAMPLES) {
		s->samples_ns[s->n_samples] = (uint32_t)(gen_clock_ns() - f->start_ns);
		__atomic_store_n(&s->n_samples, s->n_samples + 1, __ATOMIC_RELEASE);
	}
}

/* ---- the child: one turn of each case ---- */

/** Sockets with something to read. With one alone there is nothing to ask. */
static int
readable(struct gen_limit *l, struct epoll_event *ev)
{
	if (l->n_flows > 1)
		return epoll_wait(l->epoll_fd, ev, EVENTS, 0);
	ev[0].data.u32 = 0;
	return 1;
}

static void
child_tcp_out(struct gen_limit *l)
{
	unsigned int i;

	for (i = 0; i < l->n_flows; i++)
		send(l->flows[i].fd, l->buf, GEN_WRITE_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/** Asleep until there is much to read: a reader that polls fights the sender for the lock. */
static void
child_tcp_in(struct gen_limit *l)
{
	struct epoll_event ev[EVENTS];
	const int n = epoll_wait(l->epoll_fd, ev, EVENTS, -1);
	int i;

	for (i = 0; i < n; i++) {
		const ssize_t got = recv(
			l->flows[ev[i].data.u32].fd, l->buf, (size_t)l->read_bytes, MSG_DONTWAIT);

		if (got > 0)
			add(&l->shared->units, (uint64_t)got);
	}
}

static void
request(struct gen_limit *l, struct flow *f)
{
	f->start_ns = gen_clock_ns();
	f->asked = send(f->fd, l->buf, l->size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

/** A request of each flow is under way; whose answer is there asks again. */
static void
child_rr(struct gen_limit *l)
{
	struct epoll_event ev[EVENTS];
	const int n = readable(l, ev);
	struct flow *f;
	int i;

	/* The first request, and that of which a datagram was lost; the clock is not asked often.
	 */
	if (l->next++ % 64 == 0) {
		f = &l->flows[l->next / 64 % l->n_flows];
		if (gen_clock_ns() - f->start_ns > LOST_NS)
			request(l, f);
	}
	for (i = 0; i < n; i++) {
		f = &l->flows[ev[i].data.u32];
		if (recv(f->fd, l->buf, GEN_READ_BYTES, MSG_DONTWAIT) <= 0)
			continue;
		transaction(l, f);
		request(l, f);
	}
}

static void
crr_wait(struct gen_limit *l, struct flow *f, int op)
{
	struct epoll_event ev = { .events = f->asked ? EPOLLIN : EPOLLOUT,
		.data.u32 = (uint32_t)(f - l->flows) };

	if (l->n_flows > 1)
		epoll_ctl(l->epoll_fd, op, f->fd, &ev);
}

/** Connect; on loopback that is as good as done when the call returns. */
static void
crr_begin(struct gen_limit *l, struct flow *f)
{
	f->start_ns = gen_clock_ns();
	f->asked = false;
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd >= 0 && connect(f->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0 &&
		errno != EINPROGRESS) {
		close(f->fd);
		f->fd = -1;
	}
	if (f->fd < 0) {
		add(&l->shared->failed, 1);
		return;
	}
	f->asked = send(f->fd, l->buf, 1, MSG_NOSIGNAL) == 1;
	crr_wait(l, f, EPOLL_CTL_ADD);
}

static void
crr_turn(struct gen_limit *l, struct flow *f)
{
	ssize_t got;

	if (f->fd < 0) {
		crr_begin(l, f);
		return;
	}
	if (!f->asked) {
		f->asked = send(f->fd, l->buf, 1, MSG_NOSIGNAL) == 1;
		crr_wait(l, f, EPOLL_CTL_MOD);
	}
	got = recv(f->fd, l->buf, 1, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	close(f->fd);
	if (got > 0)
		transaction(l, f);
	else
		add(&l->shared->failed, 1);
	crr_begin(l, f);
}

static void
child_crr(struct gen_limit *l)
{
	struct epoll_event ev[EVENTS];
	const int n = readable(l, ev);
	int i;

	for (i = 0; i < n; i++)
		crr_turn(l, &l->flows[ev[i].data.u32]);
	/* One that could not begin has no event to wait for. */
	if (l->flows[l->next++ % l->n_flows].fd < 0)
		crr_turn(l, &l->flows[(l->next - 1) % l->n_flows]);
}

static void
child_udp_out(struct gen_limit *l)
{
	gen_udp_send(l->flows[l->next++ % l->n_flows].fd, NULL, l->buf, l->size, l->segments);
}

static void
child_udp_in(struct gen_limit *l)
{
	struct epoll_event ev[EVENTS];
	const int n = readable(l, ev);
	ssize_t bytes;
	int i;

	for (i = 0; i < n; i++) {
		struct sockaddr_in from;
		unsigned int k;

		for (k = 0; k < EVENTS; k++) {
			const unsigned int got =
				gen_udp_read(l->flows[ev[i].data.u32].fd, l->buf, &from, &bytes);

			if (got == 0)
				break;
			add(&l->shared->units, got);
		}
	}
}

/* ---- the child: its life ---- */

/** As many datagrams in one send as the kernel takes: it may have been built for 128 or for 64. */
static unsigned int
segments_max(struct gen_limit *l)
{
	unsigned int n = 128;

	if (l->n_flows > 1)
		n = BURST;
	while (n > 1 &&
		(n * l->size > 65507 || !gen_udp_send(l->flows[0].fd, NULL, l->buf, l->size, n)))
		n--;
	return n;
}

static int
flow_open(struct gen_limit *l, struct flow *f, int type)
{
	const int one = 1, big = 4 << 20;
	const uint32_t number = (uint32_t)(f - l->flows);
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = number };

	f->fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || connect(f->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0)
		return -errno;
	if (type == SOCK_STREAM) {
		setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	} else {
		setsockopt(f->fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
		setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
		/* The peer learns of the flow. */
		send(f->fd, &number, sizeof(number), 0);
	}
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev);
}

/** Never returns: the parent ends it, or its end. */
static void
child_run(struct gen_limit *l, const struct limit_case *k, int cpu)
{
	cpu_set_t set;
	unsigned int i;

	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sched_setaffinity(0, sizeof(set), &set) < 0) {
		perror("weir-gen: --limit");
		_exit(1);
	}
	l->read_bytes = l->n_flows <= MANY_FLOWS ? READ_MOST : READ_MANY;
	for (i = 0; i < l->n_flows; i++) {
		l->flows[i].fd = -1;
		if (k->opens && flow_open(l, &l->flows[i], k->type) < 0) {
			perror("weir-gen: --limit: flow");
			_exit(1);
		}
		/* What it wakes up for is what it then reads. */
		if (k->turn == child_tcp_in)
			setsockopt(l->flows[i].fd, SOL_SOCKET, SO_RCVLOWAT, &l->read_bytes,
				sizeof(l->read_bytes));
	}
	if (k->turn == child_udp_out)
		l->segments = segments_max(l);
	for (;;)
		k->turn(l);
}

/* ---- the parent: the peer ---- */

static bool
prepare(struct gen *g)
{
	const struct limit_case *k = find(g->mode);
	struct gen_limit *l = calloc(1, sizeof(*l));
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;

	g->limit = l;
	if (l == NULL)
		return false;
	l->shared = mmap(NULL, sizeof(*l->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	l->n_flows = g->n_conns;
	l->flows = calloc(l->n_flows, sizeof(*l->flows));
	l->buf = calloc(1, GEN_READ_BYTES);
	l->size = k->type == SOCK_STREAM ? 1 : g->size;
	l->to.sin_family = AF_INET;
	l->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->to.sin_port = htons(k->type == SOCK_STREAM ? g->tcp.port : g->udp_port);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->shared == MAP_FAILED || l->flows == NULL || l->buf == NULL || l->epoll_fd < 0)
		return false;
	l->pid = fork();
	if (l->pid == 0)
		child_run(l, k, g->limit_cpu);
	g->backend_pid = l->pid;
	while (l->pid > 0 && k->opens && vhu_now_ms() < end &&
		waitpid(l->pid, NULL, WNOHANG) == 0) {
		if (k->type == SOCK_STREAM)
			gen_host_accept(&g->tcp);
		else
			gen_host_udp_learn(g);
		if (g->tcp.n_fds + g->n_udp_peers == g->n_conns)
			return true;
	}
	return l->pid > 0 && !k->opens;
}

static void
begin(struct gen *g, struct gen_result *r)
{
	struct gen_limit *l = g->limit;

	l->first_units = __atomic_load_n(&l->shared->units, __ATOMIC_RELAXED);
	l->first_failed = __atomic_load_n(&l->shared->failed, __ATOMIC_RELAXED);
	__atomic_store_n(&l->shared->measuring, 1, __ATOMIC_RELAXED);
}

/** Take over what the child has counted. */
static void
end(struct gen *g, struct gen_result *r)
{
	struct shared *s = g->limit->shared;

	r->units += __atomic_load_n(&s->units, __ATOMIC_RELAXED) - g->limit->first_units;
	g->failed = __atomic_load_n(&s->failed, __ATOMIC_RELAXED) - g->limit->first_failed;
	/* Pairs with transaction(). */
	r->n_samples = __atomic_load_n(&s->n_samples, __ATOMIC_ACQUIRE);
	memcpy(r->samples_ns, s->samples_ns, r->n_samples * sizeof(uint32_t));
}

static void
turn_drain(struct gen *g, struct gen_result *r)
{
	r->units += gen_host_drain(&g->tcp);
}

static void
turn_fill(struct gen *g, struct gen_result *r)
{
	gen_host_fill(&g->tcp, g->host_buf);
}

static void
turn_echo(struct gen *g, struct gen_result *r)
{
	gen_host_echo(&g->tcp);
}

static void
turn_accept_echo(struct gen *g, struct gen_result *r)
{
	gen_host_accept(&g->tcp);
	gen_host_echo(&g->tcp);
}

static void
turn_udp_drain(struct gen *g, struct gen_result *r)
{
	r->units += gen_host_udp_drain(g);
}

static void
turn_udp_fill(struct gen *g, struct gen_result *r)
{
	unsigned int i;

	for (i = 0; i < BURST; i++)
		gen_host_udp_fill(g);
}

static void
turn_udp_echo(struct gen *g, struct gen_result *r)
{
	gen_host_udp_echo(g);
}

/* What one side counts, the other leaves at 0. */
static const struct limit_case cases[] = {
	{ { "tcp-out", "bit", turn_drain, prepare, begin, end }, child_tcp_out, SOCK_STREAM, true },
	{ { "tcp-in", "bit", turn_fill, prepare, begin, end }, child_tcp_in, SOCK_STREAM, true },
	{ { "tcp-rr", "transaction", turn_echo, prepare, begin, end }, child_rr, SOCK_STREAM,
		true },
	{ { "tcp-crr", "transaction", turn_accept_echo, prepare, begin, end }, child_crr,
		SOCK_STREAM, false },
	{ { "udp-out", "datagram", turn_udp_drain, prepare, begin, end }, child_udp_out, SOCK_DGRAM,
		true },
	{ { "udp-in", "datagram", turn_udp_fill, prepare, begin, end }, child_udp_in, SOCK_DGRAM,
		true },
	{ { "udp-rr", "transaction", turn_udp_echo, prepare, begin, end }, child_rr, SOCK_DGRAM,
		true },
};

static const struct limit_case *
find(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].peer.name, name) == 0)
			return &cases[i];
	return NULL;
}

const struct gen_case *
gen_limit_find(const char *name)
{
	const struct limit_case *k = find(name);

	return k != NULL ? &k->peer : NULL;
}

void
gen_limit_close(struct gen *g)
{
	if (g->limit == NULL)
		return;
	if (g->limit->pid > 0) {
		kill(g->limit->pid, SIGKILL);
		waitpid(g->limit->pid, NULL, 0);
	}
	if (g->limit->shared != MAP_FAILED && g->limit->shared != NULL)
		munmap(g->limit->shared, sizeof(*g->limit->shared));
	if (g->limit->epoll_fd >= 0)
		close(g->limit->epoll_fd);
	free(g->limit->flows);
	free(g->limit->buf);
	free(g->limit);
	g->limit = NULL;
}
