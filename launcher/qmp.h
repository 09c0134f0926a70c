/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of QMP, QEMU's control protocol, on the event loop: it greets, negotiates, sends
 * commands and hands replies and events to its user. Commands may be given from the start; they are
 * sent once the negotiation is done, and answered in order.
 *
 * QMP serves one client at a time: whoever holds this connection is the machine's only controller.
 */
#ifndef LAUNCHER_QMP_H
#define LAUNCHER_QMP_H

#include <json-c/json.h>

#include "base/loop.h"

#define QMP_PENDING_MAX 64         /* commands without an answer */
#define QMP_OUT_MAX     (1u << 20) /* bytes of commands that QEMU hasn't read */

struct qmp;

struct qmp_user {
	/* The negotiation is done: QEMU answers from now on. */
	void (*ready)(void *arg);
	/* `data` is borrowed and may be NULL. */
	void (*event)(void *arg, const char *name, struct json_object *data);
	/* The connection is over, said once; `reason` is text for people. Pending commands were
	 * answered with -EPIPE before. The user still frees the client, possibly from here. */
	void (*closed)(void *arg, const char *reason);
};

/*
 * The answer to a command: status 0 with the value that it returned; -EREMOTEIO with what QEMU said
 * in `error`; -EPIPE when the connection ended first. All borrowed. May give commands, but not free
 * the client.
 */
typedef void qmp_reply_fn(void *arg, int status, struct json_object *value, const char *error);

/* Speaks on `fd`, a connected stream socket that it takes, also on failure. Returns 0 or -errno. */
int qmp_new(struct loop *loop, int fd, const struct qmp_user *user, void *arg,
	    struct qmp **ret_qmp);
/* Gives a command. `arguments` is taken, also on failure, and may be NULL; `reply` may be NULL.
 * Returns 0, or -ENOBUFS when too much is under way, -EPIPE when the connection is over, -ENOMEM.
 */
int qmp_execute(struct qmp *qmp, const char *command, struct json_object *arguments,
		qmp_reply_fn *reply, void *arg);
/* Reads what QEMU sent before it ended, so that its last events aren't lost with it. */
void qmp_drain(struct qmp *qmp);
/* Pending commands are forgotten without an answer. NULL is fine. */
void qmp_free(struct qmp *qmp);

#endif
