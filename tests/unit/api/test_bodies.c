/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON bodies of requests: good ones, and what is said about others. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/dns_request.h"
#include "api/forward_request.h"

static struct publish_spec spec;
static char error[FORWARD_REQUEST_ERROR_MAX];

static int decode(const char *body)
{
	error[0] = '\0';
	return forward_request_decode(body, strlen(body), &spec, error);
}

START_TEST(forward)
{
	char text[ENDPOINT_TEXT_MAX];

	ck_assert_int_eq(decode("{\"local\":\"127.0.0.1:8080\",\"remote\":\"192.168.65.3:80\"}"),
			 0);
	ck_assert_int_eq(spec.protocol, PUBLISH_TCP);
	ck_assert_str_eq(spec.local_text, "127.0.0.1:8080");
	ck_assert_str_eq(spec.remote_text, "192.168.65.3:80");
	ck_assert_str_eq(endpoint_format(&spec.local, text), "127.0.0.1:8080");
	ck_assert_str_eq(endpoint_format(&spec.remote, text), "192.168.65.3:80");

	ck_assert_int_eq(
		decode("{\"local\":\"[::1]:0\",\"remote\":\":53\",\"protocol\":\"udp\",\"x\":{}}"),
		0);
	ck_assert_int_eq(spec.protocol, PUBLISH_UDP);
	ck_assert_uint_eq(spec.local.port, 0);
	ck_assert_int_eq(spec.remote.addr.family, AF_UNSPEC);
	ck_assert_uint_eq(spec.remote.port, 53);
	ck_assert_str_eq(spec.remote_text, "");
}
END_TEST

/* All of these mean every address of both families; each text stays as it was. */
START_TEST(all_addresses)
{
	ck_assert_int_eq(decode("{\"local\":\":8080\",\"remote\":\":80\",\"protocol\":\"\"}"), 0);
	ck_assert_int_eq(spec.local.addr.family, AF_UNSPEC);
	ck_assert_str_eq(spec.local_text, ":8080");
	ck_assert_int_eq(decode("{\"local\":\"0.0.0.0:8080\",\"remote\":\":80\"}"), 0);
	ck_assert_int_eq(spec.local.addr.family, AF_UNSPEC);
	ck_assert_str_eq(spec.local_text, "0.0.0.0:8080");
	ck_assert_int_eq(decode("{\"local\":\"[::]:8080\",\"remote\":\":80\"}"), 0);
	ck_assert_int_eq(spec.local.addr.family, AF_UNSPEC);
}
END_TEST

static const struct {
	const char *body;
	int r;
	const char *said;
} bad[] = {
	{"", -EINVAL, "not JSON"},
	{"{", -EINVAL, "not JSON"},
	{"{}x", -EINVAL, "not JSON"},
	{"null", -EINVAL, "object"},
	{"[]", -EINVAL, "object"},
	{"{}", -EINVAL, "\"local\" is missing"},
	{"{\"local\":7}", -EINVAL, "\"local\" is 7"},
	{"{\"local\":\":80\"}", -EINVAL, "\"remote\" is missing"},
	{"{\"local\":\":80\",\"remote\":null}", -EINVAL, "\"remote\" is missing"},
	{"{\"local\":\"8080\",\"remote\":\":80\"}", -EINVAL, "\"local\" is \"8080\""},
	{"{\"local\":\"\",\"remote\":\":80\"}", -EINVAL, "\"local\""},
	{"{\"local\":\"host:80\",\"remote\":\":80\"}", -EINVAL, "\"local\""},
	{"{\"local\":\"1.2.3.4:99999\",\"remote\":\":80\"}", -EINVAL, "\"local\""},
	{"{\"local\":\":80\\u0000\",\"remote\":\":80\"}", -EINVAL, "\"local\""},
	{"{\"local\":\":80\",\"remote\":\"192.168.65.2\"}", -EINVAL, "\"remote\""},
	{"{\"local\":\":80\",\"remote\":\":0\"}", -EINVAL, "\"remote\""},
	{"{\"local\":\":80\",\"remote\":\":\"}", -EINVAL, "\"remote\""},
	{"{\"local\":\":80\",\"remote\":\":http\"}", -EINVAL, "\"remote\""},
	{"{\"local\":\":80\",\"remote\":\":80\",\"protocol\":7}", -EINVAL, "\"protocol\""},
	{"{\"local\":\":80\",\"remote\":\":80\",\"protocol\":\"sctp\"}", -ENOTSUP,
	 "tcp (the default) or udp"},
	{"{\"local\":\"/s\",\"remote\":\"tcp://1.2.3.4:5\",\"protocol\":\"unix\"}", -ENOTSUP,
	 "unknown protocol unix"},
};

START_TEST(malformed)
{
	spec.local_text[0] = 'x';
	ck_assert_int_eq(decode(bad[_i].body), bad[_i].r);
	ck_assert_msg(strstr(error, bad[_i].said), "\"%s\" lacks \"%s\"", error, bad[_i].said);
	ck_assert_int_eq(spec.local_text[0], 'x');
}
END_TEST

START_TEST(long_texts)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	char body[1024];

	snprintf(body, sizeof(body), "{\"local\":\":%s%s%s8080\",\"remote\":\":80\"}", zeros, zeros,
		 zeros);
	ck_assert_int_eq(decode(body), -EINVAL);
	snprintf(body, sizeof(body), "{\"local\":\"%s%s%s\"}", zeros, zeros, zeros);
	ck_assert_int_eq(forward_request_decode_removal(body, strlen(body), &spec, error), 0);
	ck_assert_str_eq(spec.local_text, "");
}
END_TEST

START_TEST(removal)
{
	static const char body[] = "{\"local\":\"whatever it was\",\"protocol\":\"udp\"}";

	ck_assert_int_eq(forward_request_decode_removal(body, strlen(body), &spec, error), 0);
	ck_assert_str_eq(spec.local_text, "whatever it was");
	ck_assert_int_eq(spec.protocol, PUBLISH_UDP);
	ck_assert_int_eq(forward_request_decode_removal("{}", 2, &spec, error), -EINVAL);
}
END_TEST

static int decode_zone(const char *body, struct dns_request *request)
{
	error[0] = '\0';
	return dns_request_decode(DNS_REQUEST_GVPROXY, body, strlen(body), request, error);
}

START_TEST(zone)
{
	struct dns_request request;
	char text[ADDR_TEXT_MAX];

	ck_assert_int_eq(
		decode_zone("{\"Name\":\"test.\",\"Records\":[{\"Name\":\"a\",\"IP\":\"1.2.3.4\"},"
			    "{\"IP\":\"fd00::1\",\"Regexp\":\"^b\"}],\"DefaultIP\":\"\"}",
			    &request),
		0);
	ck_assert_str_eq(request.zone.name, "test.");
	ck_assert_uint_eq(request.zone.record_count, 2);
	ck_assert_str_eq(request.zone.records[0].name, "a");
	ck_assert_ptr_null(request.zone.records[0].regexp);
	ck_assert_str_eq(addr_format(&request.zone.records[0].ip, text), "1.2.3.4");
	ck_assert_str_eq(request.zone.records[1].regexp, "^b");
	ck_assert_int_eq(request.zone.default_ip.family, AF_UNSPEC);
	dns_request_clear(&request);
	ck_assert_int_eq(decode_zone("{\"Name\":\"x\",\"DefaultIP\":\"1.2.3.4\"}", &request), 0);
	ck_assert_uint_eq(request.zone.record_count, 0);
	ck_assert_int_eq(request.zone.default_ip.family, AF_INET);
	dns_request_clear(&request);
}
END_TEST

static const struct {
	const char *body;
	const char *said;
} bad_zones[] = {
	{"", "not JSON"},
	{"[]", "object"},
	{"{}", "\"Name\" is missing"},
	{"{\"Name\":\"x\",\"Records\":{}}", "\"Records\""},
	{"{\"Name\":\"x\",\"Records\":[7]}", "entry of \"Records\""},
	{"{\"Name\":\"x\",\"Records\":[{\"Name\":\"a\"}]}", "\"IP\" is missing"},
	{"{\"Name\":\"x\",\"Records\":[{\"Name\":\"a\",\"IP\":\"a\"}]}", "\"IP\" is \"a\""},
	{"{\"Name\":\"x\",\"DefaultIP\":\"300.1.1.1\"}", "\"DefaultIP\""},
};

START_TEST(malformed_zone)
{
	struct dns_request request;

	ck_assert_int_eq(decode_zone(bad_zones[_i].body, &request), -EINVAL);
	ck_assert_msg(strstr(error, bad_zones[_i].said), "\"%s\" lacks \"%s\"", error,
		      bad_zones[_i].said);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api_bodies");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, forward);
	tcase_add_test(tcase, all_addresses);
	tcase_add_loop_test(tcase, malformed, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, long_texts);
	tcase_add_test(tcase, removal);
	tcase_add_test(tcase, zone);
	tcase_add_loop_test(tcase, malformed_zone, 0,
			    (int)(sizeof(bad_zones) / sizeof(bad_zones[0])));
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
