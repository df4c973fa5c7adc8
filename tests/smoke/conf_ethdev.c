/* SPDX-License-Identifier: BSD-3-Clause */
/* VMs behind DPDK devices: a kernel in another network, another weir, a file of frames. */
#include "smoke2.h"

#include <arpa/inet.h>
#include <glob.h>
#include <net/if.h>
#include <netinet/in.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#define BYTES 300000u
#define GUEST "10.0.2.15"

static struct netns guest;
static char dir[64];

/** Skip the test if DPDK came without this driver. */
static void
need_driver(const char *name)
{
	static const char *const places[] = { "/usr/lib/*/dpdk/pmds-*/librte_%s.so*",
		"/usr/lib*/dpdk/pmds-*/librte_%s.so*", "/usr/local/lib*/dpdk/pmds-*/librte_%s.so*",
		"/usr/local/lib/*/dpdk/pmds-*/librte_%s.so*" };
	bool found = false;

	smoke_need_net();
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char pattern[128];
		glob_t g;

		snprintf(pattern, sizeof(pattern), places[i], name);
		found |= glob(pattern, 0, NULL, &g) == 0;
		globfree(&g);
	}
	if (found)
		return;
	print_message("skipped: DPDK has no %s here\n", name);
	skip();
}

/** Start the daemon with this file; %d is the test's directory. */
static void
start(const char *format)
{
	const char *args[] = { "-c", NULL, NULL };
	char text[2048] = "";
	const char *at;

	while ((at = strstr(format, "%d")) != NULL) {
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s%s",
			(int)(at - format), format, dir);
		format = at + 2;
	}
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", format);
	args[1] = smoke_file(text);
	smoke.d = proc_start(args);
	unlink(args[1]);
	if (smoke.d == NULL)
		fail_msg("the daemon does not start");
}

static void
in_guest(const char *command)
{
	if (netns_run(&guest, command) != 0)
		fail_msg("in the guest's network: %s", command);
}

/** The device is the guest's card; the rest is a kernel like any other. */
static void
guest_up(const char *dev)
{
	char command[512];

	snprintf(command, sizeof(command), "ip link set %s netns %d", dev, (int)guest.pid);
	assert_int_equal(netns_run(NULL, command), 0);
	snprintf(command, sizeof(command),
		"ip addr add " GUEST "/24 dev %s && ip -6 addr add fd00:2::15/64 dev %s nodad && "
		"ip link set %s up && ip route add default via " GW,
		dev, dev, dev);
	in_guest(command);
}

/** Packet sockets do not say which checksums are left to a device: the card is to leave none. */
static void
without_offloads(const char *dev)
{
	static const uint32_t off[] = { ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO };
	const int fd = netns_socket(&guest, AF_INET, SOCK_DGRAM, 0);

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		struct ethtool_value v = { .cmd = off[i] };
		struct ifreq r = { .ifr_data = (void *)&v };

		snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", dev);
		ioctl(fd, SIOCETHTOOL, &r);
	}
	close(fd);
}

static struct sockaddr_in
address(const char *text, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, text, &sin.sin_addr), 1);
	return sin;
}

/** One step of a stream: as much as goes. */
static void
pump(int from, int to, unsigned int which, uint32_t *sent, uint32_t *got)
{
	uint8_t out[8192], in[8192], want[8192];
	const uint32_t left = BYTES - *sent;
	const uint32_t len = left < sizeof(out) ? left : (uint32_t)sizeof(out);
	ssize_t n;

	host_fill(which, *sent, out, len);
	n = len > 0 ? send(from, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	*sent += n > 0 ? (uint32_t)n : 0;
	n = recv(to, in, sizeof(in), MSG_DONTWAIT);
	if (n <= 0)
		return;
	host_fill(which, *got, want, (size_t)n);
	assert_memory_equal(in, want, (size_t)n);
	*got += (uint32_t)n;
}

/** Bytes both ways at once, compared. Both sockets are closed. */
static void
exchange(int a, int b)
{
	const uint64_t deadline = vhu_now_ms() + 10 * SOON;
	uint32_t sent[2] = { 0 }, got[2] = { 0 };

	while (got[0] < BYTES || got[1] < BYTES) {
		struct pollfd p[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };

		if (vhu_now_ms() > deadline)
			fail_msg("stalled: %u and %u of %u", got[0], got[1], BYTES);
		pump(a, b, 1, &sent[0], &got[0]);
		pump(b, a, 2, &sent[1], &got[1]);
		poll(p, 2, 1);
	}
	close(a);
	close(b);
}

/** TCP both ways and from either side, UDP, out of the guest's network and into it. */
static void
passes_traffic(void)
{
	uint16_t port = 0, udp = 0;
	struct sockaddr_in to;
	struct pkt_addr from;
	uint8_t buf[2000];
	int listener, a, b;

	/* Out. */
	listener = host_tcp_listen(LO, &port);
	a = netns_socket(&guest, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	to = address(GW, port);
	connect(a, (struct sockaddr *)&to, sizeof(to));
	assert_int_equal(host_connected(NULL, a, 4 * SOON), 0);
	b = host_accept(NULL, listener, SOON);
	assert_true(b >= 0);
	exchange(a, b);
	close(listener);
	/* In. */
	listener = netns_socket(&guest, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	to = address("0.0.0.0", 80);
	assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(listener, 1), 0);
	b = host_tcp_connect(LO, 8080);
	a = host_accept(NULL, listener, 4 * SOON);
	assert_true(a >= 0);
	exchange(a, b);
	close(listener);
	/* Datagrams. */
	b = host_udp(LO, &udp);
	a = netns_socket(&guest, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	to = address(GW, udp);
	memset(buf, 7, sizeof(buf));
	assert_int_equal(sendto(a, buf, 1400, 0, (struct sockaddr *)&to, sizeof(to)), 1400);
	assert_int_equal(host_recv_from(NULL, b, buf, sizeof(buf), &from, &port, SOON), 1400);
	assert_int_equal(host_send_to(b, LO, port, buf, 1000), 0);
	assert_true(host_wait(NULL, a, POLLIN, SOON));
	assert_int_equal(recv(a, buf, sizeof(buf), 0), 1000);
	close(a);
	close(b);
}

static void
kernel_behind_a_tap(void **state)
{
	need_driver("net_tap");
	start("[vm.a]\nport = net_tap0,iface=weirtap\nloopback = gateway\n"
	      "tcp = 127.0.0.1:8080:80\n");
	guest_up("weirtap");
	passes_traffic();
}

static void
kernel_behind_a_packet_socket(void **state)
{
	need_driver("net_af_packet");
	if (netns_run(NULL,
		    "ip link add weirv type veth peer name guestv && "
		    "ip link set weirv up") != 0) {
		print_message("skipped: no veth here\n");
		skip();
	}
	start("[vm.a]\nport = net_af_packet0,iface=weirv\nloopback = gateway\n"
	      "tcp = 127.0.0.1:8080:80\n");
	guest_up("guestv");
	without_offloads("guestv");
	passes_traffic();
}

static void
another_port_over_shared_memory(void **state)
{
	need_driver("net_memif");
	/* Each sees the other's gateway as its guest: router advertisements go both ways. */
	start("[weir]\neal = --vdev=net_memif0,role=server,socket=%d/m.sock,socket-abstract=no "
	      "--vdev=net_memif1,role=client,socket=%d/m.sock,socket-abstract=no\n"
	      "[vm.a]\nport = net_memif0\n"
	      "[vm.b]\nport = net_memif1\naddress = 10.0.2.20\naddress6 = fd00:2::20\n");
	assert_true(smoke_vm_counts("a", "vport-rx-pkts", 0));
	assert_true(smoke_vm_counts("b", "vport-rx-pkts", 0));
	assert_true(smoke_vm_counts("a", "vport-tx-pkts", 0));
}

/* ---- files ---- */

struct pcap_file {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snap, link;
};

struct pcap_frame {
	uint32_t s, us, len, wire_len;
};

/** One frame into a file. */
static void
write_pcap(const char *path, const uint8_t *frame, uint32_t len)
{
	const struct pcap_file head = { 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1 };
	const struct pcap_frame f = { 1, 0, len, len };
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fwrite(&head, sizeof(head), 1, file);
	fwrite(&f, sizeof(f), 1, file);
	fwrite(frame, len, 1, file);
	assert_int_equal(fclose(file), 0);
}

/** Is there an answer of the gateway's to an ARP request in a file? */
static bool
has_arp_reply(const char *path)
{
	struct pcap_file head;
	struct pcap_frame f;
	uint8_t frame[65536];
	FILE *file = fopen(path, "r");
	bool found = false;

	assert_non_null(file);
	assert_int_equal(fread(&head, sizeof(head), 1, file), 1);
	while (fread(&f, sizeof(f), 1, file) == 1 && f.len <= sizeof(frame) &&
		fread(frame, f.len, 1, file) == 1)
		found |= f.len >= 42 && pkt_get16(frame + 12) == PKT_ETH_ARP &&
			pkt_get16(frame + 20) == 2 && pkt_get32(frame + 28) == 0x0a000202;
	fclose(file);
	return found;
}

static void
frames_from_a_file_are_answered_into_another(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 }, zero[6];
	const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	const struct pkt_addr own = pkt_addr(GUEST), gw = pkt_addr(GW);
	char in[96], out[96];
	uint8_t frame[64];

	need_driver("net_pcap");
	snprintf(in, sizeof(in), "%s/in.pcap", dir);
	snprintf(out, sizeof(out), "%s/out.pcap", dir);
	write_pcap(in, frame, (uint32_t)pkt_build_arp(frame, all, 1, mac, &own, zero, &gw));
	start("[weir]\neal = --vdev=net_pcap0,rx_pcap=%d/in.pcap,tx_pcap=%d/out.pcap\n"
	      "[vm.a]\nport = net_pcap0\n");
	assert_true(smoke_vm_counts("a", "vport-rx-pkts", 0));
	assert_true(smoke_vm_counts("a", "vport-tx-pkts", 0));
	assert_ok(proc_stop(smoke.d));
	assert_true(has_arp_reply(out));
}

/* ---- set-up ---- */

static int
before(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/ethdev-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	guest.fd = -1;
	return smoke.net ? netns_peer(&guest, 1, NULL, NULL, NULL, NULL) : 0;
}

static int
after(void **state)
{
	const char *bad = smoke.d != NULL && smoke.d->pid != 0 ? proc_stop(smoke.d) : NULL;
	char command[96];

	if (bad != NULL)
		print_error("daemon: %s\n", bad);
	proc_free(smoke.d);
	smoke.d = NULL;
	netns_close(&guest);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return netns_run(NULL, command) != 0 || bad != NULL ? -1 : 0;
}

static int
up(void **state)
{
	smoke.net = netns_private();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kernel_behind_a_tap, before, after),
		cmocka_unit_test_setup_teardown(kernel_behind_a_packet_socket, before, after),
		cmocka_unit_test_setup_teardown(another_port_over_shared_memory, before, after),
		cmocka_unit_test_setup_teardown(
			frames_from_a_file_are_answered_into_another, before, after),
	};

	return cmocka_run_group_tests_name("conf_ethdev", tests, up, NULL);
}
