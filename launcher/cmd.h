/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands for managed machines (cmd_*.c) share: their command line, asking a machine's
 * supervisor, and printing. */
#ifndef LAUNCHER_CMD_H
#define LAUNCHER_CMD_H

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

#include "launcher/machine_rules.h"
#include "launcher/problem.h"
#include "launcher/store_description.h"

#define CMD_WORDS_MAX   64
#define CMD_TIMEOUT_MAX 86400
#define CMD_CALL_MS     10000
#define CMD_SNAPSHOT_MS 600000

/* Which flags a command has. */
#define CMD_FORMAT  0x01u
#define CMD_FORCE   0x02u
#define CMD_TIMEOUT 0x04u
#define CMD_FOR     0x08u
#define CMD_FOLLOW  0x10u
#define CMD_USER    0x20u
#define CMD_RESTORE 0x40u
#define CMD_WHICH   0x80u
#define CMD_SHRINK  0x100u

struct cmd_spec {
	const char *usage; /* what follows "netproxy-vm", for the help */
	const char *help;
	unsigned flags;
	unsigned words_min, words_max; /* with the machine's NAME */
	bool no_machine;               /* it is about none */
	bool rest; /* flags end with the machine's name: the rest is another program's */
};

struct cmd {
	const char *dir;                      /* borrowed from argv, as all texts are; or NULL */
	const char *words[CMD_WORDS_MAX + 1]; /* NULL-terminated; the first is the NAME, or NULL
						 with -dir */
	unsigned count;
	bool json, force, follow, shrink;
	unsigned timeout_s; /* 0: not said */
	const char *wait_for, *user, *restore, *which;
};

/* Reads the command line, finds the machine that it is about, and has run() do the rest; `place` is
 * NULL for a command about no machine. Returns an exit status, which run() does, too. */
int cmd_run(int argc, char *const *argv, const struct cmd_spec *spec,
	    int (*run)(const struct cmd *cmd, const struct store_place *place));
/* Prints the problem and returns 1, an exit status. */
int cmd_refuse(const struct problem *problem);

/* "snapshot save NAME SNAPSHOT" and the like: the word after the command's chooses. */
struct cmd_sub {
	const char *name;
	struct cmd_spec spec;
	int (*run)(const struct cmd *cmd, const struct store_place *place);
};

/* Runs the one that argv[1] names; returns its exit status. */
int cmd_run_sub(int argc, char *const *argv, const struct cmd_sub *subs, size_t count);

/* A machine as seen from outside. */
struct cmd_view {
	enum machine_state state;
	pid_t pid;                  /* of the supervisor; 0: none */
	struct json_object *status; /* what it said, owned; or NULL */
	char why[PROBLEM_MAX];      /* how the last run ended; empty: unknown, or it runs */
};

void cmd_look(const struct store_place *place, struct cmd_view *ret);
void cmd_view_clear(struct cmd_view *view);
/* The view as JSON, owned. */
struct json_object *cmd_view_json(const struct store_place *place, const struct cmd_view *view);
/* Asks the supervisor; *ret_value is the answer's JSON, owned, or NULL; may be NULL. Returns 0, or
 * -errno with the problem set: what it said when it refused. */
int cmd_call(const struct store_place *place, const char *method, const char *path,
	     const char *body, unsigned timeout_ms, struct json_object **ret_value,
	     struct problem *problem);
/* Whether the machine's state, which is put into *ret_state (unless NULL), allows it: 0, or -EBUSY
 * with the problem set. */
int cmd_check(const struct store_place *place, enum machine_action action,
	      enum machine_state *ret_state, struct problem *problem);
/* The same; says itself why not. */
bool cmd_allowed(const struct store_place *place, enum machine_action action,
		 enum machine_state *ret_state);
/* Prints JSON for people who write scripts; takes the object. */
void cmd_print_json(struct json_object *object);
/* A text of an object, or "". */
const char *cmd_text(struct json_object *object, const char *key);
/* Loads a description and checks it without the host. `settings` is to be cleared in any case. */
int cmd_settings(const struct store_place *place, struct settings *settings,
		 struct problem *problem);

/* cmd_start.c: starts it in the background; returns an exit status. */
int cmd_start(const struct store_place *place, const char *restore);
/* cmd_stop.c: stops it and waits until it has gone; returns an exit status. */
int cmd_stop(const struct store_place *place, bool force, unsigned timeout_s);

#endif
