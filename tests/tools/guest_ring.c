/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_ring.h. The machine is little-endian, as the rings are (virtio 1.2, 2.7). */
#include "guest_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY     1

#define PAGE 4096u

struct ring_desc {
	uint64_t addr;
	uint32_t size;
	uint16_t flags;
	uint16_t next;
};

struct ring_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[GUEST_RING_SIZE];
	uint16_t used_event;
};

struct ring_used {
	uint16_t flags;
	uint16_t idx;
	struct {
		uint32_t id;
		uint32_t size;
	} ring[GUEST_RING_SIZE];
	uint16_t avail_event;
};

/* Where the parts lie, from the ring's beginning. */
struct layout {
	unsigned pieces; /* of a buffer */
	unsigned buffers;
	size_t avail;
	size_t used;
	size_t tables;
	size_t data;
	size_t end;
};

static size_t pages(size_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

static struct layout lay_out(const struct guest_ring_conf *conf)
{
	struct layout l = {.pieces = 1};
	size_t rest = conf->buffer_size;

	if (conf->first_piece) {
		rest -= conf->first_piece;
		l.pieces += (unsigned)((rest + conf->piece_size - 1) / conf->piece_size);
	}
	l.buffers = conf->indirect ? GUEST_RING_SIZE : GUEST_RING_SIZE / l.pieces;
	l.avail = pages(GUEST_RING_SIZE * sizeof(struct ring_desc));
	l.used = l.avail + pages(sizeof(struct ring_avail));
	l.tables = l.used + pages(sizeof(struct ring_used));
	l.data = l.tables;
	if (conf->indirect)
		l.data += pages(l.buffers * l.pieces * sizeof(struct ring_desc));
	l.end = l.data + l.buffers * pages(conf->buffer_size);
	return l;
}

size_t guest_ring_footprint(const struct guest_ring_conf *conf)
{
	return lay_out(conf).end;
}

/* The descriptors of a buffer: in its table, or in the ring. */
static struct ring_desc *descs_of(const struct guest_ring *ring, unsigned index)
{
	return (ring->tables ? ring->tables : ring->desc) + (size_t)index * ring->piece_count;
}

static void describe_buffer(struct guest_ring *ring, const struct guest_ring_conf *conf,
			    unsigned index)
{
	struct ring_desc *desc = descs_of(ring, index);
	uint64_t addr = (uint64_t)(guest_ring_buffer(ring, index) - ring->memory);
	size_t left = ring->buffer_size;

	for (unsigned i = 0; i < ring->piece_count; i++) {
		size_t size = i == 0 && conf->first_piece ? conf->first_piece : conf->piece_size;

		if (size > left || ring->piece_count == 1)
			size = left;
		desc[i] = (struct ring_desc){
			.addr = addr,
			.size = (uint32_t)size,
			.flags = conf->device_writes ? DESC_WRITE : 0,
			.next = (uint16_t)((ring->tables ? 0 : index * ring->piece_count) + i + 1),
		};
		if (i + 1 < ring->piece_count)
			desc[i].flags |= DESC_NEXT;
		addr += size;
		left -= size;
	}
	if (ring->tables)
		ring->desc[index] = (struct ring_desc){
			.addr = (uint64_t)((uint8_t *)desc - ring->memory),
			.size = (uint32_t)(ring->piece_count * sizeof(*desc)),
			.flags = DESC_INDIRECT,
		};
}

int guest_ring_init(struct guest_ring *ring, const struct guest_ring_conf *conf)
{
	struct layout l = lay_out(conf);
	uint8_t *base = conf->memory + conf->at;

	*ring = (struct guest_ring){
		.memory = conf->memory,
		.event_idx = conf->event_idx,
		.buffers = l.buffers,
		.piece_count = l.pieces,
		.buffer_size = conf->buffer_size,
		.buffers_at = conf->at + l.data,
		.desc = (struct ring_desc *)base,
		.tables = conf->indirect ? (struct ring_desc *)(base + l.tables) : NULL,
		.avail = (struct ring_avail *)(base + l.avail),
		.used = (struct ring_used *)(base + l.used),
		.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	for (unsigned i = 0; i < ring->buffers; i++)
		describe_buffer(ring, conf, i);
	return ring->kick_fd < 0 || ring->call_fd < 0 ? -1 : 0;
}

void guest_ring_close(struct guest_ring *ring)
{
	if (!ring->memory)
		return;
	close(ring->kick_fd);
	close(ring->call_fd);
}

uint8_t *guest_ring_buffer(const struct guest_ring *ring, unsigned index)
{
	return ring->memory + ring->buffers_at + index * pages(ring->buffer_size);
}

/* Makes the descriptors of a buffer to be read cover `size` bytes. */
static void cover(struct guest_ring *ring, unsigned index, size_t size)
{
	struct ring_desc *desc = descs_of(ring, index);
	uint64_t addr = desc->addr;
	unsigned i = 0;

	/* How large each may be is seen from where the next one begins. */
	for (;; i++) {
		bool last = i + 1 == ring->piece_count;
		size_t room = last ? size : desc[i + 1].addr - addr;

		desc[i].size = (uint32_t)(size < room ? size : room);
		size -= desc[i].size;
		desc[i].flags = size ? DESC_NEXT : 0;
		if (!size)
			break;
		addr = desc[i + 1].addr;
	}
	if (ring->tables)
		ring->desc[index].size = (uint32_t)((i + 1) * sizeof(*desc));
}

void guest_ring_give(struct guest_ring *ring, unsigned index, size_t size)
{
	unsigned head = ring->tables ? index : index * ring->piece_count;

	if (!(descs_of(ring, index)->flags & DESC_WRITE))
		cover(ring, index, size);
	ring->avail->ring[ring->avail_idx++ % GUEST_RING_SIZE] = (uint16_t)head;
}

void guest_ring_kick(struct guest_ring *ring)
{
	static const uint64_t one = 1;
	uint16_t before = ring->avail_told;
	bool wanted;

	if (before == ring->avail_idx)
		return;
	__atomic_store_n(&ring->avail->idx, ring->avail_idx, __ATOMIC_RELEASE);
	ring->avail_told = ring->avail_idx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ring->event_idx) {
		uint16_t event = __atomic_load_n(&ring->used->avail_event, __ATOMIC_RELAXED);

		wanted = (uint16_t)(ring->avail_idx - event - 1) <
			 (uint16_t)(ring->avail_idx - before);
	} else {
		wanted = !(__atomic_load_n(&ring->used->flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY);
	}
	if (wanted && write(ring->kick_fd, &one, sizeof(one)) == sizeof(one))
		ring->kicks++;
}

unsigned guest_ring_ready(const struct guest_ring *ring)
{
	return (uint16_t)(__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) - ring->used_seen);
}

bool guest_ring_take(struct guest_ring *ring, unsigned *ret_index, uint32_t *ret_size)
{
	unsigned slot = ring->used_seen % GUEST_RING_SIZE;

	if (!guest_ring_ready(ring))
		return false;
	*ret_index = ring->used->ring[slot].id / (ring->tables ? 1 : ring->piece_count);
	*ret_size = ring->used->ring[slot].size;
	ring->used_seen++;
	return true;
}

bool guest_ring_calls_on(struct guest_ring *ring)
{
	ring->avail->used_event = ring->used_seen;
	__atomic_store_n(&ring->avail->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return guest_ring_ready(ring) > 0;
}

void guest_ring_calls_off(struct guest_ring *ring)
{
	/* With EVENT_IDX the index that we want to hear of is simply left behind. */
	if (!ring->event_idx)
		__atomic_store_n(&ring->avail->flags, AVAIL_NO_INTERRUPT, __ATOMIC_RELAXED);
}
