/* SPDX-License-Identifier: BSD-3-Clause */
#include "smoke2.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define RUN_MS 15000

static char conf_path[96];

/* ---- a file that is read again ---- */

const char *
smoke_conf_path(void)
{
	return conf_path;
}

void
smoke_conf(const char *format)
{
	char text[4096] = "";
	const char *at;

	while ((at = strstr(format, "%d")) != NULL) {
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s%s",
			(int)(at - format), format, smoke.d->dir);
		format = at + 2;
	}
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", format);
	smoke_file_write(conf_path, text);
}

void
smoke_reload(const char *format, const char *expected)
{
	const size_t before = strlen(proc_log(smoke.d));
	const uint64_t deadline = vhu_now_ms() + SOON;

	smoke_conf(format);
	kill(smoke.d->pid, SIGHUP);
	while (strlen(proc_log(smoke.d)) <= before ||
		strstr(smoke.d->log + before, "reload: ") == NULL) {
		assert_true(vhu_now_ms() < deadline);
		assert_true(proc_alive(smoke.d));
		vhu_sleep_ms(2);
	}
	if (strstr(smoke.d->log + before, expected) == NULL)
		fail_msg("\"%s\" expected, got: %s", expected, smoke.d->log + before);
}

/* The file holds the name of the directory that is made for the daemon: a shell writes it there. */
int
smoke_up_conf(const char *first)
{
	char *bin = strdup(getenv("WEIR_BIN"));
	const char *const args[] = { "-c",
		"printf %s \"$1\" >$0/weir.conf; exec \"$2\" -c $0/weir.conf", "%d", first, bin,
		NULL };

	smoke.net = netns_private();
	setenv("WEIR_BIN", "/bin/sh", 1);
	smoke.d = proc_spawn_plain(args);
	setenv("WEIR_BIN", bin, 1);
	free(bin);
	if (smoke.d == NULL || !proc_wait_ready(smoke.d, 4 * SOON))
		return -1;
	snprintf(conf_path, sizeof(conf_path), "%s", proc_path(smoke.d, "weir.conf"));
	smoke.g = smoke_guest("a.sock", NULL);
	return smoke.g != NULL ? 0 : -1;
}

/* ---- runs ---- */

void
smoke_run(struct smoke_run *r, const char *const *args)
{
	r->begun = time(NULL);
	r->d = proc_spawn_plain(args);
	assert_non_null(r->d);
	r->pid = r->d->pid;
	r->status = -1;
	if (!proc_wait_end(r->d, RUN_MS))
		print_error("weir has not ended by itself\n");
	else if (WIFEXITED(r->d->status))
		r->status = WEXITSTATUS(r->d->status);
	r->said = proc_log(r->d);
}

void
smoke_run_free(struct smoke_run *r)
{
	proc_free(r->d);
	r->d = NULL;
	r->said = NULL;
}

unsigned int
smoke_lines(const char *text)
{
	unsigned int n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

/* Files of a run that nobody has asked for; DPDK's run-time directory among them. */
static unsigned int
left_behind(const struct smoke_run *r)
{
	const char *const known[] = { ".", "..", "stderr" };
	char path[128];
	unsigned int n = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir = opendir(r->d->dir);

	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		bool ours = false;

		for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			ours |= strcmp(e->d_name, known[i]) == 0;
		if (!ours) {
			print_error("left behind: %s\n", e->d_name);
			n++;
		}
	}
	closedir(dir);
	snprintf(path, sizeof(path), "/var/run/dpdk/weir-%d", (int)r->pid);
	/* A process of that number may have been killed there long ago. */
	if (stat(path, &st) == 0 && st.st_mtime >= r->begun) {
		print_error("left behind: %s\n", path);
		n++;
	}
	return n;
}

/* Its one error, NULL: there are more or none. Warnings may stand before it. */
static const char *
only_error(const char *said)
{
	static const char head[] = "weir: error: ", warning[] = "weir: warning: ";
	const char *error = NULL;

	for (; *said != '\0'; said = strchr(said, '\n') + 1) {
		if (strchr(said, '\n') == NULL)
			return NULL;
		if (strncmp(said, warning, sizeof(warning) - 1) == 0)
			continue;
		if (error != NULL || strncmp(said, head, sizeof(head) - 1) != 0)
			return NULL;
		error = said;
	}
	return error;
}

void
smoke_refused(int status, const char *text, const char *const *args)
{
	struct smoke_run r;
	const char *error;

	smoke_run(&r, args);
	error = only_error(r.said);
	if (r.status != status || error == NULL || strstr(error, text) == NULL)
		fail_msg("expected status %d and one error with \"%s\"; got %d and:\n%s", status,
			text, r.status, r.said);
	assert_int_equal(left_behind(&r), 0);
	smoke_run_free(&r);
}

/* ---- files ---- */

const char *
smoke_file(const char *text)
{
	static char paths[4][32];
	static unsigned int next;
	char *path = paths[next++ % 4];
	int fd;

	strcpy(path, "/tmp/weir-test-conf-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	smoke_file_write(path, text);
	return path;
}

/* In one step: the daemon may be about to read it. */
void
smoke_file_write(const char *path, const char *text)
{
	char temporary[160];
	FILE *f;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	f = fopen(temporary, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(temporary, path), 0);
}

/* ---- what the daemon says ---- */

long long
smoke_count(const char *name)
{
	long long n = smoke_stat(name);

	return n < 0 ? 0 : n;
}

long long
smoke_vm_count(const char *vm, const char *name)
{
	static const char *const args[] = { "stats", NULL };
	json_t *j = proc_ctl(smoke.d, NULL, args), *one;
	long long n = 0;
	size_t i;

	json_array_foreach(json_object_get(j, "vms"), i, one)
	{
		const char *its = json_string_value(json_object_get(one, "name"));

		if (its != NULL && strcmp(its, vm) == 0)
			n = json_integer_value(
				    json_object_get(json_object_get(one, "counters"), name)) +
				json_integer_value(
					json_object_get(json_object_get(one, "drops"), name));
	}
	json_decref(j);
	return n;
}

bool
smoke_vm_counts(const char *vm, const char *name, long long before)
{
	const uint64_t deadline = vhu_now_ms() + SOON;

	while (smoke_vm_count(vm, name) <= before) {
		if (vhu_now_ms() >= deadline)
			return false;
		vhu_sleep_ms(2);
	}
	return true;
}

int
smoke_fds(int wanted)
{
	const uint64_t deadline = vhu_now_ms() + SOON;
	int n;

	while ((n = proc_open_fds(smoke.d)) > wanted && vhu_now_ms() < deadline)
		vhu_sleep_ms(5);
	return n;
}

int
smoke_flows_now(void)
{
	static const char *const args[] = { "flow", "list", NULL };
	json_t *j = proc_ctl(smoke.d, NULL, args), *list;
	int n;

	assert_non_null(j);
	list = json_is_array(j) ? j : json_object_get(j, "flows");
	n = list != NULL ? (int)json_array_size(list) : -1;
	json_decref(j);
	return n;
}

int
smoke_flows(int n)
{
	const uint64_t deadline = vhu_now_ms() + SOON;
	int have;

	while ((have = smoke_flows_now()) != n && vhu_now_ms() < deadline)
		host_idle(smoke.g, 5);
	return have;
}

/* ---- guests at work ---- */

bool
smoke_udp_echo(struct guest *g, bool v6, size_t len)
{
	const struct pkt_addr *gw = v6 ? &g->gw6 : &g->gw;
	uint16_t port = 0, sport = guest_port(g), from_port;
	uint8_t out[2048], in[2048];
	struct pkt_addr from;
	struct guest_frame *f;
	bool same = false;
	int fd;

	assert_true(len <= sizeof(out));
	fd = host_udp(v6 ? LO6 : LO, &port);
	assert_true(fd >= 0);
	host_fill(3, sport, out, len);
	assert_int_equal(guest_udp_send(g, sport, gw, port, out, len), 0);
	if (host_recv_from(g, fd, in, sizeof(in), &from, &from_port, SOON) == (ssize_t)len &&
		memcmp(in, out, len) == 0) {
		host_send_to(fd, v6 ? LO6 : LO, from_port, in, len);
		f = guest_udp_recv(g, sport, SOON);
		same = f != NULL && f->view.data_len == len && f->view.sport == port &&
			memcmp(f->view.data, out, len) == 0 && pkt_addr_eq(&f->view.src, gw);
		free(f);
	}
	close(fd);
	return same;
}

void
smoke_bulk(struct guest *g, bool v6, size_t up, size_t down)
{
	struct smoke_conn k = smoke_out(g, v6);
	const uint64_t tso =
		VHU_F_CSUM | VHU_F(v6 ? VIRTIO_NET_F_HOST_TSO6 : VIRTIO_NET_F_HOST_TSO4);

	k.c->tso = (g->v->features & tso) == tso;
	assert_ok(host_transfer(k.c, k.fd, up, down, 10 * SOON));
	smoke_drop(&k);
}

void
smoke_take_back(struct guest *g)
{
	for (unsigned int pair = 0; pair < g->v->conf.pairs; pair++) {
		struct vhu_ring *r = &g->v->rings[VHU_RX(pair)];

		while (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) != r->last_used)
			assert_int_equal(guest_pump(g, 0), 1);
	}
	assert_ok(guest_error(g));
}

void
smoke_all(struct guest *g, size_t bytes)
{
	static const size_t sizes[] = { 0, 1, 511, 512, 513, 1400, 1452 };
	struct guest_frame *f;
	struct dhcp_reply ack;

	assert_int_equal(guest_resolve(g), 0);
	assert_int_equal(guest_dhcp(g, &ack, &f), 0);
	free(f);
	for (int v6 = 0; v6 < 2; v6++) {
		assert_int_equal(guest_ping(g, v6 ? &g->gw6 : &g->gw, 3, 4, "payload", 7, SOON), 0);
		for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			if (!smoke_udp_echo(g, v6, sizes[i]))
				fail_msg("UDP of IPv%d with %zu bytes: %s", v6 ? 6 : 4, sizes[i],
					guest_error(g) != NULL ? guest_error(g) : "not echoed");
		smoke_bulk(g, v6, bytes, bytes);
	}
	assert_ok(guest_error(g));
}

/* ---- the control socket ---- */

int
smoke_ctl_open(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", proc_path(smoke.d, "control.sock"));
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

json_t *
smoke_ctl_reply(int fd, int timeout_ms)
{
	const uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	size_t len = 0, room = 1 << 20;
	char *text = malloc(room);
	json_t *j = NULL;

	assert_non_null(text);
	while (len < room && (len == 0 || text[len - 1] != '\n')) {
		struct pollfd p = { fd, POLLIN, 0 };
		uint64_t now = vhu_now_ms();

		if (now >= deadline || poll(&p, 1, (int)(deadline - now)) <= 0 ||
			recv(fd, text + len, 1, 0) != 1)
			break;
		len++;
	}
	if (len != 0 && text[len - 1] == '\n')
		j = json_loadb(text, len, 0, NULL);
	free(text);
	return j;
}

json_t *
smoke_ctl_ask(int fd, const char *line)
{
	const size_t len = strlen(line);

	if (send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len)
		return NULL;
	return smoke_ctl_reply(fd, SOON);
}
