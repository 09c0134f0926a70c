/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static DHCP leases that come and go while netproxy runs, by the API. The table is the DHCP
 * server's own; this says whose each of them is, who may take it back, and what is wrong with one
 * that can't be. Those that aren't a connection's are kept over a restart as a section of the state
 * file:
 *
 *	"static-leases":[{"address":"192.168.65.50","mac":"52:54:00:12:34:56","hostname":"web"}]
 */
#ifndef NETPROXY_STATIC_LEASES_H
#define NETPROXY_STATIC_LEASES_H

#include "api/api.h"
#include "base/loop.h"
#include "dhcp/dhcp_server.h"
#include "netproxy/state_file.h"

/* Whose it is: dhcp_reservation.owner. Any other number is a connection of the API's, with which it
 * ends. */
enum {
	STATIC_LEASE_CONFIG,
	STATIC_LEASE_GUEST, /* it asked for the address as it attached (link_addresses.h) */
	STATIC_LEASE_HOST,
	STATIC_LEASE_OWNERS,
};

struct static_leases;

/* Adds those that were kept. Returns 0 with an owned object on `server` and `state`, which must
 * outlive it, or -errno. */
int static_leases_new(struct loop *loop, struct dhcp_server *server, const struct prefix *subnet,
		      struct state_file *state, struct static_leases **ret_leases);
/* NULL is fine. */
void static_leases_free(struct static_leases *leases);

/* Adds one for a MAC; the same again is no error, and one that was a connection's becomes the
 * host's if that asks. Returns 0, or with *ret_failure -EINVAL, -EEXIST (another static lease of
 * that address or MAC), -EADDRINUSE (it is leased to another, or is another connection's), -ENOSPC
 * at DHCP_RESERVATIONS_MAX, -ENOMEM. */
int static_leases_add(struct static_leases *leases, const struct dhcp_reservation *wanted,
		      struct api_static_failure *ret_failure);
/* Takes one back that the API has added. Who has leased the address keeps it until that ends.
 * Returns 0, or with *ret_failure -ENOENT, -EADDRINUSE (it is another MAC's) or -EPERM. */
int static_leases_remove(struct static_leases *leases, const struct addr *address,
			 const struct mac *mac, struct api_static_failure *ret_failure);
/* A connection has ended, and the guests that it stood for with it: so do their leases. */
void static_leases_drop(struct static_leases *leases, uint64_t connection);

/* In the order of their addresses. fn must not call back. Returns 0 or -ENOMEM. */
int static_leases_for_each(const struct static_leases *leases,
			   void (*fn)(void *arg, const struct dhcp_reservation *lease), void *arg);

#endif
