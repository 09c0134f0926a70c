/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest that is a router, to its containers, says by ICMP of our TCP: that there is a
 * smaller MTU behind it than the link's (path MTU discovery, RFC 1191 and RFC 8201), or nobody at
 * all (RFC 1122, 4.2.3.9: the attempt to connect is over; an open connection lives on). And what
 * any guest says of our datagrams: that nobody is at the port.
 *
 * Who believes such messages can be harmed by them. They are believed only about a connection that
 * the message's own sender has, whose bytes in flight they quote (RFC 5927), and down to an MTU
 * that exists.
 */
#include <lwip/priv/tcp_priv.h>

#include "base/csum.h"
#include "base/wire.h"
#include "netstack/stack_private.h"

/* The smallest path MTUs that are believed: Linux's for IPv4, RFC 8200's for IPv6. */
#define MTU4_MIN 552
#define MTU6_MIN IP6_MTU_MIN

/* What the message quotes of a TCP segment, or a datagram, that we sent. */
struct quote {
	uint8_t protocol;
	struct endpoint from; /* the far side */
	struct endpoint to;   /* the guest */
	uint32_t seq;         /* of a segment */
};

static bool read_transport(struct wire_reader *r, struct quote *ret)
{
	if (ret->protocol != IPPROTO_TCP && ret->protocol != IPPROTO_UDP)
		return false;
	ret->from.port = wire_be16(r);
	ret->to.port = wire_be16(r);
	ret->seq = wire_be32(r);
	return wire_ok(r);
}

static bool read_quote4(struct wire_reader *r, struct quote *ret)
{
	uint8_t first = wire_u8(r);
	size_t header_size = (size_t)(first & 0x0f) * 4;
	uint16_t fragment;

	wire_skip(r, 5);
	fragment = wire_be16(r);
	wire_skip(r, 1);
	ret->protocol = wire_u8(r);
	wire_skip(r, 2);
	ret->from.addr.family = ret->to.addr.family = AF_INET;
	wire_copy(r, &ret->from.addr.v4, 4);
	wire_copy(r, &ret->to.addr.v4, 4);
	if (!wire_ok(r) || first >> 4 != 4 || header_size < IPV4_HEADER_SIZE ||
	    (fragment & IPV4_FRAGMENT_OFFSET))
		return false;
	wire_skip(r, header_size - IPV4_HEADER_SIZE);
	return read_transport(r, ret);
}

/* We send no extension headers. */
static bool read_quote6(struct wire_reader *r, struct quote *ret)
{
	uint8_t first = wire_u8(r);

	wire_skip(r, 5);
	ret->protocol = wire_u8(r);
	wire_skip(r, 1);
	ret->from.addr.family = ret->to.addr.family = AF_INET6;
	wire_copy(r, &ret->from.addr.v6, 16);
	wire_copy(r, &ret->to.addr.v6, 16);
	if (!wire_ok(r) || first >> 4 != 6)
		return false;
	return read_transport(r, ret);
}

/* Whether the connection is one of the guest's at that port; of one that hasn't been answered yet
 * it may not be known. */
static bool is_at(const struct conn *conn, unsigned port, const struct mac *mac)
{
	if (conn->port)
		return conn->port == port;
	return stack_is_from(conn->stack, conn->hop.family ? &conn->hop : &conn->guest.addr, port,
			     mac);
}

/* The connection that is meant, or NULL. */
static struct conn *quoted_conn(struct stack *stack, unsigned port, const struct mac *mac,
				const struct quote *quote)
{
	struct conn_table *tcp = &stack->tcp;
	struct conn *conn = conn_find(tcp, &quote->to, &quote->from,
				      conn_hash(tcp, &quote->to, &quote->from));
	const struct tcp_pcb *pcb = conn ? conn->active : NULL;

	if (!pcb || !is_at(conn, port, mac) ||
	    !TCP_SEQ_BETWEEN(quote->seq, pcb->lastack, pcb->snd_nxt))
		return NULL;
	return conn;
}

static void lower(struct conn *conn, unsigned mtu, unsigned headers)
{
	/* What lwIP takes for the MSS stays as it is: the link's frames get cut smaller. */
	if (conn->guest_mss && mtu - headers < conn->guest_mss)
		conn->guest_mss = (uint16_t)(mtu - headers);
}

static void unreachable(struct conn *conn)
{
	if (conn->active_open && conn->active->state == SYN_SENT)
		conn_give_up(conn, CONN_END_REFUSED);
}

/* A datagram's; others may be a router's on its way, and pass. */
static bool refused(struct stack *stack, unsigned port, const struct mac *mac,
		    const struct quote *quote)
{
	const struct stack_refusal refusal = {
		.guest = quote->to, .far = quote->from, .port = port, .src_mac = *mac};

	if (!stack->handler->refused || (stack_on_link(stack, &quote->to.addr) &&
					 !stack_is_from(stack, &quote->to.addr, port, mac)))
		return false;
	return stack->handler->refused(stack->handler_arg, &refusal);
}

bool pmtu_input4(struct stack *stack, unsigned port, const struct mac *mac, const uint8_t *icmp,
		 size_t size)
{
	struct wire_reader r = wire_reader(icmp, size);
	uint8_t type = wire_u8(&r);
	uint8_t code = wire_u8(&r);
	struct quote quote;
	struct conn *conn;
	unsigned mtu;

	wire_skip(&r, 4);
	mtu = wire_be16(&r);
	if (type != ICMP_UNREACHABLE || csum_fold(csum_add(0, icmp, size)) != 0 ||
	    !read_quote4(&r, &quote))
		return false;
	if (quote.protocol == IPPROTO_UDP)
		return code == STACK_UNREACH_PORT && refused(stack, port, mac, &quote);
	conn = quoted_conn(stack, port, mac, &quote);
	if (!conn)
		return false;
	/* A router older than RFC 1191 gives no MTU. */
	if (mtu < MTU4_MIN)
		mtu = MTU4_MIN;
	if (code == ICMP_FRAG_NEEDED)
		lower(conn, mtu, IPV4_HEADER_SIZE + TCP_HEADER_SIZE);
	else
		unreachable(conn);
	return true;
}

bool pmtu_input6(struct stack *stack, unsigned port, const struct mac *mac, const uint8_t *icmp,
		 size_t size)
{
	struct wire_reader r = wire_reader(icmp, size);
	uint8_t type = wire_u8(&r);
	uint8_t code = wire_u8(&r);
	struct quote quote;
	struct conn *conn;
	uint32_t mtu;

	wire_skip(&r, 2);
	mtu = wire_be32(&r);
	if ((type != ICMP6_UNREACHABLE && (type != ICMP6_TOO_BIG || code != 0)) ||
	    !read_quote6(&r, &quote))
		return false;
	if (quote.protocol == IPPROTO_UDP)
		return type == ICMP6_UNREACHABLE && code == ICMP6_PORT &&
		       refused(stack, port, mac, &quote);
	conn = quoted_conn(stack, port, mac, &quote);
	if (!conn)
		return false;
	if (mtu < MTU6_MIN)
		mtu = MTU6_MIN; /* RFC 8201, 4 */
	if (type == ICMP6_UNREACHABLE)
		unreachable(conn);
	else if (mtu <= STACK_MTU_MAX)
		lower(conn, mtu, IPV6_HEADER_SIZE + TCP_HEADER_SIZE);
	return true;
}
