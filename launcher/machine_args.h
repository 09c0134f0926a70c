/* SPDX-License-Identifier: Apache-2.0 */
/* What a managed machine's QEMU has besides what its description says: a file for snapshots, two
 * virtio-serial ports (org.netproxy.ready and the QEMU guest agent's), and a pid file. */
#ifndef LAUNCHER_MACHINE_ARGS_H
#define LAUNCHER_MACHINE_ARGS_H

#include <stdbool.h>

#include "launcher/args.h"
#include "launcher/machine_ready.h"

#define MACHINE_QGA_SOCKET "qga.sock"

/* Adds them; check args_ok(). With `stopped`, the guest waits to be told to run. Pure. */
void machine_args_add(struct args *args, const char *dir, const struct ready_spec *ready,
		      bool stopped);

#endif
