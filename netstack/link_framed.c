/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Length-prefixed streams as links: see link_framed.h, and link.h for the contract.
 *
 * Receiving: one read takes as many frames as the socket has; they are delivered where they lie
 * (rx_buffer.h).
 *
 * Sending: everything that waits is in one buffer, `out`: small frames held back until flush()
 * while the descriptor takes data, and what it didn't take while it doesn't.
 */
#include "netstack/link_framed.h"
#include "netstack/link_round.h"

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

/* Of the longest prefix. */
#define PREFIX_MAX 4

/* A buffer holds some 170 frames of 1500 bytes; reading goes on in one while it has half of that.
 */
#define IN_SIZE     (256 * 1024)
#define IN_ROOM_MIN (128 * 1024)
/* Buffers that may be in use per guest; beyond, frames are delivered unowned, to be copied by who
 * keeps them. */
#define IN_COUNT_MAX 256
/* Reads in a row before the others get their turn. One may bring 5000 frames, more than a round
 * takes. */
#define READS_PER_ROUND 4

/* Frames up to this size are copied and held back; larger ones are written from where they are. */
#define SMALL_FRAME_MAX 2048
/* What is held back until a flush. */
#define BATCH_MAX (64 * 1024)
/* What one send() may bring: a super-frame cut into the smallest segments. */
#define SEND_BYTES_MAX (FRAME_SIZE_MAX + OFFLOAD_SEGMENTS_MAX * (FRAME_LINEAR_SIZE + PREFIX_MAX))
#define OUT_SIZE       (BATCH_MAX + SEND_BYTES_MAX)

#define SOCKET_BUFFER_SIZE (1024 * 1024)

struct link_framed {
	struct link link;
	struct loop *loop;
	enum framing framing;
	unsigned prefix_size;
	int fd;
	int out_fd; /* where frames go; fd itself, or another that is ours too */
	bool is_out_socket;
	struct loop_fd *watch;
	struct loop_fd *out_watch; /* of out_fd where it isn't fd */
	struct loop_task gone_task;
	struct loop_task more_task; /* frames left from the last round, or from before the link */
	const char *gone_reason;    /* set once; the link is dead from then on */
	bool gone_told;

	struct rx_buffer rx;

	uint8_t *out; /* OUT_SIZE bytes, from out_start to out_end in use */
	uint32_t out_start;
	uint32_t out_end;
	bool blocked; /* the socket took less than we had: waiting for LOOP_WRITE */
	bool refused; /* send() said -EAGAIN since */
};

static struct link_framed *framed_of(struct link *link)
{
	return container_of(link, struct link_framed, link);
}

/* Ends the link; the user learns of it from the loop, as we may be inside of a call of its own. */
static void fail(struct link_framed *framed, const char *reason)
{
	if (framed->gone_reason)
		return;
	framed->gone_reason = reason;
	loop_fd_set(framed->watch, 0);
	if (framed->out_watch)
		loop_fd_set(framed->out_watch, 0);
	loop_task_schedule(framed->loop, &framed->gone_task);
}

static void tell_gone(void *arg)
{
	struct link_framed *framed = arg;

	if (framed->gone_told)
		return;
	framed->gone_told = true;
	framed->link.user->gone(framed->link.user_arg, framed->gone_reason); /* may destroy */
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

/* --- Framing --- */

static uint32_t load_prefix(const struct link_framed *framed, const uint8_t *at)
{
	return framed->framing == FRAMING_LE16 ? (uint32_t)at[0] | (uint32_t)at[1] << 8
					       : load_be32(at);
}

static void store_prefix(const struct link_framed *framed, uint8_t *at, uint32_t size)
{
	if (framed->framing == FRAMING_LE16) {
		at[0] = (uint8_t)size;
		at[1] = (uint8_t)(size >> 8);
	} else {
		store_be32(at, size);
	}
}

/* Whether a peer that speaks this framing may announce such a frame. All that 16 bits can say is
 * possible, and one that is too short for a frame is only skipped. */
static bool is_possible(const struct link_framed *framed, uint32_t size)
{
	return framed->framing == FRAMING_LE16 || (size != 0 && size <= FRAME_SIZE_MAX);
}

/* --- Receiving --- */

static void deliver(struct link_framed *framed, uint8_t *bytes, uint32_t size)
{
	struct iovec iov = {.iov_base = bytes, .iov_len = size};
	struct frame frame = {
		.iov = &iov,
		.iov_count = 1,
		.size = size,
		.buf = framed->rx.buf,
		.csum = FRAME_CSUM_UNKNOWN,
	};

	if (size < ETH_HEADER_SIZE) {
		framed->link.counters.rx_invalid++;
		return;
	}
	framed->link.counters.rx_frames++;
	framed->link.counters.rx_bytes += size;
	framed->link.user->receive(framed->link.user_arg, &frame);
}

static const char not_framed[] = "not QEMU's stream framing: a length of 0 or above 65549";

/* Delivers complete frames, at most *budget, which it lowers. -EAGAIN: there are more; -EBADMSG:
 * the stream makes no sense from here on. */
static int deliver_frames(struct link_framed *framed, struct link_round *round)
{
	uint8_t *data = rx_buffer_data(&framed->rx);
	uint32_t prefix_size = framed->prefix_size;

	while (framed->rx.end - framed->rx.start >= prefix_size) {
		uint32_t size = load_prefix(framed, data + framed->rx.start);

		if (!is_possible(framed, size)) {
			framed->link.counters.rx_invalid++;
			return -EBADMSG;
		}
		if (framed->rx.end - framed->rx.start - prefix_size < size)
			break;
		if (!link_round_takes(round))
			return -EAGAIN;
		framed->rx.start += prefix_size + size;
		deliver(framed, data + framed->rx.start - size, size);
		if (framed->gone_reason)
			break; /* a send in the callback found the peer gone */
	}
	return 0;
}

/* Delivers what was read. Returns whether the round goes on. */
static bool deliver_read(struct link_framed *framed, struct link_round *round)
{
	int r = deliver_frames(framed, round);

	if (r == -EAGAIN)
		loop_task_schedule(framed->loop, &framed->more_task);
	else if (r < 0)
		fail(framed, not_framed);
	return r == 0 && !framed->gone_reason;
}

/* One read, and the frames in it. Returns whether there may be more to read in this round. */
static bool read_once(struct link_framed *framed, struct link_round *round)
{
	uint32_t room;
	ssize_t got;

	static_assert(IN_SIZE - IN_ROOM_MIN > FRAME_SIZE_MAX + PREFIX_MAX, "a frame must fit");
	static_assert(IN_SIZE - IN_ROOM_MIN >= LINK_FRAMED_EARLY_MAX, "early bytes must fit");
	if (rx_buffer_make_room(&framed->rx, IN_ROOM_MIN) < 0) {
		fail(framed, "out of memory");
		return false;
	}
	room = IN_SIZE - framed->rx.end;
	do {
		got = read(framed->fd, rx_buffer_data(&framed->rx) + framed->rx.end, room);
	} while (got < 0 && errno == EINTR);
	if (got < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			fail(framed, reason_of(errno));
		return false;
	}
	if (got == 0) {
		fail(framed, framed->rx.end > framed->rx.start
				     ? "closed by the guest's side in the middle of a frame"
				     : "closed by the guest's side");
		return false;
	}
	framed->rx.end += (uint32_t)got;
	return deliver_read(framed, round) && (uint32_t)got == room;
}

/* What the last round left comes first: the buffer has no room for more before it is gone. */
static void run_round(struct link_framed *framed)
{
	struct link_round round = link_round_begin();
	bool more = deliver_read(framed, &round);

	for (int i = 0; i < READS_PER_ROUND && more; i++)
		more = read_once(framed, &round);
	framed->link.user->batch_end(framed->link.user_arg);
}

/* Where frames are left, they come at the end of this round of the loop, and only then. */
static void on_readable(struct link_framed *framed)
{
	if (!loop_task_pending(&framed->more_task))
		run_round(framed);
}

/* --- Sending --- */

static void set_blocked(struct link_framed *framed, bool blocked)
{
	if (framed->blocked == blocked)
		return;
	framed->blocked = blocked;
	if (framed->out_watch)
		loop_fd_set(framed->out_watch, blocked ? LOOP_WRITE : 0);
	else
		loop_fd_set(framed->watch, blocked ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* Returns how many bytes the descriptor took, 0 when it is full, or -errno when it is lost. */
static ssize_t write_iov(const struct link_framed *framed, struct iovec *iov, unsigned count)
{
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t sent;

	do {
		sent = framed->is_out_socket ? sendmsg(framed->out_fd, &message, MSG_NOSIGNAL)
					     : writev(framed->out_fd, iov, (int)count);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	/* EFAULT: a frame lay in the memory of a guest whose VMM took that away. A copy can be made
	 * of it, as of what the socket has no room for (virtio/guest_mem.h). */
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == EFAULT
		       ? 0
		       : -errno;
}

static void write_out(struct link_framed *framed)
{
	struct iovec iov = {
		.iov_base = framed->out + framed->out_start,
		.iov_len = framed->out_end - framed->out_start,
	};
	ssize_t sent;

	if (!iov.iov_len)
		return;
	sent = write_iov(framed, &iov, 1);
	if (sent < 0) {
		fail(framed, reason_of((int)-sent));
		return;
	}
	framed->out_start += (uint32_t)sent;
	if (framed->out_start == framed->out_end)
		framed->out_start = framed->out_end = 0;
	set_blocked(framed, framed->out_end != 0);
}

static void put_out(struct link_framed *framed, const void *bytes, size_t size)
{
	assert(size <= OUT_SIZE - framed->out_end);
	memcpy(framed->out + framed->out_end, bytes, size);
	framed->out_end += (uint32_t)size;
}

/* Copies what lies behind the first `skip` bytes of a vector to `out`. */
static void put_out_rest(struct link_framed *framed, const struct iovec *iov, unsigned count,
			 size_t skip)
{
	for (unsigned i = 0; i < count; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		put_out(framed, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		skip = 0;
	}
}

static void hold_back(struct link_framed *framed, const struct frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t prefix[PREFIX_MAX];

		store_prefix(framed, prefix, frames[i].size);
		put_out(framed, prefix, framed->prefix_size);
		put_out_rest(framed, frames[i].iov, frames[i].iov_count, 0);
	}
}

/* The vector of one write: what was held back, then each frame behind its length. */
struct vector {
	struct iovec iov[IOV_MAX];
	uint8_t prefixes[IOV_MAX / 2][PREFIX_MAX];
	unsigned count;
};

/* Adds a frame; false when it doesn't fit. */
static bool vector_add(const struct link_framed *framed, struct vector *vector, unsigned index,
		       const struct frame *frame)
{
	if (index >= IOV_MAX / 2 || vector->count + 1 + frame->iov_count > IOV_MAX)
		return false;
	store_prefix(framed, vector->prefixes[index], frame->size);
	vector->iov[vector->count++] = (struct iovec){vector->prefixes[index], framed->prefix_size};
	memcpy(vector->iov + vector->count, frame->iov, frame->iov_count * sizeof(*frame->iov));
	vector->count += frame->iov_count;
	return true;
}

/* Writes what was held back and as many of the frames as one vector takes. Returns how many those
 * are, or -errno. What the socket didn't take is in `out` afterwards. */
static int write_some(struct link_framed *framed, const struct frame *frames, unsigned count)
{
	struct vector vector;
	uint32_t held = framed->out_end - framed->out_start;
	unsigned first = held ? 1 : 0, added = 0;
	ssize_t sent;

	vector.count = 0;
	if (held)
		vector.iov[vector.count++] = (struct iovec){framed->out + framed->out_start, held};
	while (added < count && vector_add(framed, &vector, added, &frames[added]))
		added++;
	sent = write_iov(framed, vector.iov, vector.count);
	if (sent < 0)
		return (int)sent;
	if (sent < held) {
		framed->out_start += (uint32_t)sent;
		sent = 0;
	} else {
		framed->out_start = framed->out_end = 0;
		sent -= held;
	}
	put_out_rest(framed, vector.iov + first, vector.count - first, (size_t)sent);
	return (int)added;
}

/* Takes all frames: to the socket as far as it goes, the rest to `out`. */
static int write_frames(struct link_framed *framed, const struct frame *frames, unsigned count)
{
	while (count) {
		int added = write_some(framed, frames, count);

		if (added < 0) {
			fail(framed, reason_of(-added));
			return -EPIPE;
		}
		frames += added;
		count -= (unsigned)added;
		if (framed->out_end) {
			set_blocked(framed, true);
			hold_back(framed, frames, count);
			break;
		}
	}
	return 0;
}

static int framed_send(struct link *link, const struct frame *frames, unsigned count)
{
	struct link_framed *framed = framed_of(link);
	uint64_t bytes = 0, wire_bytes;

	if (framed->gone_reason)
		return -EPIPE;
	for (unsigned i = 0; i < count; i++) {
		if (frames[i].size > link->caps.frame_max)
			return -EMSGSIZE;
		bytes += frames[i].size;
	}
	wire_bytes = bytes + (uint64_t)count * framed->prefix_size;
	if (wire_bytes > SEND_BYTES_MAX)
		return -EMSGSIZE;
	if (framed->blocked) {
		framed->refused = true;
		link->counters.tx_full++;
		return -EAGAIN;
	}
	if (wire_bytes <= SMALL_FRAME_MAX && framed->out_end + wire_bytes <= BATCH_MAX) {
		hold_back(framed, frames, count);
	} else {
		int status = write_frames(framed, frames, count);

		if (status < 0)
			return status;
	}
	link->counters.tx_frames += count;
	link->counters.tx_bytes += bytes;
	return 0;
}

static void framed_flush(struct link *link)
{
	struct link_framed *framed = framed_of(link);

	if (!framed->blocked && !framed->gone_reason)
		write_out(framed);
}

static void on_writable(struct link_framed *framed)
{
	write_out(framed);
	if (framed->blocked || framed->gone_reason || !framed->refused)
		return;
	framed->refused = false;
	framed->link.user->writable(framed->link.user_arg);
}

/* --- Life --- */

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct link_framed *framed = arg;

	(void)fd;
	if ((ready & LOOP_WRITE) && !framed->gone_reason)
		on_writable(framed);
	if ((ready & LOOP_READ) && !framed->gone_reason)
		on_readable(framed);
}

static void on_more(void *arg)
{
	struct link_framed *framed = arg;

	if (!framed->gone_reason)
		run_round(framed);
}

static void framed_destroy(struct link *link)
{
	struct link_framed *framed = framed_of(link);

	loop_task_cancel(framed->loop, &framed->gone_task);
	loop_task_cancel(framed->loop, &framed->more_task);
	loop_fd_free(framed->watch);
	loop_fd_free(framed->out_watch);
	if (framed->out_fd != framed->fd)
		fd_close(&framed->out_fd);
	fd_close(&framed->fd);
	rx_buffer_done(&framed->rx);
	free(framed->out);
	free(framed);
}

static const struct link_ops framed_ops = {
	.kind = "stream",
	.send = framed_send,
	.flush = framed_flush,
	.destroy = framed_destroy,
};

/* Best effort: larger socket buffers mean fewer, larger reads and writes on both sides. Returns
 * whether it is a socket. */
static bool tune_socket(int fd)
{
	int size = SOCKET_BUFFER_SIZE, domain = 0, one = 1;
	socklen_t domain_size = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) < 0)
		return false;
	if (domain != AF_UNIX) {
		/* The kernel sizes TCP's buffers by itself, as long as nobody else does. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		return true;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return true;
}

static int take_early(struct link_framed *framed, const void *early, size_t size)
{
	int status;

	if (size == 0)
		return 0;
	status = rx_buffer_make_room(&framed->rx, IN_ROOM_MIN);
	if (status < 0)
		return status;
	memcpy(rx_buffer_data(&framed->rx), early, size);
	framed->rx.end = (uint32_t)size;
	loop_task_schedule(framed->loop, &framed->more_task);
	return 0;
}

static int framed_start(struct link_framed *framed, const struct link_framed_conf *conf)
{
	int status = conf->early_size > LINK_FRAMED_EARLY_MAX ? -EMSGSIZE : 0;

	if (status == 0)
		status = fd_set_nonblocking(framed->fd);
	if (status == 0 && framed->out_fd != framed->fd)
		status = fd_set_nonblocking(framed->out_fd);
	if (status < 0)
		return status;
	framed->is_out_socket = tune_socket(framed->out_fd);
	framed->out = malloc(OUT_SIZE);
	if (!framed->out)
		return -ENOMEM;
	status = rx_buffer_init(&framed->rx, IN_SIZE, IN_COUNT_MAX);
	if (status == 0)
		status = take_early(framed, conf->early, conf->early_size);
	if (status == 0 && framed->out_fd != framed->fd)
		status = loop_fd_new(framed->loop, framed->out_fd, 0, on_ready, framed,
				     &framed->out_watch);
	if (status < 0)
		return status;
	return loop_fd_new(framed->loop, framed->fd, LOOP_READ, on_ready, framed, &framed->watch);
}

int link_framed_new(struct loop *loop, const struct link_framed_conf *conf, struct link **ret_link)
{
	struct link_framed *framed = calloc(1, sizeof(*framed));
	bool is_le16 = conf->framing == FRAMING_LE16;
	int fd = conf->fd, out_fd = conf->out_fd, status;

	if (!framed) {
		fd_close(&fd);
		fd_close(&out_fd);
		return -ENOMEM;
	}
	framed->link.ops = &framed_ops;
	framed->link.caps = (struct link_caps){
		.gro = true,
		.frame_max = is_le16 ? UINT16_MAX : FRAME_SIZE_MAX,
	};
	snprintf(framed->link.name, sizeof(framed->link.name), "%s", conf->name);
	framed->loop = loop;
	framed->framing = conf->framing;
	framed->prefix_size = is_le16 ? 2 : 4;
	framed->fd = fd;
	framed->out_fd = out_fd < 0 ? fd : out_fd;
	framed->gone_task = (struct loop_task){.fn = tell_gone, .arg = framed};
	framed->more_task = (struct loop_task){.fn = on_more, .arg = framed};
	status = framed_start(framed, conf);
	if (status < 0) {
		framed_destroy(&framed->link);
		return status;
	}
	*ret_link = &framed->link;
	return 0;
}

int link_framed_open(struct loop *loop, int fd, enum framing framing, const void *early,
		     size_t early_size, const char *name, const struct link_sink *sink)
{
	struct link_framed_conf conf = {
		.framing = framing,
		.name = name,
		.fd = fd,
		.out_fd = -1,
		.early = early,
		.early_size = early_size,
	};
	struct link *link;
	int status = link_framed_new(loop, &conf, &link);

	if (status == 0)
		sink->attached(sink->arg, link);
	return status;
}

void link_framed_end(struct link *link, const char *reason)
{
	struct link_framed *framed = framed_of(link);

	fail(framed, reason);
	tell_gone(framed);
}
