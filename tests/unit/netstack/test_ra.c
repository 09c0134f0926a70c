/* SPDX-License-Identifier: Apache-2.0 */
/* Router advertisements, byte by byte. */
#include <string.h>

#include "netstack/ra.h"
#include "unit.h"

static uint8_t bytes[RA_SIZE_MAX];

static struct ra advertisement(void)
{
	struct ra ra = {
		.mac = {{0x52, 0x55, 0, 0, 0, 1}},
		.hop_limit = 64,
		.managed = true,
		.other = true,
		.router_lifetime_s = 1800,
		.mtu = 1500,
		.autonomous = true,
		.valid_s = 5400,
		.preferred_s = 2700,
		.dns_lifetime_s = 1800,
	};

	ck_assert_int_eq(prefix_parse("fd00:1:2:3::/64", &ra.prefix), 0);
	ck_assert_int_eq(addr_parse("fd00:1:2:3::1", &ra.dns), 0);
	return ra;
}

static void expect(const struct ra *ra, const void *expected, size_t size)
{
	memset(bytes, 0xee, sizeof(bytes));
	ck_assert_uint_eq(ra_encode(ra, bytes, sizeof(bytes)), size);
	ck_assert_mem_eq(bytes, expected, size);
	ck_assert_uint_eq(bytes[size], 0xee);
}

/* RFC 4861, 4.2; 4.6.1, 4.6.2, 4.6.4; RFC 8106, 5.1 and 5.2. */
START_TEST(full)
{
	static const uint8_t search[] = "\2vm\10internal";
	static const char expected[] = "\x86\0\0\0\x40\xc0\x07\x08\0\0\0\0\0\0\0\0"
				       /* source link-layer address */
				       "\1\1\x52\x55\0\0\0\1"
				       /* MTU */
				       "\5\1\0\0\0\0\x05\xdc"
				       /* prefix */
				       "\3\4\x40\xc0\0\0\x15\x18\0\0\x0a\x8c\0\0\0\0"
				       "\xfd\0\0\1\0\2\0\3\0\0\0\0\0\0\0\0"
				       /* name server */
				       "\x19\3\0\0\0\0\x07\x08"
				       "\xfd\0\0\1\0\2\0\3\0\0\0\0\0\0\0\1"
				       /* search list, padded to a multiple of eight */
				       "\x1f\3\0\0\0\0\x07\x08"
				       "\2vm\10internal\0\0\0\0";
	struct ra ra = advertisement();

	ra.search = search;
	ra.search_size = sizeof(search);
	expect(&ra, expected, sizeof(expected) - 1);
}
END_TEST

START_TEST(flags)
{
	struct ra ra = advertisement();

	ra.managed = false;
	ra_encode(&ra, bytes, sizeof(bytes));
	ck_assert_uint_eq(bytes[5], 0x40);
	ra.managed = true;
	ra.other = false;
	ra.autonomous = false;
	ra_encode(&ra, bytes, sizeof(bytes));
	ck_assert_uint_eq(bytes[5], 0x80);
	ck_assert_uint_eq(bytes[16 + 8 + 8 + 3], 0x80);
}
END_TEST

START_TEST(no_dns)
{
	struct ra ra = advertisement();

	ra.dns = (struct addr){0};
	ck_assert_uint_eq(ra_encode(&ra, bytes, sizeof(bytes)), 16 + 8 + 8 + 32);
}
END_TEST

/* The last one: we are no router any more (RFC 4861, 6.2.5), and say nothing else. */
START_TEST(final)
{
	static const uint8_t expected[] = {
		134, 0, 0, 0, 64, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x52, 0x55, 0, 0, 0, 1,
	};
	struct ra ra = advertisement();

	ra.router_lifetime_s = 0;
	expect(&ra, expected, sizeof(expected));
}
END_TEST

START_TEST(longest)
{
	static const uint8_t search[RA_SEARCH_SIZE_MAX];
	struct ra ra = advertisement();

	ra.search = search;
	for (ra.search_size = 1; ra.search_size <= RA_SEARCH_SIZE_MAX; ra.search_size++) {
		size_t option = 8 + (ra.search_size + 7) / 8 * 8;

		ck_assert_uint_eq(ra_encode(&ra, bytes, sizeof(bytes)),
				  16 + 8 + 8 + 32 + 24 + option);
		ck_assert_uint_eq(bytes[16 + 8 + 8 + 32 + 24 + 1], option / 8);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ra");
	TCase *tc = unit_case(suite, "encode", NULL, NULL);

	tcase_add_test(tc, full);
	tcase_add_test(tc, flags);
	tcase_add_test(tc, no_dns);
	tcase_add_test(tc, final);
	tcase_add_test(tc, longest);
	return unit_run(suite);
}
