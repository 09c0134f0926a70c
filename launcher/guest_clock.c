/* SPDX-License-Identifier: Apache-2.0 */
/* See guest_clock.h. */
#include "launcher/guest_clock.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("clock");

#define COMMAND_MAX 128
#define WHY_MAX     200
#define NS_PER_S    UINT64_C(1000000000)
/* Makes the agent's parser forget what it has, and stands before the answer to a sync. */
#define DELIMITER "\xff"

enum step {
	STEP_NONE,
	STEP_SYNC, /* what comes may be for others still */
	STEP_TIME,
};

struct guest_clock {
	struct loop *loop;
	char path[PATH_MAX];
	enum step step;
	int64_t sync_id;
	int fd; /* -1: none */
	struct loop_fd *watch;
	struct loop_timer *timer;
	char line[GUEST_CLOCK_LINE_MAX];
	size_t line_size, bytes;
	bool line_cut; /* it is longer than that */
};

enum guest_clock_line guest_clock_read(const char *line, size_t size, int64_t *ret_value, char *why,
				       size_t why_size)
{
	enum guest_clock_line kind = GUEST_CLOCK_OTHER;
	struct json_object *object = NULL, *value;
	char error[WHY_MAX];

	while (size > 0 && *line == DELIMITER[0]) {
		line++;
		size--;
	}
	if (size == 0 || json_parse(line, size, &object, error, sizeof(error)) < 0)
		return GUEST_CLOCK_OTHER;
	if (json_object_object_get_ex(object, "return", &value)) {
		*ret_value = json_object_get_int64(value);
		kind = GUEST_CLOCK_RETURN;
	} else if (json_object_object_get_ex(object, "error", &value)) {
		struct json_object *text = NULL;

		json_object_object_get_ex(value, "desc", &text);
		snprintf(why, why_size, "%s",
			 json_object_is_type(text, json_type_string) ? json_object_get_string(text)
								     : "it doesn't say why");
		kind = GUEST_CLOCK_REFUSED;
	}
	json_object_put(object);
	return kind;
}

static void stop(struct guest_clock *c)
{
	loop_timer_cancel(c->timer);
	loop_fd_free(c->watch);
	c->watch = NULL;
	fd_close(&c->fd);
	c->step = STEP_NONE;
}

/* A command fits any socket's buffer. */
static void say(struct guest_clock *c, const char *command, int size)
{
	if (send(c->fd, command, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT) != size) {
		log_debug("the guest's agent can't be asked: %s", strerror(errno));
		stop(c);
	}
}

static void say_time(struct guest_clock *c)
{
	char text[COMMAND_MAX];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	c->step = STEP_TIME;
	say(c, text,
	    snprintf(text, sizeof(text),
		     "{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":%" PRIu64 "}}\n",
		     (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec));
}

static void take_line(struct guest_clock *c)
{
	char why[WHY_MAX];
	int64_t value;

	switch (guest_clock_read(c->line, c->line_size, &value, why, sizeof(why))) {
	case GUEST_CLOCK_OTHER:
		break;
	case GUEST_CLOCK_RETURN:
		if (c->step == STEP_SYNC && value == c->sync_id) {
			say_time(c);
		} else if (c->step == STEP_TIME) {
			log_info("the guest's clock is set");
			stop(c);
		}
		break;
	case GUEST_CLOCK_REFUSED:
		if (c->step == STEP_TIME) {
			log_warn("the guest's agent couldn't set its clock: %s", why);
			stop(c);
		}
		break;
	}
}

static void on_answer(void *arg, int fd, unsigned ready)
{
	struct guest_clock *c = arg;
	char data[512];
	ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

	(void)ready;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->bytes += n > 0 ? (size_t)n : 0;
	if (n <= 0 || c->bytes > GUEST_CLOCK_BYTES_MAX) {
		log_debug("the guest's agent %s", n > 0 ? "says too much" : "hung up");
		stop(c);
		return;
	}
	for (ssize_t i = 0; i < n && c->step != STEP_NONE; i++) {
		if (data[i] != '\n') {
			c->line_cut |= c->line_size == sizeof(c->line);
			if (!c->line_cut)
				c->line[c->line_size++] = data[i];
			continue;
		}
		if (!c->line_cut)
			take_line(c);
		c->line_size = 0;
		c->line_cut = false;
	}
}

static void on_timeout(void *arg)
{
	struct guest_clock *c = arg;

	log_debug("no agent in the guest answers: its clock isn't set");
	stop(c);
}

int guest_clock_new(struct loop *loop, const char *path, struct guest_clock **ret_clock)
{
	struct guest_clock *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct guest_clock){.loop = loop, .fd = -1};
	r = snprintf(c->path, sizeof(c->path), "%s", path) < (int)sizeof(c->path) ? 0
										  : -ENAMETOOLONG;
	if (r == 0)
		r = loop_timer_new(loop, on_timeout, c, &c->timer);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret_clock = c;
	return 0;
}

void guest_clock_set(struct guest_clock *c)
{
	char text[COMMAND_MAX];
	int r;

	stop(c);
	c->line_size = c->bytes = 0;
	c->line_cut = false;
	c->sync_id++;
	r = sock_connect_unix(c->path, SOCK_STREAM, &c->fd);
	if (r == 0)
		r = loop_fd_new(c->loop, c->fd, LOOP_READ, on_answer, c, &c->watch);
	if (r < 0) {
		log_debug("%s: %s", c->path, strerror(-r));
		fd_close(&c->fd);
		return;
	}
	loop_timer_set(c->timer, GUEST_CLOCK_TIMEOUT_MS);
	c->step = STEP_SYNC;
	say(c, text,
	    snprintf(text, sizeof(text),
		     DELIMITER
		     "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%" PRId64 "}}\n",
		     c->sync_id));
}

void guest_clock_free(struct guest_clock *clock)
{
	if (!clock)
		return;
	stop(clock);
	loop_timer_free(clock->timer);
	free(clock);
}
