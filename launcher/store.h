/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where machines are kept: each in a directory with its description (store_description.h), its
 * lock, its sockets and its logs. Nothing here says whether a machine runs but the lock, which the
 * kernel drops with the process that holds it; what such a process leaves when it is killed is
 * found and cleaned by the next one.
 */
#ifndef LAUNCHER_STORE_H
#define LAUNCHER_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "launcher/machine.h"
#include "launcher/problem.h"

#define STORE_MACHINES_MAX 1024

/* Names within a machine's directory; proxy.h and state_dir.h have some more. */
#define STORE_DESCRIPTION "machine.json"
#define STORE_EDIT_LOCK   "edit.lock"
#define STORE_LOCK        "lock" /* state_dir.h's */
#define STORE_REST        "rest.sock"
#define STORE_CONSOLE     "console.sock"
#define STORE_CONSOLE_LOG "console.log"
#define STORE_LOG         "supervisor.log"
#define STORE_EVENTS      "events.log"
#define STORE_KNOWN_HOSTS "known_hosts" /* the guest's SSH host keys */
#define STORE_END         "end.json"    /* how the last run ended */
#define STORE_QEMU_PID    "qemu.pid"
#define STORE_VMSTATE     "snapshots.qcow2"
#define STORE_SNAPSHOTS   "snapshots"

struct store_place {
	char name[MACHINE_NAME_MAX];
	char dir[PATH_MAX]; /* absolute once it exists */
};

/* Whether `text` can be a machine's name: letters, digits, '-', '_', '.', as -name has it. */
bool store_name_valid(const char *text);
/* The machine NAME, or with `dir` the one in that directory, which is named by it when NAME is
 * NULL. It needn't be there. Returns 0, or -errno with the problem set. */
int store_locate(const char *name, const char *dir, struct store_place *ret,
		 struct problem *problem);
/* The same of one that must be there; *ret has its real path. -ENOENT names those there are. */
int store_find(const char *name, const char *dir, struct store_place *ret, struct problem *problem);
/* Calls `fn` for each machine, in the order of names, until it returns something else than 0, and
 * returns that; or -errno with the problem set. */
int store_each(int (*fn)(void *arg, const struct store_place *place), void *arg,
	       struct problem *problem);
/* Makes the machine's directory and those above it. Returns 0, or -errno with the problem set. */
int store_make(const char *dir, struct problem *problem);
/* Removes the directory with all that is in it, and last what makes it a machine's, so that it can
 * be done again where it was broken off. Returns 0, or -errno with the problem set. */
int store_remove(const char *dir, struct problem *problem);

/* "DIR/NAME", cut never: -ENAMETOOLONG. */
int store_path(const char *dir, const char *name, char to[static PATH_MAX]);
/* Reads a whole file of at most `max` bytes; *ret_text is owned, with a NUL behind its end. Returns
 * 0 or -errno (-EFBIG). */
int store_read(const char *path, size_t max, char **ret_text, size_t *ret_size);
/* Puts a file in place of another in one step, written through to the disk. Returns 0 or -errno. */
int store_write(const char *path, const char *text, size_t size);
/* Takes the lock for changing the description, waiting for another who has it. Returns the
 * descriptor to close, or -errno. */
int store_lock_edit(const char *dir);

/* Who runs the machine: the process that holds the lock (0: it doesn't say), or -ESRCH when nobody
 * does. */
int store_owner(const char *dir, pid_t *ret_pid);
/* What a supervisor that was killed left behind; a bit each. */
#define STORE_STALE_SOCKETS   0x1u
#define STORE_STALE_PROCESSES 0x2u
/* Only to be asked while nobody has the lock or by who has it. */
unsigned store_stale(const char *dir);
/* Removes such files, and ends the processes, which are known by their command lines as this
 * machine's; waits up to `timeout_ms` for them to be gone. To be called by the lock's holder.
 * Returns 0, or -ETIMEDOUT. */
int store_clean(const char *dir, unsigned timeout_ms);
/* Whether the text of /proc/PID/cmdline names something in `dir`. Pure. */
bool store_cmdline_of(const char *cmdline, size_t size, const char *dir);

#endif
