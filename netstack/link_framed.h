/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_framed: frames behind a length each, over anything that carries a stream of bytes: sockets,
 * pipes, a connection that was something else before. No offloads; the switch coalesces and cuts
 * (caps.gro).
 */
#ifndef NETSTACK_LINK_FRAMED_H
#define NETSTACK_LINK_FRAMED_H

#include <stddef.h>

#include "base/loop.h"
#include "netstack/link.h"

enum framing {
	FRAMING_QEMU, /* a 32-bit big-endian length: QEMU's -netdev stream and socket */
	FRAMING_LE16, /* a 16-bit little-endian length: stdio, POST /connect, VMN3T */
};

/* Most bytes that may have been read already when the frames' turn comes. */
#define LINK_FRAMED_EARLY_MAX (128 * 1024)

struct link_framed_conf {
	enum framing framing;
	const char *name;
	int fd;            /* where frames come from; taken over, also on failure */
	int out_fd;        /* where frames go, taken over as well; -1: to fd */
	const void *early; /* bytes of the stream that were read from fd before; copied */
	size_t early_size; /* at most LINK_FRAMED_EARLY_MAX */
};

/* Makes a link. Descriptors that are no sockets need SIGPIPE to be ignored. Returns 0 with an owned
 * link, -EMSGSIZE (too many early bytes), -EPERM (a file that can't be waited for), or another
 * -errno. Early frames come at the end of the loop's round. */
int link_framed_new(struct loop *loop, const struct link_framed_conf *conf, struct link **ret_link);

/* The same for one descriptor both ways, and hands the link to `sink`. Returns 0 or -errno; the
 * descriptor is taken over in any case. */
int link_framed_open(struct loop *loop, int fd, enum framing framing, const void *early,
		     size_t early_size, const char *name, const struct link_sink *sink);

/* Ends a link of these: its user is told why at once, so only from the loop. */
void link_framed_end(struct link *link, const char *reason);

#endif
