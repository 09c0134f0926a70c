/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a destination that a guest names lies on the host's side. One function decides, for all
 * protocols, before any host socket exists.
 */
#ifndef FORWARDER_ROUTE_H
#define FORWARDER_ROUTE_H

#include <stdbool.h>

#include "base/addr.h"
#include "forwarder/policy.h"
#include "netstack/stack.h"

enum route_kind {
	ROUTE_HOST,    /* a host socket, to the address returned */
	ROUTE_SERVICE, /* the gateway itself */
	ROUTE_DENIED,  /* prohibited: tell the guest so */
	ROUTE_NOWHERE, /* there can be nobody: this-network, loopback, class E, another guest's
			  address */
};

/*
 * Where the destination lies, of either family, whoever asks. ROUTE_HOST fills *ret_host: the host
 * alias becomes the host's loopback address, anything else stays. Never ROUTE_DENIED.
 */
enum route_kind route_lookup(const struct stack_conf *conf, const struct endpoint *dst,
			     struct endpoint *ret_host);

/* The same, and whether this guest may go there: ROUTE_DENIED where the policy says no, which it is
 * asked for destinations on the host's side only. */
enum route_kind route_decide(const struct stack_conf *conf, struct policy *policy,
			     const struct policy_request *request, struct endpoint *ret_host);

/* The way back: the address that a guest knows a host-side sender by. The host's loopback becomes
 * the alias. */
struct endpoint route_reverse(const struct stack_conf *conf, const struct endpoint *host);

/* Whether a guest may see a host-side sender at all: not one that has an address of the guests' own
 * network, by chance or to pass for the gateway, or one that is valid on its link only. */
bool route_reverse_allowed(const struct stack_conf *conf, const struct addr *host);

#endif
