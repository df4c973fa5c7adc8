/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-fwd: what comes in at one guest port goes out at the other, unseen: what the guest port
 * costs by itself, to be compared with testpmd's io forwarding, which does the same.
 *
 *   weir-fwd SOCKET SOCKET CPU
 *
 * Ends after SIGTERM, or a minute.
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <vport.h>

#define PORTS 2
#define LIFE_S 60

static _Atomic bool stop;

struct fwd {
	struct vport *port[PORTS];
	struct vport_queue *q[PORTS];
	bool ready[PORTS], leaving[PORTS];
};

static void
on_signal(int number)
{
	stop = true;
}

static void
nothing(void *arg)
{
}

static void
nothing_of_queue(void *arg, uint16_t queue)
{
}

static void
sync_port(struct fwd *f, unsigned int i)
{
	const enum vport_sync news = vport_queue_sync(f->q[i]);

	if (news == VPORT_SYNC_STARTED)
		f->ready[i] = true;
	if (news == VPORT_SYNC_STOP) {
		f->ready[i] = false;
		f->leaving[i] = true;
	}
	if (f->leaving[i] && vport_queue_release(f->q[i]))
		f->leaving[i] = false;
}

static void
forward(struct fwd *f, unsigned int from, unsigned int to)
{
	struct rte_mbuf *frames[VPORT_BURST];
	uint16_t n, sent = 0;

	if (!f->ready[from])
		return;
	n = vport_rx_burst(f->q[from], frames, VPORT_BURST);
	if (n == 0)
		return;
	if (f->ready[to])
		sent = vport_tx_burst(f->q[to], frames, n);
	for (uint16_t i = sent; i < n; i++)
		rte_pktmbuf_free(frames[i]);
}

static int
worker(void *arg)
{
	struct fwd *f = arg;

	/* On, until the ports have let go. */
	while (!stop || f->ready[0] || f->ready[1] || f->leaving[0] || f->leaving[1]) {
		for (unsigned int i = 0; i < PORTS; i++)
			sync_port(f, i);
		forward(f, 0, 1);
		forward(f, 1, 0);
		for (unsigned int i = 0; i < PORTS; i++) {
			if (f->ready[i])
				vport_queue_flush(f->q[i]);
		}
	}
	return 0;
}

static int
start_eal(const char *cpu)
{
	char prefix[32], cores[16];
	char *argv[] = { "weir-fwd", "--no-huge", "-m", "256", "--no-shconf", "--no-telemetry",
		"--no-pci", "--file-prefix", prefix, "--lcores", cores, "--log-level", "*:error",
		NULL };

	snprintf(prefix, sizeof(prefix), "fwd%d", getpid());
	snprintf(cores, sizeof(cores), "0@(0-1),1@%s", cpu);
	return rte_eal_init(13, argv);
}

static int
open_ports(struct fwd *f, char **paths)
{
	struct vport_conf conf = {
		.kind = VPORT_VHOST_SERVER,
		.n_queues = 1,
		.mtu = 1500,
		.socket_id = SOCKET_ID_ANY,
		.gateway_mac = { 2, 0, 0, 0, 0, 1 },
		.wake = nothing_of_queue,
	};
	static const struct vport_owner owner = { .wake = nothing };
	char err[256];

	conf.pool = rte_pktmbuf_pool_create(
		"frames", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	conf.ext_pool = rte_pktmbuf_pool_create("ext", 8191, 256, 0, 0, SOCKET_ID_ANY);
	if (conf.pool == NULL || conf.ext_pool == NULL)
		return -1;
	for (unsigned int i = 0; i < PORTS; i++) {
		conf.name = i == 0 ? "a" : "b";
		conf.path = paths[i];
		f->port[i] = vport_create(&conf, err, sizeof(err));
		if (f->port[i] == NULL) {
			fprintf(stderr, "weir-fwd: %s\n", err);
			return -1;
		}
		f->q[i] = vport_queue(f->port[i], 0);
		vport_queue_own(f->q[i], &owner);
		if (vport_start(f->port[i], err, sizeof(err)) != 0) {
			fprintf(stderr, "weir-fwd: %s\n", err);
			return -1;
		}
	}
	return 0;
}

int
main(int argc, char **argv)
{
	const time_t end = time(NULL) + LIFE_S;
	struct fwd f = { 0 };
	struct pollfd fds[PORTS];

	if (argc != 4) {
		fputs("usage: weir-fwd SOCKET SOCKET CPU\n", stderr);
		return 2;
	}
	signal(SIGTERM, on_signal);
	if (start_eal(argv[3]) < 0 || vport_sigbus_install() != 0 || open_ports(&f, argv + 1) != 0)
		return 1;
	rte_eal_remote_launch(worker, &f, 1);
	puts("ready");
	fflush(stdout);
	while (!stop && time(NULL) < end) {
		for (unsigned int i = 0; i < PORTS; i++)
			fds[i] = (struct pollfd){ .fd = vport_fd(f.port[i]), .events = POLLIN };
		poll(fds, PORTS, 100);
		for (unsigned int i = 0; i < PORTS; i++)
			vport_run(f.port[i]);
	}
	for (unsigned int i = 0; i < PORTS; i++)
		vport_stop(f.port[i]);
	stop = true;
	rte_eal_wait_lcore(1);
	for (unsigned int i = 0; i < PORTS; i++)
		vport_destroy(f.port[i]);
	return rte_eal_cleanup();
}
