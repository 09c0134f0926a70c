/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP codec: options in pieces and in overloaded fields, and messages that are cut or lie. */
#include "dhcp/dhcp_wire.h"

#include <errno.h>

#include "dhcp_test.h"
#include "unit.h"

#define SNAME_OFFSET 44
#define FILE_OFFSET  108

static struct draft d;

static int decode(struct dhcp_message *m)
{
	return dhcp_message_decode(d.bytes, d.size, m);
}

START_TEST(round_trip)
{
	struct dhcp_message m;
	uint8_t value[4];

	draft_open(&d, DHCP_REQUEST, 7);
	d.header.secs = 0x1234;
	d.header.flags = DHCP_FLAG_BROADCAST;
	d.header.ciaddr = IP(9);
	d.header.yiaddr = IP(10);
	d.header.siaddr = IP(11);
	d.header.giaddr = IP(12);
	draft_u32(&d, DHCP_OPT_REQUESTED, IP(13));
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	dhcp_put_option(&d.w, 0, DHCP_OPT_SIZE_MAX, "\x05\xdc", 2);
	dhcp_put_option(&d.w, 0, DHCP_OPT_RAPID_COMMIT, NULL, 0);
	draft_close(&d);
	ck_assert_int_eq(decode(&m), 0);
	ck_assert_uint_eq(m.op, DHCP_BOOTREQUEST);
	ck_assert_uint_eq(m.xid, 0xabcd0007);
	ck_assert_uint_eq(m.secs, 0x1234);
	ck_assert_uint_eq(m.flags, DHCP_FLAG_BROADCAST);
	ck_assert_uint_eq(m.ciaddr, IP(9));
	ck_assert_uint_eq(m.yiaddr, IP(10));
	ck_assert_uint_eq(m.siaddr, IP(11));
	ck_assert_uint_eq(m.giaddr, IP(12));
	ck_assert(mac_equal(&m.chaddr, &d.header.chaddr));
	ck_assert_uint_eq(m.type, DHCP_REQUEST);
	ck_assert_uint_eq(m.requested, IP(13));
	ck_assert_uint_eq(m.server_id, GATEWAY);
	ck_assert_uint_eq(m.size_max, 1500);
	ck_assert(m.rapid_commit);
	ck_assert_int_eq(dhcp_message_option(&m, DHCP_OPT_HOSTNAME, value, 4), -ENOENT);
	ck_assert_int_eq(dhcp_message_option(&m, DHCP_OPT_REQUESTED, value, 3), -EMSGSIZE);
}
END_TEST

START_TEST(every_cut_is_found_or_harmless)
{
	struct dhcp_message m;

	draft_open(&d, DHCP_DISCOVER, 1);
	draft_text(&d, DHCP_OPT_HOSTNAME, "web");
	draft_close(&d);
	for (size_t size = 0; size < d.size; size++) {
		/* A copy of the exact size lets the address sanitizer see a read past the end. */
		uint8_t *cut = malloc(size + 1);
		int r;

		memcpy(cut, d.bytes, size);
		r = dhcp_message_decode(cut, size, &m);
		/* Whole options and no end option are accepted; nothing else is. */
		if (size == DHCP_HEADER_SIZE || size == DHCP_HEADER_SIZE + 3 || size == d.size - 1)
			ck_assert_int_eq(r, 0);
		else
			ck_assert_int_eq(r, -EBADMSG);
		free(cut);
	}
}
END_TEST

START_TEST(wrong_cookie)
{
	struct dhcp_message m;

	draft_open(&d, DHCP_DISCOVER, 1);
	draft_close(&d);
	d.bytes[DHCP_HEADER_SIZE - 1] ^= 1;
	ck_assert_int_eq(decode(&m), -EBADMSG);
}
END_TEST

static void check_bad_option(uint8_t code, size_t size)
{
	struct dhcp_message m;

	draft_open(&d, DHCP_REQUEST, 1);
	dhcp_put_option(&d.w, 0, code, "\1\2\3\4\5\6", size);
	draft_close(&d);
	ck_assert_int_eq(decode(&m), -EBADMSG);
}

START_TEST(wrong_sizes)
{
	check_bad_option(DHCP_OPT_REQUESTED, 3);
	check_bad_option(DHCP_OPT_REQUESTED, 5);
	check_bad_option(DHCP_OPT_SERVER_ID, 0);
	check_bad_option(DHCP_OPT_SIZE_MAX, 1);
	check_bad_option(DHCP_OPT_TYPE, 1); /* a second one: two bytes together */
	check_bad_option(DHCP_OPT_OVERLOAD, 2);
}
END_TEST

START_TEST(padding_between_options)
{
	struct dhcp_message m;

	draft_open(&d, 0, 1);
	wire_put_zeros(&d.w, 5);
	wire_put_bytes(&d.w, "\x35\1\1\0\0", 5);
	draft_close(&d);
	ck_assert_int_eq(decode(&m), 0);
	ck_assert_uint_eq(m.type, DHCP_DISCOVER);
}
END_TEST

START_TEST(after_the_end_option_nothing_counts)
{
	struct dhcp_message m;

	draft_open(&d, DHCP_DISCOVER, 1);
	wire_put_bytes(&d.w, "\xff\x0c\xf0", 3);
	draft_close(&d);
	ck_assert_int_eq(decode(&m), 0);
	ck_assert_int_eq(dhcp_message_option(&m, DHCP_OPT_HOSTNAME, &m, 4), -ENOENT);
}
END_TEST

/* RFC 3396: pieces of one option are one option, wherever they are: options, then file, then sname.
 */
START_TEST(pieces_across_overloaded_fields)
{
	struct dhcp_message m;
	char name[16];

	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_OVERLOAD, "\3", 1);
	draft_text(&d, DHCP_OPT_HOSTNAME, "one");
	draft_text(&d, DHCP_OPT_HOSTNAME, "two");
	draft_close(&d);
	memcpy(d.bytes + SNAME_OFFSET, "\x0c\4four\xff", 7);
	memcpy(d.bytes + FILE_OFFSET, "\x0c\5three\xff", 8);
	ck_assert_int_eq(decode(&m), 0);
	ck_assert_int_eq(dhcp_message_option(&m, DHCP_OPT_HOSTNAME, name, sizeof(name)), 15);
	ck_assert_mem_eq(name, "onetwothreefour", 15);

	/* Only the fields that the overload option names. */
	d.bytes[DHCP_HEADER_SIZE + 5] = 1;
	ck_assert_int_eq(decode(&m), 0);
	ck_assert_int_eq(dhcp_message_option(&m, DHCP_OPT_HOSTNAME, name, sizeof(name)), 11);
	d.bytes[DHCP_HEADER_SIZE + 5] = 2;
	ck_assert_int_eq(decode(&m), 0);
	ck_assert_int_eq(dhcp_message_option(&m, DHCP_OPT_HOSTNAME, name, sizeof(name)), 10);
}
END_TEST

START_TEST(an_option_runs_past_its_field)
{
	struct dhcp_message m;

	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_OVERLOAD, "\2", 1);
	draft_close(&d);
	d.bytes[SNAME_OFFSET] = DHCP_OPT_HOSTNAME;
	d.bytes[SNAME_OFFSET + 1] = 62;
	ck_assert_int_eq(decode(&m), 0);
	d.bytes[SNAME_OFFSET + 1] = 63; /* would read into file */
	ck_assert_int_eq(decode(&m), -EBADMSG);
}
END_TEST

START_TEST(long_options_are_split)
{
	struct dhcp_message m;
	uint8_t value[600], back[600];

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)i;
	draft_open(&d, DHCP_ACK, 1);
	ck_assert(dhcp_put_option(&d.w, 0, DHCP_OPT_SEARCH, value, sizeof(value)));
	ck_assert_uint_eq(wire_written(&d.w), DHCP_HEADER_SIZE + 3 + dhcp_option_room(600));
	draft_close(&d);
	ck_assert_int_eq(decode(&m), 0);
	ck_assert_int_eq(dhcp_message_option(&m, DHCP_OPT_SEARCH, back, sizeof(back)), 600);
	ck_assert_mem_eq(back, value, 600);
}
END_TEST

START_TEST(what_does_not_fit_leaves_no_trace)
{
	uint8_t buffer[10];
	struct wire_writer w = wire_writer(buffer, sizeof(buffer));

	ck_assert(!dhcp_put_option(&w, 0, 1, "123456789", 9));
	ck_assert(!dhcp_put_option(&w, 1, 1, "12345678", 8));
	ck_assert_uint_eq(wire_written(&w), 0);
	ck_assert(wire_fits(&w));
	ck_assert(dhcp_put_option(&w, 0, 1, "12345678", 8));
	ck_assert_uint_eq(wire_written(&w), 10);
	ck_assert_uint_eq(dhcp_option_room(0), 2);
	ck_assert_uint_eq(dhcp_option_room(255), 257);
	ck_assert_uint_eq(dhcp_option_room(256), 260);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		round_trip,
		every_cut_is_found_or_harmless,
		wrong_cookie,
		wrong_sizes,
		padding_between_options,
		after_the_end_option_nothing_counts,
		pieces_across_overloaded_fields,
		an_option_runs_past_its_field,
		long_options_are_split,
		what_does_not_fit_leaves_no_trace,
		NULL,
	};

	return unit_main("dhcp_wire", NULL, NULL, tests);
}
