/* SPDX-License-Identifier: Apache-2.0 */
/* VMN3T: its messages byte for byte, and clients that are slow, wrong, many, or come back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "netstack/link_vpnkit.h"
#include "netstack/vmnet_wire.h"
#include "unit.h"

#define UUID_A "1B671A64-40D5-491e-99b0-da01ff1f3341"
#define UUID_B "1b671a64-40d5-491e-99b0-da01ff1f3342"

static struct loop *loop;
static struct link_vpnkit_listener *listener;
static char path[64];

static struct {
	struct link *link; /* the latest */
	unsigned attached;
	unsigned frames;
	unsigned gone;
	char reason[64];
	struct mac mac; /* that asked for an address */
	struct addr preferred;
	int answer;
} user;

static void on_receive(void *arg, const struct frame *frame)
{
	(void)arg;
	(void)frame;
	user.frames++;
}

static void on_batch_end(void *arg)
{
	(void)arg;
}

static void on_gone(void *arg, const char *reason)
{
	user.gone++;
	snprintf(user.reason, sizeof(user.reason), "%s", reason);
	if (user.link == arg)
		user.link = NULL;
	link_destroy(arg);
}

static const struct link_user user_ops = {
	.receive = on_receive,
	.batch_end = on_batch_end,
	.writable = on_batch_end,
	.gone = on_gone,
};

static void attached(void *arg, struct link *link)
{
	(void)arg;
	user.attached++;
	user.link = link;
	link->user = &user_ops;
	link->user_arg = link;
}

static const struct link_sink sink = {.attached = attached};

static int prefer(void *arg, const struct mac *mac, const struct addr *preferred)
{
	(void)arg;
	user.mac = *mac;
	user.preferred = *preferred;
	return user.answer;
}

static void rounds(void)
{
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
}

static void setup(void)
{
	struct link_vpnkit_conf conf = {.path = path, .mtu = 1500, .sink = &sink, .prefer = prefer};

	memset(&user, 0, sizeof(user));
	log_set_levels("error");
	snprintf(path, sizeof(path), "/tmp/netproxy-test-vpnkit-%d", (int)getpid());
	ck_assert_int_eq(loop_new(&loop), 0);
	loop_use_virtual_time(loop, 1000);
	ck_assert_int_eq(link_vpnkit_listen(loop, &conf, &listener), 0);
}

static void teardown(void)
{
	link_vpnkit_listener_free(listener);
	link_destroy(user.link);
	loop_free(loop);
	ck_assert_int_eq(access(path, F_OK), -1);
}

static int client(void)
{
	int fd;

	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &fd), 0);
	rounds();
	return fd;
}

static void say(int fd, const void *bytes, size_t size)
{
	ck_assert_int_eq(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
	rounds();
}

/* Exactly so many bytes have come. */
static void hear(int fd, uint8_t *to, size_t size)
{
	ck_assert_int_eq(recv(fd, to, 1000, MSG_DONTWAIT), (ssize_t)size);
}

static void expect_end(int fd)
{
	uint8_t byte;

	ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
}

static void command(uint8_t to[static VMNET_COMMAND_SIZE], uint8_t kind, const char *uuid,
		    const uint8_t last[static 4])
{
	to[0] = kind;
	memcpy(to + 1, uuid, VMNET_UUID_SIZE);
	memcpy(to + 37, last, 4);
}

static int greeted(void)
{
	uint8_t hello[VMNET_HELLO_SIZE], theirs[1000];
	int fd = client();

	vmnet_hello_write(hello);
	say(fd, hello, sizeof(hello));
	hear(fd, theirs, VMNET_HELLO_SIZE);
	ck_assert_mem_eq(theirs, "VMN3T\x16\0\0\0", 9);
	return fd;
}

static int introduced(const char *uuid, uint8_t kind, const uint8_t last[static 4],
		      uint8_t answer[static 1000])
{
	uint8_t bytes[VMNET_COMMAND_SIZE];
	int fd = greeted();

	command(bytes, kind, uuid, last);
	say(fd, bytes, sizeof(bytes));
	hear(fd, answer, VMNET_ANSWER_SIZE);
	return fd;
}

static const uint8_t none[4];
static const uint8_t address[4] = {77, 65, 168, 192}; /* little-endian 192.168.65.77 */

START_TEST(introduction)
{
	uint8_t answer[1000], frame[] = {14, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
	struct mac mac = vmnet_mac("1b671a64-40d5-491e-99b0-da01ff1f3341");
	int fd = introduced(UUID_A, 1, none, answer);

	ck_assert_mem_eq(answer, "\x01\xdc\x05\x0e\x06", 5); /* 1500, and 1550 */
	ck_assert_mem_eq(answer + 5, mac.bytes, MAC_SIZE);
	for (unsigned i = 11; i < VMNET_ANSWER_SIZE; i++)
		ck_assert_uint_eq(answer[i], 0);
	ck_assert_uint_eq(mac.bytes[0] & 3, 2); /* one station, locally administered */
	ck_assert_uint_eq(user.preferred.family, AF_UNSPEC);
	say(fd, frame, sizeof(frame));
	ck_assert_uint_eq(user.frames, 1);
	close(fd);
	rounds();
	ck_assert_uint_eq(user.gone, 1);
}
END_TEST

/* Byte by byte, and with frames right behind the command. */
START_TEST(in_pieces)
{
	uint8_t bytes[VMNET_HELLO_SIZE + VMNET_COMMAND_SIZE + 16] = {0}, answer[1000];
	int fd = client();

	vmnet_hello_write(bytes);
	command(bytes + VMNET_HELLO_SIZE, 1, UUID_A, none);
	bytes[VMNET_HELLO_SIZE + VMNET_COMMAND_SIZE] = 14;
	for (size_t i = 0; i < 60; i++)
		say(fd, bytes + i, 1);
	say(fd, bytes + 60, sizeof(bytes) - 60);
	hear(fd, answer, VMNET_HELLO_SIZE + VMNET_ANSWER_SIZE);
	ck_assert_uint_eq(user.attached, 1);
	ck_assert_uint_eq(user.frames, 1);
	close(fd);
	rounds();
}
END_TEST

START_TEST(preferred_address)
{
	static const struct {
		int status;
		const char *text;
	} cases[] = {
		{0, NULL},
		{-EADDRINUSE, "Preferred IP address 192.168.65.77 already used."},
		{-ERANGE, "Preferred IP address out of range."},
	};
	uint8_t answer[1000];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		int fd;

		user.answer = cases[i].status;
		fd = introduced(UUID_B, 8, address, answer);
		ck_assert_uint_eq(addr_v4(&user.preferred), 0xc0a8414d);
		ck_assert_uint_eq(answer[0], text ? 2 : 1);
		if (!text) {
			ck_assert_mem_eq(answer + 5, user.mac.bytes, MAC_SIZE);
			close(fd);
			continue;
		}
		ck_assert_uint_eq(answer[1], strlen(text));
		ck_assert_mem_eq(answer + 2, text, strlen(text) + 1);
		expect_end(fd);
	}
	rounds();
	ck_assert_uint_eq(user.attached, 1);
}
END_TEST

START_TEST(wrong_words)
{
	uint8_t hello[VMNET_HELLO_SIZE], bytes[VMNET_COMMAND_SIZE], answer[1000];
	int fd = client();

	/* Another version: answered, and closed. */
	vmnet_hello_write(hello);
	hello[5] = 21;
	say(fd, hello, sizeof(hello));
	hear(fd, answer, VMNET_HELLO_SIZE);
	ck_assert_uint_eq(answer[5], 22);
	expect_end(fd);
	/* Something else. */
	memcpy(hello, "GET /", 5);
	fd = client();
	say(fd, hello, sizeof(hello));
	expect_end(fd);
	/* An unknown command, and no UUID. */
	for (int i = 0; i < 2; i++) {
		fd = greeted();
		command(bytes, i ? 1 : 7, i ? "1b671a64-40d5-491e-99b0-da01ff1f334g" : UUID_A,
			none);
		say(fd, bytes, sizeof(bytes));
		hear(fd, answer, VMNET_ANSWER_SIZE);
		ck_assert_uint_eq(answer[0], 2);
		ck_assert_uint_gt(answer[1], 0);
		expect_end(fd);
	}
	ck_assert_uint_eq(user.attached, 0);
}
END_TEST

/* Who takes too long goes, and many who do leave room for others in time. */
START_TEST(slow_clients)
{
	int fds[LINK_VPNKIT_HANDSHAKES_MAX], fd;

	for (unsigned i = 0; i < LINK_VPNKIT_HANDSHAKES_MAX; i++)
		fds[i] = client();
	expect_end(client());
	loop_advance(loop, LINK_VPNKIT_HANDSHAKE_MS - 1);
	rounds();
	ck_assert_int_eq(recv(fds[0], &fd, 1, MSG_DONTWAIT), -1);
	loop_advance(loop, 1);
	rounds();
	for (unsigned i = 0; i < LINK_VPNKIT_HANDSHAKES_MAX; i++)
		expect_end(fds[i]);
	close(greeted());
	rounds();
}
END_TEST

/* A UUID in any case is one guest: its new connection takes the place of the old one. */
START_TEST(comes_back)
{
	uint8_t answer[1000], again[1000];
	int a = introduced(UUID_A, 1, none, answer), b;

	b = introduced("1b671a64-40d5-491e-99b0-da01ff1f3341", 1, none, again);
	ck_assert_mem_eq(answer, again, VMNET_ANSWER_SIZE);
	ck_assert_uint_eq(user.attached, 2);
	ck_assert_uint_eq(user.gone, 1);
	ck_assert_str_eq(user.reason, "replaced: its UUID connected again");
	expect_end(a);
	close(b);
	rounds();
	ck_assert_uint_eq(user.gone, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_vpnkit");
	TCase *tcase = unit_case(suite, "link_vpnkit", setup, teardown);

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, introduction);
	tcase_add_test(tcase, in_pieces);
	tcase_add_test(tcase, preferred_address);
	tcase_add_test(tcase, wrong_words);
	tcase_add_test(tcase, slow_clients);
	tcase_add_test(tcase, comes_back);
	return unit_run(suite);
}
