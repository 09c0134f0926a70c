/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that change whether a machine runs, but start: stop, kill, restart, pause, resume, and
 * wait. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "launcher/cmd.h"
#include "launcher/commands.h"

#define LOOK_EVERY_US 50000
#define OWNER_LOOKS   20
#define KILL_WAIT_S   15
/* What the supervisor takes beyond the guest's own time. */
#define STOP_EXTRA_S 15

static const struct cmd_spec plain = {.words_min = 1, .words_max = 1};

static struct cmd_spec spec_of(const char *usage, const char *help, unsigned flags)
{
	struct cmd_spec spec = plain;

	spec.usage = usage;
	spec.help = help;
	spec.flags = flags;
	return spec;
}

/* Waits until nobody has the lock. */
static bool wait_gone(const struct store_place *place, uint64_t deadline_ms)
{
	pid_t pid;

	while (store_owner(place->dir, &pid) == 0) {
		if (clock_ms() > deadline_ms)
			return false;
		usleep(LOOK_EVERY_US);
	}
	return true;
}

static int post_state(const struct store_place *place, const char *state, struct problem *problem)
{
	char body[64];

	snprintf(body, sizeof(body), "{\"state\": \"%s\"}", state);
	return cmd_call(place, "POST", "/vm/state", body, CMD_CALL_MS, NULL, problem);
}

/* One that has just taken the lock says in a moment who it is. */
static void look_at_owner(const struct store_place *place, struct cmd_view *ret)
{
	for (int i = 0; i < OWNER_LOOKS; i++) {
		cmd_look(place, ret);
		if (ret->state != MACHINE_STARTING || ret->status || ret->pid > 0)
			return;
		cmd_view_clear(ret);
		usleep(LOOK_EVERY_US);
	}
}

/* Asks who answers; a supervisor that doesn't gets a signal, which it takes as the same. */
static int ask_stop(const struct store_place *place, const struct cmd_view *view, bool force,
		    struct problem *problem)
{
	int r;

	if (!view->status && view->pid > 0)
		return kill(view->pid, SIGTERM) == 0 || errno == ESRCH
			       ? 0
			       : problem_set(problem, -errno, "can't signal process %d: %s",
					     view->pid, strerror(errno));
	r = post_state(place, force ? "HardStop" : "Stop", problem);
	/* It may be gone already. */
	return r == -EREMOTEIO ? r : 0;
}

int cmd_stop(const struct store_place *place, bool force, unsigned timeout_s)
{
	struct settings settings;
	struct problem problem;
	struct cmd_view view;
	const char *why;
	uint64_t own_s = 30;
	int r = 0;

	look_at_owner(place, &view);
	why = machine_rule(view.state, force ? ACTION_KILL : ACTION_STOP);
	if (why && (view.state == MACHINE_STOPPED || view.state == MACHINE_CRASHED)) {
		cmd_view_clear(&view);
		return 0; /* what was wanted is so */
	}
	if (why)
		r = problem_set(&problem, -EBUSY, "%s: %s", place->name, why);
	else
		r = ask_stop(place, &view, force, &problem);
	cmd_view_clear(&view);
	if (r < 0)
		return cmd_refuse(&problem);
	if (cmd_settings(place, &settings, &problem) == 0)
		own_s = settings.run.stop_timeout_s;
	run_options_clear(&settings.run);
	if (wait_gone(place, clock_ms() + 1000 * (force       ? KILL_WAIT_S
						  : timeout_s ? timeout_s
							      : own_s + STOP_EXTRA_S)))
		return 0;
	if (!force) {
		fprintf(stderr, "netproxy-vm: %s didn't power off: killing it\n", place->name);
		return cmd_stop(place, true, 0);
	}
	problem_set(&problem, -ETIMEDOUT,
		    "%s still runs; its log (\"netproxy-vm logs %s\") may tell", place->name,
		    place->name);
	return cmd_refuse(&problem);
}

static int stop_machine(const struct cmd *cmd, const struct store_place *place)
{
	return cmd_stop(place, cmd->force, cmd->timeout_s);
}

int command_stop(int argc, char *const *argv)
{
	const struct cmd_spec spec = spec_of(
		"stop [-force] [-timeout SECONDS] NAME",
		"Powers the guest off and comes back when the machine has gone. A guest that\n"
		"doesn't in its time (-stop-timeout of the description, or -timeout) is killed,\n"
		"with -force at once. One that doesn't run is fine.",
		CMD_FORCE | CMD_TIMEOUT);

	return cmd_run(argc, argv, &spec, stop_machine);
}

static int kill_machine(const struct cmd *cmd, const struct store_place *place)
{
	(void)cmd;
	return cmd_stop(place, true, 0);
}

int command_kill(int argc, char *const *argv)
{
	const struct cmd_spec spec = spec_of(
		"kill NAME", "Ends the machine without asking the guest, as a power cut does.", 0);

	return cmd_run(argc, argv, &spec, kill_machine);
}

static int restart_machine(const struct cmd *cmd, const struct store_place *place)
{
	int status = cmd_stop(place, cmd->force, cmd->timeout_s);

	return status ? status : cmd_start(place, NULL);
}

int command_restart(int argc, char *const *argv)
{
	const struct cmd_spec spec = spec_of("restart [-force] [-timeout SECONDS] NAME",
					     "Stops the machine, if it runs, and starts it.",
					     CMD_FORCE | CMD_TIMEOUT);

	return cmd_run(argc, argv, &spec, restart_machine);
}

static int change_state(const struct store_place *place, const char *state,
			enum machine_action action)
{
	struct problem problem;
	int r = cmd_check(place, action, NULL, &problem);

	if (r == 0)
		r = post_state(place, state, &problem);
	return r < 0 ? cmd_refuse(&problem) : 0;
}

static int pause_machine(const struct cmd *cmd, const struct store_place *place)
{
	(void)cmd;
	return change_state(place, "Pause", ACTION_PAUSE);
}

int command_pause(int argc, char *const *argv)
{
	const struct cmd_spec spec = spec_of("pause NAME",
					     "Stops the guest's time until it is resumed.", 0);

	return cmd_run(argc, argv, &spec, pause_machine);
}

static int resume_machine(const struct cmd *cmd, const struct store_place *place)
{
	(void)cmd;
	return change_state(place, "Resume", ACTION_RESUME);
}

int command_resume(int argc, char *const *argv)
{
	const struct cmd_spec spec = spec_of(
		"resume NAME",
		"Lets a paused guest go on. Its clock is set if the QEMU guest agent runs in it.",
		0);

	return cmd_run(argc, argv, &spec, resume_machine);
}

static int wait_machine(const struct cmd *cmd, const struct store_place *place)
{
	struct problem problem;
	struct cmd_view view;

	bool for_stopped = cmd->wait_for && strcmp(cmd->wait_for, "stopped") == 0;
	uint64_t deadline_ms = clock_ms() + 1000ull * (cmd->timeout_s ? cmd->timeout_s : 300);

	for (;;) {
		bool runs;

		cmd_look(place, &view);
		cmd_view_clear(&view);
		runs = view.state != MACHINE_STOPPED && view.state != MACHINE_CRASHED;
		if (for_stopped ? !runs : view.state == MACHINE_RUNNING)
			return 0;
		if (!for_stopped && !runs)
			problem_set(&problem, 0, "%s is %s%s%s", place->name,
				    machine_state_name(view.state), view.why[0] ? ": " : "",
				    view.why);
		else
			problem_set(&problem, 0, "%s is still %s", place->name,
				    machine_state_name(view.state));
		if ((!for_stopped && !runs) || clock_ms() > deadline_ms)
			return cmd_refuse(&problem);
		usleep(LOOK_EVERY_US);
	}
}

int command_wait(int argc, char *const *argv)
{
	const struct cmd_spec spec = spec_of(
		"wait [-for running|stopped] [-timeout SECONDS] NAME",
		"Waits until the machine is ready, or has stopped. The exit status is 1 when it\n"
		"isn't after -timeout (300), or when one that was to be ready has stopped.",
		CMD_FOR | CMD_TIMEOUT);

	return cmd_run(argc, argv, &spec, wait_machine);
}
