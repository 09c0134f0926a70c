/* SPDX-License-Identifier: Apache-2.0 */
/* See qmp_message.h. */
#include "launcher/qmp_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static int64_t message_id(struct json_object *root)
{
	struct json_object *id;

	/* We only ever send integers; anything else is no answer to us. */
	if (!json_object_object_get_ex(root, "id", &id) || !json_object_is_type(id, json_type_int))
		return -1;
	return json_object_get_int64(id);
}

/* Fills *ret from the object; returns NULL, or what is wrong with it. */
static const char *classify(struct json_object *root, struct qmp_message *ret)
{
	struct json_object *value, *text;

	*ret = (struct qmp_message){.root = root, .id = -1};
	if (json_object_object_get_ex(root, "event", &text)) {
		if (!json_object_is_type(text, json_type_string))
			return "an event's name is not a string";
		ret->kind = QMP_MESSAGE_EVENT;
		ret->text = json_object_get_string(text);
		if (json_object_object_get_ex(root, "data", &value))
			ret->value = value;
		return NULL;
	}
	if (json_object_object_get_ex(root, "return", &value)) {
		ret->kind = QMP_MESSAGE_RETURN;
		ret->value = value;
		ret->id = message_id(root);
		return NULL;
	}
	if (json_object_object_get_ex(root, "error", &value)) {
		if (!json_object_is_type(value, json_type_object) ||
		    !json_object_object_get_ex(value, "desc", &text) ||
		    !json_object_is_type(text, json_type_string))
			return "an error without a description";
		ret->kind = QMP_MESSAGE_ERROR;
		ret->text = json_object_get_string(text);
		ret->id = message_id(root);
		return NULL;
	}
	if (json_object_object_get_ex(root, "QMP", &value)) {
		ret->kind = QMP_MESSAGE_GREETING;
		ret->value = value;
		return NULL;
	}
	return "neither a greeting, nor a reply, nor an event";
}

int qmp_message_parse(const char *line, size_t size, struct qmp_message *ret, char *error,
		      size_t error_size)
{
	struct json_object *root;
	struct qmp_message message;
	const char *wrong;

	if (json_parse(line, size, &root, error, error_size) < 0)
		return -EPROTO;
	wrong = json_object_is_type(root, json_type_object) ? classify(root, &message)
							    : "not a JSON object";
	if (wrong) {
		snprintf(error, error_size, "%s", wrong);
		json_object_put(root);
		return -EPROTO;
	}
	*ret = message;
	return 0;
}

void qmp_message_clear(struct qmp_message *message)
{
	json_object_put(message->root);
	memset(message, 0, sizeof(*message));
}

static int lines_reserve(struct qmp_lines *lines, size_t size)
{
	size_t capacity = lines->capacity ? lines->capacity : 4096;
	char *data;

	while (capacity < lines->size + size)
		capacity *= 2;
	if (capacity == lines->capacity)
		return 0;
	data = realloc(lines->data, capacity);
	if (!data)
		return -ENOMEM;
	lines->data = data;
	lines->capacity = capacity;
	return 0;
}

int qmp_lines_add(struct qmp_lines *lines, const char *data, size_t size)
{
	int r;

	if (size == 0)
		return 0;
	if (lines->taken > 0) {
		lines->size -= lines->taken;
		lines->scanned -= lines->taken;
		memmove(lines->data, lines->data + lines->taken, lines->size);
		lines->taken = 0;
	}
	/* What is left over is the start of a line, if the caller took all there were. */
	if (size > QMP_LINE_MAX || lines->size > QMP_LINE_MAX - size)
		return -EMSGSIZE;
	r = lines_reserve(lines, size);
	if (r < 0)
		return r;
	memcpy(lines->data + lines->size, data, size);
	lines->size += size;
	return 0;
}

const char *qmp_lines_next(struct qmp_lines *lines, size_t *ret_size)
{
	const char *line, *end;

	if (lines->scanned == lines->size)
		return NULL;
	end = memchr(lines->data + lines->scanned, '\n', lines->size - lines->scanned);
	if (!end) {
		lines->scanned = lines->size;
		return NULL;
	}
	line = lines->data + lines->taken;
	*ret_size = (size_t)(end - line);
	if (*ret_size > 0 && line[*ret_size - 1] == '\r')
		--*ret_size;
	lines->taken = lines->scanned = (size_t)(end - lines->data) + 1;
	return line;
}

void qmp_lines_clear(struct qmp_lines *lines)
{
	free(lines->data);
	memset(lines, 0, sizeof(*lines));
}
