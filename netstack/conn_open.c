/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How TCP connections come to be: a guest's, whose SYN is held until the owner accepts or refuses
 * it, and those to guests. See conn.c for the calls into lwIP.
 */
#include "netstack/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/ip.h>
#include <lwip/priv/tcp_priv.h>

#include "netstack/stack_private.h"

static ip_addr_t to_lwip(const struct addr *addr)
{
	ip_addr_t ip = {0};

	if (addr->family == AF_INET) {
		ip_addr_set_ip4_u32_val(ip, addr->v4.s_addr);
	} else {
		memcpy(ip_2_ip6(&ip)->addr, &addr->v6, sizeof(addr->v6));
		IP_SET_TYPE_VAL(ip, IPADDR_TYPE_V6);
	}
	return ip;
}

void conn_fill_ip_data(struct stack *stack, const struct addr *src, const struct addr *dst)
{
	/* lwIP asks whether there is one, and looks at nothing in it. */
	static struct ip6_hdr some_ip6_header;

	memset(&ip_data, 0, sizeof(ip_data));
	if (src->family == AF_INET6)
		ip_data.current_ip6_header = &some_ip6_header;
	ip_data.current_netif = &stack->netif;
	ip_data.current_input_netif = &stack->netif;
	ip_data.current_iphdr_src = to_lwip(src);
	ip_data.current_iphdr_dest = to_lwip(dst);
}

/* ---- From guests ---- */

/* A pbuf with a copy of the TCP segment in a held packet. */
static struct pbuf *held_segment(const struct conn *conn)
{
	uint16_t size = (uint16_t)(conn->held->size - conn->held->transport);
	struct pbuf *p = pbuf_alloc(PBUF_RAW, size, PBUF_RAM);

	if (p)
		memcpy(p->payload, conn->held->packet + conn->held->transport, size);
	return p;
}

void conn_accept(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;
	struct pbuf *p;

	if (!conn->held || conn->ended)
		return;
	p = held_segment(conn);
	if (p) {
		conn_fill_ip_data(conn->stack, &conn->guest.addr, &conn->far.addr);
		conn_enter(conn);
		tcp->listener->local_port = conn->far.port;
		tcp->listener->callback_arg = conn;
		tcp_listen_pcbs.listen_pcbs = tcp->listener;
		tcp_input(p, &conn->stack->netif);
		tcp_listen_pcbs.listen_pcbs = NULL;
		if (tcp_active_pcbs) {
			struct tcp_pcb *pcb = tcp_active_pcbs;

			conn_set_callbacks(pcb, conn);
			conn->pcb = pcb;
			/* lwIP announced 64 KiB at most in the SYN-ACK, but noted its full window.
			 */
			pcb->rcv_wnd = pcb->rcv_ann_wnd = conn->rx_window;
			pcb->rcv_ann_right_edge = pcb->rcv_nxt + conn->rx_window;
		}
		conn_leave(conn);
	}
	free(conn->held);
	conn->held = NULL;
	if (!conn->pcb && !conn->ended)
		conn_give_up(conn, CONN_END_TIMEOUT);
}

void conn_input_stray(struct stack *stack, struct pbuf *p, const struct addr *src,
		      const struct addr *dst)
{
	conn_fill_ip_data(stack, src, dst);
	tcp_input(p, &stack->netif);
}

void conn_refuse(struct conn *conn, enum conn_refusal how)
{
	static const enum stack_unreachable codes[] = {
		[CONN_REFUSE_NET] = STACK_UNREACH_NET,
		[CONN_REFUSE_HOST] = STACK_UNREACH_HOST,
		[CONN_REFUSE_ADMIN] = STACK_UNREACH_ADMIN,
	};
	struct pbuf *p;

	if (conn->held) {
		switch (how) {
		case CONN_REFUSE_RESET:
			p = held_segment(conn);
			if (p)
				conn_input_stray(conn->stack, p, &conn->guest.addr,
						 &conn->far.addr);
			break;
		case CONN_REFUSE_NET:
		case CONN_REFUSE_HOST:
		case CONN_REFUSE_ADMIN:
			stack_send_unreachable(conn->stack, codes[how], conn->held->packet,
					       conn->held->size);
			break;
		case CONN_REFUSE_SILENTLY:
			break;
		}
	}
	conn_free(conn);
}

err_t conn_on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct conn *conn = arg;

	(void)pcb;
	if (err != ERR_OK || !conn)
		return ERR_OK;
	conn->connected = true;
	conn->connected_pending = true;
	conn_keepalive_start(conn);
	return ERR_OK;
}

/* ---- To guests ---- */

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct conn *conn = arg;

	if (err != ERR_OK)
		return ERR_OK;
	conn->connected = true;
	conn->connected_pending = true;
	conn_keepalive_start(conn);
	/* The SYN announced at most 64 KiB; lwIP opens fully when it learns of window scaling. */
	pcb->rcv_wnd = pcb->rcv_ann_wnd = conn->rx_window;
	return ERR_OK;
}

/* Link-local addresses are for the guests' own affairs. */
static bool is_guest(const struct stack *stack, const struct addr *addr)
{
	return stack_on_link(stack, addr) && !stack_is_ours(stack, addr) &&
	       !(addr->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&addr->v6));
}

int conn_connect(struct stack *stack, const struct endpoint *from, const struct endpoint *guest,
		 const struct addr *hop, const struct conn_ops *ops, void *arg,
		 struct conn **ret_conn)
{
	struct conn_table *tcp = &stack->tcp;
	ip_addr_t guest_ip = to_lwip(&guest->addr);
	const struct neigh *neigh;
	struct tcp_pcb *pcb;
	struct conn *conn;
	err_t err;
	int r;

	if (from->addr.family != guest->addr.family)
		return -EAFNOSUPPORT;
	if (!is_guest(stack, hop ? hop : &guest->addr) ||
	    (hop && !behind_address_ok(&stack->conf, &guest->addr)) ||
	    switch_ports(stack->sw, NULL, 0) == 0)
		return -EHOSTUNREACH;
	if (conn_find(tcp, guest, from, conn_hash(tcp, guest, from)))
		return -EADDRINUSE;
	neigh = neigh_lookup(stack->neighbours, hop ? hop : &guest->addr);
	r = conn_new(stack, guest, from, neigh ? neigh->port : 0, &conn);
	if (r < 0)
		return r;
	conn->active_open = true;
	if (hop)
		conn->hop = *hop;
	conn_own(conn, ops, arg);

	conn_enter(conn);
	pcb = tcp_new_ip_type(IP_GET_TYPE(&guest_ip));
	if (!pcb) {
		conn_leave(conn);
		conn_destroy(conn);
		return -ENOMEM;
	}
	pcb->local_ip = to_lwip(&from->addr);
	pcb->local_port = from->port;
	conn_set_callbacks(pcb, conn);
	err = tcp_connect(pcb, &guest_ip, guest->port, on_connected);
	if (err != ERR_OK && pcb->state == CLOSED)
		memp_free(MEMP_TCP_PCB, pcb);
	conn_leave(conn);
	if (!conn->pcb) {
		conn_destroy(conn);
		return -ENOMEM;
	}
	*ret_conn = conn;
	return 0;
}
