/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a managed machine's supervisor does besides running it: it serves the console and the REST
 * socket, waits for the guest to be ready, heals the network when netproxy was started again, saves
 * and restores snapshots, and writes down what happens. It is the supervisor's hooks.
 *
 * One thing at a time is done to QEMU's devices (enum control_busy); whoever wants another
 * meanwhile is refused.
 */
#ifndef LAUNCHER_MACHINE_CONTROL_H
#define LAUNCHER_MACHINE_CONTROL_H

#include <json-c/json.h>

#include "launcher/daemon.h"
#include "launcher/machine_rules.h"
#include "launcher/rest.h"
#include "launcher/snapshot.h"
#include "launcher/store_description.h"
#include "launcher/supervisor.h"

#define CONTROL_EVENTS_MAX (256u << 10) /* bytes of events.log; the one before is events.log.1 */

struct control_conf {
	const struct store_place *place;
	const struct settings *settings;
	const struct snapshot *restore; /* or NULL: it boots */
	struct daemon *daemon;          /* whom to tell how the start went */
	int console_fd;                 /* our end of the console's pair; taken by begin() */
};

struct control;

extern const struct supervisor_hooks control_hooks;

/* Returns NULL without memory. */
struct control *control_new(const struct control_conf *conf);
/* After the run. NULL is fine. */
void control_free(struct control *control);

enum machine_state control_state(const struct control *control);
const struct machine *control_machine(const struct control *control);
const char *control_dir(const struct control *control);
/* All that is known, as JSON for "inspect" and GET /machine. */
struct json_object *control_status(struct control *control);

/* Each returns 0, or -errno with the problem set: -EBUSY when the machine's state doesn't allow it.
 * Those with `later` answer it when it is done, and not before they return. */
int control_stop(struct control *control, bool force, struct problem *problem);
int control_pause(struct control *control, bool pause, struct rest_later *later,
		  struct problem *problem);
int control_balloon_get(struct control *control, struct rest_later *later, struct problem *problem);
int control_balloon_set(struct control *control, uint64_t bytes, struct rest_later *later,
			struct problem *problem);
/* Gives the disk with that name (machine_disks.h) more room. */
int control_resize(struct control *control, const char *name, uint64_t bytes,
		   struct rest_later *later, struct problem *problem);
/* Writes a picture of the screen to that file: PPM if its name ends so, else PNG. */
int control_screenshot(struct control *control, const char *path, struct rest_later *later,
		       struct problem *problem);
int control_save(struct control *control, const char *name, struct rest_later *later,
		 struct problem *problem);
int control_delete(struct control *control, const char *name, struct rest_later *later,
		   struct problem *problem);

#endif
