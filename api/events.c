/* SPDX-License-Identifier: Apache-2.0 */
/* Events and their listeners; see events.h. */
#include "api/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/stream.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("api");

#define TIME_TEXT_MAX 40

struct listener {
	struct list in_events;
	struct events *events;
	struct stream *stream;
};

struct events {
	struct loop *loop;
	struct list listeners;
	struct events_counters counters;
	uint64_t second;              /* that `told` is about */
	unsigned told[EVENT_TYPES];   /* in that second */
	uint64_t missed[EVENT_TYPES]; /* since the last one that was told */
};

static const char *const type_texts[EVENT_TYPES] = {
	[EVENT_SUBSCRIBED] = "subscribed",
	[EVENT_GUEST_ATTACHED] = "guest_attached",
	[EVENT_GUEST_LEFT] = "guest_left",
	[EVENT_LEASE] = "lease",
	[EVENT_FORWARD_ADDED] = "forward_added",
	[EVENT_FORWARD_REMOVED] = "forward_removed",
	[EVENT_DENIED] = "denied",
};

static void listener_free(struct listener *listener)
{
	stream_free(listener->stream);
	list_remove(&listener->in_events);
	listener->events->counters.listeners--;
	free(listener);
}

static void on_gone(void *arg)
{
	listener_free(arg);
}

static bool may_tell(struct events *events, enum event_type type)
{
	uint64_t second = loop_now_ms(events->loop) / 1000;

	if (second != events->second) {
		events->second = second;
		memset(events->told, 0, sizeof(events->told));
	}
	if (events->told[type] < EVENTS_RATE) {
		events->told[type]++;
		return true;
	}
	events->missed[type]++;
	events->counters.missed++;
	return false;
}

/* RFC 3339, in UTC. */
static void format_now(char to[static TIME_TEXT_MAX])
{
	struct timespec now;
	struct tm tm;
	size_t size;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size = strftime(to, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(to + size, TIME_TEXT_MAX - size, ".%03ldZ", now.tv_nsec / 1000000);
}

/* An event as a line, owned by the caller; NULL: no memory. Takes `fields`. */
static char *make_line(struct events *events, enum event_type type, struct json_object *fields,
		       size_t *ret_size)
{
	struct json_object *event = json_object_new_object();
	char time[TIME_TEXT_MAX];
	char *line = NULL;
	int size;

	format_now(time);
	json_object_object_add(event, "time", json_object_new_string(time));
	json_object_object_add(event, "type", json_object_new_string(type_texts[type]));
	if (events->missed[type])
		json_object_object_add(event, "missed",
				       json_object_new_int64((int64_t)events->missed[type]));
	events->missed[type] = 0;
	if (fields) {
		json_object_object_foreach(fields, key, value)
		{
			json_object_object_add(event, key, json_object_get(value));
		}
		json_object_put(fields);
	}
	size = asprintf(&line, "%s\n",
			json_object_to_json_string_ext(
				event, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(event);
	if (size < 0)
		return NULL;
	*ret_size = (size_t)size;
	return line;
}

bool events_wanted(const struct events *events)
{
	return !list_empty(&events->listeners);
}

void events_tell(struct events *events, enum event_type type, struct json_object *fields)
{
	size_t size;
	char *line;

	if (!events_wanted(events) || !may_tell(events, type)) {
		json_object_put(fields);
		return;
	}
	line = make_line(events, type, fields, &size);
	if (!line)
		return;
	events->counters.told++;
	list_for_each_safe (node, &events->listeners) {
		struct listener *listener = container_of(node, struct listener, in_events);

		if (stream_write(listener->stream, line, size))
			continue;
		log_limited(LOG_LEVEL_WARN, "a listener of events doesn't read them: cut off");
		events->counters.cut++;
		listener_free(listener);
	}
	free(line);
}

bool events_full(const struct events *events)
{
	return events->counters.listeners >= EVENTS_LISTENERS_MAX;
}

int events_listen(struct events *events, int fd)
{
	struct listener *listener;
	size_t size;
	char *line;
	int r;

	if (events_full(events)) {
		fd_close(&fd);
		return -ENOSPC;
	}
	listener = calloc(1, sizeof(*listener));
	if (!listener) {
		fd_close(&fd);
		return -ENOMEM;
	}
	listener->events = events;
	r = stream_new(events->loop, fd, "application/x-ndjson", EVENTS_WAITING_MAX, on_gone,
		       listener, &listener->stream);
	if (r < 0) {
		free(listener);
		return r;
	}
	list_add_tail(&events->listeners, &listener->in_events);
	events->counters.listeners++;
	line = make_line(events, EVENT_SUBSCRIBED, NULL, &size);
	if (line)
		(void)stream_write(listener->stream, line, size);
	free(line);
	return 0;
}

struct events_counters events_counters(const struct events *events)
{
	return events->counters;
}

int events_new(struct loop *loop, struct events **ret_events)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	events->loop = loop;
	list_init(&events->listeners);
	*ret_events = events;
	return 0;
}

void events_free(struct events *events)
{
	struct list *node;

	if (!events)
		return;
	while ((node = list_first(&events->listeners)))
		listener_free(container_of(node, struct listener, in_events));
	free(events);
}
