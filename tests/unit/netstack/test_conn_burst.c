/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that close many connections at once, so that some of it gets lost in their own queue: what
 * becomes of those whose reset never came, and of those that live.
 */
#include "stack_test.h"
#include "unit.h"

#define ACK SIM_TCP_ACK
#define RST SIM_TCP_RST
#define FIN SIM_TCP_FIN

#define MINUTE_MS (60 * 1000)
#define HOUR_MS   (60 * MINUTE_MS)

#define CLOSED    130 /* just enough to be conspicuous */
#define TOO_FEW   100
#define REMAINING 100
#define ALL       (CLOSED + REMAINING)

enum answer { ANSWER_NOTHING, ANSWER_ALIVE, ANSWER_RESET };

/* The connections of one guest, by their number; the first ones are those that it closes. */
struct guest {
	struct sim_wire wire;
	struct sim_random random;
	struct sim_tcp tcp[ALL];
	unsigned probes[ALL]; /* that came */
};

struct crowd {
	struct net net;
	struct sim_link *other_link;
	struct guest guest, other;
	unsigned open, ended, reset;
	enum answer answer; /* to probes */
};

struct owner {
	struct crowd *crowd;
	struct conn *conn;
};

static void on_connected(void *arg)
{
	struct owner *owner = arg;

	owner->crowd->open++;
}

/* Closes when the guest does. */
static void on_work(void *arg)
{
	struct owner *owner = arg;

	if (!conn_rx_eof(owner->conn))
		return;
	conn_tx_shutdown(owner->conn);
	conn_free(owner->conn);
	owner->crowd->open--;
	free(owner);
}

static void on_ended(void *arg, enum conn_end why)
{
	struct owner *owner = arg;

	owner->crowd->open--;
	owner->crowd->ended++;
	owner->crowd->reset += why == CONN_END_RESET;
	conn_free(owner->conn);
	free(owner);
}

static const struct conn_ops ops = {
	.connected = on_connected,
	.work = on_work,
	.ended = on_ended,
};

static void on_syn(void *arg, struct conn *conn)
{
	struct owner *owner = calloc(1, sizeof(*owner));

	ck_assert_ptr_nonnull(owner);
	*owner = (struct owner){.crowd = arg, .conn = conn};
	conn_own(conn, &ops, owner);
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
	.datagram = on_datagram,
	.echo = on_echo,
	.syn = on_syn,
};

/* It is asked for its MAC when it hasn't spoken for long. */
static bool answer_arp(struct guest *guest, const struct sim_frame *frame)
{
	const struct sim_tcp *tcp = &guest->tcp[0];
	uint8_t bytes[SIM_PACKET_MAX];
	struct addr gateway = net_addr("192.168.65.1");

	if (frame->bytes[12] != 0x08 || frame->bytes[13] != 0x06)
		return false;
	sim_link_inject(guest->wire.link, bytes,
			sim_packet_arp(&tcp->mac, &tcp->self.addr, &gateway, bytes));
	return true;
}

/* A frame to the guest: part of a handshake, or a probe. */
static void guest_receives(struct crowd *c, struct guest *guest, const struct sim_frame *frame)
{
	/* The switch floods what it has forgotten the way of. */
	if (!(frame->bytes[0] & 1) && memcmp(frame->bytes, guest->tcp[0].mac.bytes, MAC_SIZE) != 0)
		return;
	for (unsigned i = 0; i < ALL; i++) {
		struct sim_tcp *tcp = &guest->tcp[i];
		bool was_open = tcp->established;

		if (!tcp->wire || !sim_tcp_receive(tcp, frame))
			continue;
		if (was_open && !tcp->fin_sent)
			guest->probes[i]++;
		if (!was_open || tcp->fin_sent || c->answer == ANSWER_ALIVE)
			sim_tcp_segment(tcp, ACK, tcp->nxt, tcp->rcv_nxt, NULL, 0, NULL, 0);
		else if (c->answer == ANSWER_RESET)
			sim_tcp_segment(tcp, RST, tcp->nxt, 0, NULL, 0, NULL, 0);
		return;
	}
	ck_assert(answer_arp(guest, frame));
}

static void settle(struct crowd *c)
{
	struct guest *guests[] = {&c->guest, &c->other};
	bool moved = true;

	while (moved) {
		net_run(&c->net);
		moved = false;
		for (unsigned i = 0; i < 2; i++) {
			struct sim_frame *frame = sim_link_take(guests[i]->wire.link);

			if (!frame)
				continue;
			guest_receives(c, guests[i], frame);
			sim_frame_free(frame);
			moved = true;
		}
	}
}

static void pass(struct crowd *c, uint64_t ms)
{
	uint64_t step_ms = ms > MINUTE_MS ? 1000 : 10;

	for (uint64_t step = 0; step < ms; step += step_ms) {
		net_advance(&c->net, step_ms);
		settle(c);
	}
}

static void guest_connects(struct crowd *c, struct guest *guest, unsigned from, unsigned count,
			   const char *address, uint8_t mac)
{
	for (unsigned i = from; i < from + count; i++) {
		guest->tcp[i] = (struct sim_tcp){
			.wire = &guest->wire,
			.mac = {{0x52, 0x54, 0, 0, 0, mac}},
			.gateway = net_gateway_mac,
			.self = {.addr = net_addr(address), .port = (uint16_t)(40000 + i)},
			.peer = {.addr = net_addr("10.1.2.3"), .port = 80},
			.mss = 1460,
			.scale = -1,
			.window = 65535,
			.rto_ms = 300,
			.iss = 1000 * i,
			.now_ms = NET_START_MS,
		};
		sim_tcp_connect(&guest->tcp[i]);
		settle(c);
	}
}

/* A guest with ALL connections, of which none has been used for a while, and another with one. */
static void crowd_start(struct crowd *c)
{
	static const struct link_caps caps = {.frame_max = 1514};
	struct stack_conf conf = net_conf();

	*c = (struct crowd){.answer = ANSWER_NOTHING};
	net_start(&c->net, &conf, &handler, c, &caps);
	c->other_link = net_attach(&c->net, &caps);
	c->guest.wire = (struct sim_wire){.link = c->net.link, .random = &c->guest.random};
	c->other.wire = (struct sim_wire){.link = c->other_link, .random = &c->other.random};
	guest_connects(c, &c->guest, 0, ALL, "192.168.65.2", 2);
	guest_connects(c, &c->other, 0, 1, "192.168.65.3", 3);
	ck_assert_uint_eq(c->open, ALL + 1);
	pass(c, 30000);
}

static void crowd_stop(struct crowd *c)
{
	sim_wire_clear(&c->guest.wire);
	sim_wire_clear(&c->other.wire);
	c->answer = ANSWER_RESET;
	for (unsigned i = 0; i < ALL; i++) {
		struct sim_tcp *tcp = &c->guest.tcp[i];

		sim_tcp_segment(tcp, RST, tcp->nxt, 0, NULL, 0, NULL, 0);
	}
	sim_tcp_segment(&c->other.tcp[0], RST, c->other.tcp[0].nxt, 0, NULL, 0, NULL, 0);
	net_run(&c->net);
	ck_assert_uint_eq(c->open, 0);
	stack_free(c->net.stack);
	sim_link_free(c->net.link);
	sim_link_free(c->other_link);
	loop_free(c->net.loop);
}

/* The guest closes the first ones. */
static void close_many(struct crowd *c, unsigned count, uint8_t flags)
{
	for (unsigned i = 0; i < count; i++) {
		struct sim_tcp *tcp = &c->guest.tcp[i];

		sim_tcp_segment(tcp, flags, tcp->nxt, tcp->rcv_nxt, NULL, 0, NULL, 0);
		if (flags & FIN) {
			tcp->fin_sent = true;
			tcp->nxt++;
		}
	}
	settle(c);
}

/* How many probes came to the others, each of which must have got as many. */
static unsigned probes(const struct crowd *c)
{
	for (unsigned i = CLOSED; i < ALL; i++)
		ck_assert_uint_eq(c->guest.probes[i], c->guest.probes[CLOSED]);
	ck_assert_uint_eq(c->other.probes[0], 0);
	return c->guest.probes[CLOSED];
}

START_TEST(lost_resets_are_found_out)
{
	static struct crowd c;

	crowd_start(&c);
	close_many(&c, CLOSED, RST);
	ck_assert_uint_eq(c.reset, CLOSED);
	c.answer = ANSWER_RESET;
	pass(&c, 1900);
	ck_assert_uint_eq(c.open, REMAINING + 1);
	pass(&c, 500);
	ck_assert_uint_eq(c.open, 1);
	ck_assert_uint_eq(c.reset, ALL);
	ck_assert_uint_eq(probes(&c), 1);
	crowd_stop(&c);
}
END_TEST

START_TEST(those_that_live_are_asked_once)
{
	static struct crowd c;

	crowd_start(&c);
	close_many(&c, CLOSED, FIN | ACK);
	c.answer = ANSWER_ALIVE;
	pass(&c, HOUR_MS);
	ck_assert_uint_eq(probes(&c), 1);
	ck_assert_uint_eq(c.open, REMAINING + 1);
	crowd_stop(&c);
}
END_TEST

/* It may be stopped, for longer than that. */
START_TEST(silent_guest_is_asked_three_times)
{
	static struct crowd c;

	crowd_start(&c);
	close_many(&c, CLOSED, RST);
	pass(&c, HOUR_MS);
	ck_assert_uint_eq(probes(&c), 3);
	ck_assert_uint_eq(c.open, REMAINING + 1);
	/* As any other that is idle, in the end. */
	c.answer = ANSWER_ALIVE;
	pass(&c, 90 * MINUTE_MS);
	ck_assert_uint_eq(c.guest.probes[CLOSED], 4);
	ck_assert_uint_eq(c.open, REMAINING + 1);
	crowd_stop(&c);
}
END_TEST

START_TEST(few_are_nothing_unusual)
{
	static struct crowd c;

	crowd_start(&c);
	close_many(&c, TOO_FEW, RST);
	pass(&c, 20 * MINUTE_MS);
	ck_assert_uint_eq(probes(&c), 0);
	crowd_stop(&c);
}
END_TEST

/* While the first ones are being looked at, more are closed, and most of that gets lost, too. */
START_TEST(second_burst_is_not_overlooked)
{
	static struct crowd c;

	crowd_start(&c);
	close_many(&c, CLOSED, RST);
	c.answer = ANSWER_ALIVE;
	pass(&c, 2500);
	ck_assert_uint_eq(probes(&c), 1);
	guest_connects(&c, &c.guest, 0, CLOSED, "192.168.65.2", 2);
	close_many(&c, CLOSED, RST);
	c.answer = ANSWER_RESET;
	pass(&c, 9000);
	ck_assert_uint_eq(probes(&c), 1); /* not all the time */
	pass(&c, 1500);
	ck_assert_uint_eq(c.open, 1);
	crowd_stop(&c);
}
END_TEST

/* A guest that closes many all the time, and loses none of it, isn't asked all the time. */
START_TEST(in_vain_less_and_less_often)
{
	static struct crowd c;
	unsigned before;

	crowd_start(&c);
	c.answer = ANSWER_ALIVE;
	close_many(&c, CLOSED, RST);
	for (unsigned i = 0; i < 120; i++) {
		guest_connects(&c, &c.guest, 0, CLOSED, "192.168.65.2", 2);
		close_many(&c, CLOSED, RST);
		pass(&c, 5000);
	}
	before = probes(&c);
	ck_assert_uint_ge(before, 5); /* in ten minutes: after 0, 10, 30, 70, 150, 310, 470 s */
	ck_assert_uint_le(before, 8);
	/* After some quiet at once. */
	pass(&c, 5 * MINUTE_MS);
	before = probes(&c);
	guest_connects(&c, &c.guest, 0, CLOSED, "192.168.65.2", 2);
	close_many(&c, CLOSED, RST);
	c.answer = ANSWER_RESET;
	pass(&c, 2500);
	ck_assert_uint_eq(probes(&c), before + 1);
	ck_assert_uint_eq(c.open, 1);
	crowd_stop(&c);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conn_burst");
	TCase *tcase = unit_case(suite, "conn_burst", NULL, NULL);
	const TTest *const tests[] = {
		lost_resets_are_found_out,
		those_that_live_are_asked_once,
		silent_guest_is_asked_three_times,
		few_are_nothing_unusual,
		second_burst_is_not_overlooked,
		in_vain_less_and_less_often,
		NULL,
	};

	tcase_set_timeout(tcase, 60);
	unit_add(tcase, tests);
	return unit_run(suite);
}
