/* SPDX-License-Identifier: Apache-2.0 */
/* See qmp.h. */
#include "launcher/qmp.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "launcher/qmp_message.h"

LOG_MODULE("qmp");

#define READ_SIZE      16384
#define READS_PER_TURN 16

enum qmp_state {
	QMP_WAIT_GREETING, /* nothing may be sent */
	QMP_NEGOTIATING,   /* qmp_capabilities is under way; commands wait */
	QMP_READY,
	QMP_CLOSED, /* the user was told */
};

struct qmp_command {
	struct list node; /* in qmp.waiting, then in qmp.sent */
	int64_t id;
	qmp_reply_fn *reply;
	void *arg;
	char *line; /* owned; NULL once sent */
};

struct qmp {
	struct loop *loop;
	const struct qmp_user *user;
	void *arg;
	int fd;
	struct loop_fd *watch;
	enum qmp_state state;
	struct qmp_lines lines;
	char *out; /* what the socket didn't take yet */
	size_t out_size, out_capacity;
	struct list waiting; /* commands given before the negotiation was done */
	struct list sent;    /* commands without an answer, in order */
	unsigned pending;    /* in both lists */
	int64_t next_id;
	bool busy;  /* reading: a user's callback may free us */
	bool freed; /* it did, while we were reading */
};

static void command_free(struct qmp *qmp, struct qmp_command *command)
{
	list_remove(&command->node);
	qmp->pending--;
	free(command->line);
	free(command);
}

static void qmp_destroy(struct qmp *qmp)
{
	struct list *heads[] = {&qmp->waiting, &qmp->sent};

	for (size_t i = 0; i < 2; i++)
		list_for_each_safe (node, heads[i])
			command_free(qmp, container_of(node, struct qmp_command, node));
	loop_fd_free(qmp->watch);
	fd_close(&qmp->fd);
	qmp_lines_clear(&qmp->lines);
	free(qmp->out);
	free(qmp);
}

static void answer(struct qmp *qmp, struct qmp_command *command, int status,
		   struct json_object *value, const char *error)
{
	qmp_reply_fn *reply = command->reply;
	void *arg = command->arg;

	command_free(qmp, command);
	if (reply)
		reply(arg, status, value, error);
}

static void close_with(struct qmp *qmp, const char *reason)
{
	struct list *heads[] = {&qmp->sent, &qmp->waiting};

	if (qmp->state == QMP_CLOSED)
		return;
	qmp->state = QMP_CLOSED;
	loop_fd_free(qmp->watch);
	qmp->watch = NULL;
	fd_close(&qmp->fd);
	/* Nobody adds to the lists meanwhile: commands are refused from here on. */
	for (size_t i = 0; i < 2; i++)
		list_for_each_safe (node, heads[i])
			answer(qmp, container_of(node, struct qmp_command, node), -EPIPE, NULL,
			       reason);
	if (!qmp->freed)
		qmp->user->closed(qmp->arg, reason);
}

static void flush(struct qmp *qmp)
{
	size_t sent = 0;

	while (qmp->state != QMP_CLOSED && sent < qmp->out_size) {
		ssize_t n = send(qmp->fd, qmp->out + sent, qmp->out_size - sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* reading tells why, when it isn't just full */
		sent += (size_t)n;
	}
	qmp->out_size -= sent;
	memmove(qmp->out, qmp->out + sent, qmp->out_size);
	if (qmp->watch)
		loop_fd_set(qmp->watch, LOOP_READ | (qmp->out_size > 0 ? LOOP_WRITE : 0));
}

/* Queues text for the socket. Returns 0, -ENOBUFS or -ENOMEM. */
static int queue(struct qmp *qmp, const char *text)
{
	size_t size = strlen(text), capacity = qmp->out_capacity ? qmp->out_capacity : 1024;

	if (size > QMP_OUT_MAX - qmp->out_size)
		return -ENOBUFS;
	while (capacity < qmp->out_size + size)
		capacity *= 2;
	if (capacity != qmp->out_capacity) {
		char *out = realloc(qmp->out, capacity);

		if (!out)
			return -ENOMEM;
		qmp->out = out;
		qmp->out_capacity = capacity;
	}
	memcpy(qmp->out + qmp->out_size, text, size);
	qmp->out_size += size;
	return 0;
}

static void became_ready(struct qmp *qmp)
{
	qmp->state = QMP_READY;
	while (!list_empty(&qmp->waiting)) {
		struct qmp_command *command = container_of(list_first(&qmp->waiting),
							   struct qmp_command, node);

		int r = queue(qmp, command->line);

		if (r < 0) {
			answer(qmp, command, r, NULL, strerror(-r));
			continue;
		}
		list_remove(&command->node);
		list_add_tail(&qmp->sent, &command->node);
		free(command->line);
		command->line = NULL;
	}
	flush(qmp);
	qmp->user->ready(qmp->arg);
}

static void negotiated(void *arg, int status, struct json_object *value, const char *error)
{
	struct qmp *qmp = arg;

	(void)value;
	if (status == 0)
		became_ready(qmp);
	else if (status != -EPIPE)
		close_with(qmp, error);
}

static struct qmp_command *command_new(struct qmp *qmp, const char *name,
				       struct json_object *arguments, qmp_reply_fn *reply,
				       void *arg)
{
	struct json_object *object = json_object_new_object();
	struct qmp_command *command = calloc(1, sizeof(*command));
	char *line = NULL;

	if (object) {
		json_object_object_add(object, "execute", json_object_new_string(name));
		json_object_object_add(object, "id", json_object_new_int64(qmp->next_id));
		if (arguments)
			json_object_object_add(object, "arguments", json_object_get(arguments));
		if (asprintf(&line, "%s\n",
			     json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN)) < 0)
			line = NULL;
	}
	json_object_put(object);
	if (!command || !line) {
		free(command);
		free(line);
		return NULL;
	}
	*command = (struct qmp_command){
		.id = qmp->next_id++, .reply = reply, .arg = arg, .line = line};
	list_init(&command->node);
	return command;
}

/* Gives a command; `at_once` for the negotiation's own, which the others wait for. */
static int give(struct qmp *qmp, const char *name, struct json_object *arguments,
		qmp_reply_fn *reply, void *arg, bool at_once)
{
	struct qmp_command *command;
	int r;

	if (qmp->state == QMP_CLOSED)
		return -EPIPE;
	if (qmp->pending >= QMP_PENDING_MAX)
		return -ENOBUFS;
	command = command_new(qmp, name, arguments, reply, arg);
	if (!command)
		return -ENOMEM;
	qmp->pending++;
	if (!at_once) {
		list_add_tail(&qmp->waiting, &command->node);
		return 0;
	}
	r = queue(qmp, command->line);
	if (r < 0) {
		command_free(qmp, command);
		return r;
	}
	free(command->line);
	command->line = NULL;
	list_add_tail(&qmp->sent, &command->node);
	flush(qmp);
	return 0;
}

int qmp_execute(struct qmp *qmp, const char *command, struct json_object *arguments,
		qmp_reply_fn *reply, void *arg)
{
	int r = give(qmp, command, arguments, reply, arg, qmp->state == QMP_READY);

	json_object_put(arguments);
	return r;
}

static void got_reply(struct qmp *qmp, const struct qmp_message *message)
{
	list_for_each (node, &qmp->sent) {
		struct qmp_command *command = container_of(node, struct qmp_command, node);

		if (command->id != message->id)
			continue;
		if (message->kind == QMP_MESSAGE_RETURN)
			answer(qmp, command, 0, message->value, NULL);
		else
			answer(qmp, command, -EREMOTEIO, NULL, message->text);
		return;
	}
	log_limited(LOG_LEVEL_WARN, "an answer to a command that was not given: %s",
		    message->kind == QMP_MESSAGE_ERROR ? message->text : "(a value)");
}

static void got_message(struct qmp *qmp, const struct qmp_message *message)
{
	switch (message->kind) {
	case QMP_MESSAGE_GREETING:
		if (qmp->state != QMP_WAIT_GREETING) {
			close_with(qmp, "QEMU greeted twice");
			break;
		}
		qmp->state = QMP_NEGOTIATING;
		if (give(qmp, "qmp_capabilities", NULL, negotiated, qmp, true) < 0)
			close_with(qmp, "out of memory");
		break;
	case QMP_MESSAGE_RETURN:
	case QMP_MESSAGE_ERROR:
		got_reply(qmp, message);
		break;
	case QMP_MESSAGE_EVENT:
		log_debug("event %s %s", message->text,
			  message->value ? json_object_to_json_string(message->value) : "");
		qmp->user->event(qmp->arg, message->text, message->value);
		break;
	}
}

static void got_bytes(struct qmp *qmp, const char *data, size_t size)
{
	char error[256], reason[320];
	size_t line_size;
	const char *line;

	if (qmp_lines_add(&qmp->lines, data, size) < 0) {
		close_with(qmp, "QEMU sent a line that is too long");
		return;
	}
	while (qmp->state != QMP_CLOSED && !qmp->freed &&
	       (line = qmp_lines_next(&qmp->lines, &line_size))) {
		struct qmp_message message;

		if (line_size == 0)
			continue;
		if (qmp_message_parse(line, line_size, &message, error, sizeof(error)) < 0) {
			snprintf(reason, sizeof(reason), "QEMU sent what isn't QMP: %s", error);
			close_with(qmp, reason);
			return;
		}
		got_message(qmp, &message);
		qmp_message_clear(&message);
	}
}

/* Reads up to `turns` buffers; frees the client at the end if its user wanted that meanwhile. */
static void read_some(struct qmp *qmp, unsigned turns)
{
	char buffer[READ_SIZE];

	qmp->busy = true;
	while (turns-- > 0 && qmp->state != QMP_CLOSED && !qmp->freed) {
		ssize_t n = recv(qmp->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (n > 0) {
			got_bytes(qmp, buffer, (size_t)n);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		close_with(qmp, n == 0 ? "QEMU closed it" : strerror(errno));
	}
	qmp->busy = false;
	if (qmp->freed)
		qmp_destroy(qmp);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct qmp *qmp = arg;

	(void)fd;
	if (ready & LOOP_WRITE)
		flush(qmp);
	if (ready & LOOP_READ)
		read_some(qmp, READS_PER_TURN);
}

int qmp_new(struct loop *loop, int fd, const struct qmp_user *user, void *arg, struct qmp **ret_qmp)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));
	int r = qmp ? 0 : -ENOMEM;

	if (r == 0)
		r = fd_set_nonblocking(fd);
	if (r == 0)
		r = loop_fd_new(loop, fd, LOOP_READ, on_ready, qmp, &qmp->watch);
	if (r < 0) {
		free(qmp);
		fd_close(&fd);
		return r;
	}
	qmp->loop = loop;
	qmp->fd = fd;
	qmp->user = user;
	qmp->arg = arg;
	list_init(&qmp->waiting);
	list_init(&qmp->sent);
	*ret_qmp = qmp;
	return 0;
}

void qmp_drain(struct qmp *qmp)
{
	assert(!qmp->busy);
	read_some(qmp, (QMP_LINE_MAX + READ_SIZE - 1) / READ_SIZE);
}

void qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return;
	if (qmp->busy)
		qmp->freed = true;
	else
		qmp_destroy(qmp);
}
