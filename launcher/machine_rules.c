/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_rules.h. */
#include "launcher/machine_rules.h"

#include <stddef.h>

#define NOT_RUNNING "it isn't running: start it first"
#define RUNS        "it is running already"
#define STARTS      "it is starting: wait until it is ready (\"netproxy-vm wait\")"
#define STOPS       "it is stopping: wait until it has stopped (\"netproxy-vm wait -for stopped\")"
#define SAVES       "a snapshot is being made or deleted: wait until that is done"
#define STOP_FIRST  "it is running: stop it first"

/* A machine that has crashed may do what a stopped one may. */
#define NOT_RUNNING_RULES                                                               \
	{                                                                               \
		[ACTION_STOP] = "it isn't running", [ACTION_KILL] = "it isn't running", \
		[ACTION_PAUSE] = NOT_RUNNING, [ACTION_RESUME] = NOT_RUNNING,            \
		[ACTION_SNAPSHOT_SAVE] = NOT_RUNNING, [ACTION_BALLOON] = NOT_RUNNING,   \
		[ACTION_CONSOLE] = NOT_RUNNING, [ACTION_REACH] = NOT_RUNNING,           \
	}

static const char *const rules[MACHINE_STATE_COUNT][ACTION_COUNT] = {
	[MACHINE_STOPPED] = NOT_RUNNING_RULES,
	[MACHINE_CRASHED] = NOT_RUNNING_RULES,
	[MACHINE_STARTING] =
		{
			[ACTION_START] = "it is starting already",
			[ACTION_RESUME] = STARTS,
			[ACTION_PAUSE] = STARTS,
			[ACTION_SNAPSHOT_SAVE] = STARTS,
			[ACTION_SNAPSHOT_RESTORE] = STOP_FIRST,
			[ACTION_SNAPSHOT_DELETE] = STARTS,
			[ACTION_BALLOON] = STARTS,
			[ACTION_REMOVE] = STOP_FIRST,
			[ACTION_RESIZE] = STARTS,
		},
	[MACHINE_RUNNING] =
		{
			[ACTION_START] = RUNS,
			[ACTION_RESUME] = RUNS,
			[ACTION_SNAPSHOT_RESTORE] = STOP_FIRST,
			[ACTION_REMOVE] = STOP_FIRST,
		},
	[MACHINE_PAUSED] =
		{
			[ACTION_START] = "it is paused: resume it",
			[ACTION_PAUSE] = "it is paused already",
			[ACTION_STOP] = "it is paused, and its guest can't power off: resume it "
					"first, or force it (\"stop -force\", HardStop)",
			[ACTION_SNAPSHOT_RESTORE] = STOP_FIRST,
			[ACTION_BALLOON] = "it is paused, and its guest can't give memory back: "
					   "resume it first",
			[ACTION_REACH] = "it is paused, and nothing in it answers: resume it first",
			[ACTION_REMOVE] = STOP_FIRST,
		},
	[MACHINE_SAVING] =
		{
			[ACTION_START] = RUNS,
			[ACTION_STOP] = SAVES,
			[ACTION_PAUSE] = SAVES,
			[ACTION_RESUME] = SAVES,
			[ACTION_SNAPSHOT_SAVE] = SAVES,
			[ACTION_SNAPSHOT_RESTORE] = STOP_FIRST,
			[ACTION_SNAPSHOT_DELETE] = SAVES,
			[ACTION_BALLOON] = SAVES,
			[ACTION_REMOVE] = STOP_FIRST,
			[ACTION_RESIZE] = SAVES,
		},
	[MACHINE_STOPPING] =
		{
			[ACTION_START] = STOPS,
			[ACTION_PAUSE] = STOPS,
			[ACTION_RESUME] = STOPS,
			[ACTION_SNAPSHOT_SAVE] = STOPS,
			[ACTION_SNAPSHOT_RESTORE] = STOPS,
			[ACTION_SNAPSHOT_DELETE] = STOPS,
			[ACTION_BALLOON] = STOPS,
			[ACTION_REMOVE] = STOPS,
			[ACTION_RESIZE] = STOPS,
		},
};

const char *machine_rule(enum machine_state state, enum machine_action action)
{
	return rules[state][action];
}

enum machine_state machine_state_of(const struct machine_facts *facts)
{
	if (!facts->locked)
		return facts->stale || facts->ended_badly ? MACHINE_CRASHED : MACHINE_STOPPED;
	if (!facts->answers)
		return MACHINE_STARTING;
	if (facts->stopping)
		return MACHINE_STOPPING;
	if (facts->busy)
		return MACHINE_SAVING;
	if (facts->guest_runs && facts->paused)
		return MACHINE_PAUSED;
	return facts->guest_runs && facts->ready ? MACHINE_RUNNING : MACHINE_STARTING;
}

const char *machine_state_name(enum machine_state state)
{
	static const char *const names[MACHINE_STATE_COUNT] = {
		[MACHINE_STOPPED] = "stopped",   [MACHINE_CRASHED] = "crashed",
		[MACHINE_STARTING] = "starting", [MACHINE_RUNNING] = "running",
		[MACHINE_PAUSED] = "paused",     [MACHINE_SAVING] = "saving",
		[MACHINE_STOPPING] = "stopping",
	};

	return names[state];
}

const char *machine_state_vfkit(enum machine_state state)
{
	static const char *const names[MACHINE_STATE_COUNT] = {
		[MACHINE_STOPPED] = "VirtualMachineStateStopped",
		[MACHINE_CRASHED] = "VirtualMachineStateError",
		[MACHINE_STARTING] = "VirtualMachineStateStarting",
		[MACHINE_RUNNING] = "VirtualMachineStateRunning",
		[MACHINE_PAUSED] = "VirtualMachineStatePaused",
		[MACHINE_SAVING] = "VirtualMachineStateSaving",
		[MACHINE_STOPPING] = "VirtualMachineStateStopping",
	};

	return names[state];
}
