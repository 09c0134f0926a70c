/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the stack's packets share: a handler that writes down what it is given, frames
 * into the stack and out of it. */
#ifndef TESTS_UNIT_NETSTACK_WORLD_TEST_H
#define TESTS_UNIT_NETSTACK_WORLD_TEST_H

#include <netinet/in.h>

#include "stack_test.h"

struct world {
	struct net net;
	unsigned datagrams, echoes, syns;
	struct endpoint src, dst; /* of the last datagram */
	uint8_t payload[65536];
	size_t size;
	bool reject;                /* answers datagrams with port unreachable */
	struct stack_echo echo;     /* the last one; of its bytes only the sizes are good */
	struct endpoint guest, far; /* of the last SYN */
	bool reset;                 /* answers SYNs with RST */
};

static struct world w;
static uint8_t bytes[SIM_PACKET_MAX];

static inline void on_datagram(void *arg, const struct stack_datagram *datagram)
{
	(void)arg;
	w.datagrams++;
	w.src = datagram->src;
	w.dst = datagram->dst;
	w.size = datagram->size;
	memcpy(w.payload, datagram->payload, datagram->size);
	if (w.reject)
		stack_send_unreachable(w.net.stack, STACK_UNREACH_PORT, datagram->ip,
				       datagram->ip_size);
}

static inline void on_echo(void *arg, const struct stack_echo *echo)
{
	(void)arg;
	w.echo = *echo;
	w.echoes++;
}

static inline void on_syn(void *arg, struct conn *conn)
{
	(void)arg;
	w.syns++;
	w.guest = *conn_guest(conn);
	w.far = *conn_far(conn);
	conn_refuse(conn, w.reset ? CONN_REFUSE_RESET : CONN_REFUSE_SILENTLY);
}

static const struct stack_handler handler = {
	.datagram = on_datagram,
	.echo = on_echo,
	.syn = on_syn,
};

static inline void setup(void)
{
	static const struct link_caps caps = {.csum = true, .frame_max = 1514};
	struct stack_conf conf = net_conf();

	memset(&w, 0, sizeof(w));
	net_start(&w.net, &conf, &handler, NULL, &caps);
}

static inline void teardown(void)
{
	net_stop(&w.net);
}

static inline struct sim_frame *take(void)
{
	net_run(&w.net);
	return sim_link_take(w.net.link);
}

static inline void expect_nothing(void)
{
	net_run(&w.net);
	ck_assert_uint_eq(sim_link_pending(w.net.link), 0);
}

static inline struct sim_packet packet_to(const char *dst, uint8_t protocol)
{
	return (struct sim_packet){
		.src_mac = net_guest_mac,
		.dst_mac = net_gateway_mac,
		.src = net_addr("192.168.65.2"),
		.dst = net_addr(dst),
		.protocol = protocol,
		.src_port = 1000,
		.dst_port = 2000,
	};
}

static inline void inject(const struct sim_packet *packet)
{
	sim_link_inject(w.net.link, bytes, sim_packet_build(packet, bytes));
}

static inline uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline struct stack_counters counters(void)
{
	return stack_counters(w.net.stack);
}

/* Lets the stack see a frame in pieces of these sizes, each with memory of its own, so that the
 * sanitizer guards its end. The last piece is the rest. */
static inline void inject_pieces(const uint8_t *frame, size_t size, const size_t *sizes,
				 unsigned count)
{
	struct link *link = sim_link_link(w.net.link);
	struct iovec iov[8];
	struct frame state = {.iov = iov, .size = (uint32_t)size};
	size_t at = 0;

	for (unsigned i = 0; i <= count && at < size; i++) {
		size_t piece = i < count && sizes[i] < size - at ? sizes[i] : size - at;

		iov[i] = (struct iovec){.iov_base = malloc(piece), .iov_len = piece};
		memcpy(iov[i].iov_base, frame + at, piece);
		at += piece;
		state.iov_count++;
	}
	link->user->receive(link->user_arg, &state);
	for (unsigned i = 0; i < state.iov_count; i++)
		free(iov[i].iov_base);
}

#endif
