/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue, as a well-behaved guest kernel plays it: each buffer is
 * one chain, described by one descriptor, a chain of them, or an indirect table. The layout and the
 * buffers' places are fixed when the ring is made; only which are the device's changes.
 */
#ifndef TESTS_TOOLS_GUEST_RING_H
#define TESTS_TOOLS_GUEST_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_RING_SIZE 256 /* descriptors */

struct ring_desc;
struct ring_avail;
struct ring_used;

struct guest_ring {
	uint8_t *memory; /* the guest's; guest-physical address 0 is its first byte */
	bool event_idx;
	unsigned buffers;     /* chains that the ring has */
	unsigned piece_count; /* descriptors of each */
	size_t buffer_size;   /* bytes of each */
	size_t buffers_at;    /* in memory: where the first one lies */
	struct ring_desc *desc;
	struct ring_desc *tables; /* of indirect descriptors; NULL: there are none */
	struct ring_avail *avail;
	struct ring_used *used;
	uint16_t avail_idx;
	uint16_t avail_told; /* the device can see */
	uint16_t used_seen;
	int kick_fd;
	int call_fd;
	uint64_t kicks; /* sent */
};

struct guest_ring_conf {
	uint8_t *memory;
	size_t at; /* where in the memory the ring begins, a multiple of 4096 */
	bool event_idx;
	bool indirect;
	bool device_writes;
	size_t buffer_size;
	size_t first_piece; /* size of a buffer's first descriptor (0: as the others) */
	size_t piece_size;  /* of the others */
};

/* Bytes of memory that such a ring takes. */
size_t guest_ring_footprint(const struct guest_ring_conf *conf);
/* Makes it, without buffers given to the device, and its eventfds. Returns 0, or -1 with errno. */
int guest_ring_init(struct guest_ring *ring, const struct guest_ring_conf *conf);
void guest_ring_close(struct guest_ring *ring);

/* The buffer of an index below `buffers`. */
uint8_t *guest_ring_buffer(const struct guest_ring *ring, unsigned index);
/* Gives a buffer to the device; `size` of it (all of it where the device writes). The device sees
 * it at the next guest_ring_kick(). */
void guest_ring_give(struct guest_ring *ring, unsigned index, size_t size);
/* Shows the device what was given, and wakes it if it wants to be. */
void guest_ring_kick(struct guest_ring *ring);
/* Takes a buffer back: its index, and the bytes that the device wrote. False when there is none. */
bool guest_ring_take(struct guest_ring *ring, unsigned *ret_index, uint32_t *ret_size);
/* The next buffers to be taken, without taking them: how many there are, at most 65535. */
unsigned guest_ring_ready(const struct guest_ring *ring);
/* Asks for an interrupt at the next buffer; returns whether one is there already. */
bool guest_ring_calls_on(struct guest_ring *ring);
void guest_ring_calls_off(struct guest_ring *ring);

#endif
