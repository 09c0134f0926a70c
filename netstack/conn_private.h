/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What conn.c and the others of its name share, TCP connections in lwIP. They reach the rest of the
 * stack by stack_private.h, which includes this for its table of connections.
 */
#ifndef NETSTACK_CONN_PRIVATE_H
#define NETSTACK_CONN_PRIVATE_H

#include <lwip/pbuf.h>
#include <lwip/tcp.h>

#include "base/hmap.h"
#include "base/list.h"
#include "base/loop.h"
#include "netstack/conn.h"
#include "netstack/offload.h"
#include "netstack/switch.h"

/* How long after a burst of connections, or of traffic, its memory goes back to the host. */
#define CONN_TRIM_MS 5000

struct stack;
struct tx_chunk;

/* How many connections a guest has lately closed at once (conn_keepalive.c). */
struct conn_closings {
	uint64_t since_ms;
	unsigned count;
	bool is_burst; /* its others are to be looked at */
};

/* Everything of the connections' that is there once. */
struct conn_table {
	struct hmap conns;
	struct hash_key key; /* of the hash, and of initial sequence numbers */
	/* Conns that something happened to, by port: conn.work_link. */
	struct list work[SWITCH_PORTS_MAX + 1];
	struct list blocked; /* conns whose guest's link was full: conn.work_link too */
	struct list timed;   /* conns whose retransmission and state timers run: conn.timer_link */
	struct list time_wait;     /* conns in TIME_WAIT, the oldest first: conn.timer_link */
	struct list keep_idle;     /* open conns: conn.keep_link (conn_keepalive.c) */
	struct list keep_probing;  /* ... whose guests have been asked whether they live */
	struct list keep_suspects; /* ... whose guests may have reset them, to be asked soon */
	uint64_t suspects_at_ms;   /* when some are looked for, or asked; 0: none are */
	uint64_t suspected_ms;     /* when they were last looked for */
	bool suspects_found;       /* one of those asked then was reset */
	unsigned suspects_vain;    /* how often in a row none was */
	struct loop_timer *keep_timer;
	struct loop_task task;   /* works off `work` */
	struct loop_timer *tick; /* runs while `timed` or `time_wait` has conns */
	struct tcp_pcb_listen *listener;
	struct conn *current;   /* whose pcb lists are in lwIP's globals now; NULL: none */
	bool output_blocked;    /* the output of `current` met a full link */
	struct list chunk_pool; /* free struct tx_chunk */
	unsigned chunk_pool_count;
	struct loop_timer *trim; /* runs CONN_TRIM_MS after many connections have ended */
	unsigned count_peak;     /* the most since it ran last */
	size_t tx_bytes;         /* in use by all connections' send buffers */
	uint64_t kept_by_port[SWITCH_PORTS_MAX + 1]; /* of guests' connections (conn_memory.c) */
	uint64_t rx_refused; /* segments whose bytes weren't kept for want of that */
	unsigned count;
	unsigned count_by_port[SWITCH_PORTS_MAX + 1]; /* 0: of guests not seen yet */
	struct conn_closings closings[SWITCH_PORTS_MAX + 1];
	uint64_t total;
	uint64_t refused_full;
};

/* conn.c */

int conn_table_init(struct stack *stack);
void conn_table_destroy(struct stack *stack);
void conn_port_gone(struct stack *stack, unsigned port);

/* The SYN of a connection whose owner decides yet. */
struct held_syn {
	uint64_t last_ms; /* when the guest sent it */
	uint64_t gap_ms;  /* how long after the one before; 0: it is the first */
	uint16_t size;
	uint16_t transport; /* where its TCP header stands */
	uint8_t packet[];   /* from its IP header on */
};

/* There may be very many: the order leaves few holes. */
struct conn {
	struct hmap_node node;
	struct stack *stack;
	struct endpoint guest;
	struct endpoint far;
	struct addr hop; /* the guest that `guest` is behind; AF_UNSPEC: it is a guest itself */
	const struct conn_ops *ops; /* NULL: given up by its owner, lwIP finishes alone */
	void *ops_arg;
	struct list work_link;  /* in conn_table.work or .blocked */
	struct list timer_link; /* in conn_table.timed or .time_wait */
	struct list keep_link;  /* in conn_table.keep_idle, .keep_probing or .keep_suspects */
	uint64_t keep_at_ms;    /* when it comes up there */

	struct tcp_pcb *active; /* lwIP's lists: at most one pcb in one of them */
	struct tcp_pcb *tw;
	struct tcp_pcb *pcb;   /* that one; NULL once lwIP has freed it */
	struct held_syn *held; /* owned, while held */
	uint16_t guest_mss;    /* largest segment on the wire */
	uint16_t segment_size; /* a multiple: what lwIP takes for the MSS */
	unsigned port;
	uint64_t time_wait_until_ms;
	uint16_t guest_keepalive_s; /* how often the guest sends probes; 0: it doesn't */
	uint8_t keep_probes;        /* ours, unanswered */
	uint8_t service_class;      /* of the guest's last segment */

	bool connected : 1;         /* the handshake is complete */
	bool connected_pending : 1; /* ... and the owner is to be told */
	bool ended : 1;             /* lwIP has freed the pcb */
	bool ended_pending : 1;     /* ... and the owner is to be told why */
	bool is_listed : 1;         /* in conn_table.conns: its 4-tuple is taken */
	bool is_blocked : 1;
	bool ack_owed : 1;    /* data came since the last ACK */
	bool in_callback : 1; /* of the owner's: freeing waits until it returns */
	bool freed : 1;
	bool rx_fin : 1;      /* the guest's FIN has been received */
	bool tx_fin : 1;      /* the owner asked for ours */
	bool tx_fin_sent : 1; /* lwIP has it */
	bool active_open : 1; /* conn_connect() */
	enum conn_end end;

	/* Received, not consumed (conn_data.c). */
	struct list rx; /* struct rx_chunk */
	uint32_t rx_bytes;
	uint32_t rx_window;     /* what we let the guest have in flight */
	uint32_t rx_since_grow; /* bytes consumed since the window last grew */

	/* To the guest (conn_data.c). */
	struct list tx;     /* struct tx_chunk: acknowledged bytes first */
	uint32_t tx_bytes;  /* in the chunks, not acknowledged */
	uint32_t tx_queued; /* of those, handed to lwIP */
	uint32_t tx_acked;  /* acknowledged during the current call into lwIP, not released yet */
	uint32_t tx_limit;  /* most that tx_bytes may reach */

	/* What all that takes up (conn_memory.c). */
	uint32_t gap_bytes; /* received out of order, with what it costs to remember them */
	uint32_t kept;      /* as counted last, ... */
	unsigned kept_port; /* ... for the guest at this port */
};

int conn_new(struct stack *stack, const struct endpoint *guest, const struct endpoint *far,
	     unsigned port, struct conn **ret_conn);
/* The guest was seen behind that switch port. */
void conn_set_port(struct conn *conn, unsigned port);
/* Frees it whatever its state; the guest gets RST where it still counts on it. */
void conn_destroy(struct conn *conn);
/* Gives its 4-tuple free: whoever comes with it from now on is somebody new. */
void conn_unlist(struct conn *conn);
/* Ends it from our side: `ended` follows. */
void conn_give_up(struct conn *conn, enum conn_end why);
/* Removes lwIP's pcb, with RST; the owner isn't told. */
void conn_abort_pcb(struct conn *conn);
uint64_t conn_hash(const struct conn_table *tcp, const struct endpoint *guest,
		   const struct endpoint *far);
struct conn *conn_find(struct conn_table *tcp, const struct endpoint *guest,
		       const struct endpoint *far, uint64_t hash);
/* Has lwIP tell the conn what happens to its pcb. */
void conn_set_callbacks(struct tcp_pcb *pcb, struct conn *conn);
/* Puts the conn's lists into lwIP's globals, and takes them back. Between the two only this conn's
 * pcb exists. */
void conn_enter(struct conn *conn);
void conn_leave(struct conn *conn);

/* conn_input.c */

/* A TCP segment from a guest, its checksum verified. */
void conn_input(struct stack *stack, unsigned port, const struct addr *src, const struct addr *dst,
		const struct frame *frame, const struct frame_headers *headers);

/* conn_open.c */

/* The callback of the one listener. */
err_t conn_on_accept(void *arg, struct tcp_pcb *pcb, err_t err);
/* Tells lwIP whom the segment that it gets next is from and to. */
void conn_fill_ip_data(struct stack *stack, const struct addr *src, const struct addr *dst);
/* Gives lwIP a segment that belongs to no connection: it answers as RFC 9293 3.10.7.1 says. */
void conn_input_stray(struct stack *stack, struct pbuf *p, const struct addr *src,
		      const struct addr *dst);

/* conn_work.c */

/* The loop task's callback; `arg` is the stack. */
void conn_work_task(void *arg);
/* A link has room again: those that it held up go on. */
void conn_writable(struct stack *stack);

/* conn_timer.c */

/* Gives memory back to the host some time after a connection has ended; a loop timer's callback. */
void conn_timer_trim(void *arg);
/* Whether lwIP has something to time. */
bool conn_timer_needed(const struct tcp_pcb *pcb);
/* Puts the conn on the timer list that its state asks for. */
void conn_timer_update(struct conn *conn);
/* The loop timer's callback; `arg` is the stack. */
void conn_timer_tick(void *arg);

/* conn_keepalive.c */

/* A connection that has been silent for CONN_KEEP_IDLE_MS is asked whether it lives, and ends after
 * so many probes at such intervals without an answer: Linux's times. That it is time is found out
 * up to CONN_KEEP_CHECK_MS and a minute later. */
#define CONN_KEEP_IDLE_MS     (2 * 3600 * 1000)
#define CONN_KEEP_CHECK_MS    (15 * 60 * 1000)
#define CONN_KEEP_INTERVAL_MS (75 * 1000)
#define CONN_KEEP_PROBES      9

/* From now on the conn is looked after: it is open. */
void conn_keepalive_start(struct conn *conn);
/* The loop timer's callback; `arg` is the stack. */
void conn_keepalive_tick(void *arg);
/* The guest has closed its side, or reset the connection. May be called from lwIP's callbacks. */
void conn_keepalive_closed(const struct conn *conn, bool is_reset);
/* The guest sent what looks like a keepalive probe: takes note how often it does. */
void conn_keepalive_observe(struct conn *conn);

/* conn_memory.c */

/* To be called when what the connection holds has changed; the other one when it may have got bytes
 * out of order, or has been rid of some. */
void conn_account(struct conn *conn);
void conn_account_gaps(struct conn *conn);
/* Whether the guest's connections hold so much that none may hold more than it does now. */
bool conn_memory_is_short(const struct conn *conn);
/* Whether a segment's `size` bytes may be kept. */
bool conn_rx_may_keep(const struct conn *conn, uint32_t seq, size_t size);
/* Most that may be held for the guest to read. */
uint32_t conn_tx_limit(const struct conn *conn);

/* conn_data.c */

/* Received pieces of no more payload are copied rather than kept where their link received them:
 * who brings one keeps it until lwIP returns, and no longer. */
#define CONN_RX_COPY_MAX 2048

void conn_data_init(struct conn *conn);
/* Frees what the conn holds in both directions. */
void conn_data_release(struct conn *conn);
/* Takes over a pbuf from lwIP's receive callback. */
void conn_rx_append(struct conn *conn, struct pbuf *p);
/* Frees the chunks whose bytes were acknowledged. */
void conn_tx_release(struct conn *conn);
/* Hands what was committed to lwIP; called between conn_enter() and conn_leave(). */
void conn_tx_push(struct conn *conn);
/* Sets the window to be announced next. Returns true when it is worth a segment of its own. */
bool conn_rx_announce(struct conn *conn);
void conn_chunk_pool_drain(struct stack *stack);

#endif
