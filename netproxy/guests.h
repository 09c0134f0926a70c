/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a guest is to the API: the ids of struct publish_owner, and the addresses behind them.
 *
 * A guest that calls inside the network is known by its source address, which the switch's guard
 * has checked. If it has a vsock device too, it is the same guest by either way, so what it
 * published by one it can take back by the other: its id is that of the device, which count from 1.
 * The id of every other guest is its IPv4 address as a number, which is far above those.
 */
#ifndef NETPROXY_GUESTS_H
#define NETPROXY_GUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "forwarder/forwarder.h"
#include "netproxy/options.h"
#include "netproxy/services.h"

/* What the functions below look at; all borrowed. */
struct guests {
	const struct options *options;
	struct services *services;
	struct forwarder *forwarder;
};

/* The address of a guest; of id 0 that of the first one. Returns 0, or -ENOENT: it has none yet. */
int guests_address(const struct guests *guests, uint32_t id, struct addr *ret);
/* Whether an address is found where the guest's own one is. */
bool guests_owns(const struct guests *guests, uint32_t id, const struct addr *addr);
/* The id of the guest that calls from that address. Returns 0, or -ENOENT: it calls by IPv6, and
 * has no IPv4 address that it could be known by. */
int guests_identify(const struct guests *guests, const struct addr *from, uint32_t *ret_id);

#endif
