/* SPDX-License-Identifier: Apache-2.0 */
/* VMN3T's messages: see vmnet_wire.h. */
#include "netstack/vmnet_wire.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/hmap.h"
#include "base/wire.h"

#define MAGIC            "VMN3T"
#define MAGIC_SIZE       5
#define COMMAND_ETHERNET 1
#define COMMAND_IPV4     8
#define ANSWER_VIF       1
#define ANSWER_REFUSAL   2
#define TEXT_MAX         255

/* A packet's headers around the MTU, as VPNKit says it. */
#define PACKET_HEADERS 50

int vmnet_hello_read(const uint8_t bytes[static VMNET_HELLO_SIZE], uint32_t *ret_version)
{
	struct wire_reader r = wire_reader(bytes, VMNET_HELLO_SIZE);

	if (memcmp(wire_bytes(&r, MAGIC_SIZE), MAGIC, MAGIC_SIZE) != 0)
		return -EBADMSG;
	*ret_version = wire_le32(&r);
	return 0;
}

void vmnet_hello_write(uint8_t to[static VMNET_HELLO_SIZE])
{
	memset(to, '0', VMNET_HELLO_SIZE); /* as the commit */
	memcpy(to, MAGIC, MAGIC_SIZE);
	memset(to + MAGIC_SIZE, 0, sizeof(uint32_t));
	to[MAGIC_SIZE] = VMNET_VERSION;
}

/* Copies it in lower case. */
static bool read_uuid(const uint8_t *bytes, char to[static VMNET_UUID_SIZE + 1])
{
	for (unsigned i = 0; i < VMNET_UUID_SIZE; i++) {
		bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (is_dash ? bytes[i] != '-' : !isxdigit(bytes[i]))
			return false;
		to[i] = (char)tolower(bytes[i]);
	}
	to[VMNET_UUID_SIZE] = '\0';
	return true;
}

int vmnet_command_read(const uint8_t bytes[static VMNET_COMMAND_SIZE], struct vmnet_command *ret)
{
	struct wire_reader r = wire_reader(bytes, VMNET_COMMAND_SIZE);
	struct vmnet_command command = {0};
	uint8_t kind = wire_u8(&r);
	const uint8_t *uuid = wire_bytes(&r, VMNET_UUID_SIZE);
	uint32_t preferred = wire_le32(&r);

	if (kind != COMMAND_ETHERNET && kind != COMMAND_IPV4)
		return -EBADMSG;
	if (!read_uuid(uuid, command.uuid))
		return -EINVAL;
	if (kind == COMMAND_IPV4 && preferred)
		command.preferred = addr_from_v4(preferred);
	*ret = command;
	return 0;
}

void vmnet_answer_write(uint8_t to[static VMNET_ANSWER_SIZE], uint32_t mtu, const struct mac *mac)
{
	struct wire_writer w = wire_writer(to, VMNET_ANSWER_SIZE);
	uint32_t packet_max = mtu + PACKET_HEADERS;

	memset(to, 0, VMNET_ANSWER_SIZE);
	wire_put_u8(&w, ANSWER_VIF);
	wire_put_le16(&w, (uint16_t)mtu);
	wire_put_le16(&w, (uint16_t)(packet_max > UINT16_MAX ? UINT16_MAX : packet_max));
	wire_put_bytes(&w, mac->bytes, MAC_SIZE);
}

void vmnet_refusal_write(uint8_t to[static VMNET_ANSWER_SIZE], const char *text)
{
	struct wire_writer w = wire_writer(to, VMNET_ANSWER_SIZE);
	size_t size = strnlen(text, TEXT_MAX);

	memset(to, 0, VMNET_ANSWER_SIZE);
	wire_put_u8(&w, ANSWER_REFUSAL);
	wire_put_u8(&w, (uint8_t)size);
	wire_put_bytes(&w, text, size);
}

struct mac vmnet_mac(const char *uuid)
{
	/* Any key will do; this one must never change. */
	static const struct hash_key key = {{0x564d4e33542f6d61, 0x633a6e657470726f}};
	uint64_t hash = hash_bytes(&key, uuid, strlen(uuid));
	struct mac mac = {{0x02}};

	for (unsigned i = 1; i < MAC_SIZE; i++)
		mac.bytes[i] = (uint8_t)(hash >> 8 * i);
	return mac;
}
