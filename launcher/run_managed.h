/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a managed machine, the way "run" runs one in the foreground (command_run.c). */
#ifndef LAUNCHER_RUN_MANAGED_H
#define LAUNCHER_RUN_MANAGED_H

#include "launcher/args.h"
#include "launcher/options.h"
#include "launcher/supervisor.h"

struct managed_run {
	const struct supervisor_hooks *hooks;
	void *arg;                /* theirs */
	const struct args *extra; /* for QEMU */
	bool unplugged;           /* as in struct supervisor_conf */
	int console_fd;           /* input and output of the console; borrowed */
};

/* In `dir`, whose lock the caller has. Returns an exit status (enum run_status). */
int run_managed(const struct run_options *options, const char *dir,
		const struct managed_run *managed);

#endif
