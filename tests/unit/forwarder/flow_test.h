/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of UDP, echo and ICMP errors share besides forwarder_test.h: a network of both
 * address families, packets of either, and what the guest gets taken apart.
 */
#ifndef TESTS_UNIT_FORWARDER_FLOW_TEST_H
#define TESTS_UNIT_FORWARDER_FLOW_TEST_H

#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "forwarder_test.h"

#define ETH_SIZE 14
#define IP4_SIZE 20
#define IP6_SIZE 40

static const char *const guest_text[] = {"192.168.65.2", "fd65:6e70:7879::2"};
static const char *const alias_text[] = {"192.168.65.254", "fd65:6e70:7879::fe"};

/* The network's address of either family, by 4 or 6. */
static inline struct addr guest_addr(int family)
{
	return address(guest_text[family == 6]);
}

static inline struct addr alias_addr(int family)
{
	return address(alias_text[family == 6]);
}

static inline void with_ip6(struct forwarder_conf *conf)
{
	ck_assert_int_eq(prefix_parse("fd65:6e70:7879::/64", &conf->stack.prefix6), 0);
	conf->stack.gateway6 = address("fd65:6e70:7879::1");
	conf->stack.alias6 = alias_addr(6);
}

static inline void setup_both(void)
{
	struct addr guest6 = guest_addr(6);

	setup_with(with_ip6);
	stack_learn(forwarder_stack(forwarder), &guest6, &guest_mac);
	turn(); /* what the gateway says to a guest that has just come */
}

/* What is in an unfragmented frame to the guest. */
struct got {
	struct addr src;
	struct addr dst;
	uint8_t ttl;
	uint8_t tos;
	uint8_t protocol;
	const uint8_t *transport;
	size_t size; /* of transport, header and payload */
};

static inline struct got take_apart_ip(const uint8_t *ip, size_t size)
{
	struct got got = {.src.family = AF_INET, .dst.family = AF_INET};

	if (ip[0] >> 4 == 4) {
		memcpy(&got.src.v4, ip + 12, 4);
		memcpy(&got.dst.v4, ip + 16, 4);
		got.tos = ip[1];
		got.ttl = ip[8];
		got.protocol = ip[9];
		got.transport = ip + IP4_SIZE;
		got.size = size - IP4_SIZE;
		return got;
	}
	got.src.family = got.dst.family = AF_INET6;
	memcpy(&got.src.v6, ip + 8, 16);
	memcpy(&got.dst.v6, ip + 24, 16);
	got.tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	got.ttl = ip[7];
	got.protocol = ip[6];
	got.transport = ip + IP6_SIZE;
	got.size = size - IP6_SIZE;
	return got;
}

static inline struct got take_apart(const struct sim_frame *frame)
{
	return take_apart_ip(frame->bytes + ETH_SIZE, frame->size - ETH_SIZE);
}

static inline bool is_addr(const struct addr *addr, const char *text)
{
	struct addr want = address(text);

	return addr_equal(addr, &want);
}

/* Waits for the next frame to the guest and takes it apart. */
#define NEXT_GOT(GOT)                      \
	do {                               \
		unsigned before_ = others; \
		UNTIL(others > before_);   \
		(GOT) = take_apart(other); \
	} while (0)

/* A socket of the host's on its loopback of either family. */
static inline int host_udp(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	socklen_t size = sizeof(sa);
	int fd;

	if (family == 4)
		return host_socket(SOCK_DGRAM, ret_port);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	*ret_port = ntohs(sa.sin6_port);
	return fd;
}

/* The guest's datagram to the host alias, to be changed before it is sent. */
static inline struct sim_packet guest_packet(int family, uint16_t from, uint16_t to,
					     const char *text)
{
	return (struct sim_packet){
		.src_mac = guest_mac,
		.dst_mac = gateway_mac,
		.src = guest_addr(family),
		.dst = alias_addr(family),
		.protocol = IPPROTO_UDP,
		.src_port = from,
		.dst_port = to,
		.payload = (const uint8_t *)text,
		.payload_size = strlen(text),
	};
}

/* Sends it; returns its bytes from the IP header on, good until the next call. */
static inline const uint8_t *send_packet(struct sim_link *link, const struct sim_packet *packet,
					 size_t *ret_size)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	size_t size = sim_packet_build(packet, bytes);

	sim_link_inject(link, bytes, size);
	if (ret_size)
		*ret_size = size - ETH_SIZE;
	return bytes + ETH_SIZE;
}

/* A guest's message that nobody is at the port that the last frame to it was for, sent by `link`'s
 * guest. */
static inline void guest_says_refused(struct sim_link *link, const struct mac *mac,
				      const struct sim_frame *about)
{
	const uint8_t *ip = about->bytes + ETH_SIZE;
	bool v6 = ip[0] >> 4 == 6;
	size_t quoted = (v6 ? IP6_SIZE : IP4_SIZE) + 8u;
	uint8_t icmp[8 + IP6_SIZE + 8] = {v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH,
					  v6 ? ICMPV6_PORT_UNREACH : ICMP_PORT_UNREACH};
	struct got got = take_apart(about);
	struct sim_packet packet = {
		.src_mac = *mac,
		.dst_mac = gateway_mac,
		.src = got.dst,
		.dst = got.src,
		.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.payload = icmp,
		.payload_size = 8 + quoted,
	};
	uint8_t pseudo[8] = {[3] = (uint8_t)(8 + quoted), [7] = IPPROTO_ICMPV6};
	uint16_t sum = 0;

	memcpy(icmp + 8, ip, quoted);
	if (v6) {
		sum = sim_sum(sum, got.dst.v6.s6_addr, 16);
		sum = sim_sum(sum, got.src.v6.s6_addr, 16);
		sum = sim_sum(sum, pseudo, sizeof(pseudo));
	}
	sum = (uint16_t)~sim_sum(sum, icmp, 8 + quoted);
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
	send_packet(link, &packet, NULL);
}

#endif
