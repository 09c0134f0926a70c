/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a sequence of messages to a DHCPv6 server, as its clock goes on, and checks after each that
 * the reply is well-formed, and that no address is given away that isn't the server's to give, nor
 * one address twice.
 *
 * The input is a row of steps. A step begins with a byte: 0x80 and above is a raw message, its size
 * (u16, big-endian) and its bytes; below is one that is built from the byte's low four bits as the
 * type and five bytes more: client, last two bytes of the address, a set of FIELD_*, and seconds to
 * let go by.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "dhcp/dhcp6_server.h"
#include "dhcp/dhcp6_wire.h"

#define STEPS_MAX  512
#define LEASES_MAX 64

#define FIELD_SERVER_ID 0x01
#define FIELD_ADDRESS   0x02
#define FIELD_FAR       0x04 /* the address is another network's */
#define FIELD_TWO_IAS   0x08
#define FIELD_NAME      0x10
#define FIELD_RAPID     0x20
#define FIELD_PD        0x40
#define FIELD_UNICAST   0x80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mac gateway_mac = {{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}};
static const uint8_t server_id[] = {0, 3, 0, 1, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd};

static struct addr address_of(uint8_t first, uint16_t last)
{
	struct in6_addr ip = {.s6_addr = {first, 0, [14] = last >> 8, [15] = last & 0xff}};

	return addr_from_in6(&ip);
}

static struct dhcp6_server *open_server(void)
{
	const struct dhcp6_conf conf = {
		.mac = gateway_mac,
		.prefix = {.addr = address_of(0xfd, 0), .length = 64},
		.gateway = address_of(0xfd, 1),
		.host_alias = address_of(0xfd, 0xfe),
		.domain = "vm.internal",
		.search = (const uint8_t *)"\2vm\10internal",
		.search_size = 13,
		.lease_seconds = 60,
		.leases_per_source_max = 24,
		.rapid_commit = true,
	};
	struct dhcp6_server *server;

	log_set_levels("error");
	if (dhcp6_server_new(&conf, &server) < 0)
		abort();
	return server;
}

static void put_ia(struct wire_writer *w, uint16_t kind, uint32_t id, const struct addr *addr)
{
	uint8_t *ia = dhcp6_begin_option(w, kind);
	uint8_t *option;

	wire_put_be32(w, id);
	wire_put_zeros(w, 8);
	if (addr) {
		option = dhcp6_begin_option(w, DHCP6_OPT_IA_ADDR);
		wire_put_bytes(w, &addr->v6, sizeof(addr->v6));
		wire_put_zeros(w, 8);
		dhcp6_end_option(w, option);
	}
	dhcp6_end_option(w, ia);
}

static size_t build(uint8_t type, uint8_t client, uint16_t last, uint8_t fields, uint8_t *to,
		    size_t to_size)
{
	struct wire_writer w = wire_writer(to, to_size);
	const uint8_t duid[] = {0, 2, 0, 0, 0xab, 0x11, client & 0xf0};
	struct addr addr = address_of(fields & FIELD_FAR ? 0x20 : 0xfd, last);

	wire_put_be32(&w, (uint32_t)type << 24 | client);
	dhcp6_put_option(&w, 0, DHCP6_OPT_CLIENT_ID, duid, sizeof(duid));
	if (fields & FIELD_SERVER_ID)
		dhcp6_put_option(&w, 0, DHCP6_OPT_SERVER_ID, server_id, sizeof(server_id));
	if (type != DHCP6_INFORMATION_REQUEST)
		put_ia(&w, DHCP6_OPT_IA_NA, client & 3, fields & FIELD_ADDRESS ? &addr : NULL);
	if (fields & FIELD_TWO_IAS)
		put_ia(&w, DHCP6_OPT_IA_NA, 77, &addr);
	if (fields & FIELD_PD)
		put_ia(&w, DHCP6_OPT_IA_PD, 1, NULL);
	if (fields & FIELD_NAME)
		dhcp6_put_option(&w, 0, DHCP6_OPT_FQDN, client & 1 ? "\1\3web" : "\0\3web", 5);
	if (fields & FIELD_RAPID)
		dhcp6_put_option(&w, 0, DHCP6_OPT_RAPID_COMMIT, NULL, 0);
	return wire_written(&w);
}

static void check_reply(const struct dhcp6_reply *reply)
{
	struct dhcp6_message m;

	assert(reply->size <= DHCP6_REPLY_SIZE_MAX);
	if (dhcp6_message_decode(reply->bytes, reply->size, &m) < 0)
		abort();
	assert(m.type == DHCP6_ADVERTISE || m.type == DHCP6_REPLY);
	assert(m.server.size == sizeof(server_id));
	assert(memcmp(m.server.bytes, server_id, sizeof(server_id)) == 0);
}

struct seen {
	struct addr addrs[LEASES_MAX];
	unsigned count;
};

static void check_lease(void *arg, const struct dhcp_lease_info *lease)
{
	const struct addr gateway = address_of(0xfd, 1), alias = address_of(0xfd, 0xfe);
	const struct prefix prefix = {.addr = address_of(0xfd, 0), .length = 64};
	struct seen *seen = arg;

	assert(prefix_contains(&prefix, &lease->address));
	assert(!addr_equal(&lease->address, &gateway) && !addr_equal(&lease->address, &alias));
	for (unsigned i = 0; i < seen->count; i++)
		assert(!addr_equal(&seen->addrs[i], &lease->address));
	assert(seen->count < LEASES_MAX); /* all come from one place, which has its limit */
	seen->addrs[seen->count++] = lease->address;
}

static void take(struct dhcp6_server *server, const struct dhcp6_sender *sender,
		 const void *message, size_t size, uint64_t now_ms)
{
	struct dhcp6_reply reply;
	struct seen seen = {0};

	if (dhcp6_server_handle(server, sender, message, size, now_ms, &reply) == 1)
		check_reply(&reply);
	dhcp6_server_for_each(server, check_lease, &seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhcp6_server *server = open_server();
	struct wire_reader r = wire_reader(data, size);
	struct dhcp6_sender sender = {.mac = {{2}}, .multicast = true, .source = 1};
	uint64_t now_ms = 1000;

	for (int step = 0; step < STEPS_MAX && wire_left(&r) > 0; step++) {
		uint8_t kind = wire_u8(&r);

		if (kind & 0x80) {
			size_t raw_size = wire_be16(&r);

			raw_size = raw_size < wire_left(&r) ? raw_size : wire_left(&r);
			take(server, &sender, wire_bytes(&r, raw_size), raw_size, now_ms);
			continue;
		}
		uint8_t client = wire_u8(&r);
		uint16_t last = wire_be16(&r);
		uint8_t fields = wire_u8(&r);
		uint8_t message[512];

		now_ms += wire_u8(&r) * 1000u;
		sender.mac.bytes[5] = client & 0x1f;
		sender.multicast = !(fields & FIELD_UNICAST);
		sender.host = client;
		take(server, &sender, message,
		     build(kind & 0x0f, client, last, fields, message, sizeof(message)), now_ms);
	}
	dhcp6_server_free(server);
	return 0;
}
