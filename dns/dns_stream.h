/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS over connected streams (RFC 7766): messages behind 2-byte lengths, several under way at once,
 * replies as they come. The server's half of dns_server_serve_stream().
 *
 * A stream that has as many queries under way as it may, or a client that doesn't read its replies,
 * isn't read from until that changes. A stream is closed when nothing was asked or taken from it
 * for the idle time. When a client, or all together, have as many streams as they may, a new one
 * takes the place of the one that has been idle longest, and isn't taken when none is.
 */
#ifndef DNS_DNS_STREAM_H
#define DNS_DNS_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/loop.h"

#define DNS_STREAMS_MAX             64
#define DNS_STREAMS_PER_CLIENT_MAX  16
#define DNS_STREAM_QUERIES_MAX      16     /* under way */
#define DNS_STREAM_OUTPUT_BYTES_MAX 131072 /* queued; beyond it nothing more is read */
#define DNS_STREAM_BATCH_MAX        32     /* messages taken in one round of the loop */
#define DNS_STREAM_IDLE_MS_DEFAULT  10000

struct dns_server;

struct dns_streams {
	struct loop *loop;
	struct dns_server *server;
	uint32_t idle_ms;
	struct list list; /* longest without activity first */
	size_t count;
	uint64_t served;
	uint64_t cut; /* closed or not taken because of a limit */
};

void dns_streams_init(struct dns_streams *streams, struct loop *loop, struct dns_server *server,
		      uint32_t idle_ms);
void dns_streams_destroy(struct dns_streams *streams);
/* Takes the fd, also on failure. Returns 0, -EBUSY or another -errno. */
int dns_streams_add(struct dns_streams *streams, int fd, const struct endpoint *client);

#endif
