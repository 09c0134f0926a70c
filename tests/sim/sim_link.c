/* SPDX-License-Identifier: Apache-2.0 */
/* A link made of memory: see sim_link.h. */
#include "sim/sim_link.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

struct sim_link {
	struct link link;
	struct sim_frame *sent;
	struct sim_frame **sent_end;
	unsigned pending;
	unsigned flushes;
	unsigned iobufs;
	unsigned room; /* frames that send() takes before it is full */
	bool refused;
	bool hung_up;
	bool destroyed;
};

struct sim_iobuf {
	struct iobuf iobuf;
	struct sim_link *sim;
};

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static void record(struct sim_link *sim, const struct frame *frame)
{
	struct sim_frame *sent = must(calloc(1, sizeof(*sent)));
	size_t size = 0;

	sent->bytes = must(malloc(frame->size + 1));
	for (unsigned i = 0; i < frame->iov_count; i++) {
		assert(size + frame->iov[i].iov_len <= frame->size);
		memcpy(sent->bytes + size, frame->iov[i].iov_base, frame->iov[i].iov_len);
		size += frame->iov[i].iov_len;
	}
	assert(size == frame->size);
	sent->size = frame->size;
	sent->csum = frame->csum;
	sent->csum_start = frame->csum_start;
	sent->csum_offset = frame->csum_offset;
	sent->gso = frame->gso;
	sent->gso_size = frame->gso_size;
	sent->header_size = frame->header_size;
	*sim->sent_end = sent;
	sim->sent_end = &sent->next;
	sim->pending++;
	sim->link.counters.tx_frames++;
	sim->link.counters.tx_bytes += frame->size;
}

/* A frame that the link's caps don't allow is the caller's mistake. */
static void check_caps(const struct link_caps *caps, const struct frame *frame)
{
	assert(frame->csum != FRAME_CSUM_PARTIAL || caps->csum);
	assert(frame->gso == FRAME_GSO_NONE || frame->csum == FRAME_CSUM_PARTIAL);
	assert(frame->gso != FRAME_GSO_TCP4 || caps->tso4);
	assert(frame->gso != FRAME_GSO_TCP6 || caps->tso6);
	assert(frame->gso != FRAME_GSO_UDP || caps->uso);
}

static int sim_send(struct link *link, const struct frame *frames, unsigned count)
{
	struct sim_link *sim = container_of(link, struct sim_link, link);

	assert(!sim->destroyed);
	assert(count >= 1);
	if (sim->hung_up)
		return -EPIPE;
	for (unsigned i = 0; i < count; i++) {
		check_caps(&link->caps, &frames[i]);
		if (frames[i].size > link->caps.frame_max)
			return -EMSGSIZE;
	}
	if (sim->room == 0) {
		sim->refused = true;
		link->counters.tx_full++;
		return -EAGAIN;
	}
	for (unsigned i = 0; i < count; i++)
		record(sim, &frames[i]);
	if (sim->room != UINT_MAX)
		sim->room -= count < sim->room ? count : sim->room;
	return 0;
}

static void sim_flush(struct link *link)
{
	struct sim_link *sim = container_of(link, struct sim_link, link);

	assert(!sim->destroyed);
	sim->flushes++;
}

static void sim_destroy(struct link *link)
{
	struct sim_link *sim = container_of(link, struct sim_link, link);

	assert(!sim->destroyed);
	sim->destroyed = true;
}

static const struct link_ops sim_ops = {
	.kind = "sim",
	.send = sim_send,
	.flush = sim_flush,
	.destroy = sim_destroy,
};

struct sim_link *sim_link_new(const char *name, const struct link_caps *caps)
{
	struct sim_link *sim = must(calloc(1, sizeof(*sim)));

	sim->link.ops = &sim_ops;
	sim->link.caps = *caps;
	snprintf(sim->link.name, sizeof(sim->link.name), "%s", name);
	sim->sent_end = &sim->sent;
	sim->room = UINT_MAX;
	return sim;
}

void sim_link_free(struct sim_link *sim)
{
	if (!sim)
		return;
	sim_link_drop_all(sim);
	assert(sim->iobufs == 0);
	free(sim);
}

struct link *sim_link_link(struct sim_link *sim)
{
	return &sim->link;
}

static void release(struct iobuf *iobuf)
{
	struct sim_iobuf *buf = container_of(iobuf, struct sim_iobuf, iobuf);

	buf->sim->iobufs--;
	free(iobuf->data);
	free(buf);
}

/* The bytes are a heap block of exactly this size, so that the address sanitizer sees every
 * overrun. */
static struct iobuf *iobuf_of(struct sim_link *sim, const void *bytes, size_t size)
{
	struct sim_iobuf *buf = must(calloc(1, sizeof(*buf)));

	buf->sim = sim;
	buf->iobuf.refs = 1;
	buf->iobuf.size = (uint32_t)size;
	buf->iobuf.data = must(malloc(size ? size : 1));
	buf->iobuf.release = release;
	if (size)
		memcpy(buf->iobuf.data, bytes, size);
	sim->iobufs++;
	return &buf->iobuf;
}

static void deliver(struct sim_link *sim, struct iobuf *buf, size_t offset, size_t size,
		    const struct frame *state)
{
	struct iovec iov = {.iov_base = buf->data + offset, .iov_len = size};
	struct frame frame = *state;

	assert(!sim->destroyed && sim->link.user);
	frame.iov = &iov;
	frame.iov_count = 1;
	frame.size = (uint32_t)size;
	frame.buf = buf;
	sim->link.counters.rx_frames++;
	sim->link.counters.rx_bytes += size;
	sim->link.user->receive(sim->link.user_arg, &frame);
}

void sim_link_inject_state(struct sim_link *sim, const void *bytes, size_t size,
			   const struct frame *state)
{
	struct iobuf *buf = iobuf_of(sim, bytes, size);

	deliver(sim, buf, 0, size, state);
	iobuf_unref(buf);
}

void sim_link_inject(struct sim_link *sim, const void *bytes, size_t size)
{
	sim_link_inject_state(sim, bytes, size, &(struct frame){.csum = FRAME_CSUM_UNKNOWN});
}

void sim_link_inject_burst(struct sim_link *sim, const void *bytes, const size_t *sizes,
			   unsigned count, size_t gap)
{
	size_t total = 0;
	struct iobuf *buf;

	for (unsigned i = 0; i < count; i++)
		total += sizes[i] + (i ? gap : 0);
	buf = iobuf_of(sim, bytes, total);
	for (size_t i = 0, offset = 0; i < count; offset += sizes[i++] + gap)
		deliver(sim, buf, offset, sizes[i], &(struct frame){.csum = FRAME_CSUM_UNKNOWN});
	iobuf_unref(buf);
}

void sim_link_batch_end(struct sim_link *sim)
{
	sim->link.user->batch_end(sim->link.user_arg);
}

void sim_link_set_full(struct sim_link *sim, bool full)
{
	sim_link_set_room(sim, full ? 0 : UINT_MAX);
}

void sim_link_set_room(struct sim_link *sim, unsigned count)
{
	sim->room = count;
	if (count && sim->refused) {
		sim->refused = false;
		sim->link.user->writable(sim->link.user_arg);
	}
}

void sim_link_hang_up(struct sim_link *sim, const char *reason)
{
	sim->hung_up = true;
	sim->link.user->gone(sim->link.user_arg, reason);
}

struct sim_frame *sim_link_take(struct sim_link *sim)
{
	struct sim_frame *frame = sim->sent;

	if (!frame)
		return NULL;
	sim->sent = frame->next;
	if (!sim->sent)
		sim->sent_end = &sim->sent;
	sim->pending--;
	frame->next = NULL;
	return frame;
}

void sim_frame_free(struct sim_frame *frame)
{
	if (!frame)
		return;
	free(frame->bytes);
	free(frame);
}

unsigned sim_link_drop_all(struct sim_link *sim)
{
	unsigned dropped = sim->pending;

	while (sim->sent)
		sim_frame_free(sim_link_take(sim));
	return dropped;
}

unsigned sim_link_pending(const struct sim_link *sim)
{
	return sim->pending;
}

unsigned sim_link_flushes(const struct sim_link *sim)
{
	return sim->flushes;
}

bool sim_link_destroyed(const struct sim_link *sim)
{
	return sim->destroyed;
}

unsigned sim_link_iobufs(const struct sim_link *sim)
{
	return sim->iobufs;
}
