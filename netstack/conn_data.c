/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection holds: bytes received and not consumed, bytes sent and not acknowledged.
 *
 * Received: large pieces stay in the link's receive buffers, small ones are copied together, so a
 * guest that sends a byte per segment costs what it sends. What the guest may send is what the
 * window says; it opens by what the owner consumes. The window starts small and doubles while the
 * owner keeps up with it.
 *
 * Sent: chunks of the size of a segment, which the owner's recv() fills and lwIP refers to until
 * the guest has acknowledged them. Nothing is copied.
 */
#include <stdlib.h>
#include <string.h>

#include <lwip/priv/tcp_priv.h>

#include "netstack/stack_private.h"

/* Received pieces up to CONN_RX_COPY_MAX are copied, and those up to this one when the owner leaves
 * them waiting. */
#define RX_COPY_WAITING_MAX 16384
#define RX_CHUNK_SIZE       4096

#define TX_CHUNK_SIZE     65400
#define TX_CHUNK_POOL_MAX 64

struct rx_chunk {
	struct list link;
	struct pbuf *pbuf; /* refers to a receive buffer; or NULL: the bytes are in data */
	bool settled;      /* has been looked at by rx_settle() */
	uint32_t start;    /* data: first byte not consumed */
	uint32_t end;
	uint32_t capacity;
	uint8_t data[];
};

struct tx_chunk {
	struct list link;
	uint32_t start;    /* first byte not acknowledged */
	uint32_t queued;   /* first byte not handed to lwIP */
	uint32_t end;      /* first byte not filled */
	uint32_t capacity; /* how far it may be filled: a multiple of the guest's MSS */
	uint8_t data[TX_CHUNK_SIZE];
};

void conn_data_init(struct conn *conn)
{
	list_init(&conn->rx);
	list_init(&conn->tx);
	conn->rx_window = CONN_RX_WINDOW_MIN - 1; /* what a SYN can say without scaling */
	conn->tx_limit = CONN_TX_BYTES_MIN;
}

/* ---- Received ---- */

static void rx_chunk_free(struct rx_chunk *chunk)
{
	list_remove(&chunk->link);
	if (chunk->pbuf)
		pbuf_free(chunk->pbuf);
	free(chunk);
}

static struct rx_chunk *rx_chunk_new(struct pbuf *pbuf, uint32_t capacity)
{
	struct rx_chunk *chunk = malloc(sizeof(*chunk) + capacity);

	if (!chunk)
		return NULL;
	*chunk = (struct rx_chunk){.pbuf = pbuf, .capacity = capacity};
	list_init(&chunk->link);
	return chunk;
}

/* Copies a pbuf chain into a chunk's free room, which it fits. */
static void rx_chunk_fill(struct rx_chunk *chunk, const struct pbuf *p)
{
	pbuf_copy_partial(p, chunk->data + chunk->end, p->tot_len, 0);
	chunk->end += p->tot_len;
}

static bool rx_append_copy(struct conn *conn, struct pbuf *p)
{
	struct rx_chunk *tail = NULL;

	if (!list_empty(&conn->rx))
		tail = container_of(conn->rx.prev, struct rx_chunk, link);
	if (!tail || tail->pbuf || tail->capacity - tail->end < p->tot_len) {
		tail = rx_chunk_new(NULL, RX_CHUNK_SIZE);
		if (!tail)
			return false;
		list_add_tail(&conn->rx, &tail->link);
	}
	rx_chunk_fill(tail, p);
	pbuf_free(p);
	return true;
}

void conn_rx_append(struct conn *conn, struct pbuf *p)
{
	struct rx_chunk *chunk;

	conn->rx_bytes += p->tot_len;
	conn_account(conn);
	if (p->tot_len <= CONN_RX_COPY_MAX && rx_append_copy(conn, p))
		return;
	chunk = rx_chunk_new(p, 0);
	if (!chunk)
		abort(); /* lwIP has acknowledged the bytes: they can't be missed */
	list_add_tail(&conn->rx, &chunk->link);
}

/*
 * What the owner leaves waiting must not pin receive buffers of 64 KiB and more for a few bytes
 * each: copies such pieces to memory of their own size.
 */
static void rx_settle(struct conn *conn)
{
	for (struct list *node = conn->rx.prev; node != &conn->rx; node = node->prev) {
		struct rx_chunk *chunk = container_of(node, struct rx_chunk, link);
		struct rx_chunk *copy;

		if (chunk->settled)
			return;
		chunk->settled = true;
		if (!chunk->pbuf || chunk->pbuf->tot_len > RX_COPY_WAITING_MAX)
			continue;
		copy = rx_chunk_new(NULL, chunk->pbuf->tot_len);
		if (!copy)
			return;
		rx_chunk_fill(copy, chunk->pbuf);
		copy->settled = true;
		list_add_head(&chunk->link, &copy->link);
		rx_chunk_free(chunk);
		node = &copy->link;
	}
}

size_t conn_rx_size(const struct conn *conn)
{
	return conn->rx_bytes;
}

bool conn_rx_eof(const struct conn *conn)
{
	return conn->rx_fin && conn->rx_bytes == 0;
}

unsigned conn_rx_peek(const struct conn *conn, struct iovec *iov, unsigned max)
{
	unsigned count = 0;

	list_for_each (node, &conn->rx) {
		struct rx_chunk *chunk = container_of(node, struct rx_chunk, link);

		if (count == max)
			break;
		if (!chunk->pbuf) {
			iov[count++] = (struct iovec){.iov_base = chunk->data + chunk->start,
						      .iov_len = chunk->end - chunk->start};
			continue;
		}
		for (struct pbuf *p = chunk->pbuf; p && count < max; p = p->next) {
			if (p->len)
				iov[count++] = (struct iovec){.iov_base = p->payload,
							      .iov_len = p->len};
		}
	}
	return count;
}

static uint32_t rx_chunk_consume(struct rx_chunk *chunk, size_t size)
{
	uint32_t left = chunk->pbuf ? chunk->pbuf->tot_len : chunk->end - chunk->start;
	uint32_t taken = size < left ? (uint32_t)size : left;

	if (taken == left)
		rx_chunk_free(chunk);
	else if (chunk->pbuf)
		chunk->pbuf = pbuf_free_header(chunk->pbuf, (u16_t)taken);
	else
		chunk->start += taken;
	return taken;
}

/* A link that drops what its queue doesn't hold gets no larger window than half of that is, if the
 * guest cuts its segments itself. */
static uint32_t rx_window_max(const struct conn *conn)
{
	const struct link_caps *caps = switch_port_caps(conn->stack->sw, conn->port);
	uint64_t held = caps ? (uint64_t)caps->queue_frames / 2 * conn->guest_mss : 0;

	if (!held || held > CONN_RX_WINDOW_MAX)
		return CONN_RX_WINDOW_MAX;
	return held < CONN_RX_WINDOW_MIN ? CONN_RX_WINDOW_MIN : (uint32_t)held;
}

/* Twice the window for a connection whose owner took a window's worth, with nothing left waiting.
 */
static void rx_grow(struct conn *conn, struct tcp_pcb *pcb)
{
	uint32_t before = conn->rx_window, max;

	if (conn->rx_since_grow < conn->rx_window || conn->rx_bytes ||
	    conn->rx_window >= CONN_RX_WINDOW_MAX || !(pcb->flags & TF_WND_SCALE) ||
	    conn_memory_is_short(conn))
		return;
	max = rx_window_max(conn);
	conn->rx_since_grow = 0;
	if (before >= max)
		return;
	conn->rx_window = before * 2 < max ? before * 2 : max;
	pcb->rcv_wnd += conn->rx_window - before;
}

void conn_rx_consume(struct conn *conn, size_t size)
{
	struct tcp_pcb *pcb = conn->active;

	if (size > conn->rx_bytes)
		size = conn->rx_bytes;
	conn->rx_bytes -= (uint32_t)size;
	for (size_t left = size; left;)
		left -= rx_chunk_consume(container_of(list_first(&conn->rx), struct rx_chunk, link),
					 left);
	conn_account(conn);
	if (!pcb || conn->rx_fin)
		return;
	conn->rx_since_grow += (uint32_t)size;
	pcb->rcv_wnd += (tcpwnd_size_t)size;
	rx_grow(conn, pcb);
}

bool conn_rx_announce(struct conn *conn)
{
	struct tcp_pcb *pcb = conn->active;
	uint32_t announced, advance;

	if (conn->rx_bytes)
		rx_settle(conn);
	if (conn->rx_fin)
		return false;
	announced = pcb->rcv_ann_right_edge - pcb->rcv_nxt;
	if ((int32_t)announced < 0)
		announced = 0;
	if (pcb->rcv_wnd <= announced)
		return false;
	advance = pcb->rcv_wnd - announced;
	/* Against the silly window syndrome (RFC 9293, 3.8.6.2.2): in full segments, or half the
	 * window. */
	if (advance < conn->guest_mss && advance < conn->rx_window / 2)
		return false;
	pcb->rcv_ann_wnd = pcb->rcv_wnd;
	return advance >= conn->rx_window / 4 || announced < 2u * conn->guest_mss;
}

/* ---- Sent ---- */

static struct tx_chunk *tx_chunk_new(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;
	struct tx_chunk *chunk;

	if (list_empty(&tcp->chunk_pool)) {
		chunk = malloc(sizeof(*chunk));
		if (!chunk)
			return NULL;
	} else {
		chunk = container_of(list_first(&tcp->chunk_pool), struct tx_chunk, link);
		list_remove(&chunk->link);
		tcp->chunk_pool_count--;
	}
	chunk->start = chunk->queued = chunk->end = 0;
	chunk->capacity = conn->segment_size;
	list_add_tail(&conn->tx, &chunk->link);
	return chunk;
}

static void tx_chunk_free(struct conn *conn, struct tx_chunk *chunk)
{
	struct conn_table *tcp = &conn->stack->tcp;

	list_remove(&chunk->link);
	if (tcp->chunk_pool_count >= TX_CHUNK_POOL_MAX) {
		free(chunk);
		return;
	}
	list_add_head(&tcp->chunk_pool, &chunk->link);
	tcp->chunk_pool_count++;
}

void conn_chunk_pool_drain(struct stack *stack)
{
	while (!list_empty(&stack->tcp.chunk_pool)) {
		struct list *node = list_first(&stack->tcp.chunk_pool);

		list_remove(node);
		free(container_of(node, struct tx_chunk, link));
	}
	stack->tcp.chunk_pool_count = 0;
}

size_t conn_tx_room(const struct conn *conn)
{
	uint32_t limit = conn_tx_limit(conn);

	if (!conn->connected || !conn->active || conn->tx_fin || conn->ended ||
	    conn->tx_bytes >= limit)
		return 0;
	return limit - conn->tx_bytes;
}

size_t conn_tx_pending(const struct conn *conn)
{
	return conn->tx_bytes;
}

unsigned conn_tx_reserve(struct conn *conn, struct iovec *iov, unsigned max)
{
	size_t room = conn_tx_room(conn);
	struct tx_chunk *chunk = NULL;
	unsigned count = 0;

	if (!list_empty(&conn->tx))
		chunk = container_of(conn->tx.prev, struct tx_chunk, link);
	while (room && count < max) {
		size_t size;

		if (!chunk || chunk->end >= chunk->capacity) {
			chunk = tx_chunk_new(conn);
			if (!chunk)
				break;
		}
		size = chunk->capacity - chunk->end;
		if (size > room)
			size = room;
		iov[count++] = (struct iovec){.iov_base = chunk->data + chunk->end,
					      .iov_len = size};
		room -= size;
		chunk = NULL;
	}
	return count;
}

/* The first chunk, from the tail backwards, after which all are empty; the list's head when all
 * are. */
static struct tx_chunk *tx_first_reserved(struct conn *conn)
{
	struct list *node = conn->tx.prev;

	while (node->prev != &conn->tx) {
		struct tx_chunk *before = container_of(node->prev, struct tx_chunk, link);
		struct tx_chunk *here = container_of(node, struct tx_chunk, link);

		if (here->end)
			return here;
		if (before->end >= before->capacity)
			return here;
		node = node->prev;
	}
	return container_of(node, struct tx_chunk, link);
}

void conn_tx_commit(struct conn *conn, size_t size)
{
	struct tx_chunk *chunk;

	if (list_empty(&conn->tx))
		return;
	conn->tx_bytes += (uint32_t)size;
	conn->stack->tcp.tx_bytes += size;
	conn_account(conn);
	chunk = tx_first_reserved(conn);
	for (struct list *node = &chunk->link; size && node != &conn->tx; node = node->next) {
		size_t part;

		chunk = container_of(node, struct tx_chunk, link);
		part = chunk->capacity - chunk->end;
		if (part > size)
			part = size;
		chunk->end += (uint32_t)part;
		size -= part;
	}
	while (!list_empty(&conn->tx)) {
		chunk = container_of(conn->tx.prev, struct tx_chunk, link);
		if (chunk->end)
			break;
		tx_chunk_free(conn, chunk);
	}
}

static void push_chunks(struct conn *conn, struct tcp_pcb *pcb)
{
	list_for_each (node, &conn->tx) {
		struct tx_chunk *chunk = container_of(node, struct tx_chunk, link);
		uint32_t size = chunk->end - chunk->queued;

		if (!size)
			continue;
		/* ERR_MEM: what is left is tried again when the guest has acknowledged something.
		 */
		if (tcp_write(pcb, chunk->data + chunk->queued, (u16_t)size, 0) != ERR_OK)
			return;
		chunk->queued = chunk->end;
		conn->tx_queued += size;
	}
}

void conn_tx_push(struct conn *conn)
{
	struct tcp_pcb *pcb = conn->active;
	tcpwnd_size_t window_max = pcb->snd_wnd_max;

	if (conn->tx_queued == conn->tx_bytes)
		return;
	/*
	 * lwIP makes no segment larger than half the largest window that the guest ever announced.
	 * A guest could have its bytes queued one by one, and that limit change below the size of a
	 * segment that is queued already is an assertion. split_for_window() cuts what doesn't fit.
	 */
	pcb->snd_wnd_max = 2 * (tcpwnd_size_t)conn->segment_size;
	push_chunks(conn, pcb);
	pcb->snd_wnd_max = window_max;
}

void conn_tx_release(struct conn *conn)
{
	struct conn_table *tcp = &conn->stack->tcp;
	uint32_t acked = conn->tx_acked;

	conn->tx_acked = 0;
	if (conn->tx_bytes * 2 >= conn->tx_limit) {
		/* The guest keeps up with what we allow ourselves to hold for it. */
		if (tcp->tx_bytes > CONN_TX_BYTES_SHARED)
			conn->tx_limit = CONN_TX_BYTES_MIN;
		else if (conn->tx_limit < CONN_TX_BYTES_MAX)
			conn->tx_limit *= 2;
	}
	conn->tx_bytes -= acked;
	conn->tx_queued -= acked;
	tcp->tx_bytes -= acked;
	conn_account(conn);
	while (acked) {
		struct tx_chunk *chunk = container_of(list_first(&conn->tx), struct tx_chunk, link);
		uint32_t part = chunk->queued - chunk->start;

		if (part > acked)
			part = acked;
		chunk->start += part;
		acked -= part;
		if (chunk->start == chunk->end &&
		    (chunk->end >= chunk->capacity || conn->tx_bytes == 0))
			tx_chunk_free(conn, chunk);
		else if (chunk->start == chunk->end)
			break;
	}
}

void conn_tx_shutdown(struct conn *conn)
{
	if (conn->tx_fin)
		return;
	conn->tx_fin = true;
	conn_schedule(conn);
}

void conn_data_release(struct conn *conn)
{
	while (!list_empty(&conn->rx))
		rx_chunk_free(container_of(list_first(&conn->rx), struct rx_chunk, link));
	while (!list_empty(&conn->tx))
		tx_chunk_free(conn, container_of(list_first(&conn->tx), struct tx_chunk, link));
	conn->stack->tcp.tx_bytes -= conn->tx_bytes;
	conn->rx_bytes = conn->tx_bytes = conn->tx_queued = conn->gap_bytes = 0;
	conn_account(conn);
}
