/* SPDX-License-Identifier: BSD-3-Clause */
/* What a host far away sees of a guest's connections, and what the guest sees of such a host. */
#include "far.h"

#define MIB (1u << 20)
#define LONG 60000

/* The far end has room for much, and does not acknowledge a byte: all lies in the socket. */
static void
told_room_is_there(uint16_t mss)
{
	struct smoke_conn k = { .fd = -1 };
	struct pkt_addr to = pkt_addr(FAR_PEER);
	const int room = 4 * MIB;
	static uint8_t out[MIB], in[MIB];
	size_t sent = 0;
	long long before;
	uint16_t port;

	k.listener = far_listen(false, &port);
	setsockopt(k.listener, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	k.c = gtcp_new(smoke.g, &to, port, 0);
	k.c->mss = mss;
	assert_int_equal(gtcp_connect(k.c, SOON), 0);
	k.fd = host_accept(smoke.g, k.listener, SOON);
	before = smoke_stat("bridge-send-short");
	far_link(0, 1000);
	host_fill(1, 0, out, sizeof(out));
	/* Until the window is used up. */
	do {
		sent += gtcp_write(k.c, out + sent, sizeof(out) - sent);
		host_idle(smoke.g, 50);
	} while (k.c->snd_wnd > k.c->snd_nxt - k.c->snd_una);
	sent = k.c->snd_nxt - k.c->iss - 1;
	assert_in_range(sent, 10000, sizeof(out) - 1);
	assert_int_equal(k.c->snd_una, k.c->iss + 1);
	assert_int_equal(smoke_stat("bridge-send-short"), before);
	far_link(0, 0);
	assert_int_equal(host_recv_all(smoke.g, k.fd, in, sent, LONG), 0);
	assert_memory_equal(in, out, sent);
	smoke_drop(&k);
}

static void
room_that_is_told_is_there(void **state)
{
	told_room_is_there(1460);
}

static void
room_that_is_told_is_there_for_small_segments(void **state)
{
	told_room_is_there(100);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };

	return far_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FAR(room_that_is_told_is_there),
		FAR(room_that_is_told_is_there_for_small_segments),
	};

	return cmocka_run_group_tests_name("conf_tcp_far", tests, up, far_down);
}
