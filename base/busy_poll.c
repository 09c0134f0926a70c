/* SPDX-License-Identifier: Apache-2.0 */
/* The decisions of busy polling; see busy_poll.h. */
#include "base/busy_poll.h"

/* A window that opens does so at this width; one that closes below it is shut. */
#define WINDOW_MIN_US 5
/* Short waits in a row that open it. */
#define STREAK_MIN 8
/* A round that takes longer moves much at once. */
#define ROUND_MAX_US 30

static void shut(struct busy_poll *poll)
{
	poll->window_us = 0;
	poll->streak = 0;
}

uint32_t busy_poll_window(struct busy_poll *poll, uint64_t round_us)
{
	if (round_us > ROUND_MAX_US)
		shut(poll);
	return poll->window_us;
}

void busy_poll_waited(struct busy_poll *poll, uint64_t waited_us)
{
	if (waited_us > poll->max_us) {
		if (poll->window_us / 2 < WINDOW_MIN_US)
			shut(poll);
		else
			poll->window_us /= 2;
		return;
	}
	if (!poll->window_us && ++poll->streak < STREAK_MIN)
		return;
	poll->window_us = poll->window_us ? poll->window_us * 2 : WINDOW_MIN_US;
	if (poll->window_us > poll->max_us)
		poll->window_us = poll->max_us;
}
