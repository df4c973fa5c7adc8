/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_malloc.h>
#include <rte_pause.h>
#include <rte_service.h>
#include <rte_service_component.h>

#include "clock.h"

/** Longest sleep, ms: a bound on whatever was overlooked; nothing depends on it. */
#define SLEEP_MAX_MS 1000

struct service {
	struct service_params p;
	struct clock_scale clock;
	uint64_t busy_us;
	uint32_t id;
	bool registered;
	int epoll_fd;
};

static int
sleep_ms(const struct service *s, uint64_t now_us)
{
	const uint64_t next = bridge_next_us(s->p.bridge);

	if (next <= now_us)
		return 0;
	return (int)RTE_MIN((next - now_us + 999) / 1000, (uint64_t)SLEEP_MAX_MS);
}

static int32_t
service_iterate(void *arg)
{
	struct service *s = arg;
	const uint64_t now_us = clock_us(s->clock);
	struct epoll_event events[2];

	if (bridge_poll(s->p.bridge, now_us, false) != 0) {
		s->busy_us = now_us;
		return 0;
	}
	if (s->p.busy || now_us - s->busy_us < s->p.spin_us)
		return 0;
	waker_sleepy(s->p.waker);
	if (!bridge_has_work(s->p.bridge)) {
		const int ms = sleep_ms(s, now_us);

		if (ms > 0)
			epoll_wait(s->epoll_fd, events, RTE_DIM(events), ms);
	}
	waker_awake(s->p.waker);
	s->busy_us = clock_us(s->clock);
	return 0;
}

static int
watch(int epoll_fd, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int
service_register(struct service *s)
{
	struct rte_service_spec spec = {
		.callback = service_iterate,
		.callback_userdata = s,
		.socket_id = s->p.socket_id,
	};
	int ret;

	snprintf(spec.name, sizeof(spec.name), "%s", s->p.name);
	ret = rte_service_component_register(&spec, &s->id);
	if (ret != 0)
		return ret;
	s->registered = true;
	rte_service_component_runstate_set(s->id, 1);
	return rte_service_map_lcore_set(s->id, s->p.lcore, 1);
}

struct service *
service_create(const struct service_params *p)
{
	struct service *s = rte_zmalloc_socket("service", sizeof(*s), 0, p->socket_id);
	int ret = -ENOMEM;

	if (s == NULL)
		goto fail;
	s->p = *p;
	s->clock = clock_scale_get();
	s->busy_us = clock_us(s->clock);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ret = s->epoll_fd < 0 ? -errno : waker_watch(p->waker, s->epoll_fd);
	if (ret == 0)
		ret = watch(s->epoll_fd, bridge_epoll_fd(p->bridge));
	if (ret == 0)
		ret = service_register(s);
	if (ret == 0)
		return s;
fail:
	service_destroy(s);
	rte_errno = -ret;
	return NULL;
}

int
service_start(struct service *s)
{
	int ret = rte_service_runstate_set(s->id, 1);

	if (ret == 0)
		ret = rte_service_lcore_start(s->p.lcore);
	return ret == -EALREADY ? 0 : ret;
}

void
service_stop(struct service *s)
{
	rte_service_runstate_set(s->id, 0);
	while (rte_service_may_be_active(s->id) == 1) {
		waker_ring(s->p.waker);
		rte_pause();
	}
	rte_service_lcore_stop(s->p.lcore);
	/* It has been told to leave its loop; it cannot be started again before it has. */
	rte_eal_wait_lcore(s->p.lcore);
}

void
service_destroy(struct service *s)
{
	if (s == NULL)
		return;
	if (s->registered) {
		rte_service_map_lcore_set(s->id, s->p.lcore, 0);
		rte_service_component_unregister(s->id);
	}
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	rte_free(s);
}
