/* SPDX-License-Identifier: Apache-2.0 */
/* The text of HTTP/1.1 that a proxied connection needs: whom a request is for, and the method
 * CONNECT (RFC 9110, 9.3.6) with its answer. */
#ifndef FORWARDER_HTTP_CONNECT_H
#define FORWARDER_HTTP_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "forwarder/egress.h"

/* Longest header of an answer to CONNECT. */
#define HTTP_CONNECT_REPLY_MAX 16384
/* Longest request: the target twice, authorization, and what stands around them. */
#define HTTP_CONNECT_REQUEST_MAX (2 * EGRESS_NAME_MAX + EGRESS_AUTH_MAX + 256)
#define HTTP_CONNECT_REASON_MAX  64

/*
 * Looks into the first bytes of a stream for a request's Host. Returns 1 with a clean name, 0 when
 * it is HTTP and names nobody (or an address), -EAGAIN when more bytes may say, -EPROTO when it
 * isn't HTTP/1.
 */
int http_request_host(const uint8_t *bytes, size_t size, char to[static EGRESS_NAME_MAX]);

/* Writes the request that asks for `target`, "NAME:PORT" or "ADDRESS:PORT". `auth` is base64, or
 * empty. Returns the size; there is room for the longest. */
size_t http_connect_request(const char *target, const char *auth,
			    char to[static HTTP_CONNECT_REQUEST_MAX]);

struct http_connect_reply {
	unsigned status;
	size_t header_size;                   /* what comes behind it is the tunnel's */
	char reason[HTTP_CONNECT_REASON_MAX]; /* printable */
};

/* Reads the head of an answer. Returns 0, -EAGAIN when its end isn't there yet, -EPROTO when it
 * isn't HTTP/1 or is longer than HTTP_CONNECT_REPLY_MAX. */
int http_connect_reply(const uint8_t *bytes, size_t size, struct http_connect_reply *ret);

#endif
