/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address guard of the switch: keeps a guest from speaking in the name of another, or of the
 * gateway. It looks at every frame that comes from a guest, before anybody else does.
 *
 * Theory: a binding says which switch port a MAC, or an IP address of the guests' networks or a
 * link-local one, belongs to. A DHCP lease makes one, which holds until the lease ends; when the
 * port goes, it waits for the lease's MAC to appear at another. An address that nobody has leased
 * belongs to the first port that uses it (as in RFC 6620, FCFS SAVI), until that port goes, or
 * hasn't used it for GUARD_IDLE_MS and somebody else wants it. Addresses of the gateway and the
 * host alias belong to nobody. Those of other networks are not looked after: guests may route for
 * containers, and what they make of each other's is their business. A port has at most
 * GUARD_BINDINGS_MAX; its own that was used longest ago makes room, so that nobody can take
 * another's by claiming many.
 *
 * What a frame claims: its Ethernet source; its IP source; in ARP the sender's two addresses, of
 * which the MAC must be the Ethernet source; in neighbour discovery the target of an advertisement,
 * and the link-layer address options, which must be the Ethernet source. A probe for a duplicate
 * address (RFC 4862, 5.4; RFC 5227) makes a binding where there is none, so that nobody can take it
 * while it is tentative, and passes, for the owner to answer. Only one that is asking itself would
 * take it for an answer, and doesn't hear it. Router advertisements and
 * redirects (RFC 6105; behind extension headers too, RFC 7113), fragmented neighbour discovery (RFC
 * 6980) and what goes to a DHCP client's port never come from guests. VLAN tags of number 0 are
 * looked through, as receivers do; other VLANs are other networks, of which only the MACs are
 * looked after.
 */
#ifndef NETSTACK_GUARD_H
#define NETSTACK_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "netstack/frame.h"

#define GUARD_BINDINGS_MAX 128    /* of a port: MACs and addresses */
#define GUARD_WAITING_MAX  4096   /* leases whose guests aren't there */
#define GUARD_IDLE_MS      600000 /* unused for so long, an address may be taken by another */
#define GUARD_ASKING_MS    5000   /* after its last probe, or its lease, an owner may still ask */

struct guard_conf {
	unsigned ports_max;    /* ports are 1 to this */
	struct mac mac;        /* the gateway's: nobody's, with the link-local address made of it */
	struct prefix subnet;  /* IPv4 */
	struct prefix prefix6; /* of length 0: none */
	struct addr reserved[4]; /* the gateway's and the host alias' addresses; AF_UNSPEC: none */
};

enum guard_verdict {
	GUARD_PASS,
	GUARD_MAC,       /* the Ethernet source is another's */
	GUARD_IP,        /* the IP source is another's, or can be nobody's */
	GUARD_ARP,       /* the ARP sender is */
	GUARD_ND,        /* neighbour discovery for another's address or MAC, or in fragments */
	GUARD_RA,        /* a router advertisement or redirect */
	GUARD_DHCP,      /* what only a DHCP server sends */
	GUARD_MALFORMED, /* headers that end too early, or that are too many */
	GUARD_VERDICTS,
};

/* Why a frame was refused, for the log. */
struct guard_report {
	struct addr addr; /* that it claimed; AF_UNSPEC: none, or a MAC */
	unsigned owner;   /* the port that has it; 0: none in particular */
};

struct guard;

/* Returns 0 with an owned guard, or -ENOMEM. */
int guard_new(const struct guard_conf *conf, struct guard **ret_guard);
void guard_free(struct guard *guard);

/* Decides about a frame of a guest's, of any contents, and notes whose its addresses are. Fills
 * *ret_report where it is refused. */
enum guard_verdict guard_check(struct guard *guard, unsigned port, const struct frame *frame,
			       uint64_t now_ms, struct guard_report *ret_report);

/* DHCP gave `addr` to `mac`, or prolonged it; `port` is where it asked, 0: where the MAC was seen.
 * Returns 0, -ENOMEM, or -EADDRINUSE: another port has a lease on it. */
int guard_lease(struct guard *guard, const struct addr *addr, const struct mac *mac, unsigned port,
		uint64_t now_ms);
/* That lease has ended. */
void guard_unlease(struct guard *guard, const struct addr *addr);
void guard_port_gone(struct guard *guard, unsigned port);

/* Bindings of a port; of 0: leases that wait for their guests. */
unsigned guard_count(const struct guard *guard, unsigned port);
/* The port that has an address, or 0. */
unsigned guard_owner(const struct guard *guard, const struct addr *addr);

/* "a spoofed MAC", ... for the log; "" for GUARD_PASS. */
const char *guard_verdict_text(enum guard_verdict verdict);

#endif
