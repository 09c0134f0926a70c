/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_vhost: frames to the guest, copied straight into its receive buffers; the driver sees them
 * at the next flush, together.
 *
 * A frame goes out whole or waits for buffers. Where it waits: large ones with the sender, which is
 * told that the link is full. Small ones wait here, up to a limit, as bursts of them easily exceed
 * a ring while nobody sends large ones (datagrams, whose senders can't wait). Of several that are
 * sent at once, the segments of one super-frame for a driver that can't take it, those that don't
 * fit wait here too: the ring may be smaller than all of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/link_vhost_private.h"

/* What waits here of frames that were sent one by one. */
#define BACKLOG_FRAME_MAX 16384
#define BACKLOG_BYTES_MAX (512 * 1024)

/* A frame of our own that waits for buffers. */
struct backlog_frame {
	struct list in_backlog;
	struct frame frame;
	struct iovec iov;
	uint8_t bytes[];
};

/* --- Into the guest's buffers --- */

/* Takes buffers for `size` bytes from the queue, their pieces into l->pieces. Returns their number,
 * or, with nothing taken, -EAGAIN (there are not enough now), -EMSGSIZE (the guest's buffers are
 * too small for it) or -EIO (the queue is broken). */
static int buffers_take(struct link_vhost_listener *l, size_t size)
{
	struct virtq *vq = l->to_guest;
	bool mergeable = vhost_net_mergeable(l->features);
	unsigned count = 0, pieces = 0;
	size_t room = 0;

	while (room < size) {
		struct virtq_chain chain = {.iov = l->pieces + pieces,
					    .iov_max = VHOST_CHAIN_PIECES_MAX};
		int r = -EMSGSIZE;

		if (pieces <= VHOST_CHAIN_PIECES_MAX && count < VHOST_FRAME_CHAINS_MAX &&
		    (mergeable || count == 0))
			r = virtq_pop(vq, &chain);
		if (r < 0 && r != -EMSGSIZE)
			return r;
		if (r <= 0) {
			virtq_unpop(vq, count);
			return r == 0 ? -EAGAIN : r;
		}
		if (chain.out_count || chain.in_size == 0)
			return virtq_break(vq, "a receive buffer that can't be written to");
		l->heads[count++] = (struct vhost_head){.head = chain.head,
							.size = (uint32_t)chain.in_size};
		pieces += chain.in_count;
		room += chain.in_size;
	}
	return (int)count;
}

/* Copies to guest memory, piece by piece. */
struct pieces_writer {
	const struct iovec *piece;
	size_t offset; /* in it */
};

static void pieces_write(struct pieces_writer *w, const uint8_t *from, size_t size)
{
	while (size > 0) {
		size_t part = w->piece->iov_len - w->offset;

		if (part > size)
			part = size;
		/* Both may lie in the same guest's memory, wherever it said. */
		memmove((uint8_t *)w->piece->iov_base + w->offset, from, part);
		from += part;
		size -= part;
		w->offset += part;
		if (w->offset == w->piece->iov_len) {
			w->piece++;
			w->offset = 0;
		}
	}
}

/* Returns 0, -EAGAIN, -EMSGSIZE or -EIO, as buffers_take(). */
static int put_frame(struct link_vhost_listener *l, const struct frame *frame)
{
	size_t left = l->header_size + (size_t)frame->size;
	struct link_counters *counters = &l->link->link.counters;
	struct pieces_writer w = {.piece = l->pieces};
	uint8_t header[VHOST_NET_HEADER_MAX];
	int count = buffers_take(l, left);

	if (count < 0)
		return count;
	vhost_net_encode(frame, l->features, (uint16_t)count, header);
	pieces_write(&w, header, l->header_size);
	for (unsigned i = 0; i < frame->iov_count; i++)
		pieces_write(&w, frame->iov[i].iov_base, frame->iov[i].iov_len);
	for (int i = 0; i < count; i++) {
		const struct vhost_head *head = &l->heads[i];
		uint32_t written = head->size < left ? head->size : (uint32_t)left;

		virtq_push(l->to_guest, head->head, written);
		left -= written;
	}
	counters->tx_frames++;
	counters->tx_bytes += frame->size;
	return 0;
}

/* --- What waits --- */

static void backlog_add(struct link_vhost_listener *l, const struct frame *frame)
{
	struct backlog_frame *waiting = malloc(sizeof(*waiting) + frame->size);
	uint8_t *to;

	if (!waiting) {
		l->link->link.counters.tx_dropped++;
		return;
	}
	to = waiting->bytes;
	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
		to += frame->iov[i].iov_len;
	}
	waiting->iov = (struct iovec){.iov_base = waiting->bytes, .iov_len = frame->size};
	waiting->frame = *frame;
	waiting->frame.iov = &waiting->iov;
	waiting->frame.iov_count = 1;
	waiting->frame.buf = NULL;
	list_add_tail(&l->backlog, &waiting->in_backlog);
	l->backlog_bytes += frame->size;
}

static void backlog_free_first(struct link_vhost_listener *l)
{
	struct backlog_frame *first = container_of(list_first(&l->backlog), struct backlog_frame,
						   in_backlog);

	list_remove(&first->in_backlog);
	l->backlog_bytes -= first->frame.size;
	free(first);
}

void vhost_out_clear(struct link_vhost_listener *l)
{
	while (!list_empty(&l->backlog))
		backlog_free_first(l);
}

/* Returns 0 when nothing waits any more, else -EAGAIN or -EIO. */
static int backlog_send(struct link_vhost_listener *l)
{
	while (!list_empty(&l->backlog)) {
		struct backlog_frame *waiting = container_of(list_first(&l->backlog),
							     struct backlog_frame, in_backlog);
		int r = put_frame(l, &waiting->frame);

		if (r == -EAGAIN || r == -EIO)
			return r;
		if (r < 0)
			l->link->link.counters.tx_dropped++;
		backlog_free_first(l);
	}
	return 0;
}

/* Asks the driver to tell when it gives more buffers. */
static void await_room(struct link_vhost_listener *l)
{
	if (!l->to_guest)
		return;
	virtq_notify(l->to_guest);
	if (virtq_kicks_on_more(l->to_guest))
		loop_task_schedule(l->loop, &l->room_task);
}

void vhost_out_room(struct link_vhost_listener *l)
{
	int r;

	if (!vhost_link_running(l))
		return;
	virtq_kicks_off(l->to_guest);
	if (!l->blocked && list_empty(&l->backlog))
		return;
	r = backlog_send(l);
	if (r == -EIO) {
		vhost_link_broken(l, VHOST_NET_QUEUE_TO_GUEST);
		return;
	}
	if (r < 0) {
		await_room(l);
		return;
	}
	virtq_notify(l->to_guest);
	if (l->blocked) {
		l->blocked = false;
		l->link->link.user->writable(l->link->link.user_arg);
	}
}

static void on_room_task(void *arg)
{
	vhost_out_room(arg);
}

/* --- The link's side --- */

static int refuse(struct link_vhost_listener *l)
{
	l->link->link.counters.tx_full++;
	l->blocked = true;
	await_room(l);
	return -EAGAIN;
}

/* Whether a frame that doesn't fit may wait here. */
static bool may_wait(const struct link_vhost_listener *l, const struct frame *frame)
{
	return frame->gso == FRAME_GSO_NONE && frame->size <= BACKLOG_FRAME_MAX &&
	       l->backlog_bytes + frame->size <= BACKLOG_BYTES_MAX;
}

static int send_one(struct link_vhost_listener *l, const struct frame *frame)
{
	int r = list_empty(&l->backlog) ? put_frame(l, frame) : -EAGAIN;

	if (r != -EAGAIN)
		return r;
	if (!may_wait(l, frame))
		return refuse(l);
	backlog_add(l, frame);
	await_room(l);
	return 0;
}

/* Takes all or, where not even the first one fits, nothing. */
static int send_burst(struct link_vhost_listener *l, const struct frame *frames, unsigned count)
{
	if (!list_empty(&l->backlog))
		return refuse(l);
	for (unsigned i = 0; i < count; i++) {
		int r = list_empty(&l->backlog) ? put_frame(l, &frames[i]) : -EAGAIN;

		if (r == -EIO)
			return r;
		if (r == -EAGAIN && i == 0)
			return refuse(l);
		if (r == -EAGAIN)
			backlog_add(l, &frames[i]);
		if (r == -EMSGSIZE)
			l->link->link.counters.tx_dropped++;
	}
	if (!list_empty(&l->backlog))
		await_room(l);
	return 0;
}

int vhost_out_send(struct link_vhost_listener *l, const struct frame *frames, unsigned count)
{
	int r;

	for (unsigned i = 0; i < count; i++) {
		if (frames[i].size > FRAME_SIZE_MAX)
			return -EMSGSIZE;
	}
	if (!vhost_link_running(l) || (l->blocked && (count > 1 || !may_wait(l, frames))))
		return refuse(l);
	r = count == 1 ? send_one(l, frames) : send_burst(l, frames, count);
	if (r != -EIO)
		return r;
	vhost_link_broken(l, VHOST_NET_QUEUE_TO_GUEST);
	return -EPIPE;
}

void vhost_out_flush(struct link_vhost_listener *l)
{
	if (l->to_guest)
		virtq_notify(l->to_guest);
}

void vhost_out_init(struct link_vhost_listener *l)
{
	list_init(&l->backlog);
	l->room_task = (struct loop_task){.fn = on_room_task, .arg = l};
}

void vhost_out_done(struct link_vhost_listener *l)
{
	loop_task_cancel(l->loop, &l->room_task);
	vhost_out_clear(l);
}
