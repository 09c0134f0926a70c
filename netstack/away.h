/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests whose links have gone, and may come back: a VMM that reconnects, or a proxy between that
 * was started again. What they had goes on for AWAY_MS: connections wait as if the link was full,
 * flows stay. Whoever comes back by a link of the same kind and place (its name but for the number)
 * is taken for the same guest where its address is; nobody else is.
 *
 * Pure bookkeeping, with the time as an argument.
 */
#ifndef NETSTACK_AWAY_H
#define NETSTACK_AWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hmap.h"
#include "netstack/switch.h"

#define AWAY_MS 5000

struct away {
	struct hash_key key;
	uint64_t places[SWITCH_PORTS_MAX + 1];   /* of each port's link, hashed; also while away */
	uint64_t until_ms[SWITCH_PORTS_MAX + 1]; /* 0: not away */
	unsigned count;                          /* of ports that are away */
};

void away_init(struct away *away);
/* A link came to a port, which isn't away (any more). */
void away_attached(struct away *away, unsigned port, const char *link_name);
void away_gone(struct away *away, unsigned port, uint64_t now_ms);
/* Ends a port's absence: what it had is over, too. */
void away_end(struct away *away, unsigned port);
/* A port whose time is over, or 0; *ret_next_ms is when another look is worth while, UINT64_MAX:
 * never. */
unsigned away_expired(const struct away *away, uint64_t now_ms, uint64_t *ret_next_ms);

/* Nearly always false, and then cheap. */
static inline bool away_is(const struct away *away, unsigned port)
{
	return away->count && away->until_ms[port];
}

/* Whether the guest that was at `port` may have come back at `now`. */
static inline bool away_may_be_back(const struct away *away, unsigned port, unsigned now)
{
	return !away->until_ms[now] && away->places[port] == away->places[now];
}

#endif
