/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules and zones, from the file to what guests and the host see of them. */
#include "smoke2.h"

#include <netinet/in.h>

#define WEIR "[weir]\nmemory = 64\nmax-flows = 4096\nhugepages = off\ncontrol = %d/control.sock\n"
#define A "[vm.a]\nsocket = %d/a.sock\nloopback = gateway\ntcp = 127.0.0.1:3001:22\n"
#define B "[vm.b]\nsocket = %d/b.sock\nloopback = gateway\n"
#define FILE WEIR A B
#define DONE "reload: done"

#define ICMP_UNREACH 3
#define ICMP_PROHIBITED 13
#define ICMP6_UNREACH 1
#define ICMP6_PROHIBITED 1

static struct guest *b;

/* ---- what is seen ---- */

/** How a connection of the guest to the host ends; 0: it is made. */
static int
connects(struct guest *g, bool v6, uint16_t port, int timeout_ms)
{
	struct pkt_addr gw = v6 ? g->gw6 : g->gw;
	struct gtcp *c = gtcp_new(g, &gw, port, 0);
	const int ret = gtcp_connect(c, timeout_ms);

	gtcp_reset(c);
	gtcp_free(c);
	return ret;
}

static uint64_t
rule_hits(int number)
{
	json_t *reply = proc_ctl(smoke.d, NULL, (const char *[]){ "rule", "list", NULL });
	const json_t *rules = json_object_get(reply, "rules"), *rule;
	uint64_t hits = UINT64_MAX;
	size_t i;

	json_array_foreach(rules, i, rule)
	{
		if (json_integer_value(json_object_get(rule, "number")) == number)
			hits = (uint64_t)json_integer_value(json_object_get(rule, "hits"));
	}
	json_decref(reply);
	return hits;
}

static uint64_t
policy_hits(const char *direction)
{
	json_t *reply = proc_ctl(smoke.d, NULL, (const char *[]){ "rule", "list", NULL });
	const json_t *policies = json_object_get(reply, "policies"), *policy;
	uint64_t hits = UINT64_MAX;
	size_t i;

	json_array_foreach(policies, i, policy)
	{
		if (strcmp(json_string_value(json_object_get(policy, "direction")), direction) == 0)
			hits = (uint64_t)json_integer_value(json_object_get(policy, "hits"));
	}
	json_decref(reply);
	return hits;
}

/** A datagram of the guest's to the gateway is answered by an ICMP error of this code. */
static bool
udp_prohibited(bool v6, uint16_t port)
{
	const struct pkt_addr gw = v6 ? smoke.g->gw6 : smoke.g->gw;
	struct guest_frame *f;
	bool yes;

	assert_int_equal(guest_udp_send(smoke.g, guest_port(smoke.g), &gw, port, "x", 1), 0);
	f = guest_icmp_error(smoke.g, v6 ? ICMP6_UNREACH : ICMP_UNREACH, SOON);
	yes = f != NULL && f->view.icmp_code == (v6 ? ICMP6_PROHIBITED : ICMP_PROHIBITED);
	free(f);
	return yes;
}

/* ---- to the outside ---- */

static void
rules_decide_about_what_guests_begin(void **state)
{
	uint16_t port = 3100;
	int listener = host_tcp_listen(LO, &port);

	assert_true(listener >= 0);
	smoke_reload(FILE
		"[rule.1]\ndirection = out\nproto = tcp\ndestination-port = 3100\naction = accept\n"
		"[rule.2]\ndirection = out\nproto = tcp\ndestination-port = 7000-7999\n"
		"action = drop\n"
		"[rule.3]\ndirection = out\nvm = a\naction = reject\n",
		DONE);
	assert_int_equal(connects(smoke.g, false, port, SOON), 0);
	assert_int_equal(connects(smoke.g, false, 7777, 10 * NEVER), -ETIMEDOUT);
	assert_int_equal(connects(smoke.g, false, 80, SOON), -ECONNREFUSED);
	assert_int_equal(connects(smoke.g, true, 80, SOON), -ECONNREFUSED);
	assert_true(udp_prohibited(false, 53));
	assert_true(udp_prohibited(true, 53));
	assert_int_equal(rule_hits(1), 1);
	assert_true(rule_hits(2) >= 1);
	assert_true(rule_hits(3) >= 4);
	assert_int_equal(policy_hits("out"), 0);
	close(listener);
	smoke_reload(FILE, DONE);
	smoke_serves(smoke.g);
	assert_true(policy_hits("out") > 0);
}

static void
policies_decide_where_no_rule_does(void **state)
{
	int fd;

	smoke_reload(WEIR "policy-out = reject\npolicy-in = drop\n" A B, DONE);
	assert_int_equal(connects(smoke.g, false, 80, SOON), -ECONNREFUSED);
	fd = host_tcp_connect(LO, 3001);
	assert_true(fd >= 0);
	assert_null(gtcp_accept_syn(smoke.g, 22, 10 * NEVER));
	close(fd);
	assert_int_equal(policy_hits("out"), 1);
	assert_int_equal(policy_hits("in"), 1);
	smoke_reload(FILE, DONE);
}

static void
redirect_leads_to_a_socket_of_the_host(void **state)
{
	uint16_t port = 3100;
	int listener = host_tcp_listen(LO, &port), fd;
	struct gtcp *c;

	assert_true(listener >= 0);
	smoke_reload(FILE "[rule.1]\ndirection = out\nvm = a\nproto = tcp\ndestination-port = 80\n"
			  "action = accept\nredirect = 3100\n",
		DONE);
	c = gtcp_open(smoke.g, "198.51.100.9", 80);
	assert_non_null(c);
	fd = host_accept(smoke.g, listener, SOON);
	assert_true(fd >= 0);
	assert_null(host_transfer(c, fd, 1000, 1000, SOON));
	close(fd);
	close(listener);
	gtcp_free(c);
	smoke_reload(FILE, DONE);
}

/** The reply to `flow original` about the connection whose peer has this port. */
static json_t *
original(uint16_t port)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", port);
	return proc_ctl(smoke.d, NULL,
		(const char *[]){
			"flow", "original", "--proto", "tcp", "--addr", LO, "--port", text, NULL });
}

static void
server_that_a_rule_leads_to_learns_the_destination(void **state)
{
	uint16_t port = 3100;
	int listener = host_tcp_listen(LO, &port), fd;
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	const json_t *to;
	struct gtcp *c;
	json_t *reply;

	assert_true(listener >= 0);
	smoke_reload(FILE "[rule.4]\ndirection = out\nproto = tcp\ndestination-port = 80\n"
			  "action = accept\nredirect = 3100\nmark = 0\n",
		DONE);
	c = gtcp_open(smoke.g, "198.51.100.9", 80);
	assert_non_null(c);
	fd = host_accept(smoke.g, listener, SOON);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
	reply = original(ntohs(peer.sin_port));
	to = json_object_get(reply, "destination");
	assert_string_equal(json_string_value(json_object_get(to, "addr")), "198.51.100.9");
	assert_int_equal(json_integer_value(json_object_get(to, "port")), 80);
	assert_string_equal(json_string_value(json_object_get(reply, "vm")), "a");
	assert_int_equal(json_integer_value(json_object_get(reply, "rule")), 4);
	json_decref(reply);
	close(fd);
	close(listener);
	gtcp_free(c);
	smoke_reload(FILE, DONE);
}

/** Flows that `flow flush` with these words has ended. */
static size_t
flushed(const char *const words[])
{
	json_t *reply = proc_ctl(smoke.d, NULL, words);
	size_t n = json_array_size(json_object_get(reply, "flows"));

	assert_non_null(reply);
	json_decref(reply);
	return n;
}

static void
flows_are_flushed_by_what_they_are(void **state)
{
	struct smoke_conn k, other;
	char buf[8];

	/* What other tests have left. */
	flushed((const char *[]){ "flow", "flush", "--all", NULL });
	k = smoke_out(smoke.g, false);
	other = smoke_out(smoke.g, true);
	smoke_echo(smoke.g, &k);
	smoke_echo(smoke.g, &other);
	assert_int_equal(flushed((const char *[]){ "flow", "flush", "--vm", "b", NULL }), 0);
	assert_int_equal(flushed((const char *[]){ "flow", "flush", "--zone", "9", NULL }), 0);
	assert_int_equal(flushed((const char *[]){
				 "flow", "flush", "--proto", "tcp", "--addr", "10.0.2.15", NULL }),
		1);
	assert_true(gtcp_wait_reset(k.c, SOON));
	assert_true(host_recv(smoke.g, k.fd, buf, sizeof(buf), SOON) <= 0);
	smoke_echo(smoke.g, &other);
	assert_int_equal(flushed((const char *[]){ "flow", "flush", "--all", NULL }), 1);
	assert_true(gtcp_wait_reset(other.c, SOON));
	assert_int_equal(smoke_flows(0), 0);
	smoke_drop(&k);
	smoke_drop(&other);
}

static void
connections_that_new_rules_do_not_allow_are_ended(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false), other = smoke_out(smoke.g, true);
	char buf[8];

	smoke_echo(smoke.g, &k);
	smoke_reload(
		FILE "[rule.1]\ndirection = out\ndestination = 0.0.0.0/0\naction = drop\n", DONE);
	assert_true(gtcp_wait_reset(k.c, SOON));
	assert_true(host_recv(smoke.g, k.fd, buf, sizeof(buf), SOON) <= 0);
	/* One that they allow does not notice. */
	smoke_echo(smoke.g, &other);
	smoke_drop(&k);
	smoke_drop(&other);
	smoke_reload(FILE, DONE);
}

static void
flows_are_logged_where_a_rule_wants_it(void **state)
{
	struct smoke_conn k;

	smoke_reload(
		FILE "[rule.7]\ndirection = out\nproto = tcp\naction = accept\nlog = yes\n", DONE);
	k = smoke_out(smoke.g, false);
	assert_true(proc_wait_log(
		smoke.d, "weir: info: rule 7: accepted out, vm a: tcp 10.0.2.15:", SOON));
	smoke_drop(&k);
	smoke_reload(FILE, DONE);
}

/* ---- from guest to guest ---- */

/** a connects to b; NULL: nothing reached b. */
static struct gtcp *
reaches(struct gtcp *from)
{
	gtcp_segment(from, PKT_SYN, from->iss, NULL, 0);
	from->snd_nxt = from->snd_una = from->iss + 1;
	return gtcp_accept_syn(b, 22, 10 * NEVER);
}

static void
guests_reach_each_other_where_a_rule_lets_them(void **state)
{
	struct pkt_addr to = b->addr;
	struct gtcp *c = gtcp_new(smoke.g, &to, 22, 0), *s;
	struct guest_frame *f;

	c->manual = true;
	assert_null(reaches(c));
	gtcp_free(c);
	smoke_reload(FILE "[rule.5]\ndirection = east-west\nvm = a\nto-vm = b\nproto = tcp\n"
			  "destination-port = 22\naction = accept\n",
		DONE);
	c = gtcp_new(smoke.g, &to, 22, 0);
	c->manual = true;
	s = reaches(c);
	assert_non_null(s);
	gtcp_segment(s, PKT_SYN | PKT_ACK, s->iss, NULL, 0);
	f = gtcp_expect(c, PKT_SYN | PKT_ACK, SOON);
	assert_non_null(f);
	free(f);
	assert_int_equal(rule_hits(5), 1);
	gtcp_free(c);
	gtcp_free(s);
	smoke_reload(FILE, DONE);
}

#define MEET "[rule.5]\ndirection = east-west\naction = accept\n"

static bool
is_to_22(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_TCP && v->dport == 22;
}

static void
connections_are_picked_up_unless_told_otherwise(void **state)
{
	struct pkt_addr to = b->addr;
	struct gtcp *c = gtcp_new(smoke.g, &to, 22, 0);
	uint64_t deadline;
	long long before;

	c->manual = true;
	smoke_reload(FILE MEET, DONE);
	gtcp_segment(c, PKT_ACK, 1000, "middle", 6);
	free(smoke_must(guest_wait(b, is_to_22, NULL, SOON)));
	smoke_reload(WEIR "tcp-pickup = no\n" A B MEET, DONE);
	gtcp_free(c);
	c = gtcp_new(smoke.g, &to, 22, 0);
	c->manual = true;
	before = smoke_count("ct-tcp-pickup");
	deadline = vhu_now_ms() + SOON;
	gtcp_segment(c, PKT_ACK, 1000, "middle", 6);
	while (smoke_count("ct-tcp-pickup") == before) {
		assert_true(vhu_now_ms() < deadline);
		vhu_sleep_ms(2);
	}
	assert_true(guest_never(b, is_to_22, NULL, NEVER));
	gtcp_free(c);
	smoke_reload(FILE, DONE);
}

/* ---- zones ---- */

/** Time that is left to the one flow from guest to guest. */
static uint64_t
left_ms(void)
{
	json_t *reply = proc_ctl(smoke.d, NULL, (const char *[]){ "flow", "list", NULL });
	const json_t *flows = json_object_get(reply, "flows"), *flow;
	uint64_t left = 0;
	size_t i;

	json_array_foreach(flows, i, flow)
	{
		const json_t *guest = json_object_get(flow, "guest");

		if (json_integer_value(json_object_get(guest, "peer_port")) == 22)
			left = (uint64_t)json_integer_value(json_object_get(flow, "left_ms"));
	}
	json_decref(reply);
	return left;
}

static void
timeouts_of_a_zone_hold_for_its_flows(void **state)
{
	struct pkt_addr to = b->addr;
	struct gtcp *c;

	smoke_reload(FILE MEET "[timeouts.all]\nzones = 0\ntcp-first = 1000\n"
			       "[timeouts.default]\ntcp-first = 9000\n",
		DONE);
	c = gtcp_new(smoke.g, &to, 22, 0);
	c->manual = true;
	gtcp_segment(c, PKT_SYN, 1000, NULL, 0);
	free(smoke_must(guest_wait(b, is_to_22, NULL, SOON)));
	assert_in_range(left_ms(), 500000, 1000000);
	gtcp_free(c);
	smoke_reload(FILE, DONE);
}

static void
a_zone_at_its_limit_gets_no_more_flows(void **state)
{
	int status;

	free(proc_ctl_text(smoke.d, &status, (const char *[]){ "zone", "limit", "0", "0", NULL }));
	assert_int_equal(status, 0);
	assert_int_not_equal(connects(smoke.g, false, 80, 10 * NEVER), 0);
	assert_true(smoke_count("zone-limit") > 0);
	assert_true(proc_wait_log(smoke.d, "raise zone-limit of [weir]", SOON));
	/* A reload sets what the file says. */
	smoke_reload(FILE, DONE);
	smoke_serves(smoke.g);
}

static int
up(void **state)
{
	struct guest_conf c = { .addr = "10.0.2.16", .addr6 = "fd00:2::16", .mac = { 2 } };

	if (smoke_up_conf(FILE) != 0)
		return -1;
	b = smoke_guest("b.sock", &c);
	return b != NULL ? 0 : -1;
}

static int
down(void **state)
{
	guest_close(b);
	return smoke_down(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(rules_decide_about_what_guests_begin),
		SMOKE(policies_decide_where_no_rule_does),
		SMOKE(redirect_leads_to_a_socket_of_the_host),
		SMOKE(server_that_a_rule_leads_to_learns_the_destination),
		SMOKE(flows_are_flushed_by_what_they_are),
		SMOKE(connections_that_new_rules_do_not_allow_are_ended),
		SMOKE(flows_are_logged_where_a_rule_wants_it),
		SMOKE(guests_reach_each_other_where_a_rule_lets_them),
		SMOKE(connections_are_picked_up_unless_told_otherwise),
		SMOKE(timeouts_of_a_zone_hold_for_its_flows),
		SMOKE(a_zone_at_its_limit_gets_no_more_flows),
	};

	return cmocka_run_group_tests_name("conf_rules", tests, up, down);
}
