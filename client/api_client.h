/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of netproxy's API, for netproxyctl and for programs that run in a guest: one request,
 * one answer, one deadline, over vsock, a unix socket or TCP. It blocks, never longer than it was
 * told.
 */
#ifndef CLIENT_API_CLIENT_H
#define CLIENT_API_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/sock.h"
#include "client/http_response.h"

enum api_transport {
	API_VSOCK, /* to the host, CID 2 */
	API_UNIX,
	API_TCP,
};

struct api_target {
	enum api_transport transport;
	uint32_t vsock_port;
	char path[SOCK_PATH_MAX];
	struct endpoint tcp;
};

/* Longest message that api_request() writes. */
#define API_ERROR_MAX 384

/* "vsock", "unix:/path" or "http://ADDR[:PORT]"; `vsock_port` is for the first. Returns 0, or
 * -EINVAL (not such a thing) or -ENAMETOOLONG. */
int api_target_parse(const char *text, uint32_t vsock_port, struct api_target *ret);
/* The same in words, for messages. */
const char *api_target_describe(const struct api_target *target, char *to, size_t size);

/* Sends a request with `json` as its body (NULL: none) and reads the answer, all before
 * `deadline_ms` on base/clock.h's clock. Returns 0 with an owned answer of whatever status; or
 * -errno with a message of at most API_ERROR_MAX bytes in `error`: -EBADMSG when the answer isn't
 * HTTP, -ETIMEDOUT at the deadline. */
int api_request(const struct api_target *target, const char *method, const char *path,
		const char *json, uint64_t deadline_ms, struct http_response *ret_response,
		char *error);

/* The same, for what lasts as long as the connection: where the answer's status is 200 the
 * connection stays open, and is *ret_fd, owned, non-blocking. It becomes readable when the server
 * ends it, as it sends nothing more. Otherwise *ret_fd is -1. */
int api_request_held(const struct api_target *target, const char *method, const char *path,
		     const char *json, uint64_t deadline_ms, struct http_response *ret_response,
		     int *ret_fd, char *error);

/* The steps of it, for many requests on one connection. api_connect() returns 0 with an owned
 * socket that doesn't block; api_request_on() leaves it open, and after a failure it is good for
 * nothing; api_send() waits for no answer. Errors are as above. */
int api_connect(const struct api_target *target, uint64_t deadline_ms, int *ret_fd, char *error);
int api_request_on(int fd, const struct api_target *target, const char *method, const char *path,
		   const char *json, uint64_t deadline_ms, struct http_response *ret_response,
		   char *error);
int api_send(int fd, const struct api_target *target, const char *method, const char *path,
	     uint64_t deadline_ms, char *error);

#endif
