/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed reading over json-c. Errors are written for the person who wrote the JSON: they name the
 * key, what was found and what would be right. A reader holds the first error and makes later calls
 * harmless, so that a decoder reads as straight lines and asks json_ok() once.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

struct json_reader {
	struct json_object *object; /* the object read from, borrowed */
	const char *where; /* prefix of messages: "config.json" or "request body"; borrowed */
	char error[256];   /* first error, or empty */
};

/* Parses `size` bytes, all of them one JSON value. Returns 0 with an owned object
 * (json_object_put()), or -EINVAL with a message with line and column in `error`. */
int json_parse(const char *text, size_t size, struct json_object **ret_object, char *error,
	       size_t error_size);

/* `object` must be a JSON object, else the reader starts out failed. */
struct json_reader json_reader(struct json_object *object, const char *where);
static inline bool json_ok(const struct json_reader *r)
{
	return r->error[0] == '\0';
}
/* Records an error of the caller's own, unless there is one already. */
void json_fail(struct json_reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Each returns the value, or the fallback when the key is absent or null. A wrong type, a number
 * out of range and a string with a NUL character in it are errors. Strings are borrowed from the
 * object. */
const char *json_get_string(struct json_reader *r, const char *key, const char *fallback);
int64_t json_get_int(struct json_reader *r, const char *key, int64_t min, int64_t max,
		     int64_t fallback);
bool json_get_bool(struct json_reader *r, const char *key, bool fallback);
struct json_object *json_get_array(struct json_reader *r, const char *key);  /* NULL: absent */
struct json_object *json_get_object(struct json_reader *r, const char *key); /* NULL: absent */
/* Fails when the key is absent. */
const char *json_need_string(struct json_reader *r, const char *key);
/* Fails on the first key that isn't in the NULL-terminated list, and names the list. */
void json_only_keys(struct json_reader *r, const char *const *keys);

#endif
