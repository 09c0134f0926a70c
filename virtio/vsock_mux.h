/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of one vsock device: what each packet from the guest means, which packets are due
 * to it, and the credit of both sides. No I/O and no clock: packets and events in, actions and
 * packets out. vsock.c moves the packets, vsock_host.c owns the host's sockets.
 *
 * Life of a connection, and who it belongs to ("held": the user has it, as conn->user; it may call
 * vsock_conn_*() on it; "let go": the mux finishes it alone and frees it):
 *
 *	CONNECTING	the guest's REQUEST; held until vsock_conn_accept() or _reset()
 *	REQUESTED	vsock_mux_connect(); held; the guest's RESPONSE or RST, or the
 *			deadline, decides
 *	OPEN		held: data both ways, each half closes by itself
 *	CLOSING		let go: SHUTDOWN of both halves is sent, the guest's RST is
 *			awaited, until a deadline
 *	RESETTING	let go: our RST waits for room in the guest's queue
 *
 * Packets to the guest wait as bits of their connection, so that a guest which gives no buffers
 * costs no memory; the RSTs to what isn't a connection wait in a small ring, and are dropped when
 * that is full.
 *
 * Credit (virtio 1.2, 5.10.6.3): we may have buf_alloc - (sent - fwd_cnt) bytes under way to the
 * guest, all mod 2^32, by its numbers; it is held to ours, and reset when it sends more.
 */
#ifndef VIRTIO_VSOCK_MUX_H
#define VIRTIO_VSOCK_MUX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hmap.h"
#include "base/list.h"
#include "virtio/vsock_packet.h"

#define VSOCK_RST_QUEUE_MAX      256
#define VSOCK_REQUEST_TIMEOUT_MS 10000 /* for the guest's answer to a REQUEST */
#define VSOCK_CLOSE_TIMEOUT_MS   30000 /* for its RST after our SHUTDOWN */
/* Ports that the host's side of our own connections uses; guests choose from below. */
#define VSOCK_HOST_PORT_FIRST UINT32_C(0x40000000)

enum vsock_conn_state {
	VSOCK_CONNECTING,
	VSOCK_REQUESTED,
	VSOCK_OPEN,
	VSOCK_CLOSING,
	VSOCK_RESETTING,
};

struct vsock_conn {
	struct hmap_node node;
	struct list due_link;   /* in mux->due while `due` has bits */
	struct list timed_link; /* in mux->timed while it has a deadline */
	uint64_t deadline_ms;
	enum vsock_conn_state state;
	void *user; /* the holder's; NULL once let go */
	uint32_t guest_port;
	uint32_t host_port;
	unsigned due;        /* packets that wait, 1 << enum vsock_op */
	unsigned guest_shut; /* VSOCK_SHUT_*: what the guest has given up */
	unsigned host_shut;  /* what we have told it that we give up */
	bool credit_asked;   /* a CREDIT_REQUEST has not been answered yet */

	/* To the guest. */
	uint32_t sent_cnt;
	uint32_t guest_buf_alloc;
	uint32_t guest_fwd_cnt;
	/* From the guest. */
	uint32_t received_cnt;
	uint32_t fwd_cnt;
	uint32_t fwd_told; /* fwd_cnt as the guest knows it */
};

struct vsock_mux_counters {
	uint64_t conns_in;      /* asked for by the guest */
	uint64_t conns_out;     /* asked for by the host */
	uint64_t conns_refused; /* beyond the table's maximum */
	uint64_t resets_sent;
	uint64_t resets_received;
	uint64_t resets_dropped;  /* for unknown connections, when too many waited */
	uint64_t packets_invalid; /* wrong CID, type, size or state */
	uint64_t timeouts;
};

struct vsock_mux {
	uint64_t guest_cid;
	uint32_t buf_alloc; /* receive buffer per connection, bytes */
	unsigned conns_max;
	struct hash_key hash_key;
	struct hmap conns;
	struct list due;
	struct list timed;
	uint32_t next_host_port;
	struct vsock_header rsts[VSOCK_RST_QUEUE_MAX]; /* a ring */
	unsigned rst_first;
	unsigned rst_count;
	struct vsock_mux_counters counters;
};

enum vsock_action {
	VSOCK_ACT_NONE,
	VSOCK_ACT_CONNECT, /* a new connection: connect to conn->host_port; set conn->user */
	VSOCK_ACT_OPENED,  /* the guest accepted ours */
	VSOCK_ACT_DATA,    /* take the whole payload; vsock_conn_consumed() as it goes out */
	VSOCK_ACT_UPDATE,  /* conn->guest_shut or its credit may have changed */
	/* The connection was let go; `user` was its holder. */
	VSOCK_ACT_FINISH, /* closed in order: what is buffered still goes out, then the end */
	VSOCK_ACT_ABORT,  /* reset */
};

struct vsock_result {
	enum vsock_action action;
	struct vsock_conn *conn; /* NULL when let go */
	void *user;              /* conn->user, or what it was */
};

void vsock_mux_init(struct vsock_mux *mux, uint64_t guest_cid, unsigned conns_max,
		    uint32_t buf_alloc);
/* Forgets all connections, held ones too, and all packets that wait. */
void vsock_mux_clear(struct vsock_mux *mux);
/* Frees the memory; vsock_mux_clear() is part of it. */
void vsock_mux_destroy(struct vsock_mux *mux);

/* A packet from the guest; its payload has header->size bytes if that is at most `payload_size`. */
struct vsock_result vsock_mux_input(struct vsock_mux *mux, const struct vsock_header *header,
				    size_t payload_size);
/* The next packet without payload that is due to the guest. Returns false when there is none. */
bool vsock_mux_output(struct vsock_mux *mux, struct vsock_header *ret);
bool vsock_mux_output_due(const struct vsock_mux *mux);
/* One connection whose time is up: VSOCK_ACT_ABORT; VSOCK_ACT_NONE when there is none (left). A
 * connection that was let go already gives VSOCK_ACT_ABORT with user NULL. */
struct vsock_result vsock_mux_expire(struct vsock_mux *mux, uint64_t now_ms);
bool vsock_mux_timed(const struct vsock_mux *mux); /* whether anything has a deadline */

/* Connects to a port of the guest. Returns 0, -ENOSPC (table full) or -ENOMEM. */
int vsock_mux_connect(struct vsock_mux *mux, uint32_t guest_port, void *user, uint64_t now_ms,
		      struct vsock_conn **ret_conn);

/* The host's side of a CONNECTING one is there. */
void vsock_conn_accept(struct vsock_mux *mux, struct vsock_conn *conn);
/* Ends a held one at once, with an RST; lets go of it. */
void vsock_conn_reset(struct vsock_mux *mux, struct vsock_conn *conn);
/* The host's side will send no more (half-close). */
void vsock_conn_shut_send(struct vsock_mux *mux, struct vsock_conn *conn);
/* The host's side is done both ways, in order; lets go of it. */
void vsock_conn_close(struct vsock_mux *mux, struct vsock_conn *conn, uint64_t now_ms);
/* `size` bytes of payload went out of our buffer: that much credit for the guest. */
void vsock_conn_consumed(struct vsock_mux *mux, struct vsock_conn *conn, uint32_t size);
/* Bytes received that vsock_conn_consumed() has not covered yet. */
uint32_t vsock_conn_buffered(const struct vsock_conn *conn);
/* Bytes that may be sent to the guest now: 0 unless it is open, takes data, and has credit. */
uint32_t vsock_conn_room(const struct vsock_conn *conn);
/* There is data, and no room for it: asks the guest for credit, once. */
void vsock_conn_ask_credit(struct vsock_mux *mux, struct vsock_conn *conn);
/* The header of a packet with `size` bytes of data, at most vsock_conn_room(); counts them as sent.
 */
struct vsock_header vsock_conn_data(struct vsock_mux *mux, struct vsock_conn *conn, uint32_t size);

#endif
