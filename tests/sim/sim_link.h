/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link made of memory: what is sent on it is recorded, frames are injected by the test, and it is
 * full or gone when the test says so. It is a link like any other to its user; the test holds the
 * other end, which outlives the link's destruction.
 */
#ifndef SIM_SIM_LINK_H
#define SIM_SIM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netstack/link.h"

struct sim_link;

/* A frame that was sent, made contiguous, with the offload state that it had. */
struct sim_frame {
	struct sim_frame *next;
	uint8_t *bytes;
	uint32_t size;
	enum frame_csum csum;
	uint16_t csum_start;
	uint16_t csum_offset;
	enum frame_gso gso;
	uint16_t gso_size;
	uint16_t header_size;
};

/* Aborts when memory is short, as everything here does. `caps` is copied. */
struct sim_link *sim_link_new(const char *name, const struct link_caps *caps);
/* The test's end; the link must have been destroyed, or never handed on. Frees frames not taken. */
void sim_link_free(struct sim_link *sim);
/* The user's end, to be given to a link_sink or used directly. */
struct link *sim_link_link(struct sim_link *sim);

/* The guest sends: `receive` is called with a frame of one piece in an iobuf of its own. */
void sim_link_inject(struct sim_link *sim, const void *bytes, size_t size);
/* The same with `state`'s offload fields; its iov and buf are not looked at. */
void sim_link_inject_state(struct sim_link *sim, const void *bytes, size_t size,
			   const struct frame *state);
/* Injects `count` frames of sizes[i] that lie one after the other in one iobuf, `gap` bytes apart.
 */
void sim_link_inject_burst(struct sim_link *sim, const void *bytes, const size_t *sizes,
			   unsigned count, size_t gap);
void sim_link_batch_end(struct sim_link *sim);

/* While full, send() says -EAGAIN; ending it calls `writable` when a send was refused. */
void sim_link_set_full(struct sim_link *sim, bool full);
/* From now on `count` frames are taken, then the link is full by itself. */
void sim_link_set_room(struct sim_link *sim, unsigned count);
/* The guest goes: calls `gone`. send() says -EPIPE from now on. */
void sim_link_hang_up(struct sim_link *sim, const char *reason);

/* The oldest frame sent and not taken yet, now the caller's: sim_frame_free(). NULL: none. */
struct sim_frame *sim_link_take(struct sim_link *sim);
void sim_frame_free(struct sim_frame *frame);
/* Frees all frames sent and not taken; returns how many there were. */
unsigned sim_link_drop_all(struct sim_link *sim);

unsigned sim_link_pending(const struct sim_link *sim); /* frames sent, not taken */
unsigned sim_link_flushes(const struct sim_link *sim); /* calls of flush() */
bool sim_link_destroyed(const struct sim_link *sim);   /* the user has destroyed the link */
unsigned sim_link_iobufs(const struct sim_link *sim);  /* injected buffers still referenced */

#endif
