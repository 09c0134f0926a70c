/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one machine from start to end: its netproxy, QEMU when that is ready, the console, and what
 * happens when somebody wants it stopped or a part of it dies. Nothing that it started outlives it.
 *
 * Stopping: the first SIGTERM, SIGINT or SIGHUP (or Ctrl-A x) presses the guest's power button,
 * again every few seconds, since a guest that still boots doesn't notice; when the time is up, or
 * at the second signal, QEMU is told to quit; and killed if it doesn't.
 */
#ifndef LAUNCHER_SUPERVISOR_H
#define LAUNCHER_SUPERVISOR_H

#include <stdbool.h>

#include "launcher/accel.h"
#include "launcher/machine.h"
#include "launcher/prepare.h"
#include "launcher/vm.h"

/* What the run came to: the program's exit status, as its man page lists it. */
enum run_status {
	RUN_POWERED_OFF = 0,  /* the guest powered itself off, asked to or not */
	RUN_REFUSED = 1,      /* a mistake in what was asked for; nothing was started */
	RUN_PROXY_FAILED = 2, /* netproxy did not start */
	RUN_QEMU_FAILED = 3,  /* QEMU did not start, or died */
	RUN_KILLED = 4,       /* the guest did not power off in time, or was to be killed at once */
	RUN_PROXY_DIED = 5,   /* netproxy died while the guest ran, which ended in order later */
	RUN_PANICKED = 6,     /* the guest's kernel panicked */
	RUN_RESET = 7,        /* the guest rebooted, under -no-reboot */
};

struct supervisor_conf {
	const struct machine *machine;
	const char *dir;          /* the machine's directory */
	const char *qemu;         /* program */
	const char *netproxy;     /* program; NULL when the machine needs none of its own */
	bool qemu_tcg_needs_intx; /* a vhost-user network device under TCG crashes this QEMU, unless
				     it has no interrupt vectors */
	enum accel accel;
	bool accel_may_fall_back; /* from KVM to TCG, when the guest makes no progress */
	int console_in_fd;        /* -1: none */
	int console_out_fd;       /* -1: none */
	bool console_is_pty;      /* both are a pseudo-terminal's master */
	bool console_seen;        /* the user sees the console as it is written */
	unsigned stop_timeout_ms;
	const struct prepared *prepared; /* by prepare_machine() */
	const char *virtiofsd;           /* program; NULL when the machine has no volumes */
	/* QEMU runs; or NULL. Said again when it is started again. */
	void (*running)(void *arg);
	void *running_arg;
};

/* All borrowed for the call. Logs what happens. */
enum run_status supervisor_run(const struct supervisor_conf *conf);

/* Pure: how a run ended, and whether its netproxy was lost before that. */
enum run_status supervisor_status(enum vm_end end, bool proxy_lost);

#endif
