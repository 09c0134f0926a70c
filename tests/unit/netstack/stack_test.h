/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the stack and its connections share: a network with one guest on a link made of
 * memory, in virtual time.
 */
#ifndef TESTS_UNIT_NETSTACK_STACK_TEST_H
#define TESTS_UNIT_NETSTACK_STACK_TEST_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netstack/conn.h"
#include "netstack/stack.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"
#include "sim/sim_tcp.h"

#define NET_START_MS 1000000

static const struct mac net_gateway_mac = {{0x52, 0x55, 0, 0, 0, 1}};
static const struct mac net_guest_mac = {{0x52, 0x54, 0, 0, 0, 2}};

struct net {
	struct loop *loop;
	struct stack *stack;
	struct sim_link *link;
	uint64_t now_ms;
};

static inline struct addr net_addr(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

static inline struct stack_conf net_conf(void)
{
	struct stack_conf conf = {.mac = net_gateway_mac, .mtu = 1500, .conns_max = 1000};

	ck_assert_int_eq(prefix_parse("192.168.65.0/24", &conf.subnet), 0);
	conf.gateway = net_addr("192.168.65.1");
	conf.alias = net_addr("192.168.65.254");
	ck_assert_int_eq(prefix_parse("fd00:65::/64", &conf.prefix6), 0);
	conf.gateway6 = net_addr("fd00:65::1");
	conf.alias6 = net_addr("fd00:65::fe");
	return conf;
}

static inline struct sim_link *net_attach(struct net *net, const struct link_caps *caps)
{
	struct sim_link *link = sim_link_new("guest #1", caps);
	const struct link_sink *sink = switch_sink(stack_switch(net->stack));

	sink->attached(sink->arg, sim_link_link(link));
	return link;
}

static inline void net_start(struct net *net, const struct stack_conf *conf,
			     const struct stack_handler *handler, void *arg,
			     const struct link_caps *caps)
{
	*net = (struct net){.now_ms = NET_START_MS};
	log_set_levels("error");
	ck_assert_int_eq(loop_new(&net->loop), 0);
	loop_use_virtual_time(net->loop, net->now_ms);
	ck_assert_int_eq(stack_new(net->loop, conf, handler, arg, &net->stack), 0);
	net->link = net_attach(net, caps);
}

/* Lets `ms` go by. */
static inline void net_advance(struct net *net, uint64_t ms)
{
	loop_advance(net->loop, ms);
	net->now_ms += ms;
}

/* Runs what is to be done now. */
static inline void net_run(struct net *net)
{
	for (int i = 0; i < 4; i++)
		loop_run_once(net->loop, false);
}

static inline void net_stop(struct net *net)
{
	stack_free(net->stack);
	sim_link_free(net->link);
	loop_free(net->loop);
}

#endif
