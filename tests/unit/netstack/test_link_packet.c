/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames as messages on connected sockets: borders, sizes, buffers that are kept, back-pressure,
 * and ends. Every test runs on SOCK_SEQPACKET and on SOCK_DGRAM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "netstack/link_listener.h"
#include "netstack/link_packet.h"
#include "unit.h"

static const int types[] = {SOCK_SEQPACKET, SOCK_DGRAM};

static struct loop *loop;
static struct link *link_;
static int peer = -1;

static struct {
	unsigned frames;
	uint64_t bytes;
	unsigned batches;
	unsigned writable;
	unsigned gone;
	unsigned attached;
	bool keep;
	struct iobuf *kept[1000];
	const uint8_t *kept_at[1000];
	unsigned kept_count;
} user;

static void on_receive(void *arg, const struct frame *frame)
{
	const uint8_t *bytes = frame->iov[0].iov_base;

	(void)arg;
	ck_assert_uint_eq(frame->iov_count, 1);
	ck_assert_uint_eq(frame->iov[0].iov_len, frame->size);
	ck_assert_uint_eq(bytes[0], (uint8_t)user.frames);
	ck_assert_uint_eq(bytes[frame->size - 1], (uint8_t)user.frames);
	if (user.keep && frame->buf) {
		user.kept_at[user.kept_count] = bytes;
		user.kept[user.kept_count++] = iobuf_ref(frame->buf);
	}
	user.frames++;
	user.bytes += frame->size;
}

static void on_batch_end(void *arg)
{
	(void)arg;
	user.batches++;
}

static void on_writable(void *arg)
{
	(void)arg;
	user.writable++;
}

static void on_gone(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
	user.gone++;
}

static const struct link_user user_ops = {
	.receive = on_receive,
	.batch_end = on_batch_end,
	.writable = on_writable,
	.gone = on_gone,
};

static void attached(void *arg, struct link *link)
{
	(void)arg;
	user.attached++;
	link_destroy(link_);
	link_ = link;
	link->user = &user_ops;
}

static const struct link_sink sink = {.attached = attached};

static void round_of_loop(void)
{
	ck_assert_int_eq(loop_run_once(loop, false), 0);
}

static void set_up(int type)
{
	int sockets[2];

	memset(&user, 0, sizeof(user));
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, type, 0, sockets), 0);
	peer = sockets[1];
	ck_assert_int_eq(fd_set_nonblocking(peer), 0);
	ck_assert_int_eq(link_packet_open(loop, sockets[0], "test", &sink), 0);
}

static void tear_down(void)
{
	link_destroy(link_);
	link_ = NULL;
	for (unsigned i = 0; i < user.kept_count; i++)
		iobuf_unref(user.kept[i]);
	fd_close(&peer);
	loop_free(loop);
}

static void put(unsigned n, size_t size)
{
	static uint8_t bytes[FRAME_SIZE_MAX + 100];

	memset(bytes, (int)(n & 0xff), size);
	while (send(peer, bytes, size, 0) < 0) {
		ck_assert_int_eq(errno, EAGAIN);
		round_of_loop();
	}
}

/* Sizes around every border, more of them than one batch takes; small ones stay when kept. */
START_TEST(messages_are_frames)
{
	static const size_t sizes[] = {14, 60, 1514, 4096, 4097, 9014, FRAME_SIZE_MAX};
	unsigned n = 0;

	set_up(types[_i]);
	user.keep = true;
	for (; n < 40 * sizeof(sizes) / sizeof(*sizes); n++)
		put(n, sizes[n % (sizeof(sizes) / sizeof(*sizes))]);
	for (int i = 0; i < 20; i++)
		round_of_loop();
	ck_assert_uint_eq(user.frames, n);
	ck_assert_uint_eq(user.bytes, 40 * (14 + 60 + 1514 + 4096 + 4097 + 9014 + FRAME_SIZE_MAX));
	ck_assert_uint_eq(link_->counters.rx_frames, n);
	ck_assert_uint_eq(user.kept_count, 4 * 40);
	for (unsigned i = 0, at = 0; i < n; i++) {
		if (i % 7 < 4)
			ck_assert_uint_eq(user.kept_at[at++][13], (uint8_t)i);
	}
	tear_down();
}
END_TEST

START_TEST(what_is_no_frame_is_counted)
{
	set_up(types[_i]);
	put(0, 13);
	put(0, FRAME_SIZE_MAX + 1);
	put(0, FRAME_SIZE_MAX + 99);
	put(0, 14);
	for (int i = 0; i < 5; i++)
		round_of_loop();
	ck_assert_uint_eq(user.frames, 1);
	ck_assert_uint_eq(link_->counters.rx_invalid, 3);
	ck_assert_uint_eq(user.gone, 0);
	tear_down();
}
END_TEST

static int send_frame(unsigned n, unsigned count, size_t size)
{
	static uint8_t bytes[64][9000];
	struct iovec iov[64][2];
	struct frame frames[64];

	for (unsigned i = 0; i < count; i++) {
		memset(bytes[i], (int)((n + i) & 0xff), size);
		iov[i][0] = (struct iovec){bytes[i], 14};
		iov[i][1] = (struct iovec){bytes[i] + 14, size - 14};
		frames[i] = (struct frame){.iov = iov[i], .iov_count = 2, .size = (uint32_t)size};
	}
	return link_send(link_, frames, count);
}

/* Reads what has come; frame n is the next. Returns how many there were. */
static unsigned take(unsigned n, size_t size)
{
	uint8_t bytes[9001];
	unsigned count = 0;

	while (recv(peer, bytes, sizeof(bytes), 0) == (ssize_t)size) {
		ck_assert_uint_eq(bytes[0], (uint8_t)(n + count));
		ck_assert_uint_eq(bytes[size - 1], (uint8_t)(n + count));
		count++;
	}
	return count;
}

START_TEST(small_frames_wait_for_flush)
{
	set_up(types[_i]);
	for (unsigned i = 0; i < 9; i++)
		ck_assert_int_eq(send_frame(i, 1, 100), 0);
	ck_assert_uint_eq(take(0, 100), 0);
	link_flush(link_);
	ck_assert_uint_eq(take(0, 100), 9);
	/* A large one takes them along, in order. */
	ck_assert_int_eq(send_frame(9, 1, 1000), 0);
	ck_assert_int_eq(send_frame(10, 1, 9000), 0);
	ck_assert_uint_eq(take(9, 1000), 1);
	tear_down();
}
END_TEST

/* All or nothing; nothing is lost, doubled or out of order, and `writable` comes once for each
 * stop.
 */
START_TEST(back_pressure)
{
	unsigned n = 0, seen = 0, refused = 0;

	set_up(types[_i]);
	while (refused < 20) {
		unsigned writable = user.writable;
		int status = send_frame(n, 40, 1400);

		if (status == 0) {
			n += 40;
			continue;
		}
		ck_assert_int_eq(status, -EAGAIN);
		ck_assert_int_eq(send_frame(n, 1, 1400), -EAGAIN);
		refused++;
		round_of_loop();
		ck_assert_uint_eq(user.writable, writable);
		while (user.writable == writable) {
			seen += take(seen, 1400);
			round_of_loop();
		}
		ck_assert_uint_eq(user.writable, writable + 1);
	}
	link_flush(link_);
	for (int i = 0; i < 100 && seen < n; i++) {
		seen += take(seen, 1400);
		round_of_loop();
	}
	ck_assert_uint_eq(seen, n);
	ck_assert_uint_eq(link_->counters.tx_full, 2 * refused);
	ck_assert_uint_eq(link_->counters.tx_dropped, 0);
	tear_down();
}
END_TEST

START_TEST(the_end)
{
	set_up(types[_i]);
	put(0, 100);
	fd_close(&peer);
	round_of_loop();
	round_of_loop();
	ck_assert_uint_eq(user.frames, 1);
	/* Who goes without a connection is missed when something is sent. */
	ck_assert_uint_eq(user.gone, types[_i] == SOCK_SEQPACKET ? 1 : 0);
	ck_assert_int_eq(send_frame(0, 1, 9000), -EPIPE);
	round_of_loop();
	ck_assert_uint_eq(user.gone, 1);
	link_flush(link_);
	ck_assert_int_eq(send_frame(0, 1, 100), -EPIPE);
	round_of_loop();
	ck_assert_uint_eq(user.gone, 1);
	tear_down();
}
END_TEST

START_TEST(bess_serves_again_and_again)
{
	struct link_listener *listener;
	char path[] = "/tmp/netproxy-test-XXXXXX";

	set_up(SOCK_SEQPACKET);
	close(mkstemp(path));
	unlink(path);
	ck_assert_int_eq(link_listen_bess(loop, path, &sink, &listener), 0);
	for (unsigned i = 0; i < 5; i++) {
		fd_close(&peer);
		ck_assert_int_eq(sock_connect_unix(path, SOCK_SEQPACKET, &peer), 0);
		round_of_loop();
		ck_assert_uint_eq(user.attached, 2 + i);
		user.frames = 0;
		put(0, 1000);
		round_of_loop();
		ck_assert_uint_eq(user.frames, 1);
	}
	link_listener_free(listener);
	ck_assert_int_eq(access(path, F_OK), -1);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_packet");
	TCase *tcase = unit_case(suite, "link_packet", NULL, NULL);

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, messages_are_frames, 0, 2);
	tcase_add_loop_test(tcase, what_is_no_frame_is_counted, 0, 2);
	tcase_add_loop_test(tcase, small_frames_wait_for_flush, 0, 2);
	tcase_add_loop_test(tcase, back_pressure, 0, 2);
	tcase_add_loop_test(tcase, the_end, 0, 2);
	tcase_add_test(tcase, bess_serves_again_and_again);
	return unit_run(suite);
}
