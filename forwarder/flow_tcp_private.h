/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of TCP flows share: flow_tcp.c (the splice), flow_tcp_connect.c (how the
 * host's side is reached) and flow_tcp_egress.c (the same by way of a proxy).
 */
#ifndef FORWARDER_FLOW_TCP_PRIVATE_H
#define FORWARDER_FLOW_TCP_PRIVATE_H

#include "forwarder/flow_tcp.h"

struct flow_tcp_tunnel;
struct inbound;

/* Connections are connected first and accepted then: */
enum flow_state {
	FLOW_CONNECTING, /* out: the host's side is connecting, the guest's SYN is held */
	FLOW_OPENING,    /* the guest's handshake */
	FLOW_TUNNELLING, /* out, by a proxy: it is being told where to; flow_tcp_egress.c has it */
	FLOW_OPEN
};

/* There may be very many: the order leaves no holes. */
struct flow_tcp {
	struct list link;
	struct flow_tcp_table *table;
	struct conn *conn;
	struct loop_fd *watch;
	struct loop_timer *timer;       /* while CONNECTING or TUNNELLING */
	struct flow_tcp_tunnel *tunnel; /* out, by a proxy, until OPEN; owned; NULL: none */
	struct inbound *inbound;        /* owned; NULL for a guest's own connections */
	uint64_t deadline_ms;           /* CONNECTING: when the connect has failed */
	struct endpoint host;           /* out: where the guest's connection leads */
	int fd;
	enum flow_state state;
	unsigned keepalive_s;   /* what the guest's own probes made of it; 0: nothing yet */
	uint32_t sent;          /* bytes to the host, until is_bulk */
	uint8_t service_class;  /* the host's socket's, as conn_service_class() */
	bool can_read : 1;      /* the host's socket may have something for us */
	bool can_write : 1;     /* ... may take something */
	bool host_eof : 1;      /* has nothing more for us */
	bool host_shut : 1;     /* has been told that there is nothing more */
	bool has_sent : 1;      /* bytes to the host */
	bool no_delay : 1;      /* TCP_NODELAY is set */
	bool is_bulk : 1;       /* tune_bulk() has been here */
	bool has_keepalive : 1; /* SO_KEEPALIVE is set */
	bool is_old : 1;        /* on_keepalive_timer() has been here */
};

/* flow_tcp.c */

/* Makes a flow of a socket, which is taken over only on success; the connection is not yet its own.
 */
int flow_tcp_new(struct flow_tcp_table *table, int fd, enum flow_state state,
		 struct flow_tcp **ret_flow);
/* Makes the flow `conn`'s owner. */
void flow_tcp_own(struct flow_tcp *flow, struct conn *conn);
/* Frees the flow. `reset`: closes the host's socket with RST. The connection goes as conn_free()
 * decides. */
void flow_tcp_free(struct flow_tcp *flow, bool reset);
/* Closes the host's socket, and takes `fd`, which is connecting, in its place; on failure nothing
 * changes. Returns 0 or -errno. */
int flow_tcp_replace_socket(struct flow_tcp *flow, int fd);

/* flow_tcp_connect.c */

/* Returns 0 with a socket that is connected or connecting, from the table's outbound address unless
 * that is to the host's loopback, and with that service class. */
int flow_tcp_host_connect(const struct flow_tcp_table *table, const struct endpoint *host,
			  uint8_t service_class, int *ret_fd);
/* Gives the socket's packets the service class of the guest's. */
void flow_tcp_set_service_class(int fd, uint8_t service_class);
/* The error that a connecting socket ended with, or 0; for events that say it may be written. */
int flow_tcp_socket_error(int fd, unsigned ready);
/* An event of the host's socket while CONNECTING. */
void flow_tcp_connect_event(struct flow_tcp *flow, int fd, unsigned ready);

#endif
