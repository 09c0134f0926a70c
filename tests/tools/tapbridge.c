/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapbridge: plays QEMU. It opens a tap in a network namespace, whose kernel is the guest, and
 * relays its frames to and from a stream socket in QEMU's framing (u32 big-endian length, frame).
 *
 * As in a VM, nothing is lost on the way to the proxy: while the stream is full the tap isn't read,
 * and the tap's queue is made long enough for the guest's TCP windows. With --offload the guest's
 * kernel hands over super-frames without checksums, which are cut and completed here, so that the
 * guest's own work isn't what limits a measurement. With --impair it plays a bad wire.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netstack/frame.h"
#include "netstack/offload.h"

#include "bad_wire.h"
#include "bridge_ends.h"

#define PREFIX_SIZE   4
#define BUFFER_SIZE   (1024 * 1024)
#define BATCH_SIZE    (128 * 1024) /* written to the stream at once, if the tap has as much */
#define QEMU_SIZE_MAX 69632        /* QEMU drops a connection that announces more */
/* Most that one read from the tap adds to the up buffer: what a bad wire makes of a frame, or a
 * super-frame cut into the smallest segments, with headers and prefixes. */
#define READ_ADDS_MAX                           \
	(BAD_WIRE_FRAMES_MAX * FRAME_SIZE_MAX + \
	 OFFLOAD_SEGMENTS_MAX * (FRAME_LINEAR_SIZE + PREFIX_SIZE))

struct buffer {
	uint8_t *bytes; /* BUFFER_SIZE */
	size_t start;   /* first byte that wasn't passed on yet */
	size_t end;     /* one past the last */
};

struct counters {
	uint64_t up_frames;   /* guest -> proxy, on the stream */
	uint64_t up_reads;    /* from the tap: super-frames count once */
	uint64_t down_frames; /* proxy -> guest, from the stream */
	uint64_t down_writes; /* to the tap */
	uint64_t refused; /* frames that the tap didn't take: it is down, or they are malformed */
};

struct bridge {
	int tap;
	int stream;
	bool offload;
	struct buffer up;
	struct buffer down;
	struct offload_scratch *scratch;
	struct gro *gro;         /* joins what came down, with --offload */
	struct iobuf down_iobuf; /* lends down's bytes to the gro */
	struct bad_wire *wires;  /* --impair: of the way up, and down; else NULL */
	struct counters counters;
};

static volatile sig_atomic_t stopped;

static const char usage_text[] =
	"usage: tapbridge --tap IFNAME [--netns PATH] --connect unix:PATH|tcp:ADDR:PORT\n"
	"                 [--offload | --impair LOSS,DUPLICATE,REORDER[,SEED]]\n"
	"  --netns    network namespace to make the tap in (our own)\n"
	"  --offload  take super-frames from the guest and cut them here; join frames on the way to it\n"
	"  --impair   spoil frames of both directions: so many of a thousand in each way\n"
	"Prints \"ready\" when connected, and counters as JSON at the end. Exit status: 0 after SIGTERM or SIGINT,\n"
	"3 when the other side closed the stream, 1 after an error.\n";

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

/* Makes `room` bytes of space after the end, if what isn't passed on yet leaves as much. */
static bool buffer_reserve(struct buffer *buffer, size_t room)
{
	if (BUFFER_SIZE - buffer->end >= room)
		return true;
	memmove(buffer->bytes, buffer->bytes + buffer->start, buffer->end - buffer->start);
	buffer->end -= buffer->start;
	buffer->start = 0;
	return BUFFER_SIZE - buffer->end >= room;
}

static size_t buffer_used(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

static void put_prefix(uint8_t *to, size_t size)
{
	uint32_t length = htonl((uint32_t)size);

	memcpy(to, &length, sizeof(length));
}

static void up_append(struct bridge *bridge, const struct frame *frame)
{
	struct buffer *up = &bridge->up;

	put_prefix(up->bytes + up->end, frame->size);
	up->end += PREFIX_SIZE;
	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(up->bytes + up->end, frame->iov[i].iov_base, frame->iov[i].iov_len);
		up->end += frame->iov[i].iov_len;
	}
	bridge->counters.up_frames++;
}

/* The frame that the kernel described; its offload fields come from our own kernel and are right.
 */
static void frame_from_vnet(struct frame *frame, const struct virtio_net_hdr *hdr,
			    const struct iovec *iov)
{
	*frame = (struct frame){.iov = iov, .iov_count = 1, .size = (uint32_t)iov->iov_len};
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		frame->csum = FRAME_CSUM_PARTIAL;
		frame->csum_start = hdr->csum_start;
		frame->csum_offset = hdr->csum_offset;
	}
	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		frame->gso = FRAME_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		frame->gso = FRAME_GSO_TCP6;
		break;
	default:
		return;
	}
	frame->gso_size = hdr->gso_size;
	frame->header_size = hdr->hdr_len;
}

/* One frame from the tap, as segments onto the up buffer. Returns 1, 0 when the tap is empty, or
 * -1. */
static int up_read_offload(struct bridge *bridge)
{
	static uint8_t bytes[FRAME_SIZE_MAX];
	struct virtio_net_hdr vnet; /* tun's default: without num_buffers */
	struct iovec in[2] = {{&vnet, sizeof(vnet)}, {bytes, sizeof(bytes)}};
	struct iovec payload = {.iov_base = bytes};
	const struct frame *cut;
	struct frame frame;
	ssize_t n = readv(bridge->tap, in, 2);
	int count;

	if (n < (ssize_t)sizeof(vnet))
		return n < 0 && errno == EAGAIN ? 0 : bridge_fail("read from the tap");
	payload.iov_len = (size_t)n - sizeof(vnet);
	frame_from_vnet(&frame, &vnet, &payload);
	bridge->counters.up_reads++;
	if (frame.csum != FRAME_CSUM_PARTIAL && frame.gso == FRAME_GSO_NONE) {
		up_append(bridge, &frame);
		return 1;
	}
	if (frame.gso != FRAME_GSO_NONE) {
		struct frame_headers headers;

		/* hdr_len is a hint: some kernels count the linear part of the skb. */
		if (frame_parse_headers(&frame, &headers) < 0) {
			bridge->counters.refused++;
			return 1;
		}
		frame.header_size = headers.payload_offset;
	}
	count = offload_segment(bridge->scratch, &frame, &cut);
	if (count < 0)
		bridge->counters.refused++;
	for (int i = 0; i < count; i++)
		up_append(bridge, &cut[i]);
	return 1;
}

/* Appends a frame of one piece. */
static void up_append_bytes(void *arg, const uint8_t *bytes, size_t size)
{
	struct bridge *bridge = arg;
	struct buffer *up = &bridge->up;

	memcpy(up->bytes + up->end + PREFIX_SIZE, bytes, size);
	put_prefix(up->bytes + up->end, size);
	up->end += PREFIX_SIZE + size;
	bridge->counters.up_frames++;
}

static int up_read_plain(struct bridge *bridge)
{
	static uint8_t bytes[FRAME_SIZE_MAX];
	ssize_t n = read(bridge->tap, bytes, sizeof(bytes));

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : bridge_fail("read from the tap");
	bridge->counters.up_reads++;
	if (bridge->wires)
		bad_wire_pass(&bridge->wires[0], bytes, (size_t)n, up_append_bytes, bridge);
	else
		up_append_bytes(bridge, bytes, (size_t)n);
	return 1;
}

static int up_flush(struct bridge *bridge)
{
	struct buffer *up = &bridge->up;
	ssize_t n;

	if (buffer_used(up) == 0)
		return 0;
	n = send(bridge->stream, up->bytes + up->start, buffer_used(up), MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN ? 0 : bridge_fail("write to the stream");
	up->start += (size_t)n;
	if (up->start == up->end)
		up->start = up->end = 0;
	return 0;
}

/* Takes a batch from the tap and offers it to the stream. */
static int up_pump(struct bridge *bridge)
{
	int result = 1;

	while (result > 0 && buffer_used(&bridge->up) < BATCH_SIZE &&
	       buffer_reserve(&bridge->up, READ_ADDS_MAX))
		result = bridge->offload ? up_read_offload(bridge) : up_read_plain(bridge);
	return result < 0 ? -1 : up_flush(bridge);
}

/* A frame for the guest; what its kernel doesn't take is lost, as on a wire. */
static void tap_write(struct bridge *bridge, const struct iovec *iov, int iov_count)
{
	bridge->counters.down_writes++;
	if (writev(bridge->tap, iov, iov_count) < 0)
		bridge->counters.refused++;
}

static void gro_to_tap(void *arg, const struct frame *frame)
{
	struct bridge *bridge = arg;
	struct virtio_net_hdr vnet = {0};
	struct iovec iov[FRAME_IOV_MAX + 1] = {{&vnet, sizeof(vnet)}};

	if (frame->csum == FRAME_CSUM_PARTIAL) {
		vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet.csum_start = frame->csum_start;
		vnet.csum_offset = frame->csum_offset;
	} else if (frame->csum == FRAME_CSUM_VALID) {
		vnet.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (frame->gso == FRAME_GSO_TCP4 || frame->gso == FRAME_GSO_TCP6) {
		vnet.gso_type = frame->gso == FRAME_GSO_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4
							     : VIRTIO_NET_HDR_GSO_TCPV6;
		vnet.gso_size = frame->gso_size;
		vnet.hdr_len = frame->header_size;
	}
	memcpy(iov + 1, frame->iov, frame->iov_count * sizeof(*iov));
	tap_write(bridge, iov, frame->iov_count + 1);
}

static void down_bytes(void *arg, const uint8_t *bytes, size_t size)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, size};

	tap_write(arg, &iov, 1);
}

static void down_frame(struct bridge *bridge, uint8_t *bytes, size_t size)
{
	struct iovec iov = {bytes, size};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = (uint32_t)size};

	bridge->counters.down_frames++;
	if (!bridge->offload) {
		if (bridge->wires && size <= FRAME_SIZE_MAX)
			bad_wire_pass(&bridge->wires[1], bytes, size, down_bytes, bridge);
		else
			down_bytes(bridge, bytes, size);
		return;
	}
	frame.buf = &bridge->down_iobuf;
	gro_receive(bridge->gro, &frame);
}

/* Passes all whole frames of the down buffer on. Returns 0, or -1 when the framing is broken. */
static int down_deliver(struct bridge *bridge)
{
	struct buffer *down = &bridge->down;

	while (buffer_used(down) >= PREFIX_SIZE) {
		uint32_t size;

		memcpy(&size, down->bytes + down->start, sizeof(size));
		size = ntohl(size);
		if (size == 0 || size > QEMU_SIZE_MAX) {
			fprintf(stderr,
				"tapbridge: the stream announced a frame of %" PRIu32
				" bytes; QEMU would "
				"drop the connection\n",
				size);
			return -1;
		}
		if (buffer_used(down) < PREFIX_SIZE + size)
			break;
		down_frame(bridge, down->bytes + down->start + PREFIX_SIZE, size);
		down->start += PREFIX_SIZE + size;
	}
	if (bridge->offload)
		gro_flush(bridge->gro);
	if (down->start == down->end)
		down->start = down->end = 0;
	return 0;
}

/* Returns 0, -1 after an error, or 1 at the end of the stream. */
static int down_pump(struct bridge *bridge)
{
	struct buffer *down = &bridge->down;
	ssize_t n;

	buffer_reserve(down, PREFIX_SIZE + QEMU_SIZE_MAX);
	n = recv(bridge->stream, down->bytes + down->end, BUFFER_SIZE - down->end, 0);
	if (n == 0)
		return 1;
	if (n < 0)
		return errno == EAGAIN ? 0 : bridge_fail("read from the stream");
	down->end += (size_t)n;
	return down_deliver(bridge);
}

/* Relays until a signal (0), the end of the stream (3) or an error (1). Signals come in while it
 * waits, with the mask `waiting`, and at no other time. */
static int bridge_run(struct bridge *bridge, const sigset_t *waiting)
{
	int result = 0;

	while (!stopped) {
		bool up_full = buffer_used(&bridge->up) > 0;
		struct pollfd fds[2] = {
			{.fd = bridge->tap, .events = up_full ? 0 : POLLIN},
			{.fd = bridge->stream, .events = POLLIN | (up_full ? POLLOUT : 0)},
		};

		if (ppoll(fds, 2, NULL, waiting) < 0) {
			if (errno == EINTR)
				continue;
			bridge_fail("poll");
			return 1;
		}
		if (fds[1].revents & POLLOUT && up_flush(bridge) < 0)
			return 1;
		if (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) {
			result = down_pump(bridge);
			if (result)
				return result < 0 ? 1 : 3;
		}
		if (fds[0].revents && buffer_used(&bridge->up) == 0 && up_pump(bridge) < 0)
			return 1;
	}
	return 0;
}

static void iobuf_keep(struct iobuf *self)
{
	(void)self; /* lives as long as the bridge */
}

static int bridge_open(struct bridge *bridge, const char *ifname, const char *netns,
		       const char *where)
{
	bridge->up.bytes = malloc(BUFFER_SIZE);
	bridge->down.bytes = malloc(BUFFER_SIZE);
	if (!bridge->up.bytes || !bridge->down.bytes)
		return bridge_fail("malloc");
	if (bridge->offload) {
		bridge->scratch = offload_scratch_new();
		if (!bridge->scratch || gro_new(gro_to_tap, bridge, &bridge->gro) < 0)
			return bridge_fail("offload");
		bridge->down_iobuf = (struct iobuf){.refs = 1,
						    .size = BUFFER_SIZE,
						    .data = bridge->down.bytes,
						    .release = iobuf_keep};
	}
	bridge->tap = bridge_tap_open(ifname, netns, bridge->offload);
	if (bridge->tap < 0)
		return -1;
	bridge->stream = bridge_stream_connect(where);
	return bridge->stream < 0 ? -1 : 0;
}

static void bridge_close(struct bridge *bridge)
{
	if (bridge->tap >= 0)
		close(bridge->tap);
	if (bridge->stream >= 0)
		close(bridge->stream);
	gro_free(bridge->gro);
	offload_scratch_free(bridge->scratch);
	free(bridge->up.bytes);
	free(bridge->down.bytes);
}

static void print_counters(const struct bridge *bridge)
{
	const struct counters *c = &bridge->counters;
	uint64_t spoilt = bridge->wires ? bridge->wires[0].spoilt + bridge->wires[1].spoilt : 0;

	printf("{\"up_frames\":%" PRIu64 ",\"up_reads\":%" PRIu64 ",\"down_frames\":%" PRIu64
	       ",\"down_writes\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"spoilt\":%" PRIu64 "}\n",
	       c->up_frames, c->up_reads, c->down_frames, c->down_writes, c->refused, spoilt);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"tap", required_argument, NULL, 't'},     {"netns", required_argument, NULL, 'n'},
		{"connect", required_argument, NULL, 'c'}, {"offload", no_argument, NULL, 'o'},
		{"impair", required_argument, NULL, 'i'},  {0}};
	const struct sigaction action = {.sa_handler = on_signal};
	struct bridge bridge = {.tap = -1, .stream = -1};
	const char *tap = NULL, *netns = NULL, *where = NULL;
	static struct bad_wire wires[2];
	struct bad_wire_conf impairment = {.seed = 1};
	sigset_t blocked, waiting;
	int option, status = 1;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 't')
			tap = optarg;
		else if (option == 'n')
			netns = optarg;
		else if (option == 'c')
			where = optarg;
		else if (option == 'o')
			bridge.offload = true;
		else if (option == 'i' && bad_wire_parse(optarg, &impairment))
			bridge.wires = wires;
		else
			goto usage;
	}
	if (!tap || !where || optind != argc || (bridge.offload && bridge.wires))
		goto usage;
	bad_wire_init(&wires[0], &impairment);
	bad_wire_init(&wires[1], &impairment);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	if (bridge_open(&bridge, tap, netns, where) == 0) {
		puts("ready");
		fflush(stdout);
		status = bridge_run(&bridge, &waiting);
		print_counters(&bridge);
	}
	bridge_close(&bridge);
	return status;
usage:
	fputs(usage_text, stderr);
	return 2;
}
