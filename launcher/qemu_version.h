/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which QEMU it is, for what its versions do differently before there is a QMP connection to ask.
 * A program tells it in some 40 ms, longer than everything else that happens before a guest's start
 * together, so that it is remembered, in $XDG_CACHE_HOME/netproxy-vm, until the program changes.
 */
#ifndef LAUNCHER_QEMU_VERSION_H
#define LAUNCHER_QEMU_VERSION_H

#include <stdbool.h>

/* How long a program may take to tell its version. */
#define QEMU_VERSION_TIMEOUT_MS 5000

struct qemu_version {
	unsigned major, minor;
};

/* Reads what "-version" prints: "QEMU emulator version 7.2.22 (...)". Returns 0 or -EINVAL. */
int qemu_version_parse(const char *text, struct qemu_version *ret);
/* Of the program at the path `qemu`, as remembered, or else by running it with -version. Only a
 * binary's is remembered: a script may run another one tomorrow. Returns 0, -EINVAL (it says
 * something else), -ETIMEDOUT, or why it can't be run. */
int qemu_version_ask(const char *qemu, struct qemu_version *ret);

static inline bool qemu_version_is(const struct qemu_version *v, unsigned major, unsigned minor)
{
	return v->major > major || (v->major == major && v->minor >= minor);
}

#endif
