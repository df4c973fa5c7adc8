/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <linux/if_tun.h>

#include "vhu.h"

#define FRAME_MAX 2048
/** Frames under way in each direction; what comes beyond is lost, as in any queue. */
#define QUEUE 2048

struct wire_shared {
	_Atomic unsigned int delay_ms;
	_Atomic unsigned int loss_permille;
};

struct under_way {
	uint64_t due_ms;
	size_t len;
	uint8_t bytes[FRAME_MAX];
};

struct direction {
	int from, to;
	uint32_t head, tail;
	struct under_way frames[QUEUE];
};

int
wire_tap(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
take(struct direction *d, const struct wire_shared *s, uint64_t now)
{
	static uint32_t random = 1;

	while (d->head - d->tail < QUEUE) {
		struct under_way *f = &d->frames[d->head % QUEUE];
		ssize_t n = read(d->from, f->bytes, sizeof(f->bytes));

		if (n <= 0)
			return;
		random = random * 1664525u + 1013904223u;
		if ((random >> 8) % 1000 < atomic_load(&s->loss_permille))
			continue;
		f->len = (size_t)n;
		f->due_ms = now + atomic_load(&s->delay_ms);
		d->head++;
	}
}

/* What is due leaves. Returns ms until the next one is, -1: none. */
static int
deliver(struct direction *d, uint64_t now)
{
	while (d->tail != d->head) {
		struct under_way *f = &d->frames[d->tail % QUEUE];

		if (f->due_ms > now)
			return (int)(f->due_ms - now);
		if (write(d->to, f->bytes, f->len) < 0 && errno == EAGAIN)
			return 1;
		d->tail++;
	}
	return -1;
}

static void
carry(const struct wire_shared *s, int a, int b)
{
	struct direction *d = calloc(2, sizeof(*d));
	struct pollfd p[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };

	if (d == NULL)
		_exit(1);
	d[0].from = d[1].to = a;
	d[0].to = d[1].from = b;
	for (;;) {
		uint64_t now = vhu_now_ms();
		int wait = -1;

		for (int i = 0; i < 2; i++) {
			int next;

			take(&d[i], s, now);
			next = deliver(&d[i], now);
			if (next >= 0 && (wait < 0 || next < wait))
				wait = next;
		}
		poll(p, 2, wait);
	}
}

int
wire_start(struct wire *w, int tap_a, int tap_b)
{
	w->shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->shared == MAP_FAILED) {
		w->shared = NULL;
		return -errno;
	}
	w->pid = fork();
	if (w->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		carry(w->shared, tap_a, tap_b);
	}
	close(tap_a);
	close(tap_b);
	return w->pid < 0 ? -errno : 0;
}

void
wire_set(struct wire *w, unsigned int delay_ms, unsigned int loss_permille)
{
	atomic_store(&w->shared->delay_ms, delay_ms);
	atomic_store(&w->shared->loss_permille, loss_permille);
}

void
wire_stop(struct wire *w)
{
	if (w->pid > 0) {
		kill(w->pid, SIGKILL);
		waitpid(w->pid, NULL, 0);
	}
	if (w->shared != NULL)
		munmap(w->shared, sizeof(*w->shared));
	w->pid = 0;
	w->shared = NULL;
}
