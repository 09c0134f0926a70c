/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relays queries to resolvers: whom to ask next and when, and who may have how many queries under
 * way.
 *
 * A query goes to the first resolver, and to the next one when that fails or says nothing for a
 * try's time, in turn until the deadline; a late reply of any of them still counts. SERVFAIL,
 * REFUSED and NOTIMP make it go on to the next one too, and are handed on as they are when nobody
 * does better.
 *
 * The table is bounded, in all and per client. A client over its share loses its own oldest query,
 * and when the whole table is full, the client with the most loses one, so that a client that
 * floods, or waits for names that nobody answers, takes nothing from the others. Queries younger
 * than DNS_EVICT_AGE_MIN_MS are not given up for newer ones, or a burst would undo itself.
 */
#ifndef DNS_DNS_UPSTREAM_H
#define DNS_DNS_UPSTREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "dns/dns_exchange.h"
#include "dns/dns_resolvconf.h"
#include "dns/dns_wire.h"

#define DNS_PENDING_MAX            1024
#define DNS_PENDING_PER_CLIENT_MAX 256
#define DNS_EVICT_AGE_MIN_MS       1000
#define DNS_QUERY_SIZE_MAX         4096 /* of a query; no real one comes near */

/* Below the 5 s after which clients ask again, so that they hear SERVFAIL rather than nothing. */
#define DNS_TRY_MS_DEFAULT      1500
#define DNS_DEADLINE_MS_DEFAULT 4800
/* For queries that come over TCP, whose clients are more patient. */
#define DNS_TCP_FACTOR 2

struct dns_upstream;
struct dns_relay;

struct dns_upstream_stats {
	uint64_t replies;        /* that were handed back */
	uint64_t retries;        /* tries beyond the first */
	uint64_t timeouts;       /* queries that reached their deadline */
	uint64_t unreachable;    /* queries all whose resolvers failed */
	uint64_t evicted;        /* queries given up for others */
	uint64_t rejected;       /* queries not taken for want of room */
	uint64_t mismatches;     /* datagrams that were no reply to the query they came for */
	uint64_t resolvers_down; /* times that a resolver was found down */
};

/*
 * The end of a relayed query, called from the loop, or from a later dns_upstream_relay() that
 * needed its place; at most once. `reply` is borrowed and has the resolver's copy of the exchange's
 * ID in its first 2 bytes; or it is NULL, and `error` says why: -ETIMEDOUT, -EBUSY (given up for
 * others), or what the last resolver failed with. The relay is gone when it returns.
 */
typedef void dns_relay_fn(void *arg, int error, const void *reply, size_t size);

/* Times of 0 mean the defaults. Returns 0 or -ENOMEM. */
int dns_upstream_new(struct loop *loop, uint32_t try_ms, uint32_t deadline_ms,
		     struct dns_upstream **ret_upstream);
/* Drops what is under way without calling anybody. */
void dns_upstream_free(struct dns_upstream *upstream);

/*
 * Relays a query. The message and `query` are copied. Returns 0 with the relay, which is the
 * callback's until it is called; -EBUSY when there is no room; -EHOSTUNREACH or such when every
 * resolver failed at once (also when there are none: -ENOENT); -ENOMEM. `fn` was not called and
 * will not be on errors.
 */
int dns_upstream_relay(struct dns_upstream *upstream, enum dns_transport transport,
		       const struct addr *client, const struct dns_resolver *resolvers,
		       size_t resolver_count, const struct dns_query *query, const void *message,
		       size_t size, dns_relay_fn *fn, void *arg, struct dns_relay **ret_relay);
/* Gives up a query; its callback isn't called. */
void dns_upstream_cancel(struct dns_relay *relay);

size_t dns_upstream_pending(const struct dns_upstream *upstream);
const struct dns_upstream_stats *dns_upstream_stats(const struct dns_upstream *upstream);

#endif
