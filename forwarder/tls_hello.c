/* SPDX-License-Identifier: Apache-2.0 */
/* The server's name in a TLS ClientHello; see tls_hello.h. */
#include "forwarder/tls_hello.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/wire.h"

#define RECORD_HANDSHAKE   22
#define RECORD_HEADER_SIZE 5
#define RECORD_SIZE_MAX    16384
#define CLIENT_HELLO       1
#define HANDSHAKE_HEADER   4
/* Of ClientHello; the largest seen have keys of a few KiB. */
#define HELLO_SIZE_MAX 16384

#define EXTENSION_SERVER_NAME 0
#define NAME_TYPE_HOST        0

/* Puts the message together that begins in the first record. Returns its size without the header,
 * -EAGAIN or -EPROTO. */
static int join_records(const uint8_t *bytes, size_t size, uint8_t hello[static HELLO_SIZE_MAX])
{
	struct wire_reader r = wire_reader(bytes, size);
	uint8_t header[HANDSHAKE_HEADER];
	size_t got = 0, want = HANDSHAKE_HEADER;

	while (got < want) {
		struct wire_reader record;
		size_t left;

		if (wire_left(&r) < RECORD_HEADER_SIZE)
			return wire_left(&r) && *r.pos != RECORD_HANDSHAKE ? -EPROTO : -EAGAIN;
		if (wire_u8(&r) != RECORD_HANDSHAKE || wire_u8(&r) != 3)
			return -EPROTO;
		wire_skip(&r, 1);
		left = wire_be16(&r);
		if (left == 0 || left > RECORD_SIZE_MAX)
			return -EPROTO;
		/* What is there of the record, which may be less than it says. */
		record = wire_sub(&r, left < wire_left(&r) ? left : wire_left(&r));
		while (wire_left(&record) && got < want) {
			uint8_t byte = wire_u8(&record);

			if (got >= HANDSHAKE_HEADER)
				hello[got - HANDSHAKE_HEADER] = byte;
			else
				header[got] = byte;
			got++;
			if (got == 1 && header[0] != CLIENT_HELLO)
				return -EPROTO;
			if (got != HANDSHAKE_HEADER)
				continue;
			want += (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
			if (want - HANDSHAKE_HEADER > HELLO_SIZE_MAX)
				return -EPROTO;
		}
	}
	return (int)(want - HANDSHAKE_HEADER);
}

/* The extension's list has one name of a type at most. */
static int read_server_name(struct wire_reader *r, char to[static EGRESS_NAME_MAX])
{
	struct wire_reader list = wire_sub(r, wire_be16(r));

	while (wire_ok(&list) && wire_left(&list)) {
		uint8_t type = wire_u8(&list);
		size_t size = wire_be16(&list);
		const uint8_t *name = wire_bytes(&list, size);

		if (name && type == NAME_TYPE_HOST)
			return egress_clean_name((const char *)name, size, to) ? 1 : 0;
	}
	return wire_ok(&list) ? 0 : -EPROTO;
}

int tls_hello_name(const uint8_t *bytes, size_t size, char to[static EGRESS_NAME_MAX])
{
	uint8_t hello[HELLO_SIZE_MAX];
	struct wire_reader r, extensions;
	int hello_size = join_records(bytes, size, hello);

	if (hello_size < 0)
		return hello_size;
	r = wire_reader(hello, (size_t)hello_size);
	wire_skip(&r, 2 + 32);        /* version, random */
	wire_skip(&r, wire_u8(&r));   /* session id */
	wire_skip(&r, wire_be16(&r)); /* cipher suites */
	wire_skip(&r, wire_u8(&r));   /* compression methods */
	if (!wire_ok(&r))
		return -EPROTO;
	if (wire_left(&r) == 0)
		return 0;
	extensions = wire_sub(&r, wire_be16(&r));
	while (wire_ok(&extensions) && wire_left(&extensions)) {
		uint16_t type = wire_be16(&extensions);
		struct wire_reader body = wire_sub(&extensions, wire_be16(&extensions));

		if (wire_ok(&body) && type == EXTENSION_SERVER_NAME)
			return read_server_name(&body, to);
	}
	return wire_ok(&extensions) ? 0 : -EPROTO;
}
