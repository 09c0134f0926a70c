/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the kernel what listens: by sock_diag(7), or where that isn't there by /proc/net. */
#ifndef AGENT_SOCK_DIAG_H
#define AGENT_SOCK_DIAG_H

#include "agent/listeners.h"

/* All that listens in this network namespace. Returns 0 or -errno. */
int sock_diag_list(struct listeners *ret_listeners);

/* A socket at which the kernel tells of sockets that have ended; it needs CAP_NET_ADMIN. Returns 0
 * with an owned one that doesn't block, or -errno. */
int sock_diag_watch(int *ret_fd);
/* Reads what has come. Returns 0 with the ended sockets, or -errno; -ENOBUFS: some were missed. */
int sock_diag_read_ended(int fd, struct listeners *ret_listeners);

#endif
