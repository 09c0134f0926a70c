/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user front-end, as a VMM is one: it lends its guest's memory and rings to a back-end. */
#ifndef TESTS_TOOLS_VHOST_FRONT_H
#define TESTS_TOOLS_VHOST_FRONT_H

#include <stddef.h>
#include <stdint.h>

#include "guest_ring.h"

struct vhost_front {
	int fd;            /* the connection; -1: none */
	uint64_t features; /* negotiated */
	uint64_t protocol_features;
};

/* Connects to the back-end's unix socket and negotiates those of the features `wanted` that it has.
 * Returns 0, or -1 after telling standard error why. */
int vhost_front_connect(struct vhost_front *front, const char *path, uint64_t wanted);
/* Lends the memory behind `memory_fd`, mapped at `memory`, and starts `count` rings. */
int vhost_front_start(struct vhost_front *front, int memory_fd, const void *memory, size_t size,
		      const struct guest_ring *rings, unsigned count);
/* Takes the rings back, as a VMM does when its guest resets the device. */
int vhost_front_stop(struct vhost_front *front, unsigned count);

#endif
