/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client against a scripted peer at the other end of a socket pair. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "launcher/qmp.h"
#include "launcher/qmp_message.h"
#include "unit.h"

#define GREETING \
	"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n"
#define ROUNDS_MAX 1000

static struct loop *loop;
static struct qmp *qmp;
static int peer;

static struct {
	unsigned ready, events, closed, replies;
	char event[64], reason[256], error[256];
	int status;
	int64_t value;
	bool free_on_event, free_on_close;
} seen;

static void on_ready(void *arg)
{
	(void)arg;
	seen.ready++;
}

static void on_event(void *arg, const char *name, struct json_object *data)
{
	struct json_object *reason;

	(void)arg;
	seen.events++;
	snprintf(seen.event, sizeof(seen.event), "%s", name);
	if (json_object_object_get_ex(data, "reason", &reason))
		snprintf(seen.reason, sizeof(seen.reason), "%s", json_object_get_string(reason));
	if (seen.free_on_event) {
		qmp_free(qmp);
		qmp = NULL;
	}
}

static void on_closed(void *arg, const char *reason)
{
	(void)arg;
	seen.closed++;
	snprintf(seen.reason, sizeof(seen.reason), "%s", reason);
	if (seen.free_on_close) {
		qmp_free(qmp);
		qmp = NULL;
	}
}

static const struct qmp_user user = {.ready = on_ready, .event = on_event, .closed = on_closed};

static void on_reply(void *arg, int status, struct json_object *value, const char *error)
{
	ck_assert_ptr_eq(arg, &seen);
	seen.replies++;
	seen.status = status;
	seen.value = value ? json_object_get_int64(value) : -1;
	snprintf(seen.error, sizeof(seen.error), "%s", error ? error : "");
}

static void setup(void)
{
	int fds[2];

	log_set_levels("error");
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	peer = fds[1];
	ck_assert_int_eq(qmp_new(loop, fds[0], &user, &seen, &qmp), 0);
}

static void teardown(void)
{
	qmp_free(qmp);
	qmp = NULL;
	if (peer >= 0)
		close(peer);
	loop_free(loop);
}

static void say(const char *text)
{
	ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	for (int i = 0; i < 8; i++)
		loop_run_once(loop, false);
}

/* Everything that the client has sent, compared with `wanted`. */
static void expect_sent(const char *wanted)
{
	char got[4096];
	ssize_t n = recv(peer, got, sizeof(got) - 1, MSG_DONTWAIT);

	got[n > 0 ? n : 0] = '\0';
	ck_assert_str_eq(got, wanted);
}

static void negotiate(void)
{
	say(GREETING);
	expect_sent("{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
	ck_assert_uint_eq(seen.ready, 0);
	say("{\"return\": {}, \"id\": 0}\r\n");
	ck_assert_uint_eq(seen.ready, 1);
}

START_TEST(test_negotiation)
{
	expect_sent("");
	negotiate();
	expect_sent("");
	ck_assert_uint_eq(seen.closed, 0);
}
END_TEST

START_TEST(test_reply_and_error)
{
	struct json_object *arguments = json_object_new_object();

	negotiate();
	json_object_object_add(arguments, "value", json_object_new_int(3));
	ck_assert_int_eq(qmp_execute(qmp, "balloon", arguments, on_reply, &seen), 0);
	ck_assert_int_eq(qmp_execute(qmp, "no-such", NULL, on_reply, &seen), 0);
	expect_sent("{\"execute\":\"balloon\",\"id\":1,\"arguments\":{\"value\":3}}\n"
		    "{\"execute\":\"no-such\",\"id\":2}\n");
	say("{\"return\": 42, \"id\": 1}\n");
	ck_assert_uint_eq(seen.replies, 1);
	ck_assert_int_eq(seen.status, 0);
	ck_assert_int_eq(seen.value, 42);
	say("{\"id\": 2, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"not found\"}}\n");
	ck_assert_uint_eq(seen.replies, 2);
	ck_assert_int_eq(seen.status, -EREMOTEIO);
	ck_assert_str_eq(seen.error, "not found");
	ck_assert_uint_eq(seen.closed, 0);
}
END_TEST

/* Commands given too early wait for the negotiation, in order. */
START_TEST(test_early_commands)
{
	ck_assert_int_eq(qmp_execute(qmp, "one", NULL, on_reply, &seen), 0);
	ck_assert_int_eq(qmp_execute(qmp, "two", NULL, NULL, NULL), 0);
	expect_sent("");
	say(GREETING);
	expect_sent("{\"execute\":\"qmp_capabilities\",\"id\":2}\n");
	say("{\"return\": {}, \"id\": 2}\n");
	expect_sent("{\"execute\":\"one\",\"id\":0}\n{\"execute\":\"two\",\"id\":1}\n");
	say("{\"return\": {}, \"id\": 0}\n{\"return\": {}, \"id\": 1}\n");
	ck_assert_uint_eq(seen.replies, 1);
}
END_TEST

START_TEST(test_events_in_pieces)
{
	negotiate();
	say("{\"event\": \"SHUT");
	ck_assert_uint_eq(seen.events, 0);
	say("DOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\r");
	ck_assert_uint_eq(seen.events, 0);
	say("\n\r\n{\"event\": \"STOP\"}\n");
	ck_assert_uint_eq(seen.events, 2);
	ck_assert_str_eq(seen.event, "STOP");
	ck_assert_str_eq(seen.reason, "guest-shutdown");
}
END_TEST

START_TEST(test_peer_closes)
{
	negotiate();
	ck_assert_int_eq(qmp_execute(qmp, "quit", NULL, on_reply, &seen), 0);
	shutdown(peer, SHUT_WR);
	for (int i = 0; i < 4; i++)
		loop_run_once(loop, false);
	ck_assert_uint_eq(seen.replies, 1);
	ck_assert_int_eq(seen.status, -EPIPE);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_int_eq(qmp_execute(qmp, "quit", NULL, on_reply, &seen), -EPIPE);
	ck_assert_uint_eq(seen.replies, 1);
}
END_TEST

/* QEMU's last event is there when it is asked for, without another round of the loop. */
START_TEST(test_drain)
{
	static const char last[] =
		"{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\n";

	negotiate();
	ck_assert_int_gt(send(peer, last, sizeof(last) - 1, 0), 0);
	close(peer);
	peer = -1;
	qmp_drain(qmp);
	ck_assert_uint_eq(seen.events, 1);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_str_eq(seen.event, "SHUTDOWN");
	qmp_drain(qmp);
	ck_assert_uint_eq(seen.closed, 1);
}
END_TEST

static const char *const garbage[] = {
	"not json\n",
	"[]\n",
	"42\n",
	"{}\n",
	"{\"event\": 3}\n",
	"{\"error\": {}, \"id\": 1}\n",
	"{\"error\": null, \"id\": 1}\n",
	GREETING,
};

START_TEST(test_garbage)
{
	negotiate();
	say(garbage[_i]);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_str_ne(seen.reason, "");
	for (int i = 0; i < 4; i++)
		loop_run_once(loop, false);
	ck_assert_uint_eq(seen.closed, 1);
}
END_TEST

/* Answers to nobody are dropped, and do no harm. */
START_TEST(test_unasked_answers)
{
	negotiate();
	say("{\"return\": 1, \"id\": 99}\n{\"return\": 1}\n{\"return\": 1, \"id\": \"x\"}\n"
	    "{\"error\": {\"desc\": \"JSON parse error\"}}\n{\"return\": 1, \"id\": 0}\n");
	ck_assert_uint_eq(seen.closed, 0);
	ck_assert_uint_eq(seen.replies, 0);
}
END_TEST

START_TEST(test_endless_line)
{
	char junk[65536];
	size_t sent = 0;

	negotiate();
	memset(junk, ' ', sizeof(junk));
	for (int i = 0; i < ROUNDS_MAX && seen.closed == 0; i++) {
		ssize_t n = send(peer, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, false);
	}
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_uint_le(sent, QMP_LINE_MAX + 20 * sizeof(junk));
	ck_assert_ptr_nonnull(strstr(seen.reason, "too long"));
}
END_TEST

START_TEST(test_too_many_commands)
{
	negotiate();
	for (int i = 0; i < QMP_PENDING_MAX; i++)
		ck_assert_int_eq(qmp_execute(qmp, "stop", NULL, on_reply, &seen), 0);
	ck_assert_int_eq(qmp_execute(qmp, "stop", NULL, on_reply, &seen), -ENOBUFS);
	say("{\"return\": {}, \"id\": 1}\n");
	ck_assert_int_eq(qmp_execute(qmp, "stop", NULL, on_reply, &seen), 0);
}
END_TEST

/* A peer that doesn't read: commands wait in a bounded buffer, and get there when it reads. */
START_TEST(test_peer_is_slow)
{
	struct json_object *arguments;
	char *text = malloc(400001);
	char got[65536];
	size_t total = 0;
	int r = 0, given = 0;

	memset(text, 'x', 400000);
	text[400000] = '\0';
	negotiate();
	for (; given < 10 && r == 0; given += r == 0) {
		arguments = json_object_new_object();
		json_object_object_add(arguments, "text", json_object_new_string(text));
		r = qmp_execute(qmp, "long", arguments, NULL, NULL);
	}
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_int_ge(given, 2);
	for (int i = 0; i < ROUNDS_MAX && total < (size_t)given * 400000; i++) {
		ssize_t n = recv(peer, got, sizeof(got), MSG_DONTWAIT);

		total += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, false);
	}
	ck_assert_uint_gt(total, (size_t)given * 400000);
	free(text);
}
END_TEST

START_TEST(test_refused_capabilities)
{
	say(GREETING);
	say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 0}\n");
	ck_assert_uint_eq(seen.ready, 0);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_str_eq(seen.reason, "no");
}
END_TEST

START_TEST(test_free_from_event)
{
	negotiate();
	seen.free_on_event = true;
	say("{\"event\": \"A\"}\n{\"event\": \"B\"}\n");
	ck_assert_uint_eq(seen.events, 1);
	ck_assert_ptr_null(qmp);
}
END_TEST

START_TEST(test_free_from_closed)
{
	negotiate();
	ck_assert_int_eq(qmp_execute(qmp, "quit", NULL, on_reply, &seen), 0);
	seen.free_on_close = true;
	say("rubbish\n");
	ck_assert_uint_eq(seen.replies, 1);
	ck_assert_ptr_null(qmp);
}
END_TEST

START_TEST(test_free_with_pending)
{
	negotiate();
	ck_assert_int_eq(qmp_execute(qmp, "quit", NULL, on_reply, &seen), 0);
	qmp_free(qmp);
	qmp = NULL;
	ck_assert_uint_eq(seen.replies, 0);
}
END_TEST

/* The splitter gives the same lines however the bytes arrive. */
START_TEST(test_lines)
{
	static const char text[] = "one\r\ntwo\n\nlonger line\nrest";
	static const char *const wanted[] = {"one", "two", "", "longer line"};

	for (size_t step = 1; step <= sizeof(text); step++) {
		struct qmp_lines lines = {.data = NULL};
		size_t count = 0, size;
		const char *line;

		for (size_t at = 0; at < sizeof(text) - 1; at += step) {
			size_t left = sizeof(text) - 1 - at;

			ck_assert_int_eq(
				qmp_lines_add(&lines, text + at, left < step ? left : step), 0);
			while ((line = qmp_lines_next(&lines, &size))) {
				ck_assert_uint_lt(count, 4);
				ck_assert_uint_eq(size, strlen(wanted[count]));
				ck_assert_int_eq(memcmp(line, wanted[count++], size), 0);
			}
		}
		ck_assert_uint_eq(count, 4);
		qmp_lines_clear(&lines);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_qmp");
	TCase *tcase = unit_case(suite, "qmp", setup, teardown);

	tcase_add_test(tcase, test_negotiation);
	tcase_add_test(tcase, test_reply_and_error);
	tcase_add_test(tcase, test_early_commands);
	tcase_add_test(tcase, test_events_in_pieces);
	tcase_add_test(tcase, test_peer_closes);
	tcase_add_test(tcase, test_drain);
	tcase_add_loop_test(tcase, test_garbage, 0, (int)(sizeof(garbage) / sizeof(garbage[0])));
	tcase_add_test(tcase, test_unasked_answers);
	tcase_add_test(tcase, test_endless_line);
	tcase_add_test(tcase, test_too_many_commands);
	tcase_add_test(tcase, test_peer_is_slow);
	tcase_add_test(tcase, test_refused_capabilities);
	tcase_add_test(tcase, test_free_from_event);
	tcase_add_test(tcase, test_free_from_closed);
	tcase_add_test(tcase, test_free_with_pending);
	tcase_add_test(tcase, test_lines);
	return unit_run(suite);
}
