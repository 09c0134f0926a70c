/* SPDX-License-Identifier: Apache-2.0 */
/* Replies without an end, and events: bounds, clients that go or don't read. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/events.h"
#include "api/stream.h"
#include "peer.h"
#include "unit.h"

#define ROOM (64 * 1024)

static struct loop *loop;
static int client, server;
static unsigned gone;

static void on_gone(void *arg)
{
	(void)arg;
	gone++;
}

static void setup(void)
{
	int fds[2];

	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	client = fds[0];
	server = fds[1];
	gone = 0;
}

static void teardown(void)
{
	close(client);
	loop_free(loop);
}

/* What has come, as a text of at most `size` - 1 bytes. */
static size_t receive(char *to, size_t size)
{
	size_t got = 0;
	ssize_t n;

	peer_settle(loop);
	while (got + 1 < size && (n = recv(client, to + got, size - 1 - got, 0)) > 0) {
		got += (size_t)n;
		peer_settle(loop);
	}
	to[got] = '\0';
	return got;
}

START_TEST(head_and_body)
{
	struct stream *stream;
	char text[1024];

	ck_assert_int_eq(stream_new(loop, server, "text/x", ROOM, on_gone, NULL, &stream), 0);
	ck_assert(stream_write(stream, "one ", 4));
	ck_assert(stream_write(stream, "two", 3));
	receive(text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\r\n\r\none two"));
	ck_assert_uint_eq(gone, 0);
	shutdown(client, SHUT_RDWR);
	peer_settle(loop);
	ck_assert_uint_eq(gone, 1);
	ck_assert(!stream_write(stream, "x", 1));
	peer_settle(loop);
	ck_assert_uint_eq(gone, 1);
	stream_free(stream);
}
END_TEST

START_TEST(room)
{
	static char piece[10000], all[4 * 1024 * 1024];
	struct stream *stream;
	size_t written = 0, got;
	unsigned refused = 0;

	ck_assert_int_eq(stream_new(loop, server, "text/x", ROOM, on_gone, NULL, &stream), 0);
	memset(piece, 'p', sizeof(piece));
	ck_assert(!stream_write(stream, all, ROOM + 1));
	for (int i = 0; i < 300; i++) {
		if (stream_write(stream, piece, sizeof(piece)))
			written += sizeof(piece);
		else
			refused++;
		peer_settle(loop);
	}
	ck_assert_uint_gt(refused, 0);
	ck_assert(!stream_has_room(stream, sizeof(piece)));
	got = receive(all, sizeof(all));
	got -= (size_t)(strstr(all, "\r\n\r\n") + 4 - all);
	ck_assert_uint_eq(got, written); /* all of what was taken, and nothing else */
	ck_assert(stream_has_room(stream, ROOM));
	stream_free(stream);
}
END_TEST

START_TEST(event_lines)
{
	struct json_object *fields = json_object_new_object();
	struct events *events;
	char text[4096];

	ck_assert_int_eq(events_new(loop, &events), 0);
	events_tell(events, EVENT_LEASE, json_object_new_object()); /* nobody hears */
	ck_assert_int_eq(events_listen(events, server), 0);
	json_object_object_add(fields, "hostname", json_object_new_string("a\nb\"c"));
	events_tell(events, EVENT_LEASE, fields);
	receive(text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\"type\":\"subscribed\"}\n"));
	ck_assert_ptr_nonnull(strstr(text, "\"type\":\"lease\",\"hostname\":\"a\\nb\\\"c\"}\n"));
	ck_assert_uint_eq(events_counters(events).told, 1);
	shutdown(client, SHUT_RDWR);
	peer_settle(loop);
	ck_assert_uint_eq(events_counters(events).listeners, 0);
	events_free(events);
}
END_TEST

START_TEST(event_rate)
{
	static char text[EVENTS_RATE * 128];
	struct events *events;

	loop_use_virtual_time(loop, 5000);
	ck_assert_int_eq(events_new(loop, &events), 0);
	ck_assert_int_eq(events_listen(events, server), 0);
	for (int i = 0; i < EVENTS_RATE + 7; i++) {
		events_tell(events, EVENT_DENIED, json_object_new_object());
		receive(text, sizeof(text));
	}
	ck_assert_uint_eq(events_counters(events).missed, 7);
	events_tell(events, EVENT_LEASE, json_object_new_object()); /* another type's share */
	receive(text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\"lease\""));
	loop_advance(loop, 1000);
	events_tell(events, EVENT_DENIED, json_object_new_object());
	receive(text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\"missed\":7"));
	events_free(events);
}
END_TEST

START_TEST(deaf_listener)
{
	struct events *events;

	ck_assert_int_eq(events_new(loop, &events), 0);
	ck_assert_int_eq(events_listen(events, server), 0);
	for (int i = 0; i < 2 * EVENTS_WAITING_MAX / 1024 && events_wanted(events); i++) {
		static char long_text[1500];
		struct json_object *fields = json_object_new_object();

		memset(long_text, 'x', sizeof(long_text) - 1);
		json_object_object_add(fields, "text", json_object_new_string(long_text));
		events_tell(events, (enum event_type)(EVENT_LEASE), fields);
		peer_settle(loop);
	}
	ck_assert_uint_eq(events_counters(events).cut, 1);
	ck_assert_uint_eq(events_counters(events).listeners, 0);
	events_free(events);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream");
	TCase *tcase = unit_case(suite, "stream", setup, teardown);

	tcase_add_test(tcase, head_and_body);
	tcase_add_test(tcase, room);
	tcase_add_test(tcase, event_lines);
	tcase_add_test(tcase, event_rate);
	tcase_add_test(tcase, deaf_listener);
	return unit_run(suite);
}
