/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's own docker-proxy, which stays who serves the VM's side of a port: its loopback, and the
 * addresses that Docker's DNAT rules leave out.
 */
#ifndef PLUGIN_DOCKER_CHILD_H
#define PLUGIN_DOCKER_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "plugin/docker_args.h"

#define DOCKER_CHILD_ERROR_MAX 512

/* The program: `configured`, or where packages put it. NULL when there is none. */
const char *docker_child_find(const char *configured);

/*
 * Starts `program` for args' port on `host_ip` and waits for its report, which goes to us as ours
 * goes to dockerd. With `with_listen_fd` it inherits fd 4. It ends when we do. Returns 0 with its
 * pid, or -errno with a message for the user.
 */
int docker_child_start(const char *program, const struct docker_args *args,
		       const struct addr *host_ip, bool with_listen_fd, uint64_t deadline_ms,
		       pid_t *ret_pid, char error[static DOCKER_CHILD_ERROR_MAX]);

#endif
