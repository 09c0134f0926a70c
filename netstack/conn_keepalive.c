/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keepalive (RFC 9293, 3.8.4) with guests: a guest may vanish, its link still up, and would leave
 * its idle connections for ever. One that has been heard of within CONN_KEEP_IDLE_MS lives, for any
 * length of time.
 *
 * lwIP's own keepalive would need its timer running for each connection. Here connections wait in
 * two queues of constant delay, so that only their heads are looked at: `keep_idle`, where each
 * comes up every CONN_KEEP_CHECK_MS, and `keep_probing`. Their times are rounded so that many come
 * up together.
 *
 * A guest's process that dies with thousands of connections resets them all at once, more than the
 * guest's own transmit queue holds, and nobody repeats a RST. So where a guest closes many at a
 * time, those that it hasn't spoken of since are asked soon (`keep_suspects`), a few at a time: the
 * answers are to find room in the same queue.
 */
#include <lwip/priv/tcp_priv.h>

#include "netstack/stack_private.h"

#define CHECK_ROUNDING_MS 60000

/* So many closed within that time may be more than a guest's queue took: the rings of virtio have
 * 256 frames by default, and an interface's queue 500. */
#define BURST_CLOSINGS 128
#define BURST_MS       1000

/* When the others are asked: by then the guest has repeated what it does repeat, FINs. Not more
 * often than that, so that a guest that closes all the time doesn't make us ask all the time. */
#define SUSPECT_AFTER_MS 2000
#define SUSPECT_EVERY_MS 10000
/* Each time that it was in vain, the next is twice as far: many guests close all the time, and lose
 * nothing. So often at most. */
#define SUSPECT_VAIN_MAX 4

/* How quickly they are asked. */
#define SUSPECT_BATCH    64
#define SUSPECT_BATCH_MS 10

/* How often, without an answer: it may be the guest that is stopped, which says nothing of its
 * connections. */
#define SUSPECT_PROBES 3

/* A guest's own probes say after what time the way would be forgotten; within these bounds. */
#define GUEST_KEEPALIVE_MIN_S 5
#define GUEST_KEEPALIVE_MAX_S 7200

static uint64_t silent_ms(const struct conn *conn, const struct tcp_pcb *pcb)
{
	uint32_t now_ticks = (uint32_t)(loop_now_ms(conn->stack->loop) / TCP_SLOW_INTERVAL);
	int32_t ticks = (int32_t)(now_ticks - pcb->tmr);

	return ticks > 0 ? (uint64_t)ticks * TCP_SLOW_INTERVAL : 0;
}

static void set_timer(struct stack *stack)
{
	struct conn_table *tcp = &stack->tcp;
	struct list *queues[] = {&tcp->keep_idle, &tcp->keep_probing};
	uint64_t now_ms = loop_now_ms(stack->loop);
	uint64_t next_ms = tcp->suspects_at_ms ? tcp->suspects_at_ms : UINT64_MAX;

	for (unsigned i = 0; i < 2; i++) {
		struct conn *head;

		if (list_empty(queues[i]))
			continue;
		head = container_of(list_first(queues[i]), struct conn, keep_link);
		if (head->keep_at_ms < next_ms)
			next_ms = head->keep_at_ms;
	}
	if (next_ms != UINT64_MAX)
		loop_timer_set(tcp->keep_timer, next_ms > now_ms ? next_ms - now_ms : 0);
}

static void wait_idle(struct conn *conn)
{
	uint64_t at_ms = loop_now_ms(conn->stack->loop) + CONN_KEEP_CHECK_MS;

	conn->keep_probes = 0;
	conn->keep_at_ms = (at_ms + CHECK_ROUNDING_MS - 1) / CHECK_ROUNDING_MS * CHECK_ROUNDING_MS;
	list_add_tail(&conn->stack->tcp.keep_idle, &conn->keep_link);
}

void conn_keepalive_start(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;

	list_remove(&conn->keep_link);
	wait_idle(conn);
	if (!loop_timer_pending(tcp->keep_timer))
		set_timer(conn->stack);
}

static void send_probe(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;

	conn_enter(conn);
	/* A guest whose link is full may still be alive behind it. */
	if (tcp_keepalive(conn->active) == ERR_OK && !tcp->output_blocked)
		conn->keep_probes++;
	conn_leave(conn);
	conn->keep_at_ms = loop_now_ms(conn->stack->loop) + CONN_KEEP_INTERVAL_MS;
	list_add_tail(&tcp->keep_probing, &conn->keep_link);
}

/* Whether the guest may have something to say of the connection. What is in flight has a timer of
 * its own. */
static bool is_silent(const struct conn *conn, uint64_t ms)
{
	return !conn_timer_needed(conn->active) && !conn->is_blocked &&
	       silent_ms(conn, conn->active) >= ms;
}

/* For how long a guest that hasn't answered what it was asked has been silent; of one that wasn't
 * asked, how long it may be. Whoever is asked has been silent for longer than lwIP's clock is
 * coarse. */
static uint64_t unanswered_ms(const struct conn *conn)
{
	if (!conn->keep_probes)
		return CONN_KEEP_IDLE_MS;
	return loop_now_ms(conn->stack->loop) - (conn->keep_at_ms - CONN_KEEP_INTERVAL_MS) +
	       TCP_SLOW_INTERVAL;
}

static void check(struct conn *conn)
{
	bool is_suspect;

	list_remove(&conn->keep_link);
	if (!conn->active)
		return; /* in TIME_WAIT, or over */
	if (!is_silent(conn, unanswered_ms(conn))) {
		wait_idle(conn);
		return;
	}
	is_suspect = silent_ms(conn, conn->active) < CONN_KEEP_IDLE_MS;
	if (conn->keep_probes < (is_suspect ? SUSPECT_PROBES : CONN_KEEP_PROBES))
		send_probe(conn);
	else if (is_suspect)
		wait_idle(conn);
	else
		conn_give_up(conn, CONN_END_TIMEOUT);
}

static void check_due(struct stack *stack, struct list *queue)
{
	uint64_t now_ms = loop_now_ms(stack->loop);

	while (!list_empty(queue)) {
		struct conn *conn = container_of(list_first(queue), struct conn, keep_link);

		if (conn->keep_at_ms > now_ms)
			break;
		check(conn);
	}
}

/* ---- Guests that close many connections at once ---- */

/* The earliest time at which they are asked again. */
static uint64_t suspects_again_at(const struct conn_table *tcp)
{
	return tcp->suspected_ms ? tcp->suspected_ms + (SUSPECT_EVERY_MS << tcp->suspects_vain) : 0;
}

void conn_keepalive_closed(const struct conn *conn, bool is_reset)
{
	struct conn_table *tcp = &conn->stack->tcp;
	struct conn_closings *closings = &tcp->closings[conn->port];
	uint64_t now_ms = loop_now_ms(conn->stack->loop);

	if (is_reset && conn->keep_probes)
		tcp->suspects_found = true;
	if (now_ms - closings->since_ms > BURST_MS) {
		closings->since_ms = now_ms;
		closings->count = 0;
	}
	if (++closings->count != BURST_CLOSINGS)
		return;
	closings->is_burst = true;
	if (tcp->suspects_at_ms)
		return;
	tcp->suspects_at_ms = now_ms + SUSPECT_AFTER_MS;
	if (tcp->suspects_at_ms < suspects_again_at(tcp))
		tcp->suspects_at_ms = suspects_again_at(tcp);
	set_timer(conn->stack);
}

static void collect_suspects(struct conn_table *tcp, struct list *queue)
{
	struct list *next;

	for (struct list *node = queue->next; node != queue; node = next) {
		struct conn *conn = container_of(node, struct conn, keep_link);

		next = node->next;
		if (!tcp->closings[conn->port].is_burst || !conn->active ||
		    !is_silent(conn, SUSPECT_AFTER_MS / 2))
			continue;
		list_remove(&conn->keep_link);
		list_add_tail(&tcp->keep_suspects, &conn->keep_link);
	}
}

/* Those that the guests which have closed many may have closed, too. Where one has been asked
 * lately, what it answered is older than that. */
static void suspect(struct stack *stack)
{
	struct conn_table *tcp = &stack->tcp;

	collect_suspects(tcp, &tcp->keep_idle);
	collect_suspects(tcp, &tcp->keep_probing);
	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++)
		tcp->closings[port].is_burst = false;
	if (tcp->suspects_found || !tcp->suspected_ms)
		tcp->suspects_vain = 0;
	else if (tcp->suspects_vain < SUSPECT_VAIN_MAX)
		tcp->suspects_vain++;
	tcp->suspects_found = false;
	tcp->suspected_ms = loop_now_ms(stack->loop);
}

static void ask_suspects(struct stack *stack)
{
	struct list *suspects = &stack->tcp.keep_suspects;

	for (unsigned i = 0; i < SUSPECT_BATCH && !list_empty(suspects); i++) {
		struct conn *conn = container_of(list_first(suspects), struct conn, keep_link);

		list_remove(&conn->keep_link);
		if (conn->active && is_silent(conn, SUSPECT_AFTER_MS / 2))
			send_probe(conn);
		else if (conn->active)
			wait_idle(conn);
	}
}

/* A guest may have closed many more meanwhile. */
static uint64_t next_suspects_at(const struct conn_table *tcp, uint64_t now_ms)
{
	if (!list_empty(&tcp->keep_suspects))
		return now_ms + SUSPECT_BATCH_MS;
	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++) {
		if (tcp->closings[port].is_burst)
			return suspects_again_at(tcp);
	}
	return 0;
}

static void check_suspects(struct stack *stack)
{
	struct conn_table *tcp = &stack->tcp;
	uint64_t now_ms = loop_now_ms(stack->loop);

	if (!tcp->suspects_at_ms || tcp->suspects_at_ms > now_ms)
		return;
	if (list_empty(&tcp->keep_suspects))
		suspect(stack);
	ask_suspects(stack);
	tcp->suspects_at_ms = next_suspects_at(tcp, now_ms);
}

void conn_keepalive_tick(void *arg)
{
	struct stack *stack = arg;

	check_suspects(stack);
	check_due(stack, &stack->tcp.keep_probing);
	check_due(stack, &stack->tcp.keep_idle);
	set_timer(stack);
	switch_flush(stack->sw);
}

void conn_keepalive_observe(struct conn *conn)
{
	uint64_t silent_s = silent_ms(conn, conn->active) / 1000;

	/* A repeated segment of one byte looks the same, but comes sooner. */
	if (silent_s >= GUEST_KEEPALIVE_MIN_S && silent_s <= GUEST_KEEPALIVE_MAX_S)
		conn->guest_keepalive_s = (uint16_t)silent_s;
}

unsigned conn_guest_keepalive_s(const struct conn *conn)
{
	return conn->guest_keepalive_s;
}
