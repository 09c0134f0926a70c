/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop, on libevent. One loop, one thread, no locks.
 *
 * A round of the loop waits for events, runs the callbacks of all that are ready, and then the
 * deferred tasks that they scheduled. The data path leans on that: links read a whole batch of
 * frames in their callbacks, and what a batch touched is worked off once, in a deferred task.
 *
 * No other module includes event2/ headers.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_signal;

/* What to wait for, and what is ready. */
#define LOOP_READ  0x1u
#define LOOP_WRITE 0x2u
#define LOOP_EDGE  0x4u /* only to ask: report a change once, not while it lasts (EPOLLET) */

typedef void loop_fd_fn(void *arg, int fd, unsigned ready);
typedef void loop_fn(void *arg);

/* Returns 0 with an owned loop, or -errno. */
int loop_new(struct loop **ret_loop);
/* Every watch, timer and signal on it must have been freed before. NULL is fine. */
void loop_free(struct loop *loop);
/* Before it sleeps, loop_run() looks for events for up to `max_us` longer where that pays, as
 * busy_poll.h says; 0, the default: never. */
void loop_set_busy_poll(struct loop *loop, uint32_t max_us);
/* Runs until loop_stop(); returns the status given there, or -errno when waiting failed. */
int loop_run(struct loop *loop);
/* Ends loop_run() after the current round. */
void loop_stop(struct loop *loop, int status);
/* Runs one round; waits for events only when `may_wait`. For tests and tools with loops of their
 * own. */
int loop_run_once(struct loop *loop, bool may_wait);
/* The monotonic time, read once per round; for callbacks that need "about now" for free. */
uint64_t loop_now_ms(struct loop *loop);

/* Watches `fd` (borrowed: free the watch before closing it) for `events`, a set of LOOP_READ,
 * LOOP_WRITE and LOOP_EDGE, possibly empty. `fn` may free its own watch. When the fd is readable
 * and writable, `fn` may be called once for both or once for each. Returns 0 or -errno. */
int loop_fd_new(struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *arg,
		struct loop_fd **ret_watch);
/* Changes what is waited for; no system call when nothing changes. Returns 0 or -errno. */
int loop_fd_set(struct loop_fd *watch, unsigned events);
void loop_fd_free(struct loop_fd *watch);

/* A one-shot timer, not running yet. */
int loop_timer_new(struct loop *loop, loop_fn *fn, void *arg, struct loop_timer **ret_timer);
/* (Re)starts it to fire once in `delay_ms`, never earlier. */
void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_cancel(struct loop_timer *timer);
bool loop_timer_pending(const struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/*
 * For tests: takes the loop off the clock, before its first timer is set. Time then stands still at
 * `now_ms`, and only loop_advance() moves it: it fires the timers that become due, each at its own
 * time and in a round of its own.
 */
void loop_use_virtual_time(struct loop *loop, uint64_t now_ms);
void loop_advance(struct loop *loop, uint64_t ms);

int loop_signal_new(struct loop *loop, int signal_number, loop_fn *fn, void *arg,
		    struct loop_signal **ret_signal);
void loop_signal_free(struct loop_signal *signal);

/*
 * A deferred task, embedded in its owner. It runs once, at the end of the round in which it was
 * scheduled; scheduling it again before that does nothing. A task scheduled by a deferred task runs
 * in the next round, which then doesn't wait.
 */
struct loop_task {
	loop_fn *fn;
	void *arg;
	struct loop_task *next;
	struct loop_task **prev_next; /* NULL while not scheduled */
};

void loop_task_schedule(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop *loop, struct loop_task *task);
static inline bool loop_task_pending(const struct loop_task *task)
{
	return task->prev_next;
}

#endif
