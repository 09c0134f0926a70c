/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of frames, once for all who read or write them: EtherTypes, sizes, where fields
 * stand, flags. And big-endian loads and stores at offsets that have been checked already
 * (frame_parse_headers()); what is not checked yet goes through base/wire.h.
 */
#ifndef NETSTACK_BYTES_H
#define NETSTACK_BYTES_H

#include <stdint.h>
#include <string.h>

#define ETHERTYPE_OFFSET       12
#define ETHERTYPE_IPV4         0x0800
#define ETHERTYPE_ARP          0x0806
#define ETHERTYPE_VLAN         0x8100
#define ETHERTYPE_VLAN_SERVICE 0x88a8 /* IEEE 802.1ad */
#define ETHERTYPE_IPV6         0x86dd

#define IPV4_HEADER_SIZE   20 /* without options */
#define IPV4_AT_TOS        1
#define IPV4_AT_TOTAL_SIZE 2
#define IPV4_AT_ID         4
#define IPV4_AT_FRAGMENT   6
#define IPV4_AT_TTL        8
#define IPV4_AT_PROTOCOL   9
#define IPV4_AT_CSUM       10
#define IPV4_AT_SRC        12
#define IPV4_AT_DST        16

/* In the field at IPV4_AT_FRAGMENT. */
#define IPV4_DONT_FRAGMENT   0x4000
#define IPV4_MORE_FRAGMENTS  0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff                                       /* in units of 8 bytes */
#define IPV4_FRAGMENT_MASK   (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET) /* not 0: a fragment */

#define IPV6_HEADER_SIZE     40 /* without extension headers */
#define IPV6_AT_PAYLOAD_SIZE 4
#define IPV6_AT_NEXT_HEADER  6
#define IPV6_AT_HOP_LIMIT    7
#define IPV6_AT_SRC          8
#define IPV6_AT_DST          24

#define TCP_HEADER_SIZE    20 /* without options */
#define TCP_AT_SEQ         4
#define TCP_AT_ACK_NUMBER  8
#define TCP_AT_DATA_OFFSET 12
#define TCP_AT_FLAGS       13
#define TCP_AT_WINDOW      14
#define TCP_AT_CSUM        16

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_PSH 0x08
#define TCP_FLAG_ACK 0x10
#define TCP_FLAG_CWR 0x80

#define UDP_HEADER_SIZE 8
#define UDP_AT_SIZE     4
#define UDP_AT_CSUM     6

#define ICMP_HEADER_SIZE 8 /* of both families, to what a message's type makes of the rest */
#define ICMP_AT_CSUM     2

static inline uint16_t load_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t load_be32(const uint8_t *at)
{
	return (uint32_t)load_be16(at) << 16 | load_be16(at + 2);
}

static inline void store_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void store_be32(uint8_t *at, uint32_t value)
{
	store_be16(at, (uint16_t)(value >> 16));
	store_be16(at + 2, (uint16_t)value);
}

/* A checksum as base/csum.h makes it: in the byte order of memory. */
static inline void store_csum(uint8_t *at, uint16_t csum)
{
	memcpy(at, &csum, sizeof(csum));
}

#endif
