/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap device as a link: see link_tap.h, and link.h for the contract. Opening one is in
 * tap_open.c.
 *
 * One read brings one frame, up to 64 KiB of it. They are packed one behind the other into receive
 * buffers (rx_buffer.h), so that a small frame that somebody keeps does not pin a large buffer of
 * its own.
 */
#include "netstack/link_tap.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"
#include "base/sock.h"
#include "netstack/link_round.h"
#include "netstack/offload.h"
#include "netstack/rx_buffer.h"
#include "netstack/tap_open.h"

/* Since Linux 6.2's headers. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define VNET_SIZE TAP_VNET_HEADER_SIZE
/* Behind the header, one byte more than a frame may have: a longer one is recognised. */
#define READ_SIZE (VNET_SIZE + FRAME_SIZE_MAX + 1)

#define IN_SIZE      (256 * 1024)
#define IN_COUNT_MAX 256
/* Frames start on cache lines. */
#define IN_ALIGN 64
/* Before the others get their turn. */
#define ROUND_BYTES_MAX (1024 * 1024)

struct link_tap {
	struct link link;
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct loop_task gone_task;
	const char *gone_reason; /* set once; the link is dead from then on */
	bool gone_told;
	bool blocked; /* send() said -EAGAIN: waiting for LOOP_WRITE */
	struct rx_buffer rx;
};

static struct link_tap *tap_of(struct link *link)
{
	return container_of(link, struct link_tap, link);
}

/* Ends the link; the user learns of it from the loop, as we may be inside of a call of its own. */
static void fail(struct link_tap *tap, const char *reason)
{
	if (tap->gone_reason)
		return;
	tap->gone_reason = reason;
	loop_fd_set(tap->watch, 0);
	loop_task_schedule(tap->loop, &tap->gone_task);
}

static void tell_gone(void *arg)
{
	struct link_tap *tap = arg;

	if (tap->gone_told)
		return;
	tap->gone_told = true;
	tap->link.user->gone(tap->link.user_arg, tap->gone_reason); /* may destroy */
}

/* What the kernel says of an interface, or a namespace, that was deleted. */
static bool is_removal(int error)
{
	return error == EBADFD || error == ENODEV || error == ENXIO;
}

/* --- Receiving --- */

/* Fills the offload fields of `frame`, whose vector is set, from the header in front of it. */
static int decode_offloads(const uint8_t *header, struct frame *frame)
{
	struct virtio_net_hdr vnet;
	struct frame_headers headers;

	memcpy(&vnet, header, sizeof(vnet));
	if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		frame->csum = FRAME_CSUM_PARTIAL;
		frame->csum_start = vnet.csum_start;
		frame->csum_offset = vnet.csum_offset;
	} else if (vnet.flags & VIRTIO_NET_HDR_F_DATA_VALID) {
		frame->csum = FRAME_CSUM_VALID;
	}
	switch (vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return offload_validate(frame);
	case VIRTIO_NET_HDR_GSO_TCPV4:
		frame->gso = FRAME_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		frame->gso = FRAME_GSO_TCP6;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		frame->gso = FRAME_GSO_UDP;
		break;
	default:
		return -EBADMSG;
	}
	/* hdr_len is only a hint, and Linux gives the linear part's size; the headers themselves
	 * count. */
	if (frame_parse_headers(frame, &headers) < 0)
		return -EBADMSG;
	frame->gso_size = vnet.gso_size;
	frame->header_size = headers.payload_offset;
	return offload_validate(frame);
}

static void deliver(struct link_tap *tap, uint8_t *bytes, uint32_t size)
{
	struct iovec iov = {.iov_base = bytes + VNET_SIZE, .iov_len = size - VNET_SIZE};
	struct frame frame = {
		.iov = &iov,
		.iov_count = 1,
		.size = size - VNET_SIZE,
		.buf = tap->rx.buf,
		.csum = FRAME_CSUM_UNKNOWN,
	};

	if (frame.size < ETH_HEADER_SIZE || frame.size > FRAME_SIZE_MAX ||
	    decode_offloads(bytes, &frame) < 0) {
		tap->link.counters.rx_invalid++;
		return;
	}
	tap->link.counters.rx_frames++;
	tap->link.counters.rx_bytes += frame.size;
	tap->link.user->receive(tap->link.user_arg, &frame);
}

/* One read, one frame. Returns its size with the header, or 0 when there is none. */
static uint32_t read_once(struct link_tap *tap)
{
	struct rx_buffer *rx = &tap->rx;
	uint8_t *bytes;
	ssize_t got;

	if (rx_buffer_make_room(rx, READ_SIZE) < 0) {
		fail(tap, "out of memory");
		return 0;
	}
	bytes = rx_buffer_data(rx) + rx->end;
	do {
		got = read(tap->fd, bytes, READ_SIZE);
	} while (got < 0 && errno == EINTR);
	if (got < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			/* EFAULT is what a reader gets who was there when it happened. */
			fail(tap, is_removal(errno) || errno == EFAULT ? "the interface was removed"
								       : "reading failed");
		return 0;
	}
	if (got < VNET_SIZE) {
		fail(tap, "the kernel gives no vnet headers");
		return 0;
	}
	rx->end += (uint32_t)(got + IN_ALIGN - 1) / IN_ALIGN * IN_ALIGN;
	if (rx->end > rx->size)
		rx->end = rx->size;
	rx->start = rx->end;
	deliver(tap, bytes, (uint32_t)got);
	return (uint32_t)got;
}

static void on_readable(struct link_tap *tap)
{
	struct link_round round = link_round_begin();
	uint32_t bytes = 0;

	while (bytes < ROUND_BYTES_MAX && link_round_takes(&round)) {
		uint32_t got = read_once(tap);

		bytes += got;
		if (!got || tap->gone_reason)
			break;
	}
	tap->link.user->batch_end(tap->link.user_arg);
}

/* --- Sending --- */

static void encode_offloads(const struct frame *frame, struct virtio_net_hdr *ret)
{
	static const uint8_t gso_types[] = {
		[FRAME_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
		[FRAME_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
		[FRAME_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
		[FRAME_GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4,
	};

	*ret = (struct virtio_net_hdr){.gso_type = gso_types[frame->gso]};
	if (frame->csum == FRAME_CSUM_PARTIAL) {
		ret->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		ret->csum_start = frame->csum_start;
		ret->csum_offset = frame->csum_offset;
	} else if (frame->csum == FRAME_CSUM_VALID) {
		ret->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (frame->gso != FRAME_GSO_NONE) {
		ret->gso_size = frame->gso_size;
		ret->hdr_len = frame->header_size;
	}
}

/* Returns 0, or -errno of the write. */
static int write_frame(struct link_tap *tap, const struct frame *frame)
{
	struct virtio_net_hdr header;
	struct iovec iov[1 + FRAME_IOV_MAX];
	ssize_t sent;

	static_assert(sizeof(header) == VNET_SIZE, "the header that TUNSETVNETHDRSZ asks for");
	encode_offloads(frame, &header);
	iov[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof(header)};
	memcpy(iov + 1, frame->iov, frame->iov_count * sizeof(*frame->iov));
	do {
		sent = writev(tap->fd, iov, 1 + frame->iov_count);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static int refuse(struct link_tap *tap)
{
	tap->blocked = true;
	tap->link.counters.tx_full++;
	loop_fd_set(tap->watch, LOOP_READ | LOOP_WRITE);
	return -EAGAIN;
}

static int tap_send(struct link *link, const struct frame *frames, unsigned count)
{
	struct link_tap *tap = tap_of(link);

	if (tap->gone_reason)
		return -EPIPE;
	for (unsigned i = 0; i < count; i++) {
		if (frames[i].size > link->caps.frame_max || frames[i].iov_count > FRAME_IOV_MAX)
			return -EMSGSIZE;
	}
	if (tap->blocked)
		return refuse(tap);
	for (unsigned i = 0; i < count; i++) {
		int status = write_frame(tap, &frames[i]);

		if (status == -EAGAIN && i == 0)
			return refuse(tap);
		if (status < 0 && is_removal(-status)) {
			fail(tap, "the interface was removed");
			return i ? 0 : -EPIPE;
		}
		/* EIO: the interface is down. Anything else: the kernel wants this frame not, or
		 * not now, and the first ones are out already. */
		if (status < 0) {
			link->counters.tx_dropped++;
			continue;
		}
		link->counters.tx_frames++;
		link->counters.tx_bytes += frames[i].size;
	}
	return 0;
}

/* Every frame is written as it is sent. */
static void tap_flush(struct link *link)
{
	(void)link;
}

static void on_writable(struct link_tap *tap)
{
	tap->blocked = false;
	loop_fd_set(tap->watch, LOOP_READ);
	tap->link.user->writable(tap->link.user_arg);
}

/* --- Life --- */

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct link_tap *tap = arg;

	(void)fd;
	if ((ready & LOOP_WRITE) && tap->blocked && !tap->gone_reason)
		on_writable(tap);
	if ((ready & LOOP_READ) && !tap->gone_reason)
		on_readable(tap);
}

static void tap_destroy(struct link *link)
{
	struct link_tap *tap = tap_of(link);

	loop_task_cancel(tap->loop, &tap->gone_task);
	loop_fd_free(tap->watch);
	fd_close(&tap->fd);
	rx_buffer_done(&tap->rx);
	free(tap);
}

static const struct link_ops tap_ops = {
	.kind = "tap",
	.send = tap_send,
	.flush = tap_flush,
	.destroy = tap_destroy,
};

static int tap_start(struct link_tap *tap)
{
	int status = rx_buffer_init(&tap->rx, IN_SIZE, IN_COUNT_MAX);

	if (status < 0)
		return status;
	return loop_fd_new(tap->loop, tap->fd, LOOP_READ, on_ready, tap, &tap->watch);
}

/* Takes fd over. */
static int tap_new(struct loop *loop, int fd, const struct tap_features *features, const char *name,
		   struct link **ret_link, const char **ret_error)
{
	struct link_tap *tap = calloc(1, sizeof(*tap));
	int status;

	if (!tap) {
		fd_close(&fd);
		*ret_error = "out of memory";
		return -ENOMEM;
	}
	tap->link.ops = &tap_ops;
	tap->link.caps = (struct link_caps){
		.csum = true,
		.tso4 = true,
		.tso6 = true,
		.uso = features->uso,
		.gro = true, /* for guests that have turned their own segmentation off */
		.frame_max = FRAME_SIZE_MAX,
		.queue_frames = features->queue_frames,
	};
	snprintf(tap->link.name, sizeof(tap->link.name), "%s", name);
	tap->loop = loop;
	tap->fd = fd;
	tap->gone_task = (struct loop_task){.fn = tell_gone, .arg = tap};
	status = tap_start(tap);
	if (status < 0) {
		tap_destroy(&tap->link);
		*ret_error = "waiting for the tap's frames";
		return status;
	}
	*ret_link = &tap->link;
	return 0;
}

int link_tap_open(struct loop *loop, const char *ifname, const char *netns, struct link **ret_link,
		  const char **ret_error)
{
	struct tap_features features;
	char name[LINK_NAME_MAX];
	int fd, status = tap_open(ifname, netns, &fd, &features, ret_error);

	if (status < 0)
		return status;
	snprintf(name, sizeof(name), "tap:%s%s%s", ifname, netns ? ",netns=" : "",
		 netns ? netns : "");
	return tap_new(loop, fd, &features, name, ret_link, ret_error);
}

int link_tap_adopt(struct loop *loop, int fd, const char *name, struct link **ret_link,
		   const char **ret_error)
{
	struct tap_features features;
	int status = tap_adopt(fd, &features, ret_error);

	if (status == 0)
		status = fd_set_nonblocking(fd);
	if (status < 0) {
		fd_close(&fd);
		return status;
	}
	return tap_new(loop, fd, &features, name, ret_link, ret_error);
}
