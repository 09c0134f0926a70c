/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the forwarder share: a guest on a link made of memory, whose traffic goes to
 * sockets on the host's loopback through the host alias. The loop's time is virtual; sockets on the
 * loopback need none.
 */
#ifndef TESTS_UNIT_FORWARDER_FORWARDER_TEST_H
#define TESTS_UNIT_FORWARDER_FORWARDER_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "forwarder/forwarder.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"
#include "sim/sim_tcp.h"
#include "unit.h"

#define ROUNDS_MAX 20000

static const struct mac gateway_mac = {{0x52, 0x55, 0, 0, 0, 1}};
static const struct mac guest_mac = {{0x52, 0x54, 0, 0, 0, 2}};

static struct loop *loop;
static struct forwarder *forwarder;
static struct sim_link *guest_link;
static struct sim_wire wire;
static struct sim_tcp tcp;
static struct sim_frame *other; /* the last frame that wasn't for `tcp` */
static unsigned others;
static uint64_t now_ms;
static const struct egress_conf *egress; /* to be set before setup() */

static inline struct addr address(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

/* Everything as usual, but for what `change`, if not NULL, does to the configuration. */
static inline void setup_with(void (*change)(struct forwarder_conf *conf))
{
	static const struct link_caps caps = {.csum = true, .frame_max = 1514};
	struct forwarder_conf conf = {
		.stack = {.mac = gateway_mac, .mtu = 1500, .conns_max = 100},
		.host_access = true,
		.udp_flows_max = 4,
	};
	const struct link_sink *sink;

	conf.egress = egress;
	log_set_levels("error");
	ck_assert_int_eq(prefix_parse("192.168.65.0/24", &conf.stack.subnet), 0);
	conf.stack.gateway = address("192.168.65.1");
	conf.stack.alias = address("192.168.65.254");
	if (change)
		change(&conf);
	now_ms = 1000000;
	ck_assert_int_eq(loop_new(&loop), 0);
	loop_use_virtual_time(loop, now_ms);
	ck_assert_int_eq(forwarder_new(loop, &conf, &forwarder), 0);
	guest_link = sim_link_new("guest", &caps);
	sink = switch_sink(stack_switch(forwarder_stack(forwarder)));
	sink->attached(sink->arg, sim_link_link(guest_link));
	wire = (struct sim_wire){.link = guest_link};
	tcp = (struct sim_tcp){
		.wire = &wire,
		.mac = guest_mac,
		.gateway = gateway_mac,
		.self = {.addr = address("192.168.65.2"), .port = 40000},
		.peer = {.addr = address("192.168.65.254")},
		.mss = 1460,
		.scale = 7,
		.window = 65535,
		.rto_ms = 300,
		.now_ms = now_ms,
	};
	stack_learn(forwarder_stack(forwarder), &tcp.self.addr, &guest_mac);
}

static inline void setup(void)
{
	setup_with(NULL);
}

static inline void teardown(void)
{
	forwarder_free(forwarder);
	sim_frame_free(other);
	other = NULL;
	sim_link_free(guest_link);
	loop_free(loop);
}

static inline void on_other(void *arg, struct sim_frame *frame)
{
	(void)arg;
	sim_frame_free(other);
	other = frame;
	others++;
}

static inline void turn(void)
{
	loop_run_once(loop, false);
	sim_tcp_pump(&tcp, on_other, NULL);
	sim_tcp_send(&tcp, now_ms);
}

/* Runs until the condition holds; fails when it never does. */
#define UNTIL(CONDITION)                                            \
	do {                                                        \
		bool holds = false;                                 \
		for (int i_ = 0; i_ < ROUNDS_MAX && !holds; i_++) { \
			turn();                                     \
			holds = (CONDITION);                        \
		}                                                   \
		ck_assert_msg(holds, "never: %s", #CONDITION);      \
	} while (0)

/* A socket of the host's on its loopback, bound to a port of its own. */
static inline int host_socket(int type, uint16_t *ret_port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(sa);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 10), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

/* A datagram from the guest to the host alias. */
static inline void guest_sends(uint16_t from, uint16_t to, const char *text)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	struct sim_packet packet = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.src = tcp.self.addr,
		.dst = address("192.168.65.254"),
		.protocol = IPPROTO_UDP,
		.src_port = from,
		.dst_port = to,
		.payload = (const uint8_t *)text,
		.payload_size = strlen(text),
	};

	sim_link_inject(guest_link, bytes, sim_packet_build(&packet, bytes));
}

static inline uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline int run(const char *name, const TTest *const *tests)
{
	Suite *suite = suite_create(name);
	TCase *tcase = unit_case(suite, name, setup, teardown);

	tcase_set_timeout(tcase, 60);
	unit_add(tcase, tests);
	return unit_run(suite);
}

#endif
