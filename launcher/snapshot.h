/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: memory and disks together, inside the machine's qcow2 images (memory is in one of
 * their own, DIR/snapshots.qcow2), and a note of each in DIR/snapshots/NAME.json, from which they
 * are listed whether the machine runs or not.
 */
#ifndef LAUNCHER_SNAPSHOT_H
#define LAUNCHER_SNAPSHOT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "launcher/machine.h"
#include "launcher/machine_plug.h"
#include "launcher/machine_script.h"
#include "launcher/problem.h"
#include "launcher/store.h"

#define SNAPSHOTS_MAX      64
#define SNAPSHOT_NODE      "vmstate"            /* the block node of DIR/snapshots.qcow2 */
#define SNAPSHOT_FILE_SIZE (UINT64_C(64) << 20) /* what its "disk" has; nothing is on it */

struct snapshot {
	char name[MACHINE_NAME_MAX];
	int64_t time_ms;    /* since 1970 */
	int64_t size_bytes; /* of the memory's part */
	bool paused;        /* the machine was when it was saved, and will be */
};

/* Whether this machine can be saved at all: no disk that it writes to is raw. Returns 0, or
 * -ENOTSUP with the problem set. Pure. */
int snapshot_check(const struct machine *machine, struct problem *problem);
/* Makes the file for memory if it isn't there. Returns 0, or -errno with the problem set. */
int snapshot_prepare(const char *dir, struct problem *problem);

/* Adds the step: `command` is snapshot-save, snapshot-load or snapshot-delete. `fw_vars`: the
 * machine has UEFI variables. */
void snapshot_step(struct script *script, const char *command, const char *name,
		   const struct machine *machine, bool fw_vars);
/* The size in the answer to query-named-block-nodes; 0 when it isn't there. Pure. */
int64_t snapshot_size(struct json_object *nodes, const char *name);

/* The notes, newest first, at most SNAPSHOTS_MAX. Returns how many. */
size_t snapshot_list(const char *dir, struct snapshot *to);
/* Returns 0, or -ENOENT with the problem set. */
int snapshot_find(const char *dir, const char *name, struct snapshot *ret, struct problem *problem);
/* A snapshot will be saved: until it has its note, what there is of it is to be deleted when the
 * machine runs, as one that was forgotten. Returns 0 or -errno. */
int snapshot_begin(const char *dir, const char *name);
/* It is saved, after it was begun. Returns 0 or -errno. */
int snapshot_note(const char *dir, const struct snapshot *snapshot);
/* Forgets a snapshot: its note goes, or with `later` becomes one that says it is to be deleted when
 * the machine runs. Returns 0 or -errno. */
int snapshot_forget(const char *dir, const char *name, bool later);
/* The first that is to be deleted, in `to`. Returns 0 or -ENOENT. */
int snapshot_deletable(const char *dir, char to[static MACHINE_NAME_MAX]);
void snapshot_deleted(const char *dir, const char *name);
/* As JSON: name, time (RFC 3339), size, state. */
struct json_object *snapshot_json(const struct snapshot *snapshot);
struct json_object *snapshot_list_json(const char *dir);

#endif
