/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work lists, one for each guest: at the end of a round of the loop, every connection that
 * something happened to is worked off once. Its owner is told, and then what it queued is sent,
 * with one ACK for all that came.
 */
#include <lwip/priv/tcp_priv.h>

#include "netstack/stack_private.h"

/* Connections of a guest that are worked off in one round. A guest that goes may leave thousands to
 * be closed, for which the others shouldn't wait. */
#define ROUND_CONNS_MAX 256

/* A segment larger than the guest's window waits for lwIP's persist timer, unless it is cut. */
static void split_for_window(struct conn *conn)
{
	struct tcp_pcb *pcb = conn->active;

	if (!pcb || !pcb->unsent || pcb->unacked || pcb->snd_wnd < conn->guest_mss ||
	    pcb->snd_wnd >= pcb->unsent->len)
		return;
	if (tcp_split_unsent_seg(pcb, (u16_t)pcb->snd_wnd) == ERR_OK)
		tcp_output(pcb);
}

/* Whether our FIN is due: its owner wants it, and lwIP has everything before it. */
static bool fin_wanted(const struct conn *conn)
{
	return conn->tx_fin && !conn->tx_fin_sent && conn->tx_queued == conn->tx_bytes;
}

static void send_fin(struct conn *conn)
{
	if (tcp_shutdown(conn->active, 0, 1) == ERR_OK)
		conn->tx_fin_sent = true;
}

/*
 * Whether our FIN may ride on the last bytes. lwIP would let a FIN on a segment that it splits go
 * too early, so it may only where there is nothing to split: one small segment, within the window.
 */
static bool fin_may_ride(const struct conn *conn, const struct tcp_pcb *pcb)
{
	const struct tcp_seg *last = pcb->unsent;

	return last && !last->next && !pcb->unacked && last->len <= conn->guest_mss &&
	       lwip_ntohl(last->tcphdr->seqno) - pcb->lastack + last->len + 1 <= pcb->snd_wnd;
}

/* Sends what the owner queued, and one ACK or window update for what was received in this round. */
static void conn_transmit(struct conn *conn)
{
	struct tcp_pcb *pcb;

	if (!conn->active)
		return;
	conn->is_blocked = false;
	conn_enter(conn);
	pcb = conn->active;
	if (pcb->state >= ESTABLISHED) {
		conn_tx_push(conn);
		if (conn_rx_announce(conn) || conn->ack_owed || (pcb->flags & TF_ACK_DELAY))
			tcp_ack_now(pcb);
		conn->ack_owed = false;
		if (fin_wanted(conn) && fin_may_ride(conn, pcb))
			send_fin(conn);
	}
	if (pcb->unsent || (pcb->flags & TF_ACK_NOW))
		tcp_output(pcb);
	split_for_window(conn);
	if (fin_wanted(conn) && !pcb->unsent)
		send_fin(conn);
	conn_leave(conn);
}

static void conn_tell_owner(struct conn *conn)
{
	conn->in_callback = true;
	if (conn->connected_pending && conn->ops) {
		conn->connected_pending = false;
		conn->ops->connected(conn->ops_arg);
	}
	if (conn->ops && !conn->held)
		conn->ops->work(conn->ops_arg);
	if (conn->ended_pending && conn->ops) {
		conn->ended_pending = false;
		conn->ops->ended(conn->ops_arg, conn->end);
	}
	conn->in_callback = false;
}

static void conn_work(struct conn *conn)
{
	if (conn->ops)
		conn_tell_owner(conn);
	if (conn->freed) {
		conn->freed = false;
		if (!conn->pcb || !conn_rx_eof(conn) || !conn->tx_fin) {
			conn_destroy(conn);
			return;
		}
	}
	conn_transmit(conn);
	if (!conn->ops && !conn->pcb)
		conn_destroy(conn);
}

/* Works off what a guest's connections have at this moment, up to a limit; what comes meanwhile
 * waits for the next round. Returns whether any are left. */
static bool work_off(struct list *work)
{
	struct list last;

	list_add_tail(work, &last);
	for (unsigned i = 0; i < ROUND_CONNS_MAX && work->next != &last; i++) {
		struct conn *conn = container_of(work->next, struct conn, work_link);

		list_remove(&conn->work_link);
		conn_work(conn);
	}
	list_remove(&last);
	return !list_empty(work);
}

void conn_work_task(void *arg)
{
	struct stack *stack = arg;
	bool more = false;

	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++) {
		if (!list_empty(&stack->tcp.work[port]) && work_off(&stack->tcp.work[port]))
			more = true;
	}
	if (more)
		loop_task_schedule(stack->loop, &stack->tcp.task);
	switch_flush(stack->sw);
}

void conn_writable(struct stack *stack)
{
	while (!list_empty(&stack->tcp.blocked))
		conn_schedule(
			container_of(list_first(&stack->tcp.blocked), struct conn, work_link));
}
