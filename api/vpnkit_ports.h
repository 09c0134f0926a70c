/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VPNKit's port control, one client's: a tree of files spoken to by 9P2000, which a VM mounts at
 * /port. A forward is made so:
 *
 *	mkdir NAME                    any name
 *	open NAME/ctl, and write      tcp:IP:PORT:tcp:IP:PORT (vpnkit_spec.h)
 *	read it from the beginning    "OK tcp:IP:PORT:tcp:IP:PORT\n" or "ERROR text\n"
 *
 * and lasts until the file by which it was made is closed (its fid is clunked), its directory is
 * removed, or the client has gone. What failed can be written anew. Each client has a tree of its
 * own.
 *
 * Message in, reply out; nothing here knows sockets, or what a forward is made of.
 */
#ifndef API_VPNKIT_PORTS_H
#define API_VPNKIT_PORTS_H

#include <stddef.h>
#include <stdint.h>

#include "forwarder/publish.h"

/* Longest message, which is told to the client. */
#define VPNKIT_MESSAGE_MAX 8192
#define VPNKIT_FIDS_MAX    4096
/* Directories of one client, and so its forwards. */
#define VPNKIT_NAMES_MAX 1024
/* VPNKit's own clients read an answer into 100 bytes; ours are longer for the longest addresses
 * only. */
#define VPNKIT_ERROR_MAX 100

/* What a client's requests come to. */
struct vpnkit_ports_ops {
	/* Starts the forward; spec->local becomes what it was bound to. Returns 0 with a number for
	 * stop(), never 0, or -errno with a message. */
	int (*start)(void *arg, struct publish_spec *spec, uint64_t *ret_number,
		     char error[static VPNKIT_ERROR_MAX]);
	void (*stop)(void *arg, uint64_t number);
};

struct vpnkit_ports;

/* `ops` and `arg` are borrowed. Returns 0 or -ENOMEM. */
int vpnkit_ports_new(const struct vpnkit_ports_ops *ops, void *arg,
		     struct vpnkit_ports **ret_ports);
/* The client has gone: stops its forwards. NULL is fine. */
void vpnkit_ports_free(struct vpnkit_ports *ports);

/* Serves one whole message, of P9_HEADER to VPNKIT_MESSAGE_MAX bytes. Returns the size of the
 * reply, or 0 when the client is beyond an answer and its connection to be closed. */
size_t vpnkit_ports_serve(struct vpnkit_ports *ports, const uint8_t *message, size_t size,
			  uint8_t to[static VPNKIT_MESSAGE_MAX]);

#endif
