/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket where VPNKit's port control is served (vpnkit_ports.h): to the host, or to one guest,
 * whose vsock device connects there and which publishes ports of its own only. What a client made
 * goes with its connection.
 */
#ifndef API_VPNKIT_DOOR_H
#define API_VPNKIT_DOOR_H

#include "api/api.h"

/* The vsock port at which guests look for it. */
#define VPNKIT_VSOCK_PORT 62373

#define VPNKIT_HOST_CLIENTS_MAX  64
#define VPNKIT_GUEST_CLIENTS_MAX 4

struct vpnkit_door;

/* Listens on a unix socket. `backend` is copied. Returns 0 with an owned door, or -errno. */
int vpnkit_door_new(struct loop *loop, const struct api_backend *backend,
		    const struct api_door *conf, const char *path, struct vpnkit_door **ret_door);
/* Ends all connections and what they made, and removes the socket's file. NULL is fine. */
void vpnkit_door_free(struct vpnkit_door *door);

#endif
