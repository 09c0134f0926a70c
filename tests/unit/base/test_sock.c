/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets, on loopback and in a directory of their own. */
#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

static char dir[64];
static char path[SOCK_PATH_MAX + 8];

static void start(void)
{
	strcpy(dir, "/tmp/netproxy-test-sock-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
}

static void finish(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void assert_flags(int fd)
{
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void accept_one(int listen_fd, int *ret_fd, struct endpoint *ret_peer)
{
	struct pollfd ready = {.fd = listen_fd, .events = POLLIN};

	ck_assert_int_eq(poll(&ready, 1, 5000), 1);
	ck_assert_int_eq(sock_accept(listen_fd, ret_fd, ret_peer), 0);
	assert_flags(*ret_fd);
}

START_TEST(unix_connects)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};

	start();
	for (size_t i = 0; i < 2; i++) {
		int listen_fd;
		int client;
		int server = -1;

		ck_assert_int_eq(sock_listen_unix(path, types[i], &listen_fd), 0);
		assert_flags(listen_fd);
		ck_assert_int_eq(sock_accept(listen_fd, &server, NULL), -EAGAIN);
		ck_assert_int_eq(server, -1);
		ck_assert_int_eq(sock_connect_unix(path, types[i], &client), 0);
		assert_flags(client);
		accept_one(listen_fd, &server, NULL);
		fd_close(&client);
		ck_assert_int_eq(client, -1);
		fd_close(&client);
		fd_close(&server);
		fd_close(&listen_fd);
	}
	finish();
}
END_TEST

START_TEST(unix_takes_over_what_is_stale)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

	start();
	for (size_t i = 0; i < 9; i++) {
		int fd;

		ck_assert_int_eq(sock_listen_unix(path, types[i / 3], &fd), 0);
		fd_close(&fd);
		ck_assert_int_eq(access(path, F_OK), 0);
		ck_assert_int_eq(sock_listen_unix(path, types[i % 3], &fd), 0);
		fd_close(&fd);
	}
	finish();
}
END_TEST

START_TEST(unix_leaves_what_lives)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

	start();
	for (size_t i = 0; i < 9; i++) {
		struct stat before;
		struct stat after;
		int fd;
		int second = -1;

		ck_assert_int_eq(sock_listen_unix(path, types[i / 3], &fd), 0);
		ck_assert_int_eq(stat(path, &before), 0);
		ck_assert_int_eq(sock_listen_unix(path, types[i % 3], &second), -EADDRINUSE);
		ck_assert_int_eq(second, -1);
		ck_assert_int_eq(stat(path, &after), 0);
		ck_assert_uint_eq(before.st_ino, after.st_ino);
		fd_close(&fd);
	}
	finish();
}
END_TEST

START_TEST(unix_leaves_what_lives_with_a_full_backlog)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int clients[2];
	int refused = -1;

	start();
	strcpy(at.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 0), 0);
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &clients[0]), 0);
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &clients[1]), -EAGAIN);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &refused), -EADDRINUSE);
	close(clients[0]);
	close(fd);
	finish();
}
END_TEST

START_TEST(unix_leaves_what_is_no_socket)
{
	char target[SOCK_PATH_MAX];
	struct stat st;
	int fd = -1;

	start();
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &fd), -EEXIST);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(sock_listen_unix(dir, SOCK_STREAM, &fd), -EEXIST);
	/* A link, even to a stale socket. */
	unlink(path);
	snprintf(target, sizeof(target), "%s/t", dir);
	ck_assert_int_eq(sock_listen_unix(target, SOCK_STREAM, &fd), 0);
	fd_close(&fd);
	ck_assert_int_eq(symlink(target, path), 0);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &fd), -EEXIST);
	unlink(target);
	finish();
}
END_TEST

START_TEST(unix_bad_paths)
{
	int fd = -1;

	start();
	ck_assert_int_eq(sock_listen_unix("", SOCK_STREAM, &fd), -EINVAL);
	ck_assert_int_eq(sock_listen_unix("/nonexistent/s", SOCK_STREAM, &fd), -ENOENT);
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &fd), -ENOENT);
	memset(path + strlen(path), 'x', SOCK_PATH_MAX - strlen(path));
	path[SOCK_PATH_MAX] = '\0';
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &fd), -ENAMETOOLONG);
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &fd), -ENAMETOOLONG);
	path[SOCK_PATH_MAX - 1] = '\0';
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &fd), 0);
	fd_close(&fd);
	finish();
}
END_TEST

/* Connects to 127.0.0.1 at `port`; returns where the client is. */
static int connect_v4(uint16_t port, struct endpoint *ret_local)
{
	struct endpoint to = {.addr = addr_from_v4(INADDR_LOOPBACK), .port = port};
	struct sockaddr_storage sa;
	socklen_t sa_size = endpoint_to_sockaddr(&to, &sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sa_size), 0);
	sa_size = sizeof(sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &sa_size), 0);
	ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&sa, ret_local), 0);
	return fd;
}

START_TEST(tcp_connects)
{
	static const char *const texts[] = {"127.0.0.1:0", "0.0.0.0:0", ":0"};

	for (size_t i = 0; i < 3; i++) {
		struct endpoint at;
		struct endpoint local;
		struct endpoint peer;
		int listen_fd;
		int client;
		int server;

		ck_assert_int_eq(endpoint_parse(texts[i], true, &at), 0);
		ck_assert_int_eq(sock_listen_tcp(&at, 16, &listen_fd, &at), 0);
		assert_flags(listen_fd);
		ck_assert_uint_ne(at.port, 0);
		client = connect_v4(at.port, &local);
		accept_one(listen_fd, &server, &peer);
		ck_assert(endpoint_equal(&local, &peer));
		close(client);
		close(server);
		close(listen_fd);
	}
}
END_TEST

START_TEST(tcp_port_in_use)
{
	struct endpoint at = {.addr = addr_from_v4(INADDR_LOOPBACK)};
	struct endpoint where = {.port = 7};
	int first;
	int second = -1;

	ck_assert_int_eq(sock_listen_tcp(&at, 16, &first, &at), 0);
	ck_assert_int_eq(sock_listen_tcp(&at, 16, &second, &where), -EADDRINUSE);
	ck_assert_int_eq(second, -1);
	ck_assert_uint_eq(where.port, 7);
	close(first);
	ck_assert_int_eq(sock_listen_tcp(&at, 16, &first, NULL), 0);
	close(first);
}
END_TEST

START_TEST(tcp_address_of_somebody_else)
{
	struct endpoint at;
	int fd = -1;

	ck_assert_int_eq(endpoint_parse("192.0.2.1:0", true, &at), 0);
	ck_assert_int_eq(sock_listen_tcp(&at, 16, &fd, NULL), -EADDRNOTAVAIL);
	ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(udp_binds_alone)
{
	static const char *const texts[] = {"127.0.0.1:0", ":0"};

	for (size_t i = 0; i < 2; i++) {
		struct endpoint at;
		int first;
		int second = -1;

		ck_assert_int_eq(endpoint_parse(texts[i], true, &at), 0);
		ck_assert_int_eq(sock_bind_udp(&at, &first, &at), 0);
		assert_flags(first);
		ck_assert_uint_ne(at.port, 0);
		ck_assert_int_eq(sock_bind_udp(&at, &second, NULL), -EADDRINUSE);
		close(first);
	}
}
END_TEST

START_TEST(nonblocking)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(fd_set_nonblocking(fds[0]), 0);
	ck_assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	ck_assert_int_eq(fd_set_nonblocking(fds[0]), 0);
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(fd_set_nonblocking(-1), -EBADF);
}
END_TEST

int main(void)
{
	return unit_main("sock", NULL, NULL,
			 (const TTest *[]){
				 unix_connects,
				 unix_takes_over_what_is_stale,
				 unix_leaves_what_lives,
				 unix_leaves_what_lives_with_a_full_backlog,
				 unix_leaves_what_is_no_socket,
				 unix_bad_paths,
				 tcp_connects,
				 tcp_port_in_use,
				 tcp_address_of_somebody_else,
				 udp_binds_alone,
				 nonblocking,
				 NULL,
			 });
}
