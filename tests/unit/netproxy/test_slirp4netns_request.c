/* SPDX-License-Identifier: Apache-2.0 */
/* slirp4netns' API requests: what is published for them, and what is answered. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "netproxy/slirp4netns_request.h"
#include "unit.h"

/* ---- What stands in for publish.c ---- */

static struct publish_spec last;
static int adding_gives;
static unsigned added, removed;
static char removed_text[PUBLISH_TEXT_MAX];

int publish_add(struct publish *publish, struct publish_spec *specs, unsigned count, unsigned flags,
		struct publish_failure *ret_failure)
{
	(void)publish;
	(void)flags;
	(void)ret_failure;
	ck_assert_uint_eq(count, 1);
	last = specs[0];
	if (adding_gives == 0)
		added++;
	return adding_gives;
}

int publish_remove(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		   const struct publish_owner *by)
{
	(void)publish;
	(void)protocol;
	(void)by;
	removed++;
	snprintf(removed_text, sizeof(removed_text), "%s", local_text);
	return 0;
}

static struct slirp4netns_forwards forwards;

static void setup(void)
{
	forwards = (struct slirp4netns_forwards){0};
	addr_parse("10.0.2.100", &forwards.guest);
	adding_gives = 0;
	added = removed = 0;
}

static void teardown(void)
{
	slirp4netns_forwards_destroy(&forwards);
}

static void expect(const char *request, const char *answer)
{
	struct json_object *object = slirp4netns_request_answer(&forwards, request,
								strlen(request));

	ck_assert_ptr_nonnull(object);
	ck_assert_str_eq(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), answer);
	json_object_put(object);
}

#define ADD(ARGUMENTS) "{\"execute\":\"add_hostfwd\",\"arguments\":{" ARGUMENTS "}}"
#define BAD(TEXT)      "{\"error\":{\"desc\":\"bad request: " TEXT "\"}}"

START_TEST(test_add)
{
	char text[ADDR_TEXT_MAX];

	expect(ADD("\"proto\":\"udp\",\"host_addr\":\"127.0.0.1\",\"host_port\":53,"
		   "\"guest_addr\":\"10.0.2.7\",\"guest_port\":5353"),
	       "{\"return\":{\"id\":1}}");
	ck_assert_int_eq(last.protocol, PUBLISH_UDP);
	ck_assert_str_eq(last.local_text, "127.0.0.1:53");
	ck_assert_uint_eq(last.local.port, 53);
	ck_assert_str_eq(addr_format(&last.remote.addr, text), "10.0.2.7");
	ck_assert_uint_eq(last.remote.port, 5353);
	ck_assert_int_eq(last.owner.kind, PUBLISH_OWNER_HOST);

	expect(ADD("\"proto\":\"tcp\",\"host_port\":8080,\"guest_port\":80"),
	       "{\"return\":{\"id\":2}}");
	ck_assert_str_eq(last.local_text, "0.0.0.0:8080");
	ck_assert_str_eq(addr_format(&last.remote.addr, text), "10.0.2.100");
	expect(ADD("\"proto\":\"tcp\",\"host_port\":1,\"guest_addr\":\"0.0.0.0\",\"guest_port\":1"),
	       "{\"return\":{\"id\":3}}");
	ck_assert_str_eq(addr_format(&last.remote.addr, text), "10.0.2.100");
}
END_TEST

START_TEST(test_remove)
{
	expect(ADD("\"proto\":\"tcp\",\"host_port\":1,\"guest_port\":1"),
	       "{\"return\":{\"id\":1}}");
	expect(ADD("\"proto\":\"tcp\",\"host_port\":2,\"guest_port\":2"),
	       "{\"return\":{\"id\":2}}");
	expect("{\"execute\":\"remove_hostfwd\",\"arguments\":{\"id\":1}}", "{\"return\":{}}");
	ck_assert_str_eq(removed_text, "0.0.0.0:1");
	expect("{\"execute\":\"remove_hostfwd\",\"arguments\":{\"id\":1}}",
	       BAD("remove_hostfwd: bad arguments.id"));
	expect(ADD("\"proto\":\"tcp\",\"host_port\":3,\"guest_port\":3"),
	       "{\"return\":{\"id\":3}}");
	expect("{\"execute\":\"list_hostfwd\"}",
	       "{\"entries\":[{\"id\":2,\"proto\":\"tcp\",\"host_addr\":\"0.0.0.0\",\"host_port\":2,"
	       "\"guest_addr\":\"10.0.2.100\",\"guest_port\":2},{\"id\":3,\"proto\":\"tcp\","
	       "\"host_addr\":\"0.0.0.0\",\"host_port\":3,\"guest_addr\":\"10.0.2.100\","
	       "\"guest_port\":3}]}");
	ck_assert_uint_eq(removed, 1);
}
END_TEST

START_TEST(test_refused)
{
	adding_gives = -EADDRINUSE;
	expect(ADD("\"proto\":\"tcp\",\"host_port\":1,\"guest_port\":1"),
	       BAD("add_hostfwd: slirp_add_hostfwd failed: 0.0.0.0:1\\/tcp: Address already in use"));
	adding_gives = -EEXIST;
	expect(ADD("\"proto\":\"udp\",\"host_port\":1,\"guest_port\":1"),
	       BAD("add_hostfwd: slirp_add_hostfwd failed: 0.0.0.0:1\\/udp: Address already in use"));
	expect("{\"execute\":\"list_hostfwd\"}", "{\"entries\":[]}");
}
END_TEST

START_TEST(test_bounded)
{
	char request[256];

	for (unsigned i = 0; i < SLIRP4NETNS_FORWARDS_MAX; i++) {
		char answer[64];

		snprintf(request, sizeof(request),
			 ADD("\"proto\":\"tcp\",\"host_port\":%u,\"guest_port\":1"), i + 1);
		snprintf(answer, sizeof(answer), "{\"return\":{\"id\":%u}}", i + 1);
		expect(request, answer);
	}
	expect(ADD("\"proto\":\"tcp\",\"host_port\":60000,\"guest_port\":1"),
	       BAD("add_hostfwd: slirp_add_hostfwd failed: 0.0.0.0:60000\\/tcp: No space left on device"));
	ck_assert_uint_eq(added, SLIRP4NETNS_FORWARDS_MAX);
}
END_TEST

static const struct {
	const char *request, *answer;
} bad[] = {
	{"", BAD("cannot parse JSON")},
	{"{", BAD("cannot parse JSON")},
	{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", BAD("cannot parse JSON")},
	{"[]", BAD("json_object() failed")},
	{"{}", BAD("no execute found")},
	{"{\"execute\":\"list_hostfwd\\u0000\"}", BAD("no execute found")},
	{"{\"execute\":\"x\"}", BAD("unknown execute")},
	{"{\"execute\":\"add_hostfwd\"}", BAD("add_hostfwd: bad arguments.proto")},
	{"{\"execute\":\"add_hostfwd\",\"arguments\":[]}", BAD("add_hostfwd: bad arguments.proto")},
	{ADD(""), BAD("add_hostfwd: bad arguments.proto")},
	{ADD("\"proto\":\"tcp\",\"host_addr\":7"), BAD("add_hostfwd: bad arguments.host_addr")},
	{ADD("\"proto\":\"tcp\",\"host_addr\":\"::\""),
	 BAD("add_hostfwd: bad arguments.host_addr")},
	{ADD("\"proto\":\"tcp\",\"host_port\":65536"), BAD("add_hostfwd: bad arguments.host_port")},
	{ADD("\"proto\":\"tcp\",\"host_port\":-1"), BAD("add_hostfwd: bad arguments.host_port")},
	{ADD("\"proto\":\"tcp\",\"host_port\":1e3"), BAD("add_hostfwd: bad arguments.host_port")},
	{ADD("\"proto\":\"tcp\",\"host_port\":1,\"guest_addr\":\"x\""),
	 BAD("add_hostfwd: bad arguments.guest_addr")},
	{ADD("\"proto\":\"tcp\",\"host_port\":1"), BAD("add_hostfwd: bad arguments.guest_port")},
	{"{\"execute\":\"remove_hostfwd\",\"arguments\":7}",
	 BAD("remove_hostfwd: bad arguments.id")},
};

START_TEST(test_bad)
{
	expect(bad[_i].request, bad[_i].answer);
	ck_assert_uint_eq(added, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slirp4netns_request");
	TCase *tcase = unit_case(suite, "slirp4netns_request", setup, teardown);

	tcase_add_test(tcase, test_add);
	tcase_add_test(tcase, test_remove);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_bounded);
	tcase_add_loop_test(tcase, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
	return unit_run(suite);
}
