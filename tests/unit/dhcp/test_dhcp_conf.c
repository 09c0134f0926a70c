/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations that can't work are refused, with a message that says why. */
#include "dhcp/dhcp_conf.h"

#include <errno.h>

#include "dhcp_test.h"
#include "unit.h"

static void check_refused(const struct dhcp_conf *conf, const char *words)
{
	char error[256] = "";
	struct dhcp_server *server = NULL;

	ck_assert_int_eq(dhcp_server_new(conf, error, sizeof(error), &server), -EINVAL);
	ck_assert_ptr_null(server);
	ck_assert_msg(strstr(error, words), "\"%s\" doesn't say \"%s\"", error, words);
}

START_TEST(subnets)
{
	struct dhcp_conf conf = basic_conf();

	conf.subnet.length = 31;
	check_refused(&conf, "/8 to /30");
	conf.subnet.length = 7;
	check_refused(&conf, "/8 to /30");
	conf = basic_conf();
	conf.subnet.addr = addr_from_v4(IP(8));
	check_refused(&conf, "bits set");
	conf = basic_conf();
	conf.gateway = addr_from_v4(IP(0));
	check_refused(&conf, "gateway 192.168.65.0");
	conf.gateway = (struct addr){0};
	check_refused(&conf, "gateway no address");
	conf = basic_conf();
	conf.host_alias = addr_from_v4(0x0a000001);
	check_refused(&conf, "host alias 10.0.0.1");
	conf.host_alias = conf.gateway;
	check_refused(&conf, "must differ");
}
END_TEST

START_TEST(pools)
{
	struct dhcp_conf conf = basic_conf();

	conf.pool_first = addr_from_v4(IP(20));
	conf.pool_last = addr_from_v4(IP(10));
	check_refused(&conf, "192.168.65.20 to 192.168.65.10 is empty");
	conf.pool_last = addr_from_v4(IP(255));
	check_refused(&conf, "isn't within");
	conf = basic_conf();
	conf.lease_seconds = 3;
	check_refused(&conf, "at least 4 s");
	conf = basic_conf();
	conf.mtu = 575;
	check_refused(&conf, "MTU 575");
}
END_TEST

START_TEST(names_and_options)
{
	struct dhcp_conf conf = basic_conf();
	static const uint8_t search[DHCP_SEARCH_SIZE_MAX + 1];
	struct addr dns = {.family = AF_INET6};
	struct dhcp_extra extra = {.code = DHCP_OPT_LEASE_TIME, .data = "", .size = 0};
	struct dhcp_route route = {.to = conf.subnet, .via = addr_from_v4(0x0a000001)};

	conf.search = search;
	conf.search_size = sizeof(search);
	check_refused(&conf, "search domains");
	conf = basic_conf();
	conf.domain = "-";
	check_refused(&conf, "\"-\"");
	conf = basic_conf();
	conf.dns = &dns;
	conf.dns_count = 1;
	check_refused(&conf, "IPv4");
	conf.dns_count = DHCP_ADDRESSES_MAX + 1;
	check_refused(&conf, "at most 16");
	conf = basic_conf();
	conf.extras = &extra;
	conf.extra_count = 1;
	check_refused(&conf, "option 51");
	extra = (struct dhcp_extra){.code = 200, .data = "", .size = DHCP_OPTION_SIZE_MAX + 1};
	check_refused(&conf, "option 200");
	conf = basic_conf();
	conf.routes = &route;
	conf.route_count = 1;
	check_refused(&conf, "10.0.0.1");
}
END_TEST

START_TEST(static_leases)
{
	struct dhcp_conf conf = basic_conf();
	struct dhcp_reservation leases[2] = {
		{.by_mac = true, .mac = mac_of(1), .address = addr_from_v4(IP(9))},
		{.by_mac = true, .mac = mac_of(2), .address = addr_from_v4(IP(9))},
	};

	conf.reservations = leases;
	conf.reservation_count = 2;
	check_refused(&conf, "static DHCP lease 2 (192.168.65.9)");
	leases[1].address = conf.gateway;
	check_refused(&conf, "static DHCP lease 2 (192.168.65.1)");
}
END_TEST

START_TEST(the_smallest)
{
	struct dhcp_conf conf = basic_conf();
	struct net net;

	conf.subnet.length = 30;
	conf.host_alias = (struct addr){0};
	net_open(&net, &conf);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(obtain(&net, 2), 0);
	net_close(&net);
	dhcp_server_free(NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {subnets,       pools,        names_and_options,
				      static_leases, the_smallest, NULL};

	return unit_main("dhcp_conf", NULL, NULL, tests);
}
