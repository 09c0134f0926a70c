/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of IPv6 share: packets with extension headers, ICMPv6 messages, and reading what
 * came back. */
#ifndef TESTS_UNIT_NETSTACK_IP6_TEST_H
#define TESTS_UNIT_NETSTACK_IP6_TEST_H

#include "world_test.h"

#define GATEWAY6    "fd00:65::1"
#define ALIAS6      "fd00:65::fe"
#define GUEST6      "fd00:65::2"
#define GUEST_LOCAL "fe80::5054:ff:fe00:2"
#define OUR_LOCAL   "fe80::5055:ff:fe00:1" /* of net_gateway_mac */
#define FAR6        "2001:db8::3"

#define IP6_AT  14
#define EXT_AT  54 /* the first header behind IPv6's */
#define ICMP_AT 54

static inline void put_be16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static inline uint32_t be32(const uint8_t *at)
{
	return (uint32_t)be16(at) << 16 | be16(at + 2);
}

static inline struct sim_packet packet6(const char *src, const char *dst, uint8_t protocol)
{
	struct sim_packet packet = packet_to("10.0.0.1", protocol);

	packet.src = net_addr(src);
	packet.dst = net_addr(dst);
	if (addr_is_multicast(&packet.dst)) {
		packet.dst_mac = (struct mac){{0x33, 0x33}};
		memcpy(packet.dst_mac.bytes + 2, packet.dst.v6.s6_addr + 12, 4);
	}
	return packet;
}

/* The checksum of what follows the IPv6 header and `skip` bytes of extension headers. */
static inline uint16_t sum6(const uint8_t *frame, size_t size, size_t skip, uint8_t protocol)
{
	uint8_t tail[8] = {0, 0, 0, 0, 0, 0, 0, protocol};
	size_t left = size - EXT_AT - skip;
	uint16_t sum = sim_sum(0, frame + IP6_AT + 8, 32);

	put_be16(tail + 2, (unsigned)left);
	return sim_sum(sim_sum(sum, tail, 8), frame + EXT_AT + skip, left);
}

/* An ICMPv6 message with its checksum, in `bytes`; returns the frame's size. */
static inline size_t build_icmp6(const char *src, const char *dst, uint8_t hop_limit,
				 const uint8_t *message, size_t size)
{
	struct sim_packet packet = packet6(src, dst, IPPROTO_ICMPV6);

	packet.ttl = hop_limit;
	packet.payload = message;
	packet.payload_size = size;
	size = sim_packet_build(&packet, bytes);
	put_be16(bytes + ICMP_AT + 2, 0);
	put_be16(bytes + ICMP_AT + 2, (uint16_t)~sum6(bytes, size, 0, IPPROTO_ICMPV6));
	return size;
}

static inline void inject_icmp6(const char *src, const char *dst, uint8_t hop_limit,
				const uint8_t *message, size_t size)
{
	sim_link_inject(w.net.link, bytes, build_icmp6(src, dst, hop_limit, message, size));
}

static inline void ping6(const char *src, const char *dst)
{
	static const uint8_t echo[] = {128, 0, 0, 0, 0x12, 0x34, 0, 7, 'p', 'i', 'n', 'g'};

	inject_icmp6(src, dst, 64, echo, sizeof(echo));
}

/* Puts headers between the IPv6 header of the frame in `bytes` and what it carries. `headers`
 * must be a multiple of 8 bytes; the last one's next header is what was there. Returns the size. */
static inline size_t insert_headers(size_t frame_size, uint8_t first, const uint8_t *headers,
				    size_t size, size_t last_at)
{
	uint8_t protocol = bytes[IP6_AT + 6];

	memmove(bytes + EXT_AT + size, bytes + EXT_AT, frame_size - EXT_AT);
	memcpy(bytes + EXT_AT, headers, size);
	bytes[EXT_AT + last_at] = protocol;
	bytes[IP6_AT + 6] = first;
	put_be16(bytes + IP6_AT + 4, (unsigned)(frame_size - EXT_AT + size));
	return frame_size + size;
}

/* A small datagram from the guest, in `bytes`; returns the frame's size. */
static inline size_t build_udp(const char *dst)
{
	struct sim_packet packet = packet6(GUEST6, dst, IPPROTO_UDP);

	packet.payload = (const uint8_t *)"extended";
	packet.payload_size = 8;
	return sim_packet_build(&packet, bytes);
}

/* The next frame out, which must be ICMPv6 of this type and code, from and to these addresses. */
static inline struct sim_frame *expect_icmp6(const char *src, const char *dst, uint8_t type,
					     uint8_t code)
{
	struct addr from = net_addr(src), to = net_addr(dst);
	struct sim_frame *frame = take();

	ck_assert_ptr_nonnull(frame);
	ck_assert_uint_eq(be16(frame->bytes + 12), 0x86dd);
	ck_assert_uint_eq(frame->bytes[IP6_AT + 6], IPPROTO_ICMPV6);
	ck_assert_mem_eq(frame->bytes + IP6_AT + 8, &from.v6, 16);
	ck_assert_mem_eq(frame->bytes + IP6_AT + 24, &to.v6, 16);
	ck_assert_uint_eq(be16(frame->bytes + IP6_AT + 4) + EXT_AT, frame->size);
	ck_assert_uint_eq(sum6(frame->bytes, frame->size, 0, IPPROTO_ICMPV6), 0xffff);
	ck_assert_uint_eq(frame->bytes[ICMP_AT], type);
	ck_assert_uint_eq(frame->bytes[ICMP_AT + 1], code);
	return frame;
}

/* The same for an error about the packet in `bytes`, that must quote its beginning. */
static inline void expect_error6(uint8_t type, uint8_t code, uint32_t rest)
{
	struct sim_frame *frame = expect_icmp6(GATEWAY6, GUEST6, type, code);
	size_t quoted = frame->size - ICMP_AT - 8;

	ck_assert_uint_le(frame->size, 14 + 1280);
	ck_assert_uint_eq(be32(frame->bytes + ICMP_AT + 4), rest);
	ck_assert_uint_ge(quoted, 40);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 8, bytes + IP6_AT, quoted);
	sim_frame_free(frame);
}

/* The guest's address is known, so that answers come at once. */
static inline void setup6(void)
{
	struct addr guest = net_addr(GUEST6), local = net_addr(GUEST_LOCAL);

	setup();
	stack_learn(w.net.stack, &guest, &net_guest_mac);
	stack_learn(w.net.stack, &local, &net_guest_mac);
}

#endif
