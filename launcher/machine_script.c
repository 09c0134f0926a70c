/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_script.h. */
#include "launcher/machine_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

LOG_MODULE("script");

#define ERROR_MAX 512
/* How often it's asked whether a socket is connected. */
#define POLL_MS 100
/* Of a stream that can't be connected QEMU says nothing. */
#define STREAM_TIMEOUT_MS 1000

struct script_step {
	enum script_wait wait;
	char id[SCRIPT_ID_MAX];
	const char *command;
	struct json_object *arguments; /* owned until it is given */
};

struct script {
	struct loop *loop;
	struct loop_task task; /* the next step, or the end */
	struct loop_timer *timer;
	struct loop_timer *poll_timer;
	struct vm *vm;
	struct script_step steps[SCRIPT_STEPS_MAX];
	size_t count, at;
	bool failed; /* to be built */
	bool running, asked_jobs;
	unsigned device_timeout_ms;
	unsigned outstanding; /* answers; older ones are of commands that took too long */
	bool awaiting;        /* the last of them is this step's */
	int status;
	bool over;
	char error[ERROR_MAX];
	struct json_object *value; /* the last answer's, owned */
	script_done_fn *done;
	void *arg;
};

static void on_task(void *arg);
static void on_timer(void *arg);
static void on_poll_timer(void *arg);

int script_new(struct loop *loop, struct script **ret_script)
{
	struct script *script = calloc(1, sizeof(*script));
	int r = script ? loop_timer_new(loop, on_timer, script, &script->timer) : -ENOMEM;

	if (r == 0)
		r = loop_timer_new(loop, on_poll_timer, script, &script->poll_timer);
	if (r < 0) {
		if (script)
			loop_timer_free(script->timer);
		free(script);
		return r;
	}
	script->loop = loop;
	script->task = (struct loop_task){.fn = on_task, .arg = script};
	*ret_script = script;
	return 0;
}

static void clear_steps(struct script *script)
{
	for (size_t i = 0; i < script->count; i++)
		json_object_put(script->steps[i].arguments);
	memset(script->steps, 0, sizeof(script->steps));
	script->count = script->at = 0;
	script->failed = false;
}

void script_add(struct script *script, enum script_wait wait, const char *id, const char *command,
		struct json_object *arguments)
{
	struct script_step *step = &script->steps[script->count];

	if (script->count == SCRIPT_STEPS_MAX || script->running) {
		json_object_put(arguments);
		script->failed = true;
		return;
	}
	*step = (struct script_step){.wait = wait, .command = command, .arguments = arguments};
	snprintf(step->id, sizeof(step->id), "%s", id ? id : "");
	script->count++;
}

void script_lenient(struct script *script)
{
	for (size_t i = 0; i < script->count; i++)
		if (script->steps[i].wait == SCRIPT_ANSWER)
			script->steps[i].wait = SCRIPT_MAY_FAIL;
}

static void end(struct script *script, int status, const char *error)
{
	if (script->over)
		return;
	script->over = true;
	script->status = status;
	snprintf(script->error, sizeof(script->error), "%s", error ? error : "");
	loop_timer_cancel(script->timer);
	loop_timer_cancel(script->poll_timer);
	loop_task_schedule(script->loop, &script->task);
}

static void step_done(struct script *script)
{
	loop_timer_cancel(script->timer);
	script->awaiting = false;
	script->at++;
	loop_task_schedule(script->loop, &script->task);
}

/* Whether it is an object with that text by that key. */
static bool has(struct json_object *data, const char *key, const char *text)
{
	struct json_object *value;

	return json_object_object_get_ex(data, key, &value) &&
	       json_object_is_type(value, json_type_string) &&
	       strcmp(json_object_get_string(value), text) == 0;
}

/* A job's end, in the answer to query-jobs. */
static void check_job(struct script *script, const struct script_step *step,
		      struct json_object *jobs)
{
	size_t count = json_object_is_type(jobs, json_type_array) ? json_object_array_length(jobs)
								  : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i), *error;

		if (!has(job, "id", step->id))
			continue;
		struct json_object *dismiss = json_object_new_object();

		json_object_object_add(dismiss, "id", json_object_new_string(step->id));
		vm_execute(script->vm, "job-dismiss", dismiss, NULL, NULL);
		if (json_object_object_get_ex(job, "error", &error))
			end(script, -EREMOTEIO,
			    json_object_is_type(error, json_type_string)
				    ? json_object_get_string(error)
				    : "the job failed");
		else
			step_done(script);
		return;
	}
	end(script, -EREMOTEIO, "the job has gone");
}

/* Whether a socket is connected, in the answer to query-chardev. */
static bool connected(struct json_object *chardevs, const char *id)
{
	static const char not [] = "disconnected:";
	size_t count = json_object_is_type(chardevs, json_type_array)
			       ? json_object_array_length(chardevs)
			       : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_array_get_idx(chardevs, i), *name;

		if (has(one, "label", id))
			return json_object_object_get_ex(one, "filename", &name) &&
			       json_object_is_type(name, json_type_string) &&
			       strncmp(json_object_get_string(name), not, sizeof(not ) - 1) != 0;
	}
	return false;
}

static void take_answer(struct script *script, int status, struct json_object *value,
			const char *error)
{
	const struct script_step *step = &script->steps[script->at];
	bool may_fail = step->wait == SCRIPT_MAY_FAIL || step->wait == SCRIPT_DEVICE_DELETED;

	if (script->asked_jobs) {
		script->asked_jobs = false;
		if (status < 0)
			end(script, status, error);
		else
			check_job(script, step, value);
		return;
	}
	if (status == -EPIPE || (status < 0 && !may_fail)) {
		end(script, status, error);
		return;
	}
	if (step->wait == SCRIPT_CONNECTED && !connected(value, step->id)) {
		loop_timer_set(script->poll_timer, POLL_MS);
		return;
	}
	if (status < 0)
		log_debug("%s: %s", step->command, error);
	json_object_put(script->value);
	script->value = json_object_get(value);
	if (status < 0 || step->wait == SCRIPT_ANSWER || step->wait == SCRIPT_MAY_FAIL ||
	    step->wait == SCRIPT_CONNECTED)
		step_done(script);
}

static void on_answer(void *arg, int status, struct json_object *value, const char *error)
{
	struct script *script = arg;

	script->outstanding--;
	if (script->outstanding > 0 || !script->awaiting || !script->running || script->over)
		return;
	script->awaiting = false;
	take_answer(script, status, value, error);
}

static int give(struct script *script, const char *command, struct json_object *arguments)
{
	int r = vm_execute(script->vm, command, arguments, on_answer, script);

	if (r == 0) {
		script->outstanding++;
		script->awaiting = true;
	}
	return r;
}

static void on_task(void *arg)
{
	struct script *script = arg;
	struct script_step *step = &script->steps[script->at];
	int r;

	if (script->over || script->at == script->count) {
		struct json_object *value = script->value;

		script->running = false;
		script->value = NULL;
		clear_steps(script);
		script->done(script->arg, script->over ? script->status : 0, value, script->error);
		json_object_put(value);
		return;
	}
	if (step->wait != SCRIPT_JOB)
		loop_timer_set(script->timer, step->wait == SCRIPT_STREAM
						      ? STREAM_TIMEOUT_MS
						      : script->device_timeout_ms);
	r = give(script, step->command, step->arguments);
	step->arguments = NULL;
	if (r < 0)
		end(script, r, strerror(-r));
}

static void on_timer(void *arg)
{
	struct script *script = arg;
	const struct script_step *step = &script->steps[script->at];
	char text[ERROR_MAX];

	if (step->wait == SCRIPT_DEVICE_DELETED)
		snprintf(text, sizeof(text),
			 "the guest doesn't let go of the device %s: its system hasn't booted, "
			 "hangs, or has no PCI hotplug",
			 step->id);
	else if (step->wait == SCRIPT_CONNECTED || step->wait == SCRIPT_STREAM)
		snprintf(text, sizeof(text), "QEMU doesn't reach the other end of %s", step->id);
	else
		snprintf(text, sizeof(text), "QEMU doesn't answer %s", step->command);
	end(script, -ETIMEDOUT, text);
}

static void on_poll_timer(void *arg)
{
	struct script *script = arg;
	int r = give(script, script->steps[script->at].command, NULL);

	if (r < 0)
		end(script, r, strerror(-r));
}

void script_run(struct script *script, struct vm *vm, unsigned device_timeout_ms,
		script_done_fn *done, void *arg)
{
	script->vm = vm;
	script->device_timeout_ms = device_timeout_ms;
	script->done = done;
	script->arg = arg;
	script->at = 0;
	script->over = script->asked_jobs = script->awaiting = false;
	script->error[0] = '\0';
	script->running = true;
	if (script->failed)
		end(script, -EREMOTEIO, "too many devices");
	else
		loop_task_schedule(script->loop, &script->task);
}

bool script_running(const struct script *script)
{
	return script->running;
}

void script_event(struct script *script, const char *name, struct json_object *data)
{
	const struct script_step *step = &script->steps[script->at];

	if (!script->running || script->over || script->at == script->count)
		return;
	if (step->wait == SCRIPT_DEVICE_DELETED && strcmp(name, "DEVICE_DELETED") == 0 &&
	    has(data, "device", step->id)) {
		step_done(script);
	} else if (step->wait == SCRIPT_STREAM && strcmp(name, "NETDEV_STREAM_CONNECTED") == 0 &&
		   has(data, "netdev-id", step->id)) {
		step_done(script);
	} else if (step->wait == SCRIPT_JOB && strcmp(name, "JOB_STATUS_CHANGE") == 0 &&
		   has(data, "id", step->id) && has(data, "status", "concluded")) {
		script->asked_jobs = true;
		if (give(script, "query-jobs", NULL) < 0)
			end(script, -ENOMEM, "out of memory");
	}
}

void script_gone(struct script *script)
{
	script->outstanding = 0;
	if (script->running)
		end(script, -EPIPE, "QEMU has gone");
}

void script_free(struct script *script)
{
	if (!script)
		return;
	loop_task_cancel(script->loop, &script->task);
	loop_timer_free(script->timer);
	loop_timer_free(script->poll_timer);
	clear_steps(script);
	json_object_put(script->value);
	free(script);
}
