/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that reports what it likes about the path's MTU, over IPv4 and IPv6, on an open
 * connection that sends. The input says how each message differs from one that would be believed;
 * checksums are right.
 */
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wire.h"
#include "netstack/conn.h"
#include "netstack/stack.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"
#include "sim/sim_tcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES_MAX 32
#define MESSAGE_MAX  128
#define SENT_SIZE    10000

static const struct mac gateway_mac = {{0x52, 0x55, 0, 0, 0, 1}};
static const struct mac guest_mac = {{0x52, 0x54, 0, 0, 0, 2}};

static struct conn *owned;
static uint64_t sent;

static void on_work(void *arg)
{
	struct iovec iov;
	size_t size;

	(void)arg;
	if (!conn_tx_reserve(owned, &iov, 1))
		return;
	size = iov.iov_len < SENT_SIZE ? iov.iov_len : SENT_SIZE;
	for (size_t i = 0; i < size; i++)
		((uint8_t *)iov.iov_base)[i] = sim_tcp_byte(sent + i);
	conn_tx_commit(owned, size);
	sent += size;
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static void on_ended(void *arg, enum conn_end why)
{
	(void)arg;
	(void)why;
	conn_free(owned);
	owned = NULL;
}

static const struct conn_ops ops = {.connected = on_nothing, .work = on_work, .ended = on_ended};

static void on_syn(void *arg, struct conn *conn)
{
	(void)arg;
	owned = conn;
	conn_own(conn, &ops, NULL);
	conn_accept(conn);
}

static void on_datagram(void *arg, const struct stack_datagram *datagram)
{
	(void)arg;
	(void)datagram;
}

static void on_echo(void *arg, const struct stack_echo *echo)
{
	(void)arg;
	(void)echo;
}

static const struct stack_handler handler = {
	.datagram = on_datagram, .echo = on_echo, .syn = on_syn};

/* A message that would be believed, of the current connection. Returns the size. */
static size_t believable(const struct sim_tcp *tcp, bool v6, uint8_t to[static MESSAGE_MAX])
{
	struct wire_writer w = wire_writer(to, MESSAGE_MAX);

	wire_put_be32(&w, v6 ? 0x02000000 : 0x03040000);
	wire_put_be32(&w, 1400);
	if (v6) {
		wire_put_be32(&w, 0x60000000);
		wire_put_be32(&w, 1440u << 16 | IPPROTO_TCP << 8 | 64);
		wire_put_bytes(&w, &tcp->peer.addr.v6, 16);
		wire_put_bytes(&w, &tcp->self.addr.v6, 16);
	} else {
		wire_put_be32(&w, 0x45000000 | 1500);
		wire_put_be32(&w, 0x4000);
		wire_put_be32(&w, 0x40000000 | IPPROTO_TCP << 16);
		wire_put_bytes(&w, &tcp->peer.addr.v4, 4);
		wire_put_bytes(&w, &tcp->self.addr.v4, 4);
	}
	wire_put_be16(&w, tcp->peer.port);
	wire_put_be16(&w, tcp->self.port);
	wire_put_be32(&w, tcp->rcv_nxt);
	return wire_written(&w);
}

static void send_message(struct sim_link *link, const struct sim_tcp *tcp, bool v6, uint8_t *icmp,
			 size_t size)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	uint8_t pseudo[40] = {0};
	struct sim_packet packet = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.src = tcp->self.addr,
		.dst = tcp->peer.addr,
		.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.payload = icmp,
		.payload_size = size,
	};
	uint16_t sum = 0;

	if (v6) {
		memcpy(pseudo, &packet.src.v6, 16);
		memcpy(pseudo + 16, &packet.dst.v6, 16);
		pseudo[35] = (uint8_t)size;
		pseudo[39] = IPPROTO_ICMPV6;
		sum = sim_sum(0, pseudo, sizeof(pseudo));
	}
	if (size >= 4) {
		icmp[2] = icmp[3] = 0;
		sum = (uint16_t)~sim_sum(sum, icmp, size);
		icmp[2] = (uint8_t)(sum >> 8);
		icmp[3] = (uint8_t)sum;
	}
	sim_link_inject(link, bytes, sim_packet_build(&packet, bytes));
}

static void run(struct loop *loop, struct sim_tcp *tcp)
{
	for (int i = 0; i < 4; i++) {
		loop_run_once(loop, false);
		sim_tcp_pump(tcp, NULL, NULL);
		sim_tcp_send(tcp, tcp->now_ms);
	}
}

/* Messages differ from the believable one by what the input is XORed to it, and in size. */
static void attack(struct loop *loop, struct sim_link *link, struct sim_tcp *tcp, bool v6,
		   struct wire_reader *r)
{
	unsigned least = v6 ? 1280 - 60 : 552 - 40;

	for (int i = 0; i < MESSAGES_MAX && wire_left(r) >= 2; i++) {
		uint8_t icmp[MESSAGE_MAX] = {0};
		size_t size = believable(tcp, v6, icmp);
		uint8_t cut = wire_u8(r), differences = wire_u8(r) & 15;

		while (differences-- && wire_left(r) >= 2) {
			uint8_t at = wire_u8(r);

			icmp[at % MESSAGE_MAX] ^= wire_u8(r);
		}
		if (cut & 0x80)
			size = cut & 0x7f;
		send_message(link, tcp, v6, icmp, size);
		tcp->largest_payload = 0;
		if (owned)
			conn_schedule(owned);
		run(loop, tcp);
		assert(tcp->wrong == 0);
		assert(!tcp->largest_payload || tcp->largest_payload >= least);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct link_caps caps = {
		.csum = true, .tso4 = true, .tso6 = true, .frame_max = FRAME_SIZE_MAX};
	struct stack_conf conf = {.mac = gateway_mac, .mtu = 1500, .conns_max = 16};
	struct wire_reader r = wire_reader(data, size);
	bool v6 = wire_u8(&r) & 1;
	struct sim_wire wire = {0};
	struct sim_tcp tcp = {.wire = &wire,
			      .mac = guest_mac,
			      .gateway = gateway_mac,
			      .self = {.port = 40000},
			      .peer = {.port = 80},
			      .mss = v6 ? 1440 : 1460,
			      .scale = 7,
			      .window = 65535,
			      .rto_ms = 300,
			      .now_ms = 1000000};
	struct stack *stack;
	struct loop *loop;
	struct sim_link *link;

	log_set_levels("error");
	prefix_parse("192.168.65.0/24", &conf.subnet);
	addr_parse("192.168.65.1", &conf.gateway);
	addr_parse("192.168.65.254", &conf.alias);
	prefix_parse("fd00:65::/64", &conf.prefix6);
	addr_parse("fd00:65::1", &conf.gateway6);
	addr_parse("fd00:65::fe", &conf.alias6);
	addr_parse(v6 ? "fd00:65::2" : "192.168.65.2", &tcp.self.addr);
	addr_parse(v6 ? "2001:db8::1" : "10.0.0.1", &tcp.peer.addr);
	sent = 0;
	if (loop_new(&loop) < 0)
		abort();
	loop_use_virtual_time(loop, tcp.now_ms);
	if (stack_new(loop, &conf, &handler, NULL, &stack) < 0)
		abort();
	link = sim_link_new("fuzz", &caps);
	switch_sink(stack_switch(stack))
		->attached(switch_sink(stack_switch(stack))->arg, sim_link_link(link));
	wire.link = link;
	sim_tcp_connect(&tcp);
	run(loop, &tcp);
	assert(tcp.established);
	attack(loop, link, &tcp, v6, &r);
	conn_free(owned);
	owned = NULL;
	stack_free(stack);
	sim_link_free(link);
	loop_free(loop);
	return 0;
}
