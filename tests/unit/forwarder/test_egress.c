/* SPDX-License-Identifier: Apache-2.0 */
/* Which way out guests' connections take, and the texts by which they take it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "forwarder/egress.h"
#include "forwarder/http_connect.h"
#include "forwarder/tls_hello.h"
#include "tls_sample.h"
#include "unit.h"

static struct endpoint at(const char *text)
{
	struct endpoint ep;

	ck_assert_int_eq(endpoint_parse(text, false, &ep), 0);
	return ep;
}

/* ---- Configuration ---- */

START_TEST(proxies_that_can_be)
{
	static const struct {
		const char *text, *host, *auth;
		uint16_t port;
		unsigned addrs;
	} cases[] = {
		{"http://10.0.0.1:3128", "10.0.0.1", "", 3128, 1},
		{"10.0.0.1:3128", "10.0.0.1", "", 3128, 1},
		{"HTTP://Proxy.Corp:8080/", "proxy.corp", "", 8080, 0},
		{"proxy", "proxy", "", 80, 0},
		{"http://[fd00::1]:3128/", "fd00::1", "", 3128, 1},
		{"http://user:secret@proxy:1", "proxy", "dXNlcjpzZWNyZXQ=", 1, 0},
		{"http://user@proxy:1", "proxy", "dXNlcjo=", 1, 0},
		/* "a@b:c d", of characters that can't stand there by themselves */
		{"http://a%40b:c%20d@proxy:1", "proxy", "YUBiOmMgZA==", 1, 0},
		{"http://x:p@ss@proxy:1", "proxy", "eDpwQHNz", 1, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct egress_proxy proxy;

		ck_assert_msg(egress_parse_proxy(cases[i].text, &proxy) == 0, "%s", cases[i].text);
		ck_assert_str_eq(proxy.host, cases[i].host);
		ck_assert_str_eq(proxy.auth, cases[i].auth);
		ck_assert_uint_eq(proxy.port, cases[i].port);
		ck_assert_uint_eq(proxy.addr_count, cases[i].addrs);
	}
}
END_TEST

START_TEST(proxies_that_can_not_be)
{
	static const char *const cases[] = {
		"",
		"http://",
		"https://proxy:1",
		"socks5://proxy:1",
		"http://proxy:0",
		"http://proxy:65536",
		"http://proxy:",
		"http://proxy:x",
		"http://proxy:1/path",
		"http://proxy:1?x",
		"http://[fd00::1",
		"http://pro xy:1",
		"http://a..b:1",
		"http://a%4:x@proxy:1",
		"http://a%zz:x@proxy:1",
		"http://pro\r\nxy:1",
	};
	struct egress_proxy proxy = {.port = 7};
	char text[2 * EGRESS_AUTH_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(egress_parse_proxy(cases[i], &proxy) == -EINVAL, "%s", cases[i]);
	memset(text, 'a', sizeof(text));
	snprintf(text + EGRESS_AUTH_MAX, 16, ":b@proxy:1");
	ck_assert_int_eq(egress_parse_proxy(text, &proxy), -EINVAL);
	snprintf(text + EGRESS_NAME_MAX, 16, ":1");
	ck_assert_int_eq(egress_parse_proxy(text, &proxy), -EINVAL);
	ck_assert_uint_eq(proxy.port, 7);
}
END_TEST

START_TEST(longest_user_and_password)
{
	char text[2 * EGRESS_AUTH_MAX];
	struct egress_proxy proxy;
	size_t longest = 0;

	for (size_t size = 1; size < EGRESS_AUTH_MAX; size++) {
		memset(text, 'a', size);
		strcpy(text + size, ":@p");
		if (egress_parse_proxy(text, &proxy) < 0)
			continue;
		longest = size;
		ck_assert_uint_eq(strlen(proxy.auth), (size + 1 + 2) / 3 * 4);
	}
	ck_assert_uint_gt(longest, 700);
}
END_TEST

START_TEST(exceptions)
{
	struct egress_conf conf = {0};
	const char *bad;
	struct endpoint to;

	egress_parse_proxy("10.0.0.1:3128", &conf.http);
	egress_parse_proxy("10.0.0.1:3128", &conf.https);
	ck_assert_int_eq(egress_add_exceptions(&conf,
					       " 10.9.0.0/16,192.0.2.1:443\t[fd00::2]:80 "
					       ".corp.test, *.lab.test,Host.Test:443 ,fd01::/16",
					       &bad),
			 0);
	ck_assert_uint_eq(conf.exception_count, 7);
	to = at("10.9.1.2:80");
	ck_assert_ptr_null(egress_find(&conf, &to));
	to = at("10.8.1.2:80");
	ck_assert_ptr_eq(egress_find(&conf, &to), &conf.http);
	to = at("192.0.2.1:80");
	ck_assert_ptr_nonnull(egress_find(&conf, &to));
	to = at("192.0.2.1:443");
	ck_assert_ptr_null(egress_find(&conf, &to));
	to = at("[fd00::2]:80");
	ck_assert_ptr_null(egress_find(&conf, &to));
	to = at("[fd01:2::1]:443");
	ck_assert_ptr_null(egress_find(&conf, &to));
	ck_assert(egress_exempts_name(&conf, "corp.test", 80));
	ck_assert(egress_exempts_name(&conf, "A.b.CORP.test", 80));
	ck_assert(!egress_exempts_name(&conf, "xcorp.test", 80));
	ck_assert(!egress_exempts_name(&conf, "corp.test.org", 80));
	ck_assert(egress_exempts_name(&conf, "x.lab.test", 443));
	ck_assert(egress_exempts_name(&conf, "host.test", 443));
	ck_assert(!egress_exempts_name(&conf, "host.test", 80));
	ck_assert_int_eq(egress_add_exceptions(&conf, "*", &bad), 0);
	to = at("1.2.3.4:80");
	ck_assert_ptr_null(egress_find(&conf, &to));
	ck_assert(egress_exempts_name(&conf, "anything", 1));
	egress_destroy(&conf);
}
END_TEST

START_TEST(exceptions_that_can_not_be)
{
	static const char *const cases[] = {"a b/c", "10.0.0.1/8", "1.2.3.4:0", "x:y",
					    "[::1",  "a..b",       "*.*.x",     "10.0.0.0/33"};
	struct egress_conf conf = {0};
	const char *bad = NULL;
	char text[16];
	int r = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(egress_add_exceptions(&conf, cases[i], &bad) == -EINVAL, "%s",
			      cases[i]);
	ck_assert_int_eq(egress_add_exceptions(&conf, "ok.test, b@d, x", &bad), -EINVAL);
	ck_assert_str_eq(bad, "b@d, x");
	for (unsigned i = 0; r == 0 && i <= EGRESS_EXCEPTIONS_MAX; i++) {
		snprintf(text, sizeof(text), "n%u", i);
		r = egress_add_exceptions(&conf, text, &bad);
	}
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_eq(conf.exception_count, EGRESS_EXCEPTIONS_MAX);
	egress_destroy(&conf);
}
END_TEST

START_TEST(which_proxy)
{
	struct egress_conf conf = {0};
	struct endpoint http = at("1.2.3.4:80"), https = at("1.2.3.4:443"), ssh = at("1.2.3.4:22");

	ck_assert_ptr_null(egress_find(&conf, &http));
	egress_parse_proxy("10.0.0.1:1", &conf.http);
	ck_assert_ptr_eq(egress_find(&conf, &http), &conf.http);
	ck_assert_ptr_null(egress_find(&conf, &https));
	ck_assert_ptr_null(egress_find(&conf, &ssh));
	egress_parse_proxy("10.0.0.1:2", &conf.https);
	ck_assert_ptr_eq(egress_find(&conf, &https), &conf.https);
	conf.http = (struct egress_proxy){0};
	ck_assert_ptr_null(egress_find(&conf, &http));
	ck_assert_ptr_eq(egress_find(&conf, &https), &conf.https);
}
END_TEST

/* ---- TLS ---- */

static uint8_t hello[TLS_SAMPLE_MAX];
static char name[EGRESS_NAME_MAX];

START_TEST(name_in_tls)
{
	size_t size = tls_sample("WWW.Example.org", 16384, hello);

	ck_assert_int_eq(tls_hello_name(hello, size, name), 1);
	ck_assert_str_eq(name, "www.example.org");
	/* Not before all of it is there, and whatever comes behind it. */
	for (size_t part = 0; part < size; part++)
		ck_assert_int_eq(tls_hello_name(hello, part, name), -EAGAIN);
	memset(hello + size, 0xff, 100);
	ck_assert_int_eq(tls_hello_name(hello, size + 100, name), 1);
}
END_TEST

START_TEST(name_in_many_records)
{
	for (size_t record = 11; record < 150; record++) {
		size_t size = tls_sample("a.test", record, hello);

		ck_assert_int_eq(tls_hello_name(hello, size, name), 1);
		ck_assert_str_eq(name, "a.test");
		ck_assert_int_eq(tls_hello_name(hello, size - 1, name), -EAGAIN);
	}
}
END_TEST

START_TEST(no_name_in_tls)
{
	static const char *const names[] = {"10.1.2.3", "a b",  "a\r\nb", "",
					    "-\x80",    "a..b", "::1"};

	ck_assert_int_eq(tls_hello_name(hello, tls_sample(NULL, 999, hello), name), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_int_eq(tls_hello_name(hello, tls_sample(names[i], 999, hello), name), 0);
}
END_TEST

START_TEST(no_tls)
{
	size_t size = tls_sample("a.test", 16384, hello);

	ck_assert_int_eq(tls_hello_name((const uint8_t *)"GET / HTTP/1.1\r\n", 16, name), -EPROTO);
	hello[5] = 2; /* ServerHello */
	ck_assert_int_eq(tls_hello_name(hello, size, name), -EPROTO);
	hello[5] = 1;
	hello[6] = 1; /* 64 KiB and more */
	ck_assert_int_eq(tls_hello_name(hello, size, name), -EPROTO);
	hello[6] = 0;
	/* Every length that it holds, larger than what there is. */
	for (size_t i = 9; i < size; i++) {
		uint8_t before = hello[i];

		hello[i] = 0xff;
		tls_hello_name(hello, size, name);
		hello[i] = before;
	}
	hello[4] = 0; /* a record of nothing */
	hello[3] = 0;
	ck_assert_int_eq(tls_hello_name(hello, size, name), -EPROTO);
}
END_TEST

/* ---- HTTP ---- */

static int host_of(const char *text)
{
	return http_request_host((const uint8_t *)text, strlen(text), name);
}

START_TEST(host_in_a_request)
{
	static const char request[] =
		"GET / HTTP/1.1\r\nAccept: */*\r\nhost: \tWWW.Example.org:8080 \r\nX: y\r\n\r\n";

	ck_assert_int_eq(host_of(request), 1);
	ck_assert_str_eq(name, "www.example.org");
	for (size_t size = 0; size < strlen("GET / HTTP/1.1\r\nAccept: */*\r\nhost: \tWWW.");
	     size++)
		ck_assert_int_eq(http_request_host((const uint8_t *)request, size, name), -EAGAIN);
	ck_assert_int_eq(host_of("M-SEARCH * HTTP/1.0\nHost:a\n"), 1);
	ck_assert_int_eq(host_of("GET / HTTP/1.1\r\n\r\n"), 0);
	ck_assert_int_eq(host_of("GET / HTTP/1.1\r\nHost: 10.1.2.3\r\n"), 0);
	ck_assert_int_eq(host_of("GET / HTTP/1.1\r\nHost: [fd00::1]:80\r\n"), 0);
	ck_assert_int_eq(host_of("GET / HTTP/1.1\r\nHost: a b\r\n"), 0);
	ck_assert_int_eq(host_of("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 0);
	ck_assert_int_eq(host_of("SSH-2.0-OpenSSH\r\n"), -EPROTO);
	ck_assert_int_eq(host_of("\x16\x03\x01"), -EPROTO);
	ck_assert_int_eq(host_of(" GET"), -EPROTO);
	ck_assert_int_eq(host_of("GET / SPDY/1.1\r\n"), -EPROTO);
	ck_assert_int_eq(host_of("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), -EPROTO);
}
END_TEST

START_TEST(requests_to_connect)
{
	char to[HTTP_CONNECT_REQUEST_MAX];
	char target[EGRESS_NAME_MAX + 8], auth[EGRESS_AUTH_MAX];

	to[http_connect_request("a.test:443", "", to)] = '\0';
	ck_assert_str_eq(to, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
	to[http_connect_request("[fd00::1]:80", "QTpC", to)] = '\0';
	ck_assert_str_eq(to, "CONNECT [fd00::1]:80 HTTP/1.1\r\nHost: [fd00::1]:80\r\n"
			     "Proxy-Authorization: Basic QTpC\r\n\r\n");
	memset(target, 'a', sizeof(target));
	memset(auth, 'b', sizeof(auth));
	target[sizeof(target) - 1] = auth[sizeof(auth) - 1] = '\0';
	ck_assert_uint_lt(http_connect_request(target, auth, to), sizeof(to));
	ck_assert_str_eq(to + strlen(to) - 4, "\r\n\r\n");
}
END_TEST

static int reply_of(const char *text, struct http_connect_reply *ret)
{
	return http_connect_reply((const uint8_t *)text, strlen(text), ret);
}

START_TEST(answers)
{
	static const char text[] = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nbytes";
	struct http_connect_reply reply;

	ck_assert_int_eq(reply_of(text, &reply), 0);
	ck_assert_uint_eq(reply.status, 200);
	ck_assert_uint_eq(reply.header_size, strlen(text) - 5);
	ck_assert_str_eq(reply.reason, "Connection established");
	for (size_t size = 0; size < strlen(text) - 5; size++)
		ck_assert_int_eq(http_connect_reply((const uint8_t *)text, size, &reply), -EAGAIN);
	ck_assert_int_eq(reply_of("HTTP/1.0 407\n\n", &reply), 0);
	ck_assert_uint_eq(reply.status, 407);
	ck_assert_str_eq(reply.reason, "");
	ck_assert_int_eq(reply_of("HTTP/1.1 403 No\x1b[31m way\r\n\r\n", &reply), 0);
	ck_assert_str_eq(reply.reason, "No?[31m way");
}
END_TEST

START_TEST(no_answers)
{
	static const char *const cases[] = {
		"SSH-2.0\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"HTTP/1.1  200\r\n\r\n",
		"HTTP/1.x 200\r\n\r\n",
		"HTTP/1.1 0x2\r\n\r\n",
		"HTTP/1.1 099 x\r\n\r\n",
		"HTTP/1.1\r\n\r\n",
		"\r\n",
	};
	static uint8_t large[HTTP_CONNECT_REPLY_MAX + 10];
	struct http_connect_reply reply;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(reply_of(cases[i], &reply) == -EPROTO, "%s", cases[i]);
	memset(large, 'a', sizeof(large));
	memcpy(large, "HTTP/1.1 200 OK\r\nX: ", 20);
	ck_assert_int_eq(http_connect_reply(large, HTTP_CONNECT_REPLY_MAX - 1, &reply), -EAGAIN);
	ck_assert_int_eq(http_connect_reply(large, HTTP_CONNECT_REPLY_MAX, &reply), -EPROTO);
	ck_assert_int_eq(http_connect_reply(large, sizeof(large), &reply), -EPROTO);
}
END_TEST

START_TEST(names_that_are_none)
{
	static const char *const good[] = {"example.com",  "intranet",          "3com",
					   "1.example.0b", "localhost.example", "0xcafe.example"};
	static const char *const bad[] = {"2852039166", "127.1",     "0x7f000001",  "0x7f.0.0.1",
					  "a.0177",     "localhost", "x.LOCALHOST", "127.0.0.0x1"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(egress_may_ask_for(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!egress_may_ask_for(bad[i]), "%s", bad[i]);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		proxies_that_can_be,
		proxies_that_can_not_be,
		longest_user_and_password,
		exceptions,
		exceptions_that_can_not_be,
		which_proxy,
		name_in_tls,
		name_in_many_records,
		no_name_in_tls,
		no_tls,
		host_in_a_request,
		requests_to_connect,
		answers,
		no_answers,
		names_that_are_none,
		NULL,
	};
	Suite *suite = suite_create("egress");
	TCase *tcase = unit_case(suite, "egress", NULL, NULL);

	unit_add(tcase, tests);
	return unit_run(suite);
}
