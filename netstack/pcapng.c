/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of pcapng files, in the byte order of this machine, as the format has it; see pcapng.h. */
#include "netstack/pcapng.h"

#include <string.h>

#define BLOCK_SECTION     0x0a0d0d0au
#define BLOCK_INTERFACE   1u
#define BLOCK_PACKET      6u
#define BYTE_ORDER_MAGIC  0x1a2b3c4du
#define VERSION_MAJOR     1
#define VERSION_MINOR     0
#define LINKTYPE_ETHERNET 1

#define OPTION_END       0
#define OPTION_USERAPPL  4 /* of a section */
#define OPTION_NAME      2 /* of an interface */
#define OPTION_TSRESOL   9
#define OPTION_FLAGS     2 /* of a packet */
#define OPTION_DROPCOUNT 4

#define NANOSECONDS 9 /* 10 to the power of minus this */

/* Appends to a block; what it is made of is padded to 32 bits. */
struct writer {
	uint8_t *start;
	uint8_t *at;
};

static void put(struct writer *writer, const void *data, size_t size)
{
	memcpy(writer->at, data, size);
	writer->at += size;
}

static void put16(struct writer *writer, uint16_t value)
{
	put(writer, &value, sizeof(value));
}

static void put32(struct writer *writer, uint32_t value)
{
	put(writer, &value, sizeof(value));
}

static void pad(struct writer *writer)
{
	static const uint8_t zeros[4];
	size_t size = (size_t)(writer->at - writer->start);

	put(writer, zeros, (4 - size % 4) % 4);
}

static void put_option(struct writer *writer, uint16_t code, const void *value, size_t size)
{
	put16(writer, code);
	put16(writer, (uint16_t)size);
	put(writer, value, size);
	pad(writer);
}

static struct writer begin(uint8_t *to, uint32_t type)
{
	struct writer writer = {.start = to, .at = to};

	put32(&writer, type);
	put32(&writer, 0); /* the size, filled in by end() */
	return writer;
}

static size_t end(struct writer *writer)
{
	uint32_t size;

	put16(writer, OPTION_END);
	put16(writer, 0);
	size = (uint32_t)(writer->at - writer->start) + sizeof(size);
	put32(writer, size);
	memcpy(writer->start + 4, &size, sizeof(size));
	return size;
}

size_t pcapng_section(uint8_t to[static PCAPNG_SECTION_SIZE_MAX])
{
	static const char program[] = "netproxy " NETPROXY_VERSION;
	const uint64_t unknown_size = UINT64_MAX;
	struct writer writer = begin(to, BLOCK_SECTION);

	put32(&writer, BYTE_ORDER_MAGIC);
	put16(&writer, VERSION_MAJOR);
	put16(&writer, VERSION_MINOR);
	put(&writer, &unknown_size, sizeof(unknown_size));
	put_option(&writer, OPTION_USERAPPL, program, sizeof(program) - 1);
	return end(&writer);
}

size_t pcapng_interface(const char *name, uint32_t snaplen,
			uint8_t to[static PCAPNG_INTERFACE_SIZE_MAX])
{
	const uint8_t resolution = NANOSECONDS;
	struct writer writer = begin(to, BLOCK_INTERFACE);

	put16(&writer, LINKTYPE_ETHERNET);
	put16(&writer, 0);
	put32(&writer, snaplen);
	put_option(&writer, OPTION_NAME, name, strnlen(name, PCAPNG_NAME_MAX));
	put_option(&writer, OPTION_TSRESOL, &resolution, sizeof(resolution));
	return end(&writer);
}

static void put_bytes(struct writer *writer, const struct pcapng_packet *packet, uint32_t kept)
{
	for (unsigned i = 0; i < packet->iov_count && kept; i++) {
		size_t size = packet->iov[i].iov_len < kept ? packet->iov[i].iov_len : kept;

		put(writer, packet->iov[i].iov_base, size);
		kept -= (uint32_t)size;
	}
	pad(writer);
}

size_t pcapng_packet(const struct pcapng_packet *packet, uint8_t *to)
{
	uint32_t kept = packet->size < packet->snaplen ? packet->size : packet->snaplen;
	uint32_t flags = packet->to_guest ? 2 : 1;
	struct writer writer = begin(to, BLOCK_PACKET);

	put32(&writer, packet->interface);
	put32(&writer, (uint32_t)(packet->time_ns >> 32));
	put32(&writer, (uint32_t)packet->time_ns);
	put32(&writer, kept);
	put32(&writer, packet->size);
	put_bytes(&writer, packet, kept);
	put_option(&writer, OPTION_FLAGS, &flags, sizeof(flags));
	if (packet->dropped)
		put_option(&writer, OPTION_DROPCOUNT, &packet->dropped, sizeof(packet->dropped));
	return end(&writer);
}
