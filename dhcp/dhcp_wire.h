/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCPv4 wire format (RFC 2131, RFC 2132): bytes to struct dhcp_message and back. Knows the
 * shape of messages and options, nothing of leases; dhcp_server.c decides, this encodes.
 */
#ifndef DHCP_DHCP_WIRE_H
#define DHCP_DHCP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/wire.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68

#define DHCP_HEADER_SIZE      240   /* BOOTP's fixed part and the magic cookie */
#define DHCP_MESSAGE_SIZE_MAX 65507 /* what fits a UDP datagram */
#define DHCP_REPLY_SIZE_MIN   300   /* RFC 1542 section 2.1: old relays and clients drop less */
#define DHCP_REPLY_SIZE_MAX   1472  /* one Ethernet frame of 1500 */
#define DHCP_DATAGRAM_MIN     576   /* what every client must accept, with its IP and UDP headers */
#define DHCP_IP_UDP_SIZE      28
#define DHCP_CLIENT_ID_MAX    255
#define DHCP_OPTION_SIZE_MAX  1024 /* one option, its pieces (RFC 3396) put together */

#define DHCP_FLAG_BROADCAST 0x8000u

enum dhcp_op {
	DHCP_BOOTREQUEST = 1,
	DHCP_BOOTREPLY = 2,
};

enum dhcp_type {
	DHCP_BOOTP = 0, /* no message type: not DHCP */
	DHCP_DISCOVER = 1,
	DHCP_OFFER = 2,
	DHCP_REQUEST = 3,
	DHCP_DECLINE = 4,
	DHCP_ACK = 5,
	DHCP_NAK = 6,
	DHCP_RELEASE = 7,
	DHCP_INFORM = 8,
};

enum dhcp_option {
	DHCP_OPT_PAD = 0,
	DHCP_OPT_NETMASK = 1,
	DHCP_OPT_ROUTERS = 3,
	DHCP_OPT_DNS = 6,
	DHCP_OPT_HOSTNAME = 12,
	DHCP_OPT_DOMAIN = 15,
	DHCP_OPT_MTU = 26,
	DHCP_OPT_BROADCAST = 28,
	DHCP_OPT_NTP = 42,
	DHCP_OPT_REQUESTED = 50,
	DHCP_OPT_LEASE_TIME = 51,
	DHCP_OPT_OVERLOAD = 52,
	DHCP_OPT_TYPE = 53,
	DHCP_OPT_SERVER_ID = 54,
	DHCP_OPT_PARAMETERS = 55,
	DHCP_OPT_MESSAGE = 56,
	DHCP_OPT_SIZE_MAX = 57,
	DHCP_OPT_T1 = 58,
	DHCP_OPT_T2 = 59,
	DHCP_OPT_CLIENT_ID = 61,
	DHCP_OPT_BOOT_SERVER = 66,
	DHCP_OPT_BOOT_FILE = 67,
	DHCP_OPT_RAPID_COMMIT = 80,
	DHCP_OPT_FQDN = 81,
	DHCP_OPT_RELAY = 82,
	DHCP_OPT_SEARCH = 119,
	DHCP_OPT_ROUTES = 121,
	DHCP_OPT_END = 255,
};

/* A message with everything in host order. The option areas are borrowed from the decoded bytes. */
struct dhcp_message {
	uint8_t op;
	uint8_t htype;
	uint8_t hlen;
	uint32_t xid;
	uint16_t secs;
	uint16_t flags;
	uint32_t ciaddr; /* addresses: 0 for none */
	uint32_t yiaddr;
	uint32_t siaddr;
	uint32_t giaddr;
	struct mac chaddr; /* the first six bytes of the field */
	const char *file;  /* to be written: text that fits the field, or NULL; not decoded */

	uint8_t type;       /* enum dhcp_type */
	uint32_t requested; /* option 50, or 0 */
	uint32_t server_id; /* option 54, or 0 */
	uint16_t size_max;  /* option 57, or 0 */
	bool rapid_commit;  /* option 80 is there */

	struct wire_reader areas[3]; /* options, and "file" and "sname" where option 52 says so */
	size_t area_count;
};

/* Decodes and checks the whole message, every option of it. Returns 0, or -EBADMSG when it is cut
 * short, has no magic cookie, an option overruns its area, or one that steers us has a wrong size.
 */
int dhcp_message_decode(const void *data, size_t size, struct dhcp_message *ret);

/* Copies option `code`, all its pieces put together (RFC 3396). Returns its size, -ENOENT when it
 * isn't there, or -EMSGSIZE when it is larger than `to_size`. */
ssize_t dhcp_message_option(const struct dhcp_message *message, uint8_t code, void *to,
			    size_t to_size);

/* Writes the fixed part and the magic cookie; options follow. */
void dhcp_put_header(struct wire_writer *w, const struct dhcp_message *message);

/* Writes an option, in pieces where it is longer than 255 bytes. Returns whether it fitted with
 * `reserve` bytes to spare; when it doesn't, nothing is written and the writer stays good. */
bool dhcp_put_option(struct wire_writer *w, size_t reserve, uint8_t code, const void *data,
		     size_t size);

/* Bytes that an option of `size` bytes takes in a message. */
size_t dhcp_option_room(size_t size);

#endif
