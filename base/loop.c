/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop. libevent's epoll changelist is not used, though it would save system calls: with
 * it, a descriptor that is closed before the next wait stays registered if another process shares
 * it, and vhost-user front-ends share all of theirs with us.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sched.h>
#include <stdlib.h>

#include "base/busy_poll.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop_memory.h"

LOG_MODULE("loop");

/* Keeps sums of times far from overflowing; a timer for longer never fires anyway. */
#define DELAY_MS_MAX (100ull * 365 * 24 * 3600 * 1000)

#define READ_WRITE (LOOP_READ | LOOP_WRITE)

struct loop {
	struct event_base *base;
	struct loop_task *tasks;      /* scheduled */
	struct loop_task **tasks_end; /* where to link the next one */
	struct loop_task *running;    /* those of this round that didn't run yet */
	uint64_t now_ms;
	bool now_valid;             /* now_ms was read in this round */
	bool virtual_time;          /* now_ms moves in loop_advance() only, ... */
	struct list virtual_timers; /* ... and so the pending timers are here */
	struct busy_poll busy_poll;
	bool clocked;      /* waits are measured, for busy_poll */
	bool has_event;    /* one was handled since the wait began */
	uint64_t event_us; /* when the first one was, if clocked */
	bool in_round;
	bool stopped;
	int status;
};

/*
 * An fd's read and write events are registered together as far as they are asked for together, and
 * apart when one is added later: adding or removing one then is one epoll_ctl(), not two.
 */
struct slot {
	struct event event;
	unsigned events; /* LOOP_READ, LOOP_WRITE; 0 while not added */
};

struct loop_fd {
	struct loop *loop;
	loop_fd_fn *fn;
	void *arg;
	int fd;
	unsigned events; /* as asked for */
	struct slot slot;
	struct slot *second; /* owned; made when both are waited for separately, NULL until then */
};

struct loop_timer {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	uint64_t deadline_ms;
	bool pending;
	struct list virtual_link; /* in loop.virtual_timers */
	struct event event;
};

struct loop_signal {
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	struct event event;
};

/* What a failed libevent call means; it leaves errno as the system call set it. */
static int event_error(void)
{
	return errno > 0 ? -errno : -EIO;
}

static void event_log(int severity, const char *text)
{
	log_write(severity >= EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, log_module, "%s",
		  text);
}

int loop_new(struct loop **ret_loop)
{
	struct event_config *config;
	struct loop *loop = calloc(1, sizeof(*loop));

	loop_memory_setup();
	config = event_config_new();
	event_set_log_callback(event_log);
	if (config && loop) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
		event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1);
		loop->base = event_base_new_with_config(config);
	}
	if (config)
		event_config_free(config);
	if (!loop || !loop->base) {
		free(loop);
		return -ENOMEM;
	}
	loop->tasks_end = &loop->tasks;
	list_init(&loop->virtual_timers);
	*ret_loop = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	event_base_free(loop->base);
	free(loop);
}

uint64_t loop_now_ms(struct loop *loop)
{
	if (!loop->virtual_time && (!loop->in_round || !loop->now_valid)) {
		loop->now_ms = clock_ms();
		loop->now_valid = true;
	}
	return loop->now_ms;
}

/* Unlinks the head of *list. */
static struct loop_task *task_pop(struct loop_task **list)
{
	struct loop_task *task = *list;

	*list = task->next;
	if (task->next)
		task->next->prev_next = list;
	task->next = NULL;
	task->prev_next = NULL;
	return task;
}

/* Those scheduled up to now; what they schedule waits for the next round. */
static void run_tasks(struct loop *loop)
{
	loop->running = loop->tasks;
	if (loop->running)
		loop->running->prev_next = &loop->running;
	loop->tasks = NULL;
	loop->tasks_end = &loop->tasks;
	while (loop->running) {
		struct loop_task *task = task_pop(&loop->running);

		/* The task's owner may be gone after this. */
		task->fn(task->arg);
	}
}

int loop_run_once(struct loop *loop, bool may_wait)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	int r;

	if (!may_wait || loop->tasks)
		flags |= EVLOOP_NONBLOCK;
	loop->now_valid = false;
	loop->in_round = true;
	errno = 0;
	r = event_base_loop(loop->base, flags) < 0 ? event_error() : 0;
	run_tasks(loop);
	loop->in_round = false;
	return r;
}

void loop_set_busy_poll(struct loop *loop, uint32_t max_us)
{
	loop->busy_poll = (struct busy_poll){.max_us = max_us};
}

/* Notes that a wait has ended. */
static void note_event(struct loop *loop)
{
	if (loop->has_event)
		return;
	loop->has_event = true;
	if (loop->clocked)
		loop->event_us = clock_us();
}

/* Waits for something to happen and handles it, without sleeping as long as that seems worth it.
 * Whoever else wants the processor gets it meanwhile. */
static int run_busy(struct loop *loop)
{
	uint64_t since_us = clock_us();
	uint32_t window_us = busy_poll_window(&loop->busy_poll, since_us - loop->event_us);
	bool may_sleep;
	int r;

	loop->has_event = false;
	loop->clocked = true;
	do {
		may_sleep = clock_us() - since_us >= window_us;
		r = loop_run_once(loop, may_sleep);
		if (!may_sleep && !loop->has_event)
			sched_yield();
	} while (r == 0 && !may_sleep && !loop->has_event && !loop->stopped);
	loop->clocked = false;
	if (loop->has_event)
		busy_poll_waited(&loop->busy_poll, loop->event_us - since_us);
	return r;
}

int loop_run(struct loop *loop)
{
	while (!loop->stopped) {
		int r = loop->busy_poll.max_us ? run_busy(loop) : loop_run_once(loop, true);

		if (r < 0)
			return r;
	}
	loop->stopped = false;
	return loop->status;
}

void loop_stop(struct loop *loop, int status)
{
	loop->stopped = true;
	loop->status = status;
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *watch = arg;
	unsigned ready = 0;

	if (what & EV_READ)
		ready |= LOOP_READ;
	if (what & EV_WRITE)
		ready |= LOOP_WRITE;
	note_event(watch->loop);
	/* The watch may be gone after this. */
	watch->fn(watch->arg, fd, ready);
}

static void slot_remove(struct slot *slot)
{
	if (slot->events)
		event_del(&slot->event);
	slot->events = 0;
}

static int slot_add(struct loop_fd *watch, struct slot *slot, unsigned events, bool edge)
{
	struct event *event = &slot->event;
	short what = EV_PERSIST;

	if (events & LOOP_READ)
		what |= EV_READ;
	if (events & LOOP_WRITE)
		what |= EV_WRITE;
	if (edge)
		what |= EV_ET;
	errno = 0;
	if (event_assign(event, watch->loop->base, watch->fd, what, on_fd, watch) < 0 ||
	    event_add(event, NULL) < 0)
		return event_error();
	slot->events = events;
	return 0;
}

/* A slot that isn't in use; NULL without memory. */
static struct slot *slot_unused(struct loop_fd *watch)
{
	if (!watch->slot.events)
		return &watch->slot;
	if (!watch->second)
		watch->second = calloc(1, sizeof(*watch->second));
	return watch->second;
}

/* Ends the slot if it waits for anything else than `events`; returns what it still waits for. */
static unsigned slot_keep(struct slot *slot, unsigned events, bool keep)
{
	if (!slot)
		return 0;
	if (!keep || (slot->events & ~events))
		slot_remove(slot);
	return slot->events;
}

int loop_fd_set(struct loop_fd *watch, unsigned events)
{
	bool keep = !((watch->events ^ events) & LOOP_EDGE);
	unsigned kept, missing;
	struct slot *slot;
	int r = 0;

	if (events == watch->events)
		return 0;
	kept = slot_keep(&watch->slot, events, keep) | slot_keep(watch->second, events, keep);
	missing = events & READ_WRITE & ~kept;
	if (missing) {
		slot = slot_unused(watch);
		r = slot ? slot_add(watch, slot, missing, events & LOOP_EDGE) : -ENOMEM;
	}
	watch->events = kept | (r == 0 ? missing : 0) | (events & LOOP_EDGE);
	return r;
}

int loop_fd_new(struct loop *loop, int fd, unsigned events, loop_fd_fn *fn, void *arg,
		struct loop_fd **ret_watch)
{
	struct loop_fd *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	watch->loop = loop;
	watch->fd = fd;
	watch->fn = fn;
	watch->arg = arg;
	r = loop_fd_set(watch, events);
	if (r < 0) {
		free(watch);
		return r;
	}
	*ret_watch = watch;
	return 0;
}

void loop_fd_free(struct loop_fd *watch)
{
	if (!watch)
		return;
	slot_remove(&watch->slot);
	if (watch->second)
		slot_remove(watch->second);
	free(watch->second);
	free(watch);
}

static void timer_add(struct loop_timer *timer, uint64_t delay_ms)
{
	struct timeval delay = {
		.tv_sec = (time_t)(delay_ms / 1000),
		.tv_usec = (suseconds_t)(delay_ms % 1000 * 1000),
	};

	/* Grows an array, and has nothing else to fail with; the next allocation would end us. */
	if (event_add(&timer->event, &delay) < 0) {
		log_error("out of memory for timers");
		abort();
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *timer = arg;
	uint64_t now_ms = loop_now_ms(timer->loop);

	(void)fd;
	(void)what;
	note_event(timer->loop);
	/* libevent's clock is the coarse one, some milliseconds behind; nobody should see
	 * a timer fire before its time. */
	if (now_ms < timer->deadline_ms) {
		timer_add(timer, timer->deadline_ms - now_ms);
		return;
	}
	timer->pending = false;
	timer->fn(timer->arg);
}

int loop_timer_new(struct loop *loop, loop_fn *fn, void *arg, struct loop_timer **ret_timer)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return -ENOMEM;
	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	list_init(&timer->virtual_link);
	evtimer_assign(&timer->event, loop->base, on_timer, timer);
	*ret_timer = timer;
	return 0;
}

void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms)
{
	if (delay_ms > DELAY_MS_MAX)
		delay_ms = DELAY_MS_MAX;
	timer->deadline_ms = loop_now_ms(timer->loop) + delay_ms;
	timer->pending = true;
	if (timer->loop->virtual_time) {
		list_remove(&timer->virtual_link);
		list_add_tail(&timer->loop->virtual_timers, &timer->virtual_link);
	} else {
		timer_add(timer, delay_ms);
	}
}

void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer->pending && !timer->loop->virtual_time)
		event_del(&timer->event);
	list_remove(&timer->virtual_link);
	timer->pending = false;
}

bool loop_timer_pending(const struct loop_timer *timer)
{
	return timer->pending;
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_timer_cancel(timer);
	free(timer);
}

/* The timer that is due first, the one set first of equals; NULL when none is due by `until_ms`. */
static struct loop_timer *virtual_due(struct loop *loop, uint64_t until_ms)
{
	struct loop_timer *due = NULL;

	list_for_each (node, &loop->virtual_timers) {
		struct loop_timer *timer = container_of(node, struct loop_timer, virtual_link);

		if (timer->deadline_ms <= until_ms &&
		    (!due || timer->deadline_ms < due->deadline_ms))
			due = timer;
	}
	return due;
}

void loop_use_virtual_time(struct loop *loop, uint64_t now_ms)
{
	loop->virtual_time = true;
	loop->now_ms = now_ms;
}

void loop_advance(struct loop *loop, uint64_t ms)
{
	uint64_t until_ms = loop->now_ms + ms;
	struct loop_timer *timer;

	assert(loop->virtual_time);
	while ((timer = virtual_due(loop, until_ms))) {
		if (timer->deadline_ms > loop->now_ms)
			loop->now_ms = timer->deadline_ms;
		list_remove(&timer->virtual_link);
		timer->pending = false;
		timer->fn(timer->arg);
		loop_run_once(loop, false);
	}
	loop->now_ms = until_ms;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct loop_signal *signal = arg;

	(void)number;
	(void)what;
	signal->fn(signal->arg);
}

int loop_signal_new(struct loop *loop, int signal_number, loop_fn *fn, void *arg,
		    struct loop_signal **ret_signal)
{
	struct loop_signal *signal = calloc(1, sizeof(*signal));
	int r;

	if (!signal)
		return -ENOMEM;
	signal->loop = loop;
	signal->fn = fn;
	signal->arg = arg;
	errno = 0;
	if (evsignal_assign(&signal->event, loop->base, signal_number, on_signal, signal) < 0 ||
	    event_add(&signal->event, NULL) < 0) {
		r = event_error();
		free(signal);
		return r;
	}
	*ret_signal = signal;
	return 0;
}

void loop_signal_free(struct loop_signal *signal)
{
	if (!signal)
		return;
	event_del(&signal->event);
	free(signal);
}

void loop_task_schedule(struct loop *loop, struct loop_task *task)
{
	if (task->prev_next)
		return;
	task->next = NULL;
	task->prev_next = loop->tasks_end;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->prev_next)
		return;
	*task->prev_next = task->next;
	if (task->next)
		task->next->prev_next = task->prev_next;
	else if (loop->tasks_end == &task->next)
		loop->tasks_end = task->prev_next;
	task->next = NULL;
	task->prev_next = NULL;
}
