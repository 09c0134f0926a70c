/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's TCP for tests: a small, complete peer that is on one end of a sim_link, in the test's
 * own time. It verifies every byte that it gets, and can be told to lie in any field. The wire
 * between may lose, duplicate and reorder frames, by a seeded generator.
 *
 * Bytes are those of sim_tcp_byte() at their position in the stream, in each direction.
 */
#ifndef SIM_SIM_TCP_H
#define SIM_SIM_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"

#define SIM_TCP_PARTS_MAX 256

/* What the wire does to frames, in per cent; zeros make a good one. */
struct sim_wire {
	struct sim_link *link;
	struct sim_random *random;
	unsigned lose;
	unsigned duplicate;
	unsigned reorder;
	uint8_t *late; /* a frame towards the stack that the next one overtakes */
	size_t late_size;
	struct frame late_state;
};

struct sim_tcp_part { /* received out of order */
	uint32_t from;
	uint32_t to;
};

struct sim_tcp {
	/* Set by the test before it begins. */
	struct sim_wire *wire;
	struct mac mac, gateway;
	struct endpoint self, peer;
	int mss;            /* to announce; -1: no option */
	int scale;          /* window scale to announce; -1: no option */
	bool sack;          /* announce SACK permitted */
	uint32_t window;    /* bytes that it takes; may be changed at any time */
	uint32_t send_size; /* largest segment that it sends, super-frames too; 0: the peer's MSS */
	uint32_t rto_ms;

	/* To be looked at. */
	bool listening, syn_sent, established, fin_sent, fin_acked, fin_received, reset;
	unsigned peer_mss;
	int peer_scale; /* -1: none */
	uint32_t iss, irs;
	uint32_t una, nxt; /* ours, acknowledged and sent */
	uint32_t nxt_max;
	uint32_t rcv_nxt;
	uint32_t peer_window; /* scaled */
	uint64_t to_send;     /* bytes of the stream that may be sent */
	bool to_close;
	uint64_t received; /* bytes of the stream, in order and right */
	uint64_t wrong;    /* bytes that were not what was sent; never acceptable */
	uint64_t frames, retransmits, super_frames;
	uint32_t largest_payload; /* of a segment as it would be on the wire */
	uint32_t largest_flight;
	uint64_t rto_at_ms; /* 0: not running */
	uint64_t now_ms;
	struct sim_tcp_part parts[SIM_TCP_PARTS_MAX];
	unsigned part_count;
	bool ack_due;
};

uint8_t sim_tcp_byte(uint64_t position);

void sim_tcp_connect(struct sim_tcp *tcp);
/* Takes what the wire has for this connection; frames of others are given to `other`, which owns
 * them then (NULL: dropped). Returns how many frames there were. */
unsigned sim_tcp_pump(struct sim_tcp *tcp, void (*other)(void *arg, struct sim_frame *frame),
		      void *arg);
/* One frame from the stack; false when it isn't for this connection. */
bool sim_tcp_receive(struct sim_tcp *tcp, const struct sim_frame *frame);
/* Sends what may be sent: new data, a FIN, an ACK that is due; retransmits when it is time. */
void sim_tcp_send(struct sim_tcp *tcp, uint64_t now_ms);
/* Any segment, with the connection's addresses and current window. */
void sim_tcp_segment(struct sim_tcp *tcp, uint8_t flags, uint32_t seq, uint32_t ack,
		     const uint8_t *options, size_t options_size, const uint8_t *payload,
		     size_t payload_size);

/* Puts a frame on the wire towards the stack. */
void sim_wire_inject(struct sim_wire *wire, const void *bytes, size_t size,
		     const struct frame *state);
/* Ends the wire: what is late is lost. */
void sim_wire_clear(struct sim_wire *wire);

#endif
