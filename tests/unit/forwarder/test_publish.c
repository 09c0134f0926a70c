/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: the table, its owners, and clients on the host's loopback. */
#include "forwarder/publish.h"

#include <stdio.h>
#include <sys/resource.h>

#include "flow_test.h"

static struct publish *publish;

/* Adds one; returns what publish_add() does, with where it listens. */
static int add(const struct publish_spec *s, struct endpoint *ret_bound,
	       const struct publish_spec **ret_holder)
{
	struct publish_failure failure = {0};
	struct publish_spec one = *s;
	int r = publish_add(publish, &one, 1, 0, &failure);

	if (ret_bound)
		*ret_bound = one.local;
	if (ret_holder)
		*ret_holder = failure.holder;
	return r;
}

static const struct publish_owner host = {.kind = PUBLISH_OWNER_HOST};
static const struct publish_owner guest_1 = {.kind = PUBLISH_OWNER_GUEST, .id = 1};
static const struct publish_owner guest_2 = {.kind = PUBLISH_OWNER_GUEST, .id = 2};

static struct publish_spec spec(const char *text, enum publish_protocol protocol,
				const struct publish_owner *owner)
{
	struct publish_spec s = {.protocol = protocol, .owner = *owner};

	ck_assert_int_eq(endpoint_parse("127.0.0.1:0", true, &s.local), 0);
	ck_assert_int_eq(endpoint_parse("192.168.65.2:7000", false, &s.remote), 0);
	strcpy(s.local_text, text);
	return s;
}

static void start(void)
{
	ck_assert_int_eq(publish_new(loop, forwarder, &publish), 0);
}

static int connect_to(const struct endpoint *to, int type, uint16_t *ret_port)
{
	struct sockaddr_storage sa;
	struct sockaddr_in own;
	socklen_t size = endpoint_to_sockaddr(to, &sa), own_size = sizeof(own);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &own_size), 0);
	*ret_port = ntohs(own.sin_port);
	return fd;
}

START_TEST(client_appears_as_the_gateway)
{
	struct publish_spec s = spec("a", PUBLISH_TCP, &host);
	struct endpoint bound;
	char bytes[4];
	int fd;

	start();
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	ck_assert_uint_ne(bound.port, 0);
	fd = connect_to(&bound, SOCK_STREAM, &tcp.peer.port);
	tcp.peer.addr = address("192.168.65.1");
	tcp.self.port = 7000;
	tcp.listening = true;
	UNTIL(tcp.established);
	tcp.to_send = 4;
	UNTIL(recv(fd, bytes, 4, MSG_DONTWAIT) == 4);
	ck_assert_uint_eq((uint8_t)bytes[1], sim_tcp_byte(1));
	/* Connections outlive their forward. */
	ck_assert_int_eq(publish_remove(publish, "a", PUBLISH_TCP, &host), 0);
	bytes[0] = (char)sim_tcp_byte(0);
	ck_assert_int_eq(send(fd, bytes, 1, 0), 1);
	UNTIL(tcp.received == 1);
	close(fd);
	publish_free(publish);
}
END_TEST

START_TEST(guest_refuses)
{
	struct publish_spec s = spec("a", PUBLISH_TCP, &host);
	struct endpoint bound;
	char byte;
	int fd;

	start();
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	fd = connect_to(&bound, SOCK_STREAM, &tcp.peer.port);
	tcp.peer.addr = address("192.168.65.1");
	tcp.self.port = 7000;
	UNTIL(tcp.irs);
	sim_tcp_segment(&tcp, SIM_TCP_RST | SIM_TCP_ACK, 0, tcp.irs + 1, NULL, 0, NULL, 0);
	errno = 0;
	UNTIL(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET);
	close(fd);
	publish_free(publish);
}
END_TEST

START_TEST(udp_client)
{
	struct publish_spec s = spec("u", PUBLISH_UDP, &host);
	struct endpoint bound;
	uint16_t port;
	char bytes[10];
	int fd;
	static uint8_t frame[SIM_PACKET_MAX];
	struct sim_packet answer = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.src = tcp.self.addr,
		.dst = address("192.168.65.1"),
		.protocol = IPPROTO_UDP,
		.src_port = 7000,
		.payload = (const uint8_t *)"pong",
		.payload_size = 4,
	};

	start();
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	fd = connect_to(&bound, SOCK_DGRAM, &port);
	ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
	UNTIL(other);
	ck_assert_mem_eq(other->bytes + 26, "\xc0\xa8\x41\x01", 4);
	ck_assert_uint_eq(be16(other->bytes + 34), port);
	ck_assert_uint_eq(be16(other->bytes + 36), 7000);
	ck_assert_mem_eq(other->bytes + 42, "ping", 4);
	answer.dst_port = port;
	sim_link_inject(guest_link, frame, sim_packet_build(&answer, frame));
	UNTIL(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 4);
	ck_assert_mem_eq(bytes, "pong", 4);
	close(fd);
	publish_free(publish);
}
END_TEST

/* Nobody is there in the guest: it is counted, and a new attempt is a new one. */
START_TEST(udp_guest_refuses)
{
	struct publish_spec s = spec("u", PUBLISH_UDP, &host);
	struct publish_info info;
	struct endpoint bound;
	uint16_t port;
	int fd;

	start();
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	fd = connect_to(&bound, SOCK_DGRAM, &port);
	for (unsigned i = 1; i <= 2; i++) {
		unsigned before = others;

		ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
		UNTIL(others > before);
		ck_assert_int_eq(publish_find(publish, "u", PUBLISH_UDP, &info), 0);
		ck_assert_uint_eq(info.active, 1);
		guest_says_refused(guest_link, &guest_mac, other);
		ck_assert_int_eq(publish_find(publish, "u", PUBLISH_UDP, &info), 0);
		ck_assert_uint_eq(info.active, 0);
		ck_assert_uint_eq(info.refused, i);
	}
	close(fd);
	publish_free(publish);
}
END_TEST

/* The answer of a container behind the guest is taken while its client is there, and only then. */
START_TEST(udp_client_behind)
{
	struct publish_spec s = spec("u", PUBLISH_UDP, &host);
	struct endpoint bound;
	uint16_t port;
	char bytes[10];
	int fd;
	static uint8_t frame[SIM_PACKET_MAX];
	struct sim_packet answer = {
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.src = address("10.88.0.5"),
		.dst = address("192.168.65.1"),
		.protocol = IPPROTO_UDP,
		.src_port = 7000,
		.payload = (const uint8_t *)"pong",
		.payload_size = 4,
	};

	start();
	s.remote.addr = answer.src;
	s.via = tcp.self.addr;
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	fd = connect_to(&bound, SOCK_DGRAM, &port);
	answer.dst_port = port;
	sim_link_inject(guest_link, frame, sim_packet_build(&answer, frame));
	ck_assert_uint_eq(forwarder_counters(forwarder).stack.rx_spoofed, 1);
	ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
	UNTIL(other);
	ck_assert_mem_eq(other->bytes, guest_mac.bytes, 6);
	ck_assert_mem_eq(other->bytes + 30, "\x0a\x58\x00\x05", 4);
	ck_assert_mem_eq(other->bytes + 42, "ping", 4);
	sim_link_inject(guest_link, frame, sim_packet_build(&answer, frame));
	UNTIL(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 4);
	ck_assert_mem_eq(bytes, "pong", 4);
	/* To somebody else than its client, it makes no flow of its own. */
	answer.dst = address("10.1.2.3");
	sim_link_inject(guest_link, frame, sim_packet_build(&answer, frame));
	ck_assert_uint_eq(forwarder_counters(forwarder).udp_flows, 0);
	ck_assert_uint_eq(forwarder_counters(forwarder).stack.rx_spoofed, 1);
	ck_assert_int_eq(publish_remove(publish, "u", PUBLISH_UDP, &host), 0);
	sim_link_inject(guest_link, frame, sim_packet_build(&answer, frame));
	ck_assert_uint_eq(forwarder_counters(forwarder).stack.rx_spoofed, 2);
	close(fd);
	publish_free(publish);
}
END_TEST

START_TEST(one_of_each_name)
{
	struct publish_spec s = spec("a", PUBLISH_TCP, &guest_1), taken;
	const struct publish_spec *holder = NULL;
	struct endpoint bound;

	start();
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	ck_assert_int_eq(add(&s, NULL, &holder), -EEXIST);
	ck_assert_uint_eq(holder->owner.id, 1);
	s.protocol = PUBLISH_UDP;
	ck_assert_int_eq(add(&s, NULL, NULL), 0);
	/* The host's port is taken, though by another name. */
	taken = spec("b", PUBLISH_TCP, &host);
	taken.local = bound;
	ck_assert_int_eq(add(&taken, NULL, NULL), -EADDRINUSE);
	taken.local.addr = address("203.0.113.7");
	ck_assert_int_eq(add(&taken, NULL, NULL), -EADDRNOTAVAIL);
	ck_assert_uint_eq(publish_count(publish), 2);
	publish_free(publish);
}
END_TEST

START_TEST(guests_only)
{
	static const char *const wrong[] = {"192.168.65.1:80", "192.168.65.254:80", "10.0.0.1:80",
					    "127.0.0.1:80"};
	struct publish_spec s = spec("a", PUBLISH_TCP, &host);

	start();
	for (unsigned i = 0; i < 4; i++) {
		endpoint_parse(wrong[i], false, &s.remote);
		ck_assert_int_eq(add(&s, NULL, NULL), -EHOSTUNREACH);
	}
	publish_free(publish);
}
END_TEST

START_TEST(owners)
{
	struct publish_spec a = spec("a", PUBLISH_TCP, &guest_1);
	struct publish_spec b = spec("b", PUBLISH_TCP, &guest_2);
	struct publish_spec c = spec("c", PUBLISH_UDP, &guest_1);
	struct publish_owner for_another = guest_1;

	strcpy(for_another.text, "another");
	start();
	ck_assert_int_eq(add(&a, NULL, NULL), 0);
	ck_assert_int_eq(add(&b, NULL, NULL), 0);
	ck_assert_int_eq(add(&c, NULL, NULL), 0);
	ck_assert_int_eq(publish_remove(publish, "a", PUBLISH_TCP, &guest_2), -EPERM);
	ck_assert_int_eq(publish_remove(publish, "a", PUBLISH_UDP, &guest_1), -ENOENT);
	ck_assert_int_eq(publish_remove(publish, "a", PUBLISH_TCP, &for_another), -EPERM);
	ck_assert_int_eq(publish_remove(publish, "b", PUBLISH_TCP, &host), 0);
	ck_assert_uint_eq(publish_remove_owner(publish, &guest_1), 2);
	ck_assert_uint_eq(publish_remove_owner(publish, &guest_1), 0);
	ck_assert_uint_eq(publish_count(publish), 0);
	publish_free(publish);
}
END_TEST

static char listing[100];

static void on_visit(void *arg, const struct publish_info *info)
{
	(void)arg;
	strcat(listing, info->spec->local_text);
	strcat(listing, info->spec->protocol == PUBLISH_TCP ? "/tcp " : "/udp ");
}

START_TEST(sorted)
{
	static const char *const names[] = {"b", "a", "c", "ab"};
	struct publish_spec s;

	start();
	for (unsigned i = 0; i < 4; i++) {
		s = spec(names[i], PUBLISH_UDP, &host);
		ck_assert_int_eq(add(&s, NULL, NULL), 0);
	}
	s = spec("b", PUBLISH_TCP, &host);
	ck_assert_int_eq(add(&s, NULL, NULL), 0);
	publish_for_each(publish, on_visit, NULL);
	ck_assert_str_eq(listing, "a/udp ab/udp b/tcp b/udp c/udp ");
	publish_free(publish);
}
END_TEST

/* All or none; what is there already may be counted in. */
START_TEST(all_or_none)
{
	struct publish_spec specs[3] = {spec("a", PUBLISH_TCP, &host),
					spec("b", PUBLISH_UDP, &host),
					spec("c", PUBLISH_TCP, &host)};
	struct publish_spec again[3];
	struct publish_failure failure;

	start();
	specs[2].remote.addr = address("10.0.0.1");
	ck_assert_int_eq(publish_add(publish, specs, 3, 0, &failure), -EHOSTUNREACH);
	ck_assert_uint_eq(failure.index, 2);
	ck_assert_ptr_nonnull(strstr(failure.why, "192.168.65.0/24"));
	ck_assert_uint_eq(publish_count(publish), 0);
	specs[2].remote.addr = specs[0].remote.addr;
	ck_assert_int_eq(publish_add(publish, specs, 3, 0, &failure), 0);
	memcpy(again, specs, sizeof(again));
	ck_assert_int_eq(publish_add(publish, again, 3, 0, &failure), -EEXIST);
	ck_assert_int_eq(publish_add(publish, again, 3, PUBLISH_AGAIN_OK, &failure), 0);
	ck_assert_uint_eq(publish_count(publish), 3);
	/* What was there before stays when the new can't be had. */
	again[1] = spec("d", PUBLISH_TCP, &host);
	again[2].remote.port++;
	ck_assert_int_eq(publish_add(publish, again, 3, PUBLISH_AGAIN_OK, &failure), -EEXIST);
	ck_assert_str_eq(failure.holder->local_text, "c");
	ck_assert_uint_eq(publish_count(publish), 3);
	ck_assert_int_eq(publish_remove(publish, "d", PUBLISH_TCP, &host), -ENOENT);
	publish_free(publish);
}
END_TEST

/* Guests leave descriptors for others. */
START_TEST(guests_share)
{
	struct rlimit limit, low;
	char text[16];
	unsigned most;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 320;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	start();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	most = 320 / PUBLISH_GUESTS_FD_SHARE;
	for (unsigned i = 0; i <= most; i++) {
		struct publish_spec s;

		snprintf(text, sizeof(text), "%u", i);
		s = spec(text, PUBLISH_UDP, i % 2 ? &guest_1 : &guest_2);
		ck_assert_int_eq(add(&s, NULL, NULL), i < most ? 0 : -ENOSPC);
		s.owner = host;
		ck_assert_int_eq(add(&s, NULL, NULL), i < most ? -EEXIST : 0);
	}
	ck_assert_uint_eq(publish_remove_owner(publish, &guest_1), most / 2);
	ck_assert_int_eq(add(&(struct publish_spec){0}, NULL, NULL), -EINVAL);
	struct publish_spec s = spec("again", PUBLISH_UDP, &guest_2);
	ck_assert_int_eq(add(&s, NULL, NULL), 0);
	publish_free(publish);
}
END_TEST

static char told[100];

static void on_told(void *arg, const struct publish_info *info, bool added)
{
	(void)arg;
	strcat(told, added ? "+" : "-");
	strcat(strcat(told, info->spec->local_text), " ");
}

START_TEST(watchers)
{
	struct publish_watcher watcher = {.fn = on_told};
	struct publish_spec specs[2] = {spec("a", PUBLISH_TCP, &guest_1),
					spec("b", PUBLISH_TCP, &guest_1)};
	struct publish_spec bad[2] = {spec("c", PUBLISH_TCP, &host), spec("a", PUBLISH_TCP, &host)};

	start();
	told[0] = '\0';
	publish_watch(publish, &watcher);
	ck_assert_int_eq(publish_add(publish, specs, 2, 0, NULL), 0);
	ck_assert_int_eq(publish_add(publish, bad, 2, 0, NULL), -EEXIST);
	ck_assert_int_eq(publish_remove(publish, "a", PUBLISH_TCP, &host), 0);
	ck_assert_uint_eq(publish_remove_owner(publish, &guest_1), 1);
	ck_assert_str_eq(told, "+a +b -a -b ");
	publish_unwatch(&watcher);
	publish_free(publish);
}
END_TEST

/* An address that is free again takes its guest's forwards along, and no others. */
START_TEST(address_gone)
{
	struct publish_spec specs[4] = {
		spec("a", PUBLISH_TCP, &guest_1), spec("b", PUBLISH_TCP, &host),
		spec("c", PUBLISH_TCP, &guest_2), spec("d", PUBLISH_TCP, &guest_1)};
	struct addr gone = address("192.168.65.2");

	start();
	specs[2].remote.addr = address("192.168.65.3");
	specs[3].remote.addr = address("10.88.0.5");
	specs[3].via = gone;
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(add(&specs[i], NULL, NULL), 0);
	forwarder_address_gone(forwarder, &gone);
	publish_for_each(publish, on_visit, NULL);
	ck_assert_str_eq(listing, "b/tcp c/tcp ");
	publish_free(publish);
}
END_TEST

START_TEST(names)
{
	struct publish_spec a = spec("a", PUBLISH_TCP, &guest_1), b = spec("b", PUBLISH_TCP, &host);

	start();
	strcpy(a.name, "web");
	strcpy(b.name, "web");
	ck_assert_int_eq(add(&a, NULL, NULL), 0);
	ck_assert_int_eq(add(&b, NULL, NULL), 0);
	ck_assert_uint_eq(publish_remove_name(publish, "", &host), 0);
	ck_assert_uint_eq(publish_remove_name(publish, "web", &guest_2), 0);
	ck_assert_uint_eq(publish_remove_name(publish, "web", &guest_1), 1);
	ck_assert_uint_eq(publish_remove_name(publish, "web", &host), 1);
	publish_free(publish);
}
END_TEST

static struct addr web;

static int resolve(void *arg, const char *guest, sa_family_t family, struct addr *ret)
{
	(void)arg;
	(void)family;
	if (strcmp(guest, "web") != 0 || web.family == AF_UNSPEC)
		return -ENOENT;
	*ret = web;
	return 0;
}

/* A name stands for whoever has it when a client comes; what the guest gets first is the header. */
START_TEST(by_name_with_header)
{
	struct publish_spec s = spec("a", PUBLISH_TCP, &host);
	struct publish_info info;
	struct endpoint bound;
	char byte;
	int fd;

	start();
	publish_set_resolver(publish, resolve, NULL);
	web = (struct addr){0};
	s.remote.addr = web;
	strcpy(s.guest, "web");
	s.proxy_v2 = true;
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	fd = connect_to(&bound, SOCK_STREAM, &tcp.peer.port);
	errno = 0;
	UNTIL(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET);
	close(fd);
	web = address("192.168.65.2");
	fd = connect_to(&bound, SOCK_STREAM, &tcp.peer.port);
	tcp.peer.addr = address("192.168.65.1");
	tcp.self.port = 7000;
	tcp.listening = true;
	UNTIL(tcp.received == 28);
	ck_assert_int_eq(publish_find(publish, "a", PUBLISH_TCP, &info), 0);
	ck_assert_uint_eq(info.connections, 2);
	ck_assert_uint_eq(info.refused, 1);
	ck_assert_uint_eq(info.active, 1);
	ck_assert_uint_eq(info.bytes_to_guest, 0);
	close(fd);
	publish_free(publish);
}
END_TEST

/* A client that the guest has not answered when everything ends. */
START_TEST(ends_while_dialling)
{
	struct publish_spec s = spec("a", PUBLISH_TCP, &host);
	struct endpoint bound;
	uint16_t port;
	int fd;

	start();
	ck_assert_int_eq(add(&s, &bound, NULL), 0);
	fd = connect_to(&bound, SOCK_STREAM, &port);
	UNTIL(others > 0);
	close(fd);
	publish_free(publish);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		client_appears_as_the_gateway,
		guest_refuses,
		udp_client,
		udp_guest_refuses,
		udp_client_behind,
		one_of_each_name,
		guests_only,
		owners,
		sorted,
		all_or_none,
		guests_share,
		watchers,
		address_gone,
		names,
		by_name_with_header,
		ends_while_dialling,
		NULL,
	};

	return run("publish", tests);
}
