/* SPDX-License-Identifier: Apache-2.0 */
/* What the DHCP tests share: clients that build messages, a server with a clock that the test
 * moves, and looks into its replies. */
#ifndef TESTS_UNIT_DHCP_DHCP_TEST_H
#define TESTS_UNIT_DHCP_DHCP_TEST_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "dhcp/dhcp_server.h"
#include "dhcp/dhcp_wire.h"

#define GATEWAY       0xc0a84101u /* 192.168.65.1 */
#define HOST_ALIAS    0xc0a841feu
#define IP(LAST)      (0xc0a84100u + (LAST))
#define LEASE_SECONDS 3600u
#define LEASE_MS      (LEASE_SECONDS * 1000ull)

/* A message under construction. */
struct draft {
	struct dhcp_message header;
	uint8_t bytes[2048];
	struct wire_writer w;
	size_t size;
};

/* One network: the server, its clock, the last reply and the last event. */
struct net {
	struct dhcp_server *server;
	uint64_t now_ms;
	unsigned source; /* where messages come from */
	struct dhcp_reply reply;
	struct dhcp_message answer; /* the reply, decoded */
	unsigned events[4];
	struct addr event_address;
	struct mac event_mac;
	char event_hostname[DHCP_HOSTNAME_MAX];
};

static inline struct mac mac_of(uint32_t n)
{
	return (struct mac){{0x52, 0x54, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

static inline struct dhcp_conf basic_conf(void)
{
	return (struct dhcp_conf){
		.subnet = {.addr = addr_from_v4(IP(0)), .length = 24},
		.gateway = addr_from_v4(GATEWAY),
		.host_alias = addr_from_v4(HOST_ALIAS),
		.lease_seconds = LEASE_SECONDS,
		.mtu = 1500,
	};
}

static inline void note_event(void *arg, enum dhcp_lease_event event,
			      const struct dhcp_lease_info *lease)
{
	struct net *net = arg;

	net->events[event]++;
	net->event_address = lease->address;
	net->event_mac = lease->mac;
	strcpy(net->event_hostname, lease->hostname);
}

static inline void net_open(struct net *net, const struct dhcp_conf *conf)
{
	struct dhcp_conf mine = *conf;
	char error[256] = "";

	*net = (struct net){.now_ms = 1000000};
	mine.on_lease = note_event;
	mine.on_lease_arg = net;
	ck_assert_msg(dhcp_server_new(&mine, error, sizeof(error), &net->server) == 0, "%s", error);
}

static inline void net_close(struct net *net)
{
	dhcp_server_free(net->server);
}

/* Opens a message of this type from client number `client`. Options may follow. */
static inline void draft_open(struct draft *d, uint8_t type, uint32_t client)
{
	d->header = (struct dhcp_message){
		.op = DHCP_BOOTREQUEST,
		.htype = 1,
		.hlen = 6,
		.xid = 0xabcd0000u + client,
		.chaddr = mac_of(client),
	};
	d->w = wire_writer(d->bytes, sizeof(d->bytes));
	wire_put_zeros(&d->w, DHCP_HEADER_SIZE);
	if (type)
		dhcp_put_option(&d->w, 0, DHCP_OPT_TYPE, &type, 1);
}

static inline void draft_u32(struct draft *d, uint8_t code, uint32_t value)
{
	uint8_t bytes[] = {value >> 24, value >> 16, value >> 8, value};

	dhcp_put_option(&d->w, 0, code, bytes, 4);
}

static inline void draft_text(struct draft *d, uint8_t code, const char *text)
{
	dhcp_put_option(&d->w, 0, code, text, strlen(text));
}

/* Puts the header, which the test may have changed meanwhile, and the end. */
static inline void draft_close(struct draft *d)
{
	struct wire_writer w = wire_writer(d->bytes, DHCP_HEADER_SIZE);

	dhcp_put_header(&w, &d->header);
	wire_put_u8(&d->w, DHCP_OPT_END);
	ck_assert(wire_fits(&d->w));
	d->size = wire_written(&d->w);
}

/* Sends it; returns the type of the answer, or 0 for none. */
static inline int send_draft(struct net *net, struct draft *d)
{
	draft_close(d);
	int r = dhcp_server_handle(net->server, d->bytes, d->size, net->source, net->now_ms,
				   &net->reply);

	ck_assert_int_ge(r, 0);
	if (r == 0)
		return 0;
	ck_assert_uint_ge(net->reply.size, DHCP_REPLY_SIZE_MIN);
	ck_assert_int_eq(dhcp_message_decode(net->reply.bytes, net->reply.size, &net->answer), 0);
	ck_assert_uint_eq(net->answer.op, DHCP_BOOTREPLY);
	ck_assert_uint_eq(net->answer.xid, d->header.xid);
	ck_assert_uint_eq(net->answer.server_id, GATEWAY);
	ck_assert(mac_equal(&net->answer.chaddr, &d->header.chaddr));
	return net->answer.type;
}

static inline int discover(struct net *net, uint32_t client)
{
	struct draft d;

	draft_open(&d, DHCP_DISCOVER, client);
	return send_draft(net, &d);
}

static inline int select_offer(struct net *net, uint32_t client, uint32_t address)
{
	struct draft d;

	draft_open(&d, DHCP_REQUEST, client);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, address);
	return send_draft(net, &d);
}

/* After a reboot: no server identifier, no ciaddr. */
static inline int reboot(struct net *net, uint32_t client, uint32_t address)
{
	struct draft d;

	draft_open(&d, DHCP_REQUEST, client);
	draft_u32(&d, DHCP_OPT_REQUESTED, address);
	return send_draft(net, &d);
}

/* RENEWING and REBINDING look alike from within the message. */
static inline int renew(struct net *net, uint32_t client, uint32_t address)
{
	struct draft d;

	draft_open(&d, DHCP_REQUEST, client);
	d.header.ciaddr = address;
	return send_draft(net, &d);
}

/* DISCOVER to ACK; returns the address, or 0 when there was no offer. */
static inline uint32_t obtain(struct net *net, uint32_t client)
{
	if (discover(net, client) != DHCP_OFFER)
		return 0;
	uint32_t address = net->answer.yiaddr;

	ck_assert_int_eq(select_offer(net, client, address), DHCP_ACK);
	ck_assert_uint_eq(net->answer.yiaddr, address);
	return address;
}

static inline void release(struct net *net, uint32_t client, uint32_t address)
{
	struct draft d;

	draft_open(&d, DHCP_RELEASE, client);
	d.header.ciaddr = address;
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	ck_assert_int_eq(send_draft(net, &d), 0);
}

static inline void decline(struct net *net, uint32_t client, uint32_t address)
{
	struct draft d;

	draft_open(&d, DHCP_DECLINE, client);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, address);
	ck_assert_int_eq(send_draft(net, &d), 0);
}

static inline bool leased(const struct net *net, uint32_t address, struct dhcp_lease_info *ret)
{
	struct addr at = addr_from_v4(address);

	return dhcp_server_by_address(net->server, &at, ret);
}

/* An option of the answer: its size, or -1. */
static inline int option_of(const struct net *net, uint8_t code, void *to, size_t to_size)
{
	ssize_t size = dhcp_message_option(&net->answer, code, to, to_size);

	return size < 0 ? -1 : (int)size;
}

static inline bool has_option(const struct net *net, uint8_t code)
{
	uint8_t bytes[DHCP_OPTION_SIZE_MAX];

	return option_of(net, code, bytes, sizeof(bytes)) >= 0;
}

static inline uint32_t u32_option(const struct net *net, uint8_t code)
{
	uint8_t b[4];

	ck_assert_int_eq(option_of(net, code, b, 4), 4);
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void check_option(const struct net *net, uint8_t code, const void *data, size_t size)
{
	uint8_t bytes[DHCP_OPTION_SIZE_MAX];

	ck_assert_int_eq(option_of(net, code, bytes, sizeof(bytes)), (int)size);
	ck_assert_mem_eq(bytes, data, size);
}

#endif
