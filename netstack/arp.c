/* SPDX-License-Identifier: Apache-2.0 */
/* Address resolution of IPv4 (RFC 826): who asks for the gateway, and who is asked for. */
#include <string.h>

#include "base/log.h"
#include "base/wire.h"
#include "netstack/stack_private.h"

LOG_MODULE("stack");

#define ARP_ETHERNET 1
#define ARP_REQUEST  1
#define ARP_REPLY    2
#define ARP_SIZE     28

static void send_arp(struct stack *stack, uint16_t operation, const struct mac *dst_mac,
		     const struct addr *sender, const struct mac *target_mac,
		     const struct addr *target)
{
	uint8_t bytes[ETH_HEADER_SIZE + ARP_SIZE];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = sizeof(bytes)};
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));

	wire_put_bytes(&w, dst_mac->bytes, MAC_SIZE);
	wire_put_bytes(&w, stack->conf.mac.bytes, MAC_SIZE);
	wire_put_be16(&w, ETHERTYPE_ARP);
	wire_put_be16(&w, ARP_ETHERNET);
	wire_put_be16(&w, ETHERTYPE_IPV4);
	wire_put_u8(&w, MAC_SIZE);
	wire_put_u8(&w, 4);
	wire_put_be16(&w, operation);
	wire_put_bytes(&w, stack->conf.mac.bytes, MAC_SIZE);
	wire_put_bytes(&w, &sender->v4, 4);
	wire_put_bytes(&w, target_mac->bytes, MAC_SIZE);
	wire_put_bytes(&w, &target->v4, 4);
	switch_send(stack->sw, &frame);
}

void arp_input(struct stack *stack, unsigned port, const struct frame *frame)
{
	const uint8_t *bytes = frame->iov[0].iov_base;
	struct wire_reader r = wire_reader(bytes + ETH_HEADER_SIZE,
					   frame->iov[0].iov_len - ETH_HEADER_SIZE);
	struct addr sender = {.family = AF_INET};
	struct addr target = {.family = AF_INET};
	struct mac sender_mac;
	uint16_t operation;

	if (wire_be16(&r) != ARP_ETHERNET || wire_be16(&r) != ETHERTYPE_IPV4 ||
	    wire_u8(&r) != MAC_SIZE || wire_u8(&r) != 4) {
		stack->counters.rx_invalid++;
		return;
	}
	operation = wire_be16(&r);
	wire_copy(&r, sender_mac.bytes, MAC_SIZE);
	wire_copy(&r, &sender.v4, 4);
	wire_skip(&r, MAC_SIZE);
	wire_copy(&r, &target.v4, 4);
	if (!wire_ok(&r)) {
		stack->counters.rx_invalid++;
		return;
	}
	if (stack_is_ours(stack, &sender)) {
		stack->counters.rx_spoofed++;
		log_limited(LOG_LEVEL_WARN,
			    "a guest claims the gateway's or the host's address by ARP");
		return;
	}
	/* A probe (sender 0.0.0.0, RFC 5227) is answered, not learned. */
	stack_note_neighbour(stack, &sender, &sender_mac, port);
	if (operation == ARP_REQUEST && stack_is_ours(stack, &target))
		send_arp(stack, ARP_REPLY, &sender_mac, &target, &sender_mac, &sender);
}

void arp_solicit(struct stack *stack, const struct addr *target)
{
	static const struct mac nobody;

	send_arp(stack, ARP_REQUEST, &mac_broadcast, &stack->conf.gateway, &nobody, target);
}
