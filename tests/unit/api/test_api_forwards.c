/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/forwards: ranges, repetition, conflicts, leases, and what guests may. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"
#include "peer.h"
#include "unit.h"

#define FORWARDS "/v1/forwards"

static struct loop *loop;
static struct forwarder *forwarder;
static struct publish *publish;
static struct api *api;
static char directory[] = "/tmp/netproxy-test-XXXXXX";
static char host_path[64], guest_path[64];
static char answer_body[65536];

static int guest_addr(void *arg, uint32_t guest_id, struct addr *ret)
{
	(void)arg;
	*ret = addr_from_v4(0xc0a84101 + (guest_id ? guest_id : 1));
	return 0;
}

static bool guest_owns(void *arg, uint32_t guest_id, const struct addr *addr)
{
	(void)arg;
	return guest_id == 1 && addr->family == AF_INET6 && addr->v6.s6_addr[15] == 2;
}

static void setup(void)
{
	struct forwarder_conf conf = {.udp_flows_max = 16};
	struct api_backend backend = {.guest_addr = guest_addr, .guest_owns = guest_owns};
	char error[API_LISTEN_ERROR_MAX];

	log_set_levels("error");
	mac_parse("5a:94:ef:e4:0c:ee", &conf.stack.mac);
	prefix_parse("192.168.65.0/24", &conf.stack.subnet);
	addr_parse("192.168.65.1", &conf.stack.gateway);
	addr_parse("192.168.65.254", &conf.stack.alias);
	prefix_parse("fd65::/64", &conf.stack.prefix6);
	addr_parse("fd65::1", &conf.stack.gateway6);
	addr_parse("fd65::fe", &conf.stack.alias6);
	conf.stack.mtu = 1500;
	conf.stack.conns_max = 64;
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(host_path, sizeof(host_path), "%s/host", directory);
	snprintf(guest_path, sizeof(guest_path), "%s/guest", directory);
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(forwarder_new(loop, &conf, &forwarder), 0);
	ck_assert_int_eq(publish_new(loop, forwarder, &publish), 0);
	backend.forwarder = forwarder;
	backend.publish = publish;
	ck_assert_int_eq(api_new(loop, &backend, &api), 0);
	ck_assert_int_eq(api_listen_unix(api, host_path,
					 &(struct api_door){.kind = API_DOOR_HOST, .guest_id = 0},
					 error),
			 0);
	ck_assert_int_eq(api_listen_unix(api, guest_path,
					 &(struct api_door){.kind = API_DOOR_GUEST, .guest_id = 1},
					 error),
			 0);
}

static void teardown(void)
{
	api_free(api);
	publish_free(publish);
	forwarder_free(forwarder);
	loop_free(loop);
	ck_assert_int_eq(rmdir(directory), 0);
}

static size_t request_text(const char *method, const char *target, const char *body, char *to,
			   size_t size)
{
	return (size_t)snprintf(to, size,
				"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
				method, target, strlen(body), body);
}

/* Takes the answer apart, and frees it. */
static int take_answer(char *answer)
{
	char *end = strstr(answer, "\r\n\r\n");
	int status;

	ck_assert_msg(sscanf(answer, "HTTP/1.1 %d ", &status) == 1, "%s", answer);
	ck_assert_ptr_nonnull(end);
	snprintf(answer_body, sizeof(answer_body), "%s", end + 4);
	free(answer);
	return status;
}

static void check(const char *path, const char *method, const char *target, const char *body,
		  int status, const char *part)
{
	char text[2048];
	size_t size = request_text(method, target, body, text, sizeof(text));

	ck_assert_msg(take_answer(peer_exchange(loop, path, text, size)) == status, "%s %s %s: %s",
		      method, target, body, answer_body);
	ck_assert_msg(strstr(answer_body, part), "\"%s\" lacks \"%s\"", answer_body, part);
}

/* The first of `count` ports of the loopback that seem to be free, elsewhere for each process so
 * that such tests can run side by side. */
static unsigned free_ports(unsigned count)
{
	for (unsigned first = 20000 + (unsigned)getpid() % 1000 * 10; first < 60000;
	     first += count) {
		unsigned i = 0;

		for (; i < count; i++) {
			struct endpoint at = {.addr = addr_from_v4(INADDR_LOOPBACK),
					      .port = (uint16_t)(first + i)};
			int fd;

			if (sock_listen_tcp(&at, 1, &fd, NULL) < 0)
				break;
			close(fd);
		}
		if (i == count)
			return first;
	}
	ck_abort_msg("no free ports");
	return 0;
}

static const char *body_for(unsigned first, unsigned last, const char *rest)
{
	static char body[512];
	char ports[32];

	snprintf(ports, sizeof(ports), first == last ? "%u" : "%u-%u", first, last);
	snprintf(body, sizeof(body), "{\"local\":\"127.0.0.1:%s\",\"remote\":\":80\"%s}", ports,
		 rest);
	return body;
}

START_TEST(add_list_and_delete)
{
	unsigned port = free_ports(1);
	char expected[512];

	check(host_path, "POST", FORWARDS,
	      body_for(port, port,
		       ",\"source\":\"gateway\",\"proxy\":\"v2\",\"name\":\"web\",\"for\":\"me\""),
	      200, "");
	snprintf(expected, sizeof(expected),
		 "[{\"local\":\"127.0.0.1:%u\",\"remote\":\"192.168.65.2:80\",\"protocol\":\"tcp\","
		 "\"source\":\"gateway\",\"proxy\":\"v2\",\"name\":\"web\",\"for\":\"me\","
		 "\"bound\":\"127.0.0.1:%u\",\"owner\":\"host\",\"connections\":0,\"refused\":0,"
		 "\"active\":0,\"bytesToGuest\":0,\"bytesToHost\":0}]\n",
		 port, port);
	ck_assert_str_eq(answer_body, expected);
	check(host_path, "GET", FORWARDS, "", 200, "");
	ck_assert_str_eq(answer_body, expected);
	check(host_path, "DELETE", FORWARDS "?name=we", "", 404, "not_found");
	check(host_path, "DELETE", FORWARDS "?name=web", "", 200, "{\"removed\":1}\n");
	check(host_path, "GET", FORWARDS, "", 200, "[]\n");
}
END_TEST

START_TEST(deleting)
{
	unsigned port = free_ports(3);
	char target[128];

	check(host_path, "POST", FORWARDS, body_for(port, port + 2, ",\"for\":\"a b\""), 200, "");
	ck_assert_uint_eq(publish_count(publish), 3);
	snprintf(target, sizeof(target), FORWARDS "?local=127.0.0.1%%3A%u", port + 1);
	check(host_path, "DELETE", target, "", 200, "{\"removed\":1}");
	check(host_path, "DELETE", target, "", 404, "not_found");
	check(host_path, "DELETE", FORWARDS "?for=a+b", "", 200, "{\"removed\":2}");
	check(host_path, "DELETE", FORWARDS, "", 400, "expected one of");
	check(host_path, "DELETE", FORWARDS "?name=a&for=b", "", 400, "expected one of");
	check(host_path, "DELETE", FORWARDS "?protocol=tcp", "", 400, "expected one of");
	check(host_path, "DELETE", FORWARDS "?local=:1&protocol=sctp", "", 400, "expected one of");
	check(host_path, "DELETE", FORWARDS "?port=1", "", 400, "unknown key \\\"port\\\"");
	check(host_path, "DELETE", FORWARDS "?name=%", "", 400, "malformed");
	check(host_path, "PUT", FORWARDS, "", 405, "method_not_allowed");
}
END_TEST

/* All of a range, or none. */
START_TEST(ranges)
{
	unsigned port = free_ports(4);
	struct endpoint at = {.addr = addr_from_v4(INADDR_LOOPBACK), .port = (uint16_t)(port + 3)};
	int fd;

	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, NULL), 0);
	check(host_path, "POST", FORWARDS, body_for(port, port + 3, ""), 409,
	      "\"errno\":\"EADDRINUSE\"");
	ck_assert_uint_eq(publish_count(publish), 0);
	close(fd);
	check(host_path, "POST", FORWARDS, body_for(port, port + 3, ",\"protocol\":\"tcp+udp\""),
	      200, "192.168.65.2:83\",\"protocol\":\"udp\"");
	ck_assert_uint_eq(publish_count(publish), 8);
	check(host_path, "POST", FORWARDS, body_for(0, 0, ",\"protocol\":\"tcp+udp\""), 400,
	      "port 0 picks one port");
	check(host_path, "POST", FORWARDS, "{\"local\":\":1-5000\",\"remote\":\":1\"}", 400,
	      "too many ports at once");
	check(host_path, "POST", FORWARDS, "{\"local\":\":1000-1009\",\"remote\":\":65530\"}", 400,
	      "beyond port 65535");
	ck_assert_uint_eq(publish_count(publish), 8);
}
END_TEST

/* The same again is fine; something else in its place isn't, and who is in the way is said. */
START_TEST(repetition_and_conflicts)
{
	unsigned port = free_ports(2);
	char all[128];

	check(host_path, "POST", FORWARDS, body_for(port, port, ""), 200, "");
	check(host_path, "POST", FORWARDS, body_for(port, port, ""), 200, "\"owner\":\"host\"");
	check(host_path, "POST", FORWARDS, body_for(port, port + 1, ""), 200, "");
	ck_assert_uint_eq(publish_count(publish), 2);
	check(host_path, "POST", FORWARDS, body_for(port, port, ",\"proxy\":\"v2\""), 409,
	      "\"holder\":\"the host's API\"");
	check(guest_path, "POST", FORWARDS, body_for(port, port, ""), 409,
	      "{\"error\":{\"code\":\"already_running\",\"message\":");
	ck_assert_ptr_nonnull(strstr(answer_body, "\"errno\":\"EEXIST\""));
	/* By another name. */
	snprintf(all, sizeof(all), "{\"local\":\":%u\",\"remote\":\":80\"}", port);
	check(guest_path, "POST", FORWARDS, all, 409, "\"code\":\"address_in_use\"");
	ck_assert_ptr_nonnull(strstr(answer_body, "\"holder\":\"the host's API\""));
	ck_assert_uint_eq(publish_count(publish), 2);
}
END_TEST

/* The number of the program isn't found in time where the machine is busy. */
static void check_held_by_us(const char *body)
{
	char text[2048], holder[64];
	size_t size = request_text("POST", FORWARDS, body, text, sizeof(text));

	snprintf(holder, sizeof(holder), "(pid %d)\"", (int)getpid());
	for (unsigned i = 0; i < 50; i++) {
		ck_assert_int_eq(take_answer(peer_exchange(loop, host_path, text, size)), 409);
		if (strstr(answer_body, holder))
			return;
	}
	ck_abort_msg("\"%s\" lacks \"%s\"", answer_body, holder);
}

/* A program of the host's, which guests needn't know. */
START_TEST(held_by_a_program)
{
	struct endpoint at = {.addr = addr_from_v4(INADDR_LOOPBACK)};
	char udp[160];
	int fd, udp_fd;

	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &at), 0);
	check_held_by_us(body_for(at.port, at.port, ""));
	check(guest_path, "POST", FORWARDS, body_for(at.port, at.port, ""), 409, "EADDRINUSE");
	ck_assert_ptr_null(strstr(answer_body, "pid"));
	close(fd);
	at = (struct endpoint){0};
	ck_assert_int_eq(sock_bind_udp(&at, &udp_fd, &at), 0);
	snprintf(udp, sizeof(udp),
		 "{\"local\":\"[::1]:%u\",\"remote\":\":53\",\"protocol\":\"udp\"}", at.port);
	check_held_by_us(udp);
	close(udp_fd);
}
END_TEST

START_TEST(leases)
{
	unsigned port = free_ports(1);
	char text[1024];
	size_t size;
	int fd = peer_connect(host_path);

	size = request_text("POST", FORWARDS, body_for(port, port, ",\"lease\":\"connection\""),
			    text, sizeof(text));
	ck_assert(peer_send(loop, fd, text, size));
	ck_assert_int_eq(take_answer(peer_read_until(loop, fd, "]\n")), 200);
	ck_assert_ptr_nonnull(strstr(answer_body, "\"lease\":\"connection\""));
	/* Again by the same connection is fine, by another it is somebody else's. */
	ck_assert(peer_send(loop, fd, text, size));
	ck_assert_int_eq(take_answer(peer_read_until(loop, fd, "]\n")), 200);
	check(host_path, "POST", FORWARDS, body_for(port, port, ",\"lease\":\"connection\""), 409,
	      "\"holder\":\"a connection to the host's API\"");
	ck_assert_uint_eq(publish_count(publish), 1);
	close(fd);
	peer_settle(loop);
	ck_assert_uint_eq(publish_count(publish), 0);

	size = (size_t)snprintf(text, sizeof(text),
				"POST " FORWARDS " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
				"Content-Length: %zu\r\n\r\n%s",
				strlen(body_for(port, port, ",\"lease\":\"connection\"")),
				body_for(port, port, ",\"lease\":\"connection\""));
	ck_assert_int_eq(take_answer(peer_exchange(loop, host_path, text, size)), 400);
	ck_assert_uint_eq(publish_count(publish), 0);
}
END_TEST

START_TEST(guests)
{
	struct publish_rule rule = {.first = 30000, .last = 65535};
	unsigned port = free_ports(1);

	check(guest_path, "POST", FORWARDS, body_for(port, port, ",\"for\":\"c1\""), 200,
	      "\"for\":\"c1\",\"bound\"");
	check(guest_path, "GET", FORWARDS, "", 200, "\"guest\":1");
	check(guest_path, "DELETE", FORWARDS "?for=c2", "", 404, "");
	check(guest_path, "DELETE", FORWARDS "?for=c1", "", 200, "");
	/* At gvproxy's path the port of another is left alone. */
	check(guest_path, "POST", "/services/forwarder/expose",
	      body_for(port, port, ",\"for\":\"c1\""), 200, "");
	check(guest_path, "POST", "/services/forwarder/unexpose",
	      body_for(port, port, ",\"for\":\"c2\""), 500, "proxy not found");
	check(guest_path, "POST", "/services/forwarder/unexpose",
	      body_for(port, port, ",\"for\":\"c1\""), 200, "");
	/* Its own IPv6 address, and no other; no names. */
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"[fd65::2]:80\"}", 200, "[fd65::2]:80");
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"[fd65::3]:80\"}", 403, "of its own");
	check(guest_path, "POST", FORWARDS, "{\"local\":\"127.0.0.1:0\",\"remote\":\"web:80\"}",
	      403, "of its own");
	/* Behind itself, and behind no other. */
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"10.88.0.5:80\"}", 200,
	      "\"remote\":\"10.88.0.5:80\",\"protocol\":\"tcp\",\"via\":\"192.168.65.2\"");
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"[fd99::5]:80\",\"via\":\"fd65::2\"}", 200,
	      "\"via\":\"192.168.65.2\"");
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"10.88.0.5:80\",\"via\":\"192.168.65.3\"}",
	      403, "\\\"via\\\" can be 192.168.65.2");
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"10.88.0.5:80\",\"via\":\"web\"}", 403,
	      "behind itself");
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"127.0.0.1:80\"}", 403, "of its own");
	check(guest_path, "POST", "/services/forwarder/expose",
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"10.88.0.6:80\"}", 200, "");
	check(host_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"10.88.0.5:80\"}", 400, "no_guest_address");
	check(host_path, "POST", FORWARDS,
	      "{\"local\":\"127.0.0.1:0\",\"remote\":\"10.88.0.5:80\",\"via\":\"web\"}", 200,
	      "\"via\":\"web\"");
	check(guest_path, "POST", FORWARDS,
	      "{\"local\":\"/tmp/np-none\",\"remote\":\":80\",\"protocol\":\"unix\"}", 403,
	      "no unix sockets");
	/* What the host lets it bind. */
	prefix_parse("127.0.0.0/8", &rule.hosts);
	ck_assert_int_eq(publish_set_guest_rules(publish, &rule, 1), 0);
	check(guest_path, "POST", FORWARDS, "{\"local\":\"127.0.0.1:29999\",\"remote\":\":80\"}",
	      403, "at 127.0.0.0/8 port 30000-65535 only");
	check(guest_path, "POST", FORWARDS, "{\"local\":\":0\",\"remote\":\":80\"}", 403,
	      "\"code\":\"not_permitted\"");
	check(guest_path, "POST", FORWARDS, "{\"local\":\"127.0.0.1:0\",\"remote\":\":80\"}", 200,
	      "");
	ck_assert_int_eq(publish_set_guest_rules(publish, NULL, 0), 0);
	check(guest_path, "POST", FORWARDS, "{\"local\":\"127.0.0.1:0\",\"remote\":\":80\"}", 403,
	      "no guest publish");
	check(host_path, "POST", FORWARDS, "{\"local\":\"127.0.0.1:0\",\"remote\":\"web:80\"}", 200,
	      "\"remote\":\"web:80\"");
}
END_TEST

START_TEST(unix_sockets)
{
	char path[96], body[256];
	struct stat st;
	FILE *file;

	snprintf(path, sizeof(path), "%s/port", directory);
	snprintf(body, sizeof(body),
		 "{\"local\":\"%s\",\"remote\":\"tcp://192.168.65.3:80\",\"protocol\":\"unix\"}",
		 path);
	check(host_path, "POST", FORWARDS, body, 200, "\"protocol\":\"unix\"");
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	check(host_path, "POST", "/services/forwarder/expose", body, 500,
	      "proxy already running\n");
	check(host_path, "POST", "/services/forwarder/unexpose", body, 200, "");
	ck_assert_int_lt(lstat(path, &st), 0);
	/* A file that is no socket stays what it is. */
	file = fopen(path, "w");
	fclose(file);
	check(host_path, "POST", FORWARDS, body, 409, "it is not a socket");
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api_forwards");
	TCase *tcase = unit_case(suite, "all", setup, teardown);

	tcase_add_test(tcase, add_list_and_delete);
	tcase_add_test(tcase, deleting);
	tcase_add_test(tcase, ranges);
	tcase_add_test(tcase, repetition_and_conflicts);
	tcase_add_test(tcase, held_by_a_program);
	tcase_add_test(tcase, leases);
	tcase_add_test(tcase, guests);
	tcase_add_test(tcase, unix_sockets);
	return unit_run(suite);
}
