/* SPDX-License-Identifier: Apache-2.0 */
/* QMP's reader: the input's first byte says in what steps the rest arrives; the lines found must
 * not depend on it, and whatever is a message can be used. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/accel.h"
#include "launcher/qmp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const char *line, size_t size)
{
	struct qmp_message message;
	char error[256];

	memset(error, 0, sizeof(error));
	if (qmp_message_parse(line, size, &message, error, sizeof(error)) < 0) {
		assert(error[0] != '\0');
		return;
	}
	if (message.kind == QMP_MESSAGE_EVENT || message.kind == QMP_MESSAGE_ERROR)
		assert(message.text && strlen(message.text) < SIZE_MAX);
	if (json_object_is_type(message.value, json_type_string))
		accel_guest_runs(json_object_get_string(message.value));
	qmp_message_clear(&message);
}

/* Reads it all in steps; returns how many lines there were. */
static size_t read_in_steps(const char *text, size_t size, size_t step, int parse)
{
	struct qmp_lines lines = {.data = NULL};
	size_t count = 0, total = 0, line_size;
	const char *line;

	for (size_t at = 0; at < size; at += step) {
		if (qmp_lines_add(&lines, text + at, size - at < step ? size - at : step) < 0)
			break;
		while ((line = qmp_lines_next(&lines, &line_size))) {
			count++;
			total += line_size;
			if (parse)
				use(line, line_size);
		}
	}
	assert(total + count <= size);
	qmp_lines_clear(&lines);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (size < 2)
		return 0;
	size--;
	size_t all = read_in_steps(text, size, size, 1);

	if (size <= 65536 && read_in_steps(text, size, (size_t)data[0] + 1, 0) != all)
		abort();
	return 0;
}
