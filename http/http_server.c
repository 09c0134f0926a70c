/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server's connections; see http_server.h. */
#include "http/http_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("api");

#define ACCEPTS_MAX     16 /* from the listener before others get their turn */
#define ACCEPT_PAUSE_MS 100
#define READ_SIZE       4096
#define LINGER_SIZE     (16 * 1024)

enum connection_state { READING, WRITING, LINGERING };

struct connection {
	struct http_server *server;
	struct list in_server; /* in `waiting`, `writing` or `held`; within, since when */
	uint64_t number;
	enum connection_state state;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	struct loop_task next_request; /* one request in a round, however many lie there */
	char *in;                      /* owned; what came and was not decoded */
	size_t in_size, in_room;
	char *out; /* owned; the reply */
	size_t out_size, out_sent;
	bool keep_alive;
	bool held;
	bool ended; /* the client sends nothing more */
	bool said_continue;
};

struct http_server {
	struct loop *loop;
	http_handler_fn *handler;
	void *arg;
	int listen_fd;
	struct loop_fd *watch;
	struct loop_timer *pause;
	struct list waiting; /* for the client: READING and LINGERING */
	struct list writing;
	struct list held; /* READING, and not to be closed for others */
	http_closed_fn *closed;
	uint64_t last_number;
	struct http_limits limits;
	size_t replies_size; /* waiting to be read */
	struct http_counters counters;
};

static void connection_close(struct connection *c)
{
	struct http_server *server = c->server;

	loop_task_cancel(server->loop, &c->next_request);
	loop_fd_free(c->watch);
	loop_timer_free(c->timer);
	list_remove(&c->in_server);
	fd_close(&c->fd);
	free(c->in);
	server->replies_size -= c->out_size;
	free(c->out);
	server->counters.connections--;
	if (c->held) {
		server->counters.held--;
		if (server->closed)
			server->closed(server->arg, c->number);
	}
	free(c);
}

static struct list *list_for(struct connection *c)
{
	if (c->state == WRITING)
		return &c->server->writing;
	return c->held && c->state == READING ? &c->server->held : &c->server->waiting;
}

static void enter(struct connection *c, enum connection_state state, uint64_t limit_ms)
{
	c->state = state;
	list_remove(&c->in_server);
	list_add_tail(list_for(c), &c->in_server);
	if (c->held && state == READING && !c->in_size)
		loop_timer_cancel(c->timer);
	else
		loop_timer_set(c->timer, limit_ms);
	loop_fd_set(c->watch, state == WRITING ? LOOP_WRITE : LOOP_READ);
}

static void on_timeout(void *arg)
{
	struct connection *c = arg;

	/* An idle connection and one that lingers end in this way as a matter of course. */
	if (c->state == WRITING || (c->state == READING && c->in_size))
		c->server->counters.timeouts++;
	connection_close(c);
}

/* ---- Replies ---- */

static void reply_sent(struct connection *c)
{
	c->server->replies_size -= c->out_size;
	free(c->out);
	c->out = NULL;
	c->out_size = c->out_sent = 0;
	if (!c->keep_alive)
		c->in_size = 0;
	if (!c->in_size) {
		free(c->in);
		c->in = NULL;
		c->in_room = 0;
	}
	if (!c->keep_alive) {
		shutdown(c->fd, SHUT_WR);
		enter(c, LINGERING, c->server->limits.linger_ms);
		return;
	}
	enter(c, READING, c->in_size ? c->server->limits.request_ms : c->server->limits.idle_ms);
	if (c->in_size || c->ended)
		loop_task_schedule(c->server->loop, &c->next_request);
}

/* Sends what the socket takes, and waits for it where there is more. May close the connection. */
static void send_reply(struct connection *c)
{
	while (c->out_sent < c->out_size) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (c->state != WRITING)
				enter(c, WRITING, c->server->limits.reply_ms);
			return;
		}
		if (n < 0) {
			connection_close(c);
			return;
		}
		c->out_sent += (size_t)n;
	}
	reply_sent(c);
}

/* Takes the reply's content. */
static void start_reply(struct connection *c, struct http_reply *reply, bool is_head)
{
	c->out = http_reply_encode(reply, is_head, c->keep_alive, &c->out_size);
	http_reply_clear(reply);
	if (!c->out) {
		c->out_size = 0;
		connection_close(c);
		return;
	}
	c->out_sent = 0;
	c->server->replies_size += c->out_size;
	send_reply(c);
}

/* ---- Requests ---- */

static void answer_malformed(struct connection *c, const struct http_progress *progress)
{
	struct http_reply reply = http_reply_empty();

	c->server->counters.malformed++;
	c->keep_alive = false;
	http_reply_text(&reply, progress->status, "this request can't be served: %s",
			progress->why);
	start_reply(c, &reply, false);
}

/* A client that vanishes without a word is found by the kernel, where it isn't on this host. */
static void hold(struct connection *c)
{
	int on = 1;

	if (c->held)
		return;
	c->held = true;
	c->server->counters.held++;
	setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* The connection leaves HTTP: its socket and what came behind the request are another's. */
static void hand_over(struct connection *c, const struct http_reply *reply, size_t taken)
{
	int fd = c->fd;

	loop_fd_free(c->watch);
	c->watch = NULL;
	c->fd = -1;
	reply->take(reply->take_arg, fd, c->in + taken, c->in_size - taken);
	connection_close(c);
}

static void answer(struct connection *c, struct http_request *request, size_t taken)
{
	struct http_server *server = c->server;
	struct http_reply reply = http_reply_empty();
	bool is_head = request->is_head;

	c->keep_alive = request->keep_alive;
	request->connection = c->number;
	request->may_hold = c->keep_alive &&
			    (c->held || server->counters.held < server->limits.connections_max / 2);
	if (server->replies_size > HTTP_REPLIES_SIZE_MAX)
		http_reply_text(&reply, 503,
				"too many replies wait to be read here; try again later");
	else
		server->handler(server->arg, request, &reply);
	if (reply.take) {
		hand_over(c, &reply, taken);
		return;
	}
	if (reply.hold)
		hold(c);
	/* What the request pointed to is no longer needed. */
	memmove(c->in, c->in + taken, c->in_size - taken);
	c->in_size -= taken;
	c->said_continue = false;
	start_reply(c, &reply, is_head);
}

/* Says that the body may come; a client that doesn't take these few bytes now gets along without
 * them. */
static void say_continue(struct connection *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (c->said_continue)
		return;
	c->said_continue = true;
	(void)!send(c->fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Serves the first request, if it is all there. */
static void serve(struct connection *c)
{
	struct http_progress progress = {0};
	struct http_request request;
	int r = http_request_decode(c->in, c->in_size, &request, &progress);

	if (r == 0 && c->in_size >= HTTP_REQUEST_SIZE_MAX) {
		progress = (struct http_progress){.status = 413, .why = "it is too long"};
		r = -EBADMSG;
	}
	if (r != 0)
		c->server->counters.requests++;
	if (r > 0)
		answer(c, &request, progress.taken);
	else if (r < 0)
		answer_malformed(c, &progress);
	else if (c->ended)
		connection_close(c);
	else if (progress.wants_continue)
		say_continue(c);
}

static void on_next_request(void *arg)
{
	serve(arg);
}

static bool make_room(struct connection *c)
{
	size_t room = c->in_room ? c->in_room * 2 : READ_SIZE;
	char *in;

	if (c->in_size < c->in_room)
		return true;
	if (room > HTTP_REQUEST_SIZE_MAX)
		room = HTTP_REQUEST_SIZE_MAX;
	in = realloc(c->in, room);
	if (!in)
		return false;
	c->in = in;
	c->in_room = room;
	return true;
}

static void read_request(struct connection *c)
{
	ssize_t n;

	if (!make_room(c)) {
		connection_close(c);
		return;
	}
	n = recv(c->fd, c->in + c->in_size, c->in_room - c->in_size, 0);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			connection_close(c);
		return;
	}
	/* The time for a request runs from its first byte, and no later byte prolongs it. */
	if (n > 0 && c->in_size == 0)
		enter(c, READING, c->server->limits.request_ms);
	c->in_size += (size_t)n;
	c->ended = n == 0;
	serve(c);
}

static void throw_away(struct connection *c)
{
	char nowhere[LINGER_SIZE];
	ssize_t n = recv(c->fd, nowhere, sizeof(nowhere), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		connection_close(c);
}

static void on_connection(void *arg, int fd, unsigned ready)
{
	struct connection *c = arg;

	(void)fd;
	switch (c->state) {
	case READING:
		/* A request that is to be served in this round comes before more bytes. */
		if ((ready & LOOP_READ) && !c->next_request.prev_next)
			read_request(c);
		break;
	case WRITING:
		if (ready & LOOP_WRITE)
			send_reply(c);
		break;
	case LINGERING:
		if (ready & LOOP_READ)
			throw_away(c);
		break;
	}
}

/* ---- Listening ---- */

static int connection_new(struct http_server *server, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		fd_close(&fd);
		return -ENOMEM;
	}
	c->server = server;
	c->number = ++server->last_number;
	c->fd = fd;
	c->next_request = (struct loop_task){.fn = on_next_request, .arg = c};
	list_init(&c->in_server);
	server->counters.connections++;
	r = loop_timer_new(server->loop, on_timeout, c, &c->timer);
	if (r == 0)
		r = loop_fd_new(server->loop, fd, LOOP_READ, on_connection, c, &c->watch);
	if (r < 0) {
		connection_close(c);
		return r;
	}
	enter(c, READING, server->limits.idle_ms);
	return 0;
}

/* Closes the connection that has waited longest, when there are too many. */
static void evict(struct http_server *server)
{
	struct list *oldest = list_first(&server->waiting);

	if (server->counters.connections < server->limits.connections_max)
		return;
	if (!oldest)
		oldest = list_first(&server->writing);
	assert(oldest);
	server->counters.evicted++;
	connection_close(container_of(oldest, struct connection, in_server));
}

static void on_pause_over(void *arg)
{
	struct http_server *server = arg;

	loop_fd_set(server->watch, LOOP_READ);
}

static void on_listener(void *arg, int listen_fd, unsigned ready)
{
	struct http_server *server = arg;

	(void)ready;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd;
		int r = sock_accept(listen_fd, &fd, NULL);

		if (r == 0) {
			evict(server);
			r = connection_new(server, fd);
		}
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			log_limited(LOG_LEVEL_ERROR, "can't accept a connection: %s", strerror(-r));
			loop_fd_set(server->watch, 0);
			loop_timer_set(server->pause, ACCEPT_PAUSE_MS);
			return;
		}
	}
}

int http_server_new(struct loop *loop, int listen_fd, const struct http_limits *limits,
		    http_handler_fn *handler, void *arg, struct http_server **ret_server)
{
	struct http_server *server = calloc(1, sizeof(*server));
	int r;

	assert(limits->connections_max > 0);
	if (!server) {
		fd_close(&listen_fd);
		return -ENOMEM;
	}
	server->loop = loop;
	server->listen_fd = listen_fd;
	server->limits = *limits;
	server->handler = handler;
	server->arg = arg;
	list_init(&server->waiting);
	list_init(&server->writing);
	list_init(&server->held);
	r = loop_timer_new(loop, on_pause_over, server, &server->pause);
	if (r == 0 && listen_fd >= 0)
		r = loop_fd_new(loop, listen_fd, LOOP_READ, on_listener, server, &server->watch);
	if (r < 0) {
		http_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

int http_server_add(struct http_server *server, int fd)
{
	evict(server);
	return connection_new(server, fd);
}

void http_server_free(struct http_server *server)
{
	struct list *node;

	if (!server)
		return;
	while ((node = list_first(&server->waiting)) || (node = list_first(&server->writing)) ||
	       (node = list_first(&server->held)))
		connection_close(container_of(node, struct connection, in_server));
	loop_fd_free(server->watch);
	loop_timer_free(server->pause);
	fd_close(&server->listen_fd);
	free(server);
}

void http_server_on_closed(struct http_server *server, http_closed_fn *closed)
{
	server->closed = closed;
}

struct http_counters http_server_counters(const struct http_server *server)
{
	return server->counters;
}
