/* SPDX-License-Identifier: Apache-2.0 */
/* What a frame without a vnet header tells of the offloads that its guest left to the device. */
#include <netinet/in.h>
#include <string.h>

#include "netstack/offload.h"
#include "netstack/offload_infer.h"
#include "sim/sim_packet.h"
#include "unit.h"

#define MTU 1500

static uint8_t bytes[SIM_PACKET_MAX + 64];
static uint8_t before[SIM_PACKET_MAX + 64];
static uint8_t payload[65535];
static struct iovec iov;

static struct frame build(int version, uint8_t protocol, size_t size, bool partial)
{
	struct sim_packet p = {
		.src_mac = {{2, 0, 0, 0, 0, 1}},
		.dst_mac = {{2, 0, 0, 0, 0, 2}},
		.protocol = protocol,
		.src_port = 4000,
		.dst_port = 80,
		.flags = SIM_TCP_ACK,
		.window = 1000,
		.payload = payload,
		.payload_size = size,
		.partial = partial,
	};

	for (size_t i = 0; i < size; i++)
		payload[i] = (uint8_t)(i * 7 + (i >> 8));
	ck_assert_int_eq(addr_parse(version == 4 ? "192.168.65.2" : "fd00::2", &p.src), 0);
	ck_assert_int_eq(addr_parse(version == 4 ? "10.1.2.3" : "2001:db8::9", &p.dst), 0);
	iov = (struct iovec){bytes, sim_packet_build(&p, bytes)};
	memcpy(before, bytes, iov.iov_len);
	return (struct frame){.iov = &iov, .iov_count = 1, .size = (uint32_t)iov.iov_len};
}

/* What any other link gets of it: segments of the MTU at most, whose checksums are right. */
static void check_segments(const struct frame *frame, size_t size)
{
	struct offload_scratch *scratch = offload_scratch_new();
	const struct frame *segments;
	int count = offload_segment(scratch, frame, &segments);
	size_t total = 0;

	ck_assert_int_gt(count, 0);
	for (int i = 0; i < count; i++) {
		static uint8_t flat[SIM_PACKET_MAX];
		struct iovec whole = {flat, segments[i].size};
		struct frame one = {.iov = &whole, .iov_count = 1, .size = segments[i].size};
		struct frame_headers headers;
		size_t at = 0;

		for (unsigned n = 0; n < segments[i].iov_count; n++) {
			memcpy(flat + at, segments[i].iov[n].iov_base, segments[i].iov[n].iov_len);
			at += segments[i].iov[n].iov_len;
		}
		ck_assert(sim_packet_csum_ok(flat, at));
		ck_assert_int_eq(frame_parse_headers(&one, &headers), 0);
		if (headers.protocol == IPPROTO_TCP)
			ck_assert_uint_le(at, MTU + ETH_HEADER_SIZE);
		ck_assert_mem_eq(flat + headers.payload_offset, payload + total,
				 at - headers.payload_offset);
		total += at - headers.payload_offset;
	}
	ck_assert_uint_eq(total, size);
	offload_scratch_free(scratch);
}

static const int versions[] = {4, 6};

START_TEST(unfinished_checksums)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

	for (int i = 0; i < 2; i++) {
		struct frame frame = build(versions[_i], protocols[i], 1000, true);

		offload_infer(&frame, MTU);
		ck_assert_int_eq(frame.csum, FRAME_CSUM_PARTIAL);
		ck_assert_int_eq(frame.gso, FRAME_GSO_NONE);
		ck_assert_int_eq(offload_validate(&frame), 0);
		check_segments(&frame, 1000);
	}
}
END_TEST

START_TEST(complete_ones_stay)
{
	static const size_t sizes[] = {0, 1, 1000, 1440};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct frame frame = build(versions[_i], IPPROTO_TCP, sizes[i], false);

		offload_infer(&frame, MTU);
		ck_assert_int_eq(frame.csum, FRAME_CSUM_UNKNOWN);
		ck_assert_int_eq(frame.gso, FRAME_GSO_NONE);
		ck_assert_mem_eq(bytes, before, frame.size);
	}
}
END_TEST

/* Larger than the MTU, with the checksum done or not: it is cut. */
START_TEST(super_frames)
{
	static const size_t sizes[] = {1461, 1500, 20000, 65000};

	for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct frame frame = build(versions[_i], IPPROTO_TCP, sizes[i / 2], i % 2);

		offload_infer(&frame, MTU);
		ck_assert_int_eq(frame.csum, FRAME_CSUM_PARTIAL);
		ck_assert_int_eq(frame.gso, versions[_i] == 4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6);
		ck_assert_int_eq(offload_validate(&frame), 0);
		check_segments(&frame, sizes[i / 2]);
	}
}
END_TEST

/* A wrong checksum is not made a right one. */
START_TEST(damage_stays)
{
	struct frame frame = build(versions[_i], IPPROTO_TCP, 20000, false);
	struct frame_headers headers;

	bytes[15000] ^= 1;
	before[15000] ^= 1;
	offload_infer(&frame, MTU);
	ck_assert_int_eq(frame.csum, FRAME_CSUM_UNKNOWN);
	ck_assert_int_eq(frame.gso, FRAME_GSO_NONE);
	ck_assert_mem_eq(bytes, before, frame.size);
	ck_assert_int_eq(frame_parse_headers(&frame, &headers), 0);
	ck_assert(!offload_csum_ok(&frame, &headers));
}
END_TEST

/* Datagrams can't be cut; theirs are completed. */
START_TEST(large_datagram)
{
	struct frame frame = build(versions[_i], IPPROTO_UDP, 30000, true);

	offload_infer(&frame, MTU);
	ck_assert_int_eq(frame.csum, FRAME_CSUM_PARTIAL);
	ck_assert_int_eq(frame.gso, FRAME_GSO_NONE);
	check_segments(&frame, 30000);
}
END_TEST

/* Anything else, cut anywhere, is left alone. */
START_TEST(other_frames)
{
	struct frame frame = build(versions[_i], IPPROTO_TCP, 100, true);
	size_t whole = iov.iov_len;

	for (iov.iov_len = ETH_HEADER_SIZE; iov.iov_len < whole; iov.iov_len++) {
		frame.size = (uint32_t)iov.iov_len;
		offload_infer(&frame, MTU);
		ck_assert_int_eq(frame.csum, FRAME_CSUM_UNKNOWN);
	}
	iov.iov_len = whole;
	frame.size = (uint32_t)whole;
	bytes[13] = 0x06; /* ARP */
	offload_infer(&frame, MTU);
	ck_assert_int_eq(frame.csum, FRAME_CSUM_UNKNOWN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("offload_infer");
	TCase *tcase = unit_case(suite, "offload_infer", NULL, NULL);

	tcase_add_loop_test(tcase, unfinished_checksums, 0, 2);
	tcase_add_loop_test(tcase, complete_ones_stay, 0, 2);
	tcase_add_loop_test(tcase, super_frames, 0, 2);
	tcase_add_loop_test(tcase, damage_stays, 0, 2);
	tcase_add_loop_test(tcase, large_datagram, 0, 2);
	tcase_add_loop_test(tcase, other_frames, 0, 2);
	return unit_run(suite);
}
