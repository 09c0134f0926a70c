/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a sequence of messages to a DHCP server with a small pool, as its clock goes on, and checks
 * after each that the reply is well-formed, goes nowhere but into the subnet, and gives away no
 * address that isn't its to give, nor one address twice.
 *
 * The input is a row of steps. A step begins with a byte: 0x80 and above is a raw message, its size
 * (u16, big-endian) and its bytes; below is one that is built from the byte's low four bits as the
 * type and four bytes more: client, last byte of the address, a set of FIELD_*, and seconds to let
 * go by.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "dhcp/dhcp_server.h"
#include "dhcp/dhcp_wire.h"

#define SUBNET  0xc0a84100u
#define GATEWAY 0xc0a84101u
#define ALIAS   0xc0a841feu
#define LAST    12 /* of the pool */

#define STEPS_MAX 512

#define FIELD_SERVER_ID 0x01
#define FIELD_REQUESTED 0x02
#define FIELD_CIADDR    0x04
#define FIELD_CLIENT_ID 0x08
#define FIELD_HOSTNAME  0x10
#define FIELD_RAPID     0x20
#define FIELD_BROADCAST 0x40
#define FIELD_RELAY     0x80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dhcp_server *open_server(bool one_per_mac)
{
	const struct dhcp_reservation reservations[] = {
		{.by_mac = true, .mac = {{2, 0, 0, 0, 0, 1}}, .address = addr_from_v4(SUBNET + 5)},
		{.client_id = {9, 9}, .client_id_size = 2, .address = addr_from_v4(SUBNET + 200)},
	};
	const struct dhcp_extra extras[] = {
		{.code = 3, .omit = true},
		{.code = 43, .data = "vendor", .size = 6, .always = true},
	};
	const struct dhcp_route route = {.to = {.addr = addr_from_v4(0x0a000000), .length = 8},
					 .via = addr_from_v4(SUBNET + 9)};
	const struct dhcp_conf conf = {
		.subnet = {.addr = addr_from_v4(SUBNET), .length = 24},
		.gateway = addr_from_v4(GATEWAY),
		.host_alias = addr_from_v4(ALIAS),
		.pool_last = addr_from_v4(SUBNET + LAST),
		.domain = "vm.internal",
		.reservations = reservations,
		.reservation_count = 2,
		.lease_seconds = 60,
		.mtu = 1500,
		.extras = extras,
		.extra_count = 2,
		.routes = &route,
		.route_count = 1,
		.boot_file = "pxelinux.0",
		.leases_per_source_max = 3,
		.one_per_mac = one_per_mac,
		.authoritative = true,
		.rapid_commit = true,
	};
	struct dhcp_server *server;
	char error[256];

	if (dhcp_server_new(&conf, error, sizeof(error), &server) < 0)
		abort();
	return server;
}

static void put_address(struct wire_writer *w, uint8_t code, uint32_t address)
{
	wire_put_u8(w, code);
	wire_put_u8(w, 4);
	wire_put_be32(w, address);
}

static size_t build(uint8_t type, uint8_t client, uint32_t address, uint8_t fields, uint8_t *to,
		    size_t to_size)
{
	struct wire_writer w = wire_writer(to, to_size);
	const struct dhcp_message m = {
		.op = DHCP_BOOTREQUEST,
		.htype = 1,
		.hlen = 6,
		.xid = client,
		.flags = fields & FIELD_BROADCAST ? DHCP_FLAG_BROADCAST : 0,
		.ciaddr = fields & FIELD_CIADDR ? address : 0,
		.giaddr = fields & FIELD_RELAY ? SUBNET + 99 : 0,
		.chaddr = {{2, 0, 0, 0, 0, client & 0x1f}},
	};
	const uint8_t id[] = {9, client};

	dhcp_put_header(&w, &m);
	dhcp_put_option(&w, 1, DHCP_OPT_TYPE, &type, 1);
	if (fields & FIELD_SERVER_ID)
		put_address(&w, DHCP_OPT_SERVER_ID, client & 0x80 ? ALIAS : GATEWAY);
	if (fields & FIELD_REQUESTED)
		put_address(&w, DHCP_OPT_REQUESTED, address);
	if (fields & FIELD_CLIENT_ID)
		dhcp_put_option(&w, 1, DHCP_OPT_CLIENT_ID, id, sizeof(id));
	if (fields & FIELD_HOSTNAME)
		dhcp_put_option(&w, 1, DHCP_OPT_HOSTNAME, client & 1 ? "web" : "db", 2);
	if (fields & FIELD_RAPID)
		dhcp_put_option(&w, 1, DHCP_OPT_RAPID_COMMIT, NULL, 0);
	wire_put_u8(&w, DHCP_OPT_END);
	return wire_written(&w);
}

static bool leasable(uint32_t address)
{
	return (address > GATEWAY && address <= SUBNET + LAST) || address == SUBNET + 200;
}

static void check_reply(const struct dhcp_reply *reply)
{
	struct dhcp_message m;
	uint32_t to = addr_v4(&reply->to.addr);

	assert(reply->size >= DHCP_REPLY_SIZE_MIN && reply->size <= DHCP_REPLY_SIZE_MAX);
	if (dhcp_message_decode(reply->bytes, reply->size, &m) < 0)
		abort();
	assert(m.op == DHCP_BOOTREPLY && m.server_id == GATEWAY);
	assert(m.type == DHCP_OFFER || m.type == DHCP_ACK || m.type == DHCP_NAK);
	assert(m.yiaddr == 0 || leasable(m.yiaddr));
	assert(to == INADDR_BROADCAST || (to > GATEWAY && to < ALIAS));
	assert(reply->to.port == (reply->destination == DHCP_TO_RELAY ? 67 : 68));
}

struct seen {
	bool address[256];
};

static void check_lease(void *arg, const struct dhcp_lease_info *lease)
{
	struct seen *seen = arg;
	uint32_t address = addr_v4(&lease->address);

	assert(leasable(address));
	assert(!seen->address[address & 0xff]);
	seen->address[address & 0xff] = true;
}

static void take(struct dhcp_server *server, const void *message, size_t size, unsigned source,
		 uint64_t now_ms)
{
	struct dhcp_reply reply;
	struct seen seen = {0};

	if (dhcp_server_handle(server, message, size, source, now_ms, &reply) == 1)
		check_reply(&reply);
	dhcp_server_for_each(server, check_lease, &seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* An even number of bytes: one address for a MAC, whatever it calls itself. */
	struct dhcp_server *server = open_server(size % 2 == 0);
	struct wire_reader r = wire_reader(data, size);
	uint64_t now_ms = 1000;

	for (int step = 0; step < STEPS_MAX && wire_left(&r) > 0; step++) {
		uint8_t kind = wire_u8(&r);

		if (kind & 0x80) {
			size_t raw_size = wire_be16(&r);

			raw_size = raw_size < wire_left(&r) ? raw_size : wire_left(&r);
			take(server, wire_bytes(&r, raw_size), raw_size, 1, now_ms);
			continue;
		}
		uint8_t client = wire_u8(&r), last = wire_u8(&r), fields = wire_u8(&r);
		uint8_t message[512];

		now_ms += wire_u8(&r) * 1000u;
		size_t built = build(kind & 0x0f, client, SUBNET + last, fields, message,
				     sizeof(message));

		take(server, message, built, 1 + (client >> 6), now_ms);
	}
	dhcp_server_free(server);
	return 0;
}
