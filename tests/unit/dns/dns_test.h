/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the DNS tests: queries made from text, replies taken apart, and resolvers on loopback
 * sockets. */
#ifndef TESTS_UNIT_DNS_DNS_TEST_H
#define TESTS_UNIT_DNS_DNS_TEST_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/sock.h"
#include "dns/dns_resolvconf.h"
#include "dns/dns_wire.h"

static inline struct addr test_addr(const char *text)
{
	struct addr addr = {.family = AF_UNSPEC};

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

static inline struct dns_name test_name(const char *text)
{
	struct dns_name name;

	ck_assert_int_eq(dns_name_parse(text, &name), 0);
	return name;
}

/* A query's message; an EDNS record with that size unless it is 0. Returns its size. */
static inline size_t test_query(uint16_t id, const char *text, uint16_t type, uint16_t edns_size,
				uint8_t to[static 512])
{
	struct wire_writer w = wire_writer(to, 512);
	struct dns_name name = test_name(text);

	wire_put_be16(&w, id);
	wire_put_be16(&w, DNS_FLAG_RD);
	wire_put_be16(&w, 1);
	wire_put_be32(&w, 0);
	wire_put_be16(&w, edns_size != 0);
	wire_put_bytes(&w, name.wire, name.size);
	wire_put_be16(&w, type);
	wire_put_be16(&w, DNS_CLASS_IN);
	if (edns_size) {
		wire_put_u8(&w, 0);
		wire_put_be16(&w, DNS_TYPE_OPT);
		wire_put_be16(&w, edns_size);
		wire_put_be32(&w, 0);
		wire_put_be16(&w, 0);
	}
	ck_assert(wire_fits(&w));
	return wire_written(&w);
}

/* The same, decoded. */
static inline struct dns_query test_parsed_query(const char *text, uint16_t type)
{
	uint8_t message[512];
	struct dns_query query;
	size_t size = test_query(7, text, type, 0, message);

	ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
	ck_assert_int_eq(query.rcode, DNS_RCODE_NOERROR);
	return query;
}

/* A reply, taken apart. */
struct test_reply {
	uint16_t id;
	uint16_t flags;
	int rcode;
	bool has_question;
	struct dns_name name;
	unsigned answer_count;
	unsigned authority_count;
	struct {
		uint16_t type;
		struct addr addr;
		struct dns_name target; /* of PTR; of SOA: the owner */
	} records[16];                  /* answers, then authorities */
	bool has_opt;
	int ede; /* -1: none */
};

static inline void test_read_record(struct wire_reader *r, struct test_reply *reply, unsigned index)
{
	struct dns_name owner;

	dns_name_read(r, &owner);
	uint16_t type = wire_be16(r);
	uint16_t class = wire_be16(r);
	uint32_t ttl = wire_be32(r);
	struct wire_reader data = *r;
	size_t size = wire_be16(&data);
	wire_skip(r, 2 + size);
	if (type == DNS_TYPE_OPT) {
		reply->has_opt = true;
		reply->rcode |= (int)(ttl >> 24 << 4);
		if (size >= 6 && wire_be16(&data) == 15) {
			wire_skip(&data, 2);
			reply->ede = wire_be16(&data);
		}
		return;
	}
	ck_assert_int_eq(class, DNS_CLASS_IN);
	ck_assert_uint_lt(index, 16);
	reply->records[index].type = type;
	if (type == DNS_TYPE_A) {
		reply->records[index].addr.family = AF_INET;
		wire_copy(&data, &reply->records[index].addr.v4, 4);
	} else if (type == DNS_TYPE_AAAA) {
		reply->records[index].addr.family = AF_INET6;
		wire_copy(&data, &reply->records[index].addr.v6, 16);
	} else if (type == DNS_TYPE_PTR) {
		dns_name_read(&data, &reply->records[index].target);
	} else if (type == DNS_TYPE_SOA) {
		reply->records[index].target = owner;
	}
	ck_assert(wire_ok(&data));
}

static inline struct test_reply test_read_reply(const void *message, size_t size)
{
	struct wire_reader r = wire_reader(message, size);
	struct test_reply reply = {.ede = -1};

	reply.id = wire_be16(&r);
	reply.flags = wire_be16(&r);
	reply.rcode = reply.flags & DNS_FLAG_RCODE;
	reply.has_question = wire_be16(&r) == 1;
	reply.answer_count = wire_be16(&r);
	reply.authority_count = wire_be16(&r);
	unsigned additional_count = wire_be16(&r);
	ck_assert(reply.flags & DNS_FLAG_QR);
	if (reply.has_question) {
		dns_name_read(&r, &reply.name);
		wire_skip(&r, 4);
	}
	for (unsigned i = 0; i < reply.answer_count + reply.authority_count + additional_count; i++)
		test_read_record(&r, &reply, i);
	ck_assert(wire_ok(&r));
	ck_assert_uint_eq(wire_left(&r), 0);
	return reply;
}

static inline void test_assert_addr(const struct addr *addr, const char *text)
{
	char to[ADDR_TEXT_MAX];

	ck_assert_str_eq(addr_format(addr, to), text);
}

static inline void test_assert_name(const struct dns_name *name, const char *text)
{
	char to[DNS_NAME_TEXT_MAX];

	ck_assert_str_eq(dns_name_format(name, to), text);
}

/* A resolver on a loopback port, played by the test: its sockets are read by hand. */
struct test_resolver {
	int udp_fd;
	int tcp_fd;
	struct dns_resolver address;
};

static inline struct test_resolver test_resolver_open(void)
{
	struct test_resolver resolver;
	struct endpoint at = {.addr = test_addr("127.0.0.1")};

	/* The same port for both: somebody else may hold the TCP one. */
	for (int i = 0;; i++) {
		at.port = 0;
		ck_assert_int_eq(sock_bind_udp(&at, &resolver.udp_fd, &at), 0);
		if (sock_listen_tcp(&at, 16, &resolver.tcp_fd, NULL) == 0)
			break;
		fd_close(&resolver.udp_fd);
		ck_assert_int_lt(i, 20);
	}
	resolver.address = (struct dns_resolver){.endpoint = at};
	return resolver;
}

static inline void test_resolver_close(struct test_resolver *resolver)
{
	fd_close(&resolver->udp_fd);
	fd_close(&resolver->tcp_fd);
}

/* Waits for a datagram, running the loop. Returns its size. */
static inline size_t test_resolver_receive(struct loop *loop, const struct test_resolver *resolver,
					   uint8_t to[static 512],
					   struct sockaddr_storage *ret_from)
{
	for (;;) {
		socklen_t from_size = sizeof(*ret_from);
		ssize_t n = recvfrom(resolver->udp_fd, to, 512, 0, (struct sockaddr *)ret_from,
				     &from_size);

		if (n >= 0)
			return (size_t)n;
		ck_assert_int_eq(errno, EAGAIN);
		loop_run_once(loop, true);
	}
}

static inline void test_resolver_send(const struct test_resolver *resolver,
				      const struct sockaddr_storage *to, const void *message,
				      size_t size)
{
	ck_assert_int_eq(sendto(resolver->udp_fd, message, size, 0, (const struct sockaddr *)to,
				sizeof(struct sockaddr_in)),
			 (int)size);
}

/* Turns a query's message into a reply with this code and `extra` bytes of padding behind it. */
static inline size_t test_make_reply(uint8_t *message, size_t size, int rcode, size_t extra)
{
	message[2] |= 0x80;
	message[3] = (uint8_t)(0x80 | rcode);
	memset(message + size, 0x5a, extra);
	return size + extra;
}

#endif
