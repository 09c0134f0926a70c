/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of virtio/vsock_stream: the buffer behind a full socket, vectors, the handshake line. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "virtio/vsock_stream.h"
#include "unit.h"

static int fds[2];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
}

static void teardown(void)
{
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

START_TEST(buffers_what_the_socket_refuses)
{
	static uint8_t data[3000], got[3000];
	struct vsock_buffer buffer = {0};
	size_t sent_total = 0, left_total = 0, got_total = 0;
	uint8_t next_in = 0, next_out = 0;
	size_t wrong = 0; /* an assertion per byte takes seconds */

	/* Fill the socket until the buffer holds more than its first size, then read in odd pieces
	 * while more comes, so that the ring wraps. */
	for (unsigned round = 0; round < 400; round++) {
		if (buffer.size + sizeof(data) <= 20000) {
			struct iovec iov[2] = {{data, 1001}, {data + 1001, sizeof(data) - 1001}};

			for (size_t i = 0; i < sizeof(data); i++)
				data[i] = next_in++;
			ssize_t left = vsock_stream_send(fds[0], &buffer, 20000, iov, 2);

			ck_assert_int_ge(left, 0);
			left_total += (size_t)left;
			sent_total += sizeof(data);
			ck_assert_uint_eq(sent_total - left_total, buffer.size);
			continue;
		}
		for (unsigned i = 0; i < 3; i++) {
			ssize_t n = recv(fds[1], got, 1777, 0);

			for (ssize_t k = 0; k < n; k++)
				wrong += got[k] != next_out++;
			got_total += n > 0 ? (size_t)n : 0;
		}
		ssize_t left = vsock_stream_flush(fds[0], &buffer);

		ck_assert_int_ge(left, 0);
		left_total += (size_t)left;
	}
	ck_assert_uint_gt(sent_total, 300000);
	for (ssize_t n; buffer.size || got_total < sent_total;) {
		while ((n = recv(fds[1], got, sizeof(got), 0)) > 0) {
			for (ssize_t k = 0; k < n; k++)
				wrong += got[k] != next_out++;
			got_total += (size_t)n;
		}
		ck_assert_int_ge(vsock_stream_flush(fds[0], &buffer), 0);
	}
	ck_assert_uint_eq(got_total, sent_total);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_ptr_null(buffer.bytes);
}
END_TEST

START_TEST(peer_that_is_gone)
{
	struct vsock_buffer buffer = {0};
	struct iovec iov = {"x", 1};

	ck_assert(!vsock_stream_hung_up(fds[0]));
	shutdown(fds[1], SHUT_WR);
	ck_assert(!vsock_stream_hung_up(fds[0]));
	fd_close(&fds[1]);
	ck_assert(vsock_stream_hung_up(fds[0]));
	ck_assert_int_eq(vsock_stream_send(fds[0], &buffer, 100, &iov, 1), -EPIPE);
}
END_TEST

START_TEST(slices_vectors)
{
	char a[] = "abc", b[] = "defgh", c[] = "ij";
	struct iovec iov[3] = {{a, 3}, {b, 5}, {c, 2}};
	struct iovec to[3];
	char got[8];

	ck_assert_uint_eq(vsock_iov_slice(iov, 3, 4, 5, to), 2);
	ck_assert_uint_eq(to[0].iov_len, 4);
	ck_assert_mem_eq(to[0].iov_base, "efgh", 4);
	ck_assert_uint_eq(to[1].iov_len, 1);
	ck_assert_uint_eq(vsock_iov_slice(iov, 3, 10, 0, to), 0);
	ck_assert_uint_eq(vsock_iov_slice(iov, 3, 0, 10, to), 3);
	vsock_iov_read(iov, got, 8);
	ck_assert_mem_eq(got, "abcdefgh", 8);
	vsock_iov_write(iov, "ABCD", 4);
	ck_assert_str_eq(a, "ABC");
	ck_assert_str_eq(b, "Defgh");
}
END_TEST

START_TEST(parses_handshakes)
{
	static const struct {
		const char *line;
		int expected;
		uint32_t port;
	} cases[] = {
		{"CONNECT 22\n", 1, 22},
		{"connect 0\n", 1, 0},
		{"CONNECT 4294967295\n", 1, 4294967295u},
		{"CONNECT 4294967296\n", -EPROTO, 0},
		{"CONNECT \n", -EPROTO, 0},
		{"CONNECT 22 \n", -EPROTO, 0},
		{"CONNECT -1\n", -EPROTO, 0},
		{"CONNECT 2x\n", -EPROTO, 0},
		{"GET / HTTP/1.1\n", -EPROTO, 0},
		{"CONN\n", -EPROTO, 0},
		{"\n", -EPROTO, 0},
		{"CONNECT 00000000000000000000000022", -EPROTO, 0},
		{"CONNECT 000000000000000000000022\n", -EPROTO, 0},
		{"CONN", 0, 0},
		{"CONNECT 2", 0, 0},
		{"", 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t port = 0;

		ck_assert_int_eq(vsock_handshake_parse(cases[i].line, strlen(cases[i].line), &port),
				 cases[i].expected);
		ck_assert_uint_eq(port, cases[i].port);
	}
}
END_TEST

START_TEST(reads_not_beyond_the_line)
{
	char line[VSOCK_HANDSHAKE_MAX];
	size_t size = 0;
	char rest[8];

	ck_assert_int_eq(vsock_handshake_read(fds[0], line, &size), -EAGAIN);
	ck_assert_int_eq(send(fds[1], "CONNE", 5, 0), 5);
	ck_assert_int_eq(vsock_handshake_read(fds[0], line, &size), -EAGAIN);
	ck_assert_uint_eq(size, 5);
	ck_assert_int_eq(send(fds[1], "CT 1\ndata", 9, 0), 9);
	ck_assert_int_eq(vsock_handshake_read(fds[0], line, &size), 1);
	ck_assert_uint_eq(size, 10);
	ck_assert_mem_eq(line, "CONNECT 1\n", 10);
	ck_assert_int_eq(recv(fds[0], rest, sizeof(rest), 0), 4);
	size = 0;
	ck_assert_int_eq(send(fds[1], "CONNECT 0000000000000000000000000001\n", 37, 0), 37);
	ck_assert_int_eq(vsock_handshake_read(fds[0], line, &size), -EPROTO);
	while (recv(fds[0], rest, sizeof(rest), 0) > 0)
		;
	fd_close(&fds[1]);
	size = 0;
	ck_assert_int_eq(vsock_handshake_read(fds[0], line, &size), -ENODATA);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vsock_stream");
	TCase *tcase = unit_case(suite, "vsock_stream", setup, teardown);

	tcase_add_test(tcase, buffers_what_the_socket_refuses);
	tcase_add_test(tcase, peer_that_is_gone);
	tcase_add_test(tcase, slices_vectors);
	tcase_add_test(tcase, parses_handshakes);
	tcase_add_test(tcase, reads_not_beyond_the_line);
	return unit_run(suite);
}
