/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --dhcp-option: an option by its code, and its value in text, by the type that RFC 2132 and its
 * successors give to the code, or by one that is named.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "dhcp/dhcp_name.h"
#include "dhcp/dhcp_wire.h"
#include "netproxy/options_private.h"

#define FORM                                                                               \
	"CODE=VALUE, such as 66=tftp.example, 150=address:10.0.0.5, 43=hex:0104c0a84101, " \
	"or 3= for no such option"
#define TYPES "text:, address:, hex:, u8:, u16:, u32: or domains:"

enum value_type {
	VALUE_UNKNOWN,
	VALUE_TEXT,
	VALUE_ADDRESSES,
	VALUE_HEX,
	VALUE_U8,
	VALUE_U16,
	VALUE_U32,
	VALUE_DOMAINS,
};

static const char *const type_names[] = {
	[VALUE_TEXT] = "text:",       [VALUE_ADDRESSES] = "address:", [VALUE_HEX] = "hex:",
	[VALUE_U8] = "u8:",           [VALUE_U16] = "u16:",           [VALUE_U32] = "u32:",
	[VALUE_DOMAINS] = "domains:",
};

static const char *const expected[] = {
	[VALUE_TEXT] = "text behind the =",
	[VALUE_ADDRESSES] = "IPv4 addresses behind the =, with commas between them",
	[VALUE_HEX] = "bytes in hexadecimal behind hex:, such as 0104c0a84101 or 01:04:c0",
	[VALUE_U8] = "a number from 0 to 255 behind the =",
	[VALUE_U16] = "a number from 0 to 65535 behind the =",
	[VALUE_U32] = "a number from 0 to 4294967295 behind the =",
	[VALUE_DOMAINS] = "domain names behind the =, with commas between them",
};

/* What is worth knowing without being told. */
static enum value_type type_of(unsigned long code)
{
	switch (code) {
	case 3 ... 11:
	case 41:
	case 44:
	case 45:
	case 48:
	case 49:
	case 65:
	case 68 ... 76:
	case 150:
		return VALUE_ADDRESSES;
	case 14:
	case 17:
	case 18:
	case 40:
	case 47:
	case 60:
	case 62:
	case 64:
	case 66:
	case 67:
	case 100: /* RFC 4833 */
	case 101:
	case 114: /* RFC 8910 */
	case 209: /* RFC 5071 */
	case 210:
	case 252: /* WPAD */
		return VALUE_TEXT;
	case 19:
	case 20:
	case 23:
	case 27:
	case 29:
	case 30:
	case 31:
	case 34:
	case 36:
	case 37:
	case 39:
	case 46:
	case 116: /* RFC 2563 */
		return VALUE_U8;
	case 13:
	case 22:
		return VALUE_U16;
	case 2:
	case 24:
	case 35:
	case 38:
	case 108: /* RFC 8925 */
	case 211: /* RFC 5071 */
		return VALUE_U32;
	default:
		return VALUE_UNKNOWN;
	}
}

/* Why a code can't be set here; NULL: it can. */
static const char *why_not(unsigned long code)
{
	switch (code) {
	case DHCP_OPT_NETMASK:
	case DHCP_OPT_BROADCAST:
		return "a code other than 1 and 28: they follow from --subnet";
	case DHCP_OPT_HOSTNAME:
		return "a code other than 12: --dhcp-host gives names to guests";
	case DHCP_OPT_DOMAIN:
		return "a code other than 15: that is --domain";
	case DHCP_OPT_MTU:
		return "a code other than 26: that is --mtu";
	case DHCP_OPT_NTP:
		return "a code other than 42: that is --ntp";
	case DHCP_OPT_LEASE_TIME:
	case DHCP_OPT_T1:
	case DHCP_OPT_T2:
		return "a code other than 51, 58 and 59: they follow from --lease-time";
	case DHCP_OPT_SEARCH:
		return "a code other than 119: that is --dns-search";
	case DHCP_OPT_ROUTES:
		return "a code other than 121: that is --dhcp-route";
	case DHCP_OPT_REQUESTED:
	case DHCP_OPT_OVERLOAD:
	case DHCP_OPT_TYPE:
	case DHCP_OPT_SERVER_ID:
	case DHCP_OPT_PARAMETERS:
	case DHCP_OPT_MESSAGE:
	case DHCP_OPT_SIZE_MAX:
	case DHCP_OPT_CLIENT_ID:
	case DHCP_OPT_RAPID_COMMIT:
	case DHCP_OPT_FQDN:
	case DHCP_OPT_RELAY:
		return "a code other than 50, 52 to 57, 61 and 80 to 82: the protocol itself uses "
		       "them";
	default:
		return NULL;
	}
}

/* Calls `put` for each piece between commas. */
static bool for_pieces(struct wire_writer *w, const char *value,
		       bool (*put)(struct wire_writer *w, const char *piece))
{
	char piece[DHCP_DOMAIN_MAX];

	for (;;) {
		size_t size = strcspn(value, ",");

		if (size == 0 || size >= sizeof(piece))
			return false;
		memcpy(piece, value, size);
		piece[size] = '\0';
		if (!put(w, piece))
			return false;
		if (value[size] == '\0')
			return true;
		value += size + 1;
	}
}

static bool put_address(struct wire_writer *w, const char *piece)
{
	struct addr addr;

	if (addr_parse(piece, &addr) < 0 || addr.family != AF_INET)
		return false;
	wire_put_be32(w, addr_v4(&addr));
	return true;
}

static bool put_domain(struct wire_writer *w, const char *piece)
{
	if (!dhcp_domain_valid(piece))
		return false;
	dhcp_put_domain(w, piece);
	return true;
}

static bool put_number(struct wire_writer *w, const char *value, int size)
{
	char error[OPTIONS_ERROR_MAX];
	unsigned long number;

	if (options_number(value, 0, UINT32_MAX >> (32 - 8 * size), &number, error) < 0)
		return false;
	for (int i = size - 1; i >= 0; i--)
		wire_put_u8(w, (uint8_t)(number >> (8 * i)));
	return true;
}

int options_parse_hex(const char *text, uint8_t *to, size_t to_size)
{
	size_t size = 0;

	for (; *text; size++) {
		char pair[3] = {0};

		/* One colon between two bytes. */
		if (size > 0 && *text == ':')
			text++;
		if (strspn(text, "0123456789abcdefABCDEF") < 2 || size == to_size)
			return -EINVAL;
		memcpy(pair, text, 2);
		to[size] = (uint8_t)strtoul(pair, NULL, 16);
		text += 2;
	}
	return (int)size;
}

static bool put_value(struct wire_writer *w, enum value_type type, const char *value)
{
	uint8_t bytes[DHCP_OPTION_SIZE_MAX];
	int size;

	switch (type) {
	case VALUE_TEXT:
		wire_put_bytes(w, value, strlen(value));
		return true;
	case VALUE_ADDRESSES:
		return for_pieces(w, value, put_address);
	case VALUE_DOMAINS:
		return for_pieces(w, value, put_domain);
	case VALUE_HEX:
		size = options_parse_hex(value, bytes, sizeof(bytes));
		if (size > 0)
			wire_put_bytes(w, bytes, (size_t)size);
		return size > 0;
	case VALUE_U8:
		return put_number(w, value, 1);
	case VALUE_U16:
		return put_number(w, value, 2);
	case VALUE_U32:
		return put_number(w, value, 4);
	case VALUE_UNKNOWN:
		break;
	}
	return false;
}

/* The type named in front of the value, which is moved behind it, or else the code's. */
static enum value_type cut_type(const char **value, unsigned long code)
{
	for (int type = VALUE_TEXT; type <= VALUE_DOMAINS; type++) {
		size_t size = strlen(type_names[type]);

		if (strncmp(*value, type_names[type], size) == 0) {
			*value += size;
			return type;
		}
	}
	return type_of(code);
}

int options_parse_dhcp_option(const char *text, struct dhcp_extra *ret,
			      char error[static OPTIONS_ERROR_MAX])
{
	char *end;
	unsigned long code = strtoul(text, &end, 10);
	struct dhcp_extra extra = {.code = (uint8_t)code, .always = *end == '!'};
	uint8_t bytes[DHCP_OPTION_SIZE_MAX];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));
	const char *value = end + extra.always + 1;

	if (*text < '0' || *text > '9' || end[extra.always] != '=' || code < 1 || code > 254)
		return options_complain(error, text, FORM);
	if (why_not(code))
		return options_complain(error, text, why_not(code));
	if (!*value) {
		*ret = (struct dhcp_extra){.code = (uint8_t)code, .omit = true};
		return 0;
	}
	enum value_type type = cut_type(&value, code);

	if (type == VALUE_UNKNOWN)
		return options_complain(
			error, text,
			"the value's type behind the =, since the code isn't known: " TYPES);
	if (!*value || !put_value(&w, type, value))
		return options_complain(error, text, expected[type]);
	if (!wire_fits(&w))
		return options_complain(error, text, "a value of at most 1024 bytes");
	extra.size = wire_written(&w);
	void *data = malloc(extra.size);

	if (!data) {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	memcpy(data, bytes, extra.size);
	extra.data = data;
	*ret = extra;
	return 0;
}
