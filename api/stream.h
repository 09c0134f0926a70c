/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reply without an end: what happens is written to a client for as long as it listens. It is
 * HTTP/1.0's kind of body, which ends where the connection does, so that every client can read it.
 *
 * What waits for the client is bounded, and nothing here blocks: whoever writes is told when there
 * is no room, and either drops and counts (packets), or ends the stream (events, of which none may
 * be missing unnoticed).
 */
#ifndef API_STREAM_H
#define API_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/loop.h"

struct stream;

/* The client has gone; the stream is to be freed then, at the latest. From the event loop only. */
typedef void stream_gone_fn(void *arg);

/* Takes the socket, also on failure, and says that a body of that content type follows. At most
 * `room` bytes wait for the client. Returns 0 or -errno. */
int stream_new(struct loop *loop, int fd, const char *type, size_t room, stream_gone_fn *gone,
	       void *arg, struct stream **ret_stream);
/* What waits is lost. NULL is fine. */
void stream_free(struct stream *stream);

/* All of it, or nothing. Returns false when there is no room, or the client has gone. It is sent at
 * the end of the loop's round. */
bool stream_write(struct stream *stream, const void *data, size_t size);
/* Whether so many bytes would be taken now. */
bool stream_has_room(const struct stream *stream, size_t size);

#endif
