/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 messages as a server sees them (RFC 9110, 9112): requests decoded from what has come so
 * far, replies put together. Pure; http_server.c moves the bytes. (The clients' side of it is
 * client/http_response.h.)
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_METHOD_MAX       16
#define HTTP_PATH_MAX         512
#define HTTP_HOST_MAX         256
#define HTTP_ALLOW_MAX        64
#define HTTP_REQUEST_HEAD_MAX (16 * 1024)
#define HTTP_REQUEST_BODY_MAX (64 * 1024)
/* Most that is kept of a request: in chunks, the body's framing counts too. */
#define HTTP_REQUEST_SIZE_MAX (HTTP_REQUEST_HEAD_MAX + HTTP_REQUEST_BODY_MAX)

struct http_request {
	char method[HTTP_METHOD_MAX];
	char path[HTTP_PATH_MAX];  /* without the query; starts with a slash (or is "*") */
	char query[HTTP_PATH_MAX]; /* what follows the question mark; "" when there is none */
	char host[HTTP_HOST_MAX];  /* the Host field; "" in HTTP/1.0 without one */
	bool is_head;              /* method HEAD: the reply goes without its body */
	bool from_web_page; /* has an Origin field: a browser sends it for a page's script or form
			     */
	bool keep_alive;
	const char *body; /* borrowed from the data */
	size_t body_size;
	uint64_t connection; /* set by the server: which of its connections; never 0, never used
				again */
	bool may_hold;       /* set by the server: whether the reply may hold the connection */
};

/* What a decoder came to. */
struct http_progress {
	size_t taken;        /* bytes of the data that the request took; set on success */
	bool wants_continue; /* the client waits for "100 Continue" before it sends the body */
	unsigned status;     /* on failure: what to answer, ... */
	const char *why;     /* ... and a text for it; static */
};

/* Decodes the first request in `data`, whose bytes it may move about once the request is complete.
 * Returns 1 with *ret_request, 0 when more is needed, or -EBADMSG with the status and text of the
 * answer in *progress. */
int http_request_decode(char *data, size_t size, struct http_request *ret_request,
			struct http_progress *progress);

/* Gets a connection that has left HTTP: the socket, which it takes, and the bytes that came behind
 * the request in the same reads, borrowed for the call. It must not free the server. */
typedef void http_take_fn(void *arg, int fd, const void *early, size_t early_size);

struct http_reply {
	unsigned status;
	const char *type;           /* content type, static; NULL: no body */
	char allow[HTTP_ALLOW_MAX]; /* the Allow field of a 405; else "" */
	char *body;                 /* owned */
	size_t body_size;
	/* Keep the connection for as long as the client does: it means something. To be set when
	 * the rest of the reply is. */
	bool hold;
	http_take_fn *take; /* not NULL: nothing is replied, and the connection is handed over */
	void *take_arg;
};

/* An empty 200. */
static inline struct http_reply http_reply_empty(void)
{
	return (struct http_reply){.status = 200};
}

/* Make the reply a line of text (a newline is added), or a JSON document with a newline as Go's
 * encoder writes it
 * (`object` is taken; NULL is null). Out of memory, it becomes an empty 500. */
void http_reply_text(struct http_reply *reply, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void http_reply_json(struct http_reply *reply, unsigned status, struct json_object *object);
void http_reply_clear(struct http_reply *reply);

/* The whole message, owned by the caller, or NULL when there is no memory. */
char *http_reply_encode(const struct http_reply *reply, bool is_head, bool keep_alive,
			size_t *ret_size);

#endif
