/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCPv6 wire format (RFC 8415, sections 8 and 21): bytes to struct dhcp6_message, and options
 * back. Knows the shape of messages, nothing of leases; dhcp6_server.c decides.
 */
#ifndef DHCP_DHCP6_WIRE_H
#define DHCP_DHCP6_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/wire.h"
#include "dhcp/dhcp_name.h"

#define DHCP6_SERVER_PORT 547
#define DHCP6_CLIENT_PORT 546

#define DHCP6_DUID_MIN       3 /* RFC 8415, 11.1: a type, and 1 to 128 bytes */
#define DHCP6_DUID_MAX       130
#define DHCP6_IAS_MAX        4    /* of a message; further ones are ignored */
#define DHCP6_IA_ADDRS_MAX   4    /* of an IA; further ones are ignored */
#define DHCP6_REPLY_SIZE_MAX 1232 /* what every IPv6 link takes in one piece */

enum dhcp6_type {
	DHCP6_NONE = 0,
	DHCP6_SOLICIT = 1,
	DHCP6_ADVERTISE = 2,
	DHCP6_REQUEST = 3,
	DHCP6_CONFIRM = 4,
	DHCP6_RENEW = 5,
	DHCP6_REBIND = 6,
	DHCP6_REPLY = 7,
	DHCP6_RELEASE = 8,
	DHCP6_DECLINE = 9,
	DHCP6_RECONFIGURE = 10,
	DHCP6_INFORMATION_REQUEST = 11,
	DHCP6_RELAY_FORW = 12,
	DHCP6_RELAY_REPL = 13,
};

enum dhcp6_option {
	DHCP6_OPT_CLIENT_ID = 1,
	DHCP6_OPT_SERVER_ID = 2,
	DHCP6_OPT_IA_NA = 3,
	DHCP6_OPT_IA_TA = 4,
	DHCP6_OPT_IA_ADDR = 5,
	DHCP6_OPT_ORO = 6,
	DHCP6_OPT_PREFERENCE = 7,
	DHCP6_OPT_STATUS = 13,
	DHCP6_OPT_RAPID_COMMIT = 14,
	DHCP6_OPT_DNS = 23,
	DHCP6_OPT_DOMAINS = 24,
	DHCP6_OPT_IA_PD = 25,
	DHCP6_OPT_SNTP = 31,
	DHCP6_OPT_REFRESH_TIME = 32,
	DHCP6_OPT_FQDN = 39,
	DHCP6_OPT_NTP = 56,
};

enum dhcp6_status {
	DHCP6_SUCCESS = 0,
	DHCP6_NO_ADDRS_AVAIL = 2,
	DHCP6_NO_BINDING = 3,
	DHCP6_NOT_ON_LINK = 4,
	DHCP6_USE_MULTICAST = 5,
	DHCP6_NO_PREFIX_AVAIL = 6,
};

/* A DUID, borrowed from the message; size 0: none was sent. */
struct dhcp6_duid {
	const uint8_t *bytes;
	size_t size;
};

/* An identity association: addresses that a client has or wants for one of its interfaces. */
struct dhcp6_ia {
	uint16_t kind; /* DHCP6_OPT_IA_NA, _TA or _PD; the latter's prefixes aren't read */
	uint32_t id;
	struct addr addrs[DHCP6_IA_ADDRS_MAX];
	unsigned addr_count;
};

struct dhcp6_message {
	uint8_t type; /* enum dhcp6_type, or one we don't know */
	uint32_t xid; /* 24 bits */
	struct dhcp6_duid client;
	struct dhcp6_duid server;
	struct dhcp6_ia ias[DHCP6_IAS_MAX];
	unsigned ia_count;
	bool rapid_commit;
	bool has_oro;
	const uint8_t *oro; /* option codes, two bytes each; borrowed */
	size_t oro_size;
	bool has_fqdn;
	uint8_t fqdn_flags;
	char hostname[DHCP_HOSTNAME_MAX]; /* the client's FQDN's host part, clean, or empty */
};

/* Decodes and checks a client's message, every option of it. A relay's (RELAY_FORW, RELAY_REPL) has
 * another shape: of it only the type is read. Returns 0, or -EBADMSG when it is cut short, an
 * option overruns what it is in, one that steers us has a wrong size, or an identifier comes twice.
 */
int dhcp6_message_decode(const void *data, size_t size, struct dhcp6_message *ret);

/* Whether the client asks for the option, or says nothing of what it wants. */
bool dhcp6_wants(const struct dhcp6_message *message, uint16_t code);

/* Writes an option whole, if it fits with `reserve` bytes to spare. Returns whether it did; the
 * writer stays good. */
bool dhcp6_put_option(struct wire_writer *w, size_t reserve, uint16_t code, const void *data,
		      size_t size);

/* An option that holds others: begin it, write them, end it with what begin returned (its length is
 * filled in then). NULL when it doesn't fit. */
uint8_t *dhcp6_begin_option(struct wire_writer *w, uint16_t code);
void dhcp6_end_option(struct wire_writer *w, uint8_t *length);

#endif
