/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's REST socket, DIR/rest.sock: HTTP/1.1 in vfkit's shape, and our own.
 *
 *	GET    /vm/state            {"state": "VirtualMachineStateRunning", "canStop": true, ...}
 *	POST   /vm/state            {"state": "Stop" | "HardStop" | "Pause" | "Resume"}
 *	GET    /vm/inspect          {"vcpus": 1, "memoryBytes": 536870912, ...}
 *	GET    /machine             all that is known
 *	GET    /machine/balloon     {"bytes": 536870912}
 *	POST   /machine/balloon     {"bytes": 268435456}
 *	GET    /machine/snapshots   [{"name": ..., "time": ..., "size": ..., "state": ...}, ...]
 *	POST   /machine/snapshots   {"name": "NAME"}
 *	DELETE /machine/snapshots/NAME
 *	GET    /machine/disks       [...]
 *	POST   /machine/disks       {"disk": "DISK", "bytes": 2147483648}
 *	POST   /machine/screenshot  {"path": "FILE"}
 *
 * What isn't done is told as {"error": "..."}.
 */
#ifndef LAUNCHER_REST_H
#define LAUNCHER_REST_H

#include <json-c/json.h>

#include "base/loop.h"
#include "launcher/problem.h"

#define REST_CONNECTIONS_MAX 32
#define REST_LATER_MAX       8

struct control;
struct rest;
struct rest_later; /* a client who waits for something to be done */

/* Serves at `path`. Returns 0, or -errno with the problem set. */
int rest_new(struct loop *loop, const char *path, struct control *control, struct rest **ret_rest,
	     struct problem *problem);
/* Answers, and forgets the client. `object` is taken; NULL: no body. */
void rest_answer(struct rest_later *later, unsigned status, struct json_object *object);
void rest_answer_error(struct rest_later *later, unsigned status, const char *error);
struct control *rest_control(struct rest_later *later);
/* Hangs up on who still waits, and removes the socket. NULL is fine. */
void rest_free(struct rest *rest);

#endif
