/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that send datagrams to a path: connected ones as vfkit and libkrun make them, and others
 * as QEMU does; several at a time, those that don't read, that vanish, and that come back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sock.h"
#include "netstack/link_dgram.h"
#include "unit.h"

#define GUESTS_MAX 8

static struct loop *loop;
static struct link_dgram_listener *listener;
static char directory[] = "/tmp/netproxy-test-XXXXXX";
static char path[64];

/* What each link's user saw, in the order in which they came. */
static struct user {
	struct link *link; /* NULL: gone */
	unsigned frames;
	uint8_t last; /* byte of the last frame */
	enum frame_csum csum;
	unsigned batches;
	unsigned writable;
	char reason[64];
} users[GUESTS_MAX];
static unsigned user_count;

static void on_receive(void *arg, const struct frame *frame)
{
	struct user *user = arg;

	user->frames++;
	user->csum = frame->csum;
	user->last = ((const uint8_t *)frame->iov[0].iov_base)[frame->size - 1];
}

static void on_batch_end(void *arg)
{
	((struct user *)arg)->batches++;
}

static void on_writable(void *arg)
{
	((struct user *)arg)->writable++;
}

static void on_gone(void *arg, const char *reason)
{
	struct user *user = arg;

	snprintf(user->reason, sizeof(user->reason), "%s", reason);
	link_destroy(user->link);
	user->link = NULL;
}

static const struct link_user user_ops = {
	.receive = on_receive,
	.batch_end = on_batch_end,
	.writable = on_writable,
	.gone = on_gone,
};

static void attached(void *arg, struct link *link)
{
	struct user *user = &users[user_count++];

	(void)arg;
	ck_assert_uint_le(user_count, GUESTS_MAX);
	*user = (struct user){.link = link};
	link->user = &user_ops;
	link->user_arg = user;
}

static const struct link_sink sink = {.attached = attached};

static void rounds(void)
{
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
}

static void listen_as(bool vfkit, const char *remote)
{
	struct link_dgram_conf conf = {
		.kind = vfkit ? "vfkit" : "dgram",
		.path = path,
		.remote = remote,
		.vfkit = vfkit,
		.mtu = 1500,
		.sink = &sink,
	};

	ck_assert_int_eq(link_dgram_listen(loop, &conf, &listener), 0);
}

static void setup(void)
{
	strcpy(directory, "/tmp/netproxy-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/net", directory);
	ck_assert_int_eq(loop_new(&loop), 0);
	memset(users, 0, sizeof(users));
	user_count = 0;
	listener = NULL;
}

static void teardown(void)
{
	char command[128];

	for (unsigned i = 0; i < user_count; i++)
		link_destroy(users[i].link);
	link_dgram_listener_free(listener);
	loop_free(loop);
	ck_assert_int_eq(access(path, F_OK), -1);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	ck_assert_int_eq(system(command), 0);
}

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(at.sun_path, sizeof(at.sun_path), "%.64s/%s", directory, name);
	return at;
}

/* A client bound to a path of its own, connected to ours or not. */
static int client(const char *name, bool connected)
{
	struct sockaddr_un own = address_of(name), to = address_of("net");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	unlink(own.sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	if (connected)
		ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void put(int fd, const void *bytes, size_t size)
{
	struct sockaddr_un to = address_of("net");
	ssize_t sent = send(fd, bytes, size, 0);

	if (sent < 0 && errno == ENOTCONN)
		sent = sendto(fd, bytes, size, 0, (struct sockaddr *)&to, sizeof(to));
	ck_assert_int_eq(sent, (ssize_t)size);
}

static void put_frame(int fd, uint8_t byte)
{
	uint8_t bytes[100];

	memset(bytes, byte, sizeof(bytes));
	put(fd, bytes, sizeof(bytes));
	rounds();
}

static int send_frame(struct link *link, uint8_t byte, size_t size)
{
	uint8_t bytes[9000];
	struct iovec iov = {bytes, size};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = (uint32_t)size};
	int status;

	memset(bytes, byte, size);
	status = link_send(link, &frame, 1);
	link_flush(link);
	return status;
}

static void expect(int fd, uint8_t byte)
{
	uint8_t bytes[9000];
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

	ck_assert_int_gt(got, 0);
	ck_assert_uint_eq(bytes[got - 1], byte);
}

/* Every sender is a guest of its own, and its frames go to it alone; _i: whether it's connected. */
START_TEST(addresses_are_guests)
{
	int a, b;

	listen_as(_i, NULL);
	a = client("a", _i);
	b = client("b", _i);
	put_frame(a, 1);
	put_frame(b, 2);
	put_frame(a, 3);
	ck_assert_uint_eq(user_count, 2);
	ck_assert_uint_eq(users[0].frames, 2);
	ck_assert_uint_eq(users[0].last, 3);
	ck_assert_uint_ge(users[0].batches, 2);
	ck_assert_uint_eq(users[1].frames, 1);
	ck_assert_str_ne(users[0].link->name, users[1].link->name);
	ck_assert_int_eq(send_frame(users[0].link, 10, 1000), 0);
	ck_assert_int_eq(send_frame(users[1].link, 11, 9000), 0);
	expect(a, 10);
	expect(b, 11);
	close(a);
	close(b);
}
END_TEST

/* The greeting is no frame, and a second one is a new beginning. */
START_TEST(vfkit_greets)
{
	int a;

	listen_as(true, NULL);
	a = client("a", true);
	put(a, "VFKT", 4);
	rounds();
	ck_assert_uint_eq(user_count, 1);
	ck_assert_uint_eq(users[0].frames, 0);
	ck_assert_uint_eq(users[0].link->counters.rx_invalid, 0);
	put_frame(a, 1);
	ck_assert_uint_eq(users[0].frames, 1);
	put(a, "VFKT", 4);
	rounds();
	ck_assert_uint_eq(user_count, 2);
	ck_assert_ptr_null(users[0].link);
	put(a, "XYZ!", 4);
	rounds();
	ck_assert_uint_eq(users[1].link->counters.rx_invalid, 1);
	close(a);
}
END_TEST

/* A connected client comes back by another socket: its old link goes at once, not when somebody
 * sends to it. */
START_TEST(connected_client_comes_back)
{
	int a;

	listen_as(true, NULL);
	a = client("a", true);
	put_frame(a, 1);
	for (unsigned i = 1; i < 5; i++) {
		close(a);
		a = client("a", true);
		put_frame(a, 2);
		ck_assert_uint_eq(user_count, i + 1);
		ck_assert_ptr_null(users[i - 1].link);
		ck_assert_uint_eq(users[i].frames, 1);
		ck_assert_int_eq(send_frame(users[i].link, 7, 5000), 0);
		expect(a, 7);
	}
	close(a);
}
END_TEST

START_TEST(who_has_gone_is_missed)
{
	int a;

	listen_as(_i, NULL);
	a = client("a", _i);
	put_frame(a, 1);
	close(a);
	rounds();
	ck_assert_ptr_nonnull(users[0].link);
	ck_assert_int_eq(send_frame(users[0].link, 1, 5000), -EPIPE);
	ck_assert_ptr_nonnull(users[0].link); /* not from within the call */
	rounds();
	ck_assert_ptr_null(users[0].link);
	ck_assert_str_eq(users[0].reason, "closed by the guest's side");
}
END_TEST

/* One that isn't connected is the same guest, when its side is there again before we noticed. */
START_TEST(path_is_back)
{
	int a;

	listen_as(false, NULL);
	a = client("a", false);
	put_frame(a, 1);
	close(a);
	a = client("a", false);
	ck_assert_int_eq(send_frame(users[0].link, 5, 5000), 0);
	expect(a, 5);
	put_frame(a, 2);
	ck_assert_uint_eq(user_count, 1);
	ck_assert_uint_eq(users[0].frames, 2);
	close(a);
}
END_TEST

/* Who doesn't read is pushed back, and doesn't hold up another one; _i: connected. */
START_TEST(back_pressure)
{
	unsigned sent = 0, seen = 0;
	uint8_t bytes[9000];
	int a, b;

	listen_as(_i, NULL);
	a = client("a", _i);
	b = -1;
	put_frame(a, 1);
	while (send_frame(users[0].link, 1, 3000) == 0)
		sent++;
	ck_assert_uint_ge(sent, 1);
	b = client("b", _i);
	put_frame(b, 1);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_int_eq(send_frame(users[1].link, 2, 3000), 0);
		expect(b, 2);
	}
	rounds();
	ck_assert_uint_eq(users[0].writable, 0);
	ck_assert_int_eq(send_frame(users[0].link, 1, 100), -EAGAIN);
	for (int i = 0; i < 1000 && seen < sent; i++) {
		while (recv(a, bytes, sizeof(bytes), 0) == 3000)
			seen++;
		rounds();
	}
	ck_assert_uint_eq(seen, sent);
	ck_assert_uint_eq(users[0].writable, 1);
	ck_assert_int_eq(send_frame(users[0].link, 9, 3000), 0);
	expect(a, 9);
	close(a);
	close(b);
}
END_TEST

/* Whoever connected before the path got a new socket isn't lost. */
START_TEST(connected_at_the_same_time)
{
	int a, b, c;

	listen_as(true, NULL);
	a = client("a", true);
	b = client("b", true);
	put_frame(a, 1);
	c = client("c", true);
	put_frame(c, 3);
	put_frame(b, 2);
	ck_assert_uint_eq(user_count, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(send_frame(users[i].link, (uint8_t)(20 + i), 3000), 0);
	expect(a, 20);
	expect(c, 21);
	expect(b, 22);
	close(a);
	close(b);
	close(c);
}
END_TEST

START_TEST(nobody_without_an_address)
{
	struct sockaddr_un to = address_of("net");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	uint8_t bytes[100] = {0};

	listen_as(false, NULL);
	ck_assert_int_eq(sendto(fd, bytes, 100, 0, (struct sockaddr *)&to, sizeof(to)), 100);
	rounds();
	ck_assert_uint_eq(user_count, 0);
	close(fd);
}
END_TEST

/* With remote= it is one guest, wherever it sends from, and it's there before it says anything. */
START_TEST(remote_is_given)
{
	struct sockaddr_un at = address_of("a");
	int a = client("a", false), nameless = socket(AF_UNIX, SOCK_DGRAM, 0);

	listen_as(false, at.sun_path);
	ck_assert_uint_eq(user_count, 1);
	ck_assert_int_eq(send_frame(users[0].link, 4, 3000), 0);
	expect(a, 4);
	put_frame(nameless, 1);
	put_frame(a, 2);
	ck_assert_uint_eq(user_count, 1);
	ck_assert_uint_eq(users[0].frames, 2);
	/* It goes, and is there again when it speaks. */
	close(a);
	ck_assert_int_eq(send_frame(users[0].link, 4, 3000), -EPIPE);
	rounds();
	ck_assert_ptr_null(users[0].link);
	a = client("a", false);
	put_frame(a, 3);
	ck_assert_uint_eq(user_count, 2);
	ck_assert_int_eq(send_frame(users[1].link, 6, 3000), 0);
	expect(a, 6);
	close(a);
	close(nameless);
}
END_TEST

/* What was asked for last goes on until the user has heard. */
START_TEST(listener_ends_first)
{
	int a = -1;

	listen_as(true, NULL);
	a = client("a", true);
	put_frame(a, 1);
	link_dgram_listener_free(listener);
	listener = NULL;
	ck_assert_int_eq(send_frame(users[0].link, 1, 100), -EPIPE);
	rounds();
	ck_assert_ptr_null(users[0].link);
	close(a);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_dgram");
	TCase *tcase = unit_case(suite, "link_dgram", setup, teardown);

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, addresses_are_guests, 0, 2);
	tcase_add_test(tcase, vfkit_greets);
	tcase_add_test(tcase, connected_client_comes_back);
	tcase_add_loop_test(tcase, who_has_gone_is_missed, 0, 2);
	tcase_add_test(tcase, path_is_back);
	tcase_add_loop_test(tcase, back_pressure, 0, 2);
	tcase_add_test(tcase, connected_at_the_same_time);
	tcase_add_test(tcase, nobody_without_an_address);
	tcase_add_test(tcase, remote_is_given);
	tcase_add_test(tcase, listener_ends_first);
	return unit_run(suite);
}
