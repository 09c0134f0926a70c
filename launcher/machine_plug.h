/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a machine's devices whose other end is another process's from it while it runs, and giving
 * them back: after that process died (QEMU 7.2 connects only once), and around snapshots, which
 * vhost-user devices can't be part of. The guest sees a PCI device go and come. */
#ifndef LAUNCHER_MACHINE_PLUG_H
#define LAUNCHER_MACHINE_PLUG_H

#include "launcher/machine.h"
#include "launcher/machine_script.h"
#include "launcher/qemu_args.h"

enum plug_set {
	PLUG_PROXY,      /* all that ends at netproxy, and doesn't come back to it by itself */
	PLUG_VHOST_USER, /* all that can't be in a snapshot */
};

/* Add the steps. Pure but for the script. */
void plug_out(struct script *script, const struct machine *machine,
	      const struct qemu_wiring *wiring, enum plug_set set);
void plug_in(struct script *script, const struct machine *machine, const struct qemu_wiring *wiring,
	     enum plug_set set);

/* {"key": "text", ...} up to a NULL key; NULL without memory. For QMP's arguments. */
struct json_object *plug_object(const char *key, ...) __attribute__((sentinel));

#endif
