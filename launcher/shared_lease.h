/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed address on a netproxy that several machines share: asked for by its API as a static lease
 * of the machine's MAC that lasts as long as the connection of the request, so that it is free
 * again when the machine has ended, however that came.
 */
#ifndef LAUNCHER_SHARED_LEASE_H
#define LAUNCHER_SHARED_LEASE_H

#include "launcher/machine.h"
#include "launcher/problem.h"

#define SHARED_LEASE_TIMEOUT_MS 5000

/* Returns 0 with what holds the address in *ret_fd, owned, to be closed when the machine has ended;
 * it is -1 for a machine that wants no address of a shared netproxy. Or -errno with the problem
 * set: what the netproxy said, such as that the address isn't free. */
int shared_lease_take(const struct machine *machine, int *ret_fd, struct problem *problem);

#endif
