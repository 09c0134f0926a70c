/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framed streams beside QEMU's (test_link_stream.c): the 16-bit framing, pipes, and bytes that were
 * read before the link was there.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "netstack/link_framed.h"
#include "unit.h"

static struct loop *loop;
static struct link *link_;
static int peer = -1;

static size_t put_le16(uint8_t *to, uint32_t size, uint8_t fill_with)
{
	to[0] = (uint8_t)size;
	to[1] = (uint8_t)(size >> 8);
	memset(to + 2, fill_with, size);
	return 2 + size;
}

static struct {
	unsigned count;
	uint32_t bytes;
	unsigned batches;
	unsigned writable;
	unsigned gone;
} counted;

static void count_frame(void *arg, const struct frame *frame)
{
	(void)arg;
	ck_assert_mem_eq((uint8_t *)frame->iov[0].iov_base + frame->size - 1,
			 frame->iov[0].iov_base, 1);
	counted.count++;
	counted.bytes += frame->size;
}

static void on_batch_end(void *arg)
{
	(void)arg;
	counted.batches++;
}

static void on_writable(void *arg)
{
	(void)arg;
	counted.writable++;
}

static void on_gone(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
	counted.gone++;
}

static const struct link_user counting_ops = {
	.receive = count_frame,
	.batch_end = on_batch_end,
	.writable = on_writable,
	.gone = on_gone,
};

static void round_of_loop(void)
{
	ck_assert_int_eq(loop_run_once(loop, false), 0);
}

static void setup(void)
{
	memset(&counted, 0, sizeof(counted));
	ck_assert_int_eq(loop_new(&loop), 0);
}

static void teardown(void)
{
	link_destroy(link_);
	link_ = NULL;
	fd_close(&peer);
	loop_free(loop);
}

static void open_le16(int fd, int out_fd, const void *early, size_t early_size)
{
	struct link_framed_conf conf = {
		.framing = FRAMING_LE16,
		.name = "le16",
		.fd = fd,
		.out_fd = out_fd,
		.early = early,
		.early_size = early_size,
	};

	ck_assert_int_eq(link_framed_new(loop, &conf, &link_), 0);
	link_->user = &counting_ops;
}

/* On one end of a socketpair; the other is `peer`. */
static void open_socket(const void *early, size_t early_size)
{
	int sockets[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	peer = sockets[1];
	open_le16(sockets[0], -1, early, early_size);
}

/* Any length can be said; what is too short for a frame, even nothing, is skipped. */
START_TEST(le16_takes_every_length)
{
	static const uint32_t sizes[] = {0, 1, 13, 14, 60, 1514, 65535, 0, 14};
	static uint8_t bytes[2 + 65535];

	open_socket(NULL, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t size = put_le16(bytes, sizes[i], (uint8_t)(i + 1));

		ck_assert_int_eq(write(peer, bytes, size), (ssize_t)size);
		round_of_loop();
	}
	ck_assert_uint_eq(counted.count, 5);
	ck_assert_uint_eq(counted.bytes, 14 + 60 + 1514 + 65535 + 14);
	ck_assert_uint_eq(link_->counters.rx_invalid, 4);
	ck_assert_uint_eq(counted.gone, 0);
}
END_TEST

/* Frames that came with a request's header are delivered, and one that was cut goes on. */
START_TEST(early_bytes_are_frames)
{
	static uint8_t bytes[LINK_FRAMED_EARLY_MAX + 1];
	size_t size = put_le16(bytes, 100, 1);
	struct link_framed_conf conf = {.framing = FRAMING_LE16, .name = "", .out_fd = -1};
	struct link *link;

	size += put_le16(bytes + size, 200, 2);
	open_socket(bytes, size - 50);
	ck_assert_uint_eq(counted.count, 0); /* its user is only just there */
	round_of_loop();
	ck_assert_uint_eq(counted.count, 1);
	ck_assert_uint_gt(counted.batches, 0);
	ck_assert_int_eq(write(peer, bytes + size - 50, 50), 50);
	round_of_loop();
	ck_assert_uint_eq(counted.count, 2);
	ck_assert_uint_eq(counted.bytes, 300);

	conf.early = bytes;
	conf.early_size = sizeof(bytes);
	conf.fd = dup(peer);
	ck_assert_int_eq(link_framed_new(loop, &conf, &link), -EMSGSIZE);
}
END_TEST

/* Two pipes, as standard input and output are: both directions, a full pipe, and the end. */
START_TEST(pipes)
{
	static uint8_t bytes[2 + 60000];
	struct iovec iov = {bytes, 60000};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = 60000};
	size_t size = put_le16(bytes, 1000, 7), total = 0;
	int in[2], out[2], status;
	unsigned sent = 0;
	ssize_t got;

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	open_le16(in[0], out[1], NULL, 0);
	ck_assert_int_eq(write(in[1], bytes, size), (ssize_t)size);
	round_of_loop();
	ck_assert_uint_eq(counted.count, 1);

	while ((status = link_send(link_, &frame, 1)) == 0)
		sent++;
	ck_assert_int_eq(status, -EAGAIN);
	ck_assert_uint_ge(sent, 1);
	round_of_loop();
	ck_assert_uint_eq(counted.writable, 0);
	fd_set_nonblocking(out[0]);
	while (total < sent * 60002) {
		got = read(out[0], bytes, sizeof(bytes));
		total += got > 0 ? (size_t)got : 0;
		round_of_loop();
	}
	ck_assert_uint_eq(total, sent * 60002);
	round_of_loop();
	ck_assert_uint_eq(counted.writable, 1);
	fd_close(&in[1]);
	round_of_loop();
	ck_assert_uint_eq(counted.gone, 1);
	ck_assert_int_eq(link_send(link_, &frame, 1), -EPIPE);
	fd_close(&out[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_framed");
	TCase *tcase = unit_case(suite, "link_framed", setup, teardown);

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, le16_takes_every_length);
	tcase_add_test(tcase, early_bytes_are_frames);
	tcase_add_test(tcase, pipes);
	return unit_run(suite);
}
