/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's framing over a socketpair: frames cut anywhere, buffers that are kept, back-pressure, and
 * ends of all kinds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/sock.h"
#include "netstack/link_framed.h"
#include "netstack/link_listener.h"
#include "sim/sim_packet.h"
#include "unit.h"

static struct loop *loop;
static struct link *link_;
static int peer; /* the guest's end, non-blocking */

/* What the link's user saw. Frame n has a size and content that follow from n. */
static struct {
	uint32_t next; /* frame expected */
	unsigned batches;
	unsigned writable;
	unsigned gone;
	unsigned attached;
	unsigned unowned;
	char reason[128];
	bool keep; /* take a reference to every frame's buffer */
	struct iobuf *kept[8000];
	const uint8_t *kept_at[8000];
	unsigned kept_count;
	bool destroy_when_gone;
} user;

static uint32_t size_of(uint32_t n)
{
	struct sim_random random = sim_random(n + 1);
	uint32_t r = sim_random_range(&random, 0, 9);

	if (r == 0)
		return n % 2 ? FRAME_SIZE_MAX : 14;
	return r < 3 ? sim_random_range(&random, 14, 65000) : sim_random_range(&random, 14, 1514);
}

static uint8_t byte_of(uint32_t n, uint32_t at)
{
	return (uint8_t)(n * 31 + at * 7 + (at >> 8));
}

static void fill(uint32_t n, uint8_t *to)
{
	for (uint32_t i = 0; i < size_of(n); i++)
		to[i] = byte_of(n, i);
}

static void check_bytes(uint32_t n, const uint8_t *bytes)
{
	static uint8_t right[FRAME_SIZE_MAX];

	fill(n, right);
	ck_assert_mem_eq(bytes, right, size_of(n));
}

static void on_receive(void *arg, const struct frame *frame)
{
	(void)arg;
	ck_assert_uint_eq(frame->iov_count, 1);
	ck_assert_uint_eq(frame->size, size_of(user.next));
	ck_assert_uint_eq(frame->iov[0].iov_len, frame->size);
	check_bytes(user.next, frame->iov[0].iov_base);
	if (!frame->buf)
		user.unowned++;
	if (user.keep && frame->buf && user.kept_count < 8000) {
		user.kept_at[user.kept_count] = frame->iov[0].iov_base;
		user.kept[user.kept_count++] = iobuf_ref(frame->buf);
	}
	user.next++;
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
	user.gone++;
	snprintf(user.reason, sizeof(user.reason), "%s", reason);
	if (user.destroy_when_gone) {
		link_destroy(link_);
		link_ = NULL;
	}
}

static const struct link_user user_ops = {
	.receive = on_receive,
	.batch_end = on_batch_end,
	.writable = on_writable,
	.gone = on_gone,
};

static void round_of_loop(void)
{
	ck_assert_int_eq(loop_run_once(loop, false), 0);
}

static void attached(void *arg, struct link *link)
{
	(void)arg;
	user.attached++;
	link->user = &user_ops;
	if (link_)
		link_destroy(link_);
	link_ = link;
}

static const struct link_sink to_attached = {.attached = attached};

static void setup(void)
{
	int sockets[2];

	memset(&user, 0, sizeof(user));
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	peer = sockets[1];
	ck_assert_int_eq(fd_set_nonblocking(peer), 0);
	ck_assert_int_eq(
		link_framed_open(loop, sockets[0], FRAMING_QEMU, NULL, 0, "test", &to_attached), 0);
}

static void teardown(void)
{
	link_destroy(link_);
	link_ = NULL;
	/* Buffers outlive their link. */
	for (unsigned i = 0; i < user.kept_count; i++)
		iobuf_unref(user.kept[i]);
	fd_close(&peer);
	loop_free(loop);
}

static size_t put_frame(uint32_t n, uint8_t *to)
{
	uint32_t size = size_of(n);

	to[0] = (uint8_t)(size >> 24);
	to[1] = (uint8_t)(size >> 16);
	to[2] = (uint8_t)(size >> 8);
	to[3] = (uint8_t)size;
	fill(n, to + 4);
	return 4 + size;
}

/* Writes frames 0 to count - 1 in pieces of random sizes, with the loop running in between. */
static void write_frames(uint32_t count, uint32_t piece_max, uint64_t seed)
{
	static uint8_t bytes[4 + FRAME_SIZE_MAX];
	struct sim_random random = sim_random(seed);

	for (uint32_t n = 0; n < count; n++) {
		size_t size = put_frame(n, bytes), at = 0;

		while (at < size) {
			size_t piece = sim_random_range(&random, 1, piece_max);
			ssize_t sent;

			piece = piece < size - at ? piece : size - at;
			sent = write(peer, bytes + at, piece);
			ck_assert(sent > 0 || errno == EAGAIN);
			at += sent > 0 ? (size_t)sent : 0;
			if (sent < 0 || sim_random_range(&random, 0, 9) == 0)
				round_of_loop();
		}
	}
	for (int i = 0; i < 20; i++)
		round_of_loop();
	ck_assert_uint_eq(user.next, count);
}

START_TEST(receives_in_pieces)
{
	write_frames(300, 200000, sim_random_seed("receives_in_pieces", 1));
	ck_assert_uint_eq(link_->counters.rx_frames, 300);
	ck_assert_uint_gt(user.batches, 0);
	ck_assert_uint_eq(user.unowned, 0);
}
END_TEST

START_TEST(receives_byte_by_byte)
{
	write_frames(6, 3, 2);
}
END_TEST

START_TEST(kept_frames_stay)
{
	user.keep = true;
	write_frames(400, 200000, sim_random_seed("kept_frames_stay", 3));
	ck_assert_uint_eq(user.kept_count, 400);
	for (uint32_t n = 0; n < 400; n++)
		check_bytes(n, user.kept_at[n]);
}
END_TEST

/* Who keeps everything doesn't grow the link's memory without bound: frames come unowned then. */
START_TEST(pool_is_bounded)
{
	user.keep = true;
	write_frames(7000, 500000, 4);
	ck_assert_uint_gt(user.unowned, 100);
	for (uint32_t n = 0; n < user.kept_count; n += 50) {
		/* Owned frames came first, without a gap. */
		check_bytes(n, user.kept_at[n]);
	}
	/* When they are released, buffers are lent again. */
	for (unsigned i = 0; i < user.kept_count; i++)
		iobuf_unref(user.kept[i]);
	user.kept_count = 0;
	user.keep = false;
	user.unowned = 0;
	user.next = 0;
	write_frames(200, 500000, 5);
	ck_assert_uint_lt(user.unowned, 200);
}
END_TEST

START_TEST(bad_length_ends)
{
	static const struct {
		uint8_t prefix[4];
		unsigned gone;
	} cases[] = {
		{{0, 0, 0, 0}, 1},    {{0, 1, 0, 14}, 1}, /* FRAME_SIZE_MAX + 1 */
		{{0x80, 0, 0, 0}, 1}, {{'G', 'E', 'T', ' '}, 1}, {{0, 1, 0, 13}, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t bytes[4 + FRAME_SIZE_MAX];

		ck_assert_int_gt(write(peer, bytes, put_frame(0, bytes)), 0);
		ck_assert_int_eq(write(peer, cases[i].prefix, 4), 4);
		round_of_loop();
		round_of_loop();
		ck_assert_uint_eq(user.next, 1);
		ck_assert_msg(user.gone == cases[i].gone, "case %zu", i);
		teardown();
		setup();
	}
}
END_TEST

START_TEST(runts_are_counted)
{
	uint8_t bytes[4 + FRAME_SIZE_MAX] = {0, 0, 0, 13};
	size_t size = 17 + put_frame(0, bytes + 17);

	ck_assert_int_eq(write(peer, bytes, size), (ssize_t)size);
	round_of_loop();
	ck_assert_uint_eq(user.next, 1);
	ck_assert_uint_eq(link_->counters.rx_invalid, 1);
	ck_assert_uint_eq(user.gone, 0);
}
END_TEST

START_TEST(end_is_told_once)
{
	uint8_t bytes[4 + FRAME_SIZE_MAX];
	struct iovec iov = {bytes, 100};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = 100};
	size_t size = put_frame(0, bytes);

	ck_assert_int_eq(write(peer, bytes, size), (ssize_t)size);
	ck_assert_int_eq(write(peer, bytes, 3), 3);
	fd_close(&peer);
	round_of_loop();
	round_of_loop();
	ck_assert_uint_eq(user.next, 1);
	ck_assert_uint_eq(user.gone, 1);
	ck_assert_str_eq(user.reason, "closed by the guest's side in the middle of a frame");
	ck_assert_int_eq(link_send(link_, &frame, 1), -EPIPE);
	link_flush(link_);
	round_of_loop();
	ck_assert_uint_eq(user.gone, 1);
}
END_TEST

START_TEST(sending_to_nobody)
{
	static uint8_t bytes[9000];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = sizeof(bytes)};

	user.destroy_when_gone = true;
	fd_close(&peer);
	ck_assert_int_eq(link_send(link_, &frame, 1), -EPIPE);
	ck_assert_uint_eq(user.gone, 0); /* not from within the call */
	round_of_loop();
	ck_assert_uint_eq(user.gone, 1);
	ck_assert_ptr_null(link_);
}
END_TEST

/* What the guest's end reads; frames are checked to be those after `next`. */
struct reader {
	uint8_t bytes[4 + FRAME_SIZE_MAX];
	size_t size;
	uint32_t next;
};

static struct reader reader;

/* Reads up to `max` bytes; returns how many there were. */
static size_t reader_read(size_t max)
{
	size_t total = 0;

	while (total < max) {
		size_t want = 4, room;
		ssize_t got;

		if (reader.size >= 4)
			want += (size_t)reader.bytes[1] << 16 | (size_t)reader.bytes[2] << 8 |
				reader.bytes[3];
		ck_assert_uint_le(want, sizeof(reader.bytes));
		if (reader.size >= 4 && reader.size == want) {
			ck_assert_uint_eq(want - 4, size_of(reader.next));
			check_bytes(reader.next++, reader.bytes + 4);
			reader.size = 0;
			continue;
		}
		room = want - reader.size < max - total ? want - reader.size : max - total;
		got = read(peer, reader.bytes + reader.size, room);
		if (got <= 0)
			break;
		reader.size += (size_t)got;
		total += (size_t)got;
	}
	return total;
}

/* Sends frames n to n + count - 1 in one call, in pieces. */
static int send_frames(uint32_t n, unsigned count)
{
	static uint8_t bytes[16][FRAME_SIZE_MAX];
	struct iovec iov[16][3];
	struct frame frames[16];

	for (unsigned i = 0; i < count; i++) {
		uint32_t size = size_of(n + i);

		fill(n + i, bytes[i]);
		iov[i][0] = (struct iovec){bytes[i], 14};
		iov[i][1] = (struct iovec){bytes[i] + 14, (size - 14) / 3};
		iov[i][2] = (struct iovec){bytes[i] + 14 + (size - 14) / 3,
					   size - 14 - (size - 14) / 3};
		frames[i] = (struct frame){.iov = iov[i], .iov_count = 3, .size = size};
	}
	return link_send(link_, frames, count);
}

START_TEST(sends_in_order)
{
	memset(&reader, 0, sizeof(reader));
	for (uint32_t n = 0; n < 300; n++) {
		ck_assert_int_eq(send_frames(n, 1), 0);
		if (n % 7 == 0)
			link_flush(link_);
		reader_read(SIZE_MAX);
	}
	link_flush(link_);
	reader_read(SIZE_MAX);
	ck_assert_uint_eq(reader.next, 300);
	ck_assert_uint_eq(reader.size, 0);
	ck_assert_uint_eq(link_->counters.tx_frames, 300);
}
END_TEST

START_TEST(small_frames_wait_for_flush)
{
	uint32_t n = 0;

	memset(&reader, 0, sizeof(reader));
	while (size_of(n) > 1500)
		n++;
	reader.next = n;
	ck_assert_int_eq(send_frames(n, 1), 0);
	ck_assert_uint_eq(reader_read(SIZE_MAX), 0);
	link_flush(link_);
	ck_assert_uint_eq(reader_read(SIZE_MAX), 4 + size_of(n));
	/* A large one takes them along, in order. */
	ck_assert_int_eq(send_frames(n, 1), 0);
	for (reader.next = n; size_of(n + 1) < 3000; n++)
		ck_assert_int_eq(send_frames(n + 1, 1), 0);
	ck_assert_int_eq(send_frames(n + 1, 1), 0);
	reader_read(SIZE_MAX);
	ck_assert_uint_eq(reader.next, n + 2);
}
END_TEST

static void push_back(struct sim_random *random, uint32_t frames)
{
	uint32_t n = 0;
	unsigned refused = 0;

	while (n < frames) {
		unsigned count = sim_random_range(random, 1, 5), writable = user.writable;
		uint64_t bytes = 0;
		int status;

		for (unsigned i = 0; i < count; i++)
			bytes += size_of(n + i);
		status = send_frames(n, count);
		if (status == 0) {
			n += count;
			if (sim_random_range(random, 0, 9) == 0)
				link_flush(link_);
			continue;
		}
		/* More than a super-frame's worth of segments may be refused for good. */
		if (status == -EMSGSIZE) {
			ck_assert_uint_gt(bytes, 150000);
			ck_assert_int_eq(send_frames(n, 1), 0);
			n++;
			continue;
		}
		ck_assert_int_eq(status, -EAGAIN);
		refused++;
		ck_assert_int_eq(send_frames(n, 1), -EAGAIN);
		/* Until there is room it isn't told so, and it's told once. */
		round_of_loop();
		ck_assert_uint_eq(user.writable, writable);
		while (user.writable == writable) {
			reader_read(sim_random_range(random, 1, 100000));
			round_of_loop();
		}
		ck_assert_uint_eq(user.writable, writable + 1);
	}
	link_flush(link_);
	for (int i = 0; i < 100; i++) {
		reader_read(SIZE_MAX);
		round_of_loop();
	}
	ck_assert_uint_eq(reader.next, n);
	ck_assert_uint_gt(refused, 5);
	ck_assert_uint_eq(link_->counters.tx_full, 2 * refused);
}

START_TEST(back_pressure)
{
	struct sim_random random = sim_random(sim_random_seed("back_pressure", 1));

	memset(&reader, 0, sizeof(reader));
	push_back(&random, 3000);
}
END_TEST

START_TEST(too_large_is_refused_whole)
{
	static uint8_t bytes[FRAME_SIZE_MAX + 1];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct frame frames[2] = {
		{.iov = &(struct iovec){bytes, 100}, .iov_count = 1, .size = 100},
		{.iov = &iov, .iov_count = 1, .size = sizeof(bytes)},
	};

	ck_assert_int_eq(link_send(link_, frames, 2), -EMSGSIZE);
	link_flush(link_);
	ck_assert_int_eq(read(peer, bytes, 1), -1);
}
END_TEST

START_TEST(listener_serves_again_and_again)
{
	struct link_listener *listener, *second;
	char path[] = "/tmp/netproxy-test-XXXXXX";
	int fd;

	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(link_listen_qemu_unix(loop, path, &to_attached, &listener), -EEXIST);
	unlink(path);
	ck_assert_int_eq(link_listen_qemu_unix(loop, path, &to_attached, &listener), 0);
	ck_assert_int_eq(link_listen_qemu_unix(loop, path, &to_attached, &second), -EADDRINUSE);
	round_of_loop(); /* the probe that found it alive */
	user.attached = 0;
	for (unsigned i = 1; i <= 10; i++) {
		fd_close(&peer);
		ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &peer), 0);
		round_of_loop();
		ck_assert_uint_eq(user.attached, i);
		user.next = 0;
		write_frames(20, 70000, i);
	}
	link_listener_free(listener);
	ck_assert_int_ne(access(path, F_OK), 0);
	/* The last link lives on. */
	user.next = 0;
	write_frames(20, 70000, 1);
}
END_TEST

static void keep_name(void *arg, struct link *link)
{
	strcpy(arg, link->name);
	link_destroy(link);
}

/* Rules know a link by its name, so none may be cut. */
START_TEST(longest_path_in_a_name)
{
	char path[SOCK_PATH_MAX], name[LINK_NAME_MAX] = "", expected[LINK_NAME_MAX + 16];
	struct link_sink sink = {.attached = keep_name, .arg = name};
	struct link_listener *listener;

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	memcpy(path, "/tmp/", 5);
	unlink(path);
	ck_assert_int_eq(link_listen_qemu_unix(loop, path, &sink, &listener), 0);
	fd_close(&peer);
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &peer), 0);
	for (int i = 0; i < 1000 && !name[0]; i++)
		round_of_loop();
	snprintf(expected, sizeof(expected), "qemu:%s #1", path);
	ck_assert_str_eq(name, expected);
	link_listener_free(listener);
}
END_TEST

START_TEST(listener_on_tcp)
{
	struct link_listener *listener;
	struct endpoint at, busy;
	struct sockaddr_storage sa;
	socklen_t sa_size;
	int fd;

	ck_assert_int_eq(endpoint_parse("127.0.0.1:0", true, &at), 0);
	/* A port that is free now. */
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &busy), 0);
	ck_assert_int_eq(link_listen_qemu_tcp(loop, &busy, &to_attached, &listener), -EADDRINUSE);
	close(fd);
	ck_assert_int_eq(link_listen_qemu_tcp(loop, &busy, &to_attached, &listener), 0);
	fd_close(&peer);
	peer = socket(AF_INET, SOCK_STREAM, 0);
	sa_size = endpoint_to_sockaddr(&busy, &sa);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&sa, sa_size), 0);
	ck_assert_int_eq(fd_set_nonblocking(peer), 0);
	for (int i = 0; i < 1000 && !user.attached; i++)
		round_of_loop();
	ck_assert_uint_eq(user.attached, 1);
	write_frames(20, 3000, 1);
	link_listener_free(listener);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_stream");
	TCase *tcase = unit_case(suite, "link_stream", setup, teardown);

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, receives_in_pieces);
	tcase_add_test(tcase, receives_byte_by_byte);
	tcase_add_test(tcase, kept_frames_stay);
	tcase_add_test(tcase, pool_is_bounded);
	tcase_add_test(tcase, bad_length_ends);
	tcase_add_test(tcase, runts_are_counted);
	tcase_add_test(tcase, end_is_told_once);
	tcase_add_test(tcase, sending_to_nobody);
	tcase_add_test(tcase, sends_in_order);
	tcase_add_test(tcase, small_frames_wait_for_flush);
	tcase_add_test(tcase, back_pressure);
	tcase_add_test(tcase, too_large_is_refused_whole);
	tcase_add_test(tcase, listener_serves_again_and_again);
	tcase_add_test(tcase, longest_path_in_a_name);
	tcase_add_test(tcase, listener_on_tcp);
	return unit_run(suite);
}
