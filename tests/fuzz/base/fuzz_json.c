/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from outside: parsed, and read with each getter. */
#include "base/json.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct json_object *object)
{
	static const char *const keys[] = {"local", "remote", "port", NULL};

	for (int getter = 0; getter < 7; getter++) {
		struct json_reader r = json_reader(object, "input");
		const char *text = NULL;

		switch (getter) {
		case 0:
			text = json_get_string(&r, "local", "none");
			break;
		case 1:
			json_get_int(&r, "port", 1, 65535, 80);
			break;
		case 2:
			json_get_bool(&r, "port", false);
			break;
		case 3:
			json_get_array(&r, "remote");
			break;
		case 4:
			json_get_object(&r, "remote");
			break;
		case 5:
			text = json_need_string(&r, "remote");
			assert(text || !json_ok(&r));
			break;
		default:
			json_only_keys(&r, keys);
			break;
		}
		assert(memchr(r.error, '\0', sizeof(r.error)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_object *object;
	char error[64];

	if (json_parse((const char *)data, size, &object, error, sizeof(error)) < 0) {
		assert(strncmp(error, "line ", 5) == 0);
		assert(strlen(error) < sizeof(error));
		return 0;
	}
	read_all(object);
	json_object_put(object);
	return 0;
}
