/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QEMU that may say anything, against QMP's client and the scripts of commands that run on it:
 * greetings, answers, events and jobs from the input, in pieces, and an end anywhere. The input is
 * a list of operations. Every command is answered once, every script ends once.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "launcher/machine_script.h"
#include "launcher/qmp.h"
#include "launcher/snapshot.h"
#include "fuzz.h"

#define OPERATIONS_MAX 100
#define TEXT_MAX       4096
#define TIMEOUT_MS     5000

/* In place of vm.c's, behind which QEMU would be a process. */
struct vm {
	struct qmp *qmp;
};

struct fuzz {
	struct loop *loop;
	struct vm vm;
	struct script *script;
	int qemu; /* its end; -1: it has gone */
	bool ready, closed;
	int last_id;
	unsigned given, answered, scripts, ended;
};

int vm_execute(struct vm *vm, const char *name, struct json_object *arguments, qmp_reply_fn *reply,
	       void *arg)
{
	return qmp_execute(vm->qmp, name, arguments, reply, arg);
}

static void on_ready(void *arg)
{
	struct fuzz *fuzz = arg;

	must(!fuzz->ready && !fuzz->closed);
	fuzz->ready = true;
}

static void on_event(void *arg, const char *name, struct json_object *data)
{
	struct fuzz *fuzz = arg;

	must(name != NULL);
	script_event(fuzz->script, name, data);
}

static void on_closed(void *arg, const char *reason)
{
	struct fuzz *fuzz = arg;

	must(!fuzz->closed && reason[0]);
	fuzz->closed = true;
	script_gone(fuzz->script);
}

static const struct qmp_user user = {.ready = on_ready, .event = on_event, .closed = on_closed};

static void on_reply(void *arg, int status, struct json_object *value, const char *error)
{
	struct fuzz *fuzz = arg;

	must(status == 0 || error);
	snapshot_size(status == 0 ? value : NULL, "s");
	fuzz->answered++;
}

static void on_done(void *arg, int status, struct json_object *value, const char *error)
{
	struct fuzz *fuzz = arg;

	(void)value;
	must(status == 0 || error[0]);
	fuzz->ended++;
}

/* What a script is made of: one step that waits in the way the input says, between two others. */
static void run_script(struct fuzz *fuzz, unsigned wait)
{
	static const enum script_wait waits[] = {SCRIPT_ANSWER, SCRIPT_MAY_FAIL,
						 SCRIPT_DEVICE_DELETED, SCRIPT_JOB, SCRIPT_STREAM};

	if (script_running(fuzz->script))
		return;
	script_add(fuzz->script, SCRIPT_MAY_FAIL, NULL, "first", NULL);
	script_add(fuzz->script, waits[wait % 5], "x", "second", json_object_new_object());
	script_add(fuzz->script, SCRIPT_ANSWER, NULL, "third", NULL);
	fuzz->scripts++;
	script_run(fuzz->script, &fuzz->vm, TIMEOUT_MS, on_done, fuzz);
}

/* Which command QEMU was given last. */
static void qemu_hears(struct fuzz *fuzz)
{
	char text[TEXT_MAX + 1], *at;
	ssize_t n = fuzz->qemu < 0 ? -1 : recv(fuzz->qemu, text, TEXT_MAX, MSG_DONTWAIT);

	if (n <= 0)
		return;
	text[n] = '\0';
	for (at = text; (at = strstr(at, "\"id\":")); at += 5)
		fuzz->last_id = atoi(at + 5);
}

/* A line of QEMU's: one of those that are usual, perhaps without its end, or the input's. */
static void qemu_says(struct fuzz *fuzz, struct wire_reader *r, unsigned which)
{
	static const char *const answers[] = {
		"\"return\":{}",
		"\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}",
		"\"return\":[{\"id\":\"x\"}]",
		"\"return\":[{\"id\":\"x\",\"error\":\"no\"}]",
	};
	static const char *const others[] = {
		"{\"QMP\":{\"version\":{},\"capabilities\":[]}}",
		"{\"event\":\"DEVICE_DELETED\",\"data\":{\"device\":\"x\"}}",
		"{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":\"x\",\"status\":\"concluded\"}}",
		"{\"event\":\"NETDEV_STREAM_CONNECTED\",\"data\":{\"netdev-id\":\"x\"}}",
	};
	char text[TEXT_MAX], said[256];
	size_t size;

	qemu_hears(fuzz);
	if (which < 8) {
		size = (size_t)snprintf(text, sizeof(text), "%s\r\n", others[which & 3]);
		size -= which & 4 ? 5 : 0;
	} else if (which < 24) {
		size = which < 16 ? 0 : wire_u8(r);
		size = size < wire_left(r) ? size : wire_left(r);
		wire_copy(r, said, size);
		said[size] = '\0';
		size = (size_t)snprintf(text, sizeof(text), "{\"id\":%d,%s}\n", fuzz->last_id,
					which < 16 ? answers[which & 3] : said);
	} else {
		size = wire_be16(r) % sizeof(text);
		size = size < wire_left(r) ? size : wire_left(r);
		wire_copy(r, text, size);
	}
	if (fuzz->qemu >= 0)
		(void)!send(fuzz->qemu, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void operate(struct fuzz *fuzz, struct wire_reader *r)
{
	uint8_t operation = wire_u8(r);
	unsigned amount = operation >> 3;

	switch (operation & 7) {
	case 0:
	case 1:
	case 2:
		qemu_says(fuzz, r, amount);
		break;
	case 3:
		if (qmp_execute(fuzz->vm.qmp, "command", NULL, on_reply, fuzz) == 0)
			fuzz->given++;
		break;
	case 4:
		run_script(fuzz, amount);
		break;
	case 5:
		loop_advance(fuzz->loop, amount * 400u);
		break;
	case 6:
		qemu_hears(fuzz);
		break;
	case 7:
		if (amount == 31)
			fd_close(&fuzz->qemu);
		break;
	}
	loop_run_once(fuzz->loop, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct wire_reader r = wire_reader(data, size);
	int fds[2];

	log_set_levels("error");
	fuzz = (struct fuzz){0};
	must(loop_new(&fuzz.loop) == 0);
	loop_use_virtual_time(fuzz.loop, 1000000);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	fuzz.qemu = fds[1];
	must(script_new(fuzz.loop, &fuzz.script) == 0);
	must(qmp_new(fuzz.loop, fds[0], &user, &fuzz, &fuzz.vm.qmp) == 0);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++)
		operate(&fuzz, &r);
	fd_close(&fuzz.qemu);
	qmp_drain(fuzz.vm.qmp);
	for (unsigned i = 0; i < 10; i++)
		loop_run_once(fuzz.loop, false);
	loop_advance(fuzz.loop, 10 * TIMEOUT_MS);
	loop_run_once(fuzz.loop, false);
	must(fuzz.closed && fuzz.answered == fuzz.given && fuzz.ended == fuzz.scripts);
	qmp_free(fuzz.vm.qmp);
	script_free(fuzz.script);
	loop_free(fuzz.loop);
	return 0;
}
