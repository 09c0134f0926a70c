/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting up an interface of the network namespace that the process is in, as ip(8) would, by
 * rtnetlink (rtnetlink(7)). Nothing but system calls and memory on the stack, so that the fork of a
 * larger program may call it.
 *
 * All functions return 0, or -errno as the kernel gave it.
 */
#ifndef NETPROXY_NETNS_LINK_H
#define NETPROXY_NETNS_LINK_H

#include "base/addr.h"

struct netns_link {
	int fd; /* the rtnetlink socket */
	uint32_t sequence;
};

int netns_link_open(struct netns_link *link);
void netns_link_close(struct netns_link *link);

/* What is there already is taken as it should be: each call may be repeated. */
int netns_link_index(const char *ifname, unsigned *ret_index);
/* Brings it up; with another MAC and MTU before that, unless they are NULL and 0. */
int netns_link_up(struct netns_link *link, unsigned index, const struct mac *mac, unsigned mtu);
/* Gives it an address, which is in the network of `prefix`; an IPv6 one counts at once, as nobody
 * else can have it (no duplicate address detection). */
int netns_link_address(struct netns_link *link, unsigned index, const struct addr *address,
		       const struct prefix *prefix);
/* The default route of the router's family. */
int netns_link_default_route(struct netns_link *link, unsigned index, const struct addr *router);

#endif
