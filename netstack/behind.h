/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses behind guests: of networks that are not ours, which a guest routes for, such as those
 * of its containers.
 *
 * Theory: what comes from such an address was asked for from this side, or it is spoofed: nobody
 * outside of the guest knows who has it, and two guests may well have it both, each in a network of
 * its own. So an address is always said together with its next hop, the guest's own address. TCP
 * connections know theirs (conn.h). For datagrams there is this table: whoever waits for some adds
 * the address for that long, and the stack looks at the table only before it would refuse a packet.
 */
#ifndef NETSTACK_BEHIND_H
#define NETSTACK_BEHIND_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/hmap.h"

#define BEHIND_MAX     4096 /* addresses in all */
#define BEHIND_HOP_MAX 256  /* of one guest's */

struct stack_conf;
struct behind;

struct behind_entry {
	struct hmap_node node; /* by addr */
	struct addr addr;
	struct addr hop;
	unsigned uses; /* behind_add() */
};

int behind_new(struct behind **ret_behind);
void behind_free(struct behind *behind);

/* Packets from `addr` may come by way of `hop`, until behind_remove() has been called as often.
 * Returns 0, -ENOSPC or -ENOMEM. */
int behind_add(struct behind *behind, const struct addr *addr, const struct addr *hop);
void behind_remove(struct behind *behind, const struct addr *addr, const struct addr *hop);
/* The entries of an address: the first, or the one after `after`; borrowed, NULL behind the last.
 */
const struct behind_entry *behind_find(const struct behind *behind, const struct addr *addr,
				       const struct behind_entry *after);

/* Whether an address can lie behind a guest: one that a host can have and a router would route, and
 * not of the guests' own networks. */
bool behind_address_ok(const struct stack_conf *conf, const struct addr *addr);

#endif
