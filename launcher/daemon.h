/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on in the background: the process forks, its parent stays at the terminal until the child
 * says how the start went, and ends with that. Until then the child writes to the same standard
 * error, so that nothing of what went wrong is lost, and to its log, so that that is whole.
 */
#ifndef LAUNCHER_DAEMON_H
#define LAUNCHER_DAEMON_H

#include <limits.h>

#include "launcher/problem.h"

#define DAEMON_LOG_MAX (1u << 20) /* bytes; a larger log is kept as PATH.1 when one begins */

struct daemon {
	int report_fd; /* -1: nobody waits (any more) */
	char log_path[PATH_MAX];
	int log_fd; /* while both are written to; else -1 */
};

/* Forks. Returns 0 in the child, in a session of its own, with standard descriptors only; 1 in the
 * parent once the child has reported or ended, with the exit status in *ret_status; -errno with the
 * problem set, in the only process. To be called before there are threads or an event loop. */
int daemon_fork(struct daemon *daemon, int *ret_status, struct problem *problem);
/* In the child: what is logged from now on goes to the file at `path` as well (appended to). */
void daemon_log(struct daemon *daemon, const char *path);
/* Lets the parent go, with this exit status, and moves standard input and output to /dev/null and
 * standard error to the log. Once; later calls do nothing. */
void daemon_report(struct daemon *daemon, int status);

#endif
