/* SPDX-License-Identifier: Apache-2.0 */
/* Which QEMU it is, for what its versions do differently before there is a QMP connection to ask.
 */
#ifndef LAUNCHER_QEMU_VERSION_H
#define LAUNCHER_QEMU_VERSION_H

/* How long a program may take to tell its version. */
#define QEMU_VERSION_TIMEOUT_MS 5000

/* Reads the major version from what "-version" prints: "QEMU emulator version 7.2.22 (...)".
 * Returns 0 or -EINVAL. */
int qemu_version_parse(const char *text, unsigned *ret_major);
/* Runs the program at the path `qemu` with -version. Returns 0, -EINVAL (it says something else),
 * -ETIMEDOUT, or why it can't be run. */
int qemu_version_ask(const char *qemu, unsigned *ret_major);

#endif
