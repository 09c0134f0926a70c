/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as messages: see packet_io.h. */
#include "netstack/packet_io.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/offload.h"

/* One byte more than a frame may have: a longer message is recognised. Slots start on cache lines.
 */
#define SLOT_SIZE ((FRAME_SIZE_MAX + 1 + 63) / 64 * 64)

/* Frames up to this size are copied behind each other into buffers that others may keep, so that a
 * small one doesn't pin a large slot; larger ones are lent where they were read. */
#define PACKED_MAX   4096
#define IN_SIZE      (256 * 1024)
#define IN_COUNT_MAX 256
#define IN_ALIGN     64

/* Frames up to this size are copied and held back until a flush, as long as no more wait. */
#define SMALL_FRAME_MAX 2048
#define HELD_BATCH_MAX  (64 * 1024)
#define SIZE_BYTES      sizeof(uint32_t)
/* What one send() may bring: a super-frame cut into the smallest segments. */
#define SEND_BYTES_MAX (FRAME_SIZE_MAX + OFFLOAD_SEGMENTS_MAX * (FRAME_LINEAR_SIZE + SIZE_BYTES))
#define HELD_SIZE      (HELD_BATCH_MAX + SEND_BYTES_MAX)

#define SOCKET_BUFFER_SIZE (1024 * 1024)

/* ---- In ---- */

int packet_in_init(struct packet_in *in)
{
	*in = (struct packet_in){0};
	in->slots = malloc((size_t)PACKET_BATCH * SLOT_SIZE);
	if (!in->slots)
		return -ENOMEM;
	for (unsigned i = 0; i < PACKET_BATCH; i++)
		in->iov[i] = (struct iovec){in->slots + (size_t)i * SLOT_SIZE, FRAME_SIZE_MAX + 1};
	return rx_buffer_init(&in->rx, IN_SIZE, IN_COUNT_MAX);
}

void packet_in_done(struct packet_in *in)
{
	rx_buffer_done(&in->rx);
	free(in->slots);
	*in = (struct packet_in){0};
}

int packet_in_read(struct packet_in *in, int fd)
{
	int got;

	for (unsigned i = 0; i < PACKET_BATCH; i++) {
		struct msghdr *message = &in->messages[i].msg_hdr;

		*message = (struct msghdr){.msg_iov = &in->iov[i],
					   .msg_iovlen = 1,
					   .msg_name = &in->names[i],
					   .msg_namelen = sizeof(in->names[i])};
	}
	do {
		got = recvmmsg(fd, in->messages, PACKET_BATCH, MSG_DONTWAIT, NULL);
	} while (got < 0 && errno == EINTR);
	in->count = got > 0 ? (unsigned)got : 0;
	if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		return -errno;
	return (int)in->count;
}

uint32_t packet_in_size(const struct packet_in *in, unsigned index)
{
	assert(index < in->count);
	return in->messages[index].msg_len;
}

struct frame packet_in_frame(struct packet_in *in, unsigned index, struct iovec *iov)
{
	uint32_t size = packet_in_size(in, index);
	uint32_t room = (size + IN_ALIGN - 1) / IN_ALIGN * IN_ALIGN;
	struct frame frame = {.iov = iov, .iov_count = 1, .size = size};

	*iov = (struct iovec){in->iov[index].iov_base, size};
	if (size <= PACKED_MAX && rx_buffer_make_room(&in->rx, room) == 0) {
		uint8_t *to = rx_buffer_data(&in->rx) + in->rx.end;

		memcpy(to, iov->iov_base, size);
		in->rx.end += room;
		in->rx.start = in->rx.end;
		iov->iov_base = to;
		frame.buf = in->rx.buf;
	}
	return frame;
}

/* ---- Out ---- */

int packet_out_init(struct packet_out *out, int fd)
{
	*out = (struct packet_out){.fd = fd, .held = malloc(HELD_SIZE)};
	return out->held ? 0 : -ENOMEM;
}

void packet_out_done(struct packet_out *out)
{
	free(out->held);
	*out = (struct packet_out){.fd = -1};
}

/* Whether an error is of this message only: too large, or no memory for it just now, or the memory
 * that it lies in was taken away (virtio/guest_mem.h). */
static bool is_messages_own(int error)
{
	return error == EMSGSIZE || error == ENOBUFS || error == ENOMEM || error == EINVAL ||
	       error == EFAULT;
}

/* Offers messages to the socket, whose vectors are set. Returns how many are done with, sent or
 * refused for good; -EAGAIN when the socket is full; or -errno when the peer has gone. */
static int offer(struct packet_out *out, struct link *link, struct mmsghdr *messages,
		 unsigned count)
{
	int sent;

	for (unsigned i = 0; i < count; i++) {
		messages[i].msg_hdr.msg_name = (void *)(uintptr_t)out->to;
		messages[i].msg_hdr.msg_namelen = out->to ? out->to_size : 0;
	}
	do {
		sent = sendmmsg(out->fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (is_messages_own(errno)) {
		link->counters.tx_dropped++;
		return 1;
	}
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static uint32_t held_size(const struct packet_out *out, uint32_t at)
{
	uint32_t size;

	memcpy(&size, out->held + at, SIZE_BYTES);
	return size;
}

/* Sends what is held. Returns 0 when nothing is left, -EAGAIN, or -errno when the peer has gone. */
static int send_held(struct packet_out *out, struct link *link)
{
	while (out->held_start < out->held_end) {
		struct mmsghdr messages[PACKET_BATCH] = {0};
		struct iovec iov[PACKET_BATCH];
		uint32_t at = out->held_start;
		unsigned count = 0;
		int done;

		for (; at < out->held_end && count < PACKET_BATCH; count++) {
			uint32_t size = held_size(out, at);

			iov[count] = (struct iovec){out->held + at + SIZE_BYTES, size};
			messages[count].msg_hdr.msg_iov = &iov[count];
			messages[count].msg_hdr.msg_iovlen = 1;
			at += (uint32_t)SIZE_BYTES + size;
		}
		done = offer(out, link, messages, count);
		if (done < 0)
			return done;
		for (int i = 0; i < done; i++)
			out->held_start += (uint32_t)SIZE_BYTES + held_size(out, out->held_start);
	}
	out->held_start = out->held_end = 0;
	return 0;
}

static void hold(struct packet_out *out, const struct frame *frame)
{
	assert(SIZE_BYTES + frame->size <= HELD_SIZE - out->held_end);
	memcpy(out->held + out->held_end, &frame->size, SIZE_BYTES);
	out->held_end += (uint32_t)SIZE_BYTES;
	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(out->held + out->held_end, frame->iov[i].iov_base, frame->iov[i].iov_len);
		out->held_end += (uint32_t)frame->iov[i].iov_len;
	}
}

/* Sends frames from where they are; what the socket doesn't take is held. Returns 0, -EAGAIN when
 * it took none, or -errno when the peer has gone. */
static int send_frames(struct packet_out *out, struct link *link, const struct frame *frames,
		       unsigned count)
{
	unsigned taken = 0;

	while (taken < count) {
		struct mmsghdr messages[PACKET_BATCH] = {0};
		unsigned batch = count - taken < PACKET_BATCH ? count - taken : PACKET_BATCH;
		int done;

		for (unsigned i = 0; i < batch; i++) {
			const struct frame *frame = &frames[taken + i];

			messages[i].msg_hdr.msg_iov = (struct iovec *)(uintptr_t)frame->iov;
			messages[i].msg_hdr.msg_iovlen = frame->iov_count;
		}
		done = offer(out, link, messages, batch);
		if (done < 0 && (done != -EAGAIN || !taken))
			return done;
		if (done < 0)
			break;
		taken += (unsigned)done;
	}
	out->blocked = taken < count;
	for (; taken < count; taken++)
		hold(out, &frames[taken]);
	return 0;
}

static int refuse(struct packet_out *out, struct link *link)
{
	out->blocked = true;
	out->refused = true;
	link->counters.tx_full++;
	return -EAGAIN;
}

int packet_out_send(struct packet_out *out, struct link *link, const struct frame *frames,
		    unsigned count)
{
	uint64_t bytes = 0, held_bytes;
	int status = 0;

	static_assert(FRAME_IOV_MAX <= IOV_MAX, "a frame is one message");
	for (unsigned i = 0; i < count; i++) {
		if (frames[i].size > link->caps.frame_max)
			return -EMSGSIZE;
		bytes += frames[i].size;
	}
	held_bytes = bytes + count * SIZE_BYTES;
	if (held_bytes > SEND_BYTES_MAX)
		return -EMSGSIZE;
	if (out->blocked)
		return refuse(out, link);
	if (held_bytes <= SMALL_FRAME_MAX && out->held_end + held_bytes <= HELD_BATCH_MAX) {
		for (unsigned i = 0; i < count; i++)
			hold(out, &frames[i]);
	} else {
		status = send_held(out, link);
		if (status == 0)
			status = send_frames(out, link, frames, count);
		if (status == -EAGAIN)
			return refuse(out, link);
	}
	if (status < 0)
		return status;
	link->counters.tx_frames += count;
	link->counters.tx_bytes += bytes;
	return 0;
}

int packet_out_retry(struct packet_out *out, struct link *link)
{
	int status = send_held(out, link);

	out->blocked = status == -EAGAIN;
	return out->blocked ? 0 : status;
}

int packet_out_flush(struct packet_out *out, struct link *link)
{
	return out->blocked ? 0 : packet_out_retry(out, link);
}

bool packet_out_tell(struct packet_out *out)
{
	if (out->blocked || !out->refused)
		return false;
	out->refused = false;
	return true;
}

const char *packet_gone_reason(int error)
{
	switch (error) {
	case EPIPE:
	case ECONNRESET:
	case ECONNREFUSED:
	case ENOTCONN:
	case ENOENT:
	case EPERM: /* it is connected to another socket by now */
		return "closed by the guest's side";
	default:
		return "the socket failed";
	}
}

void packet_tune_socket(int fd)
{
	int size = SOCKET_BUFFER_SIZE;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}
