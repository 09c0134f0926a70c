/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether to look for events a little longer before going to sleep. Putting a thread to sleep and
 * waking it costs more than many small messages do, so where answers come within microseconds,
 * looking for them pays; where they don't, nothing is spent.
 *
 * It adapts as KVM's halt polling does: the window opens after a number of short waits in a row,
 * and closes when waits are long. A round of much work shuts it: bulk traffic gains nothing, and
 * whoever produces it wants the processor.
 */
#ifndef BASE_BUSY_POLL_H
#define BASE_BUSY_POLL_H

#include <stdint.h>

struct busy_poll {
	uint32_t max_us;    /* most that the window opens; 0: never */
	uint32_t window_us; /* now */
	uint32_t streak;    /* short waits in a row, while the window is shut */
};

/* How long to look before sleeping, after a round of work that took `round_us`. */
uint32_t busy_poll_window(struct busy_poll *poll, uint64_t round_us);
/* Adapts the window to a wait, looking and sleeping together, that has ended with an event. */
void busy_poll_waited(struct busy_poll *poll, uint64_t waited_us);

#endif
