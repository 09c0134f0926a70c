/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets the guest's clock, which stood still while the machine was paused or lay in a snapshot, by
 * the QEMU guest agent, if one runs there. Spoken over QEMU's socket for the agent's port, which
 * serves one client at a time, so it is held only as long as that takes:
 *
 *	guest-sync-delimited    until its answer comes, whatever was left over from others
 *	guest-set-time          the host's time, read only then
 *
 * The guest is hostile: what it answers is bounded in size and time, and only logged.
 */
#ifndef LAUNCHER_GUEST_CLOCK_H
#define LAUNCHER_GUEST_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define GUEST_CLOCK_TIMEOUT_MS 10000
#define GUEST_CLOCK_LINE_MAX   1024  /* bytes of an answer */
#define GUEST_CLOCK_BYTES_MAX  65536 /* of all that it says; then it isn't an agent */

struct guest_clock;

/* `path` is the socket's, borrowed. Returns 0 or -errno. */
int guest_clock_new(struct loop *loop, const char *path, struct guest_clock **ret_clock);
/* Begins; where it was begun before and isn't through, anew. Nobody waits for it. */
void guest_clock_set(struct guest_clock *clock);
/* NULL is fine. */
void guest_clock_free(struct guest_clock *clock);

/* What a line from the agent says. Pure. */
enum guest_clock_line {
	GUEST_CLOCK_OTHER,   /* nothing to us */
	GUEST_CLOCK_RETURN,  /* it was done; *ret_value is the number returned, else 0 */
	GUEST_CLOCK_REFUSED, /* `why` has the agent's words */
};
enum guest_clock_line guest_clock_read(const char *line, size_t size, int64_t *ret_value, char *why,
				       size_t why_size);

#endif
