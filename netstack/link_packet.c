/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as frames on a connected socket: see link_packet.h, and link.h for the contract. */
#include "netstack/link_packet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/sock.h"
#include "netstack/packet_io.h"

/* Reads in a row before the others get their turn. */
#define READS_PER_ROUND 4

struct link_packet {
	struct link link;
	struct loop *loop;
	int fd;
	bool has_end; /* SOCK_SEQPACKET: a message of no bytes is the end */
	struct loop_fd *watch;
	struct loop_task gone_task;
	const char *gone_reason; /* set once; the link is dead from then on */
	bool gone_told;
	struct packet_in in;
	struct packet_out out;
};

static struct link_packet *packet_of(struct link *link)
{
	return container_of(link, struct link_packet, link);
}

/* Ends the link; the user learns of it from the loop, as we may be inside of a call of its own. */
static void fail(struct link_packet *packet, const char *reason)
{
	if (packet->gone_reason)
		return;
	packet->gone_reason = reason;
	loop_fd_set(packet->watch, 0);
	loop_task_schedule(packet->loop, &packet->gone_task);
}

static void tell_gone(void *arg)
{
	struct link_packet *packet = arg;

	if (packet->gone_told)
		return;
	packet->gone_told = true;
	packet->link.user->gone(packet->link.user_arg, packet->gone_reason); /* may destroy */
}

/* Waits for what there is to wait for, after the state of `out` may have changed. */
static void update_watch(struct link_packet *packet)
{
	if (!packet->gone_reason)
		loop_fd_set(packet->watch,
			    packet->out.blocked ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* --- Receiving --- */

static void deliver(struct link_packet *packet, unsigned index)
{
	uint32_t size = packet_in_size(&packet->in, index);
	struct iovec iov;
	struct frame frame;

	if (size == 0 && packet->has_end) {
		fail(packet, "closed by the guest's side");
		return;
	}
	if (size < ETH_HEADER_SIZE || size > FRAME_SIZE_MAX) {
		packet->link.counters.rx_invalid++;
		return;
	}
	frame = packet_in_frame(&packet->in, index, &iov);
	packet->link.counters.rx_frames++;
	packet->link.counters.rx_bytes += size;
	packet->link.user->receive(packet->link.user_arg, &frame);
}

static void on_readable(struct link_packet *packet)
{
	int got = PACKET_BATCH;

	for (int i = 0; i < READS_PER_ROUND && got == PACKET_BATCH && !packet->gone_reason; i++) {
		got = packet_in_read(&packet->in, packet->fd);
		if (got < 0)
			fail(packet, packet_gone_reason(-got));
		for (int n = 0; n < got && !packet->gone_reason; n++)
			deliver(packet, (unsigned)n);
	}
	packet->link.user->batch_end(packet->link.user_arg);
}

/* --- Sending --- */

static int packet_send(struct link *link, const struct frame *frames, unsigned count)
{
	struct link_packet *packet = packet_of(link);
	int status;

	if (packet->gone_reason)
		return -EPIPE;
	status = packet_out_send(&packet->out, link, frames, count);
	if (status < 0 && status != -EAGAIN && status != -EMSGSIZE) {
		fail(packet, packet_gone_reason(-status));
		return -EPIPE;
	}
	update_watch(packet);
	return status;
}

static void packet_flush(struct link *link)
{
	struct link_packet *packet = packet_of(link);
	int status;

	if (packet->gone_reason)
		return;
	status = packet_out_flush(&packet->out, link);
	if (status < 0)
		fail(packet, packet_gone_reason(-status));
	update_watch(packet);
}

static void on_writable(struct link_packet *packet)
{
	int status = packet_out_retry(&packet->out, &packet->link);

	if (status < 0) {
		fail(packet, packet_gone_reason(-status));
		return;
	}
	update_watch(packet);
	if (packet_out_tell(&packet->out))
		packet->link.user->writable(packet->link.user_arg);
}

/* --- Life --- */

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct link_packet *packet = arg;

	(void)fd;
	if ((ready & LOOP_WRITE) && !packet->gone_reason)
		on_writable(packet);
	if ((ready & LOOP_READ) && !packet->gone_reason)
		on_readable(packet);
}

static void packet_destroy(struct link *link)
{
	struct link_packet *packet = packet_of(link);

	loop_task_cancel(packet->loop, &packet->gone_task);
	loop_fd_free(packet->watch);
	fd_close(&packet->fd);
	packet_in_done(&packet->in);
	packet_out_done(&packet->out);
	free(packet);
}

static const struct link_ops packet_ops = {
	.kind = "packet",
	.send = packet_send,
	.flush = packet_flush,
	.destroy = packet_destroy,
};

static int packet_start(struct link_packet *packet)
{
	socklen_t size = sizeof(int);
	int type, status = fd_set_nonblocking(packet->fd);

	if (status < 0)
		return status;
	if (getsockopt(packet->fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return -errno;
	packet->has_end = type == SOCK_SEQPACKET;
	packet_tune_socket(packet->fd);
	status = packet_out_init(&packet->out, packet->fd);
	if (status == 0)
		status = packet_in_init(&packet->in);
	if (status < 0)
		return status;
	return loop_fd_new(packet->loop, packet->fd, LOOP_READ, on_ready, packet, &packet->watch);
}

int link_packet_open(struct loop *loop, int fd, const char *name, const struct link_sink *sink)
{
	struct link_packet *packet = calloc(1, sizeof(*packet));
	int status;

	if (!packet) {
		fd_close(&fd);
		return -ENOMEM;
	}
	packet->link.ops = &packet_ops;
	packet->link.caps = (struct link_caps){.gro = true, .frame_max = FRAME_SIZE_MAX};
	snprintf(packet->link.name, sizeof(packet->link.name), "%s", name);
	packet->loop = loop;
	packet->fd = fd;
	packet->gone_task = (struct loop_task){.fn = tell_gone, .arg = packet};
	status = packet_start(packet);
	if (status < 0) {
		packet_destroy(&packet->link);
		return status;
	}
	sink->attached(sink->arg, &packet->link);
	return 0;
}
