/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What listens in this machine, as the kernel tells it: TCP sockets that listen, and UDP sockets
 * that are bound and not connected. The messages of sock_diag(7) and the text of /proc/net/tcp and
 * its like are decoded here; sock_diag.c fetches them. Pure.
 */
#ifndef AGENT_LISTENERS_H
#define AGENT_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* Most that one look takes in. */
#define LISTENERS_MAX 4096

struct listener {
	bool udp;
	bool v6_only;
	struct addr addr; /* a wildcard is 0.0.0.0 or :: */
	uint16_t port;
	uint32_t inode;
};

struct listeners {
	size_t count;
	bool overflow; /* there were more */
	struct listener at[LISTENERS_MAX];
};

/* What a batch of netlink messages came to. */
enum diag_result {
	DIAG_MORE,
	DIAG_DONE,
	DIAG_FAILED, /* the kernel has answered with an error */
};

/* Adds what a batch of sock_diag's messages holds. Of destroyed sockets, too, which multicasts
 * tell of: they have the same form. *ret_error is set with DIAG_FAILED. */
enum diag_result listeners_add_diag(struct listeners *listeners, bool udp, const void *data,
				    size_t size, int *ret_error);
/* Adds what a file such as /proc/net/tcp6 holds, which is cut into lines. */
void listeners_add_proc(struct listeners *listeners, bool udp, char *text);

#endif
