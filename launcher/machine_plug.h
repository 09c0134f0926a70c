/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a machine's vhost-user devices, whose other end is another process's, from it while it
 * runs, and giving them back: after that process died, unless QEMU connects again by itself, and
 * around snapshots, which such devices can't be part of. The guest sees a PCI device go and come.
 */
#ifndef LAUNCHER_MACHINE_PLUG_H
#define LAUNCHER_MACHINE_PLUG_H

#include "launcher/machine.h"
#include "launcher/machine_script.h"
#include "launcher/qemu_args.h"

/* Devices, to be added up. One that the machine hasn't, or not by vhost-user, is left alone. */
#define PLUG_NET     1u
#define PLUG_VSOCK   2u
#define PLUG_VOLUMES 4u
#define PLUG_ALL     (PLUG_NET | PLUG_VSOCK | PLUG_VOLUMES)

/* Add the steps. Pure but for the script. */
void plug_out(struct script *script, const struct machine *machine,
	      const struct qemu_wiring *wiring, unsigned set);
void plug_in(struct script *script, const struct machine *machine, const struct qemu_wiring *wiring,
	     unsigned set);
/* The network device's way back to a netproxy that was started again, which the guest doesn't see:
 * waits for QEMU to be connected, or connects it. `guest_runs`: it isn't paused. */
void plug_net_back(struct script *script, const struct qemu_wiring *wiring, bool guest_runs);

/* {"key": "text", ...} up to a NULL key; NULL without memory. For QMP's arguments. */
struct json_object *plug_object(const char *key, ...) __attribute__((sentinel));

#endif
