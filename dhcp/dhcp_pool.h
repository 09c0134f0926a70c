/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease table: which client has, had, or is being offered which address. Knows no messages;
 * dhcp_server.c decides what a client may ask for and when.
 *
 * A record is made when an address is first given away, and then stays, so that a client gets its
 * address back even after its lease ran out. A new client gets, in this order: an address that was
 * offered once and not taken; the lowest one never used; the one that has been idle for longest.
 * When all are in use, an offer that has not been taken for DHCP_OFFER_GRACE_MS goes to the next
 * who asks: a guest that invents clients can delay others, and can hold what it confirms for a
 * lease time, but the table doesn't grow beyond DHCP_LEASES_MAX. One MAC has at most
 * DHCP_LEASES_PER_MAC_MAX records; another one takes the place of its least useful. At most
 * DHCP_DECLINED_MAX declined addresses are set aside at a time.
 *
 * A client is its identifier, as RFC 2131 wants it, from whatever MAC; but while a lease is live,
 * the same identifier from another MAC is another client: two MACs on a switch are two machines,
 * more often than not made from one disk image, and none may take the other's lease by its name.
 * With `one_per_mac` the reverse holds too: another identifier from the same MAC is the same
 * client, whose firmware, initramfs and system each have a name of their own for it. What one of
 * them has, the next one takes over. Without it they get an address each.
 *
 * A source, the switch port that a guest is attached to, has at most `live_max` addresses offered
 * or bound at a time, so that a guest that invents MACs leaves some for the others.
 *
 *	          offer            bind
 *	IDLE ----------> OFFERED --------> BOUND --+ bind (renew)
 *	  ^                 |              | |  ^--+
 *	  +-----------------+--------------+ | decline
 *	  |    expire, release, disown       v
 *	  +------------------------------ DECLINED
 *
 * Addresses are in host order. Each state has its list, in the order in which its members run out,
 * so that nothing here walks the table.
 */
#ifndef DHCP_DHCP_POOL_H
#define DHCP_DHCP_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/hmap.h"
#include "base/list.h"
#include "dhcp/dhcp_server.h"

/* Firmware, initrd and system of one machine may each use another identifier. */
#define DHCP_LEASES_PER_MAC_MAX 8
#define DHCP_LEASES_PER_ID_MAX  64   /* machines that share an identifier */
#define DHCP_LEASES_MAX         8192 /* records, static ones aside */
#define DHCP_DECLINED_MAX       16   /* and of a small pool at most a quarter */
#define DHCP_OFFER_HOLD_MS      30000
#define DHCP_OFFER_GRACE_MS     3000
#define DHCP_DECLINE_HOLD_MS    600000

struct dhcp_client {
	struct mac mac;
	unsigned source; /* up to DHCP_SOURCES_MAX; 0: unknown, which isn't limited */
	size_t id_size;
	uint8_t id[DHCP_CLIENT_ID_MAX]; /* option 61, or hardware type 01 and the MAC */
};

enum dhcp_lease_state {
	DHCP_LEASE_IDLE,
	DHCP_LEASE_OFFERED,
	DHCP_LEASE_BOUND,
	DHCP_LEASE_DECLINED,
	DHCP_LEASE_STATES,
};

struct dhcp_static {
	struct hmap_node by_key;
	struct dhcp_reservation conf;
};

struct dhcp_lease {
	struct hmap_node by_address;
	struct hmap_node by_client; /* while owned */
	struct hmap_node by_mac;    /* while owned */
	struct hmap_node by_name;   /* while it has a host name */
	struct list order;          /* in pool->states[state]; not linked when reserved and idle */
	struct list all;
	uint32_t address;
	enum dhcp_lease_state state;
	bool owned;                   /* `client` is who has, had or was offered it */
	bool was_bound;               /* since it is owned; keeps its place for it when idle */
	uint64_t expires_ms;          /* of the state; UINT64_MAX: never */
	struct dhcp_static *reserved; /* or NULL; owned by the record */
	struct dhcp_client client;
	char hostname[DHCP_HOSTNAME_MAX]; /* only while bound; nobody else's; or empty */
};

typedef void dhcp_pool_event_fn(void *arg, enum dhcp_lease_event event,
				const struct dhcp_lease *lease);

struct dhcp_pool {
	struct hash_key key;
	struct hmap by_address, by_client, by_mac, by_name;
	struct hmap statics;
	struct list states[DHCP_LEASE_STATES];
	struct list all;
	size_t declined_count;
	size_t live[DHCP_SOURCES_MAX + 1]; /* offered and bound, by source */
	size_t live_max;                   /* of a source; 0: no limit */
	bool one_per_mac;
	uint32_t first, last; /* what is given to anybody */
	uint32_t fresh;       /* no address below it is without a record, but for the kept */
	uint32_t kept[2];     /* the gateway and the host alias: never leased; 0: none */
	dhcp_pool_event_fn *on_event;
	void *on_event_arg;
};

void dhcp_pool_init(struct dhcp_pool *pool);
void dhcp_pool_destroy(struct dhcp_pool *pool);

/* The record that the client should have: its static one, or the one that it has or had. NULL: it
 * is unknown. */
struct dhcp_lease *dhcp_pool_lookup(struct dhcp_pool *pool, const struct dhcp_client *client);
struct dhcp_lease *dhcp_pool_by_address(const struct dhcp_pool *pool, uint32_t address);
struct dhcp_lease *dhcp_pool_by_hostname(const struct dhcp_pool *pool, const char *lower_case);
/* A bound record of that MAC, static ones too; NULL: none. */
struct dhcp_lease *dhcp_pool_bound_by_mac(const struct dhcp_pool *pool, const struct mac *mac);
/* Whether the client has or had it, under this identifier. */
bool dhcp_lease_is_of(const struct dhcp_lease *lease, const struct dhcp_client *client);

/* Finds an address for the client (`wanted` if that can be, 0 for any) and holds it for an answer;
 * a lease that is bound stays so. Returns 0, -ENOSPC, -EDQUOT when its source has as many as it may
 * have, or -ENOMEM. */
int dhcp_pool_offer(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t wanted,
		    uint64_t now_ms, struct dhcp_lease **ret_lease);
/* Makes this very address the client's, not yet bound. Returns 0, -EADDRINUSE when it isn't to be
 * had, -ENOSPC, -EDQUOT, or -ENOMEM. */
int dhcp_pool_claim(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t address,
		    struct dhcp_lease **ret_lease);
/* Grants or renews an owned lease until `expires_ms`; the host name is left out where it is empty
 * or is another lease's. Makes the event. */
void dhcp_pool_bind(struct dhcp_pool *pool, struct dhcp_lease *lease, const char *hostname,
		    uint64_t expires_ms);
/* Ends an offer or a lease; the client stays known. */
void dhcp_pool_release(struct dhcp_pool *pool, struct dhcp_lease *lease);
/* The client found somebody else using its address. */
void dhcp_pool_decline(struct dhcp_pool *pool, struct dhcp_lease *lease, uint64_t now_ms);
/* Ends what has run out. Returns when something next will, or UINT64_MAX. */
uint64_t dhcp_pool_expire(struct dhcp_pool *pool, uint64_t now_ms);

/* See dhcp_server_reserve(); the address has been checked to be one of the subnet's. */
int dhcp_pool_reserve(struct dhcp_pool *pool, const struct dhcp_reservation *conf);
int dhcp_pool_unreserve(struct dhcp_pool *pool, uint32_t address);

/* Puts back a lease until `expires_ms`, or, where that has passed, remembers whose it was; the host
 * name, NULL or of any kind, is cleaned. Returns 0, -EADDRINUSE, or like dhcp_pool_claim(). */
int dhcp_pool_restore(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t address,
		      const char *hostname, uint64_t expires_ms, uint64_t now_ms);
/* Remembers that the address was the client's, unless it has another. Returns like
 * dhcp_pool_claim(). */
int dhcp_pool_remember(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t address);

#endif
