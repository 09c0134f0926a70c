/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's neighbour table: which MAC, behind which switch port, has a guest's IP address. It
 * is filled by ARP, by neighbour discovery, by the packets that guests send, and by DHCP leases;
 * the caller sends the requests.
 *
 * Theory: entries have no timer. A guest that changes its MAC is relearned from its next packet,
 * and those of a link that goes are forgotten with it. At NEIGH_ENTRIES_MAX the entry that was used
 * longest ago makes room; at NEIGH_PORT_ENTRIES_MAX the port's own that was learned longest ago, so
 * that a guest who makes up addresses (IPv6 has plenty) pushes nobody else's out. While an address
 * is unresolved, its entry holds one packet (RFC 1122, 2.3.2.2); TCP repeats whatever else is lost.
 */
#ifndef NETSTACK_NEIGH_H
#define NETSTACK_NEIGH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define NEIGH_ENTRIES_MAX 4096
/* Of one switch port: a guest with containers may have many. */
#define NEIGH_PORT_ENTRIES_MAX 256
#define NEIGH_HELD_SIZE_MAX    2048 /* a larger packet is not held while its address is unresolved */
#define NEIGH_REQUEST_GAP_MS   1000 /* between two requests for one address */

struct neigh_table;

struct neigh {
	struct mac mac;
	unsigned port; /* 0: not known, as for an entry from a lease */
};

int neigh_table_new(struct neigh_table **ret_table);
void neigh_table_free(struct neigh_table *table);

/* Who has `addr`? Returns a borrowed entry, valid until the next call, or NULL when unknown or
 * unresolved. */
const struct neigh *neigh_lookup(struct neigh_table *table, const struct addr *addr);

/* `addr` is at `mac`, seen at `port` (0: keep what is known). Where a packet was held for it,
 * returns that, owned (free()), with its size in *ret_size; otherwise NULL. */
void *neigh_learn(struct neigh_table *table, const struct addr *addr, const struct mac *mac,
		  unsigned port, size_t *ret_size);

/* Keeps a copy of a packet for an unresolved address, in place of the one before; a larger one than
 * NEIGH_HELD_SIZE_MAX is not kept. */
void neigh_hold(struct neigh_table *table, const struct addr *addr, const void *packet,
		size_t size);
/* Whether to ask now who has `addr`: it is unresolved, and nobody was asked within
 * NEIGH_REQUEST_GAP_MS. Counts as having been asked then. */
bool neigh_ask(struct neigh_table *table, const struct addr *addr, uint64_t now_ms);

/* Forgets all neighbours behind a port. */
void neigh_forget_port(struct neigh_table *table, unsigned port);

#endif
