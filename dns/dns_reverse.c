/* SPDX-License-Identifier: Apache-2.0 */
/* Reads addresses from reverse names. */
#include "dns/dns_reverse.h"

#include "base/text.h"

#define LABELS_MAX 128

static const struct dns_name in_addr_arpa = {14, "\007in-addr\004arpa"};
static const struct dns_name ip6_arpa = {10, "\003ip6\004arpa"};

/* A decimal byte without leading zeros, or -1. */
static int parse_octet(const uint8_t *label)
{
	unsigned size = label[0], value = 0;

	if (size == 0 || size > 3 || (label[1] == '0' && size > 1))
		return -1;
	for (unsigned i = 1; i <= size; i++) {
		if (label[i] < '0' || label[i] > '9')
			return -1;
		value = value * 10 + (label[i] - '0');
	}
	return value <= 255 ? (int)value : -1;
}

/* One hexadecimal digit, or -1. */
static int parse_nibble(const uint8_t *label)
{
	return label[0] == 1 ? text_hex_digit((char)label[1]) : -1;
}

bool dns_reverse_parse(const struct dns_name *name, struct dns_reverse *ret)
{
	struct dns_reverse reverse = {.bits = 0};
	uint8_t bytes[16] = {0};
	uint8_t starts[LABELS_MAX];
	unsigned label_count = 0;
	bool is_v4 = dns_name_is_within(name, &in_addr_arpa);

	if (!is_v4 && !dns_name_is_within(name, &ip6_arpa))
		return false;
	unsigned bits_max = is_v4 ? 32 : 128;
	size_t end = (size_t)name->size - (is_v4 ? in_addr_arpa.size : ip6_arpa.size);
	for (size_t i = 0; i < end; i += 1u + name->wire[i])
		starts[label_count++] = (uint8_t)i;

	/* The address's first part is the label next to the tree's name. */
	while (label_count > 0 && !reverse.is_malformed) {
		const uint8_t *label = name->wire + starts[--label_count];
		int value = is_v4 ? parse_octet(label) : parse_nibble(label);

		if (value < 0 || reverse.bits == bits_max) {
			reverse.is_malformed = true;
		} else if (is_v4) {
			bytes[reverse.bits / 8] = (uint8_t)value;
			reverse.bits += 8;
		} else {
			bytes[reverse.bits / 8] |= (uint8_t)(reverse.bits % 8 ? value : value << 4);
			reverse.bits += 4;
		}
	}
	reverse.addr.family = is_v4 ? AF_INET : AF_INET6;
	if (is_v4)
		memcpy(&reverse.addr.v4, bytes, sizeof(reverse.addr.v4));
	else
		memcpy(&reverse.addr.v6, bytes, sizeof(reverse.addr.v6));
	*ret = reverse;
	return true;
}

bool dns_reverse_is_host(const struct dns_reverse *reverse)
{
	return !reverse->is_malformed &&
	       reverse->bits == (reverse->addr.family == AF_INET ? 32 : 128);
}

size_t dns_reverse_zone_size(const struct dns_name *name, const struct dns_reverse *reverse,
			     unsigned bits)
{
	bool is_v4 = reverse->addr.family == AF_INET;
	const struct dns_name *tree = is_v4 ? &in_addr_arpa : &ip6_arpa;
	unsigned per_label = is_v4 ? 8 : 4;
	unsigned label_count = 0, skip;
	size_t i = 0;

	for (size_t j = 0; j < (size_t)name->size - tree->size; j += 1u + name->wire[j])
		label_count++;
	unsigned wanted = bits / per_label;
	skip = label_count > wanted ? label_count - wanted : 0;
	while (skip-- > 0)
		i += 1u + name->wire[i];
	return name->size - i;
}
