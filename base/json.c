/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing and typed reading of JSON, with errors for people. */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Longest piece of the user's own text in a message. */
#define SHOWN_MAX 40

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Line and column (in bytes) of `offset`, both from 1. */
static void position(const char *text, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
	unsigned line = 1;
	unsigned column = 1;

	for (size_t i = 0; i < offset; i++) {
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	*ret_line = line;
	*ret_column = column;
}

static const char *error_text(enum json_tokener_error error)
{
	switch (error) {
	case json_tokener_error_depth:
		return "nested too deep";
	case json_tokener_continue:
	case json_tokener_error_parse_eof:
		return "the text ends in the middle of a value";
	default:
		return json_tokener_error_desc(error);
	}
}

/* Feeds the text to the tokener. Returns the result, and in *ret_end how far it was read. */
static enum json_tokener_error tokenize(struct json_tokener *tokener, const char *text, size_t size,
					struct json_object **ret_object, size_t *ret_end)
{
	enum json_tokener_error error;

	*ret_object = json_tokener_parse_ex(tokener, text, (int)size);
	error = json_tokener_get_error(tokener);
	*ret_end = json_tokener_get_parse_end(tokener);
	if (error == json_tokener_continue) {
		/* A number may go on; the end of the text ends it. */
		*ret_object = json_tokener_parse_ex(tokener, "", 1);
		error = json_tokener_get_error(tokener);
		*ret_end = size;
	}
	return error;
}

int json_parse(const char *text, size_t size, struct json_object **ret_object, char *error,
	       size_t error_size)
{
	struct json_tokener *tokener;
	struct json_object *object;
	enum json_tokener_error r;
	unsigned line;
	unsigned column;
	size_t end;

	if (size >= INT_MAX) {
		snprintf(error, error_size, "too long");
		return -EINVAL;
	}
	tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (!tokener) {
		snprintf(error, error_size, "out of memory");
		return -EINVAL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	r = tokenize(tokener, text, size, &object, &end);
	json_tokener_free(tokener);
	while (r == json_tokener_success && end < size && is_space(text[end]))
		end++;
	if (r == json_tokener_success && end == size) {
		*ret_object = object;
		return 0;
	}
	position(text, end, &line, &column);
	snprintf(error, error_size, "line %u, column %u: %s", line, column,
		 r == json_tokener_success ? "expected nothing more after the value"
					   : error_text(r));
	json_object_put(object);
	return -EINVAL;
}

void json_fail(struct json_reader *r, const char *format, ...)
{
	size_t size;
	va_list args;

	if (!json_ok(r))
		return;
	size = (size_t)snprintf(r->error, sizeof(r->error), "%s: ", r->where);
	if (size >= sizeof(r->error))
		return;
	va_start(args, format);
	vsnprintf(r->error + size, sizeof(r->error) - size, format, args);
	va_end(args);
}

/* What stands there, for a message: short, in the user's own spelling where that is short. */
static const char *shown(struct json_object *value, char *to, size_t to_size)
{
	const char *text;
	size_t size;

	switch (json_object_get_type(value)) {
	case json_type_object:
		return "an object";
	case json_type_array:
		return "an array";
	default:
		break;
	}
	text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return "something else";
	size = strlen(text);
	if (size <= SHOWN_MAX) {
		snprintf(to, to_size, "%s", text);
		return to;
	}
	/* Not in the middle of a UTF-8 character. */
	for (size = SHOWN_MAX; ((unsigned char)text[size] & 0xc0) == 0x80; size--)
		;
	snprintf(to, to_size, "%.*s...", (int)size, text);
	return to;
}

__attribute__((format(printf, 4, 5))) static void fail_value(struct json_reader *r, const char *key,
							     struct json_object *value,
							     const char *format, ...)
{
	char found[SHOWN_MAX + 8];
	char expected[128];
	va_list args;

	va_start(args, format);
	vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	json_fail(r, "\"%s\" is %s: expected %s", key, shown(value, found, sizeof(found)),
		  expected);
}

struct json_reader json_reader(struct json_object *object, const char *where)
{
	struct json_reader r = {.object = object, .where = where};
	char found[SHOWN_MAX + 8];

	if (!json_object_is_type(object, json_type_object)) {
		json_fail(&r, "found %s: expected an object, {...}",
			  object ? shown(object, found, sizeof(found)) : "null");
		r.object = NULL;
	}
	return r;
}

/* The value of `key`; NULL when absent or null, or the reader has failed. */
static struct json_object *get(struct json_reader *r, const char *key)
{
	struct json_object *value;

	if (!json_ok(r) || !json_object_object_get_ex(r->object, key, &value))
		return NULL;
	return value;
}

/* As get(), and of the type that `expected` describes. */
static struct json_object *get_typed(struct json_reader *r, const char *key, enum json_type type,
				     const char *expected)
{
	struct json_object *value = get(r, key);

	if (value && !json_object_is_type(value, type)) {
		fail_value(r, key, value, "%s", expected);
		return NULL;
	}
	return value;
}

const char *json_get_string(struct json_reader *r, const char *key, const char *fallback)
{
	struct json_object *value = get_typed(r, key, json_type_string, "a string");
	const char *text;

	if (!value)
		return fallback;
	text = json_object_get_string(value);
	/* "\u0000" would cut the string short for everyone who reads it. */
	if (strlen(text) != (size_t)json_object_get_string_len(value)) {
		fail_value(r, key, value, "a string without NUL characters");
		return fallback;
	}
	return text;
}

/* The number's value, unless it is too large for the type. */
static bool int_value(struct json_object *value, int64_t *ret)
{
	*ret = json_object_get_int64(value);
	/* json-c gives the limits for what lies beyond them. */
	return *ret != INT64_MAX && *ret != INT64_MIN;
}

int64_t json_get_int(struct json_reader *r, const char *key, int64_t min, int64_t max,
		     int64_t fallback)
{
	struct json_object *value = get(r, key);
	int64_t number;

	if (!value)
		return fallback;
	if (json_object_is_type(value, json_type_int) && int_value(value, &number) &&
	    number >= min && number <= max)
		return number;
	fail_value(r, key, value, "a number from %" PRId64 " to %" PRId64, min, max);
	return fallback;
}

bool json_get_bool(struct json_reader *r, const char *key, bool fallback)
{
	struct json_object *value = get_typed(r, key, json_type_boolean, "true or false");

	return value ? json_object_get_boolean(value) : fallback;
}

struct json_object *json_get_array(struct json_reader *r, const char *key)
{
	return get_typed(r, key, json_type_array, "an array, [...]");
}

struct json_object *json_get_object(struct json_reader *r, const char *key)
{
	return get_typed(r, key, json_type_object, "an object, {...}");
}

const char *json_need_string(struct json_reader *r, const char *key)
{
	if (json_ok(r) && !get(r, key))
		json_fail(r, "\"%s\" is missing", key);
	return json_get_string(r, key, NULL);
}

/* `"mtu", "subnet"`, cut when there is no room. */
static void list_keys(const char *const *keys, char *to, size_t to_size)
{
	size_t size = 0;

	to[0] = '\0';
	for (size_t i = 0; keys[i] && size < to_size; i++)
		size += (size_t)snprintf(to + size, to_size - size, "%s\"%s\"", i ? ", " : "",
					 keys[i]);
}

static bool key_in(const char *key, const char *const *keys)
{
	for (size_t i = 0; keys[i]; i++) {
		if (strcmp(key, keys[i]) == 0)
			return true;
	}
	return false;
}

void json_only_keys(struct json_reader *r, const char *const *keys)
{
	char known[sizeof(r->error)];

	if (!json_ok(r))
		return;
	json_object_object_foreach(r->object, key, value)
	{
		(void)value;
		if (key_in(key, keys))
			continue;
		list_keys(keys, known, sizeof(known));
		json_fail(r, "unknown key \"%.*s\": expected one of %s", SHOWN_MAX, key, known);
		return;
	}
}
