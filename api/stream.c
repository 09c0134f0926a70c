/* SPDX-License-Identifier: Apache-2.0 */
/* Replies without an end; see stream.h. */
#include "api/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/sock.h"

#define ROOM_MIN      4096
#define THROW_SIZE    4096
#define SEND_MAX      (256 * 1024) /* in a round, before others get their turn */
#define HEAD_SIZE_MAX 256

struct stream {
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_task send_task;
	int fd;
	char *data; /* owned; what waits is from `start` to `end` */
	size_t start, end;
	size_t allocated;
	size_t room; /* most that may wait */
	bool broken; /* the client has gone; `gone` will be called, or was */
	stream_gone_fn *gone;
	void *arg;
};

/* Sends what the socket takes. Returns 0, or -errno when the client has gone. */
static int send_some(struct stream *stream)
{
	size_t sent = 0;

	while (stream->start < stream->end && sent < SEND_MAX) {
		ssize_t n = send(stream->fd, stream->data + stream->start,
				 stream->end - stream->start, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		stream->start += (size_t)n;
		sent += (size_t)n;
	}
	if (stream->start == stream->end)
		stream->start = stream->end = 0;
	return 0;
}

static void tell_gone(struct stream *stream)
{
	stream->broken = true;
	loop_fd_set(stream->watch, 0);
	stream->gone(stream->arg);
}

static void send_and_wait(void *arg)
{
	struct stream *stream = arg;

	if (send_some(stream) < 0)
		tell_gone(stream);
	else
		loop_fd_set(stream->watch, LOOP_READ | (stream->end ? LOOP_WRITE : 0));
}

/* A client has nothing to say here; what it says is thrown away, until it ends. */
static void on_client(void *arg, int fd, unsigned ready)
{
	struct stream *stream = arg;
	char nowhere[THROW_SIZE];

	if (ready & LOOP_READ) {
		ssize_t n = recv(fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			tell_gone(stream);
			return;
		}
	}
	if (ready & LOOP_WRITE)
		send_and_wait(stream);
}

bool stream_has_room(const struct stream *stream, size_t size)
{
	return !stream->broken && size <= stream->room - (stream->end - stream->start);
}

/* Makes place for `size` bytes behind `end`. */
static bool reserve(struct stream *stream, size_t size)
{
	size_t waiting = stream->end - stream->start;
	size_t allocated = stream->allocated ? stream->allocated : ROOM_MIN;
	char *data;

	if (stream->allocated - stream->end >= size)
		return true;
	if (stream->start) {
		memmove(stream->data, stream->data + stream->start, waiting);
		stream->start = 0;
		stream->end = waiting;
	}
	while (allocated - waiting < size)
		allocated *= 2;
	if (allocated == stream->allocated)
		return true;
	data = realloc(stream->data, allocated);
	if (!data)
		return false;
	stream->data = data;
	stream->allocated = allocated;
	return true;
}

bool stream_write(struct stream *stream, const void *data, size_t size)
{
	if (!stream_has_room(stream, size) || !reserve(stream, size))
		return false;
	memcpy(stream->data + stream->end, data, size);
	stream->end += size;
	loop_task_schedule(stream->loop, &stream->send_task);
	return true;
}

int stream_new(struct loop *loop, int fd, const char *type, size_t room, stream_gone_fn *gone,
	       void *arg, struct stream **ret_stream)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	char head[HEAD_SIZE_MAX];
	int r, size;

	if (!stream) {
		fd_close(&fd);
		return -ENOMEM;
	}
	stream->loop = loop;
	stream->fd = fd;
	stream->room = room;
	stream->gone = gone;
	stream->arg = arg;
	stream->send_task = (struct loop_task){.fn = send_and_wait, .arg = stream};
	r = loop_fd_new(loop, fd, LOOP_READ, on_client, stream, &stream->watch);
	size = snprintf(head, sizeof(head),
			"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
			"Connection: close\r\n\r\n",
			type);
	if (r == 0 && !stream_write(stream, head, (size_t)size))
		r = -ENOMEM;
	if (r < 0) {
		stream_free(stream);
		return r;
	}
	*ret_stream = stream;
	return 0;
}

void stream_free(struct stream *stream)
{
	if (!stream)
		return;
	loop_task_cancel(stream->loop, &stream->send_task);
	loop_fd_free(stream->watch);
	fd_close(&stream->fd);
	free(stream->data);
	free(stream);
}
