/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed address on a netproxy that several machines share: asked for by its API as a static lease
 * of the machine's MAC, and given back when the machine has ended. */
#ifndef LAUNCHER_SHARED_LEASE_H
#define LAUNCHER_SHARED_LEASE_H

#include "launcher/machine.h"
#include "launcher/problem.h"

#define SHARED_LEASE_TIMEOUT_MS 5000

/* Does nothing for a machine that wants none. Returns 0, or -errno with the problem set: what the
 * netproxy said, such as that the address isn't free. */
int shared_lease_take(const struct machine *machine, struct problem *problem);
void shared_lease_drop(const struct machine *machine);

#endif
