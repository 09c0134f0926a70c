/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in that the options name: links listened on or opened, and vsock devices. */
#ifndef NETPROXY_LINKS_H
#define NETPROXY_LINKS_H

#include "base/loop.h"
#include "dhcp/dhcp_server.h"
#include "netproxy/options.h"
#include "netstack/switch.h"
#include "virtio/vsock.h"

struct links;

/* What happened to the vsock device of a guest; ids count from 1 in the order of --vsock. */
typedef void links_guest_fn(void *arg, uint32_t guest_id, enum vsock_guest_event event);

/* Opens all links and attaches them to the switch as guests come; `dhcp`, borrowed, keeps the
 * addresses that guests ask for when they attach. Where standard input and output are the only
 * link, its end ends the loop. Returns 0 or -errno with a message. */
int links_new(struct loop *loop, const struct options *options, struct nswitch *sw,
	      struct dhcp_server *dhcp, links_guest_fn *on_guest, void *arg,
	      char error[static OPTIONS_ERROR_MAX], struct links **ret_links);
/* Stops listening; links that are attached belong to the switch. */
void links_free(struct links *links);

#endif
