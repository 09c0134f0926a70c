/* SPDX-License-Identifier: Apache-2.0 */
/* Header parsing, validation of untrusted offload fields, checksums and segmentation. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/offload.h"
#include "sim/sim_packet.h"
#include "unit.h"

static uint8_t bytes[SIM_PACKET_MAX + 64];
static uint8_t payload[65535];
static struct offload_scratch *scratch;

static void setup(void)
{
	struct sim_random random = sim_random(7);

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)sim_random_next(&random);
	scratch = offload_scratch_new();
	ck_assert_ptr_nonnull(scratch);
}

static void teardown(void)
{
	offload_scratch_free(scratch);
}

static struct sim_packet packet_of(int version, uint8_t protocol, size_t size)
{
	struct sim_packet p = {
		.src_mac = {{2, 0, 0, 0, 0, 1}},
		.dst_mac = {{2, 0, 0, 0, 0, 2}},
		.protocol = protocol,
		.src_port = 4000,
		.dst_port = 80,
		.seq = 0xfffffff0,
		.ack = 99,
		.flags = SIM_TCP_ACK,
		.window = 1000,
		.ip_id = 0xfffe,
		.df = true,
		.payload = payload,
		.payload_size = size,
	};

	ck_assert_int_eq(addr_parse(version == 4 ? "192.168.65.2" : "fd00::2", &p.src), 0);
	ck_assert_int_eq(addr_parse(version == 4 ? "10.1.2.3" : "2001:db8::9", &p.dst), 0);
	return p;
}

static struct frame frame_of(struct iovec *iov, size_t size)
{
	*iov = (struct iovec){.iov_base = bytes, .iov_len = size};
	return (struct frame){.iov = iov, .iov_count = 1, .size = (uint32_t)size};
}

/* A frame whose GSO fields are right. */
static struct frame gso_frame(struct iovec *iov, const struct sim_packet *p, uint16_t gso_size)
{
	struct frame frame = frame_of(iov, sim_packet_build(p, bytes));
	bool v4 = p->src.family == AF_INET;

	frame.csum = FRAME_CSUM_PARTIAL;
	frame.csum_start = v4 ? 34 : 54;
	frame.csum_offset = p->protocol == IPPROTO_TCP ? 16 : 6;
	frame.gso = p->protocol == IPPROTO_UDP ? FRAME_GSO_UDP
		    : v4                       ? FRAME_GSO_TCP4
					       : FRAME_GSO_TCP6;
	frame.gso_size = gso_size;
	frame.header_size = (uint16_t)(frame.csum_start +
				       (p->protocol == IPPROTO_TCP ? 20 + p->options_size : 8));
	return frame;
}

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)be16(at) << 16 | be16(at + 2);
}

static size_t linearise(const struct frame *frame, uint8_t *to)
{
	size_t size = 0;

	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(to + size, frame->iov[i].iov_base, frame->iov[i].iov_len);
		size += frame->iov[i].iov_len;
	}
	ck_assert_uint_eq(size, frame->size);
	return size;
}

START_TEST(parse_finds_headers)
{
	struct sim_packet p = packet_of(4, IPPROTO_TCP, 100);
	struct frame_headers h;
	struct iovec iov;
	struct frame frame;

	p.options = (const uint8_t *)"\1\1\1\1\1\1\1\1\1\1\1";
	p.options_size = 12;
	p.padding = 5;
	frame = frame_of(&iov, sim_packet_build(&p, bytes));
	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	ck_assert_uint_eq(h.ip_version, 4);
	ck_assert_uint_eq(h.protocol, IPPROTO_TCP);
	ck_assert_uint_eq(h.ip_offset, 14);
	ck_assert_uint_eq(h.transport_offset, 34);
	ck_assert_uint_eq(h.payload_offset, 66);
	ck_assert_uint_eq(h.ip_end, 166);
	ck_assert(!h.fragment);

	p = packet_of(6, IPPROTO_UDP, 10);
	frame = frame_of(&iov, sim_packet_build(&p, bytes));
	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	ck_assert_uint_eq(h.ip_version, 6);
	ck_assert_uint_eq(h.transport_offset, 54);
	ck_assert_uint_eq(h.payload_offset, 62);
	ck_assert_uint_eq(h.ip_end, 72);
}
END_TEST

START_TEST(parse_ipv6_extensions)
{
	/* Hop-by-hop, destination options of 16 bytes, then UDP. */
	static const uint8_t extensions[] = {IPPROTO_DSTOPTS,
					     0,
					     1,
					     4,
					     0,
					     0,
					     0,
					     0,
					     IPPROTO_UDP,
					     1,
					     1,
					     12,
					     0,
					     0,
					     0,
					     0,
					     0,
					     0,
					     0,
					     0,
					     0,
					     0,
					     0,
					     0,
					     /* UDP */ 1,
					     2,
					     3,
					     4,
					     0,
					     9,
					     0,
					     0,
					     'x'};
	struct sim_packet p = packet_of(6, IPPROTO_HOPOPTS, sizeof(extensions));
	struct frame_headers h;
	struct iovec iov;
	struct frame frame;

	p.payload = extensions;
	frame = frame_of(&iov, sim_packet_build(&p, bytes));
	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	ck_assert_uint_eq(h.protocol, IPPROTO_UDP);
	ck_assert_uint_eq(h.transport_offset, 54 + 24);
	ck_assert_uint_eq(h.payload_offset, 54 + 32);

	/* Cut in the middle of the second extension header. */
	bytes[14 + 5] = 15;
	ck_assert_int_eq(frame_parse_headers(&frame, &h), -EBADMSG);
	/* A chain without end: each header names another one. */
	bytes[14 + 5] = sizeof(extensions);
	memset(bytes + 54, 0, sizeof(extensions));
	ck_assert_int_eq(frame_parse_headers(&frame, &h), -EBADMSG);
}
END_TEST

START_TEST(parse_fragments)
{
	struct sim_packet p = packet_of(4, IPPROTO_UDP, 100);
	struct frame_headers h;
	struct iovec iov;
	struct frame frame = frame_of(&iov, sim_packet_build(&p, bytes));

	bytes[20] = 0x20; /* more fragments */
	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	ck_assert(h.fragment);
	ck_assert_uint_eq(h.protocol, 0);
	bytes[20] = 0;
	bytes[21] = 5; /* offset */
	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	ck_assert(h.fragment);
	bytes[20] = 0x40; /* DF alone is no fragment */
	bytes[21] = 0;
	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	ck_assert(!h.fragment);
}
END_TEST

/* Every truncation of a good frame is refused, and never read beyond (the sanitizers watch). */
START_TEST(parse_truncated)
{
	for (int i = 0; i < 4; i++) {
		struct sim_packet p = packet_of(i & 1 ? 6 : 4, i & 2 ? IPPROTO_UDP : IPPROTO_TCP,
						1);
		size_t size = sim_packet_build(&p, bytes);

		for (size_t cut = 0; cut < size; cut++) {
			uint8_t *copy = malloc(cut ? cut : 1);
			struct iovec iov = {copy, cut};
			struct frame frame = {.iov = &iov, .iov_count = 1, .size = (uint32_t)cut};
			struct frame_headers h;

			memcpy(copy, bytes, cut);
			ck_assert_int_eq(frame_parse_headers(&frame, &h), -EBADMSG);
			free(copy);
		}
	}
}
END_TEST

START_TEST(parse_malformed)
{
	static const struct {
		int version;
		uint8_t protocol;
		size_t at;
		uint8_t value;
	} lies[] = {
		{4, IPPROTO_TCP, 14, 0x65},      /* version 6 in an IPv4 frame */
		{4, IPPROTO_TCP, 14, 0x44},      /* header of 16 bytes */
		{4, IPPROTO_TCP, 14, 0x4f},      /* header of 60 bytes in a packet of 41 */
		{4, IPPROTO_TCP, 16, 0xff},      /* total size beyond the frame */
		{4, IPPROTO_TCP, 17, 19},        /* total size below the header's */
		{4, IPPROTO_TCP, 34 + 12, 0x40}, /* TCP header of 16 bytes */
		{4, IPPROTO_TCP, 34 + 12, 0xf0}, /* TCP header of 60 bytes */
		{4, IPPROTO_UDP, 34 + 5, 7},     /* UDP size below the header's */
		{4, IPPROTO_UDP, 34 + 5, 10},    /* UDP size beyond the packet */
		{6, IPPROTO_TCP, 14, 0x45},      {6, IPPROTO_TCP, 18, 0xff},
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct sim_packet p = packet_of(lies[i].version, lies[i].protocol, 1);
		struct frame_headers h;
		struct iovec iov;
		struct frame frame = frame_of(&iov, sim_packet_build(&p, bytes));

		ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
		bytes[lies[i].at] = lies[i].value;
		ck_assert_msg(frame_parse_headers(&frame, &h) == -EBADMSG, "lie %zu", i);
	}
}
END_TEST

START_TEST(parse_other_ethertype)
{
	struct mac mac = {{2, 0, 0, 0, 0, 1}};
	struct addr a = addr_from_v4(1), b = addr_from_v4(2);
	struct frame_headers h;
	struct iovec iov;
	struct frame frame = frame_of(&iov, sim_packet_arp(&mac, &a, &b, bytes));

	ck_assert_int_eq(frame_parse_headers(&frame, &h), -EPROTONOSUPPORT);
}
END_TEST

START_TEST(csum_ok_sees_every_byte)
{
	for (int i = 0; i < 4; i++) {
		struct sim_packet p = packet_of(i & 1 ? 6 : 4, i & 2 ? IPPROTO_UDP : IPPROTO_TCP,
						37);
		struct frame_headers h;
		struct iovec iov;
		struct frame frame;
		size_t first;

		p.padding = 7;
		frame = frame_of(&iov, sim_packet_build(&p, bytes));
		ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
		ck_assert(offload_csum_ok(&frame, &h));
		first = p.src.family == AF_INET ? 14 : 22; /* IPv6's first 8 bytes are in no sum */
		for (size_t at = first; at < frame.size - 7; at++) {
			/* Lengths were parsed before; a UDP checksum of 0 means none. */
			if (p.protocol == IPPROTO_UDP && at >= (size_t)h.transport_offset + 4 &&
			    at < (size_t)h.transport_offset + 8)
				continue;
			bytes[at] ^= 0x10;
			if (at > 14)
				ck_assert_msg(!offload_csum_ok(&frame, &h), "byte %zu of %d", at,
					      i);
			bytes[at] ^= 0x10;
		}
		bytes[frame.size - 1] ^= 0xff; /* padding counts for nothing */
		ck_assert(offload_csum_ok(&frame, &h));
	}
}
END_TEST

START_TEST(csum_ok_without_checksum)
{
	struct sim_packet p = packet_of(4, IPPROTO_UDP, 8);
	struct frame_headers h;
	struct iovec iov;
	struct frame frame = frame_of(&iov, sim_packet_build(&p, bytes));

	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	bytes[40] = bytes[41] = 0;
	ck_assert(offload_csum_ok(&frame, &h));
	p = packet_of(6, IPPROTO_UDP, 8);
	frame = frame_of(&iov, sim_packet_build(&p, bytes));
	ck_assert_int_eq(frame_parse_headers(&frame, &h), 0);
	bytes[60] = bytes[61] = 0; /* not allowed in IPv6 (RFC 8200, 8.1) */
	ck_assert(!offload_csum_ok(&frame, &h));
	/* Known good or to be completed: only the IPv4 header is looked at. */
	frame.csum = FRAME_CSUM_VALID;
	ck_assert(offload_csum_ok(&frame, &h));
}
END_TEST

/* Turns one field of a good super-frame into a lie. */
static void lie(struct frame *frame, int which)
{
	switch (which) {
	case 0:
		frame->gso_size = 0;
		break;
	case 1:
		frame->gso_size = 1; /* 5000 segments */
		break;
	case 2:
		frame->csum = FRAME_CSUM_UNKNOWN;
		break;
	case 3:
		frame->csum_start = 0xfffe;
		break;
	case 4:
		frame->csum_start -= 2;
		break;
	case 5:
		frame->csum_offset = 0xfffe;
		break;
	case 6:
		frame->csum_offset ^= 0x16; /* TCP's for UDP and the other way round */
		break;
	case 7:
		frame->header_size++;
		break;
	case 8:
		frame->header_size = 0xffff;
		break;
	case 9:
		frame->gso = frame->gso == FRAME_GSO_UDP ? FRAME_GSO_TCP4 : FRAME_GSO_UDP;
		break;
	case 10:
		frame->gso = (enum frame_gso)200;
		break;
	case 11:
		frame->size--;
		break;
	case 12:
		frame->header_size = 14;
		break;
	case 13:
		frame->size++; /* padding behind the packet */
		break;
	}
}

START_TEST(validate_refuses_lies)
{
	for (int kind = 0; kind < 4; kind++) {
		struct sim_packet p = packet_of(kind & 1 ? 6 : 4,
						kind & 2 ? IPPROTO_UDP : IPPROTO_TCP, 5000);
		const struct frame *segments = NULL;
		struct iovec iov;
		struct frame good;

		p.partial = true;
		good = gso_frame(&iov, &p, 1000);
		ck_assert_int_eq(offload_validate(&good), 0);
		ck_assert_int_eq(offload_segment(scratch, &good, &segments), 5);
		segments = NULL;
		for (int which = 0; which <= 13; which++) {
			struct frame frame = good;

			lie(&frame, which);
			ck_assert_msg(offload_validate(&frame) == -EBADMSG, "kind %d, lie %d", kind,
				      which);
			ck_assert_int_eq(offload_segment(scratch, &frame, &segments), -EBADMSG);
			ck_assert_ptr_null(segments);
		}
	}
}
END_TEST

START_TEST(validate_single_partial)
{
	struct sim_packet p = packet_of(4, IPPROTO_TCP, 500);
	struct iovec iov;
	struct frame frame = gso_frame(&iov, &p, 100);

	frame.gso = FRAME_GSO_NONE;
	ck_assert_int_eq(offload_validate(&frame), 0);
	/* Deeper than the headers that we know: a tunnel's. */
	frame.csum_start = 90;
	ck_assert_int_eq(offload_validate(&frame), 0);
	frame.csum_start = FRAME_LINEAR_SIZE - 16;
	ck_assert_int_eq(offload_validate(&frame), -EBADMSG);
	frame.csum_start = 2;
	ck_assert_int_eq(offload_validate(&frame), -EBADMSG);
	/* The field beyond the linear part. */
	frame.csum_start = 34;
	iov.iov_len = 50;
	ck_assert_int_eq(offload_validate(&frame), -EBADMSG);
}
END_TEST

START_TEST(completes_a_checksum)
{
	for (int kind = 0; kind < 4; kind++) {
		struct sim_packet p = packet_of(kind & 1 ? 6 : 4,
						kind & 2 ? IPPROTO_UDP : IPPROTO_TCP, 777);
		static uint8_t out[SIM_PACKET_MAX], before[SIM_PACKET_MAX];
		const struct frame *done;
		struct iovec iov[3];
		struct frame frame;
		size_t size;

		p.partial = true;
		frame = gso_frame(iov, &p, 100);
		frame.gso = FRAME_GSO_NONE;
		size = frame.size;
		memcpy(before, bytes, size);
		/* In pieces of odd sizes. */
		iov[0].iov_len = 201;
		iov[1] = (struct iovec){bytes + 201, 0};
		iov[2] = (struct iovec){bytes + 201, size - 201};
		frame.iov_count = 3;
		ck_assert_int_eq(offload_segment(scratch, &frame, &done), 1);
		ck_assert_int_eq(done->csum, FRAME_CSUM_VALID);
		ck_assert_uint_eq(linearise(done, out), size);
		ck_assert(sim_packet_csum_ok(out, size));
		ck_assert_mem_eq(before, bytes, size);
		p.partial = false;
		sim_packet_build(&p, bytes);
		ck_assert_mem_eq(out, bytes, size);
	}
}
END_TEST

/* Cuts `iov[0]`, which has everything, into random pieces behind the headers. */
static unsigned scatter(struct sim_random *random, struct iovec *iov, size_t linear)
{
	size_t size = iov[0].iov_len, at = linear;
	unsigned count = 1;

	iov[0].iov_len = linear;
	while (at < size && count < FRAME_IOV_MAX) {
		size_t piece = sim_random_range(random, 1, (uint32_t)(size / 8 + 1));

		if (piece > size - at || count == FRAME_IOV_MAX - 1)
			piece = size - at;
		iov[count++] = (struct iovec){bytes + at, piece};
		at += piece;
	}
	return count;
}

static void check_segment(const struct sim_packet *p, const struct frame *frame, const uint8_t *out,
			  int index, size_t offset, bool last)
{
	bool v4 = p->src.family == AF_INET;
	const uint8_t *transport = out + (v4 ? 34 : 54);
	size_t header_size = frame->size - (size_t)(transport - out);

	ck_assert(sim_packet_csum_ok(out, frame->size));
	ck_assert_int_eq(frame->csum, FRAME_CSUM_VALID);
	ck_assert_int_eq(frame->gso, FRAME_GSO_NONE);
	if (v4) {
		ck_assert_uint_eq(be16(out + 16), frame->size - 14);
		ck_assert_uint_eq(be16(out + 18), (uint16_t)(p->ip_id + index));
	} else {
		ck_assert_uint_eq(be16(out + 18), frame->size - 54);
	}
	if (p->protocol == IPPROTO_UDP) {
		ck_assert_uint_eq(be16(transport + 4), header_size);
		return;
	}
	ck_assert_uint_eq(be32(transport + 4), (uint32_t)(p->seq + offset));
	ck_assert_uint_eq(!!(transport[13] & SIM_TCP_FIN), last && (p->flags & SIM_TCP_FIN));
	ck_assert_uint_eq(!!(transport[13] & SIM_TCP_PSH), last && (p->flags & SIM_TCP_PSH));
	ck_assert_uint_eq(!!(transport[13] & SIM_TCP_CWR), index == 0 && (p->flags & SIM_TCP_CWR));
	if (p->options_size)
		ck_assert_mem_eq(transport + 20, p->options, p->options_size);
}

static void segment_once(struct sim_random *random)
{
	static uint8_t out[SIM_PACKET_MAX], again[65535];
	bool udp = sim_random_range(random, 0, 3) == 0;
	struct sim_packet p = packet_of(sim_random_range(random, 0, 1) ? 4 : 6,
					udp ? IPPROTO_UDP : IPPROTO_TCP,
					sim_random_range(random, 1, 65000));
	uint32_t least = (uint32_t)(p.payload_size / OFFLOAD_SEGMENTS_MAX + 1);
	uint16_t gso_size = (uint16_t)sim_random_range(random, least, 9000);
	struct iovec iov[FRAME_IOV_MAX];
	const struct frame *segments;
	struct frame frame;
	size_t offset = 0;
	int count;

	p.partial = true;
	p.flags |= (uint8_t)(sim_random_next(random) & (SIM_TCP_FIN | SIM_TCP_PSH | SIM_TCP_CWR));
	p.options = payload;
	p.options_size = udp ? 0 : sim_random_range(random, 0, 10) * 4;
	frame = gso_frame(iov, &p, gso_size);
	frame.iov_count = (uint16_t)scatter(
		random, iov, sim_random_range(random, frame.header_size, frame.header_size + 1));
	count = offload_segment(scratch, &frame, &segments);
	ck_assert_int_eq(count, (int)((p.payload_size + gso_size - 1) / gso_size));
	for (int i = 0; i < count; i++) {
		size_t size = linearise(&segments[i], out) - frame.header_size;

		check_segment(&p, &segments[i], out, i, offset, i == count - 1);
		ck_assert_uint_le(size, gso_size);
		memcpy(again + offset, out + frame.header_size, size);
		offset += size;
	}
	ck_assert_uint_eq(offset, p.payload_size);
	ck_assert_mem_eq(again, payload, offset);
}

START_TEST(segments_are_right)
{
	struct sim_random random = sim_random(sim_random_seed("segments_are_right", 1));

	for (int i = 0; i < 400; i++)
		segment_once(&random);
}
END_TEST

/* The most segments and the most pieces at once fit the scratch space. */
START_TEST(segments_at_the_limit)
{
	struct sim_packet p = packet_of(6, IPPROTO_TCP, 65535 - 40 - 60);
	struct iovec iov[FRAME_IOV_MAX];
	const struct frame *segments;
	struct frame frame;
	uint16_t smallest;

	p.partial = true;
	p.options = payload;
	p.options_size = 40;
	smallest = (uint16_t)((p.payload_size + OFFLOAD_SEGMENTS_MAX - 1) / OFFLOAD_SEGMENTS_MAX);
	frame = gso_frame(iov, &p, smallest);
	iov[0].iov_len = frame.header_size;
	for (int i = 1; i < FRAME_IOV_MAX; i++) {
		size_t at = frame.header_size + (size_t)(i - 1) * 31;

		iov[i] = (struct iovec){bytes + at, i < FRAME_IOV_MAX - 1 ? 31 : frame.size - at};
	}
	frame.iov_count = FRAME_IOV_MAX;
	ck_assert_int_eq(offload_segment(scratch, &frame, &segments),
			 (int)((p.payload_size + smallest - 1) / smallest));
	frame.iov_count++;
	ck_assert_int_eq(offload_segment(scratch, &frame, &segments), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("offload");
	TCase *tcase = unit_case(suite, "offload", setup, teardown);

	tcase_add_test(tcase, parse_finds_headers);
	tcase_add_test(tcase, parse_ipv6_extensions);
	tcase_add_test(tcase, parse_fragments);
	tcase_add_test(tcase, parse_truncated);
	tcase_add_test(tcase, parse_malformed);
	tcase_add_test(tcase, parse_other_ethertype);
	tcase_add_test(tcase, csum_ok_sees_every_byte);
	tcase_add_test(tcase, csum_ok_without_checksum);
	tcase_add_test(tcase, validate_refuses_lies);
	tcase_add_test(tcase, validate_single_partial);
	tcase_add_test(tcase, completes_a_checksum);
	tcase_add_test(tcase, segments_are_right);
	tcase_add_test(tcase, segments_at_the_limit);
	return unit_run(suite);
}
