/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server on one listening socket, for local clients that may be hostile: a request
 * is bounded in size and in time as a whole (not per read, so bytes that trickle gain nothing),
 * connections are bounded in number, replies that wait to be read in bytes.
 *
 * A connection reads a request, writes the reply, and begins again or closes:
 *
 *	READING    waits for a request, or the rest of one; idle_ms without a byte, request_ms
 *	           from the first
 *	WRITING    nothing is read before the reply is out; reply_ms
 *	LINGERING  said that it ends, throws away what comes, so that the reply isn't lost in a
 *	           reset; linger_ms
 *
 * A reply can hold its connection: from then on no idle limit and no other client ends it, only its
 * own does, and whoever held it is told. At most half of the connections can be held.
 *
 * A reply can also take its connection over: it leaves HTTP, and the server forgets it.
 *
 * Where there are connections_max already, the one that has waited for its client longest makes
 * room for a new one; clients that say nothing therefore keep nobody out.
 *
 * (libevent's evhttp is not used: its time limit starts anew with every byte, it can't bound its
 * connections, and it answers malformed requests in HTML.)
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdint.h>

#include "http/http_message.h"
#include "base/loop.h"

struct http_limits {
	unsigned connections_max;
	uint32_t idle_ms;
	uint32_t request_ms;
	uint32_t reply_ms;
	uint32_t linger_ms;
};

static inline struct http_limits http_limits(unsigned connections_max)
{
	return (struct http_limits){
		.connections_max = connections_max,
		.idle_ms = 60000,
		.request_ms = 10000,
		.reply_ms = 20000,
		.linger_ms = 1000,
	};
}

/* Replies of one server that wait to be read: beyond this, requests get a 503. */
#define HTTP_REPLIES_SIZE_MAX (8 * 1024 * 1024)

struct http_server;

/* Makes the reply to a request, which is borrowed for the call; *reply is an empty 200 to begin
 * with. It must not free the server. */
typedef void http_handler_fn(void *arg, const struct http_request *request,
			     struct http_reply *reply);

/* Told that a connection which was held has ended. */
typedef void http_closed_fn(void *arg, uint64_t connection);

struct http_counters {
	uint64_t requests;
	uint64_t malformed; /* of them, not HTTP, or too large */
	uint64_t evicted;   /* connections closed to make room for others */
	uint64_t timeouts;
	unsigned connections; /* now */
	unsigned held;        /* of them */
};

/* Serves a listening stream socket, which it takes, also on failure; -1: there is none, and
 * connections come by http_server_add(). Returns 0 or -errno. */
int http_server_new(struct loop *loop, int listen_fd, const struct http_limits *limits,
		    http_handler_fn *handler, void *arg, struct http_server **ret_server);
/* Serves one more connection, a stream socket that doesn't block, which it takes, also on failure.
 * Returns 0 or -errno. */
int http_server_add(struct http_server *server, int fd);
/* `closed` gets the handler's argument; it must not free the server. */
void http_server_on_closed(struct http_server *server, http_closed_fn *closed);
/* Ends all connections, those that are held too. */
void http_server_free(struct http_server *server);
struct http_counters http_server_counters(const struct http_server *server);

#endif
