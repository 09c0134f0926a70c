/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting to a QEMU that listens: one that isn't there yet, that goes, and that comes back. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "netstack/link_connector.h"
#include "unit.h"

static struct loop *loop;
static struct link_connector *connector;
static struct link *link_;
static unsigned attached_count, gone_count, frames;
static char path[64];

static void on_receive(void *arg, const struct frame *frame)
{
	(void)arg;
	(void)frame;
	frames++;
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static void on_gone(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
	gone_count++;
	link_destroy(link_);
	link_ = NULL;
}

static const struct link_user user_ops = {
	.receive = on_receive,
	.batch_end = on_nothing,
	.writable = on_nothing,
	.gone = on_gone,
};

static void attached(void *arg, struct link *link)
{
	(void)arg;
	ck_assert_ptr_null(link_);
	attached_count++;
	link_ = link;
	link->user = &user_ops;
}

static const struct link_sink sink = {.attached = attached};

static void rounds(void)
{
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
}

static void later(uint64_t ms)
{
	loop_advance(loop, ms);
	rounds();
}

static void setup(void)
{
	attached_count = gone_count = frames = 0;
	log_set_levels("error");
	snprintf(path, sizeof(path), "/tmp/netproxy-test-connect-%d", (int)getpid());
	unlink(path);
	ck_assert_int_eq(loop_new(&loop), 0);
	loop_use_virtual_time(loop, 1000);
}

static void teardown(void)
{
	link_connector_free(connector);
	link_destroy(link_);
	link_ = NULL;
	loop_free(loop);
	unlink(path);
}

static int accept_one(int listener)
{
	int fd;

	rounds();
	ck_assert_int_eq(sock_accept(listener, &fd, NULL), 0);
	return fd;
}

static void exchange(int fd)
{
	uint8_t bytes[4 + 60] = {0, 0, 0, 60}, got[100];
	struct iovec iov = {bytes + 4, 60};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = 60};
	unsigned before = frames;

	ck_assert_int_eq(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	rounds();
	ck_assert_uint_eq(frames, before + 1);
	ck_assert_int_eq(link_send(link_, &frame, 1), 0);
	link_flush(link_);
	ck_assert_int_eq(recv(fd, got, sizeof(got), MSG_DONTWAIT), sizeof(bytes));
}

START_TEST(comes_and_goes)
{
	int listener, fd;

	ck_assert_int_eq(link_connector_new(loop, path, NULL, &sink, &connector), 0);
	later(5 * LINK_CONNECT_RETRY_MS);
	ck_assert_uint_eq(attached_count, 0);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &listener), 0);
	later(LINK_CONNECT_RETRY_MS);
	for (unsigned i = 1; i <= 3; i++) {
		fd = accept_one(listener);
		ck_assert_uint_eq(attached_count, i);
		exchange(fd);
		close(fd);
		rounds();
		ck_assert_uint_eq(gone_count, i);
		/* Not again at once. */
		later(LINK_CONNECT_RETRY_MS - 1);
		ck_assert_int_lt(sock_accept(listener, &fd, NULL), 0);
		later(1);
	}
	close(listener);
}
END_TEST

/* Its end first, and then the link's. */
START_TEST(link_outlives_it)
{
	int listener, fd;

	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &listener), 0);
	ck_assert_int_eq(link_connector_new(loop, path, NULL, &sink, &connector), 0);
	fd = accept_one(listener);
	exchange(fd);
	link_connector_free(connector);
	connector = NULL;
	exchange(fd);
	close(fd);
	rounds();
	ck_assert_uint_eq(gone_count, 1);
	close(listener);
}
END_TEST

START_TEST(by_tcp)
{
	struct endpoint at = {.port = 0}, bound;
	int listener, fd;

	ck_assert_int_eq(addr_parse("127.0.0.1", &at.addr), 0);
	ck_assert_int_eq(sock_listen_tcp(&at, 10, &listener, &bound), 0);
	ck_assert_int_eq(link_connector_new(loop, NULL, &bound, &sink, &connector), 0);
	fd = accept_one(listener);
	exchange(fd);
	/* Nobody listens any more: it is refused, and tried again. */
	close(listener);
	close(fd);
	rounds();
	ck_assert_uint_eq(gone_count, 1);
	later(3 * LINK_CONNECT_RETRY_MS);
	ck_assert_uint_eq(attached_count, 1);
	ck_assert_int_eq(sock_listen_tcp(&bound, 10, &listener, NULL), 0);
	later(LINK_CONNECT_RETRY_MS);
	fd = accept_one(listener);
	exchange(fd);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(path_too_long)
{
	char text[SOCK_PATH_MAX + 1];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_lt(link_connector_new(loop, text, NULL, &sink, &connector), 0);
	connector = NULL;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_connector");
	TCase *tcase = unit_case(suite, "link_connector", setup, teardown);

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, comes_and_goes);
	tcase_add_test(tcase, link_outlives_it);
	tcase_add_test(tcase, by_tcp);
	tcase_add_test(tcase, path_too_long);
	return unit_run(suite);
}
