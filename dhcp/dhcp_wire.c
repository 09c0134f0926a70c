/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCPv4 codec: see dhcp_wire.h. */
#include "dhcp/dhcp_wire.h"

#include <errno.h>
#include <string.h>

#define CHADDR_FIELD_SIZE 16
#define SNAME_FIELD_SIZE  64
#define FILE_FIELD_SIZE   128
#define MAGIC_COOKIE      0x63825363u
#define PIECE_SIZE_MAX    255 /* an option's length is one byte */

#define OVERLOAD_FILE  1
#define OVERLOAD_SNAME 2

/* The next option of an area. Returns 1, 0 at its end (the end option, or no more bytes: some
 * clients leave the end option out), or -EBADMSG. */
static int next_option(struct wire_reader *area, uint8_t *ret_code, struct wire_reader *ret_value)
{
	uint8_t code = DHCP_OPT_PAD;

	while (wire_left(area) > 0 && code == DHCP_OPT_PAD)
		code = wire_u8(area);
	if (code == DHCP_OPT_PAD || code == DHCP_OPT_END)
		return 0;
	uint8_t size = wire_u8(area);
	struct wire_reader value = wire_sub(area, size);

	if (!wire_ok(area))
		return -EBADMSG;
	*ret_code = code;
	*ret_value = value;
	return 1;
}

static int check_area(struct wire_reader area)
{
	struct wire_reader value;
	uint8_t code;
	int r;

	do
		r = next_option(&area, &code, &value);
	while (r > 0);
	return r;
}

ssize_t dhcp_message_option(const struct dhcp_message *message, uint8_t code, void *to,
			    size_t to_size)
{
	struct wire_writer w = wire_writer(to, to_size);
	bool found = false;

	for (size_t i = 0; i < message->area_count; i++) {
		struct wire_reader area = message->areas[i];
		struct wire_reader value;
		uint8_t at;

		while (next_option(&area, &at, &value) > 0) {
			if (at != code)
				continue;
			size_t size = wire_left(&value);

			found = true;
			wire_put_bytes(&w, wire_bytes(&value, size), size);
		}
	}
	if (!found)
		return -ENOENT;
	return wire_fits(&w) ? (ssize_t)wire_written(&w) : -EMSGSIZE;
}

/* An option of exactly `size` bytes, 1 to 4, as an integer; *ret stays as it is when the option
 * isn't there. */
static int get_fixed(const struct dhcp_message *message, uint8_t code, size_t size, uint32_t *ret)
{
	uint8_t bytes[4];
	ssize_t got = dhcp_message_option(message, code, bytes, sizeof(bytes));
	uint32_t value = 0;

	if (got == -ENOENT)
		return 0;
	if (got < 0 || (size_t)got != size)
		return -EBADMSG;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | bytes[i];
	*ret = value;
	return 0;
}

/* Adds the fields that option 52 declares to hold options. It counts only where it can be trusted
 * to be read first: in the options field itself, which at this point is the only area. */
static int add_overloaded(struct dhcp_message *message, struct wire_reader file,
			  struct wire_reader sname)
{
	uint32_t overload = 0;

	if (get_fixed(message, DHCP_OPT_OVERLOAD, 1, &overload) < 0)
		return -EBADMSG;
	if (overload & OVERLOAD_FILE)
		message->areas[message->area_count++] = file;
	if (overload & OVERLOAD_SNAME)
		message->areas[message->area_count++] = sname;
	for (size_t i = 1; i < message->area_count; i++)
		if (check_area(message->areas[i]) < 0)
			return -EBADMSG;
	return 0;
}

/* The options that decide what happens to the message. */
static int decode_options(struct dhcp_message *message)
{
	uint32_t type = DHCP_BOOTP;
	uint32_t size_max = 0;
	uint8_t none[1];

	if (get_fixed(message, DHCP_OPT_TYPE, 1, &type) < 0 ||
	    get_fixed(message, DHCP_OPT_REQUESTED, 4, &message->requested) < 0 ||
	    get_fixed(message, DHCP_OPT_SERVER_ID, 4, &message->server_id) < 0 ||
	    get_fixed(message, DHCP_OPT_SIZE_MAX, 2, &size_max) < 0)
		return -EBADMSG;
	message->type = (uint8_t)type;
	message->size_max = (uint16_t)size_max;
	message->rapid_commit = dhcp_message_option(message, DHCP_OPT_RAPID_COMMIT, none,
						    sizeof(none)) >= 0;
	return 0;
}

int dhcp_message_decode(const void *data, size_t size, struct dhcp_message *ret)
{
	struct wire_reader r = wire_reader(data, size);
	struct dhcp_message m = {0};

	if (size > DHCP_MESSAGE_SIZE_MAX)
		return -EBADMSG;
	m.op = wire_u8(&r);
	m.htype = wire_u8(&r);
	m.hlen = wire_u8(&r);
	wire_skip(&r, 1); /* hops: for relays */
	m.xid = wire_be32(&r);
	m.secs = wire_be16(&r);
	m.flags = wire_be16(&r);
	m.ciaddr = wire_be32(&r);
	m.yiaddr = wire_be32(&r);
	m.siaddr = wire_be32(&r);
	m.giaddr = wire_be32(&r);
	wire_copy(&r, m.chaddr.bytes, MAC_SIZE);
	wire_skip(&r, CHADDR_FIELD_SIZE - MAC_SIZE);
	struct wire_reader sname = wire_sub(&r, SNAME_FIELD_SIZE);
	struct wire_reader file = wire_sub(&r, FILE_FIELD_SIZE);

	if (wire_be32(&r) != MAGIC_COOKIE || !wire_ok(&r))
		return -EBADMSG;
	m.areas[0] = r;
	m.area_count = 1;
	if (check_area(r) < 0 || add_overloaded(&m, file, sname) < 0 || decode_options(&m) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

void dhcp_put_header(struct wire_writer *w, const struct dhcp_message *message)
{
	size_t file_size = message->file ? strnlen(message->file, FILE_FIELD_SIZE - 1) : 0;

	wire_put_u8(w, message->op);
	wire_put_u8(w, message->htype);
	wire_put_u8(w, message->hlen);
	wire_put_u8(w, 0);
	wire_put_be32(w, message->xid);
	wire_put_be16(w, message->secs);
	wire_put_be16(w, message->flags);
	wire_put_be32(w, message->ciaddr);
	wire_put_be32(w, message->yiaddr);
	wire_put_be32(w, message->siaddr);
	wire_put_be32(w, message->giaddr);
	wire_put_bytes(w, message->chaddr.bytes, MAC_SIZE);
	wire_put_zeros(w, CHADDR_FIELD_SIZE - MAC_SIZE + SNAME_FIELD_SIZE);
	wire_put_bytes(w, message->file, file_size);
	wire_put_zeros(w, FILE_FIELD_SIZE - file_size);
	wire_put_be32(w, MAGIC_COOKIE);
}

size_t dhcp_option_room(size_t size)
{
	size_t pieces = size ? (size + PIECE_SIZE_MAX - 1) / PIECE_SIZE_MAX : 1;

	return size + 2 * pieces;
}

bool dhcp_put_option(struct wire_writer *w, size_t reserve, uint8_t code, const void *data,
		     size_t size)
{
	const uint8_t *bytes = data;

	if (wire_room(w) < dhcp_option_room(size) + reserve)
		return false;
	do {
		size_t piece = size < PIECE_SIZE_MAX ? size : PIECE_SIZE_MAX;

		wire_put_u8(w, code);
		wire_put_u8(w, (uint8_t)piece);
		wire_put_bytes(w, bytes, piece);
		bytes = bytes ? bytes + piece : NULL;
		size -= piece;
	} while (size > 0);
	return true;
}
