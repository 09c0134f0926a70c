/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl as a function: arguments in, text and an exit status out. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdio.h>

/* Exit statuses; the manual page documents them. */
enum ctl_status {
	CTL_OK = 0,
	CTL_FAILED = 1,      /* netproxy said no */
	CTL_USAGE = 2,       /* the command line is wrong; nothing was asked */
	CTL_UNREACHABLE = 3, /* no netproxy there, or none that answers */
};

/* Of the process's environment; NULL: not set. */
struct ctl_env {
	const char *api;         /* NETPROXY_API */
	const char *runtime_dir; /* XDG_RUNTIME_DIR */
};

/* Runs one command, argv[0] being the program's name. What was asked for goes to `out`, what went
 * wrong to `err`. */
enum ctl_status ctl_run(int argc, char *const *argv, const struct ctl_env *env, FILE *out,
			FILE *err);

#endif
