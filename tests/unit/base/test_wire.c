/* SPDX-License-Identifier: Apache-2.0 */
/* Readers and writers of wire formats, above all at their ends. */
#include "base/wire.h"

#include "unit.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

START_TEST(reads_integers)
{
	struct wire_reader r = wire_reader(bytes, sizeof(bytes));

	ck_assert_uint_eq(wire_u8(&r), 1);
	ck_assert_uint_eq(wire_be16(&r), 0x0203);
	ck_assert_uint_eq(wire_be32(&r), 0x04050607);
	ck_assert_uint_eq(wire_be64(&r), 0x08090a0b0c0d0e0f);
	ck_assert(wire_ok(&r));
	ck_assert_uint_eq(wire_left(&r), 0);
	ck_assert_uint_eq(wire_offset(&r), 15);
	r = wire_reader(bytes, sizeof(bytes));
	ck_assert_uint_eq(wire_le16(&r), 0x0201);
	ck_assert_uint_eq(wire_le32(&r), 0x06050403);
	ck_assert_uint_eq(wire_le64(&r), 0x0e0d0c0b0a090807);
	ck_assert(wire_ok(&r));
}
END_TEST

START_TEST(failure_sticks)
{
	struct wire_reader r = wire_reader(bytes, 3);
	uint8_t copy[4] = {9, 9, 9, 9};

	ck_assert_uint_eq(wire_u8(&r), 1);
	ck_assert_uint_eq(wire_be32(&r), 0);
	ck_assert(!wire_ok(&r));
	ck_assert_uint_eq(wire_left(&r), 0);
	ck_assert_uint_eq(wire_u8(&r), 0);
	ck_assert_ptr_null(wire_bytes(&r, 0));
	wire_copy(&r, copy, sizeof(copy));
	ck_assert_mem_eq(copy, "\0\0\0\0", 4);
}
END_TEST

START_TEST(sizes_do_not_wrap)
{
	struct wire_reader r = wire_reader(bytes, 3);

	ck_assert_ptr_null(wire_bytes(&r, SIZE_MAX));
	ck_assert(!wire_ok(&r));
	r = wire_reader(NULL, 0);
	ck_assert_uint_eq(wire_left(&r), 0);
	ck_assert_uint_eq(wire_u8(&r), 0);
	ck_assert(!wire_ok(&r));
}
END_TEST

START_TEST(sub_reader_is_bounded)
{
	struct wire_reader r = wire_reader(bytes, sizeof(bytes));
	struct wire_reader sub = wire_sub(&r, 2);

	ck_assert_uint_eq(wire_be16(&sub), 0x0102);
	wire_skip(&sub, 1);
	ck_assert(!wire_ok(&sub));
	ck_assert(wire_ok(&r));
	ck_assert_uint_eq(wire_u8(&r), 3);
	sub = wire_sub(&r, 100);
	ck_assert(!wire_ok(&sub));
	ck_assert(!wire_ok(&r));
}
END_TEST

START_TEST(writes_integers)
{
	uint8_t to[29];
	struct wire_writer w = wire_writer(to, sizeof(to));

	wire_put_u8(&w, 1);
	wire_put_be16(&w, 0x0203);
	wire_put_be32(&w, 0x04050607);
	wire_put_be64(&w, 0x08090a0b0c0d0e0f);
	wire_put_le16(&w, 0x0201);
	wire_put_le32(&w, 0x06050403);
	wire_put_le64(&w, 0x0e0d0c0b0a090807);
	ck_assert(wire_fits(&w));
	ck_assert_uint_eq(wire_room(&w), 0);
	ck_assert_mem_eq(to, bytes, 15);
	ck_assert_mem_eq(to + 15, bytes, 14);
}
END_TEST

START_TEST(integers_come_whole_or_not_at_all)
{
	uint8_t to[7];
	struct wire_reader r = wire_reader(bytes, 7);
	struct wire_writer w = wire_writer(to, 7);

	ck_assert_uint_eq(wire_be64(&r), 0);
	ck_assert(!wire_ok(&r));
	r = wire_reader(bytes, 7);
	ck_assert_uint_eq(wire_le64(&r), 0);
	ck_assert(!wire_ok(&r));
	r = wire_reader(bytes, 3);
	ck_assert_uint_eq(wire_le32(&r), 0);
	wire_put_be64(&w, 1);
	ck_assert(!wire_fits(&w));
	ck_assert_uint_eq(wire_written(&w), 0);
	w = wire_writer(to, 7);
	wire_put_le64(&w, 1);
	ck_assert_uint_eq(wire_written(&w), 0);
}
END_TEST

START_TEST(overflow_writes_nothing)
{
	uint8_t to[4] = {9, 9, 9, 9};
	struct wire_writer w = wire_writer(to, 3);

	wire_put_u8(&w, 1);
	wire_put_be32(&w, 0);
	ck_assert(!wire_fits(&w));
	ck_assert_uint_eq(wire_written(&w), 1);
	ck_assert_uint_eq(wire_room(&w), 0);
	wire_put_u8(&w, 2);
	wire_put_zeros(&w, 1);
	ck_assert_mem_eq(to, "\1\11\11\11", 4);
}
END_TEST

int main(void)
{
	return unit_main("wire", NULL, NULL,
			 (const TTest *[]){
				 reads_integers,
				 failure_sticks,
				 sizes_do_not_wrap,
				 sub_reader_is_bounded,
				 writes_integers,
				 integers_come_whole_or_not_at_all,
				 overflow_writes_nothing,
				 NULL,
			 });
}
