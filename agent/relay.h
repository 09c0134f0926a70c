/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relays to what listens on the loopback of this machine only, where netproxy can't reach it: each
 * accepts TCP connections at a port of this machine's address that the kernel picks, and passes
 * them on.
 *
 * A connection has a buffer each way; what can't be written yet stops the reading.
 */
#ifndef AGENT_RELAY_H
#define AGENT_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"

#define RELAYS_MAX            64
#define RELAY_CONNECTIONS_MAX 256 /* of all relays */

struct relays;

int relays_new(struct loop *loop, struct relays **ret_relays);
void relays_free(struct relays *relays);

/* Starts a relay to `to`, or finds the one that there is. *ret_at is where it listens. Returns 0,
 * -EADDRNOTAVAIL (this machine has no address yet), -ENOSPC at RELAYS_MAX, or another -errno. */
int relays_start(struct relays *relays, const struct endpoint *to, struct endpoint *ret_at);
/* Stops listening; connections stay. */
void relays_stop(struct relays *relays, uint16_t port);
void relays_stop_all(struct relays *relays);
/* Whether a listening socket of that inode is a relay's. */
bool relays_own(const struct relays *relays, uint32_t inode);

#endif
