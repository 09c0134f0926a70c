/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of QMP commands that are given one after the other, each when the one before has had its
 * effect: answered, or (devices that the guest has to let go of) told by an event, or (jobs) ended.
 * The first that fails ends the list, unless it may fail.
 */
#ifndef LAUNCHER_MACHINE_SCRIPT_H
#define LAUNCHER_MACHINE_SCRIPT_H

#include <json-c/json.h>
#include <stdbool.h>

#include "base/loop.h"
#include "launcher/vm.h"

#define SCRIPT_STEPS_MAX 80
#define SCRIPT_ID_MAX    48

enum script_wait {
	SCRIPT_ANSWER,         /* done when answered */
	SCRIPT_MAY_FAIL,       /* the same, also by an error */
	SCRIPT_DEVICE_DELETED, /* done with DEVICE_DELETED of `id`; there may be no such device */
	SCRIPT_JOB,            /* done when the job `id` is; it is dismissed then */
	SCRIPT_STREAM,         /* done when the stream `id` is connected, soon, or it fails */
	SCRIPT_CONNECTED,      /* query-chardev: done when the socket `id` is connected */
};

/* status 0, or -EREMOTEIO (QEMU said `error`), -ETIMEDOUT, -EPIPE (QEMU has gone). `value` is the
 * last answer's, borrowed. The script may be used anew, or freed, from here. */
typedef void script_done_fn(void *arg, int status, struct json_object *value, const char *error);

struct script;

int script_new(struct loop *loop, struct script **ret_script);
/* Adds a step; `arguments` is taken and may be NULL. Room and memory are checked by script_run().
 */
void script_add(struct script *script, enum script_wait wait, const char *id, const char *command,
		struct json_object *arguments);
/* Lets every step that was added fail, but for jobs: for putting things right. */
void script_lenient(struct script *script);
/* Runs what was added. For devices and for answers it waits `device_timeout_ms` at most, for jobs
 * as long as they take. Calls `done` once, never from within. */
void script_run(struct script *script, struct vm *vm, unsigned device_timeout_ms,
		script_done_fn *done, void *arg);
bool script_running(const struct script *script);
/* To be told of each of QEMU's events, and that it has gone. */
void script_event(struct script *script, const char *name, struct json_object *data);
void script_gone(struct script *script);
/* After the vm: QEMU's answers may not come any more. NULL is fine. */
void script_free(struct script *script);

#endif
