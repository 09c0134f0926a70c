/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_connector: connects to a QEMU that listens (`-netdev stream,server=on`), over a unix or TCP
 * socket, and again a second after its connection ended or couldn't be made. Its links are those of
 * link_framed.h.
 */
#ifndef NETSTACK_LINK_CONNECTOR_H
#define NETSTACK_LINK_CONNECTOR_H

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/link.h"

#define LINK_CONNECT_RETRY_MS 1000

struct link_connector;

/* `path` is of a unix socket; NULL: TCP to `at`. `sink` is borrowed for the connector's life. It
 * need not be there yet. Returns 0 with an owned connector, -ENAMETOOLONG, or another -errno. */
int link_connector_new(struct loop *loop, const char *path, const struct endpoint *at,
		       const struct link_sink *sink, struct link_connector **ret_connector);
/* Connects no more; a link that is there stays with its user. NULL is fine. */
void link_connector_free(struct link_connector *connector);

#endif
