/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which resolvers have been answering, so that a dead one costs a few queries its timeout and not
 * every query. After DNS_HEALTH_FAILURES failures in a row a resolver counts as down: for
 * DNS_HEALTH_DOWN_MS it is asked last, instead of in its turn; then it gets its turn, and one
 * failure puts it back. Nobody is ever left out altogether: if all are down, all are asked.
 */
#ifndef DNS_DNS_HEALTH_H
#define DNS_DNS_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/dns_resolvconf.h"

#define DNS_HEALTH_MAX      32 /* resolvers remembered; the one not heard of longest is forgotten */
#define DNS_HEALTH_FAILURES 2
#define DNS_HEALTH_DOWN_MS  30000

struct dns_health_entry {
	struct dns_resolver resolver;
	unsigned failure_count; /* in a row */
	uint64_t down_until_ms;
	uint64_t touched_ms;
};

struct dns_health {
	size_t count;
	struct dns_health_entry entries[DNS_HEALTH_MAX];
};

/* Report how it went. Each returns true when that changed whether the resolver counts as down. */
bool dns_health_failed(struct dns_health *health, const struct dns_resolver *resolver,
		       uint64_t now_ms);
bool dns_health_answered(struct dns_health *health, const struct dns_resolver *resolver,
			 uint64_t now_ms);
bool dns_health_is_down(const struct dns_health *health, const struct dns_resolver *resolver,
			uint64_t now_ms);
/* Copies the resolvers in the order in which to ask: those that are down last, else as they were.
 */
void dns_health_order(const struct dns_health *health, const struct dns_resolver *resolvers,
		      size_t count, uint64_t now_ms, struct dns_resolver *to);

#endif
