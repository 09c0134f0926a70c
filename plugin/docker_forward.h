/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a port that Docker publishes: a forward that lives as long as a connection to
 * netproxy's API, which is as long as the process that holds it, however that ends.
 */
#ifndef PLUGIN_DOCKER_FORWARD_H
#define PLUGIN_DOCKER_FORWARD_H

#include "client/api_reach.h"
#include "plugin/docker_args.h"

#define DOCKER_FORWARD_ERROR_MAX 1024

struct docker_forward {
	int fd; /* owned: readable when the forward has ended; -1: it is another's (see below) */
	struct endpoint guest; /* where the traffic comes to in this VM */
};

/*
 * Publishes args' port. Docker starts a proxy for 0.0.0.0 and another for [::], while a forward of
 * all addresses has both families: the second finds its port taken by the first, which is fine.
 * Returns 0, or -errno with a message for the user.
 */
int docker_forward_open(struct api_reach *reach, const struct docker_args *args,
			uint64_t deadline_ms, struct docker_forward *ret,
			char error[static DOCKER_FORWARD_ERROR_MAX]);

#endif
