/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames for tests, built and checked by code that shares nothing with what is under test: the
 * checksum here is the plain one of RFC 1071, byte by byte.
 */
#ifndef SIM_SIM_PACKET_H
#define SIM_SIM_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define SIM_PACKET_MAX (14 + 65535)

#define SIM_TCP_FIN 0x01
#define SIM_TCP_SYN 0x02
#define SIM_TCP_RST 0x04
#define SIM_TCP_PSH 0x08
#define SIM_TCP_ACK 0x10
#define SIM_TCP_CWR 0x80

/* Everything that a test may want to set; zeros elsewhere make a correct packet. */
struct sim_packet {
	struct mac src_mac, dst_mac;
	struct addr src, dst; /* one family; it decides between IPv4 and IPv6 */
	uint8_t protocol;     /* IPPROTO_TCP or IPPROTO_UDP: the builder makes that header; others:
				 payload only */
	uint16_t src_port, dst_port;
	uint8_t tos;
	uint8_t ttl; /* 0: 64 */
	uint16_t ip_id;
	bool df;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	const uint8_t *options; /* of TCP; a multiple of 4 bytes */
	size_t options_size;
	const uint8_t *payload;
	size_t payload_size;
	bool partial;   /* leave the pseudo-header's sum in place of the transport checksum */
	size_t padding; /* bytes of Ethernet padding after the packet */
};

/* Writes the frame to `to`, which has SIM_PACKET_MAX + padding bytes; returns its size. */
size_t sim_packet_build(const struct sim_packet *packet, uint8_t *to);
/* An ARP request for `target` from `sender`. Returns the size, 42. */
size_t sim_packet_arp(const struct mac *mac, const struct addr *sender, const struct addr *target,
		      uint8_t *to);

/* The ones' complement sum of RFC 1071, not complemented, in host order. */
uint16_t sim_sum(uint32_t sum, const uint8_t *bytes, size_t size);
/* Whether the IPv4 header checksum and the TCP or UDP checksum of an unfragmented frame without
 * extension headers are right. */
bool sim_packet_csum_ok(const uint8_t *frame, size_t size);

/* A small seeded generator (xorshift64*), for tests that print their seed. */
struct sim_random {
	uint64_t state;
};

struct sim_random sim_random(uint64_t seed);
uint64_t sim_random_next(struct sim_random *random);
/* From `low` to `high`, both included. */
uint32_t sim_random_range(struct sim_random *random, uint32_t low, uint32_t high);
/* NETPROXY_TEST_SEED from the environment, else `fallback`; printed, so that a failure can be
 * repeated. */
uint64_t sim_random_seed(const char *test, uint64_t fallback);

#endif
