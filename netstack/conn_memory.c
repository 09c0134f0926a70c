/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory a guest's connections may take up together, so that one that opens all it may,
 * and reads nothing or leaves gaps in what it sends, doesn't take the host's.
 *
 * A connection's windows promise much more than there is: most hold nothing most of the time. What
 * counts is what is held. Beyond CONN_GUEST_BYTES_MUCH of that, a guest's windows don't grow, what
 * comes out of order is not kept, and what comes in order no further than the smallest window; the
 * guest hears by the acknowledgement what it has to send again, and sends slower. Beyond
 * CONN_GUEST_BYTES_MAX each of its connections gets a few bytes each way at a time, which is slow,
 * but goes on. Segments that are refused are refused for their bytes only: their acknowledgement
 * counts, and may be what makes room.
 */
#include <lwip/priv/tcp_priv.h>

#include "netstack/stack_private.h"

/* What a segment that waits for others costs besides its bytes, at least. */
#define GAP_SEGMENT_COST 256

static uint64_t kept_by_guest(const struct conn *conn)
{
	return conn->stack->tcp.kept_by_port[conn->port];
}

void conn_account(struct conn *conn)
{
	uint64_t *by_port = conn->stack->tcp.kept_by_port;

	by_port[conn->kept_port] -= conn->kept;
	conn->kept_port = conn->port;
	conn->kept = conn->rx_bytes + conn->tx_bytes + conn->gap_bytes;
	by_port[conn->kept_port] += conn->kept;
}

/* lwIP itself goes through them for every one that it adds. */
void conn_account_gaps(struct conn *conn)
{
	conn->gap_bytes = 0;
	for (struct tcp_seg *seg = conn->active ? conn->active->ooseq : NULL; seg; seg = seg->next)
		conn->gap_bytes += seg->len + GAP_SEGMENT_COST;
	conn_account(conn);
}

bool conn_memory_is_short(const struct conn *conn)
{
	return kept_by_guest(conn) >= CONN_GUEST_BYTES_MUCH;
}

bool conn_rx_may_keep(const struct conn *conn, uint32_t seq, size_t size)
{
	uint64_t kept = kept_by_guest(conn);

	if (kept < CONN_GUEST_BYTES_MUCH || !conn->active || size == 0)
		return true;
	if (TCP_SEQ_GT(seq, conn->active->rcv_nxt))
		return false;
	if (kept < CONN_GUEST_BYTES_MAX)
		return conn->rx_bytes + size <= CONN_RX_WINDOW_MIN;
	return conn->rx_bytes + size <= CONN_SCARCE_BYTES ||
	       (conn->rx_bytes == 0 && size <= conn->guest_mss);
}

uint32_t conn_tx_limit(const struct conn *conn)
{
	uint64_t kept = kept_by_guest(conn);

	if (kept >= CONN_GUEST_BYTES_MAX)
		return CONN_SCARCE_BYTES;
	return kept >= CONN_GUEST_BYTES_MUCH ? CONN_TX_BYTES_MIN : conn->tx_limit;
}
