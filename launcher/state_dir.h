/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of one running machine: its sockets, its netproxy's log, and a lock, which the
 * kernel drops with the process that holds it. Whether a machine runs is seen from the lock, never
 * from files that lie around.
 */
#ifndef LAUNCHER_STATE_DIR_H
#define LAUNCHER_STATE_DIR_H

#include <limits.h>
#include <stdbool.h>

#include "launcher/problem.h"

/* The longest name that a socket in it gets: the vsock device's, with the largest port number. */
#define STATE_DIR_LONGEST_SOCKET "vsock.sock_4294967295"

struct state_dir {
	char path[PATH_MAX]; /* absolute */
	int lock_fd;
	bool temporary; /* made for this run; removed with all that is in it */
};

/* Whether a directory's path leaves room for the sockets. Returns 0, or -ENAMETOOLONG with the
 * problem set. */
int state_dir_check_path(const char *path, struct problem *problem);
/*
 * Makes (if need be) and locks the directory at `path`, which stays when closed; with NULL, a new
 * private one below $XDG_RUNTIME_DIR or /tmp, which goes when closed. Returns 0, or -errno with the
 * problem set; -EBUSY when another process has it.
 */
int state_dir_open(struct state_dir *dir, const char *path, struct problem *problem);
/* Unlocks it, and removes a temporary one. */
void state_dir_close(struct state_dir *dir);

#endif
