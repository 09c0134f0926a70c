/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on in the background: the process forks, its parent stays at the terminal until the child
 * says how the start went, and ends with that. Until then the child writes to the same standard
 * error, so that nothing of what went wrong is lost.
 */
#ifndef LAUNCHER_DAEMON_H
#define LAUNCHER_DAEMON_H

#include "launcher/problem.h"

struct daemon {
	int report_fd; /* -1: nobody waits (any more) */
};

/* Forks. Returns 0 in the child, in a session of its own; 1 in the parent once the child has
 * reported or ended, with the exit status in *ret_status; -errno with the problem set, in the only
 * process. To be called before there are threads or an event loop. */
int daemon_fork(struct daemon *daemon, int *ret_status, struct problem *problem);
/* Lets the parent go, with this exit status, and moves standard input and output to /dev/null and
 * standard error to the file at `log_path` (appended to). Once; later calls do nothing. */
void daemon_report(struct daemon *daemon, int status, const char *log_path);

#endif
