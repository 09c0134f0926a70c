/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of VMN3T, version 22: how HyperKit and others that were made for VPNKit introduce a
 * guest, before frames follow behind 16-bit little-endian lengths. All integers are little-endian.
 * Pure functions; link_vpnkit.h does the talking.
 *
 *	client, 49 bytes	"VMN3T", u32 version, 40 characters of a commit
 *	server, 49 bytes	the same of its own
 *	client, 41 bytes	u8 1, a UUID of 36 characters, padding;
 *				or u8 8, the UUID, u32 IPv4 address
 *	server, 258 bytes	u8 1, u16 MTU, u16 largest packet, MAC, padding;
 *				or u8 2, u8 length, text
 */
#ifndef NETSTACK_VMNET_WIRE_H
#define NETSTACK_VMNET_WIRE_H

#include <stdint.h>

#include "base/addr.h"

#define VMNET_VERSION      22
#define VMNET_HELLO_SIZE   49
#define VMNET_COMMAND_SIZE 41
#define VMNET_ANSWER_SIZE  258
#define VMNET_UUID_SIZE    36

struct vmnet_command {
	char uuid[VMNET_UUID_SIZE + 1]; /* in lower case */
	struct addr preferred;          /* AF_UNSPEC: none */
};

/* Reads the version of a hello. Returns 0, or -EBADMSG when it is none. */
int vmnet_hello_read(const uint8_t bytes[static VMNET_HELLO_SIZE], uint32_t *ret_version);
void vmnet_hello_write(uint8_t to[static VMNET_HELLO_SIZE]);

/* Returns 0, -EBADMSG for a command that isn't known, or -EINVAL for what is no UUID. */
int vmnet_command_read(const uint8_t bytes[static VMNET_COMMAND_SIZE], struct vmnet_command *ret);

void vmnet_answer_write(uint8_t to[static VMNET_ANSWER_SIZE], uint32_t mtu, const struct mac *mac);
/* The text is cut after 255 characters. */
void vmnet_refusal_write(uint8_t to[static VMNET_ANSWER_SIZE], const char *text);

/* The MAC of the guest with that UUID: always the same, locally administered. */
struct mac vmnet_mac(const char *uuid);

#endif
