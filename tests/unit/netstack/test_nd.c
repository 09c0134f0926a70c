/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery: who is answered, who is asked, what is learned, and what breaks RFC 4861. */
#include "ip6_test.h"
#include "unit.h"

#define NS        135
#define NA        136
#define ROUTER    0x80
#define SOLICITED 0x40
#define OVERRIDE  0x20

static const struct mac other_mac = {{0x52, 0x54, 0, 0, 0, 9}};

/* A solicitation or advertisement; `option` 0: none. Returns its size. */
static size_t nd_message(uint8_t *to, uint8_t type, uint8_t flags, const char *target,
			 uint8_t option, const struct mac *mac)
{
	struct addr addr = net_addr(target);

	memset(to, 0, 32);
	to[0] = type;
	to[4] = flags;
	memcpy(to + 8, &addr.v6, 16);
	if (!option)
		return 24;
	to[24] = option;
	to[25] = 1;
	memcpy(to + 26, mac->bytes, 6);
	return 32;
}

static void solicit(const char *src, const char *dst, const char *target, uint8_t option)
{
	uint8_t message[32];
	size_t size = nd_message(message, NS, 0, target, option, &net_guest_mac);

	inject_icmp6(src, dst, 255, message, size);
}

static void advertise(const char *src, const char *dst, uint8_t flags, const char *target,
		      const struct mac *mac)
{
	uint8_t message[32];
	size_t size = nd_message(message, NA, flags, target, mac ? 2 : 0, mac);

	inject_icmp6(src, dst, 255, message, size);
}

static void expect_advertisement(const char *target, const char *dst, uint8_t flags)
{
	struct addr addr = net_addr(target);
	struct sim_frame *frame = expect_icmp6(target, dst, NA, 0);

	ck_assert_uint_eq(frame->size, ICMP_AT + 32);
	ck_assert_uint_eq(frame->bytes[IP6_AT + 7], 255);
	ck_assert_uint_eq(frame->bytes[ICMP_AT + 4], flags);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 8, &addr.v6, 16);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 24, "\2\1", 2);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 26, net_gateway_mac.bytes, 6);
	sim_frame_free(frame);
	expect_nothing();
}

static bool knows(const char *address, const struct mac *mac)
{
	struct addr addr = net_addr(address);
	struct mac known;

	return stack_neighbour(w.net.stack, &addr, &known) && mac_equal(&known, mac);
}

/* ---- Answers ---- */

START_TEST(our_addresses_are_answered_for)
{
	static const struct {
		const char *target, *group;
		uint8_t flags;
	} ours[] = {
		{GATEWAY6, "ff02::1:ff00:1", ROUTER},
		{OUR_LOCAL, "ff02::1:ff00:1", ROUTER},
		{ALIAS6, "ff02::1:ff00:fe", 0},
	};

	solicit(GUEST6, ours[_i].group, ours[_i].target, 1);
	expect_advertisement(ours[_i].target, GUEST6, ours[_i].flags | SOLICITED | OVERRIDE);
	/* By unicast, as who only wants to know whether we are still there. */
	solicit(GUEST_LOCAL, ours[_i].target, ours[_i].target, 0);
	expect_advertisement(ours[_i].target, GUEST_LOCAL, ours[_i].flags | SOLICITED | OVERRIDE);
	/* And who wants to have it. */
	solicit("::", ours[_i].group, ours[_i].target, 0);
	expect_advertisement(ours[_i].target, "ff02::1", ours[_i].flags | OVERRIDE);
}
END_TEST

START_TEST(nobody_elses_are)
{
	static const char *const others[] = {"fd00:65::3", "fd00:65::ff00:1", "fe80::1", FAR6,
					     GUEST6};

	solicit(GUEST6, GATEWAY6, others[_i], 1);
	solicit(GUEST6, "ff02::1:ff00:1", others[_i], 1);
	expect_nothing();
}
END_TEST

START_TEST(asking_teaches)
{
	solicit("fd00:65::44", "ff02::1:ff00:1", GATEWAY6, 1);
	sim_link_drop_all(w.net.link);
	ck_assert(knows("fd00:65::44", &net_guest_mac));
}
END_TEST

START_TEST(our_addresses_cannot_be_claimed)
{
	static const char *const ours[] = {GATEWAY6, ALIAS6, OUR_LOCAL};
	struct addr addr = net_addr(ours[_i]);
	struct mac mac;

	advertise(ours[_i], "ff02::1", OVERRIDE, ours[_i], &other_mac);
	advertise(GUEST6, "ff02::1", OVERRIDE, ours[_i], &other_mac);
	solicit(ours[_i], "ff02::1:ff00:1", GATEWAY6, 1);
	expect_nothing();
	ck_assert_uint_eq(counters().rx_spoofed, 3);
	stack_learn(w.net.stack, &addr, &other_mac);
	ck_assert(!stack_neighbour(w.net.stack, &addr, &mac));
}
END_TEST

/* ---- What RFC 4861, 7.1 refuses ---- */

static void expect_invalid(unsigned count)
{
	expect_nothing();
	ck_assert_uint_eq(counters().rx_invalid, count);
	ck_assert(!knows("fd00:65::44", &net_guest_mac));
	ck_assert(!knows("fd00:65::44", &other_mac));
}

START_TEST(from_beyond_the_link)
{
	uint8_t message[32];
	size_t size = nd_message(message, NS, 0, GATEWAY6, 1, &net_guest_mac);

	inject_icmp6(GUEST6, GATEWAY6, 254, message, size);
	inject_icmp6(GUEST6, GATEWAY6, 64, message, size);
	nd_message(message, NA, OVERRIDE, "fd00:65::44", 2, &other_mac);
	inject_icmp6(GUEST6, "ff02::1", 1, message, size);
	message[0] = 133;
	inject_icmp6(GUEST6, "ff02::2", 0, message, 8);
	expect_invalid(4);
}
END_TEST

START_TEST(wrong_code_and_size)
{
	uint8_t message[32];
	size_t size = nd_message(message, NS, 0, GATEWAY6, 1, &net_guest_mac);

	message[1] = 1;
	inject_icmp6(GUEST6, GATEWAY6, 255, message, size);
	message[1] = 0;
	for (size_t cut = 8; cut < 24; cut++)
		inject_icmp6(GUEST6, GATEWAY6, 255, message, cut);
	expect_invalid(17);
	for (size_t cut = 0; cut < 8; cut++)
		inject_icmp6(GUEST6, GATEWAY6, 255, message, cut);
	expect_invalid(25);
}
END_TEST

START_TEST(options_that_lie)
{
	static const uint8_t options[][10] = {
		{1, 0, 0, 0, 0, 0, 0, 0}, /* no size */
		{1, 2, 0, 0, 0, 0, 0, 0}, /* more than there is */
		{1, 255},
		{14, 0},
		{1, 1, 1, 0, 0, 0, 0, 1},                   /* a group */
		{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, /* everybody */
		{1, 1, 0x52, 0x54, 0, 0, 0, 2, 1, 0},       /* another one without a size */
		{1, 1, 0x52, 0x54, 0, 0, 0, 2, 1},          /* half of another one */
	};
	static const uint8_t sizes[] = {8, 8, 8, 8, 8, 8, 10, 9};
	static const struct {
		uint8_t type;
		const char *dst;
	} messages[] = {{NS, GATEWAY6}, {NA, GATEWAY6}, {133, "ff02::2"}};

	for (unsigned i = 0; i < 3; i++) {
		uint8_t message[40];
		size_t size = messages[i].type == 133 ? 8 : 24;

		nd_message(message, messages[i].type, OVERRIDE, "fd00:65::44", 0, NULL);
		memcpy(message + size, options[_i], sizes[_i]);
		if (messages[i].type == NA)
			message[size] = message[size] == 1 ? 2 : message[size];
		inject_icmp6("fd00:65::55", messages[i].dst, 255, message, size + sizes[_i]);
	}
	expect_invalid(3);
}
END_TEST

START_TEST(unspecified_senders)
{
	uint8_t rs[16] = {133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x52};

	solicit("::", "ff02::1:ff00:1", GATEWAY6, 1); /* with an option */
	solicit("::", "ff02::1", GATEWAY6, 0);        /* not to the solicited node */
	advertise("::", "ff02::1", OVERRIDE, "fd00:65::44", &other_mac);
	inject_icmp6("::", "ff02::2", 255, rs, 16);
	expect_invalid(4);
	inject_icmp6("::", "ff02::2", 255, rs, 8);
	expect_invalid(4);
}
END_TEST

START_TEST(group_targets)
{
	solicit(GUEST6, GATEWAY6, "ff02::1:ff00:1", 1);
	advertise(GUEST6, GATEWAY6, OVERRIDE, "ff02::1", &other_mac);
	/* Solicited, and to everybody. */
	advertise(GUEST6, "ff02::1", SOLICITED, "fd00:65::44", &other_mac);
	expect_invalid(3);
}
END_TEST

START_TEST(never_in_fragments)
{
	static const uint8_t fragment[8] = {0};
	uint8_t message[32];
	size_t size = nd_message(message, NS, 0, GATEWAY6, 1, &other_mac);

	size = build_icmp6("fd00:65::44", GATEWAY6, 255, message, size);
	sim_link_inject(w.net.link, bytes, insert_headers(size, 44, fragment, 8, 0));
	expect_nothing();
	ck_assert(!knows("fd00:65::44", &other_mac));
}
END_TEST

/* ---- Questions ---- */

static int send_to(const char *address)
{
	struct endpoint src = {.addr = net_addr(FAR6), .port = 53};
	struct endpoint dst = {.addr = net_addr(address), .port = 1000};

	return stack_send_udp(w.net.stack, &src, &dst, NULL, 64, 0, "held", 4);
}

START_TEST(packet_is_held_until_the_guest_answers)
{
	static const struct {
		const char *guest, *group, *from;
	} cases[] = {{"fd00:65::1234:5678", "ff02::1:ff34:5678", GATEWAY6},
		     {"fe80::1234:5678", "ff02::1:ff34:5678", OUR_LOCAL}};
	struct addr target = net_addr(cases[_i].guest);
	struct sim_frame *frame;

	ck_assert_int_eq(send_to(cases[_i].guest), 0);
	frame = expect_icmp6(cases[_i].from, cases[_i].group, NS, 0);
	ck_assert_mem_eq(frame->bytes, "\x33\x33\xff\x34\x56\x78", 6);
	ck_assert_uint_eq(frame->bytes[IP6_AT + 7], 255);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 8, &target.v6, 16);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 24, "\1\1", 2);
	ck_assert_mem_eq(frame->bytes + ICMP_AT + 26, net_gateway_mac.bytes, 6);
	sim_frame_free(frame);
	/* Asked once a second. */
	send_to(cases[_i].guest);
	expect_nothing();
	advertise(cases[_i].guest, cases[_i].from, SOLICITED | OVERRIDE, cases[_i].guest,
		  &other_mac);
	frame = take();
	ck_assert_ptr_nonnull(frame);
	ck_assert_mem_eq(frame->bytes, other_mac.bytes, 6);
	ck_assert_uint_eq(frame->bytes[IP6_AT + 6], IPPROTO_UDP);
	ck_assert(sim_packet_csum_ok(frame->bytes, frame->size));
	sim_frame_free(frame);
	expect_nothing();
}
END_TEST

START_TEST(who_is_not_asked_for)
{
	send_to("2001:db8::99");
	expect_nothing();
	ck_assert_uint_eq(counters().tx_no_neighbour, 1);
}
END_TEST

START_TEST(override)
{
	advertise("fd00:65::44", GATEWAY6, SOLICITED, "fd00:65::44", &net_guest_mac);
	ck_assert(knows("fd00:65::44", &net_guest_mac));
	advertise("fe80::9", GATEWAY6, SOLICITED, "fd00:65::44", &other_mac);
	ck_assert(knows("fd00:65::44", &net_guest_mac));
	advertise("fe80::9", GATEWAY6, OVERRIDE, "fd00:65::44", &other_mac);
	ck_assert(knows("fd00:65::44", &other_mac));
	/* Without an address there is nothing to learn. */
	advertise("fe80::9", GATEWAY6, OVERRIDE, "fd00:65::44", NULL);
	ck_assert(knows("fd00:65::44", &other_mac));
	advertise("fe80::9", GATEWAY6, OVERRIDE, "2001:db8::44", &other_mac);
	ck_assert(!knows("2001:db8::44", &other_mac));
}
END_TEST

START_TEST(link_goes)
{
	solicit("fd00:65::44", GATEWAY6, GATEWAY6, 1);
	ck_assert(knows("fd00:65::44", &net_guest_mac));
	sim_link_hang_up(w.net.link, "test");
	ck_assert(!knows("fd00:65::44", &net_guest_mac));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nd");
	TCase *tcase = unit_case(suite, "nd", setup6, teardown);

	tcase_add_loop_test(tcase, our_addresses_are_answered_for, 0, 3);
	tcase_add_loop_test(tcase, nobody_elses_are, 0, 5);
	tcase_add_test(tcase, asking_teaches);
	tcase_add_loop_test(tcase, our_addresses_cannot_be_claimed, 0, 3);
	tcase_add_test(tcase, from_beyond_the_link);
	tcase_add_test(tcase, wrong_code_and_size);
	tcase_add_loop_test(tcase, options_that_lie, 0, 8);
	tcase_add_test(tcase, unspecified_senders);
	tcase_add_test(tcase, group_targets);
	tcase_add_test(tcase, never_in_fragments);
	tcase_add_loop_test(tcase, packet_is_held_until_the_guest_answers, 0, 2);
	tcase_add_test(tcase, who_is_not_asked_for);
	tcase_add_test(tcase, override);
	tcase_add_test(tcase, link_goes);

	return unit_run(suite);
}
