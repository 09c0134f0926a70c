/* SPDX-License-Identifier: Apache-2.0 */
/* Clients for tests of servers that run on a loop in the same process: whoever waits runs the loop
 * meanwhile. */
#ifndef TESTS_UNIT_API_PEER_H
#define TESTS_UNIT_API_PEER_H

#include <stddef.h>

#include "base/loop.h"

/* A connection to the unix socket at `path`; fails the test when there is none. */
int peer_connect(const char *path);
/* Sends all of it; false when the server has closed. */
bool peer_send(struct loop *loop, int fd, const char *data, size_t size);
/* Reads to the end of the stream, and closes. The text is owned, with a NUL. */
char *peer_read_all(struct loop *loop, int fd, size_t *ret_size);
/* Reads until the text read in all ends with `end`. Owned. */
char *peer_read_until(struct loop *loop, int fd, const char *end);
/* Runs what is ready, without waiting. */
void peer_settle(struct loop *loop);

/* One request on a connection of its own that ends with it: the whole answer, owned. */
char *peer_exchange(struct loop *loop, const char *path, const char *data, size_t size);

#endif
