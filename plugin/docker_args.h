/* SPDX-License-Identifier: Apache-2.0 */
/* The command line by which dockerd starts its userland proxy (--userland-proxy-path). */
#ifndef PLUGIN_DOCKER_ARGS_H
#define PLUGIN_DOCKER_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

#define DOCKER_ARGS_ERROR_MAX 256

struct docker_args {
	bool udp;
	struct addr host_ip; /* AF_UNSPEC where dockerd said "" */
	uint16_t host_port;
	struct addr container_ip;
	uint16_t container_port;
	bool use_listen_fd; /* dockerd's own listener is fd 4; for its docker-proxy */
};

/* Decodes -proto, -host-ip, -host-port, -container-ip, -container-port and -use-listen-fd, as Go's
 * flag package has them: with one dash or two, the value behind "=" or as the next argument.
 * Returns 0 or -EINVAL with a message for the user. */
int docker_args_decode(int argc, char *const *argv, struct docker_args *ret,
		       char error[static DOCKER_ARGS_ERROR_MAX]);

#endif
