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
	BUSY_HEAL,    /* what ended at netproxy is connected or plugged in again */
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
	bool net_lost;        /* netproxy has gone; QEMU is to reach it again */
	unsigned plug_wanted; /* devices that are to be plugged in anew: PLUG_NET, PLUG_VSOCK */
	unsigned healing;     /* of these, those that are: 0: it is net_lost */
	bool heal_told;       /* that it doesn't work yet */
	enum control_busy busy;
	struct rest_later *later; /* who waits for it, or NULL */
	struct snapshot snapshot; /* that it is about */
	bool was_paused;
	bool unplugged;         /* the guest let go of all that can't be saved */
	struct problem failure; /* of it; empty: none */
	bool resizing;
	size_t resized_disk;
};

/* Whether the guest is without its network. */
static inline bool control_net_lost(const struct control *control)
{
	return control->net_lost || (control->plug_wanted & PLUG_NET);
}
/* Writes a line to events.log. */
void control_event(struct control *control, const char *event, const char *detail);
void control_became_ready(struct control *control);

/* machine_ops.c */
void control_restore(struct control *control);
void control_heal(struct control *control);
void control_delete_forgotten(struct control *control);
unsigned control_device_timeout_ms(const struct control *control);
/* Whether the machine's state allows it. Returns 0, or -EBUSY with the problem set. */
int control_check_rule(struct control *control, enum machine_action action,
		       struct problem *problem);
/* Gives QEMU a command whose answer is `later`'s; takes the arguments. Returns 0, or -errno with
 * the problem set. */
int control_command(struct control *control, const char *name, struct json_object *arguments,
		    qmp_reply_fn *reply, struct rest_later *later, struct problem *problem);
/* The usual reply: whether it was done, to the client `arg`. */
void control_on_command(void *arg, int status, struct json_object *value, const char *error);

#endif
