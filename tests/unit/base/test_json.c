/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is parsed, and the messages that people get. */
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#define COUNT(ARRAY) (sizeof(ARRAY) / sizeof((ARRAY)[0]))

/* Reads `text` through a reader with the where "config.json". */
static struct json_object *parsed(const char *text)
{
	struct json_object *object = NULL;
	char error[128] = "";

	ck_assert_msg(json_parse(text, strlen(text), &object, error, sizeof(error)) == 0, "%s: %s",
		      text, error);
	return object;
}

START_TEST(parses_one_value)
{
	static const char *const good[] = {
		"{}",    "[]",   " {\"a\" : 1}\n\t", "12", "12 ", "\"x\"", "-1",
		"1.5e3", "true", "{\"a\":[1,2,{}]}"};

	for (size_t i = 0; i < COUNT(good); i++)
		json_object_put(parsed(good[i]));
	ck_assert_ptr_null(parsed("null"));
}
END_TEST

START_TEST(refuses_with_the_place)
{
	static const struct {
		const char *text;
		const char *place;
	} bad[] = {
		{"", "line 1, column 1: "},
		{"  ", "line 1, column 3: "},
		{"{", "line 1, column 2: the text ends in the middle of a value"},
		{"{\"a\": 1", "line 1, column 8: the text ends in the middle of a value"},
		{"{\"a\":", "line 1, column 6: the text ends in the middle of a value"},
		{"[1,\n2,\n  x]", "line 3, column 3: "},
		{"{} {}", "line 1, column 4: "},
		{"{}\n x", "line 2, column 2: "},
		{"1 2", "line 1, column 3: "},
		{"['a']", "line 1, column 2: "},
		{"{\"a\": 1,}", "line 1, column 9: "},
		{"[1,]", "line 1, column 4: "},
		{"/* */ {}", "line 1, column 1: "},
		{"tru", "line 1, column 4: "},
		{"01", "line 1, column "},
		{"\"\xff\"", "line 1, column 2: "},
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct json_object *object = (struct json_object *)&object;
		struct json_object *before = object;
		char error[128] = "";

		ck_assert_msg(json_parse(bad[i].text, strlen(bad[i].text), &object, error,
					 sizeof(error)) == -EINVAL,
			      "%s", bad[i].text);
		ck_assert_ptr_eq(object, before);
		ck_assert_msg(strncmp(error, bad[i].place, strlen(bad[i].place)) == 0, "%s: %s",
			      bad[i].text, error);
	}
}
END_TEST

START_TEST(refuses_nul_bytes)
{
	static const char *const bad[] = {"{}\0{}", "1\0002", "\0{}"};
	static const size_t sizes[] = {5, 3, 3};
	struct json_object *object;
	char error[128];

	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_int_eq(json_parse(bad[i], sizes[i], &object, error, sizeof(error)),
				 -EINVAL);
}
END_TEST

/* `depth` arrays in one another. */
static int parse_nested(size_t depth, char *error, size_t error_size)
{
	char text[2 * JSON_DEPTH_MAX + 8];
	struct json_object *object;
	int r;

	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	r = json_parse(text, 2 * depth, &object, error, error_size);
	if (r == 0)
		json_object_put(object);
	return r;
}

START_TEST(depth_is_bounded)
{
	char error[128] = "";

	ck_assert_int_eq(parse_nested(JSON_DEPTH_MAX - 1, error, sizeof(error)), 0);
	ck_assert_int_eq(parse_nested(JSON_DEPTH_MAX + 1, error, sizeof(error)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "deep"));
}
END_TEST

START_TEST(reads_each_type)
{
	struct json_object *object = parsed(
		"{\"s\":\"x\",\"i\":-5,\"b\":true,\"a\":[1],\"o\":{},\"n\":null}");
	struct json_reader r = json_reader(object, "config.json");

	ck_assert_str_eq(json_get_string(&r, "s", "y"), "x");
	ck_assert_str_eq(json_need_string(&r, "s"), "x");
	ck_assert_str_eq(json_get_string(&r, "absent", "y"), "y");
	ck_assert_str_eq(json_get_string(&r, "n", "y"), "y");
	ck_assert_int_eq(json_get_int(&r, "i", -5, 0, 9), -5);
	ck_assert_int_eq(json_get_int(&r, "absent", 0, 1, 9), 9);
	ck_assert(json_get_bool(&r, "b", false));
	ck_assert(json_get_bool(&r, "absent", true));
	ck_assert_ptr_nonnull(json_get_array(&r, "a"));
	ck_assert_ptr_null(json_get_array(&r, "absent"));
	ck_assert_ptr_nonnull(json_get_object(&r, "o"));
	ck_assert(json_ok(&r));
	json_object_put(object);
}
END_TEST

enum getter { STRING, INT, BOOL, ARRAY, OBJECT, NEED };

static void read_a(struct json_reader *r, enum getter getter)
{
	switch (getter) {
	case STRING:
		json_get_string(r, "a", NULL);
		break;
	case INT:
		json_get_int(r, "a", 576, 65520, 0);
		break;
	case BOOL:
		json_get_bool(r, "a", false);
		break;
	case ARRAY:
		json_get_array(r, "a");
		break;
	case OBJECT:
		json_get_object(r, "a");
		break;
	case NEED:
		json_need_string(r, "a");
		break;
	}
}

START_TEST(messages)
{
	static const struct {
		const char *text;
		enum getter getter;
		const char *message;
	} cases[] = {
		{"{\"a\":99999}", INT, "\"a\" is 99999: expected a number from 576 to 65520"},
		{"{\"a\":575}", INT, "\"a\" is 575: expected a number from 576 to 65520"},
		{"{\"a\":\"1500\"}", INT, "\"a\" is \"1500\": expected a number from 576 to 65520"},
		{"{\"a\":1500.5}", INT, "\"a\" is 1500.5: expected a number from 576 to 65520"},
		{"{\"a\":5}", STRING, "\"a\" is 5: expected a string"},
		{"{\"a\":\"x\\u0000y\"}", STRING,
		 "\"a\" is \"x\\u0000y\": expected a string without NUL characters"},
		{"{\"a\":1}", BOOL, "\"a\" is 1: expected true or false"},
		{"{\"a\":{\"b\":1}}", ARRAY, "\"a\" is an object: expected an array, [...]"},
		{"{\"a\":[1]}", OBJECT, "\"a\" is an array: expected an object, {...}"},
		{"{}", NEED, "\"a\" is missing"},
		{"{\"a\":null}", NEED, "\"a\" is missing"},
		{"{\"a\":false}", NEED, "\"a\" is false: expected a string"},
		{"[]", NEED, "found an array: expected an object, {...}"},
		{"null", STRING, "found null: expected an object, {...}"},
		{"{\"a\":\"/0123456789012345678901234567890123456789x\"}", BOOL,
		 "\"a\" is \"/01234567890123456789012345678901234567...: expected true or false"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct json_object *object = parsed(cases[i].text);
		struct json_reader r = json_reader(object, "config.json");
		char want[256];

		read_a(&r, cases[i].getter);
		snprintf(want, sizeof(want), "config.json: %s", cases[i].message);
		ck_assert_str_eq(r.error, want);
		json_object_put(object);
	}
}
END_TEST

START_TEST(first_error_stays)
{
	struct json_object *object = parsed("{\"a\":1,\"b\":2}");
	struct json_reader r = json_reader(object, "body");

	ck_assert_ptr_null(json_get_string(&r, "a", NULL));
	json_fail(&r, "second");
	ck_assert_int_eq(json_get_int(&r, "b", 0, 9, 7), 7);
	json_only_keys(&r, (const char *[]){NULL});
	ck_assert_str_eq(r.error, "body: \"a\" is 1: expected a string");
	json_object_put(object);
}
END_TEST

START_TEST(numbers_that_overflow)
{
	static const char *const bad[] = {
		"{\"a\":9223372036854775808}",
		"{\"a\":99999999999999999999999}",
		"{\"a\":-99999999999999999999999}",
		"{\"a\":1e30}",
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct json_object *object = parsed(bad[i]);
		struct json_reader r = json_reader(object, "x");

		ck_assert_int_eq(json_get_int(&r, "a", INT64_MIN, INT64_MAX, 5), 5);
		ck_assert(!json_ok(&r));
		json_object_put(object);
	}
}
END_TEST

START_TEST(unknown_keys)
{
	static const char *const keys[] = {"mtu", "subnet", NULL};
	struct json_object *object = parsed("{\"mtu\":1,\"mut\":2}");
	struct json_reader r = json_reader(object, "config.json");

	json_only_keys(&r, keys);
	ck_assert_str_eq(r.error,
			 "config.json: unknown key \"mut\": expected one of \"mtu\", \"subnet\"");
	json_object_put(object);
	object = parsed("{\"mtu\":1}");
	r = json_reader(object, "config.json");
	json_only_keys(&r, keys);
	ck_assert(json_ok(&r));
	json_object_put(object);
}
END_TEST

START_TEST(long_messages_are_cut)
{
	static const char *const keys[] = {
		"a-long-key-0123456789012345678901234567890123456789012345678901234567890123456789",
		"b-long-key-0123456789012345678901234567890123456789012345678901234567890123456789",
		"c-long-key-0123456789012345678901234567890123456789012345678901234567890123456789",
		"d-long-key-0123456789012345678901234567890123456789012345678901234567890123456789",
		NULL,
	};
	struct json_object *object = parsed("{\"x\":1}");
	struct json_reader r = json_reader(object, "config.json");
	char where[400];

	json_only_keys(&r, keys);
	ck_assert_uint_eq(strlen(r.error), sizeof(r.error) - 1);
	memset(where, 'w', sizeof(where) - 1);
	where[sizeof(where) - 1] = '\0';
	r = json_reader(object, where);
	json_fail(&r, "reason");
	ck_assert_uint_eq(strlen(r.error), sizeof(r.error) - 1);
	json_object_put(object);
}
END_TEST

int main(void)
{
	return unit_main("json", NULL, NULL,
			 (const TTest *[]){
				 parses_one_value,
				 refuses_with_the_place,
				 refuses_nul_bytes,
				 depth_is_bounded,
				 reads_each_type,
				 messages,
				 first_error_stays,
				 numbers_that_overflow,
				 unknown_keys,
				 long_messages_are_cut,
				 NULL,
			 });
}
