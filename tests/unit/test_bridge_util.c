/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_bridge_util.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include <rte_eal.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define WAIT_US 3000000
#define GUEST_BUFFERS 2048

static uint64_t
clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int
eal_group_start(void **state)
{
	char prog[] = "test", no_huge[] = "--no-huge", m[] = "-m", mem[] = "128";
	char no_shconf[] = "--no-shconf", no_tel[] = "--no-telemetry", no_pci[] = "--no-pci";
	char level[] = "--log-level=lib.eal:error", prefix[64], l[] = "-l", zero[] = "0";
	char *argv[] = { prog, no_huge, m, mem, no_shconf, no_tel, no_pci, level, prefix, l, zero };

	snprintf(prefix, sizeof(prefix), "--file-prefix=bridge-test-%d", (int)getpid());
	return rte_eal_init(RTE_DIM(argv), argv) < 0 ? -1 : 0;
}

int
eal_group_stop(void **state)
{
	char dir[256];

	/* The directory of a prefix made of the pid would stay for ever. */
	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(dir);
	return 0;
}

static int
start(void **state, bool peek_off, bool uring)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->net_before = -1;
	r->events = calloc(EVENTS, sizeof(r->events[0]));
	assert_non_null(r->events);
	assert_int_equal(waker_init(&r->worker), 0);
	assert_int_equal(waker_init(&r->sleeper), 0);
	r->chan = chan_create(0, 0, SOCKET_ID_ANY, &r->worker, &r->sleeper);
	assert_non_null(r->chan);
	r->pool = rte_pktmbuf_pool_create(
		"pool", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	r->guest = rte_pktmbuf_pool_create(
		"guest", GUEST_BUFFERS, 0, 0, RTE_PKTMBUF_HEADROOM + 1600, SOCKET_ID_ANY);
	assert_non_null(r->pool);
	assert_non_null(r->guest);
	r->lender = lender_create(PIF, 0, 0, 0, SOCKET_ID_ANY);
	assert_non_null(r->lender);
	atomic_store(&r->lender->mergeable, 1);
	lender_run(r->lender);
	r->conf = (struct l4x_port_conf){
		.pif = PIF,
		.mtu = 1500,
		.ipv4 = true,
		.ipv6 = true,
		.address = flowtab_addr_v4(htonl(0x0a00020f)),
		.gateway = flowtab_addr_v4(htonl(0x0a000202)),
		.n_queues = 1,
	};
	flowtab_addr_parse(&r->conf.address6, "fd00:2::15");
	flowtab_addr_parse(&r->conf.gateway6, "fd00:2::2");
	r->params = (struct bridge_params){
		.n_workers = 1,
		.max_flows = 1024,
		.socket_id = SOCKET_ID_ANY,
		.chans[0] = r->chan,
		.waker = &r->sleeper,
		.pool = r->pool,
		.peek_off = peek_off,
		.uring = uring,
	};
	r->b = bridge_create(&r->params);
	assert_non_null(r->b);
	assert_int_equal(bridge_set_port(r->b, &r->conf), 0);
	assert_int_equal(bridge_add_lender(r->b, r->lender), 0);
	*state = r;
	return 0;
}

int
rig_start(void **state)
{
	return start(state, bridge_probe_peek_off(), false);
}

int
rig_start_discard(void **state)
{
	return start(state, false, false);
}

static int
start_together(void **state, bool peek_off)
{
	const int no_uring = bridge_probe_uring();
	const int rc = start(state, peek_off, no_uring == 0);
	struct rig *r = *state;

	r->no_uring = no_uring;
	return rc;
}

int
rig_start_together(void **state)
{
	return start_together(state, bridge_probe_peek_off());
}

int
rig_start_together_discard(void **state)
{
	return start_together(state, false);
}

struct rig *
rig_of(void **state)
{
	struct rig *r = *state;

	if (r->no_uring != 0) {
		print_message("no io_uring: %s\n", strerror(-r->no_uring));
		skip();
	}
	return r;
}

int
rig_start_net(void **state)
{
	const int before = net_enter(65536);
	int rc = rig_start(state);
	struct rig *r = *state;

	r->net_before = before;
	return rc;
}

void
rig_check_together(const struct rig *r)
{
	const uint64_t rounds = rig_counter(r, BRIDGE_COUNT_TOGETHER);

	assert_true(r->params.uring ? rounds != 0 : rounds == 0);
}

int
rig_stop(void **state)
{
	struct rig *r = *state;
	uint32_t i;

	for (i = 0; i < r->n_events; i++)
		l4x_event_free(&r->events[i]);
	bridge_destroy(r->b);
	lender_destroy(r->lender);
	chan_destroy(r->chan);
	assert_int_equal(rte_mempool_in_use_count(r->pool), 0);
	assert_int_equal(rte_mempool_in_use_count(r->guest), 0);
	rte_mempool_free(r->pool);
	rte_mempool_free(r->guest);
	waker_fini(&r->worker);
	waker_fini(&r->sleeper);
	if (r->net_before >= 0)
		net_leave(r->net_before);
	free(r->events);
	free(r);
	return 0;
}

/** A DATA of several frames becomes one for each. */
static void
add_data(struct rig *r, const struct l4x_event *ev)
{
	uint64_t off = ev->data.off;
	uint32_t i;

	for (i = 0; i < L4X_DATA_FRAMES && ev->data.m[i] != NULL; i++) {
		struct l4x_event *one = &r->events[r->n_events++];

		*one = (struct l4x_event){ .type = L4X_EV_DATA, .flow = ev->flow };
		one->len = ev->data.m[i]->pkt_len;
		one->data.off = off;
		one->data.m[0] = ev->data.m[i];
		off += one->len;
	}
	assert_int_not_equal(i, 0);
	assert_int_equal(off, ev->data.off + ev->len);
}

static void
take_events(struct rig *r)
{
	struct l4x_event ev;

	while (!r->deaf && r->n_events + L4X_DATA_FRAMES <= EVENTS &&
		rte_ring_sc_dequeue_elem(r->chan->events, &ev, sizeof(ev)) == 0) {
		if (ev.type == L4X_EV_DATA)
			add_data(r, &ev);
		else
			r->events[r->n_events++] = ev;
	}
}

void
rig_poll(struct rig *r)
{
	r->now_us = clock_us();
	bridge_poll(r->b, r->now_us, false);
	take_events(r);
}

void
rig_poll_at_once(struct rig *r)
{
	bridge_poll(r->b, r->now_us, true);
	take_events(r);
}

void
rig_run(struct rig *r, unsigned int ms)
{
	const uint64_t end = clock_us() + ms * UINT64_C(1000);

	do {
		rig_poll(r);
		usleep(100);
	} while (clock_us() < end);
}

bool
rig_take(struct rig *r, uint8_t type, uint64_t flow, struct l4x_event *ev)
{
	uint32_t i;

	for (i = 0; i < r->n_events; i++)
		if (r->events[i].type == type && r->events[i].flow == flow) {
			*ev = r->events[i];
			r->n_events--;
			memmove(&r->events[i], &r->events[i + 1],
				(r->n_events - i) * sizeof(r->events[0]));
			return true;
		}
	return false;
}

unsigned int
rig_count(const struct rig *r, uint8_t type, uint64_t flow)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < r->n_events; i++)
		n += r->events[i].type == type && r->events[i].flow == flow;
	return n;
}

struct l4x_event
rig_wait(struct rig *r, uint8_t type, uint64_t flow)
{
	const uint64_t end = clock_us() + WAIT_US;
	struct l4x_event ev = { .type = L4X_EV_TYPES };

	while (!rig_take(r, type, flow, &ev)) {
		if (clock_us() > end)
			fail_msg("no event of type %u", type);
		rig_poll(r);
	}
	return ev;
}

void
rig_op(struct rig *r, const struct l4x_op *op)
{
	struct l4x_op copy = *op;

	while (rte_ring_sp_enqueue_elem(r->chan->ops, &copy, sizeof(copy)) != 0)
		rig_poll(r);
}

uint64_t
rig_counter(const struct rig *r, enum bridge_counter c)
{
	return bridge_counters(r->b)[c];
}

void
rig_lend(struct rig *r, unsigned int n)
{
	struct rte_mbuf *m;

	for (; n != 0; n--) {
		m = rte_pktmbuf_alloc(r->guest);
		assert_non_null(m);
		/* As the port does it: room for the virtio-net header alone. */
		m->data_off = 12;
		assert_int_equal(rte_ring_sp_enqueue(r->lender->bufs, m), 0);
	}
}

struct rte_mbuf *
make_chain(struct rig *r, uint64_t off, uint32_t len, uint32_t part)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(r->pool), *m = first;
	uint32_t left = len;

	assert_non_null(m);
	for (;;) {
		const uint32_t room = RTE_MIN(part, (uint32_t)rte_pktmbuf_tailroom(m));
		const uint32_t take = RTE_MIN(left, room);
		uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
		uint32_t i;

		for (i = 0; i < take; i++)
			p[i] = pattern(off + i);
		m->data_len = (uint16_t)take;
		off += take;
		left -= take;
		if (left == 0)
			break;
		m->next = rte_pktmbuf_alloc(r->pool);
		m = m->next;
		assert_non_null(m);
		first->nb_segs++;
	}
	first->pkt_len = len;
	return first;
}

struct rte_mbuf *
make_payload(struct rig *r, uint64_t off, uint32_t len)
{
	return make_chain(r, off, len, UINT32_MAX);
}

static void
never_freed(void *addr, void *opaque)
{
}

struct rte_mbuf *
make_lost(struct rte_mempool *pool, void **room)
{
	static struct rte_mbuf_ext_shared_info shinfo = { .free_cb = never_freed };
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	*room = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(*room, MAP_FAILED);
	rte_mbuf_ext_refcnt_set(&shinfo, 1);
	rte_pktmbuf_attach_extbuf(m, *room, RTE_BAD_IOVA, 4096, &shinfo);
	return m;
}

void
check_payload(const struct rte_mbuf *m, uint64_t off)
{
	const struct rte_mbuf *head = m;
	uint32_t total = 0, segs = 0, i;

	for (; m != NULL; m = m->next, segs++) {
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

		for (i = 0; i < m->data_len; i++, off++)
			if (p[i] != pattern(off))
				fail_msg("byte at offset %llu differs", (unsigned long long)off);
		total += m->data_len;
	}
	assert_int_equal(total, head->pkt_len);
	assert_int_equal(segs, head->nb_segs);
}

struct flowtab_addr
loopback_addr(int family)
{
	struct flowtab_addr a;

	if (family == AF_INET)
		return flowtab_addr_v4(htonl(INADDR_LOOPBACK));
	flowtab_addr_parse(&a, "::1");
	return a;
}

int
host_listen(int family, int type, rte_be16_t *port)
{
	const struct flowtab_addr a = loopback_addr(family);
	const int fd = socket(family, type | SOCK_NONBLOCK, 0);
	struct sockaddr_storage ss;
	socklen_t len = sock_addr_set(&ss, &a, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	*port = family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port
				  : ((struct sockaddr_in6 *)&ss)->sin6_port;
	return fd;
}

int
host_connect(int family, int type, rte_be16_t port)
{
	const struct flowtab_addr a = loopback_addr(family);
	const int fd = socket(family, type, 0);
	struct sockaddr_storage ss;
	const socklen_t len = sock_addr_set(&ss, &a, port);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

int
host_accept(int listener)
{
	struct pollfd pfd = { .fd = listener, .events = POLLIN };
	int fd;

	assert_int_equal(poll(&pfd, 1, WAIT_US / 1000), 1);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

void
host_close(const int *fd, unsigned int n)
{
	while (n != 0)
		close(fd[--n]);
}

size_t
host_write(int fd, uint64_t off, size_t len)
{
	uint8_t buf[16384];
	size_t sent = 0, i;

	while (sent < len) {
		const size_t n = RTE_MIN(sizeof(buf), len - sent);
		ssize_t ret;

		for (i = 0; i < n; i++)
			buf[i] = pattern(off + sent + i);
		ret = send(fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (ret <= 0)
			break;
		sent += (size_t)ret;
		if ((size_t)ret < n)
			break;
	}
	return sent;
}

ssize_t
host_read(int fd, uint64_t off, size_t max)
{
	uint8_t buf[65536];
	ssize_t n, i;

	n = recv(fd, buf, RTE_MIN(sizeof(buf), max), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno - 1;
	for (i = 0; i < n; i++)
		assert_int_equal(buf[i], pattern(off + (uint64_t)i));
	return n == 0 ? -1 : n;
}

void
host_wait(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, WAIT_US / 1000), 1);
}

/** The port of one end of an IPv4 socket, by getsockname() or getpeername(); 0: it is none. */
static rte_be16_t
end_port(int fd, int (*end)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in in = { .sin_family = AF_UNSPEC };
	socklen_t len = sizeof(in);

	if (end(fd, (struct sockaddr *)&in, &len) != 0 || in.sin_family != AF_INET)
		return 0;
	return in.sin_port;
}

int
host_other_end(int fd)
{
	const rte_be16_t self = end_port(fd, getsockname), peer = end_port(fd, getpeername);
	int other;

	assert_true(self != 0 && peer != 0);
	for (other = 3; other < 1024; other++)
		if (end_port(other, getsockname) == peer && end_port(other, getpeername) == self)
			return other;
	fail_msg("no socket at the other end");
	return -1;
}

void
host_expect(int fd, uint64_t off, size_t len)
{
	const uint64_t end = off + len;

	while (off < end) {
		ssize_t n;

		host_wait(fd);
		n = host_read(fd, off, end - off);
		assert_true(n > 0);
		off += (uint64_t)n;
	}
}

void
host_expect_end(int fd, ssize_t how)
{
	host_wait(fd);
	assert_int_equal(host_read(fd, 0, 1), how);
}

ssize_t
host_datagram(int fd, uint64_t off)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint8_t buf[65536];
	ssize_t n, i;

	if (poll(&pfd, 1, 1000) != 1)
		return -1;
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	for (i = 0; i < n; i++)
		assert_int_equal(buf[i], pattern(off + (uint64_t)i));
	return n;
}

void
host_send(int fd, uint64_t off, size_t len, uint16_t seg)
{
	uint8_t buf[65536];
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = pattern(off + i);
	if (seg != 0)
		assert_int_equal(sock_set(fd, IPPROTO_UDP, UDP_SEGMENT, seg), 0);
	assert_int_equal(send(fd, buf, len, 0), len);
	if (seg != 0)
		assert_int_equal(sock_set(fd, IPPROTO_UDP, UDP_SEGMENT, 0), 0);
}

void
op_open(struct rig *r, uint64_t flow, uint8_t proto, int family, rte_be16_t port)
{
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = flow };

	op.open.peer = loopback_addr(family);
	op.open.peer_port = port;
	op.open.pif = PIF;
	op.open.proto = proto;
	op.open.head_len = HEAD_LEN;
	op.open.mss = 1460;
	rig_op(r, &op);
}

void
op_send(struct rig *r, uint64_t flow, uint64_t off, uint32_t len)
{
	struct l4x_op op = { .type = L4X_OP_SEND, .flow = flow, .len = len };

	op.send.m = make_payload(r, off, len);
	op.send.off = off;
	rig_op(r, &op);
}

void
op_ack(struct rig *r, uint64_t flow, uint64_t acked, uint64_t limit, uint32_t frame_max)
{
	struct l4x_op op = { .type = L4X_OP_ACK, .flow = flow };

	op.ack.acked = acked;
	op.ack.limit = limit;
	op.ack.frame_max = frame_max;
	rig_op(r, &op);
}

void
op_rewind(struct rig *r, uint64_t flow, uint64_t off)
{
	struct l4x_op op = { .type = L4X_OP_REWIND, .flow = flow };

	op.ack.acked = off;
	rig_op(r, &op);
}

void
op_shut(struct rig *r, uint64_t flow, uint64_t off)
{
	struct l4x_op op = { .type = L4X_OP_SHUT, .flow = flow };

	op.send.off = off;
	rig_op(r, &op);
}

void
op_close(struct rig *r, uint64_t flow, bool reset)
{
	struct l4x_op op = { .type = L4X_OP_CLOSE, .flow = flow };

	op.close.reset = reset;
	rig_op(r, &op);
}

void
op_query(struct rig *r, uint64_t flow)
{
	const struct l4x_op op = { .type = L4X_OP_QUERY, .flow = flow };

	rig_op(r, &op);
}

void
op_dgram(struct rig *r, uint64_t flow, uint32_t len, uint16_t seg)
{
	struct l4x_op op = { .type = L4X_OP_DGRAM, .flow = flow, .len = len };

	op.dgram.m = make_payload(r, 0, len);
	op.dgram.seg = seg;
	rig_op(r, &op);
}

void
op_send_own(struct rig *r, unsigned int i, uint64_t off, uint32_t len)
{
	struct l4x_op op = { .type = L4X_OP_SEND, .flow = FLOW(i), .len = len };

	op.send.m = make_payload(r, STREAM(i) + off, len);
	op.send.off = off;
	rig_op(r, &op);
}

int
connect_flow(struct rig *r, uint64_t flow)
{
	rte_be16_t port;
	const int listener = host_listen(AF_INET, SOCK_STREAM, &port);
	int fd;

	op_open(r, flow, IPPROTO_TCP, AF_INET, port);
	rig_wait(r, L4X_EV_CONNECTED, flow);
	fd = host_accept(listener);
	close(listener);
	return fd;
}

void
connect_flows(struct rig *r, int *fd, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		fd[i] = connect_flow(r, FLOW(i));
}

int
dgram_flow(struct rig *r, uint64_t flow, int family)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	uint8_t buf[64];
	rte_be16_t port;
	const int fd = host_listen(family, SOCK_DGRAM, &port);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	op_open(r, flow, IPPROTO_UDP, family, port);
	op_dgram(r, flow, 5, 5);
	rig_poll(r);
	assert_int_equal(poll(&pfd, 1, 1000), 1);
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&ss, &len), 5);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

static void
add_address(int fd, const char *name, uint32_t addr)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(addr);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &ifr), 0);
}

int
net_enter(int mtu)
{
	const int before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd;

	if (unshare(CLONE_NEWNET) != 0) {
		print_message("no network of its own: not root\n");
		close(before);
		return -1;
	}
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ifr.ifr_mtu = mtu;
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &ifr), 0);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	add_address(fd, "lo:1", 0x0a090901);
	add_address(fd, "lo:2", 0x0a090902);
	close(fd);
	return before;
}

void
net_leave(int before)
{
	assert_int_equal(setns(before, CLONE_NEWNET), 0);
	close(before);
}
