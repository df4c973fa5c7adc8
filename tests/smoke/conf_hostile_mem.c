/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory and notification descriptors as a hostile front-end gives them. */
#include "hostile.h"

#include <fcntl.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

/* Connected and negotiated; what follows is the test's. */
static struct vhu *
negotiated(void)
{
	struct vhu *v = hostile_new();

	assert_int_equal(vhu_connect(v), 0);
	assert_int_equal(vhu_negotiate(v), 0);
	return v;
}

static void
arp_once(struct vhu *v)
{
	size_t len;
	uint8_t *p = hostile_frame(v, &len);

	vhu_tx(v, 0, NULL, p + 12, len - 12, NULL);
}

/* ---- memory ---- */

static void
memory_file_cut_short(void **state)
{
	struct vhu *v = hostile_open();

	assert_int_equal(ftruncate(v->mem_fd, 0), 0);
	vhu_ring_kick(&v->rings[VHU_TX(0)]);
	vhu_ring_kick(&v->rings[VHU_RX(0)]);
	host_idle(smoke.g, 50);
	assert_int_equal(guest_arp(smoke.g), 0);
	/* Its rings are gone here as well: nothing of them may be touched. */
	vhu_disconnect(v);
	assert_int_equal(ftruncate(v->mem_fd, (off_t)v->mem_bytes), 0);
	vhu_close(v);
}

static void
memory_file_cut_short_behind_the_rings(void **state)
{
	struct vhu *v = hostile_open();
	uint8_t *far = v->mem + v->mem_bytes - 65536;

	for (uint16_t i = 0; i < 8; i++) {
		hostile_desc(&v->rings[VHU_TX(0)], i, vhu_gpa(v, far), 60000, 0, 0);
		vhu_ring_avail(&v->rings[VHU_TX(0)], i);
	}
	assert_int_equal(ftruncate(v->mem_fd, (off_t)v->mem_bytes / 2), 0);
	vhu_ring_publish(v, &v->rings[VHU_TX(0)]);
	vhu_ring_kick(&v->rings[VHU_TX(0)]);
	host_idle(smoke.g, 50);
	assert_int_equal(guest_arp(smoke.g), 0);
	vhu_close(v);
}

static void
memory_file_smaller_than_its_region(void **state)
{
	struct vhu *v = negotiated();

	assert_int_equal(ftruncate(v->mem_fd, 4096), 0);
	vhu_set_mem(v);
	hostile_wait();
	vhu_disconnect(v);
	assert_int_equal(ftruncate(v->mem_fd, (off_t)v->mem_bytes), 0);
	vhu_close(v);
}

static void
memory_cut_short_while_the_host_sends(void **state)
{
	struct guest *a = smoke_guest("a.sock", NULL);
	static const uint8_t data[65536];
	struct smoke_conn k;

	assert_non_null(a);
	k = smoke_out(a, false);
	assert_true(send(k.fd, data, sizeof(data), MSG_DONTWAIT) > 0);
	/* The rings stay, the buffers go: the socket is read into nothing. */
	assert_int_equal(ftruncate(a->v->mem_fd, 65536), 0);
	send(k.fd, data, sizeof(data), MSG_DONTWAIT);
	host_idle(smoke.g, 100);
	assert_int_equal(guest_arp(smoke.g), 0);
	assert_int_equal(ftruncate(a->v->mem_fd, (off_t)a->v->mem_bytes), 0);
	close(k.fd);
	close(k.listener);
	guest_close(a);
}

/** True once a counter is more than it was. */
static bool
counted(const char *name, long long before)
{
	for (int i = 0; i < SOON / 50; i++) {
		if (smoke_stat(name) > before)
			return true;
		host_idle(smoke.g, 50);
	}
	return false;
}

static void
memory_cut_short_while_the_guest_sends(void **state)
{
	struct guest *a = smoke_guest("a.sock", NULL);
	static uint8_t data[20000], frame[PKT_MAX];
	const long long faults = smoke_stat("bridge-memory-lost");
	const long long stopped = smoke_stat("vport-memory-lost");
	struct virtio_net_hdr hdr;
	struct vhu_ring *r;
	struct smoke_conn k;
	struct pkt_tcp t;
	struct pkt_ip ip;
	size_t len, cut;
	uint16_t head;

	assert_non_null(a);
	k = smoke_out(a, false);
	t = (struct pkt_tcp){ .sport = k.c->lport,
		.dport = k.c->rport,
		.seq = k.c->snd_nxt,
		.ack = k.c->rcv_nxt,
		.flags = PKT_ACK,
		.wscale = -1,
		.win = 8192 };
	ip = guest_ip(a, &k.c->remote);
	len = pkt_build_tcp(frame, &ip, &t, data, sizeof(data));
	pkt_make_tso(frame, len, k.c->snd_mss, &hdr);
	/* Headers below the cut, the rest of the payload above, and nothing else is there. */
	a->v->next_block = a->v->n_blocks / 2;
	assert_int_equal(vhu_tx_queue(a->v, 0, &hdr, frame, len, NULL), 0);
	r = &a->v->rings[VHU_TX(0)];
	head = r->avail->ring[(r->avail_idx - 1u) % r->size];
	cut = ((size_t)(r->chains[head].segs[0].data - a->v->mem) + 8192) & ~(size_t)4095;
	assert_int_equal(ftruncate(a->v->mem_fd, (off_t)cut), 0);
	vhu_tx_flush(a->v, 0);
	assert_true(counted("bridge-memory-lost", faults));
	assert_true(counted("vport-memory-lost", stopped));
	assert_int_equal(guest_arp(smoke.g), 0);
	assert_int_equal(ftruncate(a->v->mem_fd, (off_t)a->v->mem_bytes), 0);
	close(k.fd);
	close(k.listener);
	guest_close(a);
}

static void
memory_table_replaced_by_one_that_cannot_be_mapped(void **state)
{
	struct vhu *v = hostile_open();
	int fds[2] = { open("/dev/null", O_RDWR), open("/dev/null", O_RDWR) };

	arp_once(v);
	vhu_send_ack(v, VHU_SET_MEM_TABLE, &v->table, 8 + 2 * 32, fds, 2);
	vhu_ring_kick(&v->rings[VHU_TX(0)]);
	hostile_wait();
	vhu_close(v);
	close(fds[0]);
	close(fds[1]);
}

static void
memory_table_replaced_while_running(void **state)
{
	struct vhu *v = hostile_open();

	for (int i = 0; i < 20; i++) {
		arp_once(v);
		if (vhu_set_mem(v) < 0)
			break;
	}
	hostile_wait();
	vhu_close(v);
}

static void
table_sent(const struct vhu_mem_table *t, uint32_t size, const int *fds, unsigned int n_fds)
{
	struct vhu *v = negotiated();

	vhu_send_ack(v, VHU_SET_MEM_TABLE, t, size, fds, n_fds);
	hostile_wait();
	vhu_close(v);
}

static void
malformed_memory_tables(void **state)
{
	int fd = memfd_create("m", 0), fds[9];
	struct vhu_mem_table t = { .n = 1,
		.regions = { { 0x1000, 0x10000, 0x7f0000000000, 0 },
			{ 0x2000, 0x10000, 0x7f0000001000, 0 } } };
	struct vhu_mem_table bad;

	for (int i = 0; i < 9; i++)
		fds[i] = fd;
	assert_int_equal(ftruncate(fd, 0x10000), 0);
	table_sent(&t, 40, fds, 0);
	table_sent(&t, 40, fds, 2);
	table_sent(&t, 39, fds, 1);
	table_sent(&t, 4, fds, 1);
	bad = t;
	bad.n = 0;
	table_sent(&bad, 40, NULL, 0);
	bad.n = 9;
	table_sent(&bad, sizeof(bad), fds, 9);
	bad.n = UINT32_MAX;
	table_sent(&bad, sizeof(bad), fds, 8);
	bad.n = 2;
	table_sent(&bad, 8 + 64, fds, 2); /* overlapping */
	bad = t;
	bad.regions[0].bytes = 0;
	table_sent(&bad, 40, fds, 1);
	bad.regions[0].bytes = UINT64_MAX;
	table_sent(&bad, 40, fds, 1);
	bad.regions[0] = (struct vhu_mem_region){ UINT64_MAX - 100, 0x10000, 0x1000, 0 };
	table_sent(&bad, 40, fds, 1);
	bad.regions[0] = (struct vhu_mem_region){ 0x1000, 0x10000, 0x1000, UINT64_MAX - 100 };
	table_sent(&bad, 40, fds, 1);
	bad.regions[0] = (struct vhu_mem_region){ 0x1000, 0x10000, 0x1000, 0x8001 };
	table_sent(&bad, 40, fds, 1);
	close(fd);
}

static void
memory_that_is_no_file(void **state)
{
	int fds[4], pipes[2];
	struct vhu_mem_table t = { .n = 1, .regions = { { 0x1000, 0x10000, 0x7f0000000000, 0 } } };

	assert_int_equal(pipe(pipes), 0);
	fds[0] = open("/tmp", O_RDONLY | O_DIRECTORY);
	fds[1] = pipes[0];
	fds[2] = eventfd(0, 0);
	fds[3] = socket(AF_UNIX, SOCK_STREAM, 0);
	for (int i = 0; i < 4; i++)
		table_sent(&t, 40, &fds[i], 1);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	close(pipes[1]);
}

/* ---- notification descriptors ---- */

static void
with_call_fd(int fd)
{
	struct vhu *v = hostile_open();
	uint64_t index = VHU_RX(0);

	vhu_send_ack(v, VHU_SET_VRING_CALL, &index, sizeof(index), &fd, 1);
	for (int i = 0; i < 10; i++)
		arp_once(v);
	hostile_wait();
	assert_int_equal(guest_arp(smoke.g), 0);
	vhu_close(v);
}

static void
call_descriptor_at_its_maximum(void **state)
{
	int fd = eventfd(0, 0); /* blocking */
	uint64_t max = UINT64_MAX - 1;

	assert_int_equal(write(fd, &max, sizeof(max)), sizeof(max));
	with_call_fd(fd);
	close(fd);
}

static void
call_descriptor_that_is_a_full_pipe(void **state)
{
	int pipes[2];
	char page[4096] = { 0 };

	assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
	while (write(pipes[1], page, sizeof(page)) > 0)
		;
	fcntl(pipes[1], F_SETFL, 0);
	with_call_fd(pipes[1]);
	close(pipes[0]);
	close(pipes[1]);
}

static void
call_descriptor_that_is_a_broken_pipe_or_socket(void **state)
{
	int pipes[2], pair[2];

	assert_int_equal(pipe(pipes), 0);
	close(pipes[0]);
	with_call_fd(pipes[1]);
	close(pipes[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[0]);
	with_call_fd(pair[1]);
	close(pair[1]);
}

static void
kick_descriptor_that_is_no_eventfd(void **state)
{
	int pipes[2], fds[3];

	assert_int_equal(pipe(pipes), 0);
	fds[0] = open("/dev/zero", O_RDWR); /* readable for ever */
	fds[1] = pipes[0];                  /* end of file for ever */
	fds[2] = open("/tmp", O_RDONLY | O_DIRECTORY);
	close(pipes[1]);
	for (int i = 0; i < 3; i++) {
		struct vhu *v = hostile_open();
		uint64_t index = VHU_TX(0);
		unsigned long cpu;

		vhu_send_ack(v, VHU_SET_VRING_KICK, &index, sizeof(index), &fds[i], 1);
		hostile_wait();
		cpu = proc_cpu_ms(smoke.d);
		host_idle(smoke.g, 200);
		assert_int_equal(guest_arp(smoke.g), 0);
		if (proc_cpu_ms(smoke.d) - cpu > 150)
			print_message("kick descriptor %d keeps the daemon busy\n", i);
		vhu_close(v);
		close(fds[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTILE(memory_file_cut_short),
		HOSTILE(memory_file_cut_short_behind_the_rings),
		HOSTILE(memory_file_smaller_than_its_region),
		HOSTILE(memory_cut_short_while_the_host_sends),
		HOSTILE(memory_cut_short_while_the_guest_sends),
		HOSTILE(memory_table_replaced_by_one_that_cannot_be_mapped),
		HOSTILE(memory_table_replaced_while_running),
		HOSTILE(malformed_memory_tables),
		HOSTILE(memory_that_is_no_file),
		HOSTILE(call_descriptor_at_its_maximum),
		HOSTILE(call_descriptor_that_is_a_full_pipe),
		HOSTILE(call_descriptor_that_is_a_broken_pipe_or_socket),
		HOSTILE(kick_descriptor_that_is_no_eventfd),
	};

	return cmocka_run_group_tests_name("conf_hostile_mem", tests, hostile_up, smoke_down);
}
