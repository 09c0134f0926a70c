/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for tests: see sim_packet.h. */
#include "sim/sim_packet.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETH_SIZE  14
#define IPV4_SIZE 20
#define IPV6_SIZE 40
#define TCP_SIZE  20
#define UDP_SIZE  8

static void put16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, value >> 16);
	put16(to + 2, value & 0xffff);
}

static uint16_t get16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

uint16_t sim_sum(uint32_t sum, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static uint16_t pseudo_sum(const uint8_t *ip, uint8_t protocol, size_t size)
{
	uint8_t tail[8] = {(uint8_t)(size >> 24),
			   (uint8_t)(size >> 16),
			   (uint8_t)(size >> 8),
			   (uint8_t)size,
			   0,
			   0,
			   0,
			   protocol};
	uint16_t sum;

	if (ip[0] >> 4 == 4)
		sum = sim_sum(0, ip + 12, 8);
	else
		sum = sim_sum(0, ip + 8, 32);
	return sim_sum(sum, tail, sizeof(tail));
}

static uint8_t *put_ip(const struct sim_packet *p, uint8_t *ip, size_t size)
{
	uint8_t ttl = p->ttl ? p->ttl : 64;

	if (p->src.family == AF_INET6) {
		put32(ip, 6u << 28 | (uint32_t)p->tos << 20);
		put16(ip + 4, (uint32_t)size);
		ip[6] = p->protocol;
		ip[7] = ttl;
		memcpy(ip + 8, &p->src.v6, 16);
		memcpy(ip + 24, &p->dst.v6, 16);
		return ip + IPV6_SIZE;
	}
	memset(ip, 0, IPV4_SIZE);
	ip[0] = 0x45;
	ip[1] = p->tos;
	put16(ip + 2, (uint32_t)(size + IPV4_SIZE));
	put16(ip + 4, p->ip_id);
	put16(ip + 6, p->df ? 0x4000 : 0);
	ip[8] = ttl;
	ip[9] = p->protocol;
	memcpy(ip + 12, &p->src.v4, 4);
	memcpy(ip + 16, &p->dst.v4, 4);
	put16(ip + 10, (uint16_t)~sim_sum(0, ip, IPV4_SIZE));
	return ip + IPV4_SIZE;
}

static size_t transport_size(const struct sim_packet *p)
{
	if (p->protocol == IPPROTO_TCP)
		return TCP_SIZE + p->options_size;
	return p->protocol == IPPROTO_UDP ? UDP_SIZE : 0;
}

static void put_transport(const struct sim_packet *p, uint8_t *at, size_t size)
{
	size_t header_size = transport_size(p);

	memset(at, 0, header_size);
	if (header_size) {
		put16(at, p->src_port);
		put16(at + 2, p->dst_port);
	}
	if (p->protocol == IPPROTO_TCP) {
		put32(at + 4, p->seq);
		put32(at + 8, p->ack);
		at[12] = (uint8_t)(header_size / 4 << 4);
		at[13] = p->flags;
		put16(at + 14, p->window);
		if (p->options_size)
			memcpy(at + TCP_SIZE, p->options, p->options_size);
	} else if (p->protocol == IPPROTO_UDP) {
		put16(at + 4, (uint32_t)size);
	}
	if (p->payload_size)
		memcpy(at + header_size, p->payload, p->payload_size);
}

size_t sim_packet_build(const struct sim_packet *p, uint8_t *to)
{
	size_t size = transport_size(p) + p->payload_size;
	uint8_t *ip = to + ETH_SIZE, *at, *csum;
	uint16_t sum;

	assert(p->options_size % 4 == 0 && p->options_size <= 40);
	memcpy(to, p->dst_mac.bytes, MAC_SIZE);
	memcpy(to + 6, p->src_mac.bytes, MAC_SIZE);
	put16(to + 12, p->src.family == AF_INET6 ? 0x86dd : 0x0800);
	at = put_ip(p, ip, size);
	assert((size_t)(at + size - to) <= SIM_PACKET_MAX);
	put_transport(p, at, size);
	if (transport_size(p)) {
		csum = at + (p->protocol == IPPROTO_TCP ? 16 : 6);
		sum = pseudo_sum(ip, p->protocol, size);
		if (!p->partial) {
			sum = (uint16_t)~sim_sum(sum, at, size);
			sum = sum == 0 && p->protocol == IPPROTO_UDP ? 0xffff : sum;
		}
		put16(csum, sum);
	}
	if (p->padding)
		memset(at + size, 0, p->padding);
	return (size_t)(at + size - to) + p->padding;
}

size_t sim_packet_arp(const struct mac *mac, const struct addr *sender, const struct addr *target,
		      uint8_t *to)
{
	static const uint8_t request[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};

	memset(to, 0xff, MAC_SIZE);
	memcpy(to + 6, mac->bytes, MAC_SIZE);
	memcpy(to + 12, request, sizeof(request));
	memcpy(to + 22, mac->bytes, MAC_SIZE);
	memcpy(to + 28, &sender->v4, 4);
	memset(to + 32, 0, MAC_SIZE);
	memcpy(to + 38, &target->v4, 4);
	return 42;
}

bool sim_packet_csum_ok(const uint8_t *frame, size_t size)
{
	const uint8_t *ip = frame + ETH_SIZE, *at;
	size_t left;
	uint8_t protocol;

	assert(size >= ETH_SIZE + IPV4_SIZE);
	if (ip[0] >> 4 == 4) {
		at = ip + (ip[0] & 15) * 4;
		left = (size_t)get16(ip + 2) - (size_t)(at - ip);
		protocol = ip[9];
		if (sim_sum(0, ip, (size_t)(at - ip)) != 0xffff)
			return false;
	} else {
		at = ip + IPV6_SIZE;
		left = get16(ip + 4);
		protocol = ip[6];
	}
	assert((size_t)(at - frame) + left <= size);
	if (protocol == IPPROTO_UDP && ip[0] >> 4 == 4 && get16(at + 6) == 0)
		return true;
	return sim_sum(pseudo_sum(ip, protocol, left), at, left) == 0xffff;
}

struct sim_random sim_random(uint64_t seed)
{
	return (struct sim_random){.state = seed * 0x9e3779b97f4a7c15u | 1};
}

uint64_t sim_random_next(struct sim_random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * 0x2545f4914f6cdd1du;
}

uint32_t sim_random_range(struct sim_random *random, uint32_t low, uint32_t high)
{
	return low + (uint32_t)((sim_random_next(random) >> 32) % ((uint64_t)high - low + 1));
}

uint64_t sim_random_seed(const char *test, uint64_t fallback)
{
	const char *text = getenv("NETPROXY_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : fallback;

	printf("%s: NETPROXY_TEST_SEED=%llu\n", test, (unsigned long long)seed);
	return seed;
}
