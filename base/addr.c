/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, endpoints and prefixes, and their text forms. */
#include "base/addr.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PORT_DIGITS_MAX   5
#define LENGTH_DIGITS_MAX 3

const struct mac mac_broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

int mac_parse(const char *text, struct mac *ret)
{
	struct mac mac;

	for (size_t i = 0; i < MAC_SIZE; i++) {
		int high = text_hex_digit(text[0]);
		int low = high < 0 ? -1 : text_hex_digit(text[1]);

		if (low < 0 || text[2] != (i + 1 < MAC_SIZE ? ':' : '\0'))
			return -EINVAL;
		mac.bytes[i] = (uint8_t)(high << 4 | low);
		text += 3;
	}
	*ret = mac;
	return 0;
}

const char *mac_format(const struct mac *mac, char to[static MAC_TEXT_MAX])
{
	const uint8_t *b = mac->bytes;

	snprintf(to, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
		 b[5]);
	return to;
}

bool mac_equal(const struct mac *a, const struct mac *b)
{
	return memcmp(a->bytes, b->bytes, MAC_SIZE) == 0;
}

bool mac_is_group(const struct mac *mac)
{
	return mac->bytes[0] & 1;
}

struct addr addr_from_v4(uint32_t host_order)
{
	return addr_from_in((struct in_addr){.s_addr = htonl(host_order)});
}

struct addr addr_from_in(struct in_addr v4)
{
	/* All of the union is zeroed: addresses are parts of hash keys. */
	struct addr addr;

	memset(&addr, 0, sizeof(addr));
	addr.family = AF_INET;
	addr.v4 = v4;
	return addr;
}

struct addr addr_from_in6(const struct in6_addr *v6)
{
	struct addr addr;

	memset(&addr, 0, sizeof(addr));
	addr.family = AF_INET6;
	addr.v6 = *v6;
	return addr;
}

struct addr addr_link_local(const struct mac *mac)
{
	const uint8_t *b = mac->bytes;
	struct in6_addr v6 = {.s6_addr = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, b[0] ^ 0x02, b[1], b[2],
					  0xff, 0xfe, b[3], b[4], b[5]}};

	return addr_from_in6(&v6);
}

uint32_t addr_v4(const struct addr *addr)
{
	return ntohl(addr->v4.s_addr);
}

int addr_parse(const char *text, struct addr *ret)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		*ret = addr_from_in(v4);
	else if (inet_pton(AF_INET6, text, &v6) == 1)
		*ret = addr_from_in6(&v6);
	else
		return -EINVAL;
	return 0;
}

const char *addr_format(const struct addr *addr, char to[static ADDR_TEXT_MAX])
{
	const void *bytes = addr->family == AF_INET ? (const void *)&addr->v4 : &addr->v6;

	if (addr->family == AF_UNSPEC || !inet_ntop(addr->family, bytes, to, ADDR_TEXT_MAX))
		to[0] = '\0';
	return to;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->v4.s_addr == b->v4.s_addr;
	if (a->family == AF_INET6)
		return memcmp(&a->v6, &b->v6, sizeof(a->v6)) == 0;
	return true;
}

bool addr_is_loopback(const struct addr *addr)
{
	if (addr->family == AF_INET)
		return addr_v4(addr) >> 24 == IN_LOOPBACKNET;
	return addr->family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&addr->v6);
}

bool addr_is_any(const struct addr *addr)
{
	if (addr->family == AF_INET)
		return addr->v4.s_addr == INADDR_ANY;
	if (addr->family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&addr->v6);
	return true;
}

bool addr_is_multicast(const struct addr *addr)
{
	if (addr->family == AF_INET)
		return IN_MULTICAST(addr_v4(addr));
	return addr->family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&addr->v6);
}

/* A plain decimal number that takes all of `text`. */
static int decimal_parse(const char *text, size_t digits_max, uint32_t max, uint32_t *ret)
{
	uint32_t value = 0;
	size_t digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
		if (digits == digits_max)
			return -EINVAL;
		value = value * 10 + (uint32_t)(text[digits] - '0');
	}
	if (digits == 0 || text[digits] != '\0' || value > max)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* Parses the address that fills [text, end). */
static int addr_parse_range(const char *text, const char *end, struct addr *ret)
{
	char copy[ADDR_TEXT_MAX];
	size_t size = (size_t)(end - text);

	if (size >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, size);
	copy[size] = '\0';
	return addr_parse(copy, ret);
}

int endpoint_parse(const char *text, bool allow_port_0, struct endpoint *ret)
{
	const char *colon = strrchr(text, ':');
	bool bracketed = text[0] == '[';
	struct endpoint ep;
	uint32_t port;

	memset(&ep, 0, sizeof(ep));
	if (!colon || decimal_parse(colon + 1, PORT_DIGITS_MAX, UINT16_MAX, &port) < 0)
		return -EINVAL;
	if (port == 0 && !allow_port_0)
		return -EINVAL;
	if (bracketed && colon[-1] != ']')
		return -EINVAL;
	if (colon != text) {
		if (addr_parse_range(text + bracketed, colon - bracketed, &ep.addr) < 0)
			return -EINVAL;
		/* Brackets are for IPv6, and IPv6 needs them: "::1:80" is ambiguous. */
		if (bracketed != (ep.addr.family == AF_INET6))
			return -EINVAL;
	}
	ep.port = (uint16_t)port;
	*ret = ep;
	return 0;
}

const char *endpoint_format(const struct endpoint *ep, char to[static ENDPOINT_TEXT_MAX])
{
	char addr[ADDR_TEXT_MAX];
	bool v6 = ep->addr.family == AF_INET6;

	snprintf(to, ENDPOINT_TEXT_MAX, "%s%s%s:%u", v6 ? "[" : "", addr_format(&ep->addr, addr),
		 v6 ? "]" : "", ep->port);
	return to;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

socklen_t endpoint_to_sockaddr(const struct endpoint *ep, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (ep->addr.family == AF_INET) {
		struct sockaddr_in *sin = (struct sockaddr_in *)ret;

		sin->sin_family = AF_INET;
		sin->sin_addr = ep->addr.v4;
		sin->sin_port = htons(ep->port);
		return sizeof(*sin);
	}
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret;

	sin6->sin6_family = AF_INET6;
	if (ep->addr.family == AF_INET6)
		sin6->sin6_addr = ep->addr.v6;
	sin6->sin6_port = htons(ep->port);
	return sizeof(*sin6);
}

int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret)
{
	struct endpoint ep;

	memset(&ep, 0, sizeof(ep));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)sa;

		ep.addr = addr_from_in(sin->sin_addr);
		ep.port = ntohs(sin->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)sa;
		struct in_addr v4;

		if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
			memcpy(&v4, &sin6->sin6_addr.s6_addr[12], sizeof(v4));
			ep.addr = addr_from_in(v4);
		} else {
			ep.addr = addr_from_in6(&sin6->sin6_addr);
		}
		ep.port = ntohs(sin6->sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	*ret = ep;
	return 0;
}

/* The address's bytes and, in *ret_bits, how many bits they are (0 for "no address"). */
static const uint8_t *addr_bytes(const struct addr *addr, unsigned *ret_bits)
{
	if (addr->family == AF_INET) {
		*ret_bits = 32;
		return (const uint8_t *)&addr->v4;
	}
	*ret_bits = addr->family == AF_INET6 ? 128 : 0;
	return addr->v6.s6_addr;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8;
	unsigned rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool bits_zero_from(const uint8_t *bytes, unsigned from, unsigned bits)
{
	for (unsigned bit = from; bit < bits; bit++) {
		if (bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	}
	return true;
}

int prefix_parse(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/');
	struct prefix prefix;
	const uint8_t *bytes;
	uint32_t length;
	unsigned bits;

	memset(&prefix, 0, sizeof(prefix));
	if (!slash || addr_parse_range(text, slash, &prefix.addr) < 0)
		return -EINVAL;
	bytes = addr_bytes(&prefix.addr, &bits);
	if (decimal_parse(slash + 1, LENGTH_DIGITS_MAX, bits, &length) < 0)
		return -EINVAL;
	if (!bits_zero_from(bytes, length, bits))
		return -EINVAL;
	prefix.length = (uint8_t)length;
	*ret = prefix;
	return 0;
}

const char *prefix_format(const struct prefix *prefix, char to[static PREFIX_TEXT_MAX])
{
	char addr[ADDR_TEXT_MAX];

	snprintf(to, PREFIX_TEXT_MAX, "%s/%u", addr_format(&prefix->addr, addr), prefix->length);
	return to;
}

bool prefix_contains(const struct prefix *prefix, const struct addr *addr)
{
	unsigned bits;
	unsigned addr_bits;
	const uint8_t *a = addr_bytes(&prefix->addr, &bits);
	const uint8_t *b = addr_bytes(addr, &addr_bits);

	if (bits == 0 || bits != addr_bits || prefix->length > bits)
		return false;
	return bits_equal(a, b, prefix->length);
}

uint32_t prefix_mask4(const struct prefix *prefix)
{
	if (prefix->length == 0)
		return 0;
	return prefix->length >= 32 ? UINT32_MAX : UINT32_MAX << (32 - prefix->length);
}
