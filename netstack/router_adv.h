/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When router advertisements are sent (RFC 4861, section 6.2); what they say is made by ra.h.
 *
 * The gateway is the only router of its network, so an answer to a solicitation need not wait for
 * others (the RFC's random delay is taken as zero) and goes to the guest that asked alone. Such
 * answers are limited in number; beyond that, and to whom asks without an address, the answer is
 * one to all nodes, of which there is at most one in ROUTER_ADV_SPACING_MS. A few go out when a
 * link is attached, for guests that don't ask, and then one every ROUTER_ADV_INTERVAL_MIN_MS to
 * ROUTER_ADV_INTERVAL_MAX_MS. A network without guests is silent, and makes no wake-ups.
 *
 * It is announced as a router whether or not the host has a route to the IPv6 Internet at the
 * moment: guests then get an honest ICMPv6 "no route" for what can't be reached, and need not be
 * told anew when the host's network changes.
 */
#ifndef NETSTACK_ROUTER_ADV_H
#define NETSTACK_ROUTER_ADV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* RFC 4861, 10: MIN_DELAY_BETWEEN_RAS, MAX_INITIAL_RTR_ADVERTISEMENTS and their interval. */
#define ROUTER_ADV_SPACING_MS      3000
#define ROUTER_ADV_INITIAL         3
#define ROUTER_ADV_INITIAL_MS      16000
#define ROUTER_ADV_INTERVAL_MIN_MS 200000
#define ROUTER_ADV_INTERVAL_MAX_MS 600000
#define ROUTER_ADV_UNICAST_MAX     20 /* answers to single guests in ROUTER_ADV_SPACING_MS */

struct router_adv;
struct stack;

/* All of it is copied. Prefix, gateway, MTU and MAC are the stack's. */
struct router_adv_conf {
	bool autonomous;       /* A: guests make addresses of the prefix by themselves */
	bool managed;          /* M: DHCPv6 gives addresses */
	bool other;            /* O: DHCPv6 tells the rest */
	const uint8_t *search; /* domains to search, in DNS wire form behind each other */
	size_t search_size;    /* up to RA_SEARCH_SIZE_MAX (ra.h) */
};

/*
 * Makes a stack that has an IPv6 prefix a router, from now until router_adv_stop() or stack_free():
 * it keeps the state in stack->router_adv. Returns 0, -EINVAL (no prefix, or too many domains),
 * -EEXIST (it is one) or -ENOMEM.
 */
int router_adv_start(struct stack *stack, const struct router_adv_conf *conf);
/* Tells guests that we are a router no more, where links are still attached, and ends it. Does
 * nothing where there is no router. */
void router_adv_stop(struct stack *stack);

/* Tells the domains to search from now on, all guests as soon as it may be. Those that are no more
 * count for guests until their lifetime, that of the router, has passed. Returns 0, or -EINVAL (too
 * many); where there is no router it does nothing. */
int router_adv_set_search(struct stack *stack, const uint8_t *search, size_t size);

/* For the stack alone; `adv` is stack->router_adv, and NULL is fine. */

/* A valid router solicitation (RFC 4861, 6.1.1) came from `mac`; `src` may be unspecified. */
void router_adv_solicited(struct router_adv *adv, const struct addr *src, const struct mac *mac);
/* A link came or went. */
void router_adv_port_changed(struct router_adv *adv, bool attached);

#endif
