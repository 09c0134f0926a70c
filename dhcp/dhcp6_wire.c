/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCPv6 wire format; see dhcp6_wire.h. */
#include "dhcp/dhcp6_wire.h"

#include <errno.h>

#define OPTION_HEADER_SIZE 4
#define IA_TIMES_SIZE      8 /* T1 and T2, which an IA_TA has not */
#define IA_ADDR_TIMES_SIZE 8 /* lifetimes */

/* One option, taken off the front of the options that `r` has left. */
struct option {
	uint16_t code;
	struct wire_reader value;
};

static bool next_option(struct wire_reader *r, struct option *ret)
{
	if (wire_left(r) == 0)
		return false;
	ret->code = wire_be16(r);
	ret->value = wire_sub(r, wire_be16(r));
	return wire_ok(r);
}

static bool decode_duid(struct wire_reader value, struct dhcp6_duid *ret)
{
	size_t size = wire_left(&value);

	if (ret->size || size < DHCP6_DUID_MIN || size > DHCP6_DUID_MAX)
		return false;
	*ret = (struct dhcp6_duid){.bytes = wire_bytes(&value, size), .size = size};
	return true;
}

/* RFC 8415, 21.6: what is inside of an address' option doesn't concern us, but must be there whole.
 */
static bool decode_ia_addr(struct wire_reader value, struct dhcp6_ia *ia)
{
	struct addr addr = {.family = AF_INET6};
	struct option option;

	wire_copy(&value, &addr.v6, sizeof(addr.v6));
	wire_skip(&value, IA_ADDR_TIMES_SIZE);
	while (next_option(&value, &option))
		;
	if (!wire_ok(&value))
		return false;
	if (ia->addr_count < DHCP6_IA_ADDRS_MAX)
		ia->addrs[ia->addr_count++] = addr;
	return true;
}

/* RFC 8415, 21.4, 21.5 and 21.21. */
static bool decode_ia(uint16_t kind, struct wire_reader value, struct dhcp6_message *m)
{
	struct dhcp6_ia ia = {.kind = kind, .id = wire_be32(&value)};
	struct option option;

	if (kind != DHCP6_OPT_IA_TA)
		wire_skip(&value, IA_TIMES_SIZE);
	while (next_option(&value, &option)) {
		if (option.code == DHCP6_OPT_IA_ADDR && !decode_ia_addr(option.value, &ia))
			return false;
	}
	if (!wire_ok(&value))
		return false;
	if (m->ia_count < DHCP6_IAS_MAX)
		m->ias[m->ia_count++] = ia;
	return true;
}

/* RFC 4704, 4.1 and 4.2: flags and a name in DNS wire form, whole or only its first labels. */
static bool decode_fqdn(struct wire_reader value, struct dhcp6_message *m)
{
	const uint8_t *label;
	size_t size;

	m->fqdn_flags = wire_u8(&value);
	if (!wire_ok(&value))
		return false;
	m->has_fqdn = true;
	size = wire_u8(&value);
	label = wire_bytes(&value, size);
	/* A name that is no good for a host is as none. What ends a name in text must not be in it:
	 * the host would get the name of another. */
	if (label && size > 0 && !memchr(label, '.', size) && !memchr(label, '\0', size))
		dhcp_hostname_clean(label, size, m->hostname);
	return true;
}

static bool decode_oro(struct wire_reader value, struct dhcp6_message *m)
{
	m->has_oro = true;
	m->oro_size = wire_left(&value);
	m->oro = wire_bytes(&value, m->oro_size);
	return m->oro_size % 2 == 0;
}

static bool decode_option(const struct option *option, struct dhcp6_message *m)
{
	switch (option->code) {
	case DHCP6_OPT_CLIENT_ID:
		return decode_duid(option->value, &m->client);
	case DHCP6_OPT_SERVER_ID:
		return decode_duid(option->value, &m->server);
	case DHCP6_OPT_IA_NA:
	case DHCP6_OPT_IA_TA:
	case DHCP6_OPT_IA_PD:
		return decode_ia(option->code, option->value, m);
	case DHCP6_OPT_ORO:
		return decode_oro(option->value, m);
	case DHCP6_OPT_RAPID_COMMIT:
		m->rapid_commit = true;
		return true;
	case DHCP6_OPT_FQDN:
		return decode_fqdn(option->value, m);
	default:
		return true;
	}
}

int dhcp6_message_decode(const void *data, size_t size, struct dhcp6_message *ret)
{
	struct wire_reader r = wire_reader(data, size);
	uint32_t head = wire_be32(&r);
	struct dhcp6_message m = {.type = (uint8_t)(head >> 24), .xid = head & 0xffffff};
	bool relayed = m.type == DHCP6_RELAY_FORW || m.type == DHCP6_RELAY_REPL;
	struct option option;

	while (!relayed && next_option(&r, &option)) {
		if (!decode_option(&option, &m))
			return -EBADMSG;
	}
	if (!wire_ok(&r))
		return -EBADMSG;
	*ret = m;
	return 0;
}

bool dhcp6_wants(const struct dhcp6_message *message, uint16_t code)
{
	for (size_t i = 0; i + 1 < message->oro_size; i += 2) {
		if ((message->oro[i] << 8 | message->oro[i + 1]) == code)
			return true;
	}
	return !message->has_oro;
}

bool dhcp6_put_option(struct wire_writer *w, size_t reserve, uint16_t code, const void *data,
		      size_t size)
{
	if (size > UINT16_MAX || wire_room(w) < OPTION_HEADER_SIZE + size + reserve)
		return false;
	wire_put_be16(w, code);
	wire_put_be16(w, (uint16_t)size);
	wire_put_bytes(w, data, size);
	return true;
}

uint8_t *dhcp6_begin_option(struct wire_writer *w, uint16_t code)
{
	wire_put_be16(w, code);
	return wire_put_space(w, 2);
}

void dhcp6_end_option(struct wire_writer *w, uint8_t *length)
{
	size_t size;

	if (!length || !wire_fits(w))
		return;
	size = (size_t)(w->pos - (length + 2));
	length[0] = (uint8_t)(size >> 8);
	length[1] = (uint8_t)size;
}
