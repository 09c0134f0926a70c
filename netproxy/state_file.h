/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state that outlives a run (--state FILE): one JSON object with a section for each module that
 * has something to keep, such as {"version":1,"forwards":[...],"leases":[...]}.
 *
 * The file is always whole: it is written beside itself, flushed to the disk, and renamed, without
 * that the loop waits for the disk (disk_sync.h). Changes are gathered for STATE_FILE_DELAY_MS
 * before they are written. It can only be read by its owner, and is locked: two processes with one
 * file would undo each other's work. A file that can't be made sense of is set aside as FILE.broken
 * and reported, never fatal; sections that nobody registered are kept as they are.
 */
#ifndef NETPROXY_STATE_FILE_H
#define NETPROXY_STATE_FILE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define STATE_FILE_SIZE_MAX     (32 * 1024 * 1024)
#define STATE_FILE_SECTIONS_MAX 8
#define STATE_FILE_DELAY_MS     500
/* Between a write that failed and the next attempt. */
#define STATE_FILE_RETRY_MS 10000
#define STATE_ERROR_MAX     512

struct state_file;

/* A section; the callbacks get `arg`. */
struct state_section {
	const char *name; /* its key in the file; static */
	/* What is to be kept, as JSON that the caller takes; NULL: nothing. */
	struct json_object *(*save)(void *arg);
	/* Takes in what was kept; `section` is borrowed and may be of any type and content. Returns
	 * 0, or -errno with a message: then what was kept is set aside as a broken file is. What it
	 * could use before, it may have used. */
	int (*load)(void *arg, struct json_object *section, char error[static STATE_ERROR_MAX]);
	void *arg;
};

/* Reads the file, which needn't exist yet. A NULL `path` makes a state that keeps nothing, so that
 * modules needn't ask. Returns 0 or -errno: the directory isn't there or can't be written to, the
 * path is too long, the file is there and can't be read, or another process has it (-EWOULDBLOCK).
 */
int state_file_new(struct loop *loop, const char *path, struct state_file **ret_state);
/* Writes what has changed. The sections' modules must still be there; see
 * state_file_remove_section(). NULL is fine. */
void state_file_free(struct state_file *state);

/* Registers a section, and loads what was kept of it before it returns. -EEXIST, -ENOSPC. */
int state_file_add_section(struct state_file *state, const struct state_section *section);
/* For a module that ends before the state does: writes what has changed, and asks no more. Unknown
 * names and a NULL state are fine. */
void state_file_remove_section(struct state_file *state, const char *name);

/* Something in a section has changed: it is written soon. NULL is fine. */
void state_file_changed(struct state_file *state);
/* The same for what does little harm when it is lost: it is written within that time, or with
 * something else. */
void state_file_changed_within(struct state_file *state, uint64_t delay_ms);
/* Writes now what has changed, and waits for the disk. Returns 0, or -errno; the change is then
 * still due. */
int state_file_flush(struct state_file *state);

#endif
