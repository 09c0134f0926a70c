/* SPDX-License-Identifier: Apache-2.0 */
/* Reads queries from streams, hands them to the server and writes the replies. */
#include "dns/dns_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "dns/dns_server.h"

#define LENGTH_SIZE 2

/* A reply with its length, on its way out. */
struct chunk {
	struct list link;
	size_t size;
	size_t sent;
	uint8_t bytes[];
};

struct stream {
	struct list link; /* in streams->list */
	struct dns_streams *streams;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	struct loop_task task; /* goes on after replies came in */
	struct endpoint client;
	unsigned query_count; /* under way */
	bool at_end;          /* the client sends no more */
	bool has_failed;      /* to be closed without further ado */
	struct list output;   /* of chunks */
	size_t output_bytes;
	size_t input_size;
	uint8_t input[LENGTH_SIZE + DNS_QUERY_SIZE_MAX];
};

static void respond(void *arg, const void *reply, size_t size);

void dns_streams_init(struct dns_streams *streams, struct loop *loop, struct dns_server *server,
		      uint32_t idle_ms)
{
	*streams = (struct dns_streams){
		.loop = loop,
		.server = server,
		.idle_ms = idle_ms ? idle_ms : DNS_STREAM_IDLE_MS_DEFAULT,
	};
	list_init(&streams->list);
}

static void stream_free(struct stream *stream)
{
	struct dns_streams *streams = stream->streams;

	if (stream->query_count > 0)
		dns_server_cancel(streams->server, respond, stream);
	loop_task_cancel(streams->loop, &stream->task);
	loop_timer_free(stream->timer);
	loop_fd_free(stream->watch);
	fd_close(&stream->fd);
	list_for_each_safe (link, &stream->output)
		free(container_of(link, struct chunk, link));
	list_remove(&stream->link);
	streams->count--;
	free(stream);
}

void dns_streams_destroy(struct dns_streams *streams)
{
	while (!list_empty(&streams->list))
		stream_free(container_of(list_first(&streams->list), struct stream, link));
}

/* Something was asked, answered or taken: the stream isn't idle, and last to be closed for others.
 */
static void touch(struct stream *stream)
{
	list_remove(&stream->link);
	list_add_tail(&stream->streams->list, &stream->link);
	loop_timer_set(stream->timer, stream->streams->idle_ms);
}

static bool is_busy(const struct stream *stream)
{
	return stream->query_count > 0 || !list_empty(&stream->output);
}

static void respond(void *arg, const void *reply, size_t size)
{
	struct stream *stream = arg;
	struct chunk *chunk;

	stream->query_count--;
	if (!reply)
		return;
	chunk = malloc(sizeof(*chunk) + LENGTH_SIZE + size);
	if (chunk) {
		chunk->size = LENGTH_SIZE + size;
		chunk->sent = 0;
		chunk->bytes[0] = (uint8_t)(size >> 8);
		chunk->bytes[1] = (uint8_t)size;
		memcpy(chunk->bytes + LENGTH_SIZE, reply, size);
		list_add_tail(&stream->output, &chunk->link);
		stream->output_bytes += chunk->size;
	} else {
		stream->has_failed = true;
	}
	touch(stream);
	/* Not at once: this may be called in the midst of stream_run(). */
	loop_task_schedule(stream->streams->loop, &stream->task);
}

static void flush(struct stream *stream)
{
	list_for_each_safe (link, &stream->output) {
		struct chunk *chunk = container_of(link, struct chunk, link);
		ssize_t n = send(stream->fd, chunk->bytes + chunk->sent, chunk->size - chunk->sent,
				 MSG_NOSIGNAL);

		if (n < 0) {
			if (errno != EAGAIN)
				stream->has_failed = true;
			return;
		}
		touch(stream);
		chunk->sent += (size_t)n;
		stream->output_bytes -= (size_t)n;
		if (chunk->sent < chunk->size)
			return;
		list_remove(&chunk->link);
		free(chunk);
	}
}

static bool may_take_more(const struct stream *stream)
{
	return !stream->has_failed && stream->query_count < DNS_STREAM_QUERIES_MAX &&
	       stream->output_bytes < DNS_STREAM_OUTPUT_BYTES_MAX;
}

/* The size of the message at the input's head, when all of it is there; else 0. */
static size_t whole_message(struct stream *stream)
{
	if (stream->input_size < LENGTH_SIZE)
		return 0;
	size_t size = (size_t)stream->input[0] << 8 | stream->input[1];
	/* Neither can be answered on a stream that we'd lose our place in. */
	if (size < DNS_HEADER_SIZE || size > DNS_QUERY_SIZE_MAX) {
		stream->has_failed = true;
		return 0;
	}
	return stream->input_size >= LENGTH_SIZE + size ? size : 0;
}

static void take_message(struct stream *stream, size_t size)
{
	touch(stream);
	stream->query_count++;
	if (dns_server_query(stream->streams->server, DNS_TCP, &stream->client,
			     stream->input + LENGTH_SIZE, size, respond, stream) < 0) {
		stream->query_count--;
		stream->has_failed = true;
	}
	stream->input_size -= LENGTH_SIZE + size;
	memmove(stream->input, stream->input + LENGTH_SIZE + size, stream->input_size);
}

/* Reads what fits the buffer. Returns whether anything came. */
static bool receive(struct stream *stream)
{
	size_t room = sizeof(stream->input) - stream->input_size;

	if (stream->at_end || room == 0)
		return false;
	ssize_t n = recv(stream->fd, stream->input + stream->input_size, room, 0);
	if (n > 0) {
		stream->input_size += (size_t)n;
		return true;
	}
	if (n == 0)
		stream->at_end = true;
	else if (errno != EAGAIN && errno != EINTR)
		stream->has_failed = true;
	return false;
}

static void take_messages(struct stream *stream)
{
	for (int i = 0; i < DNS_STREAM_BATCH_MAX && may_take_more(stream); i++) {
		size_t size = whole_message(stream);

		while (size == 0 && !stream->has_failed && receive(stream))
			size = whole_message(stream);
		if (size == 0)
			return;
		take_message(stream, size);
	}
	/* What is in the buffer raises no event of the socket's. */
	if (may_take_more(stream))
		loop_task_schedule(stream->streams->loop, &stream->task);
}

static void stream_run(void *arg)
{
	struct stream *stream = arg;
	unsigned events = 0;

	flush(stream);
	take_messages(stream);
	if (!stream->has_failed)
		flush(stream);
	if (stream->has_failed || (stream->at_end && !is_busy(stream))) {
		stream_free(stream);
		return;
	}
	if (!stream->at_end && may_take_more(stream))
		events |= LOOP_READ;
	if (!list_empty(&stream->output))
		events |= LOOP_WRITE;
	loop_fd_set(stream->watch, events);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	stream_run(arg);
}

static void on_idle(void *arg)
{
	struct stream *stream = arg;

	/* Queries under way have a deadline of their own; a client that doesn't read hasn't. */
	if (stream->query_count > 0 && list_empty(&stream->output))
		loop_timer_set(stream->timer, stream->streams->idle_ms);
	else
		stream_free(stream);
}

static size_t count_of(const struct dns_streams *streams, const struct addr *client)
{
	size_t count = 0;

	list_for_each (link, &streams->list)
		count += addr_equal(&container_of(link, struct stream, link)->client.addr, client);
	return count;
}

/* The stream that was idle longest, of `client` if that isn't NULL. */
static struct stream *find_idle(const struct dns_streams *streams, const struct addr *client)
{
	list_for_each (link, &streams->list) {
		struct stream *stream = container_of(link, struct stream, link);

		if (!is_busy(stream) && (!client || addr_equal(&stream->client.addr, client)))
			return stream;
	}
	return NULL;
}

/* Of the client with the most, the stream that nothing has happened on for longest. */
static struct stream *find_heaviest(const struct dns_streams *streams, size_t *ret_count)
{
	struct stream *heaviest = NULL;

	*ret_count = 0;
	list_for_each (link, &streams->list) {
		struct stream *stream = container_of(link, struct stream, link);
		size_t count = count_of(streams, &stream->client.addr);

		if (count > *ret_count) {
			*ret_count = count;
			heaviest = stream;
		}
	}
	return heaviest;
}

/* Makes room for one more of the client's. Where all are busy, who has more gives way. */
static int admit(struct dns_streams *streams, const struct addr *client)
{
	size_t own = count_of(streams, client), most;
	struct stream *stream;

	if (own < DNS_STREAMS_PER_CLIENT_MAX && streams->count < DNS_STREAMS_MAX)
		return 0;
	stream = find_idle(streams, own < DNS_STREAMS_PER_CLIENT_MAX ? NULL : client);
	if (!stream && own < DNS_STREAMS_PER_CLIENT_MAX) {
		stream = find_heaviest(streams, &most);
		if (most <= own)
			stream = NULL;
	}
	streams->cut++;
	if (!stream)
		return -EBUSY;
	stream_free(stream);
	return 0;
}

int dns_streams_add(struct dns_streams *streams, int fd, const struct endpoint *client)
{
	static const struct endpoint unknown = {.addr.family = AF_UNSPEC};
	struct stream *stream = NULL;
	int r;

	client = client ? client : &unknown;
	r = admit(streams, &client->addr);
	if (r == 0)
		r = fd_set_nonblocking(fd);
	if (r == 0 && !(stream = calloc(1, sizeof(*stream))))
		r = -ENOMEM;
	if (r < 0) {
		close(fd);
		return r;
	}
	stream->streams = streams;
	stream->fd = fd;
	stream->client = *client;
	stream->task = (struct loop_task){.fn = stream_run, .arg = stream};
	list_init(&stream->output);
	list_add_tail(&streams->list, &stream->link);
	streams->count++;
	r = loop_timer_new(streams->loop, on_idle, stream, &stream->timer);
	if (r == 0)
		r = loop_fd_new(streams->loop, fd, LOOP_READ, on_ready, stream, &stream->watch);
	if (r < 0) {
		stream_free(stream);
		return r;
	}
	loop_timer_set(stream->timer, streams->idle_ms);
	streams->served++;
	return 0;
}
