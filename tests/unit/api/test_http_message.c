/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests as they are, cut short, and as they mustn't be; and replies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_message.h"
#include "unit.h"

static struct http_request request;
static struct http_progress progress;
static char data[2 * HTTP_REQUEST_SIZE_MAX];

static int decode_bytes(const void *bytes, size_t size)
{
	memcpy(data, bytes, size);
	progress = (struct http_progress){0};
	return http_request_decode(data, size, &request, &progress);
}

static int decode(const char *text)
{
	return decode_bytes(text, strlen(text));
}

START_TEST(plain_get)
{
	const char *text = "GET /a/b?c=d&e HTTP/1.1\r\nHost: x:80\r\nAccept: */*\r\n\r\nrest";

	ck_assert_int_eq(decode(text), 1);
	ck_assert_str_eq(request.method, "GET");
	ck_assert_str_eq(request.path, "/a/b");
	ck_assert_str_eq(request.query, "c=d&e");
	ck_assert_str_eq(request.host, "x:80");
	ck_assert(request.keep_alive && !request.is_head && !request.from_web_page);
	ck_assert_uint_eq(request.body_size, 0);
	ck_assert_uint_eq(progress.taken, strlen(text) - 4);
}
END_TEST

START_TEST(body_by_length)
{
	ck_assert_int_eq(
		decode("POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  5\t\r\n\r\nabcdefg"), 1);
	ck_assert_uint_eq(request.body_size, 5);
	ck_assert(memcmp(request.body, "abcde", 5) == 0);
}
END_TEST

START_TEST(body_in_chunks)
{
	const char *text = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
			   "3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nGET";

	ck_assert_int_eq(decode(text), 1);
	ck_assert_uint_eq(request.body_size, 13);
	ck_assert(memcmp(request.body, "abc0123456789", 13) == 0);
	ck_assert_uint_eq(progress.taken, strlen(text) - 3);
}
END_TEST

START_TEST(every_cut_waits)
{
	static const char *const texts[] = {
		"\r\nPOST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"GET / HTTP/1.0\n\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t cut = 0; cut < strlen(texts[i]); cut++)
			ck_assert_msg(decode_bytes(texts[i], cut) == 0, "%zu at %zu", i, cut);
		ck_assert_int_eq(decode(texts[i]), 1);
	}
}
END_TEST

START_TEST(fields)
{
	ck_assert_int_eq(
		decode("HEAD http://h/p HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n"), 1);
	ck_assert(request.is_head && !request.keep_alive);
	ck_assert_str_eq(request.path, "/p");
	ck_assert_int_eq(decode("GET http://h HTTP/1.1\r\nHost: h\r\norigin: null\r\n\r\n"), 1);
	ck_assert(request.from_web_page);
	ck_assert_str_eq(request.path, "/");
	ck_assert_int_eq(decode("OPTIONS * HTTP/1.0\r\n\r\n"), 1);
	ck_assert(!request.keep_alive);
	ck_assert_str_eq(request.host, "");
}
END_TEST

START_TEST(expectation)
{
	const char *head =
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
	char whole[256];

	ck_assert_int_eq(decode(head), 0);
	ck_assert(progress.wants_continue);
	snprintf(whole, sizeof(whole), "%s{}", head);
	ck_assert_int_eq(decode(whole), 1);
	ck_assert(!progress.wants_continue);
}
END_TEST

#define POST "POST / HTTP/1.1\r\nHost: x\r\n"

static const struct {
	const char *text;
	unsigned status;
} bad[] = {
	{"hello\r\n", 400},
	{" GET / HTTP/1.1\r\n", 400},
	{"GET  / HTTP/1.1\r\n", 400},
	{"GET / HTTP/1.1 \r\n", 400},
	{"GET /\r\n", 400},
	{"GET x HTTP/1.1\r\n", 400},
	{"GET /\x80 HTTP/1.1\r\n", 400},
	{"GET / HTTP/2.0\r\n", 505},
	{"GET / FTP/1.1\r\n", 400},
	{"G(T / HTTP/1.1\r\n", 400},
	{"ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n", 501},
	{"GET / HTTP/1.1\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	{POST "no colon\r\n", 400},
	{POST ": empty\r\n", 400},
	{POST "Name : space\r\n", 400},
	{POST " folded: x\r\n", 400},
	{POST "Content-Length: -1\r\n", 400},
	{POST "Content-Length: 1x\r\n", 400},
	{POST "Content-Length: \r\n", 400},
	{POST "Content-Length: 1\r\nContent-Length: 2\r\n", 400},
	{POST "Content-Length: 65537\r\n\r\n", 413},
	{POST "Content-Length: 18446744073709551617\r\n\r\n", 413},
	{POST "Transfer-Encoding: gzip\r\n", 501},
	{POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
	{POST "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400},
	{POST "Transfer-Encoding: chunked\r\n\r\n\r\n", 400},
	{POST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400},
	{POST "Transfer-Encoding: chunked\r\n\r\n10001\r\n", 413},
	{POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 413},
	{POST "Expect: money\r\n", 417},
	{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
};

START_TEST(malformed)
{
	ck_assert_int_lt(decode(bad[_i].text), 0);
	ck_assert_uint_eq(progress.status, bad[_i].status);
	ck_assert_ptr_nonnull(progress.why);
}
END_TEST

START_TEST(too_long)
{
	size_t size = (size_t)sprintf(data, "GET / HTTP/1.1\r\nHost: x\r\nX: ");

	memset(data + size, 'x', HTTP_REQUEST_HEAD_MAX);
	ck_assert_int_lt(
		http_request_decode(data, size + HTTP_REQUEST_HEAD_MAX, &request, &progress), 0);
	ck_assert_uint_eq(progress.status, 431);

	/* Empty lines don't count as nothing. */
	memset(data, '\n', sizeof(data));
	ck_assert_int_lt(http_request_decode(data, sizeof(data), &request, &progress), 0);
	ck_assert_uint_eq(progress.status, 431);

	size = (size_t)sprintf(data, "GET /");
	memset(data + size, 'x', HTTP_PATH_MAX);
	strcpy(data + size + HTTP_PATH_MAX, " HTTP/1.1\r\n");
	ck_assert_int_lt(http_request_decode(data, strlen(data), &request, &progress), 0);
	ck_assert_uint_eq(progress.status, 414);
}
END_TEST

START_TEST(largest_body)
{
	size_t size = (size_t)sprintf(data, POST "Content-Length: %d\r\n\r\n",
				      HTTP_REQUEST_BODY_MAX);

	memset(data + size, 'x', HTTP_REQUEST_BODY_MAX);
	ck_assert_int_eq(
		http_request_decode(data, size + HTTP_REQUEST_BODY_MAX - 1, &request, &progress),
		0);
	ck_assert_int_eq(
		http_request_decode(data, size + HTTP_REQUEST_BODY_MAX, &request, &progress), 1);
	ck_assert_uint_eq(request.body_size, HTTP_REQUEST_BODY_MAX);
}
END_TEST

/* Chunks of one byte are six times as long as what they hold. */
START_TEST(framing_counts)
{
	size_t size = (size_t)sprintf(data, POST "Transfer-Encoding: chunked\r\n\r\n");

	while (size < HTTP_REQUEST_SIZE_MAX)
		size += (size_t)sprintf(data + size, "1\r\nx\r\n");
	ck_assert_int_lt(http_request_decode(data, size, &request, &progress), 0);
	ck_assert_uint_eq(progress.status, 413);
}
END_TEST

static char *encode(struct http_reply *reply, bool is_head, bool keep_alive)
{
	size_t size;
	char *message = http_reply_encode(reply, is_head, keep_alive, &size);

	ck_assert_ptr_nonnull(message);
	message = realloc(message, size + 1);
	message[size] = '\0';
	http_reply_clear(reply);
	return message;
}

static void check_encoding(struct http_reply *reply, bool is_head, bool keep_alive,
			   const char *expected)
{
	char *message = encode(reply, is_head, keep_alive);

	ck_assert_str_eq(message, expected);
	free(message);
}

START_TEST(replies)
{
	struct http_reply reply = http_reply_empty();

	check_encoding(&reply, false, true, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	http_reply_text(&reply, 500, "proxy %s", "not\r\nfound");
	check_encoding(
		&reply, false, false,
		"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: 17\r\n\r\n"
		"proxy not  found\n");
	http_reply_json(&reply, 200, json_object_new_array());
	check_encoding(
		&reply, true, true,
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
		"Content-Length: 3\r\n\r\n");
	http_reply_text(&reply, 405, "x");
	strcpy(reply.allow, "GET");
	check_encoding(
		&reply, true, true,
		"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"X-Content-Type-Options: nosniff\r\nContent-Length: 2\r\n\r\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http_message");
	TCase *tcase = unit_case(suite, "all", NULL, NULL);

	tcase_add_test(tcase, plain_get);
	tcase_add_test(tcase, body_by_length);
	tcase_add_test(tcase, body_in_chunks);
	tcase_add_test(tcase, every_cut_waits);
	tcase_add_test(tcase, fields);
	tcase_add_test(tcase, expectation);
	tcase_add_loop_test(tcase, malformed, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tcase, too_long);
	tcase_add_test(tcase, largest_body);
	tcase_add_test(tcase, framing_counts);
	tcase_add_test(tcase, replies);
	return unit_run(suite);
}
