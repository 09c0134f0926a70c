/* SPDX-License-Identifier: Apache-2.0 */
/* Other network namespaces: naming one, and entering it. */
#ifndef NETSTACK_NETNS_H
#define NETSTACK_NETNS_H

#include <stdbool.h>

/* Whether that names a process, by its decimal pid, rather than a path. */
bool netns_is_pid(const char *netns);

/* Opens the network namespace `netns`: a path such as /run/netns/x, or the decimal pid of a process
 * that is in it. Returns 0 with an owned fd, -ENAMETOOLONG, or another -errno. */
int netns_open(const char *netns, int *ret_fd);

/*
 * Enters it; where that needs the privileges of the user namespace that owns it, that one first.
 * There is no way back: for a child process, which must have one thread only. Makes system calls
 * alone, so that a fork of a larger program may call it. Returns 0 or -errno.
 */
int netns_enter(int netns_fd);

#endif
