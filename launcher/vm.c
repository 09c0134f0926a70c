/* SPDX-License-Identifier: Apache-2.0 */
/* See vm.h. */
#include "launcher/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"
#include "launcher/process.h"

LOG_MODULE("vm");

#define REASON_MAX 64

struct vm {
	const struct vm_user *user;
	void *arg;
	struct process *process;
	struct qmp *qmp;
	struct console *console;
	uint64_t balloon_bytes;           /* what the guest is left with at first; 0: all */
	char shutdown_reason[REASON_MAX]; /* empty: no SHUTDOWN event yet */
	bool panicked, told_to_quit;
	void (*progress)(void *arg, bool guest_runs);
	void *progress_arg;
};

enum vm_end vm_end_from(const struct vm_end_facts *facts)
{
	const char *reason = facts->shutdown_reason;

	if (facts->panicked || (reason && strcmp(reason, "guest-panic") == 0))
		return VM_END_PANICKED;
	if (reason && strcmp(reason, "guest-shutdown") == 0)
		return VM_END_POWERED_OFF;
	if (reason && strcmp(reason, "guest-reset") == 0)
		return VM_END_RESET;
	return facts->told_to_quit ? VM_END_QUIT : VM_END_DIED;
}

static const char *describe(struct vm *vm, enum vm_end end, int wait_status, char *to, size_t size)
{
	char text[PROCESS_END_TEXT_MAX];
	const char *words = process_last_words(vm->process);
	const char *line = strrchr(words, '\n') ? strrchr(words, '\n') + 1 : words;

	switch (end) {
	case VM_END_POWERED_OFF:
		return "the guest powered off";
	case VM_END_RESET:
		return "the guest rebooted";
	case VM_END_PANICKED:
		return "the guest's kernel panicked";
	case VM_END_QUIT:
		return "the guest was killed";
	case VM_END_DIED:
		break;
	}
	snprintf(to, size, "QEMU %s%s%.512s", process_end_text(wait_status, text),
		 line[0] ? "; its last words: " : "", line);
	return to;
}

static void on_end(void *arg, int wait_status)
{
	struct vm *vm = arg;
	char text[PROCESS_END_TEXT_MAX + 600];
	enum vm_end end;

	/* Its last events and console output may be there still. */
	qmp_drain(vm->qmp);
	console_drain(vm->console);
	end = vm_end_from(&(struct vm_end_facts){
		.shutdown_reason = vm->shutdown_reason[0] ? vm->shutdown_reason : NULL,
		.panicked = vm->panicked,
		.told_to_quit = vm->told_to_quit,
		.wait_status = wait_status,
	});
	vm->user->ended(vm->arg, end, describe(vm, end, wait_status, text, sizeof(text)));
}

static void on_qmp_event(void *arg, const char *name, struct json_object *data)
{
	struct vm *vm = arg;
	struct json_object *reason;

	if (strcmp(name, "GUEST_PANICKED") == 0) {
		vm->panicked = true;
	} else if (strcmp(name, "SHUTDOWN") == 0) {
		if (json_object_object_get_ex(data, "reason", &reason) &&
		    json_object_is_type(reason, json_type_string))
			snprintf(vm->shutdown_reason, sizeof(vm->shutdown_reason), "%s",
				 json_object_get_string(reason));
	} else if (strcmp(name, "RESET") == 0) {
		log_info("the guest reboots");
	} else if (strcmp(name, "POWERDOWN") == 0) {
		log_debug("the power button was pressed");
	}
	if (vm->user->event)
		vm->user->event(vm->arg, name, data);
}

static void on_qmp_closed(void *arg, const char *reason)
{
	(void)arg;
	/* QEMU closes it when it ends, and then its process tells more. */
	log_debug("QEMU's control connection is over: %s", reason);
}

static void on_refused(void *arg, int status, struct json_object *value, const char *error)
{
	(void)value;
	if (status == -EREMOTEIO)
		log_warn("QEMU refused %s: %s", (const char *)arg, error);
}

/* `name` is a literal; `arguments` is taken, and may be NULL. */
static void command(struct vm *vm, const char *name, struct json_object *arguments)
{
	int r = qmp_execute(vm->qmp, name, arguments, on_refused, (void *)name);

	if (r < 0)
		log_debug("can't send %s to QEMU: %s", name, strerror(-r));
}

static void on_qmp_ready(void *arg)
{
	struct vm *vm = arg;

	if (vm->balloon_bytes > 0) {
		struct json_object *arguments = json_object_new_object();

		/* The guest's driver finds it when it comes. */
		json_object_object_add(arguments, "value",
				       json_object_new_int64((int64_t)vm->balloon_bytes));
		command(vm, "balloon", arguments);
	}
	vm->user->ready(vm->arg);
}

static const struct qmp_user qmp_user = {
	.ready = on_qmp_ready, .event = on_qmp_event, .closed = on_qmp_closed};

static int spawn(struct loop *loop, struct vm *vm, const struct machine *machine,
		 const struct qemu_wiring *wiring, struct problem *problem)
{
	struct args args = {.count = 0};
	int fds[] = {wiring->qmp_fd, wiring->console_fd};
	struct process_conf process = {.name = "QEMU", .args = &args, .fds = fds, .fd_count = 2};
	char *line;
	int r = qemu_args_build(machine, wiring, &args);

	if (r < 0)
		return problem_set(problem, r, "can't start QEMU: %s", strerror(-r));
	line = args_shell_line(&args);
	log_debug("starting %s", line ? line : "");
	free(line);
	r = process_spawn(loop, &process, on_end, vm, &vm->process);
	args_clear(&args);
	if (r < 0)
		return problem_set(problem, r, "can't start %s: %s", wiring->qemu, strerror(-r));
	return 0;
}

/* Makes both connections and starts QEMU with the other ends. */
static int connect_and_spawn(struct loop *loop, struct vm *vm, const struct machine *machine,
			     const struct qemu_wiring *wiring, struct problem *problem)
{
	int qmp[2] = {-1, -1}, console[2] = {-1, -1}, r = 0;
	struct qemu_wiring wired = *wiring;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) < 0)
		r = -errno;
	wired.qmp_fd = qmp[1];
	wired.console_fd = console[1];
	if (r == 0) {
		r = qmp_new(loop, qmp[0], &qmp_user, vm, &vm->qmp);
		qmp[0] = -1;
	}
	if (r == 0) {
		r = console_attach(vm->console, console[0]);
		console[0] = -1;
	}
	if (r < 0)
		problem_set(problem, r, "can't start QEMU: %s", strerror(-r));
	else
		r = spawn(loop, vm, machine, &wired, problem);
	fd_close(&qmp[0]);
	fd_close(&qmp[1]);
	fd_close(&console[0]);
	fd_close(&console[1]);
	return r;
}

int vm_start(struct loop *loop, const struct machine *machine, const struct qemu_wiring *wiring,
	     struct console *console, const struct vm_user *user, void *arg, struct vm **ret_vm,
	     struct problem *problem)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return problem_set(problem, -ENOMEM, "can't start QEMU: out of memory");
	vm->user = user;
	vm->arg = arg;
	vm->console = console;
	vm->balloon_bytes = machine->balloon_bytes;
	r = connect_and_spawn(loop, vm, machine, wiring, problem);
	if (r < 0) {
		vm_free(vm);
		return r;
	}
	*ret_vm = vm;
	return 0;
}

int vm_execute(struct vm *vm, const char *name, struct json_object *arguments, qmp_reply_fn *reply,
	       void *arg)
{
	return qmp_execute(vm->qmp, name, arguments, reply, arg);
}

void vm_press_power(struct vm *vm)
{
	command(vm, "system_powerdown", NULL);
}

void vm_quit(struct vm *vm)
{
	vm->told_to_quit = true;
	command(vm, "quit", NULL);
}

void vm_kill(struct vm *vm)
{
	vm->told_to_quit = true;
	process_signal(vm->process, SIGKILL);
}

static void on_registers(void *arg, int status, struct json_object *value, const char *error)
{
	struct vm *vm = arg;

	(void)error;
	if (status == 0 && json_object_is_type(value, json_type_string))
		vm->progress(vm->progress_arg, accel_guest_runs(json_object_get_string(value)));
}

void vm_check_progress(struct vm *vm, void (*fn)(void *arg, bool guest_runs), void *arg)
{
	struct json_object *arguments = json_object_new_object();

	vm->progress = fn;
	vm->progress_arg = arg;
	json_object_object_add(arguments, "command-line", json_object_new_string("info registers"));
	if (qmp_execute(vm->qmp, "human-monitor-command", arguments, on_registers, vm) < 0)
		log_debug("QEMU can't be asked for its registers");
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	process_free(vm->process);
	qmp_free(vm->qmp);
	free(vm);
}
