/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The daemon: makes all objects of a configuration, starts the threads, serves the control socket,
 * and takes everything down again.
 *
 * Theory of operation. daemon_run() goes through a list of steps; the first that fails ends the
 * start, and whatever the steps before have made is taken down in reverse order, so a daemon is
 * there with all of its configuration or not at all. The same takes it down after SIGTERM.
 *
 * Workers run on EAL lcores of their own, bridges inside of workers or on service lcores; the
 * calling thread becomes the control thread, which sleeps in poll(). Changes while threads run are
 * made by them: daemon_on_worker() and daemon_on_bridge() have a function run where it may touch
 * the object. Front-ends' messages go through control as well (vport_run()): what it does at a time
 * is what they wait.
 *
 * Threads: everything here is the control thread's. What a port calls from others (wake, note) goes
 * through a waker and a pipe.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <rte_config.h>

#include "bridge.h"
#include "chan.h"
#include "conf.h"
#include "limit.h"
#include "service.h"
#include "worker.h"

struct control;
struct daemon;

struct daemon_worker {
	struct waker waker;
	bool waker_made;
	struct vport_bell *bell;
	bool running;
	unsigned int lcore;
	int socket_id;
	unsigned int n_queues; /**< queue pairs that it polls */
	struct rte_ring *handover;
	struct rte_ring *log; /**< struct l4x_log */
	struct l4x *l4x;
	struct rules *rules; /**< that it uses */
	struct worker *w;
};

struct daemon_bridge {
	struct waker waker; /**< its own; unused when inline */
	bool waker_made;
	struct waker *sleeper; /**< of the thread that polls it */
	unsigned int lcore;    /**< not inline: its service lcore */
	bool lcore_added;
	int socket_id;
	struct service *service; /**< NULL: inline, or not started */
	struct bridge *b;
};

/** A port of a forward, with its listening sockets. */
struct daemon_listen {
	struct bridge_listen spec;
	const char *key; /**< "tcp" or "udp" */
	int *numbers;    /**< by bridge: bridge_listen(), -1: not open; NULL: open nowhere */
	bool wanted;     /**< by the plan */
	bool added;      /**< by the plan */
};

struct daemon_vm {
	TAILQ_ENTRY(daemon_vm) next;
	struct daemon *d;
	struct conf_vm conf;
	uint16_t pif;
	bool started;
	bool kept; /**< destroyed while somebody referred to it; only by_pif knows it */
	bool node_said;
	struct l4x_port_conf *port; /**< what bridges refer to */
	struct vport *vport;
	uint8_t bridge; /**< that has its UDP listeners; those of TCP, all have */
	/** By queue pair and bridge: [queue * n_bridges + bridge] */
	struct lender **lenders;
	struct daemon_listen *listens;
	uint32_t n_listens;
	const struct conf_vm *plan; /**< what the forwards are being changed to, for messages */
};

struct daemon {
	const struct conf_cli *cli;
	struct conf *conf;
	struct daemon_worker *workers;
	struct daemon_bridge *bridges;
	uint8_t n_workers, n_bridges;
	bool inline_bridges;
	bool eal_up;
	bool failed; /**< it cannot go on: end */
	uint64_t max_files;
	char eal_dir[108]; /**< made for DPDK's run-time files, "" otherwise */
	bool hugepages;
	bool peek_off;
	int uring;        /**< bridge_probe_uring() */
	int ping4, ping6; /**< bridge_probe_ping() */
	uint8_t secret[16];
	struct rte_mempool *frame_pool[RTE_MAX_NUMA_NODES];
	struct rte_mempool *ext_pool[RTE_MAX_NUMA_NODES];
	struct vport_quota quota[RTE_MAX_NUMA_NODES];
	uint32_t n_pairs_planned;    /**< queue pairs that the pools were made for */
	struct flowtab_zones *zones; /**< of the flow tables of all workers */
	struct rules *rules;         /**< of conf */
	unsigned int n_rules_made;   /**< for their names */
	struct chan **chans;         /**< [worker * n_bridges + bridge] */
	TAILQ_HEAD(, daemon_vm) vms;
	struct daemon_vm *by_pif[L4X_MAX_PIFS]; /**< those that are kept as well */
	int note_pipe[2];
	int signal_fd;
	int ports_fd; /**< epoll set: vport_fd() of all VMs, with their vport */
	struct control *control;
	uint64_t started_ms;
	struct limits limits;
	uint64_t look_ms; /**< next look at them */
};

/** Exit status of a daemon that could not start, or not go on. */
#define DAEMON_EXIT_FAILED 1

/**
 * Serve a configuration until SIGTERM or SIGINT.
 * @param conf becomes the daemon's
 * @return exit status: 0 stopped by a signal; DAEMON_EXIT_FAILED could not start, or not go on
 * (said in the log)
 */
int daemon_run(const struct conf_cli *cli, struct conf *conf);

/* daemon_run() in steps, for a program that polls the workers itself, one iteration at a time. */

void daemon_init(struct daemon *d, const struct conf_cli *cli, struct conf *conf);
/** Make all objects; no thread runs, no guest can connect. 0, or -errno, logged: daemon_end() */
int daemon_make(struct daemon *d);
/** Pass on messages of guests' front-ends that are there. Does not block. */
void daemon_ports_run(struct daemon *d);
/** Stop what runs, and take everything down. */
void daemon_end(struct daemon *d);

uint64_t daemon_now_ms(void);

/* ---- daemon_permit.c: what the process may do ---- */

/**
 * May it open the files and set the marks of a configuration? Raises the limit of open files as far
 * as it can be. 0 or -errno, logged.
 */
int daemon_permit_check(struct daemon *d, const struct conf *conf);
/**
 * To be added to the line that says what could not be made: what to do if there is no file
 * descriptor left, else "".
 */
const char *daemon_files_advice(void);
/** What this kernel gives; 0, or -errno if the configuration asks for more (said). */
int daemon_permit_probe(struct daemon *d);
/** Log what will not work as well as it could; once it is sure that weir serves. */
void daemon_permit_say(const struct daemon *d);

/* ---- daemon_eal.c: DPDK ---- */

/** How many workers and bridges, on which CPUs; checks that they can be had. 0 or -errno, logged.
 */
int daemon_plan(struct daemon *d);
/** rte_eal_init() for the plan. 0 or -errno, logged. */
int daemon_eal_start(struct daemon *d);
void daemon_eal_stop(struct daemon *d);
/** An error line that tells that memory ran out for this, and what to do. @return -ENOMEM */
int daemon_no_memory(const struct daemon *d, const char *what);
/** Why something could not be made: rte_errno says. @return -errno */
int daemon_not_made(const struct daemon *d, const char *what);
/**
 * Is there room for what librte_vhost takes when the guests of c connect? It would refuse them
 * without a word. 0 or -ENOMEM, logged.
 */
int daemon_guest_room(const struct daemon *d, const struct conf *c);

/* ---- daemon_pools.c: mbufs ---- */

/** Pools on each node that has a worker. 0 or -errno, logged. */
int daemon_pools_create(struct daemon *d);
/** Queue pairs came or went: share the pools among those that there are. */
void daemon_quota_set(struct daemon *d);

/* ---- daemon_threads.c: workers, bridges ---- */

/** All objects of the data path, none running. 0 or -errno, logged. */
int daemon_threads_create(struct daemon *d);
/** Have workers and bridges run. 0 or -errno, logged. */
int daemon_threads_start(struct daemon *d);
/** Close all flows, bounded; no-op unless the workers run. */
void daemon_flows_close(struct daemon *d);
void daemon_threads_stop(struct daemon *d);
void daemon_threads_destroy(struct daemon *d);

/** Run fn where it may touch the worker. 0, or -errno of worker_call(). */
int daemon_on_worker(struct daemon *d, unsigned int worker, worker_fn fn, void *arg);
typedef void (*daemon_bridge_fn)(struct bridge *b, void *arg);
/** Run fn where it may touch the bridge. 0 or -errno. */
int daemon_on_bridge(struct daemon *d, unsigned int bridge, daemon_bridge_fn fn, void *arg);

/* ---- daemon_vm.c ---- */

/** Make a VM's port, buffers and listeners; guests cannot connect yet. NULL: logged. */
struct daemon_vm *daemon_vm_create(struct daemon *d, const struct conf_vm *conf);
/** Let the guest connect. 0 or -errno, logged. */
int daemon_vm_start(struct daemon_vm *vm);
/** Disconnect the guest, remove its socket. The VM's flows go on until their timeouts. */
void daemon_vm_stop(struct daemon_vm *vm);
/**
 * Take it down, flows and all. With threads running: they are told, and if one holds on to the VM
 * for longer than can be waited, what it refers to is kept; after daemon_threads_destroy(): only
 * memory is freed.
 */
void daemon_vm_destroy(struct daemon_vm *vm);
/**
 * Change a VM that runs.
 * @return 0; -errno logged: everything is as it was
 */
int daemon_vm_change(struct daemon_vm *vm, const struct conf_vm *conf);
struct daemon_vm *daemon_vm_find(const struct daemon *d, const char *name);
/** Say once if the guest's memory lies on another NUMA node than its worker. */
void daemon_vm_check_node(struct daemon_vm *vm);

/* ---- daemon_rules.c: rules, zones, timeouts ---- */

/** Make the rules of a configuration whose VMs are there. NULL: logged. */
struct rules *daemon_rules_make(struct daemon *d, const struct conf *c);
/** Free them, unless a worker could not be told to let go of them. NULL is legal. */
void daemon_rules_free(struct daemon *d, struct rules *r);
/**
 * Have all workers go by rules, and by the timeouts and checks of their configuration.
 * @return 0; -errno logged: some do, some do not
 */
int daemon_rules_set(struct daemon *d, struct rules *r, const struct conf *c);
/** Set the limits of zones to what a configuration says. */
void daemon_zones_set(struct daemon *d, const struct conf *c);
/** Log what workers have noted about flows that rules want logged. */
void daemon_rules_log(struct daemon *d);

/* ---- daemon_listen.c: forwards ---- */

/** Listening sockets that the configuration wants. */
uint32_t daemon_listen_count(const struct daemon *d, const struct conf_vm *conf);
/**
 * Compare what a VM has with what conf wants (NULL: nothing): mark what is not wanted, note what is
 * to be added. Nothing is opened or closed. 0 or -ENOMEM.
 */
int daemon_listen_plan(struct daemon_vm *vm, const struct conf_vm *conf);
/** Close what is not wanted. */
void daemon_listen_shut(struct daemon_vm *vm);
/** Open what is wanted and not open. 0 or -errno, logged. */
int daemon_listen_open(struct daemon_vm *vm);
/** The plan was carried out: forget what was closed. */
void daemon_listen_commit(struct daemon_vm *vm);
/** Take a plan back, of all VMs in two steps: close what was added, open again what was closed. */
void daemon_listen_rollback_shut(struct daemon_vm *vm);
void daemon_listen_rollback_open(struct daemon_vm *vm);
/** Forget all of them, which are closed. */
void daemon_listen_free(struct daemon_vm *vm);

/* ---- daemon_reload.c ---- */

/** SIGHUP: read the configuration again and change to it, or stay as it is. */
void daemon_reload(struct daemon *d);

/* ---- daemon_watch.c ---- */

/** Look at what there is to be told, if it is time. @return ms until the next look */
int daemon_watch(struct daemon *d, uint64_t now_ms);

/* ---- daemon_command.c: what weirctl asks for, see control.h ---- */

struct control_call;
void daemon_command(void *daemon, struct control_call *call);

/* ---- daemon_command_rules.c: what of it is about rules and zones ---- */

void daemon_command_flow_list(struct daemon *d, struct control_call *call);
void daemon_command_flow_flush(struct daemon *d, struct control_call *call);
void daemon_command_flow_original(struct daemon *d, struct control_call *call);
void daemon_command_rule_list(struct daemon *d, struct control_call *call);
void daemon_command_zone_list(struct daemon *d, struct control_call *call);
void daemon_command_zone_limit(struct daemon *d, struct control_call *call);

#endif
