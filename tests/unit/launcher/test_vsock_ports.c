/* SPDX-License-Identifier: Apache-2.0 */
/* guest.%08x: a relay to netproxy's vsock socket, which a test plays here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/state_dir.h"
#include "launcher/vsock_ports.h"
#include "unit.h"

static char folder[] = "/tmp/np-vsock-XXXXXX";
static struct loop *loop;
static struct vsock_ports *ports;
static int device, client, guest;

static void run_a_while(void)
{
	for (int i = 0; i < 20; i++)
		loop_run_once(loop, false);
}

static void setup(void)
{
	const uint32_t numbers[] = {2374, 5000};
	struct problem problem;
	char path[SOCK_PATH_MAX];

	strcpy(folder, "/tmp/np-vsock-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(loop_new(&loop), 0);
	snprintf(path, sizeof(path), "%s/vsock.sock_connect", folder);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &device), 0);
	ck_assert_int_eq(vsock_ports_new(loop, folder, "vsock.sock", numbers, 2, &ports, &problem),
			 0);
	client = guest = -1;
}

static void teardown(void)
{
	struct state_dir dir = {.lock_fd = -1, .temporary = true};

	fd_close(&client);
	fd_close(&guest);
	vsock_ports_free(ports);
	fd_close(&device);
	loop_free(loop);
	strcpy(dir.path, folder);
	state_dir_close(&dir);
}

/* A client at the port's socket, and what the device sees of it. */
static void connect_both(const char *name)
{
	char path[SOCK_PATH_MAX], line[64] = "";

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &client), 0);
	run_a_while();
	ck_assert_int_eq(sock_accept(device, &guest, NULL), 0);
	ck_assert_int_gt(recv(guest, line, sizeof(line) - 1, 0), 0);
	ck_assert_str_eq(line,
			 strcmp(name, "guest.00000946") == 0 ? "CONNECT 2374\n" : "CONNECT 5000\n");
}

static void expect(int fd, const char *text)
{
	char got[64] = "";

	run_a_while();
	ck_assert_int_eq(recv(fd, got, sizeof(got) - 1, 0), (ssize_t)strlen(text));
	ck_assert_str_eq(got, text);
}

START_TEST(test_both_ways)
{
	connect_both("guest.00000946");
	/* Said before the guest has answered; and the guest's first word comes with the answer. */
	ck_assert_int_eq(send(client, "hello", 5, 0), 5);
	run_a_while();
	ck_assert_int_lt(recv(guest, (char[1]){0}, 1, 0), 0);
	ck_assert_int_eq(send(guest, "OK 77\nwelcome", 13, 0), 13);
	expect(client, "welcome");
	expect(guest, "hello");
	/* Half-close, and then the rest. */
	shutdown(client, SHUT_WR);
	run_a_while();
	ck_assert_int_eq(recv(guest, (char[1]){0}, 1, 0), 0);
	ck_assert_int_eq(send(guest, "bye", 3, 0), 3);
	expect(client, "bye");
	fd_close(&guest);
	run_a_while();
	ck_assert_int_eq(recv(client, (char[1]){0}, 1, 0), 0);
}
END_TEST

START_TEST(test_refused_by_the_guest)
{
	connect_both("guest.00001388");
	fd_close(&guest);
	run_a_while();
	ck_assert_int_eq(recv(client, (char[1]){0}, 1, 0), 0);
}
END_TEST

/* Who doesn't read stops the other side: what is held is bounded. */
START_TEST(test_back_pressure)
{
	static char block[65536];
	size_t sent = 0, received = 0;
	ssize_t n;

	connect_both("guest.00000946");
	ck_assert_int_eq(send(guest, "OK 1\n", 5, 0), 5);
	run_a_while();
	for (int i = 0; i < 100; i++) {
		while ((n = send(client, block, sizeof(block), MSG_DONTWAIT)) > 0)
			sent += (size_t)n;
		run_a_while();
	}
	ck_assert_uint_lt(sent, 4 << 20);
	while (received < sent) {
		n = recv(guest, block, sizeof(block), MSG_DONTWAIT);
		if (n > 0)
			received += (size_t)n;
		else
			run_a_while();
	}
	ck_assert_uint_eq(received, sent);
}
END_TEST

/* The host's program listens at host.%08x, and the device finds it by its own name for the port. */
START_TEST(test_host_side)
{
	char path[SOCK_PATH_MAX];
	int listener;

	snprintf(path, sizeof(path), "%s/host.00000946", folder);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &listener), 0);
	snprintf(path, sizeof(path), "%s/vsock.sock_2374", folder);
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &client), 0);
	fd_close(&listener);
	vsock_ports_free(ports);
	ports = NULL;
	ck_assert_int_lt(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/guest.00000946", folder);
	ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_answer)
{
	ck_assert_int_eq(vsock_ports_answer("OK 1\n", 5), 1);
	ck_assert_int_eq(vsock_ports_answer("O", 1), 0);
	ck_assert_int_eq(vsock_ports_answer("OK 4294967295", 13), 0);
	ck_assert_int_eq(vsock_ports_answer("OK 4294967295\n", 14), 1);
	ck_assert_int_eq(vsock_ports_answer("", 0), 0);
	ck_assert_int_eq(vsock_ports_answer("NO\n", 3), -EPROTO);
	ck_assert_int_eq(vsock_ports_answer("OK\n", 3), -EPROTO);
	ck_assert_int_eq(vsock_ports_answer("OK 1111111111111111111111111111", 31), 0);
	ck_assert_int_eq(vsock_ports_answer("OK 11111111111111111111111111111", 32), -EPROTO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_vsock_ports");
	TCase *tcase = unit_case(suite, "vsock_ports", setup, teardown);

	tcase_add_test(tcase, test_both_ways);
	tcase_add_test(tcase, test_refused_by_the_guest);
	tcase_add_test(tcase, test_back_pressure);
	tcase_add_test(tcase, test_host_side);
	tcase_add_test(tcase, test_answer);
	return unit_run(suite);
}
