/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections with guests, ended in lwIP.
 *
 * A connection is known by its 4-tuple: the guest's endpoint and the far one, the address that the
 * guest thinks it talks to. It is `held` while its SYN waits for the owner's decision (the owner
 * connects to the far side first, so the guest sees SYN-ACK only when there is someone), `opening`
 * during the handshake, then `open`.
 *
 * How it stays flat with many connections: each conn has lwIP's list heads (tcp_active_pcbs,
 * tcp_tw_pcbs) to itself and puts them into lwIP's globals before every call into it and takes them
 * back after it (conn_enter, conn_leave in conn.c). lwIP so only ever sees one connection, and
 * finds it at once; ours are found by a hash of the 4-tuple. Timers run only for connections that
 * have something to time.
 *
 * A connection may be idle for any length of time; only its guest is asked now and then whether it
 * still lives (conn_keepalive.c).
 *
 * Nothing happens to the owner inside lwIP's callbacks: a connection that something happened to is
 * put on the work list, and its owner's `work` is called once at the end of the loop's round. All
 * functions here may be called from `work` and from event callbacks.
 */
#ifndef NETSTACK_CONN_H
#define NETSTACK_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "netstack/stack.h"

/* Bytes that the guest may have in flight towards us, and so the most that a connection holds for a
 * host side that does not read. It starts at CONN_RX_WINDOW_MIN and doubles while the host side
 * keeps up. */
#define CONN_RX_WINDOW_MIN (64 * 1024)
#define CONN_RX_WINDOW_MAX (4 * 1024 * 1024)

/* Bytes held for a guest that does not read, per connection; all connections together aim at
 * CONN_TX_BYTES_SHARED, and each may have CONN_TX_BYTES_MIN in any case. */
#define CONN_TX_BYTES_MIN    (128 * 1024)
#define CONN_TX_BYTES_MAX    (4 * 1024 * 1024)
#define CONN_TX_BYTES_SHARED (64 * 1024 * 1024)

/* Bytes held for all connections of a guest, both ways. From MUCH on less is kept for each, and
 * from MAX on CONN_SCARCE_BYTES each way; see conn_memory.c. */
#define CONN_GUEST_BYTES_MUCH (64 * 1024 * 1024)
#define CONN_GUEST_BYTES_MAX  (128 * 1024 * 1024)
#define CONN_SCARCE_BYTES     4096

struct conn;

enum conn_end {
	CONN_END_RESET,   /* the guest sent RST */
	CONN_END_REFUSED, /* conn_connect(): the guest answered the SYN with RST, or it, or a router
			     on the way, said that it can't be delivered */
	CONN_END_TIMEOUT, /* the guest stopped answering */
	CONN_END_GONE,    /* the guest's link has gone */
};

enum conn_refusal {
	CONN_REFUSE_RESET,   /* RST: connection refused */
	CONN_REFUSE_NET,     /* ICMP network unreachable */
	CONN_REFUSE_HOST,    /* ICMP host unreachable */
	CONN_REFUSE_ADMIN,   /* ICMP communication administratively prohibited */
	CONN_REFUSE_SILENTLY /* as if the SYN was lost */
};

struct conn_ops {
	/* The handshake is complete: data can go both ways. */
	void (*connected)(void *arg);
	/* Once per round in which something happened: data or FIN came, room for sending came, or
	 * conn_schedule(). */
	void (*work)(void *arg);
	/* The connection is over, other than by an orderly close of both sides. The owner must
	 * conn_free() it, now or later; other calls do nothing from now on. */
	void (*ended)(void *arg, enum conn_end why);
};

/* Takes ownership of a connection that stack_handler.syn brought. */
void conn_own(struct conn *conn, const struct conn_ops *ops, void *arg);
/* Answers a held SYN with SYN-ACK; `connected` follows when the guest confirms. */
void conn_accept(struct conn *conn);
/* Answers a held SYN so, and frees the connection. */
void conn_refuse(struct conn *conn, enum conn_refusal how);
/* When the guest last sent the SYN that is held, on the loop's clock, and how long after the one
 * before it (0: it is the first): one that no longer repeats it has given up. */
void conn_held_syn(const struct conn *conn, uint64_t *ret_last_ms, uint64_t *ret_gap_ms);
/* Opens a connection to a guest, from an address that it will see as its peer; or, where `hop` is
 * not NULL, to an address behind the guest that has `hop`, of either family (behind.h). Returns 0
 * with an owned, opening connection, -EADDRINUSE (that 4-tuple is taken), -ENOBUFS (too many),
 * -EHOSTUNREACH (not a guest's address, a link-local one, one that can't lie behind a guest, or no
 * guest is attached), -EAFNOSUPPORT (two families). */
int conn_connect(struct stack *stack, const struct endpoint *from, const struct endpoint *guest,
		 const struct addr *hop, const struct conn_ops *ops, void *arg,
		 struct conn **ret_conn);

const struct endpoint *conn_guest(const struct conn *conn);
const struct endpoint *conn_far(const struct conn *conn);
/* Switch port of the guest, 0 when not known. */
unsigned conn_port(const struct conn *conn);

/* After how many seconds of silence the guest sends keepalive probes; 0: it hasn't sent any. They
 * are answered here, and seen by `work`. */
unsigned conn_guest_keepalive_s(const struct conn *conn);

/* The service class that the guest asks for, with its last segment: the DSCP of RFC 2474 where it
 * is in the header, without ECN's bits. `work` follows when it changes. */
uint8_t conn_service_class(const struct conn *conn);

/* Puts the connection on the work list, so that `work` is called at the end of the round. */
void conn_schedule(struct conn *conn);

/* Guest to us. Bytes received and not consumed yet. */
size_t conn_rx_size(const struct conn *conn);
/* The guest has closed its side, and everything before it has been consumed. */
bool conn_rx_eof(const struct conn *conn);
/* The received bytes in order, as at most `max` pieces, valid until conn_rx_consume(). Returns
 * their number. */
unsigned conn_rx_peek(const struct conn *conn, struct iovec *iov, unsigned max);
/* Drops the first `size` bytes, and gives that much window back to the guest. */
void conn_rx_consume(struct conn *conn, size_t size);

/* Us to the guest. Bytes that may be added now; 0 while the guest does not read, or before
 * `connected`. */
size_t conn_tx_room(const struct conn *conn);
/* Buffers for up to conn_tx_room() bytes to be filled by the caller, in order; at most `max`.
 * Returns their number, 0 when there is no room or no memory. Valid until the next call on this
 * connection. */
unsigned conn_tx_reserve(struct conn *conn, struct iovec *iov, unsigned max);
/* Sends the first `size` bytes of what was reserved; the rest is given back. Size 0 is fine. */
void conn_tx_commit(struct conn *conn, size_t size);
/* Closes our side once everything before it was sent (FIN). */
void conn_tx_shutdown(struct conn *conn);
/* Bytes sent or queued that the guest has not acknowledged. */
size_t conn_tx_pending(const struct conn *conn);

/* Gives the connection up. When both sides are closed (conn_rx_eof(), conn_tx_shutdown()), lwIP
 * finishes what is in flight on its own; otherwise the guest gets RST. NULL is fine. */
void conn_free(struct conn *conn);

#endif
