/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_tcp: splices a guest's TCP connection (netstack/conn.h) with a host's stream socket, until
 * both directions are closed or either side is reset.
 *
 * The two ways in: a guest opens a connection (flow_tcp_out: the host's side is connected first,
 * then the guest gets its SYN-ACK), or a client of a published port does (flow_tcp_in: the guest is
 * dialled, then bytes move).
 *
 * Half-close goes through in each direction, a reset of one side resets the other. Back-pressure:
 * bytes that the host's socket doesn't take stay in the connection, whose window then closes; the
 * host's socket isn't read while the connection has no room.
 *
 * An idle flow lives as long as both its ends do, which keepalive probes ask for; those of a guest
 * are made up for on the host's side. Urgent data stays in its place in the stream. The guest's
 * service class (DSCP) is the host's socket's; what the far side sends with isn't known here.
 */
#ifndef FORWARDER_FLOW_TCP_H
#define FORWARDER_FLOW_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/loop.h"
#include "forwarder/outbound.h"
#include "netstack/conn.h"

struct egress;

struct flow_tcp_table {
	struct loop *loop;
	struct egress *egress; /* guests' way out by a proxy; borrowed; NULL: none */
	struct outbound outbound;
	struct list flows;                  /* the oldest first */
	struct loop_timer *keepalive_timer; /* runs when a flow is new */
	uint64_t count;
	uint64_t total;
	uint64_t refused; /* connects that failed */
	uint64_t bytes_to_host;
	uint64_t bytes_to_guests;
};

void flow_tcp_table_init(struct flow_tcp_table *table, struct loop *loop);
/* Ends every flow: guests get RST. */
void flow_tcp_table_destroy(struct flow_tcp_table *table);

/* Connects to `host` for a guest's held connection, and owns that from here on, whatever happens.
 */
void flow_tcp_out(struct flow_tcp_table *table, struct conn *conn, const struct endpoint *host);
/* The same with a connected stream socket, which is taken over. `host`: where it leads, NULL for a
 * service of ours. */
void flow_tcp_out_fd(struct flow_tcp_table *table, struct conn *conn, int fd,
		     const struct endpoint *host);

/* Longest text that a guest can be sent before the client's bytes. */
#define FLOW_TCP_PREAMBLE_MAX (128 * 1024)

/* Payload bytes. */
struct flow_tcp_traffic {
	uint64_t to_host;
	uint64_t to_guest;
};

/* A client of a published port, and who wants to know what becomes of it. */
struct flow_tcp_inbound {
	int fd;                      /* accepted; taken over on success */
	const struct endpoint *from; /* as whom the guest is dialled; borrowed, as all here */
	const struct endpoint *guest;
	const struct addr *hop;           /* the guest that it is behind; NULL: it is a guest */
	const void *preamble;             /* what the guest gets first; copied */
	size_t preamble_size;             /* at most FLOW_TCP_PREAMBLE_MAX; 0: nothing */
	struct flow_tcp_traffic *traffic; /* counted up as bytes move, until `closed` */
	/* Called once each, in this order: whether the guest took the connection; and when it is
	 * over. Not at all when flow_tcp_in() fails. */
	void (*opened)(void *arg, bool accepted);
	void (*closed)(void *arg);
	void *arg;
};

/* Dials the guest for a client. Where `from` has no port, or one that is taken, another one from
 * the dynamic range takes its place. Returns 0 or what conn_connect() says. */
int flow_tcp_in(struct flow_tcp_table *table, struct stack *stack,
		const struct flow_tcp_inbound *inbound);

#endif
