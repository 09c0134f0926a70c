/* SPDX-License-Identifier: Apache-2.0 */
/* The server as its users see it: queries in, replies out, over datagrams and streams. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "dns/dns_server.h"
#include "dns/dns_stream.h"
#include "dns_test.h"
#include "unit.h"

static struct loop *loop;
static struct dns_server *server;
static struct test_resolver resolver;
static struct endpoint client;
static char error[256];

struct inbox {
	unsigned count;
	size_t size;
	uint8_t bytes[65536];
};

static struct inbox inbox;

static void start_with(struct dns_conf *conf)
{
	conf->gateway4 = test_addr("192.168.65.1");
	conf->host4 = test_addr("192.168.65.254");
	ck_assert_int_eq(prefix_parse("192.168.65.0/24", &conf->subnet4), 0);
	conf->try_ms = 30;
	conf->deadline_ms = 60;
	conf->hosts_path = conf->hosts_path ? conf->hosts_path : "";
	conf->resolv_conf_path = conf->resolv_conf_path ? conf->resolv_conf_path : "";
	ck_assert_msg(dns_server_new(loop, conf, error, sizeof(error), &server) == 0, "%s", error);
}

static void start(void)
{
	struct dns_conf conf = {.resolvers = &resolver.address, .resolver_count = 1};

	start_with(&conf);
}

static void setup(void)
{
	ck_assert_int_eq(loop_new(&loop), 0);
	resolver = test_resolver_open();
	client = (struct endpoint){.addr = test_addr("192.168.65.2"), .port = 4000};
	inbox = (struct inbox){0};
}

static void teardown(void)
{
	dns_server_free(server);
	server = NULL;
	test_resolver_close(&resolver);
	loop_free(loop);
}

static void deliver(void *arg, const void *reply, size_t size)
{
	struct inbox *to = arg;

	to->count++;
	to->size = size;
	if (reply)
		memcpy(to->bytes, reply, size);
}

static int ask(enum dns_transport transport, const char *name, uint16_t edns_size)
{
	uint8_t message[512];
	size_t size = test_query(0xabcd, name, DNS_TYPE_A, edns_size, message);

	inbox.count = 0;
	return dns_server_query(server, transport, &client, message, size, deliver, &inbox);
}

static struct test_reply reply(void)
{
	while (inbox.count == 0)
		loop_run_once(loop, true);
	ck_assert_uint_eq(inbox.count, 1);
	struct test_reply got = test_read_reply(inbox.bytes, inbox.size);
	ck_assert_uint_eq(got.id, 0xabcd);
	return got;
}

START_TEST(local_names_are_answered_at_once)
{
	start();
	ck_assert_int_eq(ask(DNS_UDP, "host.internal", 0), 0);
	ck_assert_uint_eq(inbox.count, 1);
	struct test_reply got = reply();
	test_assert_addr(&got.records[0].addr, "192.168.65.254");
	ck_assert_uint_eq(dns_server_stats(server).local, 1);
}
END_TEST

START_TEST(replies_pass_unchanged_but_for_the_id)
{
	struct sockaddr_storage from;
	uint8_t message[2048];

	start();
	ck_assert_int_eq(ask(DNS_UDP, "example.com", 4096), 0);
	size_t size = test_resolver_receive(loop, &resolver, message, &from);
	size = test_make_reply(message, size, DNS_RCODE_NOERROR, 1000);
	message[2] |= 0x04; /* AA, which we must not judge */
	test_resolver_send(&resolver, &from, message, size);
	while (inbox.count == 0)
		loop_run_once(loop, true);
	message[0] = 0xab;
	message[1] = 0xcd;
	ck_assert_uint_eq(inbox.size, size);
	ck_assert_mem_eq(inbox.bytes, message, size);
}
END_TEST

START_TEST(large_replies_are_truncated_for_udp)
{
	struct sockaddr_storage from;
	uint8_t message[2048];

	for (uint16_t edns = 0; edns <= 1000; edns += 1000) {
		start();
		ck_assert_int_eq(ask(DNS_UDP, "example.com", edns), 0);
		size_t size = test_resolver_receive(loop, &resolver, message, &from);
		size_t limit = edns ? edns : 512;
		size = test_make_reply(message, size, DNS_RCODE_NOERROR, limit - size + 1);
		test_resolver_send(&resolver, &from, message, size);
		struct test_reply got = reply();
		ck_assert(got.flags & DNS_FLAG_TC);
		ck_assert(got.has_question);
		ck_assert_int_eq(got.has_opt, edns != 0);
		ck_assert_uint_lt(inbox.size, 512);
		ck_assert_uint_eq(dns_server_stats(server).truncated, 1);
		dns_server_free(server);
	}
	server = NULL;
}
END_TEST

START_TEST(failure_is_servfail_and_says_why)
{
	start();
	ck_assert_int_eq(ask(DNS_UDP, "example.com", 1232), 0);
	ck_assert_uint_eq(inbox.count, 0);
	struct test_reply got = reply();
	ck_assert_int_eq(got.rcode, DNS_RCODE_SERVFAIL);
	ck_assert_int_eq(got.ede, DNS_EDE_NO_REACHABLE);
	ck_assert_uint_eq(dns_server_stats(server).servfail, 1);
}
END_TEST

START_TEST(without_resolvers_local_names_still_work)
{
	struct dns_conf conf = {0};

	start_with(&conf);
	ck_assert_int_eq(ask(DNS_UDP, "example.com", 0), 0);
	ck_assert_uint_eq(inbox.count, 1);
	ck_assert_int_eq(reply().rcode, DNS_RCODE_SERVFAIL);
	ck_assert_int_eq(ask(DNS_UDP, "gateway.internal", 0), 0);
	ck_assert_int_eq(reply().rcode, DNS_RCODE_NOERROR);
}
END_TEST

START_TEST(bad_messages)
{
	static uint8_t large[DNS_QUERY_SIZE_MAX + 1];
	uint8_t message[512];
	size_t size = test_query(0xabcd, "a.b", DNS_TYPE_AXFR, 0, message);

	start();
	ck_assert_int_eq(dns_server_query(server, DNS_UDP, &client, "short", 5, deliver, &inbox),
			 -EBADMSG);
	ck_assert_uint_eq(inbox.count, 0);
	ck_assert_int_eq(dns_server_query(server, DNS_TCP, &client, message, size, deliver, &inbox),
			 0);
	ck_assert_int_eq(reply().rcode, DNS_RCODE_REFUSED);
	inbox.count = 0;
	ck_assert_int_eq(
		dns_server_query(server, DNS_UDP, &client, message, size - 1, deliver, &inbox), 0);
	ck_assert_int_eq(reply().rcode, DNS_RCODE_FORMERR);
	message[size - 3] = DNS_TYPE_A;
	memcpy(large, message, size);
	inbox.count = 0;
	ck_assert_int_eq(
		dns_server_query(server, DNS_TCP, &client, large, sizeof(large), deliver, &inbox),
		0);
	ck_assert_int_eq(reply().rcode, DNS_RCODE_FORMERR);
	ck_assert_uint_eq(dns_server_stats(server).malformed, 3);
}
END_TEST

START_TEST(queries_are_cancelled_by_owner)
{
	struct inbox *other = calloc(1, sizeof(*other));
	uint8_t message[512];
	size_t size = test_query(1, "x.y", DNS_TYPE_A, 0, message);

	start();
	ck_assert_int_eq(ask(DNS_UDP, "example.com", 0), 0);
	ck_assert_int_eq(dns_server_query(server, DNS_UDP, &client, message, size, deliver, other),
			 0);
	dns_server_cancel(server, deliver, other);
	ck_assert_uint_eq(dns_server_stats(server).pending, 1);
	reply();
	ck_assert_uint_eq(other->count, 0);
	free(other);
}
END_TEST

START_TEST(what_is_under_way_ends_with_the_server)
{
	start();
	ck_assert_int_eq(ask(DNS_UDP, "example.com", 0), 0);
	dns_server_free(server);
	server = NULL;
	ck_assert_uint_eq(inbox.count, 1);
	ck_assert_uint_eq(inbox.size, 0);
}
END_TEST

START_TEST(names_are_routed_by_suffix)
{
	struct test_resolver corp = test_resolver_open(), deep = test_resolver_open();
	struct dns_route_conf routes[] = {
		{.suffix = "corp.example", .resolvers = &corp.address, .resolver_count = 1},
		{.suffix = "deep.corp.example.", .resolvers = &deep.address, .resolver_count = 1},
	};
	struct dns_conf conf = {.resolvers = &resolver.address,
				.resolver_count = 1,
				.routes = routes,
				.route_count = 2};
	const struct {
		const char *name;
		const struct test_resolver *by;
	} cases[] = {{"a.Corp.example", &corp},
		     {"corp.example", &corp},
		     {"a.deep.corp.example", &deep},
		     {"acorp.example", &resolver}};

	start_with(&conf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_storage from;
		uint8_t message[512];

		ck_assert_int_eq(ask(DNS_UDP, cases[i].name, 0), 0);
		size_t size = test_resolver_receive(loop, cases[i].by, message, &from);
		test_make_reply(message, size, DNS_RCODE_NOERROR, 0);
		test_resolver_send(cases[i].by, &from, message, size);
		ck_assert_int_eq(reply().rcode, DNS_RCODE_NOERROR);
	}
	test_resolver_close(&corp);
	test_resolver_close(&deep);
}
END_TEST

/* A route for a domain of ours is asked for what we don't know of it, and for nothing else. */
START_TEST(routes_know_more_than_we_do)
{
	struct dns_record_conf record = {.name = "a", .ip = test_addr("10.0.0.1")};
	struct dns_zone_conf zone = {.name = "z.test", .records = &record, .record_count = 1};
	struct dns_route_conf routes[] = {
		{.suffix = "z.test", .resolvers = &resolver.address, .resolver_count = 1},
		{.suffix = "b.vm.internal", .resolvers = &resolver.address, .resolver_count = 1},
		{.suffix = "docker.internal", .resolvers = &resolver.address, .resolver_count = 1},
	};
	struct dns_conf conf = {
		.zones = &zone, .zone_count = 1, .routes = routes, .route_count = 3};
	const struct {
		const char *name;
		bool is_relayed;
	} cases[] = {{"a.z.test", false},
		     {"b.z.test", true},
		     {"z.test", true},
		     {"a.vm.internal", false},
		     {"x.b.vm.internal", true},
		     {"x.host.docker.internal", false},
		     {"other.docker.internal", true}};

	start_with(&conf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = dns_server_stats(server).relayed;

		ck_assert_int_eq(ask(DNS_UDP, cases[i].name, 0), 0);
		ck_assert_msg(dns_server_stats(server).relayed - before == cases[i].is_relayed,
			      "%s", cases[i].name);
		reply();
	}
}
END_TEST

static void count(void *arg)
{
	unsigned *counter = arg;

	(*counter)++;
}

START_TEST(resolv_conf_and_hosts_are_read)
{
	unsigned changes = 0;
	char dir[] = "/tmp/netproxy-dns-XXXXXX", resolv[64], hosts[64], text[DNS_RESOLVER_TEXT_MAX];
	struct dns_conf conf = {
		.resolv_conf_path = resolv,
		.hosts_path = hosts,
		.resolvconf_changed = count,
		.resolvconf_changed_arg = &changes,
	};
	struct sockaddr_storage from;
	uint8_t message[512];
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(resolv, sizeof(resolv), "%s/resolv.conf", dir);
	snprintf(hosts, sizeof(hosts), "%s/hosts", dir);
	ck_assert_ptr_nonnull(f = fopen(resolv, "w"));
	fprintf(f, "nameserver %s\nsearch lan.example\n",
		dns_resolver_format(&resolver.address, text));
	fclose(f);
	ck_assert_ptr_nonnull(f = fopen(hosts, "w"));
	fprintf(f, "127.0.1.1 my.laptop\n");
	fclose(f);
	start_with(&conf);
	ck_assert_int_eq(ask(DNS_UDP, "my.laptop", 0), 0);
	struct test_reply got = reply();
	test_assert_addr(&got.records[0].addr, "192.168.65.254");
	ck_assert_int_eq(ask(DNS_UDP, "example.com", 0), 0);
	size_t size = test_resolver_receive(loop, &resolver, message, &from);
	test_make_reply(message, size, DNS_RCODE_NOERROR, 0);
	test_resolver_send(&resolver, &from, message, size);
	ck_assert_int_eq(reply().rcode, DNS_RCODE_NOERROR);
	ck_assert_uint_eq(dns_server_resolvconf(server)->search_count, 1);
	ck_assert_uint_eq(changes, 1);
	unlink(resolv);
	unlink(hosts);
	rmdir(dir);
}
END_TEST

START_TEST(zones_come_and_go)
{
	struct dns_record_conf record = {.name = "a", .ip = test_addr("10.0.0.1")};
	struct dns_zone_conf zone = {.name = "z.test", .records = &record, .record_count = 1};

	start();
	ck_assert_int_eq(dns_server_add_zone(server, &zone, error, sizeof(error)), 0);
	ck_assert_int_eq(ask(DNS_UDP, "a.z.test", 0), 0);
	ck_assert_uint_eq(reply().answer_count, 1);
	ck_assert_uint_eq(dns_server_zones(server)->count, 4);
	ck_assert_int_eq(dns_server_remove_zone(server, "z.test"), 0);
	ck_assert_uint_eq(dns_server_zones(server)->count, 3);
}
END_TEST

START_TEST(wrong_configurations_are_refused)
{
	struct dns_route_conf route = {
		.suffix = "a..b", .resolvers = &resolver.address, .resolver_count = 1};
	struct dns_conf bad_route = {.routes = &route, .route_count = 1};
	struct dns_conf bad_domain = {.guest_domain = "a b"};

	ck_assert_int_eq(dns_server_new(loop, &bad_route, error, sizeof(error), &server), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "a..b"));
	route = (struct dns_route_conf){.suffix = "a.b"};
	ck_assert_int_eq(dns_server_new(loop, &bad_route, error, sizeof(error), &server), -EINVAL);
	ck_assert_int_eq(dns_server_new(loop, &bad_domain, error, sizeof(error), &server), -EINVAL);
	ck_assert_ptr_null(server);
}
END_TEST

/* A client's end of a stream to the server. */
static int open_stream(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(fd_set_nonblocking(fds[0]), 0);
	ck_assert_int_eq(dns_server_serve_stream(server, fds[1], &client), 0);
	return fds[0];
}

static size_t frame(uint16_t id, const char *name, uint8_t to[static 514])
{
	size_t size = test_query(id, name, DNS_TYPE_A, 0, to + 2);

	to[0] = (uint8_t)(size >> 8);
	to[1] = (uint8_t)size;
	return size + 2;
}

/* Reads a whole message from a stream, running the loop. Returns its size, or 0 at the stream's
 * end. */
static size_t read_frame(int fd, uint8_t *to)
{
	size_t got = 0, size = 2;

	while (got < size) {
		ssize_t n = read(fd, to + got, size - got);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			loop_run_once(loop, false);
			continue;
		}
		got += (size_t)n;
		if (got == 2 && size == 2)
			size += (size_t)(to[0] << 8 | to[1]);
	}
	return size - 2;
}

START_TEST(stream_takes_messages_however_they_are_cut)
{
	uint8_t bytes[3 * 514], got[65537];
	size_t size = 0;

	start();
	for (uint16_t i = 0; i < 3; i++)
		size += frame(i, "host.internal", bytes + size);
	int fd = open_stream();
	for (size_t i = 0; i < size; i++) {
		ck_assert_int_eq(write(fd, bytes + i, 1), 1);
		loop_run_once(loop, false);
	}
	ck_assert_int_eq(write(fd, bytes, size), (int)size);
	for (uint16_t i = 0; i < 6; i++)
		ck_assert_uint_eq(test_read_reply(got + 2, read_frame(fd, got)).id, i % 3);
	fd_close(&fd);
	while (dns_server_stats(server).stream_count > 0)
		loop_run_once(loop, true);
}
END_TEST

START_TEST(stream_answers_what_was_asked_before_its_end)
{
	uint8_t bytes[514], got[65537];

	start();
	int fd = open_stream();
	size_t size = frame(9, "example.com", bytes);
	ck_assert_int_eq(write(fd, bytes, size), (int)size);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	/* Nobody serves TCP at the resolver: its backlog takes the connection, and the deadline
	 * ends it. */
	struct test_reply reply_got = test_read_reply(got + 2, read_frame(fd, got));
	ck_assert_int_eq(reply_got.rcode, DNS_RCODE_SERVFAIL);
	ck_assert_uint_eq(reply_got.id, 9);
	ck_assert_uint_eq(read_frame(fd, got), 0);
	fd_close(&fd);
}
END_TEST

START_TEST(stream_limits_what_is_under_way)
{
	uint8_t bytes[514];

	start();
	int fd = open_stream();
	for (uint16_t i = 0; i < 2 * DNS_STREAM_QUERIES_MAX; i++) {
		size_t size = frame(i, "example.com", bytes);

		ck_assert_int_eq(write(fd, bytes, size), (int)size);
	}
	for (int i = 0; i < 10; i++)
		loop_run_once(loop, false);
	ck_assert_uint_le(dns_server_stats(server).pending, DNS_STREAM_QUERIES_MAX);
	ck_assert_uint_gt(dns_server_stats(server).pending, 0);
	/* Gone with its client, and what it asked with it. */
	fd_close(&fd);
	dns_server_free(server);
	server = NULL;
}
END_TEST

START_TEST(stream_that_does_not_read_is_not_read)
{
	uint8_t bytes[514], got[65537];
	unsigned written = 0, answered = 0;

	start();
	int fd = open_stream();
	size_t size = frame(1, "host.internal", bytes);
	/* Until nothing goes in any more, for many rounds of the loop. */
	for (int idle = 0; idle < 50;) {
		if (write(fd, bytes, size) == (ssize_t)size) {
			written++;
			idle = 0;
			ck_assert_uint_lt(written, 100000);
		} else {
			idle++;
		}
		loop_run_once(loop, false);
	}
	while (answered < written) {
		ck_assert_uint_gt(read_frame(fd, got), 0);
		answered++;
	}
	fd_close(&fd);
}
END_TEST

START_TEST(stream_with_nonsense_is_closed)
{
	uint8_t got[65537];

	start();
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {{"\0\5hello", 7}, {"\xff\xff....", 6}, {"\0\14\0\0\200\0........", 14}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = open_stream();

		ck_assert_int_eq(write(fd, cases[i].bytes, cases[i].size), (int)cases[i].size);
		ck_assert_uint_eq(read_frame(fd, got), 0);
		fd_close(&fd);
	}
	ck_assert_uint_eq(dns_server_stats(server).stream_count, 0);
}
END_TEST

START_TEST(idle_stream_is_closed)
{
	struct dns_conf conf = {.stream_idle_ms = 20};
	uint8_t got[65537];

	start_with(&conf);
	int fd = open_stream();
	ck_assert_uint_eq(read_frame(fd, got), 0);
	fd_close(&fd);
}
END_TEST

START_TEST(streams_are_bounded)
{
	int fds[DNS_STREAMS_PER_CLIENT_MAX + 1];
	uint8_t got[65537];

	start();
	for (int i = 0; i <= DNS_STREAMS_PER_CLIENT_MAX; i++)
		fds[i] = open_stream();
	ck_assert_uint_eq(dns_server_stats(server).stream_count, DNS_STREAMS_PER_CLIENT_MAX);
	ck_assert_uint_eq(dns_server_stats(server).streams_cut, 1);
	/* The first one had been idle longest. */
	ck_assert_uint_eq(read_frame(fds[0], got), 0);
	for (int i = 0; i <= DNS_STREAMS_PER_CLIENT_MAX; i++)
		fd_close(&fds[i]);
}
END_TEST

/* Guests whose streams are all busy, with what nobody answers, keep nobody else out. */
START_TEST(busy_streams_give_way)
{
	int fds[DNS_STREAMS_MAX + 1];
	uint8_t bytes[514], got[65537];
	size_t size = frame(1, "nobody.answers.test", bytes);

	start();
	for (int i = 0; i < DNS_STREAMS_MAX; i++) {
		client.addr = addr_from_v4(0xc0a84102 + (uint32_t)i / DNS_STREAMS_PER_CLIENT_MAX);
		fds[i] = open_stream();
		ck_assert_int_eq(write(fds[i], bytes, size), (int)size);
		loop_run_once(loop, false);
	}
	client.addr = addr_from_v4(0xc0a84164);
	fds[DNS_STREAMS_MAX] = open_stream();
	ck_assert_uint_eq(dns_server_stats(server).stream_count, DNS_STREAMS_MAX);
	ck_assert_uint_eq(dns_server_stats(server).streams_cut, 1);
	ck_assert_uint_eq(read_frame(fds[0], got), 0);
	size = frame(2, "gateway.internal", bytes);
	ck_assert_int_eq(write(fds[DNS_STREAMS_MAX], bytes, size), (int)size);
	ck_assert_uint_gt(read_frame(fds[DNS_STREAMS_MAX], got), 0);
	for (int i = 0; i <= DNS_STREAMS_MAX; i++)
		fd_close(&fds[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_server");
	TCase *tc = unit_case(suite, "dns_server", setup, teardown);

	tcase_add_test(tc, local_names_are_answered_at_once);
	tcase_add_test(tc, replies_pass_unchanged_but_for_the_id);
	tcase_add_test(tc, large_replies_are_truncated_for_udp);
	tcase_add_test(tc, failure_is_servfail_and_says_why);
	tcase_add_test(tc, without_resolvers_local_names_still_work);
	tcase_add_test(tc, bad_messages);
	tcase_add_test(tc, queries_are_cancelled_by_owner);
	tcase_add_test(tc, what_is_under_way_ends_with_the_server);
	tcase_add_test(tc, names_are_routed_by_suffix);
	tcase_add_test(tc, routes_know_more_than_we_do);
	tcase_add_test(tc, resolv_conf_and_hosts_are_read);
	tcase_add_test(tc, zones_come_and_go);
	tcase_add_test(tc, wrong_configurations_are_refused);
	tcase_add_test(tc, stream_takes_messages_however_they_are_cut);
	tcase_add_test(tc, stream_answers_what_was_asked_before_its_end);
	tcase_add_test(tc, stream_limits_what_is_under_way);
	tcase_add_test(tc, stream_that_does_not_read_is_not_read);
	tcase_add_test(tc, stream_with_nonsense_is_closed);
	tcase_add_test(tc, idle_stream_is_closed);
	tcase_add_test(tc, streams_are_bounded);
	tcase_add_test(tc, busy_streams_give_way);
	return unit_run(suite);
}
