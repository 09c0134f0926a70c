/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_vhost: frames from the guest.
 *
 * The guest can change its memory while we look at it, so headers are copied before anyone reads
 * them; of large frames only those. Their payload stays where it is, and goes from there to a host
 * socket; the frame's descriptors are returned when nobody refers to it any more.
 *
 * How much may be held: a driver whose ring is full sleeps until three quarters of what it has
 * there were returned (virtqueue_enable_cb_delayed() in Linux), so what is held must stay well
 * below the last quarter, or one connection whose bytes nobody reads would stop the whole guest.
 * Where the limit is reached the oldest frame is copied to memory of our own. The same happens to
 * all when the queue stops, as the driver then takes its memory back.
 *
 * Descriptors are returned in the order in which they came: those of a frame that is done wait for
 * the ones that are held before it. When we are killed the VMM has nothing but the used index to
 * tell what the driver still waits for, and goes on from there with the next netproxy, or without:
 * a chain returned out of turn would be returned again, which breaks Linux's driver for good, and
 * one that was skipped never.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netstack/link_round.h"
#include "netstack/link_vhost_private.h"

LOG_MODULE("link");

/* Frames up to this size are copied as a whole: that costs less than to hold them, and who keeps
 * small frames copies them anyway. */
#define COPY_MAX         2304
#define COPIES_SIZE      (256 * 1024)
#define COPIES_COUNT_MAX 256
/* Copies start on cache lines. */
#define COPIES_ALIGN 64
/* Of the ring's descriptors, one in so many may be held. */
#define HELD_PART 8
#define SPARE_MAX 64
/* Before the others get their turn. */
#define ROUND_BYTES_MAX (1024 * 1024)

/* --- Guest memory --- */

/* Copies `size` bytes at `offset` of the pieces, which have them. */
static void pieces_read(const struct iovec *pieces, size_t offset, uint8_t *to, size_t size)
{
	for (; size > 0; pieces++) {
		size_t part = pieces->iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		if (part > size)
			part = size;
		memcpy(to, (const uint8_t *)pieces->iov_base + offset, part);
		to += part;
		size -= part;
		offset = 0;
	}
	/* From here on the copy counts: the compiler must not read the source again. */
	__asm__ volatile("" ::: "memory");
}

/* The pieces from `offset` on. Returns their number, or 0 for more than `max`. */
static unsigned pieces_from(const struct virtq_chain *chain, size_t offset, struct iovec *to,
			    unsigned max)
{
	unsigned count = 0;

	for (unsigned i = 0; i < chain->out_count; i++) {
		const struct iovec *piece = &chain->iov[i];

		if (offset >= piece->iov_len) {
			offset -= piece->iov_len;
			continue;
		}
		if (count == max)
			return 0;
		to[count++] = (struct iovec){.iov_base = (uint8_t *)piece->iov_base + offset,
					     .iov_len = piece->iov_len - offset};
		offset = 0;
	}
	return count;
}

/* --- Returning descriptors --- */

static struct vhost_turn *turn_at(struct link_vhost_listener *l, uint16_t turn)
{
	return &l->turns[turn & (l->from_guest->size - 1)];
}

static uint16_t turn_take(struct link_vhost_listener *l, const struct virtq_chain *chain)
{
	*turn_at(l, l->turn_next) = (struct vhost_turn){.head = chain->head, .descs = chain->descs};
	return l->turn_next++;
}

/* The frame isn't in the guest's memory any more. */
static void turn_done(struct link_vhost_listener *l, uint16_t turn)
{
	struct vhost_turn *at = turn_at(l, turn);

	at->done = true;
	l->done_descs += at->descs;
	for (; l->turn_first != l->turn_next; l->turn_first++) {
		at = turn_at(l, l->turn_first);
		if (!at->done)
			return;
		virtq_push(l->from_guest, at->head, 0);
		l->done_descs -= at->descs;
	}
}

void vhost_in_start(struct link_vhost_listener *l)
{
	l->turn_first = l->turn_next = 0;
	l->done_descs = 0;
}

/* --- What is held --- */

/* Lets its descriptors be returned to the driver. */
static void held_return(struct vhost_held *held)
{
	struct link_vhost_listener *l = held->listener;

	held->listener = NULL;
	list_remove(&held->in_held);
	l->held_descs -= turn_at(l, held->turn)->descs;
	if (l->from_guest->broken)
		return;
	turn_done(l, held->turn);
	if (!l->reading)
		loop_task_schedule(l->loop, &l->return_task);
}

static void held_release(struct iobuf *iobuf)
{
	struct vhost_held *held = container_of(iobuf, struct vhost_held, iobuf);
	struct link_vhost_listener *l = held->listener;

	if (l)
		held_return(held);
	if (l && l->spare_count < SPARE_MAX) {
		list_add_head(&l->spare, &held->in_held);
		l->spare_count++;
		return;
	}
	free(held->copy);
	free(held);
}

/* Copies its payload out of the guest's memory and sets all pointers that are held to the copy. */
static void held_copy(struct vhost_held *held)
{
	size_t starts[FRAME_IOV_MAX], size = 0;

	for (unsigned i = 1; i < held->iov_count; i++) {
		starts[i] = size;
		size += held->iov[i].iov_len;
	}
	held->copy = malloc(size);
	if (!held->copy) {
		/* The guest was told that its bytes have arrived: there is no way to go on without
		 * them. */
		log_error("out of memory for what guests have sent");
		abort();
	}
	for (unsigned i = 1; i < held->iov_count; i++)
		memcpy(held->copy + starts[i], held->iov[i].iov_base, held->iov[i].iov_len);
	for (struct iobuf_hold *hold = held->iobuf.holds; hold; hold = hold->next) {
		const uint8_t *piece = held->iov[hold->piece].iov_base;

		if (hold->piece > 0)
			*hold->at = held->copy + starts[hold->piece] +
				    ((uint8_t *)*hold->at - piece);
	}
	for (unsigned i = 1; i < held->iov_count; i++)
		held->iov[i].iov_base = held->copy + starts[i];
	held_return(held);
}

static struct vhost_held *held_get(struct link_vhost_listener *l)
{
	struct vhost_held *held;

	if (list_empty(&l->spare))
		return malloc(sizeof(*held));
	held = container_of(list_first(&l->spare), struct vhost_held, in_held);
	list_remove(&held->in_held);
	l->spare_count--;
	return held;
}

static void held_copy_oldest(struct link_vhost_listener *l)
{
	held_copy(container_of(list_first(&l->held), struct vhost_held, in_held));
}

/* Makes room among what may be held for a chain. */
static bool held_room(struct link_vhost_listener *l, const struct virtq_chain *chain)
{
	unsigned max = l->from_guest->size / HELD_PART;

	if (chain->descs > max)
		return false;
	while (l->held_descs + chain->descs > max)
		held_copy_oldest(l);
	return true;
}

/* The driver misses those, too, that wait for one that is held. They are looked at when it is to
 * be shown what was returned, since most that is held in a batch is let go at its end. */
static void held_trim(struct link_vhost_listener *l)
{
	while (!list_empty(&l->held) &&
	       l->held_descs + l->done_descs > l->from_guest->size / HELD_PART)
		held_copy_oldest(l);
}

/* --- Delivery --- */

/* `frame` has its iov and size. */
static void deliver(struct link_vhost_listener *l, const uint8_t *header, struct frame *frame)
{
	struct link *link = &l->link->link;

	if (vhost_net_decode(header, l->features, frame) < 0) {
		link->counters.rx_invalid++;
		return;
	}
	link->counters.rx_frames++;
	link->counters.rx_bytes += frame->size;
	link->user->receive(link->user_arg, frame);
}

/* Delivers a frame whose descriptors can be returned at once. */
static void deliver_copy(struct link_vhost_listener *l, const uint8_t *header,
			 const struct virtq_chain *chain)
{
	struct rx_buffer *rx = &l->copies;
	uint32_t size = (uint32_t)(chain->out_size - l->header_size);
	struct iovec iov = {.iov_len = size};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = size};
	uint16_t turn = turn_take(l, chain);

	if (rx_buffer_make_room(rx, size) < 0) {
		turn_done(l, turn);
		vhost_link_fail(l, "out of memory");
		return;
	}
	iov.iov_base = rx_buffer_data(rx) + rx->end;
	frame.buf = rx->buf;
	rx->end += (size + COPIES_ALIGN - 1) / COPIES_ALIGN * COPIES_ALIGN;
	if (rx->end > rx->size)
		rx->end = rx->size;
	rx->start = rx->end;
	pieces_read(chain->iov, l->header_size, iov.iov_base, size);
	turn_done(l, turn);
	deliver(l, header, &frame);
}

/* Delivers a frame where it lies, but for its first bytes. */
static void deliver_held(struct link_vhost_listener *l, const uint8_t *header,
			 const struct virtq_chain *chain, struct vhost_held *held)
{
	struct frame frame = {
		.iov = held->iov,
		.size = (uint32_t)(chain->out_size - l->header_size),
		.buf = &held->iobuf,
	};

	held->iobuf = (struct iobuf){.refs = 1, .release = held_release};
	held->listener = l;
	held->turn = turn_take(l, chain);
	held->copy = NULL;
	list_add_tail(&l->held, &held->in_held);
	l->held_descs += chain->descs;
	pieces_read(chain->iov, l->header_size, held->linear, FRAME_LINEAR_SIZE);
	held->iov[0] = (struct iovec){.iov_base = held->linear, .iov_len = FRAME_LINEAR_SIZE};
	frame.iov_count = (uint16_t)held->iov_count;
	deliver(l, header, &frame);
	iobuf_unref(&held->iobuf);
}

/* Whether the frame can be delivered where it lies; *ret_held then has the pieces behind its
 * headers. */
static bool hold(struct link_vhost_listener *l, const struct virtq_chain *chain,
		 struct vhost_held **ret_held)
{
	struct vhost_held *held;
	unsigned count;

	if (!held_room(l, chain))
		return false;
	held = held_get(l);
	if (!held)
		return false;
	count = pieces_from(chain, l->header_size + (size_t)FRAME_LINEAR_SIZE, held->iov + 1,
			    FRAME_IOV_MAX - 1);
	if (!count) {
		free(held);
		return false;
	}
	held->iov_count = 1 + count;
	*ret_held = held;
	return true;
}

static void receive_chain(struct link_vhost_listener *l, const struct virtq_chain *chain)
{
	uint8_t header[VHOST_NET_HEADER_MAX] = {0};
	struct vhost_held *held;

	if (chain->out_size < l->header_size + ETH_HEADER_SIZE ||
	    chain->out_size > l->header_size + FRAME_SIZE_MAX) {
		l->link->link.counters.rx_invalid++;
		turn_done(l, turn_take(l, chain));
		return;
	}
	pieces_read(chain->iov, 0, header, l->header_size);
	if (chain->out_size - l->header_size > COPY_MAX && hold(l, chain, &held))
		deliver_held(l, header, chain, held);
	else
		deliver_copy(l, header, chain);
}

/* Receives up to a round's worth. Returns whether there may be more. */
static bool receive_round(struct link_vhost_listener *l)
{
	struct virtq *vq = l->from_guest;
	struct virtq_chain chain = {.iov = l->pieces, .iov_max = VHOST_CHAIN_PIECES_MAX};
	struct link_round round = link_round_begin();
	size_t bytes = 0;

	while (bytes < ROUND_BYTES_MAX && link_round_takes(&round)) {
		int r = virtq_pop(vq, &chain);

		if (r == 0 && virtq_kicks_on(vq)) {
			virtq_kicks_off(vq);
			r = virtq_pop(vq, &chain);
		}
		if (r == 0)
			return false;
		if (r < 0) {
			vhost_link_broken(l, VHOST_NET_QUEUE_FROM_GUEST);
			return false;
		}
		bytes += chain.out_size;
		receive_chain(l, &chain);
		if (!l->link)
			return false;
	}
	return true;
}

void vhost_in_work(struct link_vhost_listener *l)
{
	if (!vhost_link_running(l))
		return;
	virtq_kicks_off(l->from_guest);
	l->reading = true;
	if (receive_round(l))
		loop_task_schedule(l->loop, &l->in_task);
	/* What the batch's end lets go is returned with it. */
	if (l->link)
		l->link->link.user->batch_end(l->link->link.user_arg);
	held_trim(l);
	l->reading = false;
	virtq_notify(l->from_guest);
}

static void on_in_task(void *arg)
{
	vhost_in_work(arg);
}

static void on_return_task(void *arg)
{
	struct link_vhost_listener *l = arg;

	if (l->from_guest)
		virtq_notify(l->from_guest);
}

void vhost_in_release(struct link_vhost_listener *l)
{
	while (!list_empty(&l->held))
		held_copy_oldest(l);
}

int vhost_in_init(struct link_vhost_listener *l)
{
	list_init(&l->held);
	list_init(&l->spare);
	l->in_task = (struct loop_task){.fn = on_in_task, .arg = l};
	l->return_task = (struct loop_task){.fn = on_return_task, .arg = l};
	return rx_buffer_init(&l->copies, COPIES_SIZE, COPIES_COUNT_MAX);
}

void vhost_in_done(struct link_vhost_listener *l)
{
	loop_task_cancel(l->loop, &l->in_task);
	loop_task_cancel(l->loop, &l->return_task);
	while (!list_empty(&l->spare)) {
		struct list *node = list_first(&l->spare);

		list_remove(node);
		free(container_of(node, struct vhost_held, in_held));
	}
	rx_buffer_done(&l->copies);
}
