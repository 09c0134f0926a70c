/* SPDX-License-Identifier: Apache-2.0 */
/* What machine_control.c (the run) and machine_ops.c (what is done to it) share. */
#ifndef LAUNCHER_MACHINE_CONTROL_PRIVATE_H
#define LAUNCHER_MACHINE_CONTROL_PRIVATE_H

#include "launcher/guest_clock.h"
#include "launcher/machine_console.h"
#include "launcher/machine_control.h"
#include "launcher/machine_plug.h"

/* What is being done to QEMU's devices. */
enum control_busy {
	BUSY_NOT,
	BUSY_HEAL,    /* the network is plugged in again */
	BUSY_SAVE,    /* unplugging and saving */
	BUSY_RESTORE, /* loading */
	BUSY_DELETE,
	BUSY_REPLUG, /* after saving or loading */
};

struct control {
	struct control_conf conf;
	const struct machine *machine;
	struct supervisor *supervisor;
	struct loop *loop;
	struct vm *vm; /* NULL: QEMU doesn't answer (yet) */
	struct machine_console *console;
	struct ready *ready;
	struct guest_clock *clock;
	struct rest *rest;
	struct script *script;
	struct loop_timer *ready_timer;
	struct loop_timer *heal_timer;
	uint64_t start_ms;
	bool is_ready;
	bool paused;
	bool stopping_told;
	bool heal_wanted;
	enum control_busy busy;
	struct rest_later *later; /* who waits for it, or NULL */
	struct snapshot snapshot; /* that it is about */
	bool was_paused;
	bool unplugged;         /* the guest let go of all that can't be saved */
	struct problem failure; /* of it; empty: none */
};

/* Writes a line to events.log. */
void control_event(struct control *control, const char *event, const char *detail);
void control_became_ready(struct control *control);

/* machine_ops.c */
void control_restore(struct control *control);
void control_heal(struct control *control);
void control_delete_forgotten(struct control *control);
unsigned control_device_timeout_ms(const struct control *control);

#endif
