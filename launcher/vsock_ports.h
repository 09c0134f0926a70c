/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LinuxKit's layout of vsock in the machine's directory, on top of netproxy's vsock device:
 *
 *	guest.%08x  a unix socket for each port named; who connects reaches that port of the guest
 *	host.%08x   where a program of the host's may listen; the guest reaches it at CID 2 and that
 *	            port (a link by the device's own name for it, vsock.sock_PORT)
 *
 * Bytes are carried both ways with half-close; a connection holds at most one buffer each way, and
 * who doesn't read stops the other side.
 */
#ifndef LAUNCHER_VSOCK_PORTS_H
#define LAUNCHER_VSOCK_PORTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "launcher/problem.h"

#define VSOCK_PORTS_GUEST       "guest.%08x"
#define VSOCK_PORTS_HOST        "host.%08x"
#define VSOCK_PORTS_CONNECTIONS 256   /* at a time, of all ports */
#define VSOCK_PORTS_BUFFER      32768 /* bytes, each way of a connection */

struct vsock_ports;

/* Listens in the directory `dir`, whose vsock device's socket is named `device`. Stale sockets are
 * taken over. Returns 0, or -errno with the problem set. */
int vsock_ports_new(struct loop *loop, const char *dir, const char *device, const uint32_t *ports,
		    size_t count, struct vsock_ports **ret_ports, struct problem *problem);
/* Ends the connections and removes what it made. NULL is fine. */
void vsock_ports_free(struct vsock_ports *ports);

/* What the device answers to "CONNECT PORT\n": 1 when `line` is a whole "OK ...\n", 0 while more is
 * needed, -EPROTO when it is something else. Pure. */
int vsock_ports_answer(const char *line, size_t size);

#endif
