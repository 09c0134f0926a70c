/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coalescing: what joins, what must not, that order within a flow holds, and that cutting and
 * coalescing are each other's reverse.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/offload.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"
#include "unit.h"

#define MSS 1460

static uint8_t payload[1 << 20];
static struct offload_scratch *scratch;
static struct gro *gro;
static struct sim_link *in;  /* injects into gro */
static struct sim_link *out; /* records what gro delivers */

static void deliver(void *arg, const struct frame *frame)
{
	(void)arg;
	ck_assert_int_eq(link_send(sim_link_link(out), frame, 1), 0);
}

static void receive(void *arg, const struct frame *frame)
{
	gro_receive(arg, frame);
}

static void batch_end(void *arg)
{
	gro_flush(arg);
}

static void setup(void)
{
	static const struct link_user user = {.receive = receive, .batch_end = batch_end};
	struct link_caps all = {
		.csum = true, .tso4 = true, .tso6 = true, .uso = true, .frame_max = FRAME_SIZE_MAX};
	struct sim_random random = sim_random(3);

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)sim_random_next(&random);
	scratch = offload_scratch_new();
	ck_assert_int_eq(gro_new(deliver, NULL, &gro), 0);
	in = sim_link_new("in", &all);
	out = sim_link_new("out", &all);
	sim_link_link(in)->user = &user;
	sim_link_link(in)->user_arg = gro;
}

static void teardown(void)
{
	ck_assert_uint_eq(sim_link_pending(out), 0);
	gro_free(gro);
	ck_assert_uint_eq(sim_link_iobufs(in), 0);
	sim_link_free(in);
	sim_link_free(out);
	offload_scratch_free(scratch);
}

static struct sim_packet segment_of(int version, uint32_t offset, size_t size)
{
	struct sim_packet p = {
		.src_mac = {{2, 0, 0, 0, 0, 1}},
		.dst_mac = {{2, 0, 0, 0, 0, 2}},
		.protocol = IPPROTO_TCP,
		.src_port = 4000,
		.dst_port = 80,
		.seq = 0xffffff00 + offset,
		.ack = 99,
		.flags = SIM_TCP_ACK,
		.window = 1000,
		.df = true,
		.payload = payload + offset,
		.payload_size = size,
	};

	ck_assert_int_eq(addr_parse(version == 4 ? "192.168.65.2" : "fd00::2", &p.src), 0);
	ck_assert_int_eq(addr_parse(version == 4 ? "10.1.2.3" : "2001:db8::9", &p.dst), 0);
	return p;
}

/* Several packets in one buffer, as a stream link reads them, `gap` bytes apart. */
struct burst {
	uint8_t bytes[1 << 20];
	size_t sizes[1024];
	unsigned count;
	size_t end;
};

static struct burst burst;

static void burst_start(void)
{
	burst.count = 0;
	burst.end = 0;
}

static void burst_add(const struct sim_packet *p)
{
	burst.end += burst.count ? 4 : 0;
	ck_assert_uint_lt(burst.end + p->payload_size + 200, sizeof(burst.bytes));
	burst.sizes[burst.count] = sim_packet_build(p, burst.bytes + burst.end);
	burst.end += burst.sizes[burst.count++];
}

static void burst_inject(void)
{
	sim_link_inject_burst(in, burst.bytes, burst.sizes, burst.count, 4);
}

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The next frame delivered must have this payload, merged or not, and be good. */
static void expect(uint32_t offset, size_t size, unsigned gso_size)
{
	struct sim_frame *frame = sim_link_take(out);
	size_t header_size;

	ck_assert_ptr_nonnull(frame);
	header_size = frame->size - size;
	ck_assert_uint_lt(header_size, FRAME_LINEAR_SIZE);
	ck_assert_mem_eq(frame->bytes + header_size, payload + offset, size);
	ck_assert_uint_eq(frame->gso_size, gso_size);
	if (gso_size) {
		ck_assert_int_ne(frame->gso, FRAME_GSO_NONE);
		ck_assert_int_eq(frame->csum, FRAME_CSUM_PARTIAL);
		ck_assert_uint_eq(frame->header_size, header_size);
		ck_assert_uint_eq(be32(frame->bytes + frame->csum_start + 4), 0xffffff00 + offset);
	} else {
		ck_assert_int_eq(frame->gso, FRAME_GSO_NONE);
	}
	sim_frame_free(frame);
}

START_TEST(merges_a_run)
{
	for (int version = 4; version <= 6; version += 2) {
		burst_start();
		for (uint32_t i = 0; i < 10; i++) {
			struct sim_packet p = segment_of(version, i * MSS, MSS);

			p.ack += i;
			p.window = (uint16_t)(1000 - i);
			p.ip_id = (uint16_t)i;
			p.flags |= i == 4 ? SIM_TCP_PSH : 0;
			burst_add(&p);
		}
		burst_inject();
		ck_assert_uint_eq(sim_link_pending(out), 0);
		ck_assert_uint_eq(sim_link_iobufs(in), 1);
		sim_link_batch_end(in);
		ck_assert_uint_eq(sim_link_iobufs(in), 0);
		ck_assert_uint_eq(sim_link_pending(out), 1);
		expect(0, 10 * MSS, MSS);
	}
}
END_TEST

/* ACK number and window of the latest segment, PSH of any, and a super-frame that the other end
 * would accept. */
static void keep(struct iobuf *buf)
{
	(void)buf;
}

/* Segments whose checksum the sender left open, as a tap's guest without TSO sends them. */
static void receive_partial(const uint32_t *offsets, unsigned count, uint16_t csum_offset)
{
	static uint8_t bytes[8][2048];
	struct iobuf buf = {.refs = 1, .release = keep};

	for (unsigned i = 0; i < count; i++) {
		struct sim_packet p = segment_of(4, offsets[i], MSS);
		struct iovec iov = {.iov_base = bytes[i],
				    .iov_len = sim_packet_build(&p, bytes[i])};
		struct frame frame = {
			.iov = &iov,
			.iov_count = 1,
			.size = (uint32_t)iov.iov_len,
			.buf = &buf,
			.csum = FRAME_CSUM_PARTIAL,
			.csum_start = 34,
			.csum_offset = csum_offset,
		};

		bytes[i][34 + 16] ^= 0x55; /* not a checksum yet */
		gro_receive(gro, &frame);
	}
	gro_flush(gro);
	ck_assert_uint_eq(buf.refs, 1);
}

START_TEST(partial_segments_join)
{
	receive_partial((const uint32_t[]){0, MSS, 2 * MSS}, 3, 16);
	ck_assert_uint_eq(sim_link_pending(out), 1);
	expect(0, 3 * MSS, MSS);

	/* One that is left alone keeps its state, and one that lies about the field goes straight
	 * through. */
	receive_partial((const uint32_t[]){0, 5 * MSS}, 2, 16);
	ck_assert_uint_eq(sim_link_pending(out), 2);
	for (unsigned i = 0; i < 2; i++) {
		struct sim_frame *frame = sim_link_take(out);

		ck_assert_int_eq(frame->csum, FRAME_CSUM_PARTIAL);
		ck_assert_uint_eq(frame->csum_start, 34);
		ck_assert_int_eq(frame->gso, FRAME_GSO_NONE);
		sim_frame_free(frame);
	}
	receive_partial((const uint32_t[]){0, MSS}, 2, 10);
	ck_assert_uint_eq(sim_link_drop_all(out), 2);
}
END_TEST

START_TEST(merged_headers)
{
	const struct frame *segments;
	struct sim_frame *merged;
	struct iovec iov;
	struct frame frame;

	burst_start();
	for (uint32_t i = 0; i < 3; i++) {
		struct sim_packet p = segment_of(4, i * MSS, MSS);

		p.ack = 0xfffffffe + i; /* wraps */
		p.window = (uint16_t)(500 + i);
		p.flags |= i == 1 ? SIM_TCP_PSH : 0;
		burst_add(&p);
	}
	burst_inject();
	sim_link_batch_end(in);
	merged = sim_link_take(out);
	ck_assert_uint_eq(be32(merged->bytes + 34 + 8), 0);
	ck_assert_uint_eq(merged->bytes[34 + 15], (uint8_t)502);
	ck_assert_uint_eq(merged->bytes[34 + 13], SIM_TCP_ACK | SIM_TCP_PSH);
	iov = (struct iovec){merged->bytes, merged->size};
	frame = (struct frame){
		.iov = &iov,
		.iov_count = 1,
		.size = merged->size,
		.csum = merged->csum,
		.csum_start = merged->csum_start,
		.csum_offset = merged->csum_offset,
		.gso = merged->gso,
		.gso_size = merged->gso_size,
		.header_size = merged->header_size,
	};
	ck_assert_int_eq(offload_validate(&frame), 0);
	ck_assert_int_eq(offload_segment(scratch, &frame, &segments), 3);
	/* As one packet with its checksum completed it is right, too. */
	frame.gso = FRAME_GSO_NONE;
	ck_assert_int_eq(offload_segment(scratch, &frame, &segments), 1);
	memcpy(merged->bytes, segments[0].iov[0].iov_base, segments[0].iov[0].iov_len);
	ck_assert(sim_packet_csum_ok(merged->bytes, merged->size));
	sim_frame_free(merged);
}
END_TEST

START_TEST(short_segment_ends)
{
	struct sim_packet p;

	burst_start();
	p = segment_of(4, 0, MSS);
	burst_add(&p);
	p = segment_of(4, MSS, 100);
	burst_add(&p);
	p = segment_of(4, MSS + 100, 100);
	burst_add(&p);
	burst_inject();
	ck_assert_uint_eq(sim_link_pending(out), 1);
	expect(0, MSS + 100, MSS);
	sim_link_batch_end(in);
	expect(MSS + 100, 100, 0);
}
END_TEST

START_TEST(larger_segment_starts_anew)
{
	struct sim_packet p;

	burst_start();
	p = segment_of(6, 0, 100);
	burst_add(&p);
	p = segment_of(6, 100, MSS);
	burst_add(&p);
	p = segment_of(6, 100 + MSS, MSS);
	burst_add(&p);
	burst_inject();
	sim_link_batch_end(in);
	expect(0, 100, 0);
	expect(100, 2 * MSS, MSS);
}
END_TEST

static void make_different(struct sim_packet *p, int which)
{
	static const uint8_t options[] = {8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1};

	switch (which) {
	case 0:
		p->seq += 1;
		break;
	case 1:
		p->seq -= 1;
		break;
	case 2:
		p->ack -= 1;
		break;
	case 3:
		p->tos = 3;
		break;
	case 4:
		p->ttl = 63;
		break;
	case 5:
		p->df = false;
		p->src_mac.bytes[5] = 9;
		break;
	case 6:
		p->options = options;
		p->options_size = sizeof(options);
		break;
	case 7:
		p->flags |= SIM_TCP_FIN;
		break;
	case 8:
		p->flags = SIM_TCP_PSH;
		break;
	case 9:
		p->flags |= SIM_TCP_CWR;
		break;
	case 10:
		p->flags |= SIM_TCP_RST;
		break;
	case 11:
		p->flags |= 0x20; /* URG */
		break;
	}
}

START_TEST(different_headers_do_not_join)
{
	for (int which = 0; which <= 11; which++) {
		for (int version = 4; version <= 6; version += 2) {
			struct sim_packet p = segment_of(version, 0, MSS);

			burst_start();
			burst_add(&p);
			p = segment_of(version, MSS, MSS);
			make_different(&p, which);
			burst_add(&p);
			burst_inject();
			sim_link_batch_end(in);
			ck_assert_msg(sim_link_pending(out) == 2, "difference %d", which);
			/* In the order in which they came. */
			for (uint32_t i = 0; i < 2; i++) {
				struct sim_frame *frame = sim_link_take(out);

				ck_assert_mem_eq(frame->bytes + frame->size - MSS,
						 payload + i * MSS, MSS);
				ck_assert(sim_packet_csum_ok(frame->bytes, frame->size));
				sim_frame_free(frame);
			}
		}
	}
}
END_TEST

START_TEST(corrupt_segment_is_not_hidden)
{
	for (uint32_t bad = 0; bad < 3; bad++) {
		unsigned corrupt = 0;
		struct sim_frame *frame;
		size_t at = 0;

		burst_start();
		for (uint32_t i = 0; i < 3; i++) {
			struct sim_packet p = segment_of(4, i * MSS, MSS);

			burst_add(&p);
		}
		for (uint32_t i = 0; i < bad; i++)
			at += burst.sizes[i] + 4;
		burst.bytes[at + 700] ^= 1;
		burst_inject();
		sim_link_batch_end(in);
		while ((frame = sim_link_take(out))) {
			if (frame->gso == FRAME_GSO_NONE &&
			    !sim_packet_csum_ok(frame->bytes, frame->size)) {
				ck_assert_int_eq(frame->csum, FRAME_CSUM_UNKNOWN);
				corrupt++;
			}
			sim_frame_free(frame);
		}
		ck_assert_uint_eq(corrupt, 1);
	}
}
END_TEST

START_TEST(ack_goes_through_in_order)
{
	struct sim_packet p = segment_of(4, 0, MSS);
	struct sim_frame *frame;

	burst_start();
	burst_add(&p);
	p = segment_of(4, MSS, 0);
	burst_add(&p);
	burst_inject();
	ck_assert_uint_eq(sim_link_pending(out), 2);
	expect(0, MSS, 0);
	frame = sim_link_take(out);
	ck_assert_uint_eq(frame->size, 54);
	sim_frame_free(frame);
	/* What isn't TCP of the flow doesn't disturb it. */
	burst_start();
	p = segment_of(4, 0, MSS);
	burst_add(&p);
	p = segment_of(4, 5000, 100);
	p.protocol = IPPROTO_UDP;
	burst_add(&p);
	p = segment_of(4, MSS, MSS);
	burst_add(&p);
	burst_inject();
	ck_assert_uint_eq(sim_link_pending(out), 1);
	expect(5000, 100, 0);
	sim_link_batch_end(in);
	expect(0, 2 * MSS, MSS);
}
END_TEST

START_TEST(padding_is_dropped)
{
	struct sim_packet p = segment_of(4, 0, 3);

	burst_start();
	p.padding = 3;
	burst_add(&p);
	p = segment_of(4, 3, 3);
	p.padding = 3;
	burst_add(&p);
	burst_inject();
	sim_link_batch_end(in);
	expect(0, 6, 3);
}
END_TEST

START_TEST(buffers_do_not_mix)
{
	static uint8_t bytes[2000];
	struct sim_packet p = segment_of(4, 0, MSS);

	sim_link_inject(in, bytes, sim_packet_build(&p, bytes));
	p = segment_of(4, MSS, MSS);
	sim_link_inject(in, bytes, sim_packet_build(&p, bytes));
	sim_link_batch_end(in);
	expect(0, MSS, 0);
	expect(MSS, MSS, 0);
	/* gro_free() lets go of what is held: teardown sees it. */
	sim_link_inject(in, bytes, sim_packet_build(&p, bytes));
}
END_TEST

START_TEST(full_super_frame_makes_way)
{
	burst_start();
	for (uint32_t i = 0; i < 50; i++) {
		struct sim_packet p = segment_of(4, i * MSS, MSS);

		burst_add(&p);
	}
	burst_inject();
	sim_link_batch_end(in);
	expect(0, 44 * MSS, MSS); /* 45 would exceed 65535 */
	expect(44 * MSS, 6 * MSS, MSS);
	/* And by pieces. */
	burst_start();
	for (uint32_t i = 0; i < FRAME_IOV_MAX + 1; i++) {
		struct sim_packet p = segment_of(4, i * 10, 10);

		burst_add(&p);
	}
	burst_inject();
	sim_link_batch_end(in);
	expect(0, FRAME_IOV_MAX * 10, 10);
	expect(FRAME_IOV_MAX * 10, 10, 0);
}
END_TEST

/* More flows than are held: the eldest make way, none is lost. */
START_TEST(many_flows)
{
	unsigned flows = GRO_FLOWS_MAX + 5;
	size_t delivered = 0;
	struct sim_frame *frame;

	burst_start();
	for (uint32_t round = 0; round < 3; round++) {
		for (unsigned flow = 0; flow < flows; flow++) {
			struct sim_packet p = segment_of(4, round * 100, 100);

			p.src_port = (uint16_t)(5000 + flow);
			burst_add(&p);
		}
	}
	burst_inject();
	sim_link_batch_end(in);
	while ((frame = sim_link_take(out))) {
		delivered += frame->size - 54;
		sim_frame_free(frame);
	}
	ck_assert_uint_eq(delivered, (size_t)flows * 300);
}
END_TEST

/* Segments of different buffers stay apart; frames that are no whole segment pass, after what is
 * held. */
START_TEST(unusual_frames_pass)
{
	static uint8_t bytes[2000];
	struct sim_packet p = segment_of(4, 0, MSS);
	struct frame state = {.csum = FRAME_CSUM_PARTIAL, .csum_start = 34, .csum_offset = 16};

	sim_link_inject(in, bytes, sim_packet_build(&p, bytes));
	p = segment_of(4, MSS, MSS);
	p.partial = true;
	sim_link_inject_state(in, bytes, sim_packet_build(&p, bytes), &state);
	sim_link_batch_end(in);
	ck_assert_uint_eq(sim_link_pending(out), 2);
	expect(0, MSS, 0);
	expect(MSS, MSS, 0);
	/* A runt and a fragment. */
	sim_link_inject(in, bytes, 14);
	p = segment_of(4, 0, 100);
	sim_packet_build(&p, bytes);
	bytes[20] = 0x20;
	sim_link_inject(in, bytes, 154);
	ck_assert_uint_eq(sim_link_drop_all(out), 2);
}
END_TEST

/* Cuts a random super-frame and puts it together again: the same payload, the same number of bytes,
 * in few frames. */
static void round_trip(struct sim_random *random)
{
	static uint8_t super[SIM_PACKET_MAX];
	int version = sim_random_range(random, 0, 1) ? 4 : 6;
	struct sim_packet p = segment_of(version, 0, sim_random_range(random, 1, 65000));
	uint16_t gso_size = (uint16_t)sim_random_range(
		random, (uint32_t)(p.payload_size / OFFLOAD_SEGMENTS_MAX + 1), 9000);
	const struct frame *segments;
	struct iovec iov = {super, 0};
	struct frame frame = {.iov = &iov,
			      .iov_count = 1,
			      .csum = FRAME_CSUM_PARTIAL,
			      .csum_offset = 16,
			      .gso_size = gso_size};
	size_t offset = 0;
	int count;

	p.options = payload;
	p.options_size = sim_random_range(random, 0, 10) * 4;
	p.flags |= sim_random_range(random, 0, 1) ? SIM_TCP_PSH : 0;
	p.partial = true;
	iov.iov_len = frame.size = (uint32_t)sim_packet_build(&p, super);
	frame.csum_start = version == 4 ? 34 : 54;
	frame.gso = version == 4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
	frame.header_size = (uint16_t)(frame.csum_start + 20 + p.options_size);
	count = offload_segment(scratch, &frame, &segments);
	ck_assert_int_ge(count, 1);
	burst_start();
	for (int i = 0; i < count; i++) {
		burst.end += i ? 4 : 0;
		burst.sizes[i] = segments[i].size;
		for (unsigned j = 0; j < segments[i].iov_count; j++) {
			memcpy(burst.bytes + burst.end, segments[i].iov[j].iov_base,
			       segments[i].iov[j].iov_len);
			burst.end += segments[i].iov[j].iov_len;
		}
		burst.count++;
	}
	burst_inject();
	sim_link_batch_end(in);
	ck_assert_uint_eq(sim_link_pending(out),
			  (unsigned)(count + FRAME_IOV_MAX - 1) / FRAME_IOV_MAX);
	for (; sim_link_pending(out) == 1 && count <= FRAME_IOV_MAX; offset = p.payload_size) {
		struct sim_frame *merged = sim_link_take(out);

		/* IPv4's ID and checksum, TCP's checksum and all else are as they were. */
		ck_assert_uint_eq(merged->size, frame.size);
		if (count > 1)
			ck_assert_mem_eq(merged->bytes, super, frame.size);
		sim_frame_free(merged);
	}
	while (offset < p.payload_size) {
		struct sim_frame *merged = sim_link_take(out);
		size_t size = merged->size - frame.header_size;

		ck_assert_mem_eq(merged->bytes + frame.header_size, payload + offset, size);
		offset += size;
		sim_frame_free(merged);
	}
	ck_assert_uint_eq(offset, p.payload_size);
}

START_TEST(cutting_and_coalescing_reverse)
{
	struct sim_random random = sim_random(sim_random_seed("cutting_and_coalescing_reverse", 1));

	for (int i = 0; i < 300; i++)
		round_trip(&random);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gro");
	TCase *tcase = unit_case(suite, "gro", setup, teardown);

	tcase_add_test(tcase, partial_segments_join);
	tcase_add_test(tcase, merges_a_run);
	tcase_add_test(tcase, merged_headers);
	tcase_add_test(tcase, short_segment_ends);
	tcase_add_test(tcase, larger_segment_starts_anew);
	tcase_add_test(tcase, different_headers_do_not_join);
	tcase_add_test(tcase, corrupt_segment_is_not_hidden);
	tcase_add_test(tcase, ack_goes_through_in_order);
	tcase_add_test(tcase, padding_is_dropped);
	tcase_add_test(tcase, buffers_do_not_mix);
	tcase_add_test(tcase, full_super_frame_makes_way);
	tcase_add_test(tcase, many_flows);
	tcase_add_test(tcase, unusual_frames_pass);
	tcase_add_test(tcase, cutting_and_coalescing_reverse);
	return unit_run(suite);
}
