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

struct supervisor;

/* What a managed machine adds to a run. A netproxy of its own that dies is then started again. All
 * but begin() may be called only after it. */
struct supervisor_hooks {
	/* Before anything is started. Returns 0, or -errno, logged. */
	int (*begin)(void *arg, struct supervisor *supervisor, struct loop *loop);
	/* QEMU answers; again when it was started again. */
	void (*guest_up)(void *arg, struct vm *vm);
	void (*guest_event)(void *arg, const char *name, struct json_object *data);
	/* QEMU has gone; the vm will be freed. */
	void (*guest_gone)(void *arg);
	void (*proxy_back)(void *arg);
	/* What the run came to, with why, in one line. */
	void (*ended)(void *arg, enum run_status status, const char *why);
	/* Frees what begin() made, if it did; the vm has been freed. */
	void (*end)(void *arg);
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
	bool qemu_reconnect_ms;   /* as in struct qemu_wiring */
	unsigned stop_timeout_ms;
	const struct prepared *prepared; /* by prepare_machine() */
	const char *virtiofsd;           /* program; NULL when the machine has no volumes */
	/* QEMU runs; or NULL. Said again when it is started again. */
	void (*running)(void *arg);
	void *running_arg;
	const struct supervisor_hooks *hooks; /* or NULL: not a managed machine */
	void *hooks_arg;
	const struct args *qemu_extra; /* or NULL; with `hooks` */
	bool unplugged;                /* as in struct qemu_wiring; with `hooks` */
};

/* From here on those signals wait for supervisor_run(), which takes them as they are meant, and
 * after it for the end of the process: who is killed while it makes something or clears away leaves
 * half of it. */
void supervisor_hold_signals(void);
/* All borrowed for the call. Logs what happens. */
enum run_status supervisor_run(const struct supervisor_conf *conf);

/* Powers the guest off, as the first signal does; or kills it. */
void supervisor_stop(struct supervisor *supervisor, bool force);
bool supervisor_stopping(const struct supervisor *supervisor);
enum accel supervisor_accel(const struct supervisor *supervisor);
/* Logs the guest's last lines, for a user who doesn't have them on the screen. */
void supervisor_show_console(struct supervisor *supervisor);
/* What the devices are plugged to; the texts are borrowed. */
void supervisor_wiring(struct supervisor *supervisor, struct qemu_wiring *ret);
/* The volumes' devices. */
enum supervisor_volumes {
	UNPLUGGED,     /* will be taken out: that their daemons end is no news */
	PLUGGED_ANEW,  /* were, and will be plugged in: their daemons are started */
	PLUGGED_STILL, /* were not all taken out: those daemons are started that have ended */
};

/* Returns 0, or -errno with the problem set. */
int supervisor_plug_volumes(struct supervisor *supervisor, enum supervisor_volumes volumes,
			    struct problem *problem);

/* Pure: how a run ended, and whether its netproxy was lost before that. */
enum run_status supervisor_status(enum vm_end end, bool proxy_lost);

#endif
