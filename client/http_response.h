/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of an HTTP/1.1 response (RFC 9112): status and body, by length, in chunks or up to the
 * end. */
#ifndef CLIENT_HTTP_RESPONSE_H
#define CLIENT_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

/* Most that a response may have before its body, and as a whole. 1000 forwards list in about 100
 * KiB. */
#define HTTP_HEAD_SIZE_MAX     (16 * 1024)
#define HTTP_RESPONSE_SIZE_MAX (4 * 1024 * 1024)

struct http_response {
	int status;
	char *body; /* owned, with a NUL after its end */
	size_t body_size;
};

/* Decodes what has come so far; `ended` says that nothing more will come.
 * Returns 1 with an owned response, 0 when more is needed, or -EBADMSG with *ret_why (static)
 * saying what is wrong with it. */
int http_response_decode(const char *data, size_t size, bool ended, struct http_response *ret,
			 const char **ret_why);
void http_response_clear(struct http_response *response);

#endif
