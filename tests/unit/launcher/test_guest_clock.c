/* SPDX-License-Identifier: Apache-2.0 */
/* Setting the guest's clock: the test plays the guest's agent, well and badly behaved. */
#include "launcher/guest_clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/sock.h"
#include "unit.h"

#define SYNC_BEGIN "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":"
#define TIME_BEGIN "{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":"

static char folder[] = "/tmp/np-clock-XXXXXX";
static char path[64];
static struct loop *loop;
static struct guest_clock *guest_clock;
static int listener, agent;
static char heard[512];

static void run_a_while(void)
{
	for (int i = 0; i < 20; i++)
		loop_run_once(loop, false);
}

static void setup(void)
{
	strcpy(folder, "/tmp/np-clock-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/qga.sock", folder);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &listener), 0);
	ck_assert_int_eq(loop_new(&loop), 0);
	loop_use_virtual_time(loop, 1000);
	ck_assert_int_eq(guest_clock_new(loop, path, &guest_clock), 0);
	agent = -1;
}

static void teardown(void)
{
	guest_clock_free(guest_clock);
	loop_free(loop);
	fd_close(&agent);
	fd_close(&listener);
	unlink(path);
	rmdir(folder);
}

/* What the agent hears next; empty: nothing; NULL: its client hung up. */
static const char *hear(void)
{
	ssize_t n;

	run_a_while();
	n = recv(agent, heard, sizeof(heard) - 1, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return NULL;
	heard[n > 0 ? n : 0] = '\0';
	return heard;
}

static void say(const char *text)
{
	ck_assert_int_eq(send(agent, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	run_a_while();
}

/* Begins, and answers the sync. */
static void begin(void)
{
	char answer[64];
	const char *text;

	fd_close(&agent);
	guest_clock_set(guest_clock);
	ck_assert_int_eq(sock_accept(listener, &agent, NULL), 0);
	text = hear();
	ck_assert_int_eq(strncmp(text, SYNC_BEGIN, strlen(SYNC_BEGIN)), 0);
	snprintf(answer, sizeof(answer), "\xff{\"return\": %d}\n", atoi(text + strlen(SYNC_BEGIN)));
	say(answer);
}

static void expect_time(void)
{
	const char *text = hear();

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(strncmp(text, TIME_BEGIN, strlen(TIME_BEGIN)), 0);
	ck_assert_int_le(
		llabs(strtoll(text + strlen(TIME_BEGIN), NULL, 10) / 1000000000 - time(NULL)), 2);
}

START_TEST(test_set)
{
	begin();
	expect_time();
	say("{\"return\": {}}\n");
	ck_assert_ptr_null(hear());
	/* Again, as after the next pause. */
	begin();
	expect_time();
}
END_TEST

START_TEST(test_refused)
{
	begin();
	expect_time();
	say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no hwclock\"}}\n");
	ck_assert_ptr_null(hear());
}
END_TEST

/* Answers to another client, half of one, and a complaint about the delimiter. */
START_TEST(test_stale_answers)
{
	guest_clock_set(guest_clock);
	ck_assert_int_eq(sock_accept(listener, &agent, NULL), 0);
	ck_assert_str_ne(hear(), "");
	say("rn\": 4}\n{\"return\": {}}\n{\"error\": {\"desc\": \"bad\"}}\n{\"return\": 99}\n");
	ck_assert_str_eq(hear(), "");
	say("\xff{\"return\": 1}\n");
	expect_time();
}
END_TEST

START_TEST(test_begun_again)
{
	int before;

	guest_clock_set(guest_clock);
	ck_assert_int_eq(sock_accept(listener, &before, NULL), 0);
	begin();
	expect_time();
	ck_assert_int_gt(recv(before, heard, sizeof(heard), 0), 0);
	ck_assert_int_eq(recv(before, heard, sizeof(heard), 0), 0);
	fd_close(&before);
}
END_TEST

START_TEST(test_no_agent)
{
	guest_clock_set(guest_clock);
	ck_assert_int_eq(sock_accept(listener, &agent, NULL), 0);
	ck_assert_str_ne(hear(), "");
	loop_advance(loop, GUEST_CLOCK_TIMEOUT_MS - 1);
	ck_assert_str_eq(hear(), "");
	loop_advance(loop, 1);
	ck_assert_ptr_null(hear());
}
END_TEST

/* A line without end, then lines without end. */
START_TEST(test_floods)
{
	char much[GUEST_CLOCK_LINE_MAX + 100];
	size_t sent = 0;

	memset(much, 'x', sizeof(much));
	much[sizeof(much) - 1] = '\0';
	guest_clock_set(guest_clock);
	ck_assert_int_eq(sock_accept(listener, &agent, NULL), 0);
	ck_assert_str_ne(hear(), "");
	say(much);
	say("\n\xff{\"return\": 1}\n");
	expect_time();
	for (; sent < GUEST_CLOCK_BYTES_MAX && hear(); sent += strlen(much))
		ck_assert_int_gt(send(agent, much, strlen(much), MSG_NOSIGNAL), 0);
	ck_assert_ptr_null(hear());
}
END_TEST

START_TEST(test_nobody_there)
{
	fd_close(&listener);
	guest_clock_set(guest_clock);
	unlink(path);
	guest_clock_set(guest_clock);
}
END_TEST

START_TEST(test_lines)
{
	char why[15] = "";
	int64_t value = 0;

	ck_assert_int_eq(guest_clock_read("", 0, &value, why, sizeof(why)), GUEST_CLOCK_OTHER);
	ck_assert_int_eq(guest_clock_read("[1]", 3, &value, why, sizeof(why)), GUEST_CLOCK_OTHER);
	ck_assert_int_eq(guest_clock_read("{\"return\": 7}", 13, &value, why, sizeof(why)),
			 GUEST_CLOCK_RETURN);
	ck_assert_int_eq(value, 7);
	ck_assert_int_eq(guest_clock_read("{\"error\": 7}", 12, &value, why, sizeof(why)),
			 GUEST_CLOCK_REFUSED);
	ck_assert_str_eq(why, "it doesn't say");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_guest_clock");
	TCase *tcase = unit_case(suite, "guest_clock", setup, teardown);

	tcase_add_test(tcase, test_set);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_stale_answers);
	tcase_add_test(tcase, test_begun_again);
	tcase_add_test(tcase, test_no_agent);
	tcase_add_test(tcase, test_floods);
	tcase_add_test(tcase, test_nobody_there);
	tcase_add_test(tcase, test_lines);
	return unit_run(suite);
}
