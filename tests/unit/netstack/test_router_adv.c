/* SPDX-License-Identifier: Apache-2.0 */
/* When router advertisements are sent, to whom, and when none are. */
#include <errno.h>

#include "netstack/ra.h"
#include "netstack/router_adv.h"
#include "netstack/stack_private.h"
#include "stack_test.h"
#include "unit.h"

#define ETH_SIZE 14
#define IP6_SIZE 40

static const struct mac all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};
static struct net net;

static void on_datagram(void *arg, const struct stack_datagram *datagram)
{
	(void)arg;
	(void)datagram;
}

static const struct stack_handler handler = {.datagram = on_datagram};

static struct stack_conf conf6(void)
{
	struct stack_conf conf = net_conf();

	ck_assert_int_eq(prefix_parse("fd00:1:2:3::/64", &conf.prefix6), 0);
	conf.gateway6 = net_addr("fd00:1:2:3::1");
	conf.alias6 = net_addr("fd00:1:2:3::fe");
	return conf;
}

static const struct link_caps caps = {.frame_max = 1514};
static const struct router_adv_conf plain = {.autonomous = true, .managed = true, .other = true};

static void setup(void)
{
	struct stack_conf conf = conf6();

	net_start(&net, &conf, &handler, NULL, &caps);
	ck_assert_int_eq(router_adv_start(net.stack, &plain), 0);
}

static void teardown(void)
{
	net_stop(&net);
}

/* Takes an advertisement to that MAC off the link; its router lifetime. */
static unsigned take_advertisement(struct sim_link *link, const struct mac *to)
{
	struct sim_frame *frame = sim_link_take(link);
	const uint8_t *ip, *ra;
	unsigned lifetime;
	uint32_t sum;

	ck_assert_ptr_nonnull(frame);
	ip = frame->bytes + ETH_SIZE;
	ra = ip + IP6_SIZE;
	ck_assert_mem_eq(frame->bytes, to->bytes, MAC_SIZE);
	ck_assert_mem_eq(frame->bytes + MAC_SIZE, net_gateway_mac.bytes, MAC_SIZE);
	ck_assert_mem_eq(frame->bytes + 12, "\x86\xdd\x60\0\0\0", 6);
	ck_assert_uint_eq(ip[6], IPPROTO_ICMPV6);
	ck_assert_uint_eq(ip[7], 255);
	/* from our link-local address */
	ck_assert_mem_eq(ip + 8, "\xfe\x80\0\0\0\0\0\0\x50\x55\0\xff\xfe\0\0\1", 16);
	ck_assert_uint_eq(ra[0], 134);
	sum = sim_sum(0, ip + 8, 32);
	sum = sim_sum(sum, (uint8_t[]){0, 0, 0, (uint8_t)(frame->size - 54), 0, 0, 0, 58}, 8);
	ck_assert_uint_eq(sim_sum(sum, ra, frame->size - 54), 0xffff);
	lifetime = (unsigned)(ra[6] << 8 | ra[7]);
	sim_frame_free(frame);
	return lifetime;
}

static void expect_to_all(void)
{
	ck_assert_uint_eq(take_advertisement(net.link, &all_nodes_mac), 1800);
	ck_assert_uint_eq(sim_link_pending(net.link), 0);
}

static void expect_silence(uint64_t ms)
{
	net_advance(&net, ms);
	ck_assert_uint_eq(sim_link_pending(net.link), 0);
}

static void solicit(const char *from)
{
	struct addr src = net_addr(from);

	router_adv_solicited(net.stack->router_adv, &src, &net_guest_mac);
	net_advance(&net, 0);
}

/* Lets the first ones go by. */
static void settle(void)
{
	net_advance(&net, 0);
	expect_to_all();
	for (int i = 1; i < ROUTER_ADV_INITIAL; i++) {
		expect_silence(ROUTER_ADV_INITIAL_MS - 1);
		net_advance(&net, 1);
		expect_to_all();
	}
}

/* RFC 4861, 6.2.4. */
START_TEST(a_few_at_first_then_now_and_then)
{
	unsigned waited_s = 0, shortest_s = 1000, longest_s = 0, count = 0;

	settle();
	for (unsigned second = 0; second < 20000; second++) {
		net_advance(&net, 1000);
		waited_s++;
		if (sim_link_pending(net.link) == 0)
			continue;
		expect_to_all();
		shortest_s = waited_s < shortest_s ? waited_s : shortest_s;
		longest_s = waited_s > longest_s ? waited_s : longest_s;
		waited_s = 0;
		count++;
	}
	ck_assert_uint_ge(count, 20000 / 600);
	ck_assert_uint_ge(shortest_s, ROUTER_ADV_INTERVAL_MIN_MS / 1000 - 1);
	ck_assert_uint_le(longest_s, ROUTER_ADV_INTERVAL_MAX_MS / 1000 + 1);
	ck_assert_uint_gt(longest_s, shortest_s); /* random, that is */
}
END_TEST

START_TEST(a_solicitation_is_answered_to_who_asks)
{
	settle();
	solicit("fe80::5054:ff:fe00:2");
	ck_assert_uint_eq(take_advertisement(net.link, &net_guest_mac), 1800);
	expect_silence(ROUTER_ADV_INTERVAL_MIN_MS - 1);
}
END_TEST

/* Who has no address yet can't be answered alone. */
START_TEST(a_solicitation_from_nobody_is_answered_to_all)
{
	settle();
	expect_silence(60000);
	solicit("::");
	expect_to_all();
	/* RFC 4861, 6.2.6: at most one to all in three seconds. */
	for (int i = 0; i < 100; i++)
		solicit("::");
	expect_silence(ROUTER_ADV_SPACING_MS - 1);
	net_advance(&net, 1);
	expect_to_all();
	expect_silence(ROUTER_ADV_INTERVAL_MIN_MS - 1);
}
END_TEST

START_TEST(a_flood_of_solicitations_is_answered_to_all)
{
	settle();
	expect_silence(60000);
	for (int i = 0; i < 1000; i++)
		solicit("fe80::2");
	for (int i = 0; i < ROUTER_ADV_UNICAST_MAX; i++)
		ck_assert_uint_eq(take_advertisement(net.link, &net_guest_mac), 1800);
	expect_to_all();
	net_advance(&net, ROUTER_ADV_SPACING_MS);
	expect_to_all();
	solicit("fe80::2");
	ck_assert_uint_eq(take_advertisement(net.link, &net_guest_mac), 1800);
}
END_TEST

START_TEST(a_solicitation_brings_the_next_one_forward_only)
{
	net_advance(&net, 0);
	expect_to_all();
	net_advance(&net, ROUTER_ADV_INITIAL_MS - 1000);
	solicit("::");
	expect_to_all(); /* in place of the second of the first few */
	expect_silence(ROUTER_ADV_INITIAL_MS - 1);
	net_advance(&net, 1);
	expect_to_all();
}
END_TEST

START_TEST(nobody_there_nothing_sent)
{
	struct sim_link *late;

	settle();
	sim_link_hang_up(net.link, "test");
	net_run(&net);
	net_advance(&net, 10 * ROUTER_ADV_INTERVAL_MAX_MS);
	sim_link_free(net.link);
	late = net_attach(&net, &caps);
	net.link = late;
	settle();
}
END_TEST

START_TEST(a_second_guest_hears_of_us_too)
{
	struct sim_link *second;

	settle();
	expect_silence(1000);
	second = net_attach(&net, &caps);
	net_advance(&net, 0);
	expect_silence(0);
	/* Not before three seconds after the last one. */
	net_advance(&net, ROUTER_ADV_SPACING_MS - 1000);
	ck_assert_uint_eq(take_advertisement(second, &all_nodes_mac), 1800);
	expect_to_all();
	sim_link_hang_up(net.link, "test");
	net_run(&net);
	net_advance(&net, ROUTER_ADV_INTERVAL_MAX_MS);
	ck_assert_uint_gt(sim_link_drop_all(second), 0);
	sim_link_hang_up(second, "test");
	net_run(&net);
	sim_link_free(second);
}
END_TEST

/* RFC 4861, 6.2.5. */
START_TEST(the_last_one_takes_the_route_away)
{
	settle();
	stack_free(net.stack);
	net.stack = NULL;
	ck_assert_uint_eq(take_advertisement(net.link, &all_nodes_mac), 0);
	ck_assert_uint_eq(sim_link_pending(net.link), 0);
}
END_TEST

static int start_with(const struct stack_conf *conf, const struct router_adv_conf *adv)
{
	struct net other = {0};
	int r;

	net_start(&other, conf, &handler, NULL, &caps);
	r = router_adv_start(other.stack, adv);
	net_stop(&other);
	return r;
}

START_TEST(configuration_is_checked)
{
	static const uint8_t search[RA_SEARCH_SIZE_MAX + 1];
	struct stack_conf conf = conf6();
	struct router_adv_conf adv = plain;

	ck_assert_int_eq(start_with(&conf, &adv), 0);
	adv.search = search;
	adv.search_size = RA_SEARCH_SIZE_MAX;
	ck_assert_int_eq(start_with(&conf, &adv), 0);
	adv.search_size++;
	ck_assert_int_eq(start_with(&conf, &adv), -EINVAL);
	conf.prefix6 = (struct prefix){0};
	ck_assert_int_eq(start_with(&conf, &plain), -EINVAL);
}
END_TEST

/* Whether the next advertisement on the link to all has these bytes in it. */
static bool next_says(const char *bytes, size_t size)
{
	struct sim_frame *frame = sim_link_take(net.link);
	bool found;

	ck_assert_ptr_nonnull(frame);
	found = memmem(frame->bytes, frame->size, bytes, size) != NULL;
	sim_frame_free(frame);
	return found;
}

START_TEST(other_domains_to_search_are_told_at_once)
{
	static const uint8_t many[RA_SEARCH_SIZE_MAX + 1];

	settle();
	expect_silence(ROUTER_ADV_SPACING_MS);
	ck_assert_int_eq(router_adv_set_search(net.stack, (const uint8_t *)"\3new", 5), 0);
	net_advance(&net, 0);
	ck_assert(next_says("\3new", 5));
	/* Not all the time. */
	ck_assert_int_eq(router_adv_set_search(net.stack, (const uint8_t *)"\5other", 7), 0);
	expect_silence(ROUTER_ADV_SPACING_MS - 1);
	ck_assert_int_eq(router_adv_set_search(net.stack, (const uint8_t *)"\4last", 6), 0);
	net_advance(&net, 1);
	ck_assert(next_says("\4last", 6));
	ck_assert_int_eq(router_adv_set_search(net.stack, NULL, 0), 0);
	net_advance(&net, ROUTER_ADV_SPACING_MS);
	ck_assert(!next_says("\4last", 6));
	ck_assert_int_eq(router_adv_set_search(net.stack, many, sizeof(many)), -EINVAL);
	expect_silence(ROUTER_ADV_SPACING_MS);
	router_adv_stop(net.stack);
	ck_assert_int_eq(router_adv_set_search(net.stack, NULL, 0), 0);
}
END_TEST

START_TEST(one_router_in_a_stack)
{
	ck_assert_int_eq(router_adv_start(net.stack, &plain), -EEXIST);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_few_at_first_then_now_and_then,
		a_solicitation_is_answered_to_who_asks,
		a_solicitation_from_nobody_is_answered_to_all,
		a_flood_of_solicitations_is_answered_to_all,
		a_solicitation_brings_the_next_one_forward_only,
		nobody_there_nothing_sent,
		a_second_guest_hears_of_us_too,
		the_last_one_takes_the_route_away,
		other_domains_to_search_are_told_at_once,
		one_router_in_a_stack,
		NULL,
	};
	Suite *suite = suite_create("router_adv");
	TCase *tcase = unit_case(suite, "router_adv", setup, teardown);
	TCase *bare = unit_case(suite, "configuration", NULL, NULL);

	unit_add(tcase, tests);
	tcase_add_test(bare, configuration_is_checked);
	return unit_run(suite);
}
