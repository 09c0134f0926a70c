/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum against the definition of RFC 1071, two bytes at a time. */
#include "base/csum.h"

#include <arpa/inet.h>
#include <string.h>

#include "unit.h"

#define DATA_SIZE 1024

static uint8_t data[DATA_SIZE];

/* Reproducible bytes, with runs of 0xff so that carries go far. */
static void fill(void)
{
	uint32_t state = 12345;

	for (size_t i = 0; i < DATA_SIZE; i++) {
		state = state * 1664525 + 1013904223;
		data[i] = i % 97 < 40 ? 0xff : (uint8_t)(state >> 24);
	}
}

static uint16_t plain_csum(const uint8_t *bytes, size_t size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (uint64_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

START_TEST(every_size_and_alignment)
{
	fill();
	for (size_t offset = 0; offset < 9; offset++) {
		for (size_t size = 0; size <= 1000; size++)
			ck_assert_uint_eq(csum_fold(csum_add(0, data + offset, size)),
					  plain_csum(data + offset, size));
	}
}
END_TEST

START_TEST(carries)
{
	static uint8_t ones[DATA_SIZE];

	memset(ones, 0xff, sizeof(ones));
	ck_assert_uint_eq(csum_fold(csum_add(0xffffffff, ones, sizeof(ones))), 0);
	ck_assert_uint_eq(csum_fold(csum_add(0, ones, sizeof(ones))), 0);
	memset(ones, 0, sizeof(ones));
	ck_assert_uint_eq(csum_fold(csum_add(0, ones, sizeof(ones))), 0xffff);
	ck_assert_uint_eq(csum_fold(0xffffffff), 0);
	ck_assert_uint_eq(csum_fold(0x10000), (uint16_t)~1);
}
END_TEST

START_TEST(ranges_add_up)
{
	fill();
	for (size_t cut = 0; cut <= 500; cut += 2) {
		uint32_t sum = csum_add(csum_add(0, data, cut), data + cut, 501 - cut);

		ck_assert_uint_eq(csum_fold(sum), plain_csum(data, 501));
	}
}
END_TEST

START_TEST(vector_of_odd_pieces)
{
	static const size_t sizes[] = {1, 3, 0, 64, 7, 33, 1, 1, 100};
	struct iovec iov[9];
	size_t total = 0;

	fill();
	for (size_t i = 0; i < 9; i++) {
		iov[i] = (struct iovec){.iov_base = data + total, .iov_len = sizes[i]};
		total += sizes[i];
	}
	for (size_t offset = 0; offset <= total; offset++) {
		for (size_t size = 0; offset + size <= total; size++)
			ck_assert_uint_eq(csum_fold(csum_add_iov(0, iov, 9, offset, size)),
					  plain_csum(data + offset, size));
	}
}
END_TEST

/* The pseudo-headers written out, from RFC 768 and RFC 8200, section 8.1. */
START_TEST(pseudo_headers)
{
	uint8_t v4[] = {10, 1, 2, 3, 192, 168, 65, 2, 0, 17, 0x12, 0x34};
	uint8_t v6[40] = {0xfd, 0, 1, 2};
	struct addr src;
	struct addr dst;

	addr_parse("10.1.2.3", &src);
	addr_parse("192.168.65.2", &dst);
	ck_assert_uint_eq(csum_fold(csum_add_pseudo(0, &src, &dst, 17, 0x1234)),
			  plain_csum(v4, sizeof(v4)));
	addr_parse("fd00:102::9", &src);
	addr_parse("ff02::2", &dst);
	v6[15] = 9;
	v6[16] = 0xff;
	v6[17] = 2;
	v6[31] = 2;
	v6[33] = 1; /* 0x00012345 */
	v6[34] = 0x23;
	v6[35] = 0x45;
	v6[39] = 6;
	ck_assert_uint_eq(csum_fold(csum_add_pseudo(0, &src, &dst, 6, 0x12345)),
			  plain_csum(v6, sizeof(v6)));
}
END_TEST

START_TEST(stored_checksum_verifies)
{
	uint16_t csum;

	fill();
	memset(data + 10, 0, 2);
	csum = csum_fold(csum_add(0, data, 60));
	memcpy(data + 10, &csum, 2);
	ck_assert_uint_eq(csum_fold(csum_add(0, data, 60)), 0);
	data[20] ^= 1;
	ck_assert_uint_ne(csum_fold(csum_add(0, data, 60)), 0);
}
END_TEST

START_TEST(update_equals_recomputation)
{
	static const uint16_t words[] = {0, 1, 0x1234, 0x5555, 0xfffe, 0xffff};

	for (size_t i = 0; i < 36; i++) {
		uint16_t before = words[i / 6];
		uint16_t after = words[i % 6];
		uint16_t csum;

		fill();
		memcpy(data + 4, &before, 2);
		csum = csum_fold(csum_add(0, data, 60));
		memcpy(data + 4, &after, 2);
		ck_assert_uint_eq(csum_update16(csum, before, after),
				  csum_fold(csum_add(0, data, 60)));
	}
}
END_TEST

int main(void)
{
	return unit_main("csum", NULL, NULL,
			 (const TTest *[]){
				 every_size_and_alignment,
				 carries,
				 ranges_add_up,
				 vector_of_odd_pieces,
				 pseudo_headers,
				 stored_checksum_verifies,
				 update_equals_recomputation,
				 NULL,
			 });
}
