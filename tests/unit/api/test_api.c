/* SPDX-License-Identifier: Apache-2.0 */
/* The API over its doors, on a network without links: what it answers, to whom, and what is
 * published then. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"
#include "peer.h"
#include "unit.h"

static struct loop *loop;
static struct forwarder *forwarder;
static struct publish *publish;
static struct api *api;
static char directory[] = "/tmp/netproxy-test-XXXXXX";
static char host_path[64], guest_path[64], other_path[64];
static bool guest_has_address;

/* ---- The backend ---- */

static void leases(void *arg, api_lease_fn *fn, void *visitor)
{
	struct api_lease lease = {.hostname = "one", .expires_s = 3600};

	ck_assert_ptr_eq(arg, &loop);
	addr_parse("192.168.65.2", &lease.address);
	mac_parse("52:54:00:00:00:02", &lease.mac);
	fn(visitor, &lease);
	addr_parse("192.168.65.3", &lease.address);
	mac_parse("52:54:00:00:00:03", &lease.mac);
	lease.hostname = "";
	lease.expires_s = API_LEASE_NEVER_ENDS;
	fn(visitor, &lease);
	addr_parse("fd65::3", &lease.address);
	fn(visitor, &lease);
}

static char zone_added[64];
static bool root_zone_is_there;

static int dns_add(void *arg, const struct api_dns_zone *zone, char *error, size_t error_size)
{
	(void)arg;
	if (strcmp(zone->name, "bad") == 0) {
		snprintf(error, error_size, "\"bad\" is a bad name");
		return -EINVAL;
	}
	snprintf(zone_added, sizeof(zone_added), "%s %zu", zone->name, zone->record_count);
	return 0;
}

static int dns_remove(void *arg, const char *name)
{
	(void)arg;
	if (strcmp(name, "test") != 0)
		return strcmp(name, "internal") == 0 ? -EPERM : -ENOENT;
	snprintf(zone_added, sizeof(zone_added), "removed");
	return 0;
}

static void dns_zones(void *arg, api_dns_fn *fn, void *visitor)
{
	struct api_dns_record records[2] = {{.name = "gateway"}, {.name = "", .regexp = "^a"}};
	struct api_dns_zone zone = {.name = "test.", .records = records, .record_count = 2};

	(void)arg;
	addr_parse("192.168.65.1", &records[0].ip);
	addr_parse("fd00::1", &records[1].ip);
	fn(visitor, &zone);
	zone = (struct api_dns_zone){.name = ".", .records = records, .record_count = 1};
	records[0].is_built_in = true;
	zone.is_shared = true;
	zone.default_ip = records[1].ip;
	if (root_zone_is_there)
		fn(visitor, &zone);
}

/* Guest 1 is .2, guest 2 is .3; the first is guest 1. */
static int guest_addr(void *arg, uint32_t guest_id, struct addr *ret)
{
	(void)arg;
	if (!guest_has_address)
		return -ENOENT;
	*ret = addr_from_v4(0xc0a84101 + (guest_id ? guest_id : 1));
	return 0;
}

static void setup(void)
{
	struct forwarder_conf conf = {.udp_flows_max = 16, .host_access = true};
	struct api_backend backend = {
		.arg = &loop,
		.leases = leases,
		.dns_zones = dns_zones,
		.dns_add = dns_add,
		.dns_put = dns_add,
		.dns_remove = dns_remove,
		.guest_addr = guest_addr,
	};
	char error[API_LISTEN_ERROR_MAX];

	mac_parse("5a:94:ef:e4:0c:ee", &conf.stack.mac);
	prefix_parse("192.168.65.0/24", &conf.stack.subnet);
	addr_parse("192.168.65.1", &conf.stack.gateway);
	addr_parse("192.168.65.254", &conf.stack.alias);
	conf.stack.mtu = 1500;
	conf.stack.conns_max = 64;
	guest_has_address = true;
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(host_path, sizeof(host_path), "%s/host", directory);
	snprintf(guest_path, sizeof(guest_path), "%s/guest", directory);
	snprintf(other_path, sizeof(other_path), "%s/other", directory);
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
	ck_assert_int_eq(api_listen_unix(api, other_path,
					 &(struct api_door){.kind = API_DOOR_GUEST, .guest_id = 2},
					 error),
			 0);
}

static void teardown(void)
{
	api_free(api);
	publish_free(publish);
	forwarder_free(forwarder);
	loop_free(loop);
	/* Nothing of the API's is left in it. */
	ck_assert_int_eq(rmdir(directory), 0);
}

/* ---- Requests ---- */

static char answer_body[65536];

/* Returns the status; the body is in answer_body. */
static int request(const char *path, const char *method, const char *target, const char *body)
{
	char text[4096];
	char *answer, *end;
	int status;

	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
		 method, target, body ? strlen(body) : 0, body ? body : "");
	answer = peer_exchange(loop, path, text, strlen(text));
	ck_assert_msg(sscanf(answer, "HTTP/1.1 %d ", &status) == 1, "%s", answer);
	end = strstr(answer, "\r\n\r\n");
	ck_assert_ptr_nonnull(end);
	snprintf(answer_body, sizeof(answer_body), "%s", end + 4);
	/* Errors are text of one line, also for those who look only at the type. */
	if (status != 200 && strncmp(target, "/v1/", 4) != 0) {
		ck_assert_ptr_nonnull(strstr(answer, "Content-Type: text/plain"));
		ck_assert_ptr_eq(strchr(answer_body, '\n'), answer_body + strlen(answer_body) - 1);
	}
	free(answer);
	return status;
}

#define EXPOSE   "/services/forwarder/expose"
#define UNEXPOSE "/services/forwarder/unexpose"
#define ALL      "/services/forwarder/all"

static void check(const char *path, const char *method, const char *target, const char *body,
		  int status, const char *text)
{
	ck_assert_msg(request(path, method, target, body) == status, "%s %s: %s", target, body,
		      answer_body);
	if (status == 200)
		ck_assert_str_eq(answer_body, text);
	else
		ck_assert_msg(strstr(answer_body, text), "\"%s\" lacks \"%s\"", answer_body, text);
}

static void check_list(const char *path, const char *expected)
{
	check(path, "GET", ALL, NULL, 200, expected);
}

/* A port of the loopback that is free now. */
static uint16_t free_port(void)
{
	struct endpoint at = {.port = 0};
	int fd;

	addr_parse("127.0.0.1", &at.addr);
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &at), 0);
	close(fd);
	return at.port;
}

static const char *body_for(uint16_t port, const char *remote, const char *protocol)
{
	static char body[256];

	snprintf(body, sizeof(body),
		 "{\"local\":\"127.0.0.1:%u\",\"remote\":\"%s\",\"protocol\":\"%s\"}", port, remote,
		 protocol);
	return body;
}

START_TEST(expose_and_unexpose)
{
	uint16_t port = free_port();
	struct endpoint at = {.port = port};
	char expected[256];
	int fd;

	check_list(host_path, "[]\n");
	check(host_path, "POST", EXPOSE, body_for(port, "192.168.65.3:80", "tcp"), 200, "");
	check(host_path, "POST", EXPOSE, body_for(port, "192.168.65.3:53", "udp"), 200, "");
	snprintf(
		expected, sizeof(expected),
		"[{\"local\":\"127.0.0.1:%u\",\"remote\":\"192.168.65.3:80\",\"protocol\":\"tcp\"},"
		"{\"local\":\"127.0.0.1:%u\",\"remote\":\"192.168.65.3:53\",\"protocol\":\"udp\"}]\n",
		port, port);
	check_list(host_path, expected);
	addr_parse("127.0.0.1", &at.addr);
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, NULL), -EADDRINUSE);

	check(host_path, "POST", EXPOSE, body_for(port, ":81", "tcp"), 500,
	      "proxy already running");
	check(host_path, "POST", UNEXPOSE, body_for(port, "", "tcp"), 200, "");
	check(host_path, "POST", UNEXPOSE, body_for(port, "", "tcp"), 500, "proxy not found\n");
	check(host_path, "POST", UNEXPOSE, body_for(port, "", "udp"), 200, "");
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, NULL), 0);
	close(fd);
	check_list(host_path, "[]\n");
}
END_TEST

START_TEST(default_guest)
{
	uint16_t port = free_port();

	guest_has_address = false;
	check(host_path, "POST", EXPOSE, body_for(port, ":80", "tcp"), 500,
	      "no guest has an address yet");
	check(guest_path, "POST", EXPOSE, body_for(port, ":80", "tcp"), 500, "no address yet");
	guest_has_address = true;
	check(host_path, "POST", EXPOSE, body_for(port, ":80", "tcp"), 200, "");
	ck_assert_int_eq(request(host_path, "GET", ALL, NULL), 200);
	ck_assert_ptr_nonnull(strstr(answer_body, "\"192.168.65.2:80\""));
}
END_TEST

/* A port that was picked is what the forward is known by. */
START_TEST(picked_port)
{
	struct json_object *list, *entry;
	struct endpoint bound;

	check(host_path, "POST", EXPOSE, body_for(0, ":80", "tcp"), 200, "");
	check(host_path, "POST", EXPOSE, body_for(0, ":80", "tcp"), 200, "");
	ck_assert_int_eq(request(host_path, "GET", "/v1/forwards", NULL), 200);
	list = json_tokener_parse(answer_body);
	ck_assert_uint_eq(json_object_array_length(list), 2);
	entry = json_object_array_get_idx(list, 0);
	ck_assert_str_eq(json_object_get_string(json_object_object_get(entry, "owner")), "host");
	ck_assert_int_eq(
		endpoint_parse(json_object_get_string(json_object_object_get(entry, "bound")),
			       false, &bound),
		0);
	ck_assert_str_eq(json_object_get_string(json_object_object_get(entry, "local")),
			 json_object_get_string(json_object_object_get(entry, "bound")));
	json_object_put(list);
	check(host_path, "POST", UNEXPOSE, body_for(bound.port, "", "tcp"), 200, "");
}
END_TEST

START_TEST(host_errors)
{
	struct endpoint at = {.port = 0};
	char expected[128];
	int fd;

	addr_parse("127.0.0.1", &at.addr);
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &at), 0);
	snprintf(expected, sizeof(expected),
		 "listen tcp 127.0.0.1:%u: bind: address already in use\n", at.port);
	check(host_path, "POST", EXPOSE, body_for(at.port, ":80", "tcp"), 500, expected);
	close(fd);
	check(host_path, "POST", EXPOSE, "{\"local\":\"198.51.100.77:8080\",\"remote\":\":80\"}",
	      500, "listen tcp 198.51.100.77:8080: bind: cannot assign requested address");
	check(host_path, "POST", EXPOSE,
	      "{\"local\":\"198.51.100.77:8080\",\"remote\":\":80\",\"protocol\":\"udp\"}", 500,
	      "listen udp 198.51.100.77:8080: bind: cannot assign requested address");
	check(host_path, "POST", EXPOSE, body_for(at.port, "10.0.0.1:80", "tcp"), 500,
	      "an address of a guest");
	check(host_path, "POST", EXPOSE, body_for(at.port, "192.168.65.1:80", "tcp"), 500,
	      "an address of a guest");
	check(host_path, "POST", EXPOSE, body_for(at.port, ":80", "sctp"), 500,
	      "unknown protocol sctp");
	check(host_path, "POST", EXPOSE, body_for(at.port, ":80", "unix"), 400,
	      "path of a unix socket");
	check(host_path, "POST", EXPOSE, "{", 400, "not JSON");
	check(host_path, "POST", EXPOSE, NULL, 400, "not JSON");
	check(host_path, "POST", UNEXPOSE, "[]", 400, "object");
	check(host_path, "GET", EXPOSE, NULL, 400, "post only\n");
	check(host_path, "PUT", UNEXPOSE, NULL, 400, "post only\n");
	check(host_path, "POST", ALL, "{}", 405, "Method Not Allowed");
	check(host_path, "GET", "/no/such", NULL, 404, "404 page not found\n");
	check(host_path, "GET", "/v1/no", NULL, 404,
	      "{\"error\":{\"code\":\"not_found\",\"message\":");
	check_list(host_path, "[]\n");
}
END_TEST

/* A guest has its own address and its own forwards, and no say in others'. */
START_TEST(guests)
{
	uint16_t port = free_port();
	char expected[256];

	check(guest_path, "POST", EXPOSE, body_for(port, "192.168.65.3:80", "tcp"), 403,
	      "a guest can only publish ports of its own: \"remote\" can be :80 or 192.168.65.2:80");
	check(guest_path, "POST", EXPOSE, body_for(port, "127.0.0.1:80", "tcp"), 403, "of its own");
	check(guest_path, "POST", EXPOSE,
	      "{\"local\":\"/tmp/np-test-none\",\"remote\":\":80\",\"protocol\":\"unix\"}", 403,
	      "no unix sockets");
	check(guest_path, "POST", EXPOSE, body_for(port, ":80", "tcp"), 200, "");
	snprintf(
		expected, sizeof(expected),
		"[{\"local\":\"127.0.0.1:%u\",\"remote\":\"192.168.65.2:80\",\"protocol\":\"tcp\"}]\n",
		port);
	check_list(guest_path, expected);
	check_list(host_path, expected);
	check_list(other_path, "[]\n");

	check(other_path, "POST", UNEXPOSE, body_for(port, "", "tcp"), 500, "proxy not found\n");
	check(other_path, "POST", EXPOSE, body_for(port, ":80", "tcp"), 500,
	      "proxy already running");
	check(host_path, "POST", EXPOSE, body_for(port, ":80", "udp"), 200, "");
	check(guest_path, "POST", UNEXPOSE, body_for(port, "", "udp"), 500, "proxy not found\n");
	check_list(guest_path, expected);

	ck_assert_uint_eq(
		publish_remove_owner(publish,
				     &(struct publish_owner){.kind = PUBLISH_OWNER_GUEST, .id = 1}),
		1);
	check_list(guest_path, "[]\n");
	ck_assert_uint_eq(publish_count(publish), 1);
	/* The host may remove whatever there is. */
	check(other_path, "POST", EXPOSE, body_for(port, "192.168.65.3:80", "tcp"), 200, "");
	check(host_path, "POST", UNEXPOSE, body_for(port, "", "tcp"), 200, "");
}
END_TEST

START_TEST(not_for_guests)
{
	static const char *const targets[] = {
		"/services/dhcp/leases", "/leases",   "/cam",       "/stats",
		"/services/dns/all",     "/v1/ports", "/v1/leases", "/v1/policy"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		check(guest_path, "GET", targets[i], NULL, 403, "not for guests");
		ck_assert_int_eq(request(host_path, "GET", targets[i], NULL), 200);
	}
	check(guest_path, "POST", "/services/dns/add", "{\"Name\":\"x\"}", 403, "not for guests");
	ck_assert_str_eq(zone_added, "");
	ck_assert_int_eq(request(guest_path, "GET", "/v1/version", NULL), 200);
}
END_TEST

START_TEST(network)
{
	struct json_object *stats;

	check(host_path, "GET", "/leases", NULL, 200,
	      "{\"192.168.65.2\":\"52:54:00:00:00:02\",\"192.168.65.3\":\"52:54:00:00:00:03\"}\n");
	check(host_path, "GET", "/v1/leases", NULL, 200,
	      "[{\"address\":\"192.168.65.2\",\"mac\":\"52:54:00:00:00:02\",\"hostname\":\"one\",\"expiresSeconds\":3600},"
	      "{\"address\":\"192.168.65.3\",\"mac\":\"52:54:00:00:00:03\",\"hostname\":\"\",\"expiresSeconds\":null},"
	      "{\"address\":\"fd65::3\",\"mac\":\"52:54:00:00:00:03\",\"hostname\":\"\",\"expiresSeconds\":null}]\n");
	check(host_path, "GET", "/cam", NULL, 200, "{}\n");
	check(host_path, "GET", "/v1/ports", NULL, 200, "[]\n");
	ck_assert_int_eq(request(host_path, "GET", "/v1/policy", NULL), 200);
	ck_assert_ptr_nonnull(strstr(answer_body, "{\"rule\":\"deny 169.254.0.0/16\","
						  "\"from\":\"built-in\",\"hits\":0}"));
	check(host_path, "HEAD", "/stats", NULL, 200, "");
	ck_assert_int_eq(request(host_path, "GET", "/stats?x=y", NULL), 200);
	stats = json_tokener_parse(answer_body);
	ck_assert_ptr_nonnull(stats);
	ck_assert(json_object_is_type(json_object_object_get(stats, "BytesSent"), json_type_int));
	ck_assert(
		json_object_is_type(json_object_object_get(stats, "BytesReceived"), json_type_int));
	json_object_put(stats);
	ck_assert_int_eq(request(host_path, "GET", "/v1/version", NULL), 200);
	ck_assert_ptr_nonnull(strstr(answer_body, "\"version\":\"" NETPROXY_VERSION "\""));
}
END_TEST

START_TEST(dns)
{
	check(host_path, "GET", "/services/dns/all", NULL, 200,
	      "[{\"Name\":\"test.\",\"Records\":[{\"Name\":\"gateway\",\"IP\":\"192.168.65.1\",\"Regexp\":null},"
	      "{\"Name\":\"\",\"IP\":\"fd00::1\",\"Regexp\":\"^a\"}],\"DefaultIP\":\"\"}]\n");
	check(host_path, "POST", "/services/dns/add",
	      "{\"Name\":\"x.\",\"Records\":[{\"Name\":\"a\",\"IP\":\"1.2.3.4\"}]}", 200, "");
	ck_assert_str_eq(zone_added, "x. 1");
	check(host_path, "POST", "/services/dns/add", "{\"Name\":\"bad\"}", 400,
	      "\"bad\" is a bad name\n");
	check(host_path, "POST", "/services/dns/add", "{", 400, "not JSON");
	check(host_path, "GET", "/services/dns/add", NULL, 400, "post only\n");
}
END_TEST

#define ZONES "/v1/dns/zones"
#define TEST_ZONE                                                                                           \
	"{\"name\":\"test.\",\"shared\":false,\"records\":[{\"name\":\"gateway\",\"ip\":\"192.168.65.1\"}," \
	"{\"name\":\"\",\"regexp\":\"^a\",\"ip\":\"fd00::1\"}]}"
#define ROOT_ZONE                                                                                     \
	"{\"name\":\".\",\"shared\":true,\"records\":[{\"name\":\"gateway\",\"ip\":\"192.168.65.1\"," \
	"\"built_in\":true}],\"default_ip\":\"fd00::1\"}"

START_TEST(zones)
{
	root_zone_is_there = true;
	check(host_path, "GET", ZONES, NULL, 200, "[" TEST_ZONE "," ROOT_ZONE "]\n");
	check(host_path, "GET", ZONES "/Test", NULL, 200, TEST_ZONE "\n");
	check(host_path, "GET", ZONES "/test.", NULL, 200, TEST_ZONE "\n");
	check(host_path, "GET", ZONES "/@", NULL, 200, ROOT_ZONE "\n");
	check(host_path, "GET", ZONES "/nope", NULL, 404,
	      "{\"error\":{\"code\":\"not_found\",\"message\":\"there is no DNS zone ");
	check(host_path, "GET", ZONES "/", NULL, 404, "404 page not found");
	check(host_path, "GET", ZONES "/test/x", NULL, 404, "404 page not found");
	/* What a listing says can be put back. */
	check(host_path, "PUT", ZONES "/test", TEST_ZONE, 200, TEST_ZONE "\n");
	ck_assert_str_eq(zone_added, "test 2");
	check(host_path, "PUT", ZONES "/@", ROOT_ZONE, 200, ROOT_ZONE "\n");
	ck_assert_str_eq(zone_added, ". 0");
	check(host_path, "PUT", ZONES "/bad", "{}", 400,
	      "{\"error\":{\"code\":\"bad_zone\",\"message\":");
	check(host_path, "PUT", ZONES "/test", "{\"record\":[]}", 400, "unknown key");
	check(host_path, "PUT", ZONES "/test", "{\"records\":[{\"IP\":\"1.2.3.4\"}]}", 400,
	      "bad_request");
	check(host_path, "PUT", ZONES "/test", "{\"records\":[{\"name\":\"a\"}]}", 400,
	      "\\\"ip\\\" is missing");
	check(host_path, "DELETE", ZONES "/test", NULL, 200, "");
	ck_assert_str_eq(zone_added, "removed");
	check(host_path, "DELETE", ZONES "/nope", NULL, 404, "not_found");
	check(host_path, "DELETE", ZONES "/internal", NULL, 403, "not_permitted");
	check(host_path, "PATCH", ZONES "/test", NULL, 405, "method_not_allowed");
	check(host_path, "POST", ZONES, "{}", 405, "method_not_allowed");
	check(guest_path, "GET", ZONES, NULL, 403, "not for guests");
	check(guest_path, "PUT", ZONES "/x", "{}", 403, "not for guests");
	check(guest_path, "DELETE", ZONES "/test", NULL, 403, "not for guests");
	root_zone_is_there = false;
}
END_TEST

/* ---- Doors ---- */

static char *tcp_exchange(const struct endpoint *at, const char *text)
{
	struct sockaddr_storage to;
	socklen_t size = endpoint_to_sockaddr(at, &to);
	int fd = socket(to.ss_family, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, size), 0);
	ck_assert_int_eq(fd_set_nonblocking(fd), 0);
	peer_send(loop, fd, text, strlen(text));
	shutdown(fd, SHUT_WR);
	return peer_read_all(loop, fd, NULL);
}

/* Web pages reach a TCP door through the user's browser: they are told by Origin and by the name
 * they use. */
START_TEST(tcp_and_web_pages)
{
	static const char *const good[] = {"127.0.0.1:%u", "127.0.0.1", "localhost:%u",
					   "LocalHost",    "[::1]",     "[::1]:%u"};
	static const char *const bad[] = {"evil.example", "evil.example:%u",
					  "localhost.evil.example", "127.0.0.1.x:1"};
	struct endpoint at = {.port = 0};
	char error[API_LISTEN_ERROR_MAX], host[64], text[256];
	char *answer;

	addr_parse("127.0.0.1", &at.addr);
	ck_assert_int_eq(api_listen_tcp(api, &at,
					&(struct api_door){.kind = API_DOOR_HOST, .guest_id = 0},
					&at, error),
			 0);
	ck_assert_uint_ne(at.port, 0);
	for (size_t i = 0; i < 6 + 4; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(host, sizeof(host), i < 6 ? good[i] : bad[i - 6], at.port);
#pragma GCC diagnostic pop
		snprintf(text, sizeof(text), "GET /leases HTTP/1.1\r\nHost: %s\r\n\r\n", host);
		answer = tcp_exchange(&at, text);
		ck_assert_msg(strncmp(answer, i < 6 ? "HTTP/1.1 200" : "HTTP/1.1 403", 12) == 0,
			      "%s: %s", host, answer);
		free(answer);
	}
	answer = tcp_exchange(&at, "POST " EXPOSE
				   " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
				   "Content-Length: 0\r\n\r\n");
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 403", 12), 0);
	free(answer);
	/* Where there is a listener already. */
	ck_assert_int_eq(api_listen_tcp(api, &at,
					&(struct api_door){.kind = API_DOOR_HOST, .guest_id = 0},
					NULL, error),
			 -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(error, "another program listens there"));
}
END_TEST

START_TEST(doors_that_do_not_open)
{
	char error[API_LISTEN_ERROR_MAX], path[256];
	struct api_door host = {.kind = API_DOOR_HOST, .guest_id = 0};

	ck_assert_int_eq(api_listen_unix(api, host_path, &host, error), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(error, "another program"));
	ck_assert_int_eq(api_listen_unix(api, "/nonexistent/x", &host, error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error, "/nonexistent/x: its directory does not exist"));
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[200] = '\0';
	ck_assert_int_eq(api_listen_unix(api, path, &host, error), -ENAMETOOLONG);
	/* None of that took away what was there. */
	check_list(host_path, "[]\n");
}
END_TEST

/* A door's file that somebody else has put in its place is not ours to remove. */
START_TEST(replaced_file)
{
	int fd;

	ck_assert_int_eq(unlink(guest_path), 0);
	ck_assert_int_eq(sock_listen_unix(guest_path, SOCK_STREAM, &fd), 0);
	api_free(api);
	api = NULL;
	ck_assert_int_eq(unlink(guest_path), 0);
	close(fd);
}
END_TEST

START_TEST(a_thousand_forwards)
{
	uint16_t port = free_port();
	struct rlimit limit;
	char body[128];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

	for (int i = 0; i < 1000; i++) {
		snprintf(body, sizeof(body), "{\"local\":\"127.0.%d.%d:%u\",\"remote\":\":80\"}",
			 i / 250, 1 + i % 250, port);
		check(guest_path, "POST", EXPOSE, body, 200, "");
	}
	ck_assert_uint_eq(publish_count(publish), 1000);
	for (int i = 0; i < 1000; i++) {
		snprintf(body, sizeof(body), "{\"local\":\"127.0.%d.%d:%u\"}", i / 250, 1 + i % 250,
			 port);
		check(guest_path, "POST", UNEXPOSE, body, 200, "");
	}
	ck_assert_uint_eq(publish_count(publish), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api");
	TCase *tcase = unit_case(suite, "all", setup, teardown);

	log_set_levels("warn");
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, expose_and_unexpose);
	tcase_add_test(tcase, default_guest);
	tcase_add_test(tcase, picked_port);
	tcase_add_test(tcase, host_errors);
	tcase_add_test(tcase, guests);
	tcase_add_test(tcase, not_for_guests);
	tcase_add_test(tcase, network);
	tcase_add_test(tcase, dns);
	tcase_add_test(tcase, zones);
	tcase_add_test(tcase, tcp_and_web_pages);
	tcase_add_test(tcase, doors_that_do_not_open);
	tcase_add_test(tcase, replaced_file);
	tcase_add_test(tcase, a_thousand_forwards);
	return unit_run(suite);
}
