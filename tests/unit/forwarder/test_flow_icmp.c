/* SPDX-License-Identifier: Apache-2.0 */
/* Echo requests of guests, answered by the kernel on the host's loopback. */
#include "forwarder/flow_icmp.h"

#include "base/csum.h"
#include "flow_test.h"
#include "netstack/away.h"
#include "unit.h"

static const int families[] = {4, 6};

static bool can_ping(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

	if (fd < 0)
		fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* The guest pings the host alias. Returns the packet from its IP header on. */
static const uint8_t *ping(struct sim_link *link, int family, uint16_t id, uint16_t sequence,
			   const char *text)
{
	static uint8_t echo[1500];
	struct sim_packet packet = guest_packet(family, 0, 0, "");
	size_t size = 8 + strlen(text);
	uint32_t sum = 0;
	uint16_t csum;

	memset(echo, 0, 8);
	echo[0] = family == 6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO;
	echo[4] = (uint8_t)(id >> 8);
	echo[5] = (uint8_t)id;
	echo[6] = (uint8_t)(sequence >> 8);
	echo[7] = (uint8_t)sequence;
	memcpy(echo + 8, text, strlen(text));
	packet.protocol = family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	if (family == 6)
		sum = csum_add_pseudo(0, &packet.src, &packet.dst, IPPROTO_ICMPV6, (uint32_t)size);
	csum = csum_fold(csum_add(sum, echo, size));
	memcpy(echo + 2, &csum, sizeof(csum));
	packet.payload = echo;
	packet.payload_size = size;
	packet.tos = 0x28;
	return send_packet(link, &packet, NULL);
}

static void expect_reply(int family, uint16_t id, uint16_t sequence, const char *text)
{
	struct got got;

	NEXT_GOT(got);
	ck_assert(is_addr(&got.src, alias_text[family == 6]));
	ck_assert(is_addr(&got.dst, guest_text[family == 6]));
	ck_assert_uint_eq(got.transport[0], family == 6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY);
	ck_assert_uint_eq(be16(got.transport + 4), id);
	ck_assert_uint_eq(be16(got.transport + 6), sequence);
	ck_assert_uint_eq(got.size, 8 + strlen(text));
	ck_assert_mem_eq(got.transport + 8, text, strlen(text));
	ck_assert_uint_ne(got.ttl, 0);
	if (family == 4)
		ck_assert_uint_eq(got.tos, 0x28); /* an echo comes back as it went (RFC 1122) */
}

static struct forwarder_counters counters(void)
{
	return forwarder_counters(forwarder);
}

START_TEST(replies_have_the_guests_id)
{
	int family = families[_i];

	ping(guest_link, family, 0x1234, 1, "first");
	expect_reply(family, 0x1234, 1, "first");
	ping(guest_link, family, 0x1234, 2, "second");
	expect_reply(family, 0x1234, 2, "second");
	ping(guest_link, family, 0x4321, 1, "");
	expect_reply(family, 0x4321, 1, "");
	ck_assert_uint_eq(counters().icmp_flows, 2);
	ck_assert_uint_eq(counters().icmp_flows_total, 2);
	loop_advance(loop, FLOW_ICMP_IDLE_MS);
	ck_assert_uint_eq(counters().icmp_flows, 0);
}
END_TEST

START_TEST(flows_go_with_the_link)
{
	ping(guest_link, 4, 1, 1, "x");
	expect_reply(4, 1, 1, "x");
	sim_link_hang_up(guest_link, "test");
	loop_advance(loop, AWAY_MS - 1);
	ck_assert_uint_eq(counters().icmp_flows, 1); /* it may come back */
	loop_advance(loop, 1);
	ck_assert_uint_eq(counters().icmp_flows, 0);
}
END_TEST

START_TEST(ids_are_bounded)
{
	for (uint16_t id = 0; id < FLOW_ICMP_GUEST_MAX + 50; id++)
		ping(guest_link, 4, id, 1, "x");
	ck_assert_uint_eq(counters().icmp_flows, FLOW_ICMP_GUEST_MAX);
	ck_assert_uint_eq(counters().icmp_dropped, 0);
}
END_TEST

/* A socket for each request costs more than a request. */
START_TEST(rate_is_bounded)
{
	unsigned most = FLOW_ICMP_RATE / FLOW_ICMP_FLOW_COST;

	for (unsigned id = 0; id < most + 10; id++)
		ping(guest_link, 4, (uint16_t)id, 1, "x");
	ck_assert_uint_eq(counters().icmp_dropped, 10);
	ck_assert_uint_eq(counters().icmp_flows_total, most);
	loop_advance(loop, 100);
	for (unsigned i = 0; i < FLOW_ICMP_RATE / 10 + 10; i++)
		ping(guest_link, 4, (uint16_t)(most - 1), 2, "x");
	ck_assert_uint_eq(counters().icmp_dropped, 20);
	loop_advance(loop, 5000);
	ping(guest_link, 4, 0xffff, 1, "x");
	ck_assert_uint_eq(counters().icmp_dropped, 20);
}
END_TEST

START_TEST(no_flow_for_nobody)
{
	struct sim_packet packet = guest_packet(4, 0, 0, "");
	static const uint8_t echo[] = {ICMP_ECHO, 0, 0xf7, 0xff, 0, 0, 0, 0};

	packet.protocol = IPPROTO_ICMP;
	packet.payload = echo;
	packet.payload_size = sizeof(echo);
	packet.dst = address("127.0.0.1");
	send_packet(guest_link, &packet, NULL);
	packet.dst = address("239.1.1.1");
	send_packet(guest_link, &packet, NULL);
	turn();
	ck_assert_uint_eq(counters().icmp_flows_total, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow_icmp");
	TCase *tcase = unit_case(suite, "flow_icmp", setup_both, teardown);

	tcase_add_test(tcase, no_flow_for_nobody);
	if (can_ping()) { /* the host may forbid it; tests/e2e looks at every case */
		tcase_add_loop_test(tcase, replies_have_the_guests_id, 0, 2);
		tcase_add_test(tcase, flows_go_with_the_link);
		tcase_add_test(tcase, ids_are_bounded);
		tcase_add_test(tcase, rate_is_bounded);
	}
	return unit_run(suite);
}
