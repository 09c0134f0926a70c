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
 */
#include <lwip/priv/tcp_priv.h>

#include "netstack/stack_private.h"

#define CHECK_ROUNDING_MS 60000

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
	uint64_t next_ms = UINT64_MAX;

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

static void check(struct conn *conn)
{
	list_remove(&conn->keep_link);
	if (!conn->active)
		return; /* in TIME_WAIT, or over */
	if (conn_timer_needed(conn->active) || conn->is_blocked ||
	    silent_ms(conn, conn->active) < CONN_KEEP_IDLE_MS)
		wait_idle(conn); /* what is in flight has a timer of its own */
	else if (conn->keep_probes < CONN_KEEP_PROBES)
		send_probe(conn);
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

void conn_keepalive_tick(void *arg)
{
	struct stack *stack = arg;

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
