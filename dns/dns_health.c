/* SPDX-License-Identifier: Apache-2.0 */
/* Remembers which resolvers failed of late. */
#include "dns/dns_health.h"

static struct dns_health_entry *find(const struct dns_health *health,
				     const struct dns_resolver *resolver)
{
	for (size_t i = 0; i < health->count; i++) {
		if (dns_resolver_equal(&health->entries[i].resolver, resolver))
			return (struct dns_health_entry *)&health->entries[i];
	}
	return NULL;
}

static struct dns_health_entry *find_or_add(struct dns_health *health,
					    const struct dns_resolver *resolver)
{
	struct dns_health_entry *entry = find(health, resolver);

	if (entry)
		return entry;
	if (health->count < DNS_HEALTH_MAX) {
		entry = &health->entries[health->count++];
	} else {
		entry = &health->entries[0];
		for (size_t i = 1; i < health->count; i++) {
			if (health->entries[i].touched_ms < entry->touched_ms)
				entry = &health->entries[i];
		}
	}
	*entry = (struct dns_health_entry){.resolver = *resolver};
	return entry;
}

bool dns_health_failed(struct dns_health *health, const struct dns_resolver *resolver,
		       uint64_t now_ms)
{
	struct dns_health_entry *entry = find_or_add(health, resolver);
	bool was_healthy = entry->failure_count < DNS_HEALTH_FAILURES;

	entry->touched_ms = now_ms;
	if (was_healthy)
		entry->failure_count++;
	if (entry->failure_count < DNS_HEALTH_FAILURES)
		return false;
	/* Queries that were under way with it all fail at about the same time: they count as one.
	 */
	entry->down_until_ms = now_ms + DNS_HEALTH_DOWN_MS;
	return was_healthy;
}

bool dns_health_answered(struct dns_health *health, const struct dns_resolver *resolver,
			 uint64_t now_ms)
{
	struct dns_health_entry *entry = find(health, resolver);

	if (!entry)
		return false;
	bool was_down = entry->failure_count >= DNS_HEALTH_FAILURES;
	entry->failure_count = 0;
	entry->down_until_ms = 0;
	entry->touched_ms = now_ms;
	return was_down;
}

bool dns_health_is_down(const struct dns_health *health, const struct dns_resolver *resolver,
			uint64_t now_ms)
{
	const struct dns_health_entry *entry = find(health, resolver);

	return entry && now_ms < entry->down_until_ms;
}

void dns_health_order(const struct dns_health *health, const struct dns_resolver *resolvers,
		      size_t count, uint64_t now_ms, struct dns_resolver *to)
{
	for (int down = 0; down <= 1; down++) {
		for (size_t i = 0; i < count; i++) {
			if (dns_health_is_down(health, &resolvers[i], now_ms) == (down == 1))
				*to++ = resolvers[i];
		}
	}
}
