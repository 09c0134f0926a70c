/* SPDX-License-Identifier: Apache-2.0 */
/* Which program of the host has a port that can't be bound. */
#ifndef API_PORT_HOLDER_H
#define API_PORT_HOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

/* Looking through /proc is given up after that. */
#define PORT_HOLDER_TIME_MAX_MS 50
#define PORT_HOLDER_TEXT_MAX    96

/* Writes who listens (TCP) or is bound (UDP) where `at` overlaps: "nginx (pid 33)", or, where we
 * may not see the process, "a program of user 1000". Returns 0, or -ENOENT when there is nobody, or
 * nobody to be found in time. */
int port_holder_find(const struct endpoint *at, bool udp, char to[static PORT_HOLDER_TEXT_MAX]);

#endif
