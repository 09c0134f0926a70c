/* SPDX-License-Identifier: Apache-2.0 */
/* The states that a machine can be in, which are derived each time somebody asks, and what may be
 * done in each: one table. */
#ifndef LAUNCHER_MACHINE_RULES_H
#define LAUNCHER_MACHINE_RULES_H

#include <stdbool.h>

enum machine_state {
	MACHINE_STOPPED,
	MACHINE_CRASHED,  /* stopped, and not in order: start it again */
	MACHINE_STARTING, /* QEMU doesn't run, or the guest isn't ready */
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_SAVING, /* a snapshot is being saved or deleted, or loaded at the start */
	MACHINE_STOPPING,
	MACHINE_STATE_COUNT,
};

enum machine_action {
	ACTION_START,
	ACTION_STOP,
	ACTION_KILL,
	ACTION_PAUSE,
	ACTION_RESUME,
	ACTION_SNAPSHOT_SAVE,
	ACTION_SNAPSHOT_RESTORE,
	ACTION_SNAPSHOT_DELETE,
	ACTION_BALLOON,
	ACTION_CONSOLE, /* and ports */
	ACTION_REMOVE,
	ACTION_RESIZE, /* a disk */
	ACTION_REACH,  /* SSH and vsock: something in the guest is to answer */
	ACTION_COUNT,
};

/* What is known of a machine. */
struct machine_facts {
	bool locked;      /* somebody runs it */
	bool stale;       /* nobody does, but what one leaves who was killed is there */
	bool ended_badly; /* the last run's end was no power-off and no kill that was asked for */
	bool answers;     /* whoever runs it told the rest: */
	bool guest_runs;  /* QEMU runs and answers */
	bool ready;       /* the guest said so */
	bool paused;
	bool stopping;
	bool busy; /* with a snapshot */
};

enum machine_state machine_state_of(const struct machine_facts *facts);
const char *machine_state_name(enum machine_state state);
/* NULL: it may be done; else why not, and what to do instead. */
const char *machine_rule(enum machine_state state, enum machine_action action);
/* What vfkit calls the state. */
const char *machine_state_vfkit(enum machine_state state);

#endif
