/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_batch: datagrams of one flow, taken in one round of the loop and sent to its host socket with
 * few system calls. Datagrams that are alike leave as one, for the kernel or a network card to cut
 * (UDP_SEGMENT); the far side sees each as the guest sent it, with its hop limit, DSCP and ECN.
 *
 * Datagrams are copied: the guest's buffers are gone by the end of the round, and an error message
 * quotes the packet.
 */
#ifndef FORWARDER_UDP_BATCH_H
#define FORWARDER_UDP_BATCH_H

#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "forwarder/flow_sock.h"
#include "forwarder/icmp_relay.h"
#include "netstack/stack.h"

struct udp_batch;

/* What a batch knows of a flow's socket; embedded in the flow. */
struct udp_sender {
	struct icmp_relay relay; /* with the socket and the guest, set by the flow */
	struct flow_marks marks; /* what the socket gives to datagrams without their own */
	uint8_t unlike;          /* datagrams in a row with others */
	enum { UDP_DF_UNSET, UDP_DF_CLEAR, UDP_DF_SET } dont_fragment; /* the socket's option */
	uint32_t segment_max; /* the largest datagrams worth sending several of as one; 0: none */
};

struct udp_batch_counters {
	uint64_t bytes;
	uint64_t dropped; /* datagrams that could not be sent */
};

/* Returns 0 or -ENOMEM. `stack` is borrowed. */
int udp_batch_new(struct loop *loop, struct stack *stack, struct udp_batch **ret_batch);
/* Drops what was not sent. */
void udp_batch_free(struct udp_batch *batch);

void udp_sender_init(struct udp_sender *sender, struct stack *stack, int fd,
		     const struct endpoint *guest);
/* Takes a datagram for `host`; it is sent by the end of the round. What becomes of it is counted,
 * and told to the guest by ICMP where it is an error of the way. */
void udp_batch_add(struct udp_batch *batch, struct udp_sender *sender,
		   const struct stack_datagram *datagram, const struct endpoint *host);
/* Sends what there is of that sender, before it is changed or goes. */
void udp_batch_flush(struct udp_batch *batch, const struct udp_sender *sender);
struct udp_batch_counters udp_batch_counters(const struct udp_batch *batch);

#endif
