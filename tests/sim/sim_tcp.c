/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's TCP for tests: see sim_tcp.h. Retransmission is go-back-N from the oldest byte, which
 * is crude and always right.
 */
#include "sim/sim_tcp.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define ETH_SIZE 14
#define TCP_SIZE 20

uint8_t sim_tcp_byte(uint64_t position)
{
	return (uint8_t)(position * 167 + (position >> 8) * 13 + (position >> 16) * 7);
}

/* ---- The wire ---- */

static bool happens(struct sim_wire *wire, unsigned percent)
{
	return percent && wire->random && sim_random_range(wire->random, 1, 100) <= percent;
}

static void release_late(struct sim_wire *wire)
{
	uint8_t *late = wire->late;

	if (!late)
		return;
	wire->late = NULL;
	sim_link_inject_state(wire->link, late, wire->late_size, &wire->late_state);
	free(late);
}

void sim_wire_clear(struct sim_wire *wire)
{
	free(wire->late);
	wire->late = NULL;
}

void sim_wire_inject(struct sim_wire *wire, const void *bytes, size_t size,
		     const struct frame *state)
{
	if (happens(wire, wire->lose))
		return;
	if (!wire->late && happens(wire, wire->reorder)) {
		wire->late = malloc(size);
		assert(wire->late);
		memcpy(wire->late, bytes, size);
		wire->late_size = size;
		wire->late_state = *state;
		return;
	}
	sim_link_inject_state(wire->link, bytes, size, state);
	if (happens(wire, wire->duplicate))
		sim_link_inject_state(wire->link, bytes, size, state);
	release_late(wire);
}

static bool is_v6(const struct sim_tcp *tcp)
{
	return tcp->self.addr.family == AF_INET6;
}

/* Where the TCP header stands in a frame. */
static unsigned tcp_at(const struct sim_tcp *tcp)
{
	return ETH_SIZE + (is_v6(tcp) ? 40 : 20);
}

/* ---- To the stack ---- */

static uint16_t window_field(const struct sim_tcp *tcp, uint8_t flags)
{
	uint32_t window = tcp->window;

	if (!(flags & SIM_TCP_SYN) && tcp->scale >= 0 && tcp->peer_scale >= 0)
		window >>= tcp->scale > 14 ? 14 : tcp->scale;
	return window > 65535 ? 65535 : (uint16_t)window;
}

void sim_tcp_segment(struct sim_tcp *tcp, uint8_t flags, uint32_t seq, uint32_t ack,
		     const uint8_t *options, size_t options_size, const uint8_t *payload,
		     size_t payload_size)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	unsigned gso_size = tcp->peer_mss ? tcp->peer_mss : 536;
	bool super = payload_size > gso_size;
	struct sim_packet packet = {
		.src_mac = tcp->mac,
		.dst_mac = tcp->gateway,
		.src = tcp->self.addr,
		.dst = tcp->peer.addr,
		.protocol = IPPROTO_TCP,
		.src_port = tcp->self.port,
		.dst_port = tcp->peer.port,
		.seq = seq,
		.ack = ack,
		.flags = flags,
		.window = window_field(tcp, flags),
		.options = options,
		.options_size = options_size,
		.payload = payload,
		.payload_size = payload_size,
		.partial = super,
	};
	struct frame state = {.csum = FRAME_CSUM_UNKNOWN};
	size_t size = sim_packet_build(&packet, bytes);

	if (super) {
		state.csum = FRAME_CSUM_PARTIAL;
		state.csum_start = (uint16_t)tcp_at(tcp);
		state.csum_offset = 16;
		state.gso = is_v6(tcp) ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4;
		state.gso_size = (uint16_t)gso_size;
		state.header_size = (uint16_t)(tcp_at(tcp) + TCP_SIZE + options_size);
	}
	sim_wire_inject(tcp->wire, bytes, size, &state);
}

static void send_syn(struct sim_tcp *tcp, uint8_t flags)
{
	uint8_t options[12];
	size_t size = 0;

	if (tcp->mss >= 0) {
		uint8_t mss[] = {2, 4, (uint8_t)(tcp->mss >> 8), (uint8_t)tcp->mss};

		memcpy(options, mss, 4);
		size = 4;
	}
	if (tcp->scale >= 0) {
		uint8_t scale[] = {1, 3, 3, (uint8_t)tcp->scale};

		memcpy(options + size, scale, 4);
		size += 4;
	}
	if (tcp->sack) {
		uint8_t sack[] = {1, 1, 4, 2};

		memcpy(options + size, sack, 4);
		size += 4;
	}
	sim_tcp_segment(tcp, flags, tcp->iss, tcp->rcv_nxt, options, size, NULL, 0);
	tcp->syn_sent = true;
	tcp->una = tcp->iss;
	tcp->nxt = tcp->iss + 1;
	tcp->rto_at_ms = tcp->now_ms + tcp->rto_ms;
}

void sim_tcp_connect(struct sim_tcp *tcp)
{
	tcp->peer_scale = -1;
	send_syn(tcp, SIM_TCP_SYN);
}

static void send_ack(struct sim_tcp *tcp)
{
	tcp->ack_due = false;
	sim_tcp_segment(tcp, SIM_TCP_ACK, tcp->nxt, tcp->rcv_nxt, NULL, 0, NULL, 0);
}

/* Sends one segment of the stream from `nxt`; false when there is nothing or no window. */
static bool send_data(struct sim_tcp *tcp)
{
	static uint8_t payload[65535];
	uint64_t position = tcp->nxt - (tcp->iss + 1);
	uint32_t flight = tcp->nxt - tcp->una;
	uint32_t size = tcp->send_size ? tcp->send_size : tcp->peer_mss;

	if (tcp->fin_sent && tcp->nxt == tcp->nxt_max)
		return false;
	if (position < tcp->to_send && size > tcp->to_send - position)
		size = (uint32_t)(tcp->to_send - position);
	if (position >= tcp->to_send)
		size = 0;
	if (flight + size > tcp->peer_window)
		size = flight < tcp->peer_window ? tcp->peer_window - flight : 0;
	if (size == 0) {
		if (position != tcp->to_send || !tcp->to_close)
			return false;
		sim_tcp_segment(tcp, SIM_TCP_FIN | SIM_TCP_ACK, tcp->nxt, tcp->rcv_nxt, NULL, 0,
				NULL, 0);
		tcp->fin_sent = true;
		tcp->nxt++;
	} else {
		for (uint32_t i = 0; i < size; i++)
			payload[i] = sim_tcp_byte(position + i);
		sim_tcp_segment(tcp, SIM_TCP_ACK | SIM_TCP_PSH, tcp->nxt, tcp->rcv_nxt, NULL, 0,
				payload, size);
		tcp->nxt += size;
	}
	if ((int32_t)(tcp->nxt - tcp->nxt_max) > 0)
		tcp->nxt_max = tcp->nxt;
	if (tcp->nxt - tcp->una > tcp->largest_flight)
		tcp->largest_flight = tcp->nxt - tcp->una;
	tcp->ack_due = false;
	return true;
}

static void retransmit(struct sim_tcp *tcp)
{
	tcp->retransmits++;
	tcp->rto_at_ms = tcp->now_ms + tcp->rto_ms;
	if (!tcp->established) {
		send_syn(tcp, tcp->listening ? SIM_TCP_SYN | SIM_TCP_ACK : SIM_TCP_SYN);
		return;
	}
	tcp->nxt = tcp->una;
	if (tcp->peer_window == 0) {
		/* A window probe: an old byte makes the peer tell. */
		sim_tcp_segment(tcp, SIM_TCP_ACK, tcp->una - 1, tcp->rcv_nxt, NULL, 0, NULL, 0);
	}
}

void sim_tcp_send(struct sim_tcp *tcp, uint64_t now_ms)
{
	tcp->now_ms = now_ms;
	if (tcp->reset)
		return;
	if (tcp->rto_at_ms && now_ms >= tcp->rto_at_ms)
		retransmit(tcp);
	if (!tcp->established)
		return;
	while (send_data(tcp))
		;
	if (tcp->ack_due)
		send_ack(tcp);
	if (tcp->nxt_max != tcp->una || tcp->to_send > tcp->una - (tcp->iss + 1)) {
		if (!tcp->rto_at_ms)
			tcp->rto_at_ms = now_ms + tcp->rto_ms;
	} else {
		tcp->rto_at_ms = 0;
	}
}

/* ---- From the stack ---- */

struct segment {
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	const uint8_t *payload;
	uint32_t size;
};

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void read_syn_options(struct sim_tcp *tcp, const uint8_t *options, size_t size)
{
	tcp->peer_mss = 536;
	tcp->peer_scale = -1;
	for (size_t at = 0; at < size && options[at];) {
		if (options[at] == 1) {
			at++;
			continue;
		}
		assert(at + 1 < size && options[at + 1] >= 2 && at + options[at + 1] <= size);
		if (options[at] == 2)
			tcp->peer_mss = get16(options + at + 2);
		if (options[at] == 3)
			tcp->peer_scale = options[at + 2];
		at += options[at + 1];
	}
}

/* Notes that [from, to) was received; moves rcv_nxt over all that is contiguous. */
static void note_part(struct sim_tcp *tcp, uint32_t from, uint32_t to)
{
	if ((int32_t)(to - tcp->rcv_nxt) <= 0)
		return;
	if (tcp->part_count < SIM_TCP_PARTS_MAX)
		tcp->parts[tcp->part_count++] = (struct sim_tcp_part){from, to};
	for (unsigned i = 0; i < tcp->part_count;) {
		struct sim_tcp_part part = tcp->parts[i];

		if ((int32_t)(part.from - tcp->rcv_nxt) > 0) {
			i++;
			continue;
		}
		if ((int32_t)(part.to - tcp->rcv_nxt) > 0) {
			tcp->received += part.to - tcp->rcv_nxt;
			tcp->rcv_nxt = part.to;
		}
		tcp->parts[i] = tcp->parts[--tcp->part_count];
		i = 0;
	}
}

static void input_data(struct sim_tcp *tcp, const struct segment *s)
{
	uint32_t fin_at = s->seq + s->size;

	for (uint32_t i = 0; i < s->size; i++) {
		uint32_t seq = s->seq + i;

		if ((int32_t)(seq - tcp->rcv_nxt) >= 0 &&
		    s->payload[i] != sim_tcp_byte(tcp->received + (seq - tcp->rcv_nxt)))
			tcp->wrong++;
	}
	if (s->size || s->flags & SIM_TCP_FIN)
		tcp->ack_due = true;
	if (s->size)
		note_part(tcp, s->seq, s->seq + s->size);
	if (s->flags & SIM_TCP_FIN && tcp->rcv_nxt == fin_at && !tcp->fin_received) {
		tcp->fin_received = true;
		tcp->rcv_nxt++;
	}
}

static void input_ack(struct sim_tcp *tcp, const struct segment *s)
{
	if ((int32_t)(s->ack - tcp->una) > 0 && (int32_t)(s->ack - tcp->nxt_max) <= 0) {
		tcp->una = s->ack;
		if ((int32_t)(tcp->nxt - tcp->una) < 0)
			tcp->nxt = tcp->una;
		tcp->rto_at_ms = tcp->una == tcp->nxt_max ? 0 : tcp->now_ms + tcp->rto_ms;
		if (tcp->fin_sent && tcp->una == tcp->nxt_max)
			tcp->fin_acked = true;
	}
	tcp->peer_window = s->window;
	if (tcp->peer_scale >= 0 && tcp->scale >= 0 && !(s->flags & SIM_TCP_SYN))
		tcp->peer_window <<= tcp->peer_scale;
}

static void input_syn(struct sim_tcp *tcp, const struct segment *s)
{
	if (tcp->established) {
		tcp->ack_due = true;
		return;
	}
	tcp->irs = s->seq;
	tcp->rcv_nxt = s->seq + 1;
	tcp->peer_window = s->window;
	if (s->flags & SIM_TCP_ACK) {
		tcp->established = true;
		tcp->una = s->ack;
		tcp->nxt = tcp->nxt_max = tcp->iss + 1;
		tcp->rto_at_ms = 0;
		tcp->ack_due = true;
	} else if (tcp->listening) {
		send_syn(tcp, SIM_TCP_SYN | SIM_TCP_ACK);
		tcp->nxt_max = tcp->nxt;
	}
}

static void note_size(struct sim_tcp *tcp, const struct sim_frame *frame, uint32_t size)
{
	uint32_t on_wire = frame->gso ? frame->gso_size : size;

	if (frame->gso)
		tcp->super_frames++;
	else if (frame->csum != FRAME_CSUM_PARTIAL)
		assert(sim_packet_csum_ok(frame->bytes, frame->size));
	if (on_wire > tcp->largest_payload)
		tcp->largest_payload = on_wire;
}

/* Whether a frame is TCP between the two. */
static bool is_mine(const struct sim_tcp *tcp, const struct sim_frame *frame)
{
	const uint8_t *ip = frame->bytes + ETH_SIZE;
	const uint8_t *at = frame->bytes + tcp_at(tcp);

	if (frame->size < tcp_at(tcp) + TCP_SIZE || get16(at) != tcp->peer.port ||
	    get16(at + 2) != tcp->self.port)
		return false;
	if (is_v6(tcp))
		return get16(frame->bytes + 12) == 0x86dd && ip[6] == IPPROTO_TCP &&
		       memcmp(ip + 8, &tcp->peer.addr.v6, 16) == 0 &&
		       memcmp(ip + 24, &tcp->self.addr.v6, 16) == 0;
	return get16(frame->bytes + 12) == 0x0800 && ip[9] == IPPROTO_TCP &&
	       memcmp(ip + 12, &tcp->peer.addr.v4, 4) == 0 &&
	       memcmp(ip + 16, &tcp->self.addr.v4, 4) == 0;
}

bool sim_tcp_receive(struct sim_tcp *tcp, const struct sim_frame *frame)
{
	const uint8_t *ip = frame->bytes + ETH_SIZE;
	const uint8_t *at = frame->bytes + tcp_at(tcp);
	struct segment s;
	size_t header_size;

	if (!is_mine(tcp, frame))
		return false;
	header_size = (size_t)(at[12] >> 4) * 4;
	assert((is_v6(tcp) ? get16(ip + 4) + 40u : get16(ip + 2)) + ETH_SIZE == frame->size);
	assert(!frame->gso || frame->gso == (is_v6(tcp) ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4));
	assert(!frame->gso || frame->header_size == tcp_at(tcp) + header_size);
	s = (struct segment){
		.seq = get32(at + 4),
		.ack = get32(at + 8),
		.flags = at[13],
		.window = get16(at + 14),
		.payload = at + header_size,
		.size = (uint32_t)(frame->size - tcp_at(tcp) - header_size),
	};
	tcp->frames++;
	note_size(tcp, frame, s.size);
	if (s.flags & SIM_TCP_RST) {
		/* Behind an orderly end it only says that there is no connection any more. */
		tcp->reset = !tcp->fin_received || !tcp->fin_acked;
		return true;
	}
	if (s.flags & SIM_TCP_SYN) {
		read_syn_options(tcp, at + 20, header_size - 20);
		input_syn(tcp, &s);
		return true;
	}
	if (!tcp->established && tcp->listening && tcp->syn_sent && s.ack == tcp->iss + 1)
		tcp->established = true;
	if (!tcp->established)
		return true;
	input_ack(tcp, &s);
	input_data(tcp, &s);
	return true;
}

unsigned sim_tcp_pump(struct sim_tcp *tcp, void (*other)(void *arg, struct sim_frame *frame),
		      void *arg)
{
	struct sim_frame *frame, *late = NULL;
	unsigned count = 0;

	while ((frame = sim_link_take(tcp->wire->link))) {
		count++;
		if (happens(tcp->wire, tcp->wire->lose)) {
			sim_frame_free(frame);
			continue;
		}
		if (!late && happens(tcp->wire, tcp->wire->reorder)) {
			late = frame;
			continue;
		}
		if (!sim_tcp_receive(tcp, frame) && other)
			other(arg, frame);
		else
			sim_frame_free(frame);
	}
	if (late)
		sim_tcp_receive(tcp, late);
	sim_frame_free(late);
	return count;
}
