/* SPDX-License-Identifier: BSD-3-Clause */
#include "attack.h"

struct attacker attacker;

/** VMs a and c as they should be. */
static const struct guest_conf good_a = { .mac = { 0x52, 0x54, 0, 6, 6, 6 } };
static const struct guest_conf good_c = {
	.addr = "10.0.2.21", .addr6 = "fd00:2::21", .mac = { 0x52, 0x54, 0, 6, 6, 7 }
};

void
attack_serve(const char *sock)
{
	struct guest *g = smoke_guest(sock, sock[0] == 'a' ? &good_a : &good_c);

	if (g == NULL) {
		const char *log = proc_log(smoke.d);
		const size_t len = strlen(log);

		fail_msg("%s is not served; the daemon's last words:\n%s", sock,
			log + (len < 800 ? 0 : len - 800));
	}
	smoke_serves(g);
	/* The reset of its last connection is to be seen, or a socket is kept for it. */
	assert_true(vhu_tx_drain(g->v, 0, SOON));
	guest_close(g);
}

int
attack_up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", "--vm",
		"b,socket=%d/b.sock,loopback=gateway,address=10.0.2.20,address6=fd00:2::20", "--vm",
		"c,socket=%d/c.sock,loopback=gateway,address=10.0.2.21,address6=fd00:2::21",
		"--timeout-udp", "1", NULL };
	const struct guest_conf conf = { .addr = "10.0.2.20", .addr6 = "fd00:2::20" };

	if (smoke_up_daemon(args) < 0)
		return -1;
	smoke.g = smoke_guest("b.sock", &conf);
	if (smoke.g == NULL)
		return -1;
	smoke_serves(smoke.g);
	attack_serve("a.sock");
	attack_serve("c.sock");
	vhu_sleep_ms(200);
	attacker.fds = proc_open_fds(smoke.d);
	return 0;
}

int
attack_check(void **state)
{
	vhu_close(attacker.v);
	attacker.v = NULL;
	return smoke_check(state);
}

void
attack_new(void)
{
	const struct vhu_conf conf = { .path = proc_path(smoke.d, "a.sock"),
		.ring_size = ATTACK_RING };

	attacker.v = vhu_new(&conf);
	assert_non_null(attacker.v);
	attacker.page = vhu_alloc(attacker.v, ATTACK_PAGE);
	assert_non_null(attacker.page);
}

void
attack_open(uint64_t features, unsigned int regions)
{
	const struct vhu_conf conf = { .path = proc_path(smoke.d, "a.sock"),
		.features = features,
		.regions = regions,
		.ring_size = ATTACK_RING };

	attacker.v = vhu_open(&conf);
	assert_non_null(attacker.v);
	attacker.page = vhu_alloc(attacker.v, ATTACK_PAGE);
	assert_non_null(attacker.page);
}

uint64_t
attack_at(size_t off)
{
	return vhu_gpa(attacker.v, attacker.page) + off;
}

void
attack_desc(
	unsigned int ring, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	attacker.v->rings[ring].desc[i] = (struct vring_desc){ addr, len, flags, next };
}

void
attack_offer(unsigned int ring, uint16_t head)
{
	struct vhu_ring *r = &attacker.v->rings[ring];

	vhu_ring_avail(r, head);
	vhu_ring_publish(attacker.v, r);
	vhu_ring_kick(r);
}

size_t
attack_question(uint8_t *frame)
{
	static const uint8_t none[6], all[6] = { 255, 255, 255, 255, 255, 255 };
	const struct pkt_addr me = pkt_addr("10.0.2.15"), gw = pkt_addr(GW);

	return pkt_build_arp(frame, all, 1, good_a.mac, &me, none, &gw);
}

void
attack_over(void)
{
	char command[64];
	int fds;

	smoke_serves(smoke.g);
	vhu_close(attacker.v);
	attacker.v = NULL;
	attack_serve("a.sock");
	fds = smoke_fds(attacker.fds);
	if (fds > attacker.fds) {
		snprintf(command, sizeof(command), "ls -l /proc/%d/fd >&2", (int)smoke.d->pid);
		netns_run(NULL, command);
		fail_msg("the daemon keeps %d descriptors", fds - attacker.fds);
	}
}

uint32_t
attack_dice(void)
{
	static uint32_t x = 0x2545f491;

	x ^= x << 13;
	x ^= x >> 17;
	return x ^= x << 5;
}
