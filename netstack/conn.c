/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections with guests on lwIP; see conn.h for what this offers and conn_private.h for the
 * data. How they come to be is in conn_open.c.
 *
 * lwIP is used from outside its files only. Every call into it stands between conn_enter() and
 * conn_leave(), which lend it the pcb lists of one connection. Its callbacks run inside such a
 * call; they take note of what happened and nothing else, since the owner may want to touch other
 * connections.
 */
#include "netstack/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/priv/tcp_priv.h>

#include "base/clock.h"
#include "base/log.h"
#include "netstack/stack_private.h"

LOG_MODULE("tcp");

/* The congestion window is pinned wide open: the way to a guest is a queue in memory, which pushes
 * back. */
#define CWND_OPEN (64u * 1024 * 1024)

/* A guest that announces less gets segments of this size all the same: the largest that every host
 * takes is 536 (RFC 9293, 3.7.1), and tiny ones only serve to make us work. */
#define GUEST_MSS_MIN 88

/* lwIP asks for initial sequence numbers without a context. */
static const struct hash_key *isn_key;

struct conn_key {
	struct in6_addr guest;
	struct in6_addr far;
	uint16_t guest_port;
	uint16_t far_port;
};

static void key_addr(struct in6_addr *to, const struct addr *addr)
{
	if (addr->family == AF_INET)
		memcpy(to, &addr->v4, sizeof(addr->v4));
	else
		*to = addr->v6;
}

uint64_t conn_hash(const struct conn_table *tcp, const struct endpoint *guest,
		   const struct endpoint *far)
{
	struct conn_key key = {.guest_port = guest->port, .far_port = far->port};

	key_addr(&key.guest, &guest->addr);
	key_addr(&key.far, &far->addr);
	return hash_bytes(&tcp->key, &key, sizeof(key));
}

struct conn *conn_find(struct conn_table *tcp, const struct endpoint *guest,
		       const struct endpoint *far, uint64_t hash)
{
	for (struct hmap_node *node = hmap_find(&tcp->conns, hash); node;
	     node = hmap_find_next(node)) {
		struct conn *conn = container_of(node, struct conn, node);

		if (endpoint_equal(&conn->guest, guest) && endpoint_equal(&conn->far, far))
			return conn;
	}
	return NULL;
}

uint32_t conn_lwip_isn(const ip_addr_t *local_ip, uint16_t local_port, const ip_addr_t *remote_ip,
		       uint16_t remote_port)
{
	struct {
		uint8_t local[16];
		uint8_t remote[16];
		uint16_t local_port;
		uint16_t remote_port;
	} tuple = {.local_port = local_port, .remote_port = remote_port};

	memcpy(tuple.local, local_ip, IP_IS_V6_VAL(*local_ip) ? 16 : 4);
	memcpy(tuple.remote, remote_ip, IP_IS_V6_VAL(*remote_ip) ? 16 : 4);
	/* RFC 6528: a hash of the connection, plus a clock of 4 microseconds. */
	return (uint32_t)hash_bytes(isn_key, &tuple, sizeof(tuple)) + (uint32_t)(clock_us() / 4);
}

/* ---- In and out of lwIP ---- */

void conn_enter(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;

	assert(!tcp->current);
	tcp->current = conn;
	tcp->output_blocked = false;
	tcp_active_pcbs = conn->active;
	tcp_tw_pcbs = conn->tw;
	tcp_ticks = (u32_t)(loop_now_ms(conn->stack->loop) / TCP_SLOW_INTERVAL);
}

static void conn_learn_mss(struct conn *conn)
{
	unsigned headers = IPV4_HEADER_SIZE + TCP_HEADER_SIZE;
	unsigned mss = conn->active->mss;

	if (conn->guest.addr.family == AF_INET6)
		headers = IPV6_HEADER_SIZE + TCP_HEADER_SIZE;
	if (mss > conn->stack->conf.mtu - headers)
		mss = conn->stack->conf.mtu - headers;
	if (mss < GUEST_MSS_MIN)
		mss = GUEST_MSS_MIN;
	conn->guest_mss = (uint16_t)mss;
	conn->segment_size = (uint16_t)(TCP_MSS / mss * mss);
}

/* What lwIP mustn't learn from the guest: it reads an MSS option in any segment, and it believes in
 * congestion. */
static void conn_correct_pcb(struct conn *conn)
{
	struct tcp_pcb *pcb = conn->active;

	if (!conn->segment_size) {
		if (pcb->state == SYN_SENT)
			return;
		conn_learn_mss(conn);
	}
	/* A second SYN with a scale that the first hadn't makes lwIP open the window fully. */
	if (pcb->state == SYN_RCVD && pcb->rcv_wnd > conn->rx_window)
		pcb->rcv_wnd = pcb->rcv_ann_wnd = conn->rx_window;
	pcb->mss = conn->segment_size;
	pcb->cwnd = CWND_OPEN;
	pcb->ssthresh = CWND_OPEN;
}

static void conn_block(struct conn *conn)
{
	conn->is_blocked = true;
	if (list_empty(&conn->work_link))
		list_add_tail(&conn->stack->tcp.blocked, &conn->work_link);
}

void conn_leave(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;

	assert(tcp->current == conn);
	tcp->current = NULL;
	conn->active = tcp_active_pcbs;
	conn->tw = tcp_tw_pcbs;
	tcp_active_pcbs = NULL;
	tcp_tw_pcbs = NULL;
	if (conn->active)
		conn_correct_pcb(conn);
	if (conn->tx_acked)
		conn_tx_release(conn);
	if (conn->pcb && !conn->active && !conn->tw) {
		conn->ended = true;
		conn_unlist(conn);
		conn_schedule(conn);
	}
	conn->pcb = conn->active ? conn->active : conn->tw;
	conn_timer_update(conn);
	if (tcp->output_blocked && conn->pcb)
		conn_block(conn);
}

/* ---- lwIP's callbacks: take note ---- */

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct conn *conn = arg;

	(void)pcb;
	(void)err;
	if (p) {
		conn_rx_append(conn, p);
	} else {
		conn->rx_fin = true;
		conn_keepalive_closed(conn, false);
	}
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t size)
{
	struct conn *conn = arg;

	(void)pcb;
	conn->tx_acked += size;
	return ERR_OK;
}

/* lwIP frees the pcb after this. */
static void on_error(void *arg, err_t err)
{
	struct conn *conn = arg;

	if (!conn)
		return;
	if (err == ERR_RST)
		conn_keepalive_closed(conn, true);
	if (err == ERR_CLSD || (conn->rx_fin && conn->tx_fin_sent)) {
		/* Both sides had closed; nothing to tell. */
		return;
	}
	conn->ended_pending = true;
	if (err == ERR_RST)
		conn->end = conn->active_open && !conn->connected ? CONN_END_REFUSED
								  : CONN_END_RESET;
	else
		conn->end = CONN_END_TIMEOUT;
}

void conn_set_callbacks(struct tcp_pcb *pcb, struct conn *conn)
{
	tcp_arg(pcb, conn);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_nagle_disable(pcb);
}

/* Removes the pcb, with RST where the guest still counts on it; the owner isn't told. */
void conn_abort_pcb(struct conn *conn)
{
	if (!conn->pcb)
		return;
	conn_enter(conn);
	conn->pcb->errf = NULL;
	tcp_abort(conn->pcb);
	conn->tx_acked = 0;
	conn_leave(conn);
}

/* ---- Life ---- */

void conn_set_port(struct conn *conn, unsigned port)
{
	struct conn_table *tcp = &conn->stack->tcp;

	if (conn->port == port)
		return;
	tcp->count_by_port[conn->port]--;
	tcp->count_by_port[port]++;
	conn->port = port;
}

/* A guest may have so many times what is free, so that there is something left for the next one,
 * however many others take all they get: one alone may have eight ninths of all, two have
 * eight seventeenths each (A. Choudhury and E. Hahne, "Dynamic Queue Length Thresholds", 1998). */
#define GUEST_TIMES_FREE 8

static bool is_full(const struct stack *stack, unsigned port)
{
	const struct conn_table *tcp = &stack->tcp;
	unsigned total_max = stack->conf.conns_total_max, own = tcp->count_by_port[port];

	if (own >= stack->conf.conns_max)
		return true;
	return total_max &&
	       (tcp->count >= total_max || own / GUEST_TIMES_FREE >= total_max - tcp->count);
}

int conn_new(struct stack *stack, const struct endpoint *guest, const struct endpoint *far,
	     unsigned port, struct conn **ret_conn)
{
	struct conn_table *tcp = &stack->tcp;
	struct conn *conn;

	if (is_full(stack, port)) {
		tcp->refused_full++;
		log_limited(LOG_LEVEL_WARN,
			    "the guest at port %u has %u connections, the most allowed: refusing "
			    "another one",
			    port, tcp->count_by_port[port]);
		return -ENOBUFS;
	}
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->stack = stack;
	conn->guest = *guest;
	conn->far = *far;
	list_init(&conn->work_link);
	list_init(&conn->timer_link);
	list_init(&conn->keep_link);
	conn_data_init(conn);
	if (hmap_insert(&tcp->conns, &conn->node, conn_hash(tcp, guest, far)) < 0) {
		free(conn);
		return -ENOMEM;
	}
	conn->is_listed = true;
	conn->port = port;
	tcp->count_by_port[port]++;
	tcp->count++;
	if (tcp->count > tcp->count_peak)
		tcp->count_peak = tcp->count;
	tcp->total++;
	*ret_conn = conn;
	return 0;
}

void conn_unlist(struct conn *conn)
{
	if (!conn->is_listed)
		return;
	hmap_remove(&conn->stack->tcp.conns, &conn->node);
	conn->is_listed = false;
}

void conn_destroy(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;

	conn_abort_pcb(conn);
	conn_data_release(conn);
	free(conn->held);
	list_remove(&conn->work_link);
	list_remove(&conn->timer_link);
	list_remove(&conn->keep_link);
	conn_unlist(conn);
	tcp->count_by_port[conn->port]--;
	tcp->count--;
	if (tcp->count <= tcp->count_peak / 2 && !loop_timer_pending(tcp->trim))
		loop_timer_set(tcp->trim, CONN_TRIM_MS);
	free(conn);
}

void conn_own(struct conn *conn, const struct conn_ops *ops, void *arg)
{
	conn->ops = ops;
	conn->ops_arg = arg;
}

void conn_schedule(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;

	list_remove(&conn->work_link);
	list_add_tail(&tcp->work[conn->port], &conn->work_link);
	loop_task_schedule(conn->stack->loop, &tcp->task);
}

void conn_free(struct conn *conn)
{
	if (!conn)
		return;
	conn->ops = NULL;
	if (conn->in_callback) {
		conn->freed = true;
		return;
	}
	if (conn->pcb && conn_rx_eof(conn) && conn->tx_fin) {
		/* lwIP delivers what is in flight; the work list takes it from here. */
		conn_schedule(conn);
		return;
	}
	conn_destroy(conn);
}

void conn_give_up(struct conn *conn, enum conn_end why)
{
	conn_abort_pcb(conn);
	conn_unlist(conn);
	conn->ended = true;
	conn->ended_pending = true;
	conn->end = why;
	conn_schedule(conn);
}

void conn_port_gone(struct stack *stack, unsigned port)
{
	struct hmap_node *node = hmap_next(&stack->tcp.conns, NULL);

	while (node) {
		struct conn *conn = container_of(node, struct conn, node);

		node = hmap_next(&stack->tcp.conns, node);
		if (conn->port == port)
			conn_give_up(conn, CONN_END_GONE);
	}
}

/* ---- The table ---- */

int conn_table_init(struct stack *stack)
{
	struct conn_table *tcp = &stack->tcp;
	struct tcp_pcb *pcb;
	int r;

	hmap_init(&tcp->conns);
	tcp->key = hash_key_random();
	isn_key = &tcp->key;
	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++)
		list_init(&tcp->work[port]);
	list_init(&tcp->blocked);
	list_init(&tcp->timed);
	list_init(&tcp->time_wait);
	list_init(&tcp->keep_idle);
	list_init(&tcp->keep_probing);
	list_init(&tcp->keep_suspects);
	list_init(&tcp->chunk_pool);
	tcp->task = (struct loop_task){.fn = conn_work_task, .arg = stack};
	r = loop_timer_new(stack->loop, conn_timer_tick, stack, &tcp->tick);
	if (r == 0)
		r = loop_timer_new(stack->loop, conn_timer_trim, stack, &tcp->trim);
	if (r == 0)
		r = loop_timer_new(stack->loop, conn_keepalive_tick, stack, &tcp->keep_timer);
	if (r < 0)
		return r;
	/* One listener of any address and port, linked in only while conn_accept() injects a SYN.
	 */
	pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
	if (!pcb)
		return -ENOMEM;
	pcb = tcp_listen(pcb);
	if (!pcb)
		return -ENOMEM;
	tcp_accept(pcb, conn_on_accept);
	tcp->listener = (struct tcp_pcb_listen *)pcb;
	tcp_listen_pcbs.listen_pcbs = NULL;
	return 0;
}

void conn_table_destroy(struct stack *stack)
{
	struct conn_table *tcp = &stack->tcp;
	struct hmap_node *node;

	while ((node = hmap_next(&tcp->conns, NULL)))
		conn_destroy(container_of(node, struct conn, node));
	/* Those that have ended and wait for their last work. */
	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++) {
		while (!list_empty(&tcp->work[port]))
			conn_destroy(
				container_of(list_first(&tcp->work[port]), struct conn, work_link));
	}
	loop_task_cancel(stack->loop, &tcp->task);
	loop_timer_free(tcp->tick);
	loop_timer_free(tcp->trim);
	loop_timer_free(tcp->keep_timer);
	if (tcp->listener)
		memp_free(MEMP_TCP_PCB_LISTEN, tcp->listener);
	conn_chunk_pool_drain(stack);
	hmap_destroy(&tcp->conns);
	isn_key = NULL;
}

const struct endpoint *conn_guest(const struct conn *conn)
{
	return &conn->guest;
}

const struct endpoint *conn_far(const struct conn *conn)
{
	return &conn->far;
}

unsigned conn_port(const struct conn *conn)
{
	return conn->port;
}
