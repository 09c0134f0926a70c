/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a link brings in one round of the loop before the others get their turn: so many frames,
 * and no more once they have taken some time. Most frames take a microsecond. A SYN may take one
 * thousand times as long, where it has the kernel look for the last free port.
 */
#ifndef NETSTACK_LINK_ROUND_H
#define NETSTACK_LINK_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define LINK_ROUND_FRAMES_MAX 256
#define LINK_ROUND_US         5000
/* Frames between two looks at the clock. */
#define LINK_ROUND_STEP 8

struct link_round {
	unsigned frames; /* so far */
	uint64_t until_us;
};

static inline struct link_round link_round_begin(void)
{
	return (struct link_round){.until_us = clock_us() + LINK_ROUND_US};
}

/* To be asked before each frame. False: it waits for the next round. */
static inline bool link_round_takes(struct link_round *round)
{
	if (round->frames >= LINK_ROUND_FRAMES_MAX ||
	    (round->frames && round->frames % LINK_ROUND_STEP == 0 && clock_us() > round->until_us))
		return false;
	round->frames++;
	return true;
}

#endif
