/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timers of TCP connections: lwIP's slow timer for those that have something to time, one at a
 * time, and our own list of those in TIME_WAIT.
 */
#include <malloc.h>

#include <lwip/priv/tcp_priv.h>

#include "netstack/stack_private.h"

/* How long a guest may be silent that owes us an acknowledgement. Linux takes about as long. */
#define PATIENCE_MS (13 * 60 * 1000)

/* TIME_WAIT ends up to this much later than it might: thousands of connections that closed in one
 * second end in one wake-up. */
#define TIME_WAIT_SLACK_MS 1000

bool conn_timer_needed(const struct tcp_pcb *pcb)
{
	return pcb->unacked || pcb->unsent || pcb->ooseq || pcb->persist_backoff ||
	       (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT && pcb->state != FIN_WAIT_2);
}

static uint64_t time_wait_sleep(uint64_t until_ms, uint64_t now_ms)
{
	uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;

	return left_ms > TIME_WAIT_SLACK_MS ? left_ms : TIME_WAIT_SLACK_MS;
}

static void tick_start(struct stack *stack)
{
	struct conn_table *tcp = &stack->tcp;
	uint64_t now = loop_now_ms(stack->loop);
	struct conn *oldest;

	if (!list_empty(&tcp->timed)) {
		loop_timer_set(tcp->tick, TCP_SLOW_INTERVAL);
	} else if (!list_empty(&tcp->time_wait)) {
		oldest = container_of(list_first(&tcp->time_wait), struct conn, timer_link);
		loop_timer_set(tcp->tick, time_wait_sleep(oldest->time_wait_until_ms, now));
	}
}

/* Puts the conn on the timer list that its state asks for. One that no longer needs to be on
 * `timed` stays until the next tick: a busy connection would come and go with every segment. */
void conn_timer_update(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;
	bool start = list_empty(&tcp->timed);

	if (conn->tw) {
		if (conn->time_wait_until_ms)
			return;
		conn->time_wait_until_ms = loop_now_ms(conn->stack->loop) + 2 * TCP_MSL;
		list_remove(&conn->timer_link);
		list_add_tail(&tcp->time_wait, &conn->timer_link);
		start = !loop_timer_pending(tcp->tick);
	} else if (conn->active && list_empty(&conn->timer_link) &&
		   conn_timer_needed(conn->active)) {
		list_add_tail(&tcp->timed, &conn->timer_link);
	} else {
		return;
	}
	if (start)
		tick_start(conn->stack);
}

/* lwIP would have its own timer started; ours follow from each connection's state. */
void tcp_timer_needed(void)
{
}

/* Mirror of lwIP's own, which outlives a stack. */
static uint8_t timer_counter;

/*
 * A guest may be stopped for minutes, to be saved or looked at, and must find its connections alive
 * and the ends of its streams. lwIP would repeat a segment, or a probe of a closed window, 12 times
 * (which can be over in a minute), and forget a connection in LAST_ACK a few seconds after the
 * guest's last word.
 */
static void be_patient(struct tcp_pcb *pcb)
{
	if (pcb->state < ESTABLISHED ||
	    (uint32_t)(tcp_ticks - pcb->tmr) > PATIENCE_MS / TCP_SLOW_INTERVAL)
		return;
	if (pcb->nrtx >= TCP_MAXRTX)
		pcb->nrtx = TCP_MAXRTX - 1;
	if (pcb->persist_probe >= TCP_MAXRTX)
		pcb->persist_probe = TCP_MAXRTX - 1;
	if (pcb->state == LAST_ACK)
		pcb->tmr = tcp_ticks;
}

/* One tick of lwIP's slow timer for one connection: retransmission, persist, and the states that
 * end by time. */
static void conn_tick(struct conn *conn)
{
	uint32_t heard = conn->active->tmr;

	conn_enter(conn);
	if (conn->is_blocked) {
		/* The guest's link is full: that says nothing about what was sent. */
		conn->active->tmr = tcp_ticks;
	} else {
		be_patient(conn->active);
		/* lwIP counts the tick itself, and skips a pcb that it thinks it has seen in this
		 * tick. */
		tcp_ticks--;
		conn->active->last_timer = timer_counter;
		tcp_slowtmr();
		timer_counter++;
		if (tcp_active_pcbs)
			tcp_active_pcbs->tmr = heard;
	}
	conn_leave(conn);
}

void conn_timer_tick(void *arg)
{
	struct stack *stack = arg;
	struct conn_table *tcp = &stack->tcp;
	uint64_t now = loop_now_ms(stack->loop);
	struct list todo;

	list_take(&todo, &tcp->timed);
	while (!list_empty(&todo)) {
		struct conn *conn = container_of(list_first(&todo), struct conn, timer_link);

		list_remove(&conn->timer_link);
		if (conn->active && conn_timer_needed(conn->active))
			conn_tick(conn);
	}
	while (!list_empty(&tcp->time_wait)) {
		struct conn *conn = container_of(list_first(&tcp->time_wait), struct conn,
						 timer_link);

		if (conn->time_wait_until_ms > now)
			break;
		list_remove(&conn->timer_link);
		conn_abort_pcb(conn);
	}
	tick_start(stack);
	switch_flush(stack->sw);
}

void conn_timer_trim(void *arg)
{
	struct stack *stack = arg;
	struct conn_table *tcp = &stack->tcp;

	/* In use by many: what there is will be needed. */
	if (tcp->count > tcp->count_peak / 2)
		return;
	tcp->count_peak = tcp->count;
	conn_chunk_pool_drain(stack);
	malloc_trim(0);
}
