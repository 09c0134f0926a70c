/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's decisions: what listens, what of it is published, and what is done about it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "agent/agent_options.h"
#include "agent/agent_policy.h"
#include "agent/frame_buffer.h"
#include "agent/publisher.h"
#include "unit.h"

static struct listeners listeners;
static struct agent_policy policy;
static struct agent_wanted wanted[AGENT_WANTED_MAX];
static struct publisher publisher;
static struct addr own6;

static void setup(void)
{
	listeners.count = 0;
	listeners.overflow = false;
	policy = (struct agent_policy){.tcp = true, .udp = true};
	publisher.count = 0;
	own6 = (struct addr){.family = AF_UNSPEC};
}

static void listen_at(bool udp, const char *addr, uint16_t port, bool v6_only)
{
	struct listener *one = &listeners.at[listeners.count++];

	*one = (struct listener){.udp = udp, .port = port, .v6_only = v6_only};
	ck_assert_int_eq(addr_parse(addr, &one->addr), 0);
}

static size_t apply(void)
{
	return agent_policy_apply(&policy, &listeners, &own6, wanted);
}

/* "tcp :80, udp 10.0.0.1:53, relay ..." of what is wanted. */
static const char *words(void)
{
	static char text[512];
	char at[ENDPOINT_TEXT_MAX];
	size_t count = apply(), size = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		struct endpoint remote = {.addr = wanted[i].remote, .port = wanted[i].port};

		size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s %s", i ? ", " : "",
					 wanted[i].relay ? "relay"
					 : wanted[i].udp ? "udp"
							 : "tcp",
					 endpoint_format(&remote, at));
	}
	return text;
}

/* ---- What listens ---- */

static size_t put_socket(uint8_t *to, sa_family_t family, const char *addr, uint16_t port,
			 bool v6_only)
{
	struct nlmsghdr header = {.nlmsg_type = SOCK_DIAG_BY_FAMILY};
	struct inet_diag_msg msg = {.idiag_family = (uint8_t)family, .idiag_inode = 7};
	struct nlattr attr = {.nla_len = sizeof(attr) + 1, .nla_type = INET_DIAG_SKV6ONLY};
	size_t size = sizeof(header) + sizeof(msg) + (v6_only ? NLA_ALIGN(attr.nla_len) : 0);

	msg.id.idiag_sport = htons(port);
	ck_assert_int_eq(inet_pton(family, addr, msg.id.idiag_src), 1);
	header.nlmsg_len = (uint32_t)size;
	memset(to, 0, size);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), &msg, sizeof(msg));
	if (v6_only) {
		memcpy(to + sizeof(header) + sizeof(msg), &attr, sizeof(attr));
		to[sizeof(header) + sizeof(msg) + sizeof(attr)] = 1;
	}
	return size;
}

START_TEST(test_diag)
{
	uint8_t batch[1024];
	struct nlmsghdr done = {.nlmsg_len = sizeof(done), .nlmsg_type = NLMSG_DONE};
	int error = 0;
	size_t size = put_socket(batch, AF_INET, "0.0.0.0", 8080, false);

	size += put_socket(batch + size, AF_INET6, "::", 8081, true);
	size += put_socket(batch + size, AF_INET6, "::ffff:10.0.0.1", 8082, false);
	size += put_socket(batch + size, AF_INET6, "::", 8083, false);
	ck_assert_int_eq(listeners_add_diag(&listeners, false, batch, size, &error), DIAG_MORE);
	ck_assert_uint_eq(listeners.count, 4);
	ck_assert(listeners.at[1].v6_only && !listeners.at[3].v6_only);
	ck_assert_uint_eq(listeners.at[0].inode, 7);
	ck_assert_str_eq(words(), "tcp :8080, tcp 10.0.0.1:8082, tcp :8083");
	addr_parse("fd00::9", &own6);
	ck_assert_str_eq(words(), "tcp :8080, tcp [fd00::9]:8081, tcp 10.0.0.1:8082, tcp :8083");
	/* Cut anywhere, it is still no more than what is there as a whole. */
	for (size_t cut = 0; cut < size; cut++) {
		uint8_t *copy = malloc(cut + 1);

		memcpy(copy, batch, cut);
		listeners.count = 0;
		listeners_add_diag(&listeners, false, copy, cut, &error);
		ck_assert_uint_lt(listeners.count, 4);
		free(copy);
	}
	memcpy(batch, &done, sizeof(done));
	ck_assert_int_eq(listeners_add_diag(&listeners, false, batch, size, &error), DIAG_DONE);
}
END_TEST

START_TEST(test_diag_error)
{
	struct {
		struct nlmsghdr header;
		int error;
	} message = {.header = {.nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_ERROR},
		     .error = -ENOENT};
	int error = 0;

	ck_assert_int_eq(listeners_add_diag(&listeners, false, &message, sizeof(message), &error),
			 DIAG_FAILED);
	ck_assert_int_eq(error, -ENOENT);
	message.error = 5;
	listeners_add_diag(&listeners, false, &message, sizeof(message), &error);
	ck_assert_int_eq(error, -EPROTO);
}
END_TEST

START_TEST(test_proc)
{
	char tcp[] =
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
		"   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0"
		"        0 11 1 0000000000000000 100 0 0 10 0\n"
		"   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0"
		"        0 12 1 0000000000000000 100 0 0 10 0\n"
		"   2: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0"
		"        0 13 1 0000000000000000 100 0 0 10 0\n"
		"nonsense\n";
	char udp6[] = "   7: 00000000000000000000000001000000:14E9 "
		      "00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 "
		      "00000000   0 0 14 2 0000000000000000 0\n";

	listeners_add_proc(&listeners, false, tcp);
	ck_assert_uint_eq(listeners.count, 2);
	ck_assert_uint_eq(listeners.at[0].port, 631);
	ck_assert_uint_eq(listeners.at[0].inode, 11);
	ck_assert(addr_is_loopback(&listeners.at[0].addr));
	listeners_add_proc(&listeners, true, udp6);
	ck_assert_uint_eq(listeners.count, 3);
	ck_assert(listeners.at[2].udp && addr_is_loopback(&listeners.at[2].addr));
	ck_assert_str_eq(words(), "tcp :8080");
}
END_TEST

START_TEST(test_too_many)
{
	uint8_t one[256];
	int error;
	size_t size = put_socket(one, AF_INET, "0.0.0.0", 8080, false);

	for (unsigned i = 0; i < LISTENERS_MAX + 5; i++)
		listeners_add_diag(&listeners, false, one, size, &error);
	ck_assert_uint_eq(listeners.count, LISTENERS_MAX);
	ck_assert(listeners.overflow);
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		listeners.at[i].port = (uint16_t)(2000 + i);
	ck_assert_uint_eq(apply(), AGENT_WANTED_MAX);
}
END_TEST

/* ---- What is wanted ---- */

START_TEST(test_policy_defaults)
{
	policy.ephemeral_first = 32768;
	policy.ephemeral_last = 60999;
	listen_at(false, "0.0.0.0", 22, false);
	listen_at(false, "0.0.0.0", 40000, false);
	listen_at(false, "127.0.0.1", 9000, false);
	listen_at(true, "0.0.0.0", 68, false);
	listen_at(true, "0.0.0.0", 40000, false);
	listen_at(true, "0.0.0.0", 5000, false);
	listen_at(true, "224.0.0.251", 5353, false);
	listen_at(false, "fe80::1", 7000, false);
	ck_assert_str_eq(words(), "tcp :40000, udp :5000");
	policy.privileged = true;
	ck_assert_str_eq(words(), "tcp :22, tcp :40000, udp :5000");
	policy.udp = false;
	policy.loopback = true;
	ck_assert_str_eq(words(), "tcp :22, relay 127.0.0.1:9000, tcp :40000");
}
END_TEST

START_TEST(test_policy_rules)
{
	struct agent_rules *include = &policy.include, *exclude = &policy.exclude;

	listen_at(false, "0.0.0.0", 22, false);
	listen_at(false, "0.0.0.0", 8080, false);
	listen_at(true, "0.0.0.0", 8080, false);
	listen_at(false, "0.0.0.0", 8081, false);
	ck_assert_int_eq(agent_rule_parse("tcp:8080-8090", &exclude->at[exclude->count++]), 0);
	ck_assert_str_eq(words(), "udp :8080");
	ck_assert_int_eq(agent_rule_parse("22", &include->at[include->count++]), 0);
	ck_assert_str_eq(words(), "tcp :22");
	ck_assert_int_eq(agent_rule_parse("8080", &include->at[include->count++]), 0);
	ck_assert_str_eq(words(), "tcp :22, udp :8080");
	static const char *const bad[] = {"",  "0",      "65536", "80-", "90-80",
					  "x", "sctp:1", "80 ",   "-1"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct agent_rule rule;

		ck_assert_int_eq(agent_rule_parse(bad[i], &rule), -EINVAL);
	}
}
END_TEST

/* Of several sockets at one port, the one that most can reach. */
START_TEST(test_policy_best)
{
	policy.loopback = true;
	listen_at(false, "127.0.0.1", 8080, false);
	ck_assert_str_eq(words(), "relay 127.0.0.1:8080");
	listen_at(false, "fd00::2", 8080, false);
	ck_assert_str_eq(words(), "tcp [fd00::2]:8080");
	listen_at(false, "192.168.65.2", 8080, false);
	ck_assert_str_eq(words(), "tcp 192.168.65.2:8080");
	listen_at(false, "::", 8080, true);
	ck_assert_str_eq(words(), "tcp 192.168.65.2:8080");
	listen_at(false, "::", 8080, false);
	ck_assert_str_eq(words(), "tcp :8080");
}
END_TEST

/* ---- What is done ---- */

START_TEST(test_publisher)
{
	struct publisher_port *port;

	listen_at(false, "0.0.0.0", 8080, false);
	listen_at(false, "0.0.0.0", 8081, false);
	publisher_want(&publisher, wanted, apply());
	port = publisher_next(&publisher, 0);
	ck_assert_uint_eq(port->wanted.port, 8080);
	ck_assert(publisher_done(&publisher, port, PUBLISHER_OK, 0));
	port = publisher_next(&publisher, 0);
	ck_assert_uint_eq(port->wanted.port, 8081);
	/* A failure is said once, and tried again. */
	ck_assert(publisher_done(&publisher, port, PUBLISHER_TAKEN, 1000));
	ck_assert_ptr_null(publisher_next(&publisher, 1000 + PUBLISHER_RETRY_MS - 1));
	port = publisher_next(&publisher, 1000 + PUBLISHER_RETRY_MS);
	ck_assert_uint_eq(port->wanted.port, 8081);
	ck_assert(!publisher_done(&publisher, port, PUBLISHER_REFUSED, 20000));
	ck_assert_ptr_null(publisher_next(&publisher, 20000 + PUBLISHER_REFUSED_MS - 1));
	port = publisher_next(&publisher, 20000 + PUBLISHER_REFUSED_MS);
	ck_assert(publisher_done(&publisher, port, PUBLISHER_OK, 90000));
	ck_assert_ptr_null(publisher_next(&publisher, 1000000));
	ck_assert(publisher_has(&publisher, 8080) && !publisher_has(&publisher, 8082));
	ck_assert_uint_eq(publisher_up(&publisher), 2);
}
END_TEST

START_TEST(test_publisher_leaves)
{
	struct publisher_port *port;

	listen_at(false, "0.0.0.0", 8080, false);
	publisher_want(&publisher, wanted, apply());
	publisher_done(&publisher, publisher_next(&publisher, 0), PUBLISHER_OK, 0);
	/* The same port at another address: the old one goes first. */
	listeners.count = 0;
	listen_at(false, "192.168.65.2", 8080, false);
	publisher_want(&publisher, wanted, apply());
	port = publisher_next(&publisher, 0);
	ck_assert_int_eq(port->state, PUBLISHER_LEAVING);
	publisher_done(&publisher, port, PUBLISHER_OK, 0);
	port = publisher_next(&publisher, 0);
	ck_assert_int_eq(port->state, PUBLISHER_NEW);
	ck_assert_int_eq(port->wanted.remote.family, AF_INET);
	publisher_done(&publisher, port, PUBLISHER_OK, 0);
	/* Gone and back before anything was done about it. */
	publisher_want(&publisher, wanted, 0);
	publisher_want(&publisher, wanted, apply());
	ck_assert_ptr_null(publisher_next(&publisher, 0));
	/* What was never published needs no taking back. */
	publisher_lost(&publisher);
	publisher_want(&publisher, wanted, 0);
	ck_assert_uint_eq(publisher.count, 0);
}
END_TEST

START_TEST(test_publisher_lost)
{
	for (uint16_t i = 0; i < 10; i++)
		listen_at(false, "0.0.0.0", (uint16_t)(8000 + i), false);
	publisher_want(&publisher, wanted, apply());
	for (int i = 0; i < 9; i++)
		publisher_done(&publisher, publisher_next(&publisher, 0), PUBLISHER_OK, 0);
	publisher_done(&publisher, publisher_next(&publisher, 0), PUBLISHER_TAKEN, 0);
	publisher_want(&publisher, wanted + 2, apply() - 2);
	publisher_lost(&publisher);
	ck_assert_uint_eq(publisher.count, 8);
	ck_assert_uint_eq(publisher_up(&publisher), 0);
	for (int i = 0; i < 8; i++)
		publisher_done(&publisher, publisher_next(&publisher, 1), PUBLISHER_OK, 1);
	ck_assert_ptr_null(publisher_next(&publisher, 1));
}
END_TEST

/* ---- Frames ---- */

static struct frame_buffer frames;

START_TEST(test_frames)
{
	const uint8_t *frame, *bytes;
	uint8_t stream[64];
	size_t size, room;

	frame_buffer_clear(&frames);
	memcpy(frame_buffer_frame(&frames), "abc", 3);
	frame_buffer_add(&frames, 3);
	memcpy(frame_buffer_frame(&frames), "defg", 4);
	frame_buffer_add(&frames, 4);
	bytes = frame_buffer_bytes(&frames, &size);
	ck_assert_uint_eq(size, 11);
	ck_assert_int_eq(memcmp(bytes, "\3\0abc\4\0defg", 11), 0);
	memcpy(stream, bytes, size);
	frame_buffer_sent(&frames, 4);
	bytes = frame_buffer_bytes(&frames, &size);
	ck_assert_int_eq(memcmp(bytes, "c\4\0defg", 7), 0);
	frame_buffer_sent(&frames, 7);
	ck_assert(frame_buffer_empty(&frames));
	/* Byte by byte, they come out whole. */
	int found = 0;
	for (int i = 0; i < 11; i++) {
		*frame_buffer_space(&frames, &room) = stream[i];
		frame_buffer_received(&frames, 1);
		int r = frame_buffer_next(&frames, &frame, &size);
		ck_assert_int_eq(r, i == 4 || i == 10);
		if (r)
			ck_assert_int_eq(memcmp(frame, found++ ? "defg" : "abc", size), 0);
	}
	memset(frame_buffer_space(&frames, &room), 0, 2);
	frame_buffer_received(&frames, 2);
	ck_assert_int_eq(frame_buffer_next(&frames, &frame, &size), -EBADMSG);
}
END_TEST

START_TEST(test_frames_full)
{
	const uint8_t *frame;
	size_t size, room, count = 0;

	frame_buffer_clear(&frames);
	while (frame_buffer_frame(&frames)) {
		frame_buffer_add(&frames, FRAME_SIZE_MAX);
		count++;
	}
	ck_assert_uint_eq(count, 4);
	/* The largest frame fits behind whatever is left of others. */
	frame_buffer_clear(&frames);
	for (int i = 0; i < 100; i++) {
		uint8_t *to = frame_buffer_space(&frames, &room);

		ck_assert_uint_gt(room, 0);
		memset(to, 0xff, room);
		frame_buffer_received(&frames, room);
		while (frame_buffer_next(&frames, &frame, &size) > 0)
			ck_assert_uint_eq(size, FRAME_SIZE_MAX);
	}
}
END_TEST

/* ---- Options ---- */

START_TEST(test_options)
{
	static struct agent_options options;
	char error[AGENT_OPTIONS_ERROR_MAX];
	char *none[] = {NULL};
	char *tap[] = {"tap", "--ifname", "net0", "-mac=52:54:00:12:34:56", "--vsock-port=1024"};
	char *publish[] = {"--api", "unix:/a", "--host-address", "any", "--include", "tcp:80"};
	char *help[] = {"help"}, *mistyped[] = {"--lopback"};
	static char *const bad[][3] = {
		{"serve"},          {"--ifname", "x"},   {"tap", "--include", "80"},
		{"--api", "ftp:x"}, {"--interval", "1"}, {"--interval"},
		{"--loopback=1"},   {"--nonsense"},      {"tap", "--mac", "ff:ff:ff:ff:ff:ff"},
	};

	ck_assert_int_eq(agent_options_parse(0, none, &options, error), 0);
	ck_assert_int_eq(options.command, AGENT_PUBLISH);
	ck_assert_uint_eq(options.publish.api.reach.count, 2);
	ck_assert(addr_is_loopback(&options.publish.api.host));
	ck_assert_int_eq(agent_options_parse(5, tap, &options, error), 0);
	ck_assert_int_eq(options.command, AGENT_TAP);
	ck_assert_str_eq(options.tap.ifname, "net0");
	ck_assert(options.tap.has_mac);
	ck_assert_uint_eq(options.tap.reach.count, 1);
	ck_assert_uint_eq(options.tap.reach.ways[0].target.vsock_port, 1024);
	ck_assert_int_eq(agent_options_parse(6, publish, &options, error), 0);
	ck_assert_int_eq(options.publish.api.host.family, AF_UNSPEC);
	ck_assert_uint_eq(options.publish.policy.include.count, 1);
	ck_assert_int_eq(agent_options_parse(1, help, &options, error), 0);
	ck_assert_int_eq(options.command, AGENT_HELP);
	ck_assert_int_lt(agent_options_parse(1, mistyped, &options, error), 0);
	ck_assert_ptr_nonnull(strstr(error, "did you mean --loopback?"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *arguments[3];
		int count = 0;

		while (count < 3 && bad[i][count]) {
			arguments[count] = bad[i][count];
			count++;
		}
		error[0] = '\0';
		ck_assert_int_eq(agent_options_parse(count, arguments, &options, error), -EINVAL);
		ck_assert_uint_gt(strlen(error), 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent");
	TCase *tcase = unit_case(suite, "all", setup, NULL);

	tcase_add_test(tcase, test_diag);
	tcase_add_test(tcase, test_diag_error);
	tcase_add_test(tcase, test_proc);
	tcase_add_test(tcase, test_too_many);
	tcase_add_test(tcase, test_policy_defaults);
	tcase_add_test(tcase, test_policy_rules);
	tcase_add_test(tcase, test_policy_best);
	tcase_add_test(tcase, test_publisher);
	tcase_add_test(tcase, test_publisher_leaves);
	tcase_add_test(tcase, test_publisher_lost);
	tcase_add_test(tcase, test_frames);
	tcase_add_test(tcase, test_frames_full);
	tcase_add_test(tcase, test_options);
	return unit_run(suite);
}
