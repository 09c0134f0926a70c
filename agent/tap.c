/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between a tap and netproxy; see tap.h. Either way is read in batches, and not at all while
 * what was read before can't be written.
 */
#include "agent/tap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/frame_buffer.h"
#include "agent/tap_device.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/sock.h"

LOG_MODULE("tap");

#define PATH_CONNECT    "/connect"
#define CONNECT_MS      5000
#define BACKOFF_MIN_MS  250
#define BACKOFF_MAX_MS  10000
#define FRAMES_PER_READ 64
#define HTTP_START      "HTTP/"

struct tap {
	const struct tap_conf *conf;
	struct loop *loop;
	struct loop_signal *signals[2];
	struct loop_timer *retry;
	int fd;
	struct loop_fd *watch;
	int peer; /* the connection; -1: none */
	struct loop_fd *peer_watch;
	bool heard; /* something has come by it */
	bool complained;
	uint32_t backoff_ms;
	struct frame_buffer out; /* to netproxy */
	struct frame_buffer in;
};

/* ---- The connection ---- */

static void disconnect(struct tap *tap, const char *why)
{
	bool was_up = tap->peer >= 0;

	loop_fd_free(tap->peer_watch);
	tap->peer_watch = NULL;
	fd_close(&tap->peer);
	frame_buffer_clear(&tap->out);
	frame_buffer_clear(&tap->in);
	tap_device_set_carrier(tap->fd, false);
	loop_fd_set(tap->watch, 0);
	if (was_up ? tap->heard : !tap->complained)
		log_warn("%s: trying again", why);
	tap->complained = true;
	loop_timer_set(tap->retry, tap->backoff_ms);
	tap->backoff_ms = tap->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
							       : tap->backoff_ms * 2;
}

/* What waits for the other side decides what is read. */
static void update_watches(struct tap *tap)
{
	bool waits = !frame_buffer_empty(&tap->out);

	loop_fd_set(tap->watch, waits ? 0 : LOOP_READ);
	loop_fd_set(tap->peer_watch, waits ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* ---- Frames ---- */

static int send_out(struct tap *tap)
{
	while (!frame_buffer_empty(&tap->out)) {
		size_t size;
		const uint8_t *bytes = frame_buffer_bytes(&tap->out, &size);
		ssize_t n = send(tap->peer, bytes, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		frame_buffer_sent(&tap->out, (size_t)n);
	}
	return 0;
}

static void on_tap(void *arg, int fd, unsigned ready)
{
	struct tap *tap = arg;
	uint8_t *to;
	int r;

	(void)ready;
	for (int i = 0; i < FRAMES_PER_READ && (to = frame_buffer_frame(&tap->out)); i++) {
		ssize_t n = read(fd, to, FRAME_SIZE_MAX);

		if (n <= 0)
			break;
		frame_buffer_add(&tap->out, (size_t)n);
	}
	r = send_out(tap);
	if (r < 0)
		disconnect(tap, strerror(-r));
	else
		update_watches(tap);
}

/* A frame that the kernel doesn't take, being too short, or as the interface is down, is lost. */
static int deliver(struct tap *tap)
{
	const uint8_t *frame;
	size_t size;
	int r;

	while ((r = frame_buffer_next(&tap->in, &frame, &size)) > 0) {
		if (write(tap->fd, frame, size) < 0)
			log_debug("a frame of %zu bytes is lost: %s", size, strerror(errno));
	}
	return r;
}

/* Where the API has refused, it answers in HTTP, which no frame can be taken for: its length would
 * be more than 20000. */
static bool is_refusal(const uint8_t *data, size_t size)
{
	return size >= strlen(HTTP_START) && memcmp(data, HTTP_START, strlen(HTTP_START)) == 0;
}

static void on_peer(void *arg, int fd, unsigned ready)
{
	struct tap *tap = arg;
	int r = 0;

	if (ready & LOOP_READ) {
		size_t room;
		uint8_t *to = frame_buffer_space(&tap->in, &room);
		ssize_t n = recv(fd, to, room, 0);

		if (n == 0) {
			disconnect(tap, "netproxy has ended the connection");
			return;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			r = -errno;
		if (n > 0 && !tap->heard && is_refusal(to, (size_t)n)) {
			tap->heard = !tap->complained;
			disconnect(tap, "netproxy refuses to connect this machine");
			return;
		}
		if (n > 0) {
			tap->heard = true;
			tap->complained = false;
			tap->backoff_ms = BACKOFF_MIN_MS;
			frame_buffer_received(&tap->in, (size_t)n);
			r = deliver(tap);
		}
	}
	if (r == 0)
		r = send_out(tap);
	if (r < 0)
		disconnect(tap,
			   r == -EBADMSG ? "netproxy sent a frame without a length" : strerror(-r));
	else
		update_watches(tap);
}

static void on_retry(void *arg)
{
	struct tap *tap = arg;
	struct api_reach reach = tap->conf->reach;
	uint64_t deadline_ms = clock_ms() + CONNECT_MS;
	char error[API_REACH_ERROR_MAX] = "", where[SOCK_PATH_MAX + 32];
	int r = api_reach_choose(&reach, deadline_ms, error);

	if (r == 0)
		r = api_connect(&reach.target, deadline_ms, &tap->peer, error);
	if (r == 0)
		r = api_send(tap->peer, &reach.target, "POST", PATH_CONNECT, deadline_ms, error);
	if (r == 0)
		r = loop_fd_new(tap->loop, tap->peer, LOOP_READ, on_peer, tap, &tap->peer_watch);
	if (r < 0) {
		fd_close(&tap->peer);
		disconnect(tap, error[0] ? error : strerror(-r));
		return;
	}
	tap->heard = false;
	log_info("%s is connected by %s", tap->conf->ifname,
		 api_target_describe(&reach.target, where, sizeof(where)));
	tap_device_set_carrier(tap->fd, true);
	update_watches(tap);
}

/* ---- Life ---- */

static void on_stop(void *arg)
{
	struct tap *tap = arg;

	loop_stop(tap->loop, 0);
}

static int start(struct tap *tap)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	char error[TAP_ERROR_MAX];
	int r = loop_new(&tap->loop);

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		r = loop_signal_new(tap->loop, numbers[i], on_stop, tap, &tap->signals[i]);
	if (r == 0)
		r = loop_timer_new(tap->loop, on_retry, tap, &tap->retry);
	if (r < 0) {
		log_error("can't start: %s", strerror(-r));
		return r;
	}
	r = tap_device_open(tap->conf, &tap->fd, error);
	if (r < 0) {
		log_error("%s", error);
		return r;
	}
	r = loop_fd_new(tap->loop, tap->fd, 0, on_tap, tap, &tap->watch);
	if (r == 0) {
		tap_device_set_carrier(tap->fd, false);
		loop_timer_set(tap->retry, 0);
	}
	return r;
}

static void stop(struct tap *tap)
{
	loop_fd_free(tap->peer_watch);
	fd_close(&tap->peer);
	loop_fd_free(tap->watch);
	fd_close(&tap->fd);
	loop_timer_free(tap->retry);
	for (size_t i = 0; i < sizeof(tap->signals) / sizeof(tap->signals[0]); i++)
		loop_signal_free(tap->signals[i]);
	loop_free(tap->loop);
}

int tap_run(const struct tap_conf *conf)
{
	static struct tap tap; /* too large for the stack; there is one in a process */
	int r;

	tap = (struct tap){.conf = conf, .fd = -1, .peer = -1, .backoff_ms = BACKOFF_MIN_MS};
	r = start(&tap);
	if (r == 0)
		r = loop_run(tap.loop);
	stop(&tap);
	return r;
}
