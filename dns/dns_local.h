/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides which queries are answered here, and with what: built-in names, local zones, guests by
 * name, the host's hosts file, localhost (RFC 6761), and the addresses of our own subnets in
 * reverse. It does no I/O.
 *
 * Who wins, first to last: localhost; records of zones (the longest zone first); the hosts file;
 * guests, who choose their names themselves, and so come behind all that the user chose; a zone's
 * default address; a zone's "no such name". What none of them claims is relayed, never denied.
 * Where we override single names in somebody else's domain (shared zones, the hosts file), only
 * questions for addresses are ours.
 *
 * A guest's name that could be used against the others (wpad, isatap, localhost, and the names that
 * we go by) is not known here at all. Of guests with the same name, the first has it, for as long
 * as its lease lasts (dhcp_pool.h).
 */
#ifndef DNS_DNS_LOCAL_H
#define DNS_DNS_LOCAL_H

#include <stdbool.h>

#include "base/addr.h"
#include "dns/dns_hosts.h"
#include "dns/dns_wire.h"
#include "dns/dns_zone.h"

/* Short, because guests, zones and the hosts file change while clients hold what we said. */
#define DNS_LOCAL_TTL_S 10

#define DNS_GUEST_DOMAIN "vm.internal"

/* How guests are found by name; the DHCP server's leases, as a rule. Either function may be NULL.
 */
struct dns_guest_lookup {
	/* The address of the guest with this name (one label in lower case) in the family. Returns
	 * 0, where *ret is AF_UNSPEC when the guest is known but has none in that family, or
	 * -ENOENT. */
	int (*addr_of)(void *arg, const char *name, sa_family_t family, struct addr *ret);
	/* The name of the guest with this address: one label. Returns 0 or -ENOENT. */
	int (*name_of)(void *arg, const struct addr *addr, char to[static DNS_LABEL_MAX + 1]);
	void *arg;
};

/* Addresses may be AF_UNSPEC, for "none". */
struct dns_local {
	struct addr gateway4, gateway6;
	struct addr host4, host6; /* the alias of the host's loopback */
	struct addr vm4, vm6;     /* what guest_domain itself stands for */
	struct prefix subnet4,
		subnet6; /* whose reverse names are ours; addr.family AF_UNSPEC: none */
	struct dns_name guest_domain;
	struct dns_guest_lookup guests;
	struct dns_zones zones;
	struct dns_hosts hosts;
};

/* Empties everything; guest_domain is DNS_GUEST_DOMAIN. */
void dns_local_init(struct dns_local *local);
void dns_local_destroy(struct dns_local *local);
/* Puts the built-in names for the addresses that are set into the zones. Returns 0 or -errno. */
int dns_local_add_built_ins(struct dns_local *local);
/* Fills *ret and returns true when the query (that has a question) is ours to answer. */
bool dns_local_answer(const struct dns_local *local, const struct dns_query *query,
		      struct dns_answer *ret);

#endif
