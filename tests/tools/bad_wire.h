/* SPDX-License-Identifier: Apache-2.0 */
/* A bad wire: frames get lost, doubled, or come after their successor; the same ones for the same
 * seed. */
#ifndef TESTS_TOOLS_BAD_WIRE_H
#define TESTS_TOOLS_BAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netstack/frame.h"

/* How many frames of a thousand are spoilt, in each way. */
struct bad_wire_conf {
	unsigned loss;
	unsigned duplicate;
	unsigned reorder;
	uint64_t seed; /* not 0 */
};

/* One direction. */
struct bad_wire {
	struct bad_wire_conf conf;
	uint64_t random;
	uint64_t spoilt;  /* frames */
	size_t held_size; /* a frame that waits for its successor; 0: none */
	uint8_t held[FRAME_SIZE_MAX];
};

typedef void bad_wire_fn(void *arg, const uint8_t *bytes, size_t size);

/* "LOSS,DUPLICATE,REORDER[,SEED]" */
bool bad_wire_parse(const char *text, struct bad_wire_conf *ret);
void bad_wire_init(struct bad_wire *wire, const struct bad_wire_conf *conf);
/* Passes a frame of at most FRAME_SIZE_MAX bytes on to `fn`: not at all, once, twice, later, and up
 * to BAD_WIRE_FRAMES_MAX frames in all when a held one follows. */
#define BAD_WIRE_FRAMES_MAX 3
void bad_wire_pass(struct bad_wire *wire, const uint8_t *bytes, size_t size, bad_wire_fn *fn,
		   void *arg);

#endif
