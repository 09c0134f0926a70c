/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server on a real socket: requests in pieces and in rows, silent and slow clients,
 * limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http_server.h"
#include "base/sock.h"
#include "peer.h"
#include "unit.h"

#define LARGE_SIZE (2 * 1024 * 1024)

static struct loop *loop;
static struct http_server *server;
static char directory[] = "/tmp/netproxy-test-XXXXXX";
static char path[64];
static unsigned handled;

static int taken_fd = -1;
static char taken_early[16];

static void take(void *arg, int fd, const void *early, size_t early_size)
{
	(void)arg;
	taken_fd = fd;
	ck_assert_uint_lt(early_size, sizeof(taken_early));
	memcpy(taken_early, early, early_size);
	taken_early[early_size] = '\0';
}

/* "/large" is a large reply; everything else comes back as method, path and body. */
static void handle(void *arg, const struct http_request *request, struct http_reply *reply)
{
	(void)arg;
	handled++;
	if (strcmp(request->path, "/large") == 0) {
		reply->type = "text/plain";
		reply->body = malloc(LARGE_SIZE);
		reply->body_size = LARGE_SIZE;
		memset(reply->body, 'L', LARGE_SIZE);
		return;
	}
	if (strcmp(request->path, "/take") == 0) {
		reply->take = take;
		return;
	}
	http_reply_text(reply, 200, "%s %s %.*s.", request->method, request->path,
			(int)request->body_size, request->body_size ? request->body : "");
	reply->hold = strcmp(request->path, "/hold") == 0 && request->may_hold;
}

static uint64_t closed[8];
static unsigned closed_count;

static void on_closed(void *arg, uint64_t connection)
{
	(void)arg;
	closed[closed_count++] = connection;
}

static void start(const struct http_limits *limits)
{
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/http", directory);
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &fd), 0);
	ck_assert_int_eq(http_server_new(loop, fd, limits, handle, NULL, &server), 0);
	http_server_on_closed(server, on_closed);
	closed_count = 0;
}

static void setup(void)
{
	struct http_limits limits = http_limits(8);

	start(&limits);
}

static void teardown(void)
{
	http_server_free(server);
	loop_free(loop);
	unlink(path);
	rmdir(directory);
}

static char *exchange(const char *text)
{
	return peer_exchange(loop, path, text, strlen(text));
}

static void check_has(char *text, const char *part)
{
	ck_assert_msg(strstr(text, part), "\"%s\" lacks \"%s\"", text, part);
	free(text);
}

#define GET(PATH) "GET " PATH " HTTP/1.1\r\nHost: x\r\n\r\n"

START_TEST(a_request)
{
	check_has(exchange(GET("/a")), "\r\n\r\nGET /a .\n");
	peer_settle(loop);
	ck_assert_uint_eq(http_server_counters(server).connections, 0);
}
END_TEST

START_TEST(in_pieces)
{
	const char *text = "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
	int fd = peer_connect(path);

	for (size_t i = 0; i < strlen(text); i++) {
		ck_assert(peer_send(loop, fd, text + i, 1));
		peer_settle(loop);
		ck_assert_uint_eq(handled, i + 1 == strlen(text));
	}
	check_has(peer_read_until(loop, fd, ".\n"), "POST /p abc.");
	/* The connection goes on. */
	ck_assert(peer_send(loop, fd, GET("/next"), strlen(GET("/next"))));
	check_has(peer_read_until(loop, fd, ".\n"), "GET /next .");
	close(fd);
	peer_settle(loop);
	ck_assert_uint_eq(http_server_counters(server).connections, 0);
}
END_TEST

/* A connection leaves HTTP with the bytes that came behind the request, and is nobody's here. */
START_TEST(taken_over)
{
	const char *text = GET("/take") "early";
	int fd = peer_connect(path);
	char byte;

	ck_assert(peer_send(loop, fd, text, strlen(text)));
	peer_settle(loop);
	ck_assert_int_ge(taken_fd, 0);
	ck_assert_str_eq(taken_early, "early");
	ck_assert_uint_eq(http_server_counters(server).connections, 0);
	ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), -1); /* neither a reply nor the end */
	close(taken_fd);
	ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	taken_fd = -1;
	close(fd);
}
END_TEST

/* Connections that come by another way than the listener. */
START_TEST(added)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ck_assert_int_eq(http_server_add(server, fds[0]), 0);
	ck_assert(peer_send(loop, fds[1], GET("/added"), strlen(GET("/added"))));
	check_has(peer_read_until(loop, fds[1], ".\n"), "GET /added .");
	close(fds[1]);
	peer_settle(loop);
	ck_assert_uint_eq(http_server_counters(server).connections, 0);
}
END_TEST

START_TEST(in_a_row)
{
	char *text = exchange(GET("/1") GET("/large") GET("/3"));

	ck_assert_uint_eq(handled, 3);
	ck_assert_uint_gt(strlen(text), LARGE_SIZE);
	ck_assert_ptr_nonnull(strstr(text, "GET /1 .\nHTTP/1.1 200 OK"));
	check_has(text, "GET /3 .\n");
}
END_TEST

/* A connection that is held outlives silence and a crowd of others, and its end is told. */
START_TEST(held)
{
	int fds[8], fd = peer_connect(path);

	ck_assert(peer_send(loop, fd, GET("/hold"), strlen(GET("/hold"))));
	check_has(peer_read_until(loop, fd, ".\n"), "GET /hold .");
	for (int i = 0; i < 8; i++) {
		fds[i] = peer_connect(path);
		peer_settle(loop);
	}
	ck_assert_uint_eq(http_server_counters(server).evicted, 1);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	/* It still serves, and is held only once. */
	ck_assert(peer_send(loop, fd, GET("/hold"), strlen(GET("/hold"))));
	check_has(peer_read_until(loop, fd, ".\n"), "GET /hold .");
	ck_assert_uint_eq(http_server_counters(server).held, 1);
	ck_assert_uint_eq(closed_count, 0);
	close(fd);
	peer_settle(loop);
	ck_assert_uint_eq(closed_count, 1);
	ck_assert_uint_eq(closed[0], 1);
	ck_assert_uint_eq(http_server_counters(server).held, 0);
}
END_TEST

/* Half of the connections, no more, and none that says it will close. */
START_TEST(held_are_bounded)
{
	int fds[6];
	const char *last = "GET /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

	free(exchange(last));
	ck_assert_uint_eq(http_server_counters(server).held, 0);
	for (int i = 0; i < 6; i++) {
		fds[i] = peer_connect(path);
		ck_assert(peer_send(loop, fds[i], GET("/hold"), strlen(GET("/hold"))));
		check_has(peer_read_until(loop, fds[i], ".\n"), "GET /hold .");
	}
	ck_assert_uint_eq(http_server_counters(server).held, 4);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	peer_settle(loop);
	ck_assert_uint_eq(closed_count, 4);
}
END_TEST

START_TEST(close_after_reply)
{
	const char *text = "GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/2");
	int fd = peer_connect(path);
	char *answer;

	ck_assert(peer_send(loop, fd, text, strlen(text)));
	answer = peer_read_all(loop, fd, NULL);
	ck_assert_ptr_nonnull(strstr(answer, "Connection: close"));
	ck_assert_ptr_null(strstr(answer, "/2"));
	check_has(answer, "GET /1 .\n");
	ck_assert_uint_eq(handled, 1);
}
END_TEST

START_TEST(says_continue)
{
	const char *head =
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
	int fd = peer_connect(path);

	ck_assert(peer_send(loop, fd, head, strlen(head)));
	free(peer_read_until(loop, fd, "HTTP/1.1 100 Continue\r\n\r\n"));
	ck_assert(peer_send(loop, fd, "{", 1));
	peer_settle(loop);
	ck_assert(peer_send(loop, fd, "}", 1));
	char *answer = peer_read_until(loop, fd, ".\n");
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 200", 12), 0);
	check_has(answer, "POST / {}.");
	close(fd);
}
END_TEST

/* The reply arrives though the client goes on sending what nobody wants. */
START_TEST(too_large_is_told)
{
	static char body[1 << 20];
	const char *head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n";
	int fd = peer_connect(path);

	memset(body, '[', sizeof(body));
	ck_assert(peer_send(loop, fd, head, strlen(head)));
	ck_assert(peer_send(loop, fd, body, sizeof(body)));
	shutdown(fd, SHUT_WR);
	check_has(peer_read_all(loop, fd, NULL), "HTTP/1.1 413 ");
	ck_assert_uint_eq(handled, 0);
	ck_assert_uint_eq(http_server_counters(server).malformed, 1);
}
END_TEST

START_TEST(rubbish)
{
	char *text = exchange("\x16\x03\x01\n");

	ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain"));
	check_has(text, "this request can't be served: ");
	ck_assert_str_eq(text = exchange("GET / HT"), "");
	free(text);
}
END_TEST

/* Eight may be there; the ninth takes the place of the one that has been silent longest. */
START_TEST(silent_clients_make_room)
{
	int fds[8];
	char byte;

	for (int i = 0; i < 8; i++) {
		fds[i] = peer_connect(path);
		peer_settle(loop);
	}
	/* The first one says something, so the second is the oldest. */
	ck_assert(peer_send(loop, fds[0], "G", 1));
	peer_settle(loop);
	check_has(exchange(GET("/new")), "GET /new .");
	ck_assert_int_eq(recv(fds[1], &byte, 1, 0), 0);
	ck_assert_int_lt(recv(fds[0], &byte, 1, 0), 0);
	ck_assert_uint_eq(http_server_counters(server).evicted, 1);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}
END_TEST

/* Replies that nobody reads are bounded in bytes. */
START_TEST(unread_replies)
{
	char *text;
	int fds[5];

	for (int i = 0; i < 5; i++) {
		fds[i] = peer_connect(path);
		ck_assert(peer_send(loop, fds[i], GET("/large"), strlen(GET("/large"))));
		peer_settle(loop);
	}
	ck_assert_uint_eq(handled, 4);
	text = peer_read_until(loop, fds[4], "later\n");
	check_has(text, "HTTP/1.1 503 ");
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	peer_settle(loop);
	check_has(exchange(GET("/again")), "GET /again .");
}
END_TEST

static void start_hasty(void)
{
	struct http_limits limits = {8, 40, 40, 40, 40};

	start(&limits);
}

/* Every byte comes in time, the request doesn't. */
START_TEST(trickle)
{
	int fd = peer_connect(path);
	unsigned sent = 0;

	while (peer_send(loop, fd, "G", 1)) {
		ck_assert_int_eq(loop_run_once(loop, false), 0);
		usleep(1000);
		ck_assert_uint_lt(sent++, 5000);
	}
	ck_assert_uint_eq(http_server_counters(server).connections, 0);
	ck_assert_uint_eq(http_server_counters(server).timeouts, 1);
	close(fd);
}
END_TEST

START_TEST(silence)
{
	int silent = peer_connect(path), unread = peer_connect(path);

	ck_assert(peer_send(loop, unread, GET("/large"), strlen(GET("/large"))));
	free(peer_read_all(loop, silent, NULL));
	while (http_server_counters(server).connections)
		ck_assert_int_eq(loop_run_once(loop, true), 0);
	ck_assert_uint_eq(handled, 1);
	ck_assert_uint_eq(http_server_counters(server).timeouts, 1);
	close(unread);
}
END_TEST

START_TEST(freed_with_connections)
{
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = peer_connect(path);
	ck_assert(peer_send(loop, fds[0], GET("/large"), strlen(GET("/large"))));
	ck_assert(peer_send(loop, fds[1], "GET", 3));
	peer_settle(loop);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http_server");
	TCase *tcase = unit_case(suite, "usual", setup, teardown);
	TCase *hasty = unit_case(suite, "hasty", start_hasty, teardown);

	tcase_add_test(tcase, a_request);
	tcase_add_test(tcase, in_pieces);
	tcase_add_test(tcase, taken_over);
	tcase_add_test(tcase, added);
	tcase_add_test(tcase, in_a_row);
	tcase_add_test(tcase, held);
	tcase_add_test(tcase, held_are_bounded);
	tcase_add_test(tcase, close_after_reply);
	tcase_add_test(tcase, says_continue);
	tcase_add_test(tcase, too_large_is_told);
	tcase_add_test(tcase, rubbish);
	tcase_add_test(tcase, silent_clients_make_room);
	tcase_add_test(tcase, unread_replies);
	tcase_add_test(tcase, freed_with_connections);
	tcase_add_test(hasty, trickle);
	tcase_add_test(hasty, silence);
	return unit_run(suite);
}
