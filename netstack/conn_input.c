/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP segments from guests: finding the connection they belong to, and giving them to lwIP with as
 * little copying as possible. What becomes of SYNs is in conn_open.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/priv/tcp_priv.h>

#include "base/wire.h"
#include "netstack/stack_private.h"

/* Of what was the type of service; the rest is ECN's. */
#define DSCP_MASK 0xfc

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1

struct tcp_header {
	uint16_t src_port;
	uint16_t dst_port;
	uint32_t seq;
	uint8_t flags;
};

/* A pbuf that refers to a link's receive buffer. */
struct rx_pbuf {
	struct pbuf_custom custom;
	struct iobuf_hold hold;
};

static void on_rx_pbuf_free(struct pbuf *p)
{
	struct rx_pbuf *rx = (struct rx_pbuf *)p;

	iobuf_hold_release(&rx->hold);
	free(rx);
}

static void on_borrowed_free(struct pbuf *p)
{
	(void)p;
}

/* A chain of pbufs that refers to the frame's pieces from `offset` to `end` and keeps its buffer.
 */
static struct pbuf *chain_reference(const struct frame *frame, size_t offset, size_t end)
{
	struct pbuf *head = NULL;
	struct pbuf **tail = &head;
	size_t at = 0;

	for (unsigned i = 0; i < frame->iov_count && at < end; i++) {
		size_t from = at < offset ? offset - at : 0;
		size_t to = frame->iov[i].iov_len;
		struct rx_pbuf *rx;

		if (at + to > end)
			to = end - at;
		at += frame->iov[i].iov_len;
		if (from >= to)
			continue;
		rx = malloc(sizeof(*rx));
		if (!rx) {
			if (head)
				pbuf_free(head);
			return NULL;
		}
		rx->custom.custom_free_function = on_rx_pbuf_free;
		*tail = pbuf_alloced_custom(PBUF_RAW, (u16_t)(to - from), PBUF_REF, &rx->custom,
					    (uint8_t *)frame->iov[i].iov_base + from,
					    (u16_t)(to - from));
		iobuf_hold_take(&rx->hold, frame->buf, i, &rx->custom.pbuf.payload);
		tail = &(*tail)->next;
	}
	/* Each pbuf's tot_len counts from itself to the end of the chain. */
	size_t left = end - offset;
	for (struct pbuf *p = head; p; p = p->next) {
		p->tot_len = (u16_t)left;
		left -= p->len;
	}
	return head;
}

static struct pbuf *chain_copy(const struct frame *frame, size_t offset, size_t end)
{
	struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)(end - offset), PBUF_RAM);
	uint8_t *to = p ? p->payload : NULL;
	size_t at = 0;

	for (unsigned i = 0; p && i < frame->iov_count && at < end; i++) {
		size_t piece = frame->iov[i].iov_len;
		size_t first = at < offset ? offset - at : 0;
		size_t last = at + piece > end ? end - at : piece;

		if (first < last) {
			memcpy(to, (uint8_t *)frame->iov[i].iov_base + first, last - first);
			to += last - first;
		}
		at += piece;
	}
	return p;
}

/*
 * lwIP acknowledges every second segment while it takes it in. Here all that come in one round are
 * acknowledged together, by conn_transmit(): each segment finds none waiting for an ACK.
 */
static void postpone_ack(struct conn *conn)
{
	if (!conn->active || !(conn->active->flags & TF_ACK_DELAY))
		return;
	conn->ack_owed = true;
	tcp_clear_flags(conn->active, TF_ACK_DELAY);
}

static void input_pbuf(struct conn *conn, struct pbuf *p)
{
	postpone_ack(conn);
	conn_fill_ip_data(conn->stack, &conn->guest.addr, &conn->far.addr);
	conn_enter(conn);
	tcp_input(p, &conn->stack->netif);
	conn_leave(conn);
	conn_schedule(conn);
}

/*
 * Most segments are small and in order: lwIP is done with those, or conn_rx_append() has copied
 * them, when tcp_input() returns, so they need no memory of their own.
 */
static void input_borrowed(struct conn *conn, const struct frame *frame, size_t offset, size_t end)
{
	struct pbuf_custom custom = {.custom_free_function = on_borrowed_free};
	struct pbuf *p = pbuf_alloced_custom(PBUF_RAW, (u16_t)(end - offset), PBUF_REF, &custom,
					     (uint8_t *)frame->iov[0].iov_base + offset,
					     (u16_t)(end - offset));

	input_pbuf(conn, p);
	assert(p->ref == 0);
}

/*
 * A segment that will wait for others: lwIP cuts it to the window, but not where it takes the place
 * of one that waits already, and never its FIN; later it asserts that all fits. So the segment is
 * cut here, and the FIN isn't shown to it: the guest sends both again.
 */
static void cut_to_window(const struct tcp_pcb *pcb, const struct tcp_header *tcp, struct pbuf *p,
			  size_t header_size)
{
	uint32_t room = pcb->rcv_nxt + pcb->rcv_wnd - tcp->seq;

	((uint8_t *)p->payload)[TCP_AT_FLAGS] &= (uint8_t)~TCP_FIN;
	/* One that begins beyond the window is lwIP's to refuse. */
	if ((int32_t)room > 0 && p->tot_len - header_size > room)
		pbuf_realloc(p, (u16_t)(header_size + room));
}

/* A segment without its bytes, which there is no memory for: the guest is told to send them again.
 */
static void input_without_bytes(struct conn *conn, const struct frame *frame,
				const struct frame_headers *headers)
{
	struct pbuf *p = chain_copy(frame, headers->transport_offset, headers->payload_offset);

	conn->stack->tcp.rx_refused++;
	if (!p)
		return;
	((uint8_t *)p->payload)[TCP_AT_FLAGS] &= (uint8_t)~TCP_FIN;
	input_pbuf(conn, p);
	conn->ack_owed = true;
}

static void input_segment(struct conn *conn, const struct tcp_header *tcp,
			  const struct frame *frame, const struct frame_headers *headers)
{
	size_t offset = headers->transport_offset;
	size_t end = headers->ip_end;
	size_t size = end - headers->payload_offset;
	bool is_late = conn->active && TCP_SEQ_GT(tcp->seq, conn->active->rcv_nxt);
	struct pbuf *p;

	if (!conn_rx_may_keep(conn, tcp->seq, size)) {
		input_without_bytes(conn, frame, headers);
		return;
	}
	if (size <= CONN_RX_COPY_MAX && conn->active && conn->active->state >= ESTABLISHED &&
	    tcp->seq == conn->active->rcv_nxt && !conn->active->ooseq &&
	    end <= frame->iov[0].iov_len) {
		input_borrowed(conn, frame, offset, end);
		return;
	}
	if (size <= CONN_RX_COPY_MAX || !frame->buf)
		p = chain_copy(frame, offset, end);
	else
		p = chain_reference(frame, offset, end);
	if (!p)
		return;
	if (is_late)
		cut_to_window(conn->active, tcp, p, headers->payload_offset - offset);
	input_pbuf(conn, p);
	if (is_late || conn->gap_bytes)
		conn_account_gaps(conn);
}

static void note_service_class(struct conn *conn, const struct frame *frame,
			       const struct frame_headers *headers)
{
	const uint8_t *ip = (const uint8_t *)frame->iov[0].iov_base + headers->ip_offset;
	unsigned tos = conn->guest.addr.family == AF_INET ? ip[IPV4_AT_TOS]
							  : ip[0] << 4 | ip[1] >> 4;

	conn->service_class = (uint8_t)(tos & DSCP_MASK);
}

uint8_t conn_service_class(const struct conn *conn)
{
	return conn->service_class;
}

static int hold_syn(struct conn *conn, const struct frame *frame,
		    const struct frame_headers *headers)
{
	uint16_t size = (uint16_t)(headers->payload_offset - headers->ip_offset);
	struct held_syn *held = malloc(sizeof(*held) + size);

	if (!held)
		return -ENOMEM;
	*held = (struct held_syn){
		.last_ms = loop_now_ms(conn->stack->loop),
		.size = size,
		.transport = (uint16_t)(headers->transport_offset - headers->ip_offset),
	};
	memcpy(held->packet, (const uint8_t *)frame->iov[0].iov_base + headers->ip_offset, size);
	note_service_class(conn, frame, headers);
	if (conn->held)
		held->gap_ms = held->last_ms - conn->held->last_ms;
	free(conn->held);
	conn->held = held;
	return 0;
}

void conn_held_syn(const struct conn *conn, uint64_t *ret_last_ms, uint64_t *ret_gap_ms)
{
	*ret_last_ms = conn->held ? conn->held->last_ms : 0;
	*ret_gap_ms = conn->held ? conn->held->gap_ms : 0;
}

static void input_held(struct conn *conn, const struct tcp_header *tcp, const struct frame *frame,
		       const struct frame_headers *headers)
{
	if (tcp->flags & TCP_RST) {
		conn_give_up(conn, CONN_END_RESET);
	} else if (tcp->flags & TCP_SYN) {
		/* A retransmission, or a new attempt from the same port: the latest one counts. */
		hold_syn(conn, frame, headers);
	}
}

static void input_syn(struct stack *stack, unsigned port, const struct endpoint *guest,
		      const struct endpoint *far, const struct frame *frame,
		      const struct frame_headers *headers)
{
	struct conn *conn;

	if (conn_new(stack, guest, far, port, &conn) < 0) {
		struct pbuf *p = chain_copy(frame, headers->transport_offset,
					    headers->payload_offset);

		if (p)
			conn_input_stray(stack, p, &guest->addr, &far->addr);
		return;
	}
	if (hold_syn(conn, frame, headers) < 0) {
		conn_destroy(conn);
		return;
	}
	stack->handler->syn(stack->handler_arg, conn);
}

/* Whether a SYN may take the place of a connection in TIME_WAIT (RFC 9293, 3.10.7.4). */
static bool supersedes(const struct conn *conn, const struct tcp_header *tcp)
{
	return conn->tw && !conn->ops && (tcp->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
	       TCP_SEQ_GT(tcp->seq, conn->tw->rcv_nxt);
}

/* Whether a RST ends a connection in TIME_WAIT: that of a guest that has rebooted, doesn't know of
 * it, and got an ACK for its SYN. Exactly where the connection ended, as Linux has it (RFC 1337
 * would wait). */
static bool ends_time_wait(const struct conn *conn, const struct tcp_header *tcp)
{
	return conn->tw && !conn->ops && (tcp->flags & TCP_RST) && tcp->seq == conn->tw->rcv_nxt;
}

/* RFC 9293, 3.8.4: the byte before the next one, or none where it would be. */
static bool is_keepalive(const struct conn *conn, const struct tcp_header *tcp, size_t payload)
{
	return conn->active && tcp->seq + 1 == conn->active->rcv_nxt && payload <= 1 &&
	       !(tcp->flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* Whether each option ends before the options do (RFC 9293, 3.1). lwIP looks for an option's length
 * behind the end of those that don't. */
static bool options_ok(struct wire_reader *r)
{
	while (wire_ok(r) && wire_left(r)) {
		uint8_t kind = wire_u8(r);
		uint8_t size;

		if (kind == TCP_OPTION_END)
			return true;
		if (kind == TCP_OPTION_NOP)
			continue;
		size = wire_u8(r);
		if (size < 2)
			return false;
		wire_skip(r, size - 2u);
	}
	return wire_ok(r);
}

/* `r` holds the header and nothing else. */
static bool read_header(struct wire_reader *r, struct tcp_header *ret)
{
	ret->src_port = wire_be16(r);
	ret->dst_port = wire_be16(r);
	ret->seq = wire_be32(r);
	wire_skip(r, 5); /* acknowledgement, header size */
	ret->flags = wire_u8(r) & 0x3f;
	wire_skip(r, 6); /* window, checksum, urgent pointer */
	return wire_ok(r) && ret->src_port && ret->dst_port && options_ok(r);
}

/* What comes from behind a guest must belong to a connection that was dialled so, and come from
 * that guest. */
static bool is_from_behind(const struct conn *conn, unsigned port, const struct tcp_header *tcp,
			   const struct frame *frame)
{
	struct mac mac;

	if (!conn || !conn->hop.family || supersedes(conn, tcp))
		return false;
	memcpy(mac.bytes, (const uint8_t *)frame->iov[0].iov_base + MAC_SIZE, MAC_SIZE);
	return stack_is_from(conn->stack, &conn->hop, port, &mac);
}

void conn_input(struct stack *stack, unsigned port, const struct addr *src, const struct addr *dst,
		const struct frame *frame, const struct frame_headers *headers)
{
	struct wire_reader r = wire_reader((const uint8_t *)frame->iov[0].iov_base +
						   headers->transport_offset,
					   headers->payload_offset - headers->transport_offset);
	struct tcp_header tcp;
	struct endpoint guest, far;
	struct conn *conn;

	if (!read_header(&r, &tcp)) {
		stack->counters.rx_invalid++;
		return;
	}
	guest = (struct endpoint){.addr = *src, .port = tcp.src_port};
	far = (struct endpoint){.addr = *dst, .port = tcp.dst_port};
	conn = conn_find(&stack->tcp, &guest, &far, conn_hash(&stack->tcp, &guest, &far));
	if (!stack_on_link(stack, src) && !is_from_behind(conn, port, &tcp, frame)) {
		stack->counters.rx_spoofed++;
		return;
	}
	if (conn && supersedes(conn, &tcp)) {
		conn_destroy(conn);
		conn = NULL;
	}
	if (conn && ends_time_wait(conn, &tcp)) {
		conn_destroy(conn);
		return;
	}
	if (conn && conn->held) {
		input_held(conn, &tcp, frame, headers);
	} else if (conn && conn->pcb && conn->port != port && away_is(&stack->away, conn->port) &&
		   !away_may_be_back(&stack->away, conn->port, port)) {
		/* Somebody else has the address now. */
		conn_give_up(conn, CONN_END_GONE);
	} else if (conn && conn->pcb) {
		conn_set_port(conn, port);
		note_service_class(conn, frame, headers);
		if (is_keepalive(conn, &tcp, headers->ip_end - headers->payload_offset))
			conn_keepalive_observe(conn);
		input_segment(conn, &tcp, frame, headers);
	} else if (!conn && (tcp.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN) {
		input_syn(stack, port, &guest, &far, frame, headers);
	} else {
		struct pbuf *p = chain_copy(frame, headers->transport_offset, headers->ip_end);

		if (p)
			conn_input_stray(stack, p, src, dst);
	}
}
