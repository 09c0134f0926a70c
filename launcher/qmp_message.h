/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire side of QMP (QEMU's docs/interop/qmp-spec): a stream cut into lines of bounded length,
 * and each line, a JSON object, read as a greeting, a reply, an error or an event. No I/O here;
 * qmp.c does that.
 */
#ifndef LAUNCHER_QMP_MESSAGE_H
#define LAUNCHER_QMP_MESSAGE_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line by far, query-qmp-schema's, has 200 kB. */
#define QMP_LINE_MAX (4u << 20)

enum qmp_message_kind {
	QMP_MESSAGE_GREETING, /* {"QMP": {"version": ..., "capabilities": ...}} */
	QMP_MESSAGE_RETURN,   /* {"return": ..., "id": ...} */
	QMP_MESSAGE_ERROR,    /* {"error": {"class": ..., "desc": ...}, "id": ...} */
	QMP_MESSAGE_EVENT,    /* {"event": ..., "data": ..., "timestamp": ...} */
};

struct qmp_message {
	enum qmp_message_kind kind;
	struct json_object *root; /* owned: qmp_message_clear() */
	struct json_object
		*value;   /* the greeting's, return's or event's data, or NULL; within root */
	const char *text; /* an event's name or an error's description; within root */
	int64_t id;       /* of a return or an error; -1: none */
};

/* Parses one line without its newline. Returns 0 with *ret to be cleared, or -EPROTO when it isn't
 * a message of QMP, with the reason in `error`. */
int qmp_message_parse(const char *line, size_t size, struct qmp_message *ret, char *error,
		      size_t error_size);
void qmp_message_clear(struct qmp_message *message);

/* Collects bytes until a line is whole. Zero-initialise. */
struct qmp_lines {
	char *data; /* owned */
	size_t size;
	size_t capacity;
	size_t taken;   /* bytes of `data` handed out as lines */
	size_t scanned; /* bytes of `data` known to hold no newline beyond those taken */
};

/* Adds bytes. Returns 0, -EMSGSIZE when a line exceeds QMP_LINE_MAX, or -ENOMEM. */
int qmp_lines_add(struct qmp_lines *lines, const char *data, size_t size);
/* The next whole line, borrowed until the next add, or NULL when there is none. */
const char *qmp_lines_next(struct qmp_lines *lines, size_t *ret_size);
void qmp_lines_clear(struct qmp_lines *lines);

#endif
