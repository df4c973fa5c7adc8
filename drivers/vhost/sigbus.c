/* SPDX-License-Identifier: BSD-3-Clause */
#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <sys/mman.h>

#include "vport.h"

#define CHUNK_RANGES 256

struct sigbus_range {
	_Atomic uintptr_t start; /**< 0: the entry is free; written last, cleared first */
	uintptr_t end;
	size_t page;
	_Atomic bool *lost;
};

struct chunk {
	struct chunk *next;
	struct sigbus_range ranges[CHUNK_RANGES];
};

static _Atomic(struct chunk *) chunks;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static struct sigaction previous;
static int install_result;
static _Thread_local bool guard;

static struct sigbus_range *
free_range(void)
{
	struct chunk *c = atomic_load_explicit(&chunks, memory_order_relaxed);

	for (; c; c = c->next) {
		for (unsigned int i = 0; i < CHUNK_RANGES; i++) {
			if (atomic_load_explicit(&c->ranges[i].start, memory_order_relaxed) == 0)
				return &c->ranges[i];
		}
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->next = atomic_load_explicit(&chunks, memory_order_relaxed);
	/* Pairs with the acquire in find(). */
	atomic_store_explicit(&chunks, c, memory_order_release);
	return &c->ranges[0];
}

struct sigbus_range *
sigbus_watch(void *start, size_t bytes, size_t page, _Atomic bool *lost)
{
	struct sigbus_range *r;

	pthread_mutex_lock(&table_lock);
	r = free_range();
	if (r) {
		r->end = (uintptr_t)start + bytes;
		r->page = page;
		r->lost = lost;
		/* Pairs with the acquire in find(). */
		atomic_store_explicit(&r->start, (uintptr_t)start, memory_order_release);
	}
	pthread_mutex_unlock(&table_lock);
	return r;
}

void
sigbus_unwatch(struct sigbus_range *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&table_lock);
	atomic_store_explicit(&r->start, 0, memory_order_release);
	pthread_mutex_unlock(&table_lock);
}

void
sigbus_guard(bool on)
{
	guard = on;
}

static struct sigbus_range *
find(uintptr_t addr)
{
	struct chunk *c = atomic_load_explicit(&chunks, memory_order_acquire);

	for (; c; c = c->next) {
		for (unsigned int i = 0; i < CHUNK_RANGES; i++) {
			struct sigbus_range *r = &c->ranges[i];
			const uintptr_t start =
				atomic_load_explicit(&r->start, memory_order_acquire);

			if (start == 0 || addr < start || addr >= r->end)
				continue;
			/* The entry may have been taken for another range in between. */
			atomic_thread_fence(memory_order_acquire);
			if (atomic_load_explicit(&r->start, memory_order_relaxed) == start)
				return r;
		}
	}
	return NULL;
}

static uintptr_t
page_at(uintptr_t addr, size_t page)
{
	return addr & ~(uintptr_t)(page - 1);
}

static bool
replace(uintptr_t addr, size_t page)
{
	return mmap((void *)page_at(addr, page), page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* Async-signal-safe: loads, stores and mmap(). */
static bool
back(uintptr_t addr)
{
	/* A mapping of huge pages can only be replaced by whole ones; a smaller size is refused. */
	static const size_t sizes[] = { 1 << 12, 1 << 21, 1 << 30 };
	struct sigbus_range *r = find(addr);

	if (r) {
		const uintptr_t at = page_at(addr, r->page);

		/* Never more than the mapping: what lies beside it is not the guest's. */
		if (at < atomic_load_explicit(&r->start, memory_order_relaxed) ||
			r->end - at < r->page || !replace(addr, r->page))
			return false;
		atomic_store_explicit(r->lost, true, memory_order_release);
		return true;
	}
	for (unsigned int i = 0; guard && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (replace(addr, sizes[i]))
			return true;
	}
	return false;
}

static void
usual_course(int sig, siginfo_t *si, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(sig, si, context);
	} else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
		signal(sig, SIG_DFL);
		/* A fault comes again by itself, a signal that was sent does not. */
		if (si->si_code <= 0)
			raise(sig);
	} else {
		previous.sa_handler(sig);
	}
}

static void
on_sigbus(int sig, siginfo_t *si, void *context)
{
	const int saved = errno;
	const bool fault = si->si_code == BUS_ADRERR || si->si_code == BUS_MCEERR_AR;

	if (!fault || !back((uintptr_t)si->si_addr))
		usual_course(sig, si, context);
	errno = saved;
}

static void
install(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&sa.sa_mask);
	install_result = sigaction(SIGBUS, &sa, &previous) == 0 ? 0 : -errno;
}

int
vport_sigbus_install(void)
{
	pthread_once(&install_once, install);
	return install_result;
}
