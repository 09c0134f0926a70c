/* SPDX-License-Identifier: Apache-2.0 */
/* Results converted between the versions of the specification, and the errors' form. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "plugin/cni_result.h"
#include "unit.h"

#define REST_1_1                                                                                     \
	"\"interfaces\":[{\"name\":\"eth0\",\"mtu\":1500,\"socketPath\":\"\\/s\",\"pciID\":\"1\"}]," \
	"\"routes\":[{\"dst\":\"0.0.0.0\\/0\",\"mtu\":1,\"advmss\":2,\"priority\":3,\"table\":4,"    \
	"\"scope\":5}],\"dns\":{\"search\":[\"x\"]}"
#define REST_OLD                                                                       \
	"\"interfaces\":[{\"name\":\"eth0\"}],\"routes\":[{\"dst\":\"0.0.0.0\\/0\"}]," \
	"\"dns\":{\"search\":[\"x\"]}"
#define IPS_NEW "\"ips\":[{\"address\":\"10.0.0.2\\/24\"},{\"address\":\"fd00::2\\/64\"}]"
#define IPS_OLD                                                       \
	"\"ips\":[{\"address\":\"10.0.0.2\\/24\",\"version\":\"4\"}," \
	"{\"address\":\"fd00::2\\/64\",\"version\":\"6\"}]"

static const struct conversion {
	const char *from;
	enum cni_version to;
	const char *expected; /* NULL: refused */
} conversions[] = {
	/* The same version, and none: as it is, with what we don't know. */
	{"{\"cniVersion\":\"1.1.0\"," IPS_NEW "," REST_1_1 ",\"x\":1}", CNI_1_1_0,
	 "{\"cniVersion\":\"1.1.0\"," IPS_NEW "," REST_1_1 ",\"x\":1}"},
	{"{" IPS_NEW "}", CNI_1_0_0, "{" IPS_NEW ",\"cniVersion\":\"1.0.0\"}"},
	{"{\"cniVersion\":\"1.1.0\"," IPS_NEW "," REST_1_1 "}", CNI_1_0_0,
	 "{\"cniVersion\":\"1.0.0\"," IPS_NEW "," REST_OLD "}"},
	{"{\"cniVersion\":\"1.1.0\"," IPS_NEW "," REST_1_1 "}", CNI_0_3_1,
	 "{\"cniVersion\":\"0.3.1\"," IPS_OLD "," REST_OLD "}"},
	{"{\"cniVersion\":\"0.3.1\"," IPS_OLD "," REST_OLD "}", CNI_0_4_0,
	 "{\"cniVersion\":\"0.4.0\"," IPS_OLD "," REST_OLD "}"},
	{"{\"cniVersion\":\"0.4.0\"," IPS_OLD "," REST_OLD "}", CNI_1_1_0,
	 "{\"cniVersion\":\"1.1.0\"," IPS_NEW "," REST_OLD "}"},
	{"{\"cniVersion\":\"0.2.0\"}", CNI_1_1_0, NULL},
	{"{\"cniVersion\":2}", CNI_1_1_0, NULL},
	{"{\"cniVersion\":\"1.0.0\",\"ips\":{}}", CNI_1_1_0, NULL},
	{"{\"cniVersion\":\"1.0.0\",\"ips\":[1]}", CNI_1_1_0, NULL},
	{"{\"cniVersion\":\"1.0.0\",\"ips\":[{}]}", CNI_0_4_0, NULL},
	{"{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":1}]}", CNI_0_4_0, NULL},
	{"{\"cniVersion\":\"1.0.0\",\"routes\":[[]]}", CNI_0_4_0, NULL},
};

START_TEST(convert)
{
	const struct conversion *c = &conversions[_i];
	struct json_object *from, *expected, *result = NULL;
	struct cni_error error = {0};
	char why[128];

	ck_assert_int_eq(json_parse(c->from, strlen(c->from), &from, why, sizeof(why)), 0);
	char *before = strdup(json_object_to_json_string(from));
	int r = cni_result_convert(from, c->to, &result, &error);
	/* What was given stays as it was. */
	ck_assert_str_eq(json_object_to_json_string(from), before);
	if (!c->expected) {
		ck_assert_int_lt(r, 0);
		ck_assert_str_ne(error.msg, "");
		ck_assert_ptr_null(result);
	} else {
		ck_assert_msg(r == 0, "%s", error.msg);
		ck_assert_int_eq(
			json_parse(c->expected, strlen(c->expected), &expected, why, sizeof(why)),
			0);
		ck_assert_msg(json_object_equal(result, expected), "%s",
			      json_object_to_json_string(result));
		json_object_put(expected);
		json_object_put(result);
	}
	free(before);
	json_object_put(from);
}
END_TEST

START_TEST(printed)
{
	struct cni_error error;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cni_fail(&error, CNI_ERROR_CONFIG, "no \"%s\"", "name");
	ck_assert_int_eq(cni_print_error(out, CNI_0_4_0, &error), 0);
	ck_assert_str_eq(text,
			 "{\"cniVersion\":\"0.4.0\",\"code\":7,\"msg\":\"no \\\"name\\\"\"}\n");
	rewind(out);
	cni_fail_details(&error, CNI_ERROR_REFUSED, "100% full", "refused");
	ck_assert_int_eq(cni_print_error(out, CNI_1_1_0, &error), 0);
	ck_assert_str_eq(text, "{\"cniVersion\":\"1.1.0\",\"code\":100,\"msg\":\"refused\","
			       "\"details\":\"100% full\"}\n");
	fclose(out);
	free(text);
	out = fopen("/dev/full", "w");
	ck_assert_ptr_nonnull(out);
	ck_assert_int_lt(cni_print_versions(out, CNI_1_1_0), 0);
	fclose(out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cni_result");
	TCase *tests = unit_case(suite, "result", NULL, NULL);

	tcase_add_loop_test(tests, convert, 0, sizeof(conversions) / sizeof(conversions[0]));
	tcase_add_test(tests, printed);
	return unit_run(suite);
}
