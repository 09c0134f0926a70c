/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON bodies of requests: good ones, and what is said about others. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/dns_request.h"
#include "api/forward_request.h"
#include "http/http_query.h"
#include "forwarder/publish_spec.h"
#include "unit.h"

static struct forward_request forwarding;
static struct publish_spec spec;
static char error[FORWARD_REQUEST_ERROR_MAX];

static int decode_as(enum forward_request_form form, const char *body)
{
	int r;

	error[0] = '\0';
	r = forward_request_decode(form, body, strlen(body), &forwarding, error);
	spec = forwarding.spec;
	return r;
}

static int decode(const char *body)
{
	return decode_as(FORWARD_REQUEST_GVPROXY, body);
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
	 "tcp (the default), udp or unix"},
	{"{\"local\":\"s\",\"remote\":\"tcp://1.2.3.4:5\",\"protocol\":\"unix\"}", -EINVAL,
	 "path of a unix socket"},
	{"{\"local\":\"/s\",\"remote\":\"udp://1.2.3.4:5\",\"protocol\":\"unix\"}", -EINVAL,
	 "\"remote\""},
	{"{\"local\":\":80-90\",\"remote\":\":80-90\"}", -EINVAL, "\"local\""},
	{"{\"local\":\":80\",\"remote\":\"web:80\"}", -EINVAL, "\"remote\""},
	{"{\"local\":\":80\",\"remote\":\":80\",\"protocol\":\"tcp+udp\"}", -ENOTSUP, "tcp+udp"},
};

START_TEST(malformed)
{
	forwarding.spec.local_text[0] = 'x';
	ck_assert_int_eq(decode(bad[_i].body), bad[_i].r);
	ck_assert_msg(strstr(error, bad[_i].said), "\"%s\" lacks \"%s\"", error, bad[_i].said);
	ck_assert_int_eq(spec.local_text[0], 'x');
}
END_TEST

/* Whose it is may be said, and nothing is refused for how. */
START_TEST(for_whom)
{
	static const struct {
		const char *said, *taken;
	} whom[] = {
		{"\"c1\"", "c1"},
		{"\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
		 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		{"\"a\\nb\"", ""},
		{"7", ""},
		{"null", ""},
	};
	char body[256];

	for (size_t i = 0; i < sizeof(whom) / sizeof(whom[0]); i++) {
		snprintf(body, sizeof(body), "{\"local\":\":80\",\"remote\":\":80\",\"for\":%s}",
			 whom[i].said);
		ck_assert_int_eq(decode(body), 0);
		ck_assert_str_eq(spec.owner.text, whom[i].taken);
	}
}
END_TEST

START_TEST(unix_socket)
{
	ck_assert_int_eq(decode("{\"local\":\"/run/x.sock\",\"remote\":\"tcp://192.168.65.3:80\","
				"\"protocol\":\"unix\"}"),
			 0);
	ck_assert_int_eq(spec.protocol, PUBLISH_UNIX);
	ck_assert_str_eq(spec.local_text, "/run/x.sock");
	ck_assert_str_eq(spec.remote_text, "tcp://192.168.65.3:80");
	ck_assert_uint_eq(spec.remote.port, 80);
}
END_TEST

#define FORWARD "\"local\":\":80\",\"remote\":\":80\""

START_TEST(everything_of_ours)
{
	ck_assert_int_eq(
		decode_as(FORWARD_REQUEST_V1,
			  "{\"local\":\"[::1]:8000-8009\",\"remote\":\"web-1:80-89\","
			  "\"protocol\":\"tcp+udp\",\"source\":\"gateway\",\"proxy\":\"v2\","
			  "\"name\":\"my web\",\"for\":\"container a\",\"lease\":\"connection\"}"),
		0);
	ck_assert_uint_eq(forwarding.ports, 10);
	ck_assert(forwarding.tcp_and_udp && forwarding.connection_lease);
	ck_assert_uint_eq(spec.local.port, 8000);
	ck_assert_uint_eq(spec.remote.port, 80);
	ck_assert_str_eq(spec.guest, "web-1");
	ck_assert_str_eq(spec.name, "my web");
	ck_assert_str_eq(spec.owner.text, "container a");
	ck_assert_int_eq(spec.source, PUBLISH_SOURCE_GATEWAY);
	ck_assert(spec.proxy_v2);
	/* A range leads to as many ports, also where only the first is named. */
	ck_assert_int_eq(decode_as(FORWARD_REQUEST_V1,
				   "{\"local\":\":1-2\",\"remote\":\"[fd65:6e70:7879::2]:80\"}"),
			 0);
	ck_assert_uint_eq(forwarding.ports, 2);
	ck_assert_int_eq(spec.remote.addr.family, AF_INET6);
	ck_assert_int_eq(decode_as(FORWARD_REQUEST_V1, "{" FORWARD "}"), 0);
	ck_assert(!forwarding.tcp_and_udp && !forwarding.connection_lease && !spec.proxy_v2);
	ck_assert_uint_eq(forwarding.ports, 1);
}
END_TEST

static const struct {
	const char *body;
	const char *said;
} bad_of_ours[] = {
	{"{" FORWARD ",\"x\":1}", "unknown key \"x\""},
	{"{" FORWARD ",\"source\":\"me\"}", "expected \"gateway\" or \"client\""},
	{"{" FORWARD ",\"proxy\":\"v1\"}", "expected \"v2\""},
	{"{" FORWARD ",\"lease\":true}", "\"lease\" is true"},
	{"{" FORWARD ",\"via\":\"1.2.3\"}", "\"via\" is \"1.2.3\""},
	{"{" FORWARD ",\"via\":\"a b\"}", "the address or the name of the guest"},
	{"{" FORWARD ",\"via\":1}", "\"via\""},
	{"{" FORWARD ",\"name\":\"a\\nb\"}", "one line"},
	{"{" FORWARD
	 ",\"for\":\"01234567890123456789012345678901234567890123456789012345678901234567890123456789\"}",
	 "at most 79 bytes"},
	{"{\"local\":\":80-\",\"remote\":\":80\"}", "\"local\""},
	{"{\"local\":\":80-70\",\"remote\":\":80\"}", "\"local\""},
	{"{\"local\":\":80-65536\",\"remote\":\":80\"}", "\"local\""},
	{"{\"local\":\":0-5\",\"remote\":\":80\"}", "\"local\""},
	{"{\"local\":\":80-89\",\"remote\":\":80-90\"}", "ranges of 10 and 11 ports"},
	{"{\"local\":\":80\",\"remote\":\"1.2.3:80\"}", "\"remote\""},
	{"{\"local\":\":80\",\"remote\":\"we b:80\"}", "\"remote\""},
	{"{\"local\":\":80\",\"remote\":\"web:0\"}", "\"remote\""},
};

START_TEST(malformed_of_ours)
{
	ck_assert_int_eq(decode_as(FORWARD_REQUEST_V1, bad_of_ours[_i].body), -EINVAL);
	ck_assert_msg(strstr(error, bad_of_ours[_i].said), "\"%s\" lacks \"%s\"", error,
		      bad_of_ours[_i].said);
}
END_TEST

/* What is listed, or kept over a restart, can be asked for again. */
START_TEST(encoded_and_decoded)
{
	static const char *const bodies[] = {
		"{\"local\":\"127.0.0.1:80\",\"remote\":\"web:81\",\"protocol\":\"udp\",\"source\":\"gateway\","
		"\"proxy\":\"v2\",\"name\":\"n\",\"for\":\"f\"}",
		"{\"local\":\"/run/s\",\"remote\":\"192.168.65.2:80\",\"protocol\":\"unix\"}",
		"{\"local\":\":80\",\"remote\":\"[fd65:6e70:7879::2]:80\",\"protocol\":\"tcp\"}",
		"{\"local\":\":80\",\"remote\":\"10.88.0.5:80\",\"protocol\":\"tcp\",\"via\":\"192.168.65.2\"}",
		"{\"local\":\":80\",\"remote\":\"[fd99::5]:80\",\"protocol\":\"udp\",\"via\":\"box\"}",
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct json_object *object;

		ck_assert_int_eq(decode_as(FORWARD_REQUEST_V1, bodies[i]), 0);
		publish_spec_fill_texts(&spec);
		object = forward_request_encode(FORWARD_REQUEST_V1, &spec);
		ck_assert_str_eq(
			json_object_to_json_string_ext(
				object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			bodies[i]);
		json_object_put(object);
	}
}
END_TEST

START_TEST(queries)
{
	static const char *const keys[] = {"local", "protocol", NULL};
	char to[12];

	ck_assert_int_eq(http_query_get("a=b&local=%5B::1%5d:8&protocol", "local", to, 12), 0);
	ck_assert_str_eq(to, "[::1]:8");
	ck_assert_int_eq(http_query_get("local=a+b&protocol", "protocol", to, 12), 0);
	ck_assert_str_eq(to, "");
	ck_assert_int_eq(http_query_get("&&local=x=y", "local", to, 12), 0);
	ck_assert_str_eq(to, "x=y");
	ck_assert_int_eq(http_query_get("locals=1&loca=2", "local", to, 12), -ENOENT);
	ck_assert_int_eq(http_query_get("", "local", to, 12), -ENOENT);
	ck_assert_int_eq(http_query_get("local=1&local=2", "local", to, 12), -EINVAL);
	ck_assert_int_eq(http_query_get("local=%", "local", to, 12), -EINVAL);
	ck_assert_int_eq(http_query_get("local=%4", "local", to, 12), -EINVAL);
	ck_assert_int_eq(http_query_get("local=%4&protocol=x", "local", to, 12), -EINVAL);
	ck_assert_int_eq(http_query_get("local=%4g", "local", to, 12), -EINVAL);
	ck_assert_int_eq(http_query_get("local=%00", "local", to, 12), -EINVAL);
	ck_assert_int_eq(http_query_get("local=01234567890", "local", to, 12), 0);
	ck_assert_int_eq(http_query_get("local=012345678901", "local", to, 12), -ENAMETOOLONG);
	ck_assert_int_eq(http_query_unknown("local=1&protocol=2", keys, to, 12), -ENOENT);
	ck_assert_int_eq(http_query_unknown("local=1&what", keys, to, 4), 0);
	ck_assert_str_eq(to, "wha");
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
	TCase *tcase = unit_case(suite, "all", NULL, NULL);

	tcase_add_test(tcase, forward);
	tcase_add_test(tcase, all_addresses);
	tcase_add_loop_test(tcase, malformed, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, for_whom);
	tcase_add_test(tcase, unix_socket);
	tcase_add_test(tcase, everything_of_ours);
	tcase_add_loop_test(tcase, malformed_of_ours, 0,
			    sizeof(bad_of_ours) / sizeof(bad_of_ours[0]));
	tcase_add_test(tcase, encoded_and_decoded);
	tcase_add_test(tcase, queries);
	tcase_add_test(tcase, long_texts);
	tcase_add_test(tcase, removal);
	tcase_add_test(tcase, zone);
	tcase_add_loop_test(tcase, malformed_zone, 0,
			    (int)(sizeof(bad_zones) / sizeof(bad_zones[0])));
	return unit_run(suite);
}
