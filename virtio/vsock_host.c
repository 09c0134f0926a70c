/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of the vsock device: unix sockets that are listened on, accepted and connected,
 * and what happens on them. vsock.c has the guest's side. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "virtio/vsock_internal.h"

LOG_MODULE("vsock");

/* Connections accepted before others get their turn. */
#define ACCEPTS_PER_ROUND 16

static void stream_ready(void *arg, int fd, unsigned ready);

static struct vsock_stream *stream_new(struct vsock_device *d, enum vsock_phase phase)
{
	struct vsock_stream *s;

	if (d->streams_count >= d->mux.conns_max) {
		d->counters.conns_refused++;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->device = d;
	s->phase = phase;
	s->fd = -1;
	list_init(&s->ready_link);
	list_init(&s->timed_link);
	list_add_tail(&d->streams, &s->link);
	d->streams_count++;
	return s;
}

static void phase_set(struct vsock_stream *s, enum vsock_phase phase)
{
	struct vsock_device *d = s->device;

	if (s->phase == VSOCK_PHASE_HANDSHAKE)
		d->handshakes_count--;
	s->phase = phase;
}

static void stream_free(struct vsock_stream *s)
{
	struct vsock_device *d = s->device;

	phase_set(s, VSOCK_PHASE_DRAINING);
	list_remove(&s->link);
	list_remove(&s->ready_link);
	list_remove(&s->timed_link);
	loop_fd_free(s->watch);
	fd_close(&s->fd);
	vsock_buffer_free(&s->buffer);
	d->streams_count--;
	free(s);
}

/* Ends a stream together with its connection: the guest gets an RST. */
static void stream_reset(struct vsock_stream *s)
{
	struct vsock_device *d = s->device;

	if (s->conn)
		vsock_conn_reset(&d->mux, s->conn);
	stream_free(s);
	vsock_device_wake(d);
}

static void deadline_set(struct vsock_stream *s, uint64_t timeout_ms)
{
	struct vsock_device *d = s->device;

	s->deadline_ms = loop_now_ms(d->loop) + timeout_ms;
	list_remove(&s->timed_link);
	list_add_tail(&d->timed, &s->timed_link);
	vsock_host_tick_if_needed(d);
}

/* Waits for what the stream can make use of now. */
static void watch_update(struct vsock_stream *s)
{
	unsigned events = 0;

	switch (s->phase) {
	case VSOCK_PHASE_HANDSHAKE:
		events = LOOP_READ;
		break;
	case VSOCK_PHASE_ASKED:
	case VSOCK_PHASE_DIALING:
		break;
	case VSOCK_PHASE_OPEN:
		/* After the last byte there is one thing left to learn: that the other side is gone
		 * altogether, which the edge tells. */
		if (s->host_ended)
			events = LOOP_READ | LOOP_EDGE;
		else if (list_empty(&s->ready_link) && !s->no_credit &&
			 !(s->conn->guest_shut & VSOCK_SHUT_RECEIVE))
			events = LOOP_READ;
		/* fall through */
	case VSOCK_PHASE_DRAINING:
		if (s->buffer.size)
			events |= LOOP_WRITE;
		break;
	}
	if (s->watch && loop_fd_set(s->watch, events) < 0)
		log_limited(LOG_LEVEL_ERROR,
			    "a host socket can't be watched: its connection hangs");
}

static int stream_take_fd(struct vsock_stream *s, int fd)
{
	int r = loop_fd_new(s->device->loop, fd, 0, stream_ready, s, &s->watch);

	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	s->fd = fd;
	return 0;
}

static void stream_queue_read(struct vsock_stream *s)
{
	struct vsock_device *d = s->device;

	if (list_empty(&s->ready_link))
		list_add_tail(&d->ready, &s->ready_link);
	watch_update(s);
	vsock_device_wake(d);
}

/* Passes the ends of the two directions on, once they are reached. May end the stream. */
static void stream_pass_ends(struct vsock_stream *s)
{
	struct vsock_device *d = s->device;

	if ((s->conn->guest_shut & VSOCK_SHUT_SEND) && !s->buffer.size && !s->write_shut) {
		s->write_shut = true;
		shutdown(s->fd, SHUT_WR);
	}
	if (s->host_ended && (s->write_shut || vsock_stream_hung_up(s->fd))) {
		vsock_conn_close(&d->mux, s->conn, loop_now_ms(d->loop));
		stream_free(s);
		vsock_device_wake(d);
		return;
	}
	if (s->host_ended && !(s->conn->host_shut & VSOCK_SHUT_SEND)) {
		vsock_conn_shut_send(&d->mux, s->conn);
		vsock_device_wake(d);
	}
	watch_update(s);
}

static void open_writable(struct vsock_stream *s)
{
	struct vsock_device *d = s->device;
	ssize_t sent = vsock_stream_flush(s->fd, &s->buffer);

	if (sent < 0) {
		stream_reset(s);
		return;
	}
	vsock_conn_consumed(&d->mux, s->conn, (uint32_t)sent);
	vsock_device_wake(d);
	stream_pass_ends(s);
}

static void draining_writable(struct vsock_stream *s)
{
	ssize_t sent = vsock_stream_flush(s->fd, &s->buffer);

	if (sent < 0 || !s->buffer.size) {
		stream_free(s);
		return;
	}
	if (sent > 0)
		deadline_set(s, VSOCK_DRAIN_TIMEOUT_MS);
}

static void handshake_readable(struct vsock_stream *s)
{
	struct vsock_device *d = s->device;
	uint32_t port;
	int r = vsock_handshake_read(s->fd, s->line, &s->line_size);

	if (r == -EAGAIN)
		r = 0;
	if (r >= 0)
		r = vsock_handshake_parse(s->line, s->line_size, &port);
	if (r == 0)
		return;
	if (r < 0 || !vsock_device_running(d) ||
	    vsock_mux_connect(&d->mux, port, s, loop_now_ms(d->loop), &s->conn) < 0) {
		if (r == -EPROTO)
			log_limited(LOG_LEVEL_WARN,
				    "%s: a client was dropped: it has to begin with "
				    "\"CONNECT <port>\"",
				    d->connect_path);
		stream_free(s);
		return;
	}
	list_remove(&s->timed_link);
	phase_set(s, VSOCK_PHASE_ASKED);
	watch_update(s);
	vsock_device_wake(d);
}

static void stream_ready(void *arg, int fd, unsigned ready)
{
	struct vsock_stream *s = arg;

	(void)fd;
	switch (s->phase) {
	case VSOCK_PHASE_HANDSHAKE:
		handshake_readable(s);
		break;
	case VSOCK_PHASE_OPEN:
		if ((ready & LOOP_READ) && !s->host_ended)
			stream_queue_read(s);
		/* Last, as it may end the stream. */
		if ((ready & LOOP_WRITE) && s->buffer.size)
			open_writable(s);
		else if (s->host_ended)
			stream_pass_ends(s);
		break;
	case VSOCK_PHASE_DRAINING:
		draining_writable(s);
		break;
	case VSOCK_PHASE_ASKED:
	case VSOCK_PHASE_DIALING:
		break;
	}
}

size_t vsock_host_read(struct vsock_device *d, const struct iovec *iov, unsigned iov_count,
		       size_t room, struct vsock_header *ret_header)
{
	struct vsock_stream *s = container_of(list_first(&d->ready), struct vsock_stream,
					      ready_link);
	uint32_t credit = vsock_conn_room(s->conn);
	struct iovec part[VIRTQ_CHAIN_IOV];
	struct msghdr msg = {.msg_iov = part};

	list_remove(&s->ready_link);
	if (credit == 0) {
		s->no_credit = true;
		vsock_conn_ask_credit(&d->mux, s->conn);
		watch_update(s);
		return 0;
	}
	msg.msg_iovlen = vsock_iov_slice(iov, iov_count, 0, room < credit ? room : credit, part);
	ssize_t got = recvmsg(s->fd, &msg, MSG_DONTWAIT);

	if (got > 0) {
		*ret_header = vsock_conn_data(&d->mux, s->conn, (uint32_t)got);
		/* Behind the others. */
		list_add_tail(&d->ready, &s->ready_link);
		return (size_t)got;
	}
	if (got == 0) {
		s->host_ended = true;
		stream_pass_ends(s);
	} else if (errno == EAGAIN || errno == EINTR) {
		watch_update(s);
	} else {
		stream_reset(s);
	}
	return 0;
}

/* Connects to the socket that stands for a port. Returns 0, -EAGAIN to try again, or -errno. */
static int dial(struct vsock_stream *s)
{
	char path[SOCK_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%.*s_%u", VSOCK_BASE_PATH_MAX, s->device->base_path,
		 s->conn->host_port);
	int r = sock_connect_unix(path, SOCK_STREAM, &fd);

	if (r == 0)
		r = stream_take_fd(s, fd);
	if (r < 0 && r != -EAGAIN)
		log_limited(LOG_LEVEL_DEBUG, "the guest's connection to port %u is refused: %s: %s",
			    s->conn->host_port, path, strerror(-r));
	return r;
}

static void dialled(struct vsock_stream *s)
{
	list_remove(&s->timed_link);
	phase_set(s, VSOCK_PHASE_OPEN);
	vsock_conn_accept(&s->device->mux, s->conn);
	watch_update(s);
	vsock_device_wake(s->device);
}

static void act_connect(struct vsock_device *d, struct vsock_conn *conn)
{
	struct vsock_stream *s = stream_new(d, VSOCK_PHASE_DIALING);

	if (!s) {
		vsock_conn_reset(&d->mux, conn);
		return;
	}
	s->conn = conn;
	conn->user = s;
	int r = dial(s);

	if (r == 0) {
		dialled(s);
	} else if (r == -EAGAIN) {
		deadline_set(s, VSOCK_DIAL_TIMEOUT_MS);
		loop_timer_set(d->dial_retry, VSOCK_DIAL_RETRY_MS);
	} else {
		d->counters.connects_failed++;
		stream_reset(s);
	}
}

static void on_dial_retry(void *arg)
{
	struct vsock_device *d = arg;
	bool again = false;

	list_for_each_safe (link, &d->timed) {
		struct vsock_stream *s = container_of(link, struct vsock_stream, timed_link);

		if (s->phase != VSOCK_PHASE_DIALING)
			continue;
		int r = dial(s);

		if (r == 0)
			dialled(s);
		else if (r == -EAGAIN)
			again = true;
		else {
			d->counters.connects_failed++;
			stream_reset(s);
		}
	}
	if (again)
		loop_timer_set(d->dial_retry, VSOCK_DIAL_RETRY_MS);
}

static void act_opened(struct vsock_stream *s)
{
	char ok[32];
	int size = snprintf(ok, sizeof(ok), "OK %u\n", s->conn->host_port);

	if (send(s->fd, ok, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) != size) {
		stream_reset(s);
		return;
	}
	phase_set(s, VSOCK_PHASE_OPEN);
	watch_update(s);
}

static void act_data(struct vsock_stream *s, const struct iovec *payload, unsigned payload_count)
{
	struct vsock_device *d = s->device;
	ssize_t sent = vsock_stream_send(s->fd, &s->buffer, d->mux.buf_alloc, payload,
					 payload_count);

	if (sent < 0) {
		stream_reset(s);
		return;
	}
	vsock_conn_consumed(&d->mux, s->conn, (uint32_t)sent);
	watch_update(s);
}

static void act_update(struct vsock_stream *s)
{
	if (s->phase != VSOCK_PHASE_OPEN)
		return;
	if (s->conn->guest_shut & VSOCK_SHUT_RECEIVE) {
		/* Who writes on to a guest that doesn't read must hear of it. */
		shutdown(s->fd, SHUT_RD);
		list_remove(&s->ready_link);
	}
	stream_pass_ends(s);
}

static void act_finish(struct vsock_stream *s)
{
	if (s->phase != VSOCK_PHASE_OPEN || !s->buffer.size) {
		stream_free(s);
		return;
	}
	list_remove(&s->ready_link);
	phase_set(s, VSOCK_PHASE_DRAINING);
	deadline_set(s, VSOCK_DRAIN_TIMEOUT_MS);
	watch_update(s);
}

/* The guest may have given credit with whatever it sent. */
static void credit_check(struct vsock_stream *s)
{
	if (!s->no_credit || vsock_conn_room(s->conn) == 0)
		return;
	s->no_credit = false;
	stream_queue_read(s);
}

void vsock_host_act(struct vsock_device *d, const struct vsock_result *result,
		    const struct iovec *payload, unsigned payload_count)
{
	struct vsock_stream *s = result->user;

	if (result->action == VSOCK_ACT_CONNECT)
		act_connect(d, result->conn);
	if (!s)
		return;
	s->conn = result->conn;
	if (s->conn)
		credit_check(s);
	switch (result->action) {
	case VSOCK_ACT_OPENED:
		act_opened(s);
		break;
	case VSOCK_ACT_DATA:
		act_data(s, payload, payload_count);
		break;
	case VSOCK_ACT_UPDATE:
		act_update(s);
		break;
	case VSOCK_ACT_FINISH:
		act_finish(s);
		break;
	case VSOCK_ACT_ABORT:
		stream_free(s);
		break;
	case VSOCK_ACT_NONE:
	case VSOCK_ACT_CONNECT:
		break;
	}
}

void vsock_host_tick_if_needed(struct vsock_device *d)
{
	if (d->tick && !loop_timer_pending(d->tick) &&
	    (!list_empty(&d->timed) || vsock_mux_timed(&d->mux)))
		loop_timer_set(d->tick, VSOCK_TICK_MS);
}

static void on_tick(void *arg)
{
	struct vsock_device *d = arg;
	uint64_t now_ms = loop_now_ms(d->loop);
	struct vsock_result result;

	while ((result = vsock_mux_expire(&d->mux, now_ms)).action != VSOCK_ACT_NONE) {
		struct vsock_stream *s = result.user;

		if (s)
			stream_free(s);
	}
	list_for_each_safe (link, &d->timed) {
		struct vsock_stream *s = container_of(link, struct vsock_stream, timed_link);

		if (now_ms < s->deadline_ms)
			continue;
		d->counters.timeouts++;
		stream_reset(s);
	}
	/* It was turned off where there were no fds left to accept with. */
	loop_fd_set(d->listen_watch, LOOP_READ);
	vsock_device_wake(d);
}

static void client_new(struct vsock_device *d, int fd)
{
	struct vsock_stream *s = NULL;

	if (d->handshakes_count < VSOCK_HANDSHAKES_MAX && vsock_device_running(d))
		s = stream_new(d, VSOCK_PHASE_HANDSHAKE);
	if (!s) {
		log_limited(LOG_LEVEL_WARN, "%s: a client was refused: %s", d->connect_path,
			    vsock_device_running(d) ? "too many connections"
						    : "no guest runs the device");
		fd_close(&fd);
		return;
	}
	d->handshakes_count++;
	if (stream_take_fd(s, fd) < 0) {
		stream_free(s);
		return;
	}
	deadline_set(s, VSOCK_HANDSHAKE_TIMEOUT_MS);
	watch_update(s);
}

static void listen_readable(void *arg, int listen_fd, unsigned ready)
{
	struct vsock_device *d = arg;

	(void)ready;
	for (unsigned i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int fd;
		int r = sock_accept(listen_fd, &fd, NULL);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			log_limited(LOG_LEVEL_ERROR, "%s: can't accept: %s", d->connect_path,
				    strerror(-r));
			loop_fd_set(d->listen_watch, 0);
			loop_timer_set(d->tick, VSOCK_TICK_MS);
			return;
		}
		client_new(d, fd);
	}
}

int vsock_host_start(struct vsock_device *d)
{
	int r = sock_listen_unix(d->connect_path, SOCK_STREAM, &d->listen_fd);

	if (r < 0)
		return r;
	r = loop_fd_new(d->loop, d->listen_fd, LOOP_READ, listen_readable, d, &d->listen_watch);
	if (r == 0)
		r = loop_timer_new(d->loop, on_tick, d, &d->tick);
	if (r == 0)
		r = loop_timer_new(d->loop, on_dial_retry, d, &d->dial_retry);
	return r;
}

void vsock_host_stop(struct vsock_device *d)
{
	list_for_each_safe (link, &d->streams)
		stream_free(container_of(link, struct vsock_stream, link));
	loop_timer_free(d->tick);
	loop_timer_free(d->dial_retry);
	loop_fd_free(d->listen_watch);
	if (d->listen_fd >= 0)
		unlink(d->connect_path);
	fd_close(&d->listen_fd);
}

void vsock_host_drop_conns(struct vsock_device *d)
{
	list_for_each_safe (link, &d->streams) {
		struct vsock_stream *s = container_of(link, struct vsock_stream, link);

		if (s->conn)
			stream_free(s);
	}
}
