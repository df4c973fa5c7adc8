/* SPDX-License-Identifier: BSD-3-Clause */
#include "hostile.h"

int
hostile_up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,tcp=127.0.0.1:8080:80,queues=2", "--vm",
		"b,socket=%d/b.sock,loopback=gateway", NULL };
	struct guest_conf conf = {
		.addr = "10.0.2.16", .addr6 = "fd00:2::16", .mac = { 0x52, 0x54, 0, 0, 0, 0xbb }
	};

	if (smoke_up_daemon(args) < 0)
		return -1;
	smoke.g = smoke_guest("b.sock", &conf);
	return smoke.g != NULL ? 0 : -1;
}

int
hostile_each(void **state)
{
	return smoke_each(state);
}

/* b is served, and a well-behaved guest on a's socket as well. */
int
hostile_check(void **state)
{
	struct guest *a;
	int rc;

	if (!proc_alive(smoke.d))
		return smoke_check(state);
	if (guest_resolve(smoke.g) < 0 ||
		guest_ping(smoke.g, &smoke.g->gw, 1, 2, "still there", 11, SOON) < 0) {
		print_error("the other VM is not served any more\n");
		return -1;
	}
	a = smoke_guest("a.sock", NULL);
	if (a == NULL || guest_ping(a, &a->gw, 1, 2, "back again", 10, SOON) < 0) {
		print_error("the VM cannot come back\n");
		guest_close(a);
		return -1;
	}
	rc = guest_error(a) != NULL ? -1 : 0;
	if (rc < 0)
		print_error("%s\n", guest_error(a));
	guest_close(a);
	return rc == 0 ? smoke_check(state) : rc;
}

struct vhu *
hostile_new(void)
{
	struct vhu_conf conf = { .path = proc_path(smoke.d, "a.sock"),
		.ring_size = 16,
		.mem_bytes = 4 << 20,
		.regions = 2,
		.timeout_ms = 3000 };
	struct vhu *v = vhu_new(&conf);

	assert_non_null(v);
	return v;
}

struct vhu *
hostile_open(void)
{
	struct vhu *v = hostile_new();
	int rc = vhu_reconnect(v);

	if (rc < 0)
		fail_msg("cannot connect: %s", strerror(-rc));
	vhu_rx_post(v, 0, 1536, 8, NULL, true);
	return v;
}

uint8_t *
hostile_frame(struct vhu *v, size_t *len)
{
	/* That of the well-behaved guest: what is sent again for it must not be for a stranger. */
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, none[6],
			     all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct pkt_addr own = pkt_addr("10.0.2.15"), gw = pkt_addr(GW);
	uint8_t *p = vhu_alloc(v, 512);

	assert_non_null(p);
	memset(p, 0, 512);
	*len = 12 + pkt_build_arp(p + 12, all, 1, mac, &own, none, &gw);
	return p;
}

void
hostile_desc(
	struct vhu_ring *r, uint16_t id, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[id] = (struct vring_desc){ addr, len, flags, next };
}

void
hostile_offer(struct vhu *v, struct vhu_ring *r, uint16_t head)
{
	vhu_ring_avail(r, head);
	vhu_ring_publish(v, r);
	vhu_ring_kick(r);
}

void
hostile_wait(void)
{
	host_idle(smoke.g, 15);
}
