/* SPDX-License-Identifier: Apache-2.0 */
/* What the DHCPv6 tests share: messages as clients send them, a server with a clock that the test
 * moves, and looks into its replies. */
#ifndef TESTS_UNIT_DHCP_DHCP6_TEST_H
#define TESTS_UNIT_DHCP_DHCP6_TEST_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "dhcp/dhcp6_server.h"

#define LEASE_SECONDS 3600u
#define LEASE_MS      (LEASE_SECONDS * 1000ull)
#define PREFIX        "fd00:1:2:3::"

static const struct mac gateway_mac = {{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}};
static const uint8_t server_id[] = {0, 3, 0, 1, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd};
static const uint8_t search[] = "\2vm\10internal\0\4corp\4test";

/* A message under construction. */
struct draft {
	uint8_t bytes[2048];
	struct wire_writer w;
};

/* One network: the server, its clock, the last reply and the last event. */
struct net {
	struct dhcp6_server *server;
	struct dhcp6_sender sender; /* of messages; .mac is set from the client's number */
	uint64_t now_ms;
	struct dhcp6_reply reply;
	struct dhcp6_message answer; /* the reply, decoded */
	unsigned events[4];
	struct addr event_address;
	char event_hostname[DHCP_HOSTNAME_MAX];
};

static inline struct mac mac_of(uint32_t n)
{
	return (struct mac){{0x52, 0x54, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

static inline struct addr addr_of(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

/* The prefix's address with that last part. */
static inline struct addr host_addr(unsigned host)
{
	char text[64];

	snprintf(text, sizeof(text), PREFIX "%x:%x", host >> 16, host & 0xffff);
	return addr_of(text);
}

static inline struct dhcp6_conf basic_conf(void)
{
	struct dhcp6_conf conf = {
		.mac = gateway_mac,
		.gateway = addr_of(PREFIX "1"),
		.host_alias = addr_of(PREFIX "fe"),
		.domain = "vm.internal",
		.search = search,
		.search_size = sizeof(search),
		.lease_seconds = LEASE_SECONDS,
		.rapid_commit = true,
	};

	ck_assert_int_eq(prefix_parse(PREFIX "/64", &conf.prefix), 0);
	return conf;
}

static inline void note_event(void *arg, enum dhcp_lease_event event,
			      const struct dhcp_lease_info *lease)
{
	struct net *net = arg;

	net->events[event]++;
	net->event_address = lease->address;
	strcpy(net->event_hostname, lease->hostname);
}

static inline void net_open(struct net *net, const struct dhcp6_conf *conf)
{
	struct dhcp6_conf mine = *conf;

	*net = (struct net){.now_ms = 1000000, .sender = {.multicast = true}};
	mine.on_lease = note_event;
	mine.on_lease_arg = net;
	ck_assert_int_eq(dhcp6_server_new(&mine, &net->server), 0);
}

static inline void net_close(struct net *net)
{
	dhcp6_server_free(net->server);
}

/* ---- Messages ---- */

static inline void draft_raw(struct draft *d, uint8_t type)
{
	d->w = wire_writer(d->bytes, sizeof(d->bytes));
	wire_put_be32(&d->w, (uint32_t)type << 24 | 0xabcdef);
}

static inline void draft_option(struct draft *d, uint16_t code, const void *data, size_t size)
{
	ck_assert(dhcp6_put_option(&d->w, 0, code, data, size));
}

/* Opens a message from client number `client`, whose DUID is a DUID-EN. Options may follow. */
static inline void draft_open(struct draft *d, uint8_t type, uint32_t client)
{
	uint8_t duid[] = {0, 2, 0, 0, 0xab, 0x11, 0, 0, (uint8_t)(client >> 8), (uint8_t)client};

	draft_raw(d, type);
	draft_option(d, DHCP6_OPT_CLIENT_ID, duid, sizeof(duid));
}

static inline void draft_to_us(struct draft *d)
{
	draft_option(d, DHCP6_OPT_SERVER_ID, server_id, sizeof(server_id));
}

/* An IA with up to two addresses; NULL: none. */
static inline void draft_ia(struct draft *d, uint16_t kind, uint32_t id, const struct addr *first,
			    const struct addr *second)
{
	const struct addr *const addrs[] = {first, second};
	uint8_t *ia = dhcp6_begin_option(&d->w, kind);

	wire_put_be32(&d->w, id);
	if (kind != DHCP6_OPT_IA_TA)
		wire_put_zeros(&d->w, 8);
	for (int i = 0; i < 2; i++) {
		uint8_t *option;

		if (!addrs[i])
			continue;
		option = dhcp6_begin_option(&d->w, DHCP6_OPT_IA_ADDR);
		wire_put_bytes(&d->w, &addrs[i]->v6, 16);
		wire_put_zeros(&d->w, 8);
		dhcp6_end_option(&d->w, option);
	}
	dhcp6_end_option(&d->w, ia);
}

static inline void draft_na(struct draft *d, uint32_t id, const struct addr *addr)
{
	draft_ia(d, DHCP6_OPT_IA_NA, id, addr, NULL);
}

static inline void draft_oro(struct draft *d, uint16_t code)
{
	draft_option(d, DHCP6_OPT_ORO, (uint8_t[]){code >> 8, code & 0xff}, 2);
}

static inline void draft_fqdn(struct draft *d, uint8_t flags, const char *wire, size_t size)
{
	uint8_t *option = dhcp6_begin_option(&d->w, DHCP6_OPT_FQDN);

	wire_put_u8(&d->w, flags);
	wire_put_bytes(&d->w, wire, size);
	dhcp6_end_option(&d->w, option);
}

/* ---- Answers ---- */

/* Sends it from that client's MAC; what handle() returned. */
static inline int send_draft(struct net *net, const struct draft *d, uint32_t client)
{
	int r;

	ck_assert(wire_fits(&d->w));
	net->sender.mac = mac_of(client);
	r = dhcp6_server_handle(net->server, &net->sender, d->bytes, wire_written(&d->w),
				net->now_ms, &net->reply);
	if (r == 1)
		ck_assert_int_eq(
			dhcp6_message_decode(net->reply.bytes, net->reply.size, &net->answer), 0);
	return r;
}

static inline void expect_type(struct net *net, const struct draft *d, uint32_t client,
			       enum dhcp6_type type)
{
	ck_assert_int_eq(send_draft(net, d, client), 1);
	ck_assert_uint_eq(net->answer.type, type);
	ck_assert_uint_eq(net->answer.xid, 0xabcdef);
	ck_assert_uint_eq(net->answer.server.size, sizeof(server_id));
	ck_assert_mem_eq(net->answer.server.bytes, server_id, sizeof(server_id));
}

static inline void expect_silence(struct net *net, const struct draft *d, uint32_t client)
{
	ck_assert_int_eq(send_draft(net, d, client), 0);
}

static inline void expect_addr(const struct addr *got, const struct addr *expected)
{
	char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

	ck_assert_msg(addr_equal(got, expected), "%s instead of %s", addr_format(got, a),
		      addr_format(expected, b));
}

/* The value of an option of the reply, outside of IAs; its size, or -1. */
static inline ssize_t reply_option(const struct net *net, uint16_t code, const uint8_t **ret)
{
	struct wire_reader r = wire_reader(net->reply.bytes + 4, net->reply.size - 4);

	while (wire_left(&r)) {
		uint16_t at = wire_be16(&r);
		size_t size = wire_be16(&r);

		*ret = wire_bytes(&r, size);
		ck_assert(wire_ok(&r));
		if (at == code)
			return (ssize_t)size;
	}
	return -1;
}

static inline void expect_option(const struct net *net, uint16_t code, const void *value,
				 size_t size)
{
	const uint8_t *got;

	ck_assert_int_eq(reply_option(net, code, &got), (ssize_t)size);
	ck_assert_mem_eq(got, value, size);
}

static inline bool has_option(const struct net *net, uint16_t code)
{
	const uint8_t *value;

	return reply_option(net, code, &value) >= 0;
}

static inline int status_in(struct wire_reader r)
{
	while (wire_left(&r)) {
		uint16_t code = wire_be16(&r);
		struct wire_reader value = wire_sub(&r, wire_be16(&r));

		if (code == DHCP6_OPT_STATUS)
			return wire_be16(&value);
	}
	return -1;
}

/* The status of the message as a whole; -1: none. */
static inline int reply_status(const struct net *net)
{
	return status_in(wire_reader(net->reply.bytes + 4, net->reply.size - 4));
}

/* The status inside of the first IA of a kind; -1: none, -2: no IA. */
static inline int ia_status(const struct net *net, uint16_t kind)
{
	size_t head = kind == DHCP6_OPT_IA_TA ? 4 : 12;
	const uint8_t *value;
	ssize_t size = reply_option(net, kind, &value);

	return size < (ssize_t)head ? -2
				    : status_in(wire_reader(value + head, (size_t)size - head));
}

/* The valid lifetime that the reply gives an address; -1: the address isn't there. */
static inline int64_t valid_of(const struct net *net, const struct addr *addr)
{
	const uint8_t *value;
	ssize_t size = reply_option(net, DHCP6_OPT_IA_NA, &value);
	struct wire_reader r;

	if (size < 12)
		return -1;
	r = wire_reader(value + 12, (size_t)size - 12);
	while (wire_left(&r)) {
		uint16_t code = wire_be16(&r);
		struct wire_reader inner = wire_sub(&r, wire_be16(&r));
		struct addr at = {.family = AF_INET6};

		if (code != DHCP6_OPT_IA_ADDR)
			continue;
		wire_copy(&inner, &at.v6, 16);
		wire_skip(&inner, 4);
		if (addr_equal(&at, addr))
			return wire_be32(&inner);
	}
	return -1;
}

/* The whole exchange of a new client with one IA; the address that it got. */
static inline struct addr lease_of(struct net *net, uint32_t client)
{
	struct addr offered;
	struct draft d;

	draft_open(&d, DHCP6_SOLICIT, client);
	draft_na(&d, 1, NULL);
	expect_type(net, &d, client, DHCP6_ADVERTISE);
	ck_assert_uint_eq(net->answer.ia_count, 1);
	ck_assert_uint_eq(net->answer.ias[0].addr_count, 1);
	offered = net->answer.ias[0].addrs[0];
	draft_open(&d, DHCP6_REQUEST, client);
	draft_to_us(&d);
	draft_na(&d, 1, &offered);
	expect_type(net, &d, client, DHCP6_REPLY);
	ck_assert_int_eq(valid_of(net, &offered), LEASE_SECONDS);
	return offered;
}

#endif
