/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of QEMU: the process, its control connection, its end of the console, and the answer to
 * how it ended. The supervisor decides when to start, power off and kill; here is how.
 */
#ifndef LAUNCHER_VM_H
#define LAUNCHER_VM_H

#include <stdbool.h>

#include "base/loop.h"
#include "launcher/console.h"
#include "launcher/machine.h"
#include "launcher/problem.h"
#include "launcher/qemu_args.h"
#include "launcher/qmp.h"

struct vm;

/* How a run ended. */
enum vm_end {
	VM_END_POWERED_OFF, /* by the guest */
	VM_END_RESET,       /* the guest rebooted where a reboot ends the run */
	VM_END_PANICKED,    /* the guest's kernel said so */
	VM_END_QUIT,        /* we told QEMU to quit, or killed it */
	VM_END_DIED,        /* QEMU: an error, a crash, somebody else's signal */
};

/* What is known when QEMU has gone. */
struct vm_end_facts {
	const char *shutdown_reason; /* of QMP's last SHUTDOWN event, or NULL */
	bool panicked;               /* there was a GUEST_PANICKED event */
	bool told_to_quit;           /* by vm_quit() or vm_kill() */
	int wait_status;
};

/* Pure. */
enum vm_end vm_end_from(const struct vm_end_facts *facts);

struct vm_user {
	/* QEMU answers on its control connection. */
	void (*ready)(void *arg);
	/* QEMU has gone; `why` in one line, with QEMU's own words when it died. The vm may be freed
	 * from here. */
	void (*ended)(void *arg, enum vm_end end, const char *why);
	/* An event of QMP's; `data` is borrowed and may be NULL. May be NULL. */
	void (*event)(void *arg, const char *name, struct json_object *data);
};

/* Starts QEMU; `wiring` without its descriptors, which are made here. Borrows the console. Returns
 * 0, or -errno with the problem set. */
int vm_start(struct loop *loop, const struct machine *machine, const struct qemu_wiring *wiring,
	     struct console *console, const struct vm_user *user, void *arg, struct vm **ret_vm,
	     struct problem *problem);
/* Presses the power button (ACPI). The guest may ignore it, and does while it boots. */
void vm_press_power(struct vm *vm);
/* Tells QEMU to end, with the disks' caches written out; the guest isn't asked. */
void vm_quit(struct vm *vm);
void vm_kill(struct vm *vm);
/* Gives QEMU a command, as qmp_execute() does. */
int vm_execute(struct vm *vm, const char *name, struct json_object *arguments, qmp_reply_fn *reply,
	       void *arg);
/* Asks whether the guest's operating system runs; `fn` gets the answer if QEMU gives one. */
void vm_check_progress(struct vm *vm, void (*fn)(void *arg, bool guest_runs), void *arg);
/* Kills QEMU if it runs. NULL is fine. */
void vm_free(struct vm *vm);

#endif
