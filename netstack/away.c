/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that may come back: see away.h. */
#include "netstack/away.h"

void away_init(struct away *away)
{
	*away = (struct away){.key = hash_key_random()};
}

void away_attached(struct away *away, unsigned port, const char *link_name)
{
	away->places[port] = hash_bytes(&away->key, link_name, link_place_size(link_name));
}

void away_gone(struct away *away, unsigned port, uint64_t now_ms)
{
	if (!away->until_ms[port])
		away->count++;
	away->until_ms[port] = now_ms + AWAY_MS;
}

void away_end(struct away *away, unsigned port)
{
	if (away->until_ms[port])
		away->count--;
	away->until_ms[port] = 0;
}

unsigned away_expired(const struct away *away, uint64_t now_ms, uint64_t *ret_next_ms)
{
	uint64_t next_ms = UINT64_MAX;
	unsigned expired = 0;

	for (unsigned port = 1; away->count && port <= SWITCH_PORTS_MAX; port++) {
		if (!away->until_ms[port])
			continue;
		if (away->until_ms[port] <= now_ms)
			expired = port;
		else if (away->until_ms[port] < next_ms)
			next_ms = away->until_ms[port];
	}
	*ret_next_ms = next_ms;
	return expired;
}
