/* SPDX-License-Identifier: BSD-3-Clause */
/* UDP forwards, and datagrams that are not carried. */
#include "smoke.h"

#include <sys/wait.h>

#define PEER "192.0.2.2"

/* A host socket and a port of the guest. */
struct pair {
	int fd;
	uint16_t port, gport;
};

static const struct pkt_addr *
gateway(bool v6)
{
	return v6 ? &smoke.g->gw6 : &smoke.g->gw;
}

static struct pair
open_pair(bool v6)
{
	struct pair p = { .gport = guest_port(smoke.g) };

	p.fd = host_udp(v6 ? LO6 : LO, &p.port);
	assert_true(p.fd >= 0);
	return p;
}

static void
inbound(bool v6, uint16_t port, uint16_t guest_side)
{
	struct guest *g = smoke.g;
	struct guest_frame *f;
	uint16_t own = 0, from_port;
	struct pkt_addr from;
	char buf[16];
	int fd = host_udp(v6 ? LO6 : LO, &own);

	assert_int_equal(host_send_to(fd, v6 ? LO6 : LO, port, "knock", 5), 0);
	f = guest_udp_recv(g, guest_side, SOON);
	assert_non_null(f);
	assert_true(pkt_addr_eq(&f->view.src, gateway(v6)));
	assert_int_equal(f->view.data_len, 5);
	guest_udp_send(g, guest_side, &f->view.src, f->view.sport, "enter", 5);
	assert_int_equal(host_recv_from(g, fd, buf, sizeof(buf), &from, &from_port, SOON), 5);
	assert_int_equal(from_port, port);
	free(f);
	/* And again: it is a flow now. */
	assert_int_equal(host_send_to(fd, v6 ? LO6 : LO, port, "more", 4), 0);
	f = guest_udp_recv(g, guest_side, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.data_len, 4);
	free(f);
	close(fd);
}

static void
forward_reaches_the_guest_and_the_answer_comes_from_it(void **state)
{
	inbound(false, 5000, 50);
}

static void
forward_reaches_the_guest_over_ipv6(void **state)
{
	inbound(true, 5001, 51);
}

static void
forward_tells_peers_apart(void **state)
{
	struct guest *g = smoke.g;
	struct guest_frame *f[4];
	uint16_t own[4] = { 0 }, port;
	struct pkt_addr from;
	int fd[4];
	char buf[8];

	for (int i = 0; i < 4; i++) {
		fd[i] = host_udp(LO, &own[i]);
		assert_int_equal(host_send_to(fd[i], LO, 5000, &i, 1), 0);
		f[i] = guest_udp_recv(g, 50, SOON);
		assert_non_null(f[i]);
	}
	for (int i = 3; i >= 0; i--) {
		guest_udp_send(g, 50, &f[i]->view.src, f[i]->view.sport, f[i]->view.data, 1);
		assert_int_equal(host_recv_from(g, fd[i], buf, 8, &from, &port, SOON), 1);
		assert_int_equal(buf[0], i);
		free(f[i]);
		close(fd[i]);
	}
}

/* The guest speaks first. @return the port of the host that it leaves from */
static uint16_t
outbound(bool v6, uint16_t guest_side)
{
	struct guest *g = smoke.g;
	struct pkt_addr from;
	struct guest_frame *f;
	uint16_t own = 0, port;
	char buf[8];
	int fd = host_udp(v6 ? LO6 : LO, &own);

	guest_udp_send(g, guest_side, gateway(v6), own, "hello", 5);
	assert_int_equal(host_recv_from(g, fd, buf, sizeof(buf), &from, &port, SOON), 5);
	assert_int_equal(host_send_to(fd, v6 ? LO6 : LO, port, "well", 4), 0);
	f = guest_udp_recv(g, guest_side, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.sport, own);
	free(f);
	close(fd);
	return port;
}

static void
guest_speaks_from_the_port_that_a_forward_leads_from(void **state)
{
	assert_int_equal(outbound(false, 50), 5000);
	assert_int_equal(outbound(true, 51), 5001);
	assert_int_not_equal(outbound(false, 52), 5000);
	/* The forward serves others all the same. */
	inbound(false, 5000, 50);
	assert_int_equal(outbound(false, 50), 5000);
}

static void
peers_of_two_loopback_addresses_are_not_mixed_up(void **state)
{
	static const char *const name[] = { "127.0.0.1", "127.0.0.2" };
	struct guest_frame *f[2];
	uint16_t own = 0, port;
	struct pkt_addr from;
	int fd[2];
	char buf[8];

	for (int i = 0; i < 2; i++) {
		fd[i] = host_udp(name[i], &own); /* the same port */
		assert_true(fd[i] >= 0);
		assert_int_equal(host_send_to(fd[i], LO, 5000, name[i], 9), 0);
		f[i] = guest_udp_recv(smoke.g, 50, SOON);
		assert_non_null(f[i]);
		assert_memory_equal(f[i]->view.data, name[i], 9);
	}
	for (int i = 0; i < 2; i++) {
		guest_udp_send(smoke.g, 50, &f[i]->view.src, f[i]->view.sport, &i, 1);
		assert_int_equal(host_recv_from(smoke.g, fd[i], buf, 8, &from, &port, SOON), 1);
		assert_int_equal(buf[0], i);
		assert_int_equal(port, 5000);
		free(f[i]);
		close(fd[i]);
	}
}

/* Whoever sends from many ports, or makes addresses up, takes nothing from the daemon's other VMs.
 */
static void
unanswered_datagrams_take_no_descriptors(void **state)
{
	int before = proc_open_fds(smoke.d);

	for (int i = 0; i < 200; i++) {
		uint16_t own = 0;
		int fd = host_udp(LO, &own);
		struct guest_frame *f;

		assert_int_equal(host_send_to(fd, LO, 5000, "spam", 4), 0);
		f = guest_udp_recv(smoke.g, 50, SOON);
		assert_non_null(f);
		free(f);
		close(fd);
	}
	assert_true(proc_open_fds(smoke.d) <= before + 10);
}

/* @return 0 or errno of bind(), of a process of user nobody */
static int
bind_as_nobody(const char *addr, uint16_t port, int option)
{
	const struct pkt_addr a = pkt_addr(addr);
	struct sockaddr_storage ss;
	const socklen_t len = pkt_sockaddr(&a, port, &ss);
	const pid_t pid = fork();
	int status, on = 1;

	if (pid == 0) {
		int fd;

		if (setuid(65534) < 0)
			_exit(255);
		fd = socket(ss.ss_family, SOCK_DGRAM, 0);
		setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on));
		_exit(bind(fd, (struct sockaddr *)&ss, len) < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void
another_user_cannot_take_a_forward(void **state)
{
	smoke_need_net();
	/* There are flows, too, by now. */
	inbound(false, 5000, 50);
	assert_int_equal(bind_as_nobody(LO, 5000, SO_REUSEADDR), EADDRINUSE);
	assert_int_equal(bind_as_nobody(LO, 5000, SO_REUSEPORT), EADDRINUSE);
	assert_int_equal(bind_as_nobody(LO6, 5001, SO_REUSEADDR), EADDRINUSE);
}

/* ---- what is dropped ---- */

static void
spoiled(size_t at, uint8_t change, bool v6, bool arrives)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, gateway(v6));
	struct pair p = open_pair(v6);
	uint8_t f[256];
	char buf[64];
	size_t len = pkt_build_udp(f, &ip, p.gport, p.port, "payload", 7);

	f[at] ^= change;
	guest_send_raw(g, NULL, f, len);
	assert_int_equal(host_recv(g, p.fd, buf, sizeof(buf), arrives ? SOON : NEVER),
		arrives ? 7 : -ETIMEDOUT);
	close(p.fd);
}

static void
wrong_checksum_is_dropped(void **state)
{
	spoiled(41, 1, false, false);
	spoiled(61, 1, true, false);
}

static void
checksum_0_is_accepted_over_ipv4_only(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct guest *g = smoke.g;
		struct pkt_ip ip = guest_ip(g, gateway(v6));
		struct pair p = open_pair(v6);
		uint8_t f[256];
		char buf[8];
		size_t len = pkt_build_udp(f, &ip, p.gport, p.port, "zero", 4);

		pkt_put16(f + (v6 ? 60 : 40), 0);
		guest_send_raw(g, NULL, f, len);
		assert_int_equal(
			host_recv(g, p.fd, buf, 8, v6 ? NEVER : SOON), v6 ? -ETIMEDOUT : 4);
		close(p.fd);
	}
}

static void
length_beyond_the_packet_is_dropped(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct pair p = open_pair(false);
	static const uint16_t lengths[] = { 0, 7, 20, 0xffff };
	uint8_t f[256];
	char buf[8];

	for (int i = 0; i < 4; i++) {
		size_t len = pkt_build_udp(f, &ip, p.gport, p.port, "len", 3);

		pkt_put16(f + 38, lengths[i]);
		pkt_put16(f + 40, 0);
		guest_send_raw(g, NULL, f, len);
	}
	assert_int_equal(host_recv(g, p.fd, buf, 8, NEVER), -ETIMEDOUT);
	close(p.fd);
}

static void
port_0_is_dropped(void **state)
{
	guest_udp_send(smoke.g, guest_port(smoke.g), &smoke.g->gw, 0, "x", 1);
	guest_udp_send(smoke.g, 0, &smoke.g->gw, 9999, "x", 1);
	smoke_serves(smoke.g);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,udp=127.0.0.1:5000:50/[::1]:5001:51", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(forward_reaches_the_guest_and_the_answer_comes_from_it),
		SMOKE(forward_reaches_the_guest_over_ipv6),
		SMOKE(forward_tells_peers_apart),
		SMOKE(guest_speaks_from_the_port_that_a_forward_leads_from),
		SMOKE(peers_of_two_loopback_addresses_are_not_mixed_up),
		SMOKE(unanswered_datagrams_take_no_descriptors),
		SMOKE(another_user_cannot_take_a_forward),
		SMOKE(wrong_checksum_is_dropped),
		SMOKE(checksum_0_is_accepted_over_ipv4_only),
		SMOKE(length_beyond_the_packet_is_dropped),
		SMOKE(port_0_is_dropped),
	};

	return cmocka_run_group_tests_name("conf_udp_in", tests, up, smoke_down);
}
