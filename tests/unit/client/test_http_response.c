/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP responses: whole ones, every cut of them, and malformed ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/http_response.h"
#include "unit.h"

static const struct good {
	const char *text;
	int status;
	const char *body;
	bool until_end; /* complete only when the connection ended */
} goods[] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", 200, "[]", false},
	{"HTTP/1.1 200\r\ncontent-length:2 \r\n\r\n[]", 200, "[]", false},
	{"HTTP/1.0 500 Internal Server Error\nContent-Length: 4\n\nbad\n", 500, "bad\n", false},
	{"HTTP/1.1 204 No Content\r\n\r\n", 204, "", false},
	{"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n", 204, "",
	 false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
	{"HTTP/1.1 200 OK\r\nX: y\r\n\r\nto the end", 200, "to the end", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n"
	 "0\r\n",
	 200, "abc0123456789", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n", 200, "", false},
};

START_TEST(whole_and_cut)
{
	const struct good *good = &goods[_i];
	size_t size = strlen(good->text);
	struct http_response response;
	const char *why = NULL;

	for (size_t cut = 0; cut < size; cut++) {
		int r = http_response_decode(good->text, cut, false, &response, &why);

		ck_assert_msg(r == 0, "complete after %zu of %zu bytes", cut, size);
	}
	int r = http_response_decode(good->text, size, good->until_end, &response, &why);
	ck_assert_msg(r == 1, "%s", why);
	ck_assert_int_eq(response.status, good->status);
	ck_assert_str_eq(response.body, good->body);
	ck_assert_uint_eq(response.body_size, strlen(good->body));
	http_response_clear(&response);
	ck_assert_ptr_null(response.body);
}
END_TEST

static const struct bad {
	const char *text;
	const char *why;
} bads[] = {
	{"", "it is empty"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "it ends in the middle"},
	{"HTTP/1.1 200 OK\r\n", "it ends in the middle"},
	{"SSH-2.0-OpenSSH\r\n\r\n", "it doesn't begin with an HTTP status line"},
	{"HTTP/2.0 200 OK\r\n\r\n", "it doesn't begin with an HTTP status line"},
	{"HTTP/1.1 99 X\r\n\r\n", "it doesn't begin with an HTTP status line"},
	{"HTTP/1.1 100 Continue\r\n\r\n", "it doesn't begin with an HTTP status line"},
	{"HTTP/1.1 2000 OK\r\n\r\n", "it doesn't begin with an HTTP status line"},
	{"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a field of its header is malformed"},
	{"HTTP/1.1 200 OK\r\n: x\r\n\r\n", "a field of its header is malformed"},
	{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a field of its header is malformed"},
	{"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "a field of its header is malformed"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
	 "a field of its header is malformed"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	 "a field of its header is malformed"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	 "a field of its header is malformed"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
	 "a chunk's size is malformed"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
	 "a chunk is longer than it says"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
	 "a chunk's size is malformed"},
};

START_TEST(malformed)
{
	struct http_response response;
	const char *why = "";

	ck_assert_int_eq(
		http_response_decode(bads[_i].text, strlen(bads[_i].text), true, &response, &why),
		-EBADMSG);
	ck_assert_str_eq(why, bads[_i].why);
}
END_TEST

START_TEST(too_long)
{
	char *text = malloc(HTTP_RESPONSE_SIZE_MAX + 1);
	struct http_response response;
	const char *why = "";

	memset(text, 'x', HTTP_RESPONSE_SIZE_MAX + 1);
	ck_assert_int_eq(http_response_decode(text, HTTP_HEAD_SIZE_MAX + 1, false, &response, &why),
			 -EBADMSG);
	ck_assert_str_eq(why, "its header is too long");
	memcpy(text, "HTTP/1.1 200 OK\r\n\r\n", 19);
	ck_assert_int_eq(http_response_decode(text, HTTP_RESPONSE_SIZE_MAX, false, &response, &why),
			 0);
	ck_assert_int_eq(
		http_response_decode(text, HTTP_RESPONSE_SIZE_MAX + 1, false, &response, &why),
		-EBADMSG);
	ck_assert_str_eq(why, "it is too long");
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http_response");
	TCase *tests = unit_case(suite, "decode", NULL, NULL);

	tcase_add_loop_test(tests, whole_and_cut, 0, sizeof(goods) / sizeof(goods[0]));
	tcase_add_loop_test(tests, malformed, 0, sizeof(bads) / sizeof(bads[0]));
	tcase_add_test(tests, too_long);
	return unit_run(suite);
}
