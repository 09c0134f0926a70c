/* SPDX-License-Identifier: Apache-2.0 */
/* A small TLS ClientHello for tests. */
#ifndef TESTS_UNIT_FORWARDER_TLS_SAMPLE_H
#define TESTS_UNIT_FORWARDER_TLS_SAMPLE_H

#include <string.h>

#include "base/wire.h"

#define TLS_SAMPLE_MAX 1024

/* A ClientHello for `name` (NULL: for nobody), in records of at most `record` bytes. Returns the
 * size. */
static inline size_t tls_sample(const char *name, size_t record, uint8_t to[static TLS_SAMPLE_MAX])
{
	static const uint8_t versions[] = {0, 43, 0, 3, 2, 3, 4};
	uint8_t body[TLS_SAMPLE_MAX];
	struct wire_writer b = wire_writer(body, sizeof(body));
	struct wire_writer w = wire_writer(to, TLS_SAMPLE_MAX);
	size_t name_size = name ? strlen(name) : 0;
	size_t extensions = sizeof(versions) + (name ? 9 + name_size : 0);
	size_t size = 2 + 32 + 1 + 32 + 2 + 4 + 2 + 2 + extensions;

	wire_put_u8(&b, 1); /* ClientHello */
	wire_put_u8(&b, 0);
	wire_put_be16(&b, (uint16_t)size);
	wire_put_be16(&b, 0x0303);
	wire_put_zeros(&b, 32); /* random */
	wire_put_u8(&b, 32);
	wire_put_zeros(&b, 32); /* session id */
	wire_put_be16(&b, 4);
	wire_put_be32(&b, 0x13011302); /* cipher suites */
	wire_put_be16(&b, 0x0100);     /* compression methods */
	wire_put_be16(&b, (uint16_t)extensions);
	wire_put_bytes(&b, versions, sizeof(versions));
	if (name) {
		wire_put_be16(&b, 0); /* server_name */
		wire_put_be16(&b, (uint16_t)(name_size + 5));
		wire_put_be16(&b, (uint16_t)(name_size + 3));
		wire_put_u8(&b, 0);
		wire_put_be16(&b, (uint16_t)name_size);
		wire_put_bytes(&b, name, name_size);
	}
	for (size_t at = 0; at < wire_written(&b); at += record) {
		size_t part = wire_written(&b) - at < record ? wire_written(&b) - at : record;

		wire_put_u8(&w, 22);
		wire_put_be16(&w, 0x0301);
		wire_put_be16(&w, (uint16_t)part);
		wire_put_bytes(&w, body + at, part);
	}
	return wire_written(&w);
}

#endif
