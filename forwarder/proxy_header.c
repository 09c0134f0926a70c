/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol's header; see proxy_header.h. */
#include "forwarder/proxy_header.h"

#include <assert.h>
#include <string.h>

#define SIGNATURE_SIZE 12
#define VERSION_LOCAL  0x20
#define VERSION_PROXY  0x21
#define FAMILY_INET    0x10
#define FAMILY_INET6   0x20
#define STREAM         0x1
#define DGRAM          0x2

static const uint8_t signature[SIGNATURE_SIZE] = "\r\n\r\n\0\r\nQUIT\n";

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static uint8_t *put_u16(uint8_t *at, size_t value)
{
	*at++ = (uint8_t)(value >> 8);
	*at++ = (uint8_t)value;
	return at;
}

size_t proxy_header_write(const struct endpoint *client, const struct endpoint *at, bool datagram,
			  uint8_t to[static PROXY_HEADER_MAX])
{
	bool known = client->addr.family == at->addr.family &&
		     (client->addr.family == AF_INET || client->addr.family == AF_INET6);
	bool v6 = client->addr.family == AF_INET6;
	size_t addr_size = v6 ? sizeof(client->addr.v6) : sizeof(client->addr.v4);
	uint8_t *end = put(to, signature, SIGNATURE_SIZE);

	*end++ = known ? VERSION_PROXY : VERSION_LOCAL;
	if (!known) {
		*end++ = 0; /* AF_UNSPEC */
		end = put_u16(end, 0);
		return (size_t)(end - to);
	}
	*end++ = (uint8_t)((v6 ? FAMILY_INET6 : FAMILY_INET) | (datagram ? DGRAM : STREAM));
	end = put_u16(end, 2 * (addr_size + 2));
	/* The union's members begin at one place. */
	end = put(end, &client->addr.v6, addr_size);
	end = put(end, &at->addr.v6, addr_size);
	end = put_u16(end, client->port);
	end = put_u16(end, at->port);
	assert((size_t)(end - to) <= PROXY_HEADER_MAX);
	return (size_t)(end - to);
}
