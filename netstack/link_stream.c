/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's length-prefixed stream as a link: see link_stream.h, and link.h for the contract.
 *
 * Receiving: one read takes as many frames as the socket has; they are delivered where they lie
 * (rx_buffer.h).
 *
 * Sending: everything that waits is in one buffer, `out`: small frames held back until flush()
 * while the socket takes data, and what the socket didn't take while it doesn't.
 */
#include "netstack/link_stream.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/sock.h"
#include "netstack/bytes.h"
#include "netstack/offload.h"
#include "netstack/rx_buffer.h"

#define PREFIX_SIZE 4

/* A buffer holds some 170 frames of 1500 bytes; reading goes on in one while it has half of that.
 */
#define IN_SIZE     (256 * 1024)
#define IN_ROOM_MIN (128 * 1024)
/* Buffers that may be in use per guest; beyond, frames are delivered unowned, to be copied by who
 * keeps them. */
#define IN_COUNT_MAX 256
/* Reads in a row before the others get their turn. */
#define READS_PER_ROUND 4

/* Frames up to this size are copied and held back; larger ones are written from where they are. */
#define SMALL_FRAME_MAX 2048
/* What is held back until a flush. */
#define BATCH_MAX (64 * 1024)
/* What one send() may bring: a super-frame cut into the smallest segments. */
#define SEND_BYTES_MAX (FRAME_SIZE_MAX + OFFLOAD_SEGMENTS_MAX * (FRAME_LINEAR_SIZE + PREFIX_SIZE))
#define OUT_SIZE       (BATCH_MAX + SEND_BYTES_MAX)

#define SOCKET_BUFFER_SIZE (1024 * 1024)

struct link_stream {
	struct link link;
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct loop_task gone_task;
	const char *gone_reason; /* set once; the link is dead from then on */
	bool gone_told;

	struct rx_buffer rx;

	uint8_t *out; /* OUT_SIZE bytes, from out_start to out_end in use */
	uint32_t out_start;
	uint32_t out_end;
	bool blocked; /* the socket took less than we had: waiting for LOOP_WRITE */
	bool refused; /* send() said -EAGAIN since */
};

static struct link_stream *stream_of(struct link *link)
{
	return container_of(link, struct link_stream, link);
}

/* Ends the link; the user learns of it from the loop, as we may be inside of a call of its own. */
static void fail(struct link_stream *stream, const char *reason)
{
	if (stream->gone_reason)
		return;
	stream->gone_reason = reason;
	loop_fd_set(stream->watch, 0);
	loop_task_schedule(stream->loop, &stream->gone_task);
}

static void tell_gone(void *arg)
{
	struct link_stream *stream = arg;

	if (stream->gone_told)
		return;
	stream->gone_told = true;
	stream->link.user->gone(stream->link.user_arg, stream->gone_reason); /* may destroy */
}

static const char *reason_of(int error)
{
	switch (error) {
	case EPIPE:
	case ECONNRESET:
		return "closed by the guest's side";
	case ETIMEDOUT:
		return "the connection timed out";
	default:
		return "the socket failed";
	}
}

/* --- Receiving --- */

static void deliver(struct link_stream *stream, uint8_t *bytes, uint32_t size)
{
	struct iovec iov = {.iov_base = bytes, .iov_len = size};
	struct frame frame = {
		.iov = &iov,
		.iov_count = 1,
		.size = size,
		.buf = stream->rx.buf,
		.csum = FRAME_CSUM_UNKNOWN,
	};

	if (size < ETH_HEADER_SIZE) {
		stream->link.counters.rx_invalid++;
		return;
	}
	stream->link.counters.rx_frames++;
	stream->link.counters.rx_bytes += size;
	stream->link.user->receive(stream->link.user_arg, &frame);
}

/* Delivers all complete frames. -EBADMSG: the stream makes no sense from here on. */
static int deliver_frames(struct link_stream *stream)
{
	uint8_t *data = rx_buffer_data(&stream->rx);

	while (stream->rx.end - stream->rx.start >= PREFIX_SIZE) {
		uint32_t size = load_be32(data + stream->rx.start);

		if (size == 0 || size > FRAME_SIZE_MAX) {
			stream->link.counters.rx_invalid++;
			return -EBADMSG;
		}
		if (stream->rx.end - stream->rx.start - PREFIX_SIZE < size)
			break;
		stream->rx.start += PREFIX_SIZE + size;
		deliver(stream, data + stream->rx.start - size, size);
		if (stream->gone_reason)
			break; /* a send in the callback found the peer gone */
	}
	return 0;
}

/* One read, and the frames in it. Returns whether there may be more to read. */
static bool read_once(struct link_stream *stream)
{
	uint32_t room;
	ssize_t got;

	static_assert(IN_SIZE - IN_ROOM_MIN > FRAME_SIZE_MAX + PREFIX_SIZE, "a frame must fit");
	if (rx_buffer_make_room(&stream->rx, IN_ROOM_MIN) < 0) {
		fail(stream, "out of memory");
		return false;
	}
	room = IN_SIZE - stream->rx.end;
	do {
		got = read(stream->fd, rx_buffer_data(&stream->rx) + stream->rx.end, room);
	} while (got < 0 && errno == EINTR);
	if (got < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			fail(stream, reason_of(errno));
		return false;
	}
	if (got == 0) {
		fail(stream, stream->rx.end > stream->rx.start
				     ? "closed by the guest's side in the middle of a frame"
				     : "closed by the guest's side");
		return false;
	}
	stream->rx.end += (uint32_t)got;
	if (deliver_frames(stream) < 0)
		fail(stream, "not QEMU's stream framing: a length of 0 or above 65549");
	return (uint32_t)got == room && !stream->gone_reason;
}

static void on_readable(struct link_stream *stream)
{
	for (int i = 0; i < READS_PER_ROUND; i++) {
		if (!read_once(stream))
			break;
	}
	stream->link.user->batch_end(stream->link.user_arg);
}

/* --- Sending --- */

static void set_blocked(struct link_stream *stream, bool blocked)
{
	if (stream->blocked == blocked)
		return;
	stream->blocked = blocked;
	loop_fd_set(stream->watch, blocked ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* Returns how many bytes the socket took, 0 when it is full, or -errno when it is lost. */
static ssize_t write_iov(int fd, struct iovec *iov, unsigned count)
{
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t sent;

	do {
		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -errno;
}

static void write_out(struct link_stream *stream)
{
	struct iovec iov = {
		.iov_base = stream->out + stream->out_start,
		.iov_len = stream->out_end - stream->out_start,
	};
	ssize_t sent;

	if (!iov.iov_len)
		return;
	sent = write_iov(stream->fd, &iov, 1);
	if (sent < 0) {
		fail(stream, reason_of((int)-sent));
		return;
	}
	stream->out_start += (uint32_t)sent;
	if (stream->out_start == stream->out_end)
		stream->out_start = stream->out_end = 0;
	set_blocked(stream, stream->out_end != 0);
}

static void put_out(struct link_stream *stream, const void *bytes, size_t size)
{
	assert(size <= OUT_SIZE - stream->out_end);
	memcpy(stream->out + stream->out_end, bytes, size);
	stream->out_end += (uint32_t)size;
}

/* Copies what lies behind the first `skip` bytes of a vector to `out`. */
static void put_out_rest(struct link_stream *stream, const struct iovec *iov, unsigned count,
			 size_t skip)
{
	for (unsigned i = 0; i < count; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		put_out(stream, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		skip = 0;
	}
}

static void hold_back(struct link_stream *stream, const struct frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t prefix[PREFIX_SIZE];

		store_be32(prefix, frames[i].size);
		put_out(stream, prefix, PREFIX_SIZE);
		put_out_rest(stream, frames[i].iov, frames[i].iov_count, 0);
	}
}

/* The vector of one write: what was held back, then each frame behind its length. */
struct vector {
	struct iovec iov[IOV_MAX];
	uint8_t prefixes[IOV_MAX / 2][PREFIX_SIZE];
	unsigned count;
};

/* Adds a frame; false when it doesn't fit. */
static bool vector_add(struct vector *vector, unsigned index, const struct frame *frame)
{
	if (index >= IOV_MAX / 2 || vector->count + 1 + frame->iov_count > IOV_MAX)
		return false;
	store_be32(vector->prefixes[index], frame->size);
	vector->iov[vector->count++] = (struct iovec){vector->prefixes[index], PREFIX_SIZE};
	memcpy(vector->iov + vector->count, frame->iov, frame->iov_count * sizeof(*frame->iov));
	vector->count += frame->iov_count;
	return true;
}

/* Writes what was held back and as many of the frames as one vector takes. Returns how many those
 * are, or -errno. What the socket didn't take is in `out` afterwards. */
static int write_some(struct link_stream *stream, const struct frame *frames, unsigned count)
{
	struct vector vector;
	uint32_t held = stream->out_end - stream->out_start;
	unsigned first = held ? 1 : 0, added = 0;
	ssize_t sent;

	vector.count = 0;
	if (held)
		vector.iov[vector.count++] = (struct iovec){stream->out + stream->out_start, held};
	while (added < count && vector_add(&vector, added, &frames[added]))
		added++;
	sent = write_iov(stream->fd, vector.iov, vector.count);
	if (sent < 0)
		return (int)sent;
	if (sent < held) {
		stream->out_start += (uint32_t)sent;
		sent = 0;
	} else {
		stream->out_start = stream->out_end = 0;
		sent -= held;
	}
	put_out_rest(stream, vector.iov + first, vector.count - first, (size_t)sent);
	return (int)added;
}

/* Takes all frames: to the socket as far as it goes, the rest to `out`. */
static int write_frames(struct link_stream *stream, const struct frame *frames, unsigned count)
{
	while (count) {
		int added = write_some(stream, frames, count);

		if (added < 0) {
			fail(stream, reason_of(-added));
			return -EPIPE;
		}
		frames += added;
		count -= (unsigned)added;
		if (stream->out_end) {
			set_blocked(stream, true);
			hold_back(stream, frames, count);
			break;
		}
	}
	return 0;
}

static int stream_send(struct link *link, const struct frame *frames, unsigned count)
{
	struct link_stream *stream = stream_of(link);
	uint64_t bytes = 0, wire_bytes;

	if (stream->gone_reason)
		return -EPIPE;
	for (unsigned i = 0; i < count; i++) {
		if (frames[i].size > link->caps.frame_max)
			return -EMSGSIZE;
		bytes += frames[i].size;
	}
	wire_bytes = bytes + (uint64_t)count * PREFIX_SIZE;
	if (wire_bytes > SEND_BYTES_MAX)
		return -EMSGSIZE;
	if (stream->blocked) {
		stream->refused = true;
		link->counters.tx_full++;
		return -EAGAIN;
	}
	if (wire_bytes <= SMALL_FRAME_MAX && stream->out_end + wire_bytes <= BATCH_MAX) {
		hold_back(stream, frames, count);
	} else {
		int status = write_frames(stream, frames, count);

		if (status < 0)
			return status;
	}
	link->counters.tx_frames += count;
	link->counters.tx_bytes += bytes;
	return 0;
}

static void stream_flush(struct link *link)
{
	struct link_stream *stream = stream_of(link);

	if (!stream->blocked && !stream->gone_reason)
		write_out(stream);
}

static void on_writable(struct link_stream *stream)
{
	write_out(stream);
	if (stream->blocked || stream->gone_reason || !stream->refused)
		return;
	stream->refused = false;
	stream->link.user->writable(stream->link.user_arg);
}

/* --- Life --- */

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct link_stream *stream = arg;

	(void)fd;
	if ((ready & LOOP_WRITE) && !stream->gone_reason)
		on_writable(stream);
	if ((ready & LOOP_READ) && !stream->gone_reason)
		on_readable(stream);
}

static void stream_destroy(struct link *link)
{
	struct link_stream *stream = stream_of(link);

	loop_task_cancel(stream->loop, &stream->gone_task);
	loop_fd_free(stream->watch);
	fd_close(&stream->fd);
	rx_buffer_done(&stream->rx);
	free(stream->out);
	free(stream);
}

static const struct link_ops stream_ops = {
	.kind = "stream",
	.send = stream_send,
	.flush = stream_flush,
	.destroy = stream_destroy,
};

/* Best effort: larger socket buffers mean fewer, larger reads and writes on both sides. */
static void tune_socket(int fd)
{
	int size = SOCKET_BUFFER_SIZE, domain = 0, one = 1;
	socklen_t domain_size = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size);
	if (domain != AF_UNIX) {
		/* The kernel sizes TCP's buffers by itself, as long as nobody else does. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		return;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int stream_start(struct link_stream *stream)
{
	int status = fd_set_nonblocking(stream->fd);

	if (status < 0)
		return status;
	tune_socket(stream->fd);
	stream->out = malloc(OUT_SIZE);
	if (!stream->out)
		return -ENOMEM;
	status = rx_buffer_init(&stream->rx, IN_SIZE, IN_COUNT_MAX);
	if (status < 0)
		return status;
	return loop_fd_new(stream->loop, stream->fd, LOOP_READ, on_ready, stream, &stream->watch);
}

int link_stream_new(struct loop *loop, int fd, const char *name, struct link **ret_link)
{
	struct link_stream *stream = calloc(1, sizeof(*stream));
	int status;

	if (!stream) {
		fd_close(&fd);
		return -ENOMEM;
	}
	stream->link.ops = &stream_ops;
	stream->link.caps = (struct link_caps){.gro = true, .frame_max = FRAME_SIZE_MAX};
	snprintf(stream->link.name, sizeof(stream->link.name), "%s", name);
	stream->loop = loop;
	stream->fd = fd;
	stream->gone_task = (struct loop_task){.fn = tell_gone, .arg = stream};
	status = stream_start(stream);
	if (status < 0) {
		stream_destroy(&stream->link);
		return status;
	}
	*ret_link = &stream->link;
	return 0;
}
