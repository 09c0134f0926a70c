/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: the order of a round, and watches that change or free themselves in callbacks. */
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

static struct loop *loop;
static char trace[128]; /* what ran, a letter each */
static int fds[2];      /* a socket pair */
static struct loop_fd *watch;

static void note(char c)
{
	size_t length = strlen(trace);

	if (length + 1 < sizeof(trace))
		trace[length] = c;
}

static void start(void)
{
	memset(trace, 0, sizeof(trace));
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void finish(void)
{
	loop_fd_free(watch);
	watch = NULL;
	loop_free(loop);
	close(fds[0]);
	close(fds[1]);
}

static void poke(void)
{
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
	(void)arg;
	ck_assert_int_eq(fd, fds[0]);
	if (ready & LOOP_READ)
		note('r');
	if (ready & LOOP_WRITE)
		note('w');
}

static void round_expect(const char *want)
{
	memset(trace, 0, sizeof(trace));
	ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_str_eq(trace, want);
}

START_TEST(reports_readiness_while_it_lasts)
{
	char byte;

	start();
	ck_assert_int_eq(loop_fd_new(loop, fds[0], LOOP_READ, on_ready, NULL, &watch), 0);
	round_expect("");
	poke();
	round_expect("r");
	round_expect("r");
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	round_expect("");
	finish();
}
END_TEST

START_TEST(edge_reports_once)
{
	start();
	ck_assert_int_eq(loop_fd_new(loop, fds[0], LOOP_READ | LOOP_WRITE | LOOP_EDGE, on_ready,
				     NULL, &watch),
			 0);
	round_expect("w");
	round_expect("");
	poke();
	/* epoll tells all that holds when anything changes. */
	round_expect("rw");
	round_expect("");
	finish();
}
END_TEST

START_TEST(set_changes_what_is_reported)
{
	static const struct {
		unsigned events;
		const char *trace;
	} steps[] = {
		{LOOP_READ, "r"},
		{LOOP_READ | LOOP_WRITE, "rw"},
		{LOOP_READ, "r"},
		{0, ""},
		{LOOP_WRITE, "w"},
		{LOOP_READ, "r"},
		{LOOP_READ | LOOP_WRITE, "rw"},
		{LOOP_WRITE, "w"},
		{LOOP_READ | LOOP_WRITE | LOOP_EDGE, "rw"},
		{LOOP_READ | LOOP_WRITE | LOOP_EDGE, ""},
		{LOOP_READ | LOOP_EDGE, "r"},
		{LOOP_READ | LOOP_EDGE, ""},
		{LOOP_READ | LOOP_WRITE, "rw"},
		{LOOP_READ | LOOP_WRITE, "rw"},
	};

	start();
	poke();
	ck_assert_int_eq(loop_fd_new(loop, fds[0], 0, on_ready, NULL, &watch), 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ck_assert_int_eq(loop_fd_set(watch, steps[i].events), 0);
		memset(trace, 0, sizeof(trace));
		ck_assert_int_eq(loop_run_once(loop, false), 0);
		/* One call or two, in either order. */
		ck_assert_msg(
			strcmp(trace, steps[i].trace) == 0 ||
				(strcmp(trace, "wr") == 0 && strcmp(steps[i].trace, "rw") == 0),
			"step %zu: %s", i, trace);
	}
	finish();
}
END_TEST

START_TEST(what_epoll_refuses_is_an_error)
{
	int fd = open("/proc/self/status", O_RDONLY);

	start();
	ck_assert_int_eq(loop_fd_new(loop, fd, LOOP_READ, on_ready, NULL, &watch), -EPERM);
	ck_assert_ptr_null(watch);
	ck_assert_int_eq(loop_fd_new(loop, fd, 0, on_ready, NULL, &watch), 0);
	ck_assert_int_eq(loop_fd_set(watch, LOOP_READ), -EPERM);
	ck_assert_int_eq(loop_fd_set(watch, LOOP_READ), -EPERM);
	finish();
	close(fd);
}
END_TEST

static void free_self(void *arg, int fd, unsigned ready)
{
	(void)arg;
	(void)fd;
	(void)ready;
	note('f');
	loop_fd_free(watch);
	watch = NULL;
}

START_TEST(watch_frees_itself)
{
	start();
	poke();
	/* Registered apart, so that two calls would be due. */
	ck_assert_int_eq(loop_fd_new(loop, fds[0], LOOP_READ, free_self, NULL, &watch), 0);
	ck_assert_int_eq(loop_fd_set(watch, LOOP_READ | LOOP_WRITE), 0);
	round_expect("f");
	round_expect("");
	finish();
}
END_TEST

static struct loop_fd *pair[2];

static void free_other(void *arg, int fd, unsigned ready)
{
	size_t other = arg == &pair[0] ? 1 : 0;

	(void)fd;
	(void)ready;
	note('o');
	loop_fd_free(pair[other]);
	pair[other] = NULL;
}

START_TEST(watch_frees_another_that_is_ready)
{
	start();
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
			loop_fd_new(loop, fds[i], LOOP_WRITE, free_other, &pair[i], &pair[i]), 0);
	round_expect("o");
	loop_fd_free(pair[0]);
	loop_fd_free(pair[1]);
	finish();
}
END_TEST

static struct loop_task task_a;
static struct loop_task task_b;
static struct loop_task task_c;

static void run_letter(void *arg)
{
	note(*(const char *)arg);
}

static void run_and_schedule_c(void *arg)
{
	note(*(const char *)arg);
	loop_task_schedule(loop, &task_c);
	loop_task_schedule(loop, &task_c);
}

static void run_and_cancel_b(void *arg)
{
	note(*(const char *)arg);
	loop_task_cancel(loop, &task_b);
}

static void run_and_repeat(void *arg)
{
	note(*(const char *)arg);
	loop_task_schedule(loop, &task_a);
}

static void make_tasks(loop_fn *a)
{
	task_a = (struct loop_task){.fn = a, .arg = "a"};
	task_b = (struct loop_task){.fn = run_letter, .arg = "b"};
	task_c = (struct loop_task){.fn = run_letter, .arg = "c"};
}

START_TEST(tasks_run_once_in_order)
{
	start();
	make_tasks(run_letter);
	loop_task_schedule(loop, &task_b);
	loop_task_schedule(loop, &task_a);
	loop_task_schedule(loop, &task_b);
	loop_task_schedule(loop, &task_c);
	round_expect("bac");
	round_expect("");
	finish();
}
END_TEST

static void ready_and_schedule(void *arg, int fd, unsigned ready)
{
	on_ready(arg, fd, ready);
	loop_task_schedule(loop, &task_a);
}

START_TEST(tasks_run_after_the_events_of_their_round)
{
	start();
	make_tasks(run_letter);
	poke();
	ck_assert_int_eq(loop_fd_new(loop, fds[0], LOOP_READ, ready_and_schedule, NULL, &watch), 0);
	round_expect("ra");
	finish();
}
END_TEST

START_TEST(tasks_of_tasks_run_next_round_without_waiting)
{
	start();
	make_tasks(run_and_schedule_c);
	loop_task_schedule(loop, &task_a);
	loop_task_schedule(loop, &task_b);
	round_expect("ab");
	memset(trace, 0, sizeof(trace));
	/* Would hang if it waited. */
	ck_assert_int_eq(loop_run_once(loop, true), 0);
	ck_assert_str_eq(trace, "c");
	make_tasks(run_and_repeat);
	loop_task_schedule(loop, &task_a);
	round_expect("a");
	round_expect("a");
	loop_task_cancel(loop, &task_a);
	round_expect("");
	finish();
}
END_TEST

START_TEST(tasks_are_cancelled)
{
	start();
	make_tasks(run_and_cancel_b);
	loop_task_schedule(loop, &task_a);
	loop_task_schedule(loop, &task_b);
	loop_task_schedule(loop, &task_c);
	round_expect("ac");
	/* First, middle, last; and the list still takes new ones. */
	for (int i = 0; i < 3; i++) {
		struct loop_task *tasks[] = {&task_a, &task_b, &task_c};
		static const char *const want[] = {"bca", "aca", "aba"};

		make_tasks(run_letter);
		for (int t = 0; t < 3; t++)
			loop_task_schedule(loop, tasks[t]);
		loop_task_cancel(loop, tasks[i]);
		loop_task_cancel(loop, tasks[i]);
		task_a.fn = run_letter;
		struct loop_task last = {.fn = run_letter, .arg = "a"};
		loop_task_schedule(loop, &last);
		round_expect(want[i]);
	}
	finish();
}
END_TEST

START_TEST(last_running_task_cancelled_keeps_the_list)
{
	start();
	/* b is the last of the running list when a cancels it, and c was scheduled anew. */
	make_tasks(run_and_cancel_b);
	loop_task_schedule(loop, &task_a);
	loop_task_schedule(loop, &task_b);
	round_expect("a");
	loop_task_schedule(loop, &task_c);
	round_expect("c");
	finish();
}
END_TEST

static struct loop_timer *timer;
static uint64_t fired_at_ms;

static void on_timer(void *arg)
{
	(void)arg;
	note('t');
	fired_at_ms = clock_ms();
	ck_assert(!loop_timer_pending(timer));
}

START_TEST(timer_is_never_early)
{
	static const uint64_t delays_ms[] = {0, 1, 3, 7, 20};

	start();
	ck_assert_int_eq(loop_timer_new(loop, on_timer, NULL, &timer), 0);
	ck_assert(!loop_timer_pending(timer));
	for (size_t i = 0; i < sizeof(delays_ms) / sizeof(delays_ms[0]); i++) {
		uint64_t set_at_ms = clock_ms();

		memset(trace, 0, sizeof(trace));
		loop_timer_set(timer, delays_ms[i]);
		ck_assert(loop_timer_pending(timer));
		while (!trace[0])
			ck_assert_int_eq(loop_run_once(loop, true), 0);
		ck_assert_str_eq(trace, "t");
		ck_assert_uint_ge(fired_at_ms, set_at_ms + delays_ms[i]);
	}
	loop_timer_free(timer);
	finish();
}
END_TEST

START_TEST(timer_cancelled_or_moved)
{
	start();
	ck_assert_int_eq(loop_timer_new(loop, on_timer, NULL, &timer), 0);
	loop_timer_set(timer, 0);
	loop_timer_cancel(timer);
	loop_timer_cancel(timer);
	ck_assert(!loop_timer_pending(timer));
	round_expect("");
	loop_timer_set(timer, 0);
	loop_timer_set(timer, UINT64_MAX);
	round_expect("");
	ck_assert(loop_timer_pending(timer));
	loop_timer_free(timer);
	loop_timer_free(NULL);
	finish();
}
END_TEST

static void stop_with_7(void *arg)
{
	note('s');
	loop_task_schedule(loop, arg);
	loop_stop(loop, 7);
}

START_TEST(stop_ends_the_run_after_the_round)
{
	start();
	make_tasks(run_letter);
	ck_assert_int_eq(loop_timer_new(loop, stop_with_7, &task_a, &timer), 0);
	loop_timer_set(timer, 0);
	ck_assert_int_eq(loop_run(loop), 7);
	ck_assert_str_eq(trace, "sa");
	/* And it can be run again. */
	loop_timer_set(timer, 0);
	ck_assert_int_eq(loop_run(loop), 7);
	ck_assert_str_eq(trace, "sasa");
	loop_timer_free(timer);
	finish();
}
END_TEST

static void on_signal(void *arg)
{
	(void)arg;
	note('S');
}

START_TEST(signals_arrive)
{
	struct loop_signal *signal;

	start();
	ck_assert_int_eq(loop_signal_new(loop, SIGUSR1, on_signal, NULL, &signal), 0);
	raise(SIGUSR1);
	while (!trace[0])
		ck_assert_int_eq(loop_run_once(loop, true), 0);
	ck_assert_str_eq(trace, "S");
	loop_signal_free(signal);
	loop_signal_free(NULL);
	finish();
}
END_TEST

static uint64_t seen_ms[2];

static void see_time(void *arg)
{
	uint64_t *seen = arg;

	*seen = loop_now_ms(loop);
	/* Real time goes on. */
	for (uint64_t now_ms = clock_ms(); clock_ms() < now_ms + 3;)
		;
}

START_TEST(time_stands_still_within_a_round)
{
	struct loop_task first = {.fn = see_time, .arg = &seen_ms[0]};
	struct loop_task second = {.fn = see_time, .arg = &seen_ms[1]};

	start();
	loop_task_schedule(loop, &first);
	loop_task_schedule(loop, &second);
	round_expect("");
	ck_assert_uint_eq(seen_ms[0], seen_ms[1]);
	loop_task_schedule(loop, &second);
	round_expect("");
	ck_assert_uint_ge(seen_ms[1], seen_ms[0] + 6);
	/* Outside of rounds it is read anew. */
	ck_assert_uint_ge(loop_now_ms(loop), seen_ms[1] + 3);
	finish();
}
END_TEST

/* Echoes of oneself: every wait is short, so the loop looks for them without sleeping. */
static void on_echo(void *arg, int fd, unsigned ready)
{
	unsigned *left = arg;
	char byte;

	(void)ready;
	ck_assert_int_eq(read(fd, &byte, 1), 1);
	if (--*left)
		poke();
	else
		loop_timer_set(timer, 3); /* a wait that ends in sleep */
}

START_TEST(busy_polling_misses_nothing)
{
	unsigned left = 1000;

	start();
	make_tasks(run_letter);
	loop_set_busy_poll(loop, 50);
	ck_assert_int_eq(loop_timer_new(loop, stop_with_7, &task_a, &timer), 0);
	ck_assert_int_eq(loop_fd_new(loop, fds[0], LOOP_READ, on_echo, &left, &watch), 0);
	poke();
	ck_assert_int_eq(loop_run(loop), 7);
	ck_assert_uint_eq(left, 0);
	ck_assert_str_eq(trace, "sa");
	loop_timer_free(timer);
	finish();
}
END_TEST

int main(void)
{
	return unit_main("loop", NULL, NULL,
			 (const TTest *[]){
				 reports_readiness_while_it_lasts,
				 edge_reports_once,
				 set_changes_what_is_reported,
				 what_epoll_refuses_is_an_error,
				 watch_frees_itself,
				 watch_frees_another_that_is_ready,
				 tasks_run_once_in_order,
				 tasks_run_after_the_events_of_their_round,
				 tasks_of_tasks_run_next_round_without_waiting,
				 tasks_are_cancelled,
				 last_running_task_cancelled_keeps_the_list,
				 timer_is_never_early,
				 timer_cancelled_or_moved,
				 stop_ends_the_run_after_the_round,
				 busy_polling_misses_nothing,
				 signals_arrive,
				 time_stands_still_within_a_round,
				 NULL,
			 });
}
