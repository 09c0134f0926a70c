/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in replies and where they go; host names; queries; leases put back after a restart.
 */
#include "dhcp/dhcp_server.h"

#include <errno.h>

#include "dhcp_test.h"
#include "unit.h"

static struct net net;
static struct draft d;

static struct dhcp_conf full_conf(void)
{
	static struct addr dns[2], ntp[1];
	static const uint8_t search[] = "\2vm\10internal\0\3lan";
	static struct dhcp_route routes[1];
	static const struct dhcp_extra extras[] = {
		{.code = 66, .data = "tftp", .size = 4},
		{.code = 252, .data = "pac", .size = 3, .always = true},
	};
	struct dhcp_conf conf = basic_conf();

	dns[0] = addr_from_v4(GATEWAY);
	dns[1] = addr_from_v4(0x01010101);
	ntp[0] = addr_from_v4(0x02020202);
	routes[0].to = (struct prefix){.addr = addr_from_v4(0x0a010000), .length = 16};
	routes[0].via = addr_from_v4(IP(5));
	conf.dns = dns;
	conf.dns_count = 2;
	conf.ntp = ntp;
	conf.ntp_count = 1;
	conf.domain = "vm.internal";
	conf.search = search;
	conf.search_size = sizeof(search);
	conf.routes = routes;
	conf.route_count = 1;
	conf.extras = extras;
	conf.extra_count = 2;
	return conf;
}

START_TEST(all_options)
{
	struct dhcp_conf conf = full_conf();

	net_open(&net, &conf);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	check_option(&net, DHCP_OPT_NETMASK, "\xff\xff\xff\0", 4);
	check_option(&net, DHCP_OPT_ROUTERS, "\xc0\xa8\x41\1", 4);
	check_option(&net, DHCP_OPT_DNS, "\xc0\xa8\x41\1\1\1\1\1", 8);
	check_option(&net, DHCP_OPT_DOMAIN, "vm.internal", 11);
	check_option(&net, DHCP_OPT_MTU, "\x05\xdc", 2);
	check_option(&net, DHCP_OPT_BROADCAST, "\xc0\xa8\x41\xff", 4);
	check_option(&net, DHCP_OPT_NTP, "\2\2\2\2", 4);
	check_option(&net, DHCP_OPT_SEARCH, "\2vm\10internal\0\3lan\0", 18);
	check_option(&net, DHCP_OPT_ROUTES, "\x10\x0a\1\xc0\xa8\x41\5\0\xc0\xa8\x41\1", 12);
	check_option(&net, 66, "tftp", 4);
	check_option(&net, 252, "pac", 3);
	ck_assert_uint_eq(u32_option(&net, DHCP_OPT_LEASE_TIME), 3600);
	ck_assert_uint_eq(u32_option(&net, DHCP_OPT_T1), 1800);
	ck_assert_uint_eq(u32_option(&net, DHCP_OPT_T2), 3150);
	net_close(&net);
}
END_TEST

START_TEST(search_domains_change)
{
	static const struct dhcp_extra fixed[] = {{.code = DHCP_OPT_SEARCH, .omit = true}};
	static const uint8_t many[DHCP_SEARCH_SIZE_MAX + 1];
	struct dhcp_conf conf = full_conf();

	net_open(&net, &conf);
	ck_assert_int_eq(dhcp_server_set_search(net.server, (const uint8_t *)"\3new", 5), 0);
	ck_assert_int_eq(dhcp_server_set_search(net.server, many, sizeof(many)), -EINVAL);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	check_option(&net, DHCP_OPT_SEARCH, "\3new", 5);
	ck_assert_int_eq(dhcp_server_set_search(net.server, NULL, 0), 0);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert(!has_option(&net, DHCP_OPT_SEARCH));
	net_close(&net);
	/* What the user said of the option counts. */
	conf.extras = fixed;
	conf.extra_count = 1;
	net_open(&net, &conf);
	ck_assert_int_eq(dhcp_server_set_search(net.server, (const uint8_t *)"\3new", 5), 0);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert(!has_option(&net, DHCP_OPT_SEARCH));
	net_close(&net);
}
END_TEST

/* The codes in the order in which they stand in the reply. */
static size_t codes_of_reply(uint8_t *codes)
{
	const uint8_t *p = net.reply.bytes + DHCP_HEADER_SIZE;
	size_t count = 0;

	while (*p != DHCP_OPT_END) {
		codes[count++] = p[0];
		p += 2 + p[1];
	}
	return count;
}

START_TEST(in_the_order_asked_for)
{
	struct dhcp_conf conf = full_conf();
	uint8_t codes[64];
	/* 3 twice, one that we haven't got, and ones that the server sets. */
	const uint8_t wanted[] = {119, 3, 99, 3, 15, 53, 59, 1, 82, 255, 0};
	const uint8_t want[] = {53, 54, 51, 119, 3, 15, 59, 1, 252, 58};

	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_PARAMETERS, wanted, sizeof(wanted));
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert_uint_eq(codes_of_reply(codes), sizeof(want));
	ck_assert_mem_eq(codes, want, sizeof(want));
	net_close(&net);
}
END_TEST

START_TEST(an_unusual_mtu_is_told_unasked)
{
	struct dhcp_conf conf = basic_conf();

	conf.mtu = 65520;
	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_PARAMETERS, "\3", 1);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	check_option(&net, DHCP_OPT_MTU, "\xff\xf0", 2);
	net_close(&net);
}
END_TEST

START_TEST(infinite_leases)
{
	struct dhcp_conf conf = basic_conf();
	struct dhcp_lease_info lease;

	conf.lease_seconds = DHCP_LEASE_INFINITE;
	net_open(&net, &conf);
	ck_assert_uint_eq(obtain(&net, 1), IP(2));
	ck_assert_uint_eq(u32_option(&net, DHCP_OPT_LEASE_TIME), UINT32_MAX);
	ck_assert(!has_option(&net, DHCP_OPT_T1));
	ck_assert_uint_eq(dhcp_server_expire(net.server, UINT64_MAX - 1), UINT64_MAX);
	ck_assert(leased(&net, IP(2), &lease));
	ck_assert_uint_eq(lease.expires_ms, UINT64_MAX);
	net_close(&net);
}
END_TEST

START_TEST(client_identifier_is_echoed)
{
	struct dhcp_conf conf = basic_conf();

	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_CLIENT_ID, "\xff\1\2\3\4", 5);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	check_option(&net, DHCP_OPT_CLIENT_ID, "\xff\1\2\3\4", 5);
	draft_open(&d, DHCP_REQUEST, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_CLIENT_ID, "\xff\1\2\3\4", 5);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, 0x0a000001);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_NAK);
	check_option(&net, DHCP_OPT_CLIENT_ID, "\xff\1\2\3\4", 5);
	ck_assert(has_option(&net, DHCP_OPT_MESSAGE));
	ck_assert(!has_option(&net, DHCP_OPT_LEASE_TIME));
	discover(&net, 2);
	ck_assert(!has_option(&net, DHCP_OPT_CLIENT_ID));
	net_close(&net);
}
END_TEST

START_TEST(an_endless_client_identifier)
{
	struct dhcp_conf conf = basic_conf();
	uint8_t id[256] = {1, 2};

	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_CLIENT_ID, id, 255);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	check_option(&net, DHCP_OPT_CLIENT_ID, id, 255);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_CLIENT_ID, id, 256);
	draft_close(&d);
	ck_assert_int_eq(dhcp_server_handle(net.server, d.bytes, d.size, 0, net.now_ms, &net.reply),
			 -EBADMSG);
	ck_assert_uint_eq(dhcp_server_counters(net.server)->malformed, 1);
	net_close(&net);
}
END_TEST

static void check_to(enum dhcp_destination destination, uint32_t address, uint16_t port)
{
	ck_assert_int_eq(net.reply.destination, destination);
	ck_assert_uint_eq(addr_v4(&net.reply.to.addr), address);
	ck_assert_uint_eq(net.reply.to.port, port);
}

START_TEST(destinations)
{
	struct dhcp_conf conf = basic_conf();
	struct mac mac = mac_of(1);

	net_open(&net, &conf);
	discover(&net, 1);
	check_to(DHCP_TO_CHADDR, IP(2), 68);
	ck_assert(mac_equal(&net.reply.chaddr, &mac));
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.flags = 0xffff;
	send_draft(&net, &d);
	check_to(DHCP_TO_BROADCAST, 0xffffffff, 68);
	ck_assert_uint_eq(net.answer.flags, DHCP_FLAG_BROADCAST);
	obtain(&net, 1);
	renew(&net, 1, IP(2));
	check_to(DHCP_TO_CIADDR, IP(2), 68);
	ck_assert_int_eq(renew(&net, 1, IP(3)), DHCP_NAK);
	check_to(DHCP_TO_BROADCAST, 0xffffffff, 68);
	ck_assert_uint_eq(net.answer.ciaddr, 0);
	/* A client can't have its reply sent elsewhere by saying that it lives there. */
	draft_open(&d, DHCP_REQUEST, 1);
	d.header.ciaddr = 0x08080808;
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, IP(2));
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	check_to(DHCP_TO_CHADDR, IP(2), 68);
	net_close(&net);
}
END_TEST

START_TEST(through_a_relay)
{
	struct dhcp_conf conf = basic_conf();
	uint8_t codes[64];

	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.giaddr = IP(200);
	dhcp_put_option(&d.w, 0, DHCP_OPT_RELAY, "\1\2ab", 4);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	check_to(DHCP_TO_RELAY, IP(200), 67);
	ck_assert_uint_eq(net.answer.giaddr, IP(200));
	check_option(&net, DHCP_OPT_RELAY, "\1\2ab", 4);
	size_t count = codes_of_reply(codes);

	ck_assert_uint_eq(codes[count - 1], DHCP_OPT_RELAY);
	draft_open(&d, DHCP_REQUEST, 1);
	d.header.giaddr = IP(200);
	draft_u32(&d, DHCP_OPT_REQUESTED, 0x0a000001);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_NAK);
	check_to(DHCP_TO_RELAY, IP(200), 67);
	ck_assert_uint_eq(net.answer.flags, DHCP_FLAG_BROADCAST);
	net_close(&net);
}
END_TEST

START_TEST(size_limits)
{
	static uint8_t big[DHCP_OPTION_SIZE_MAX];
	const struct dhcp_extra extras[] = {
		{.code = 200, .data = big, .size = 250, .always = true},
		{.code = 201, .data = big, .size = 800, .always = true},
	};
	struct dhcp_conf conf = basic_conf();

	conf.extras = extras;
	conf.extra_count = 2;
	net_open(&net, &conf);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert_uint_le(net.reply.size, 548);
	ck_assert(has_option(&net, 200));
	ck_assert(!has_option(&net, 201));
	ck_assert(has_option(&net, DHCP_OPT_LEASE_TIME));
	/* Ten bytes is no size; 576 is. */
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_SIZE_MAX, "\0\x0a", 2);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert(has_option(&net, 200));
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_SIZE_MAX, "\xff\xff", 2);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert_uint_le(net.reply.size, DHCP_REPLY_SIZE_MAX);
	check_option(&net, 201, big, 800);
	/* The relay's option has its place before what is optional. */
	draft_open(&d, DHCP_DISCOVER, 1);
	d.header.giaddr = IP(200);
	dhcp_put_option(&d.w, 0, DHCP_OPT_RELAY, big, 200);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	check_option(&net, DHCP_OPT_RELAY, big, 200);
	ck_assert(!has_option(&net, 200));
	net_close(&net);
}
END_TEST

START_TEST(replies_fit_a_frame)
{
	static uint8_t big[DHCP_OPTION_SIZE_MAX];
	const struct dhcp_extra extras[] = {
		{.code = 200, .data = big, .size = 700, .always = true},
		{.code = 201, .data = big, .size = 700, .always = true},
	};
	struct dhcp_conf conf = basic_conf();

	conf.extras = extras;
	conf.extra_count = 2;
	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_SIZE_MAX, "\xff\xff", 2);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert_uint_le(net.reply.size, DHCP_REPLY_SIZE_MAX);
	ck_assert(has_option(&net, 200));
	ck_assert(!has_option(&net, 201));
	net_close(&net);
	conf.mtu = 600;
	net_open(&net, &conf);
	draft_open(&d, DHCP_DISCOVER, 1);
	dhcp_put_option(&d.w, 0, DHCP_OPT_SIZE_MAX, "\xff\xff", 2);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	ck_assert_uint_le(net.reply.size, 600 - DHCP_IP_UDP_SIZE);
	ck_assert(!has_option(&net, 200));
	net_close(&net);
}
END_TEST

START_TEST(network_boot)
{
	static const char file[] = "boot/ipxe.efi";
	struct dhcp_conf conf = basic_conf();

	conf.boot_file = file;
	net_open(&net, &conf);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.siaddr, GATEWAY);
	ck_assert_mem_eq(net.reply.bytes + 108, file, sizeof(file));
	check_option(&net, DHCP_OPT_BOOT_SERVER, "192.168.65.1", 12);
	check_option(&net, DHCP_OPT_BOOT_FILE, file, strlen(file));
	ck_assert_int_eq(reboot(&net, 1, 0x0a000001), DHCP_NAK);
	ck_assert_uint_eq(net.answer.siaddr, 0);
	ck_assert_uint_eq(net.reply.bytes[108], 0);
	net_close(&net);
	conf.boot_server = addr_from_v4(0x0a000007);
	net_open(&net, &conf);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert_uint_eq(net.answer.siaddr, 0x0a000007);
	check_option(&net, DHCP_OPT_BOOT_SERVER, "10.0.0.7", 8);
	net_close(&net);
}
END_TEST

/* Option 121 says what option 3 says, since a client reads only one of them (RFC 3442). */
START_TEST(default_route_of_classless_routes)
{
	static const uint8_t other[] = {192, 168, 65, 9};
	const uint8_t route[] = {8, 10, 192, 168, 65, 5};
	const uint8_t with_other[] = {8, 10, 192, 168, 65, 5, 0, 192, 168, 65, 9};
	const uint8_t own_default[] = {0, 192, 168, 65, 5};
	struct dhcp_route routes[] = {{.to = {.addr = addr_from_v4(0x0a000000), .length = 8},
				       .via = addr_from_v4(IP(5))}};
	struct dhcp_extra extra = {.code = DHCP_OPT_ROUTERS, .data = other, .size = 4};
	struct dhcp_conf conf = basic_conf();

	conf.routes = routes;
	conf.route_count = 1;
	conf.extras = &extra;
	conf.extra_count = 1;
	net_open(&net, &conf);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	check_option(&net, DHCP_OPT_ROUTERS, other, 4);
	check_option(&net, DHCP_OPT_ROUTES, with_other, sizeof(with_other));
	net_close(&net);
	extra = (struct dhcp_extra){.code = DHCP_OPT_ROUTERS, .omit = true};
	net_open(&net, &conf);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	ck_assert(!has_option(&net, DHCP_OPT_ROUTERS));
	check_option(&net, DHCP_OPT_ROUTES, route, sizeof(route));
	net_close(&net);
	routes[0].to = (struct prefix){.addr = addr_from_v4(0), .length = 0};
	conf.extra_count = 0;
	net_open(&net, &conf);
	ck_assert_int_eq(discover(&net, 1), DHCP_OFFER);
	check_option(&net, DHCP_OPT_ROUTES, own_default, sizeof(own_default));
	net_close(&net);
}
END_TEST

/* From DISCOVER with a name to the ACK. */
static uint32_t obtain_as(uint32_t client, const char *name)
{
	draft_open(&d, DHCP_DISCOVER, client);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_OFFER);
	uint32_t address = net.answer.yiaddr;

	draft_open(&d, DHCP_REQUEST, client);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, address);
	draft_text(&d, DHCP_OPT_HOSTNAME, name);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	return address;
}

START_TEST(hostnames)
{
	struct dhcp_conf conf = basic_conf();
	struct dhcp_lease_info lease;

	net_open(&net, &conf);
	ck_assert_uint_eq(obtain_as(1, "Web.example.org"), IP(2));
	check_option(&net, DHCP_OPT_HOSTNAME, "web", 3);
	ck_assert_str_eq(net.event_hostname, "web");
	ck_assert(dhcp_server_by_hostname(net.server, "WEB", &lease));
	ck_assert_uint_eq(addr_v4(&lease.address), IP(2));
	ck_assert(!dhcp_server_by_hostname(net.server, "web.example", &lease));
	ck_assert_int_eq(renew(&net, 1, IP(2)), DHCP_ACK); /* without the name */
	ck_assert(dhcp_server_by_hostname(net.server, "web", &lease));
	obtain_as(1, "db");
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 2);
	ck_assert(!dhcp_server_by_hostname(net.server, "web", &lease));
	ck_assert(dhcp_server_by_hostname(net.server, "db", &lease));
	obtain_as(2, "bad name");
	ck_assert_str_eq(net.event_hostname, "");
	ck_assert(!has_option(&net, DHCP_OPT_HOSTNAME));
	net_close(&net);
}
END_TEST

START_TEST(a_name_is_one_guests_only)
{
	struct dhcp_conf conf = basic_conf();
	struct dhcp_lease_info lease;

	net_open(&net, &conf);
	obtain_as(1, "web");
	obtain_as(2, "web");
	ck_assert(dhcp_server_by_hostname(net.server, "web", &lease));
	ck_assert_uint_eq(addr_v4(&lease.address), IP(2));
	ck_assert(leased(&net, IP(3), &lease));
	ck_assert_str_eq(lease.hostname, "");
	release(&net, 1, IP(2));
	ck_assert(!dhcp_server_by_hostname(net.server, "web", &lease));
	obtain_as(2, "web");
	ck_assert(dhcp_server_by_hostname(net.server, "web", &lease));
	ck_assert_uint_eq(addr_v4(&lease.address), IP(3));
	net_close(&net);
}
END_TEST

START_TEST(fqdn)
{
	struct dhcp_conf conf = full_conf();
	struct dhcp_lease_info lease;

	net_open(&net, &conf);
	discover(&net, 1);
	draft_open(&d, DHCP_REQUEST, 1);
	draft_u32(&d, DHCP_OPT_SERVER_ID, GATEWAY);
	draft_u32(&d, DHCP_OPT_REQUESTED, IP(2));
	dhcp_put_option(&d.w, 0, DHCP_OPT_FQDN, "\x04\0\0\3web\3lan\0", 12);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	/* We make the record although it wanted to: S and O; wire form as it sent. */
	check_option(&net, DHCP_OPT_FQDN, "\x07\xff\xff\3web\2vm\10internal\0", 20);
	ck_assert(dhcp_server_by_hostname(net.server, "web", &lease));
	draft_open(&d, DHCP_REQUEST, 1);
	d.header.ciaddr = IP(2);
	dhcp_put_option(&d.w, 0, DHCP_OPT_FQDN, "\x08\0\0web", 6);
	ck_assert_int_eq(send_draft(&net, &d), DHCP_ACK);
	check_option(&net, DHCP_OPT_FQDN, "\x08\xff\xffweb.vm.internal", 18);
	net_close(&net);
}
END_TEST

static void count_lease(void *arg, const struct dhcp_lease_info *lease)
{
	unsigned *count = arg;

	ck_assert_uint_eq(addr_v4(&lease->address), IP(3 - *count));
	++*count;
}

START_TEST(queries)
{
	struct dhcp_conf conf = basic_conf();
	struct dhcp_lease_info lease;
	struct mac mac = mac_of(1);
	unsigned count = 0;

	net_open(&net, &conf);
	obtain(&net, 1);
	obtain(&net, 2);
	discover(&net, 3); /* an offer isn't a lease */
	net.now_ms += 1000;
	renew(&net, 1, IP(2));
	dhcp_server_for_each(net.server, count_lease, &count);
	ck_assert_uint_eq(count, 2);
	ck_assert(leased(&net, IP(2), &lease));
	ck_assert(mac_equal(&lease.mac, &mac));
	ck_assert_uint_eq(lease.client_id_size, 7);
	ck_assert(!lease.reserved);
	ck_assert(!leased(&net, IP(4), &lease));
	ck_assert(!leased(&net, IP(99), &lease));
	net_close(&net);
}
END_TEST

START_TEST(restoring)
{
	struct dhcp_conf conf = basic_conf();
	struct dhcp_lease_info lease = {
		.address = addr_from_v4(IP(40)),
		.mac = mac_of(1),
		.client_id = (const uint8_t *)"\1\x52\x54\0\0\0\1",
		.client_id_size = 7,
		.hostname = "web",
	};
	struct dhcp_lease_info got;

	net_open(&net, &conf);
	lease.expires_ms = net.now_ms + 5000;
	ck_assert_int_eq(dhcp_server_restore(net.server, &lease, net.now_ms), 0);
	ck_assert_uint_eq(net.events[DHCP_LEASE_GRANTED], 1);
	ck_assert(dhcp_server_by_hostname(net.server, "web", &got));
	ck_assert_uint_eq(addr_v4(&got.address), IP(40));
	ck_assert_uint_eq(dhcp_server_expire(net.server, net.now_ms), net.now_ms + 5000);
	/* Twice the same client, twice the same address, and an address that can't be. */
	lease.address = addr_from_v4(IP(41));
	ck_assert_int_eq(dhcp_server_restore(net.server, &lease, net.now_ms), -EADDRINUSE);
	lease.address = addr_from_v4(IP(40));
	lease.mac = mac_of(2);
	ck_assert_int_eq(dhcp_server_restore(net.server, &lease, net.now_ms), -EADDRINUSE);
	lease.address = addr_from_v4(GATEWAY);
	ck_assert_int_eq(dhcp_server_restore(net.server, &lease, net.now_ms), -EINVAL);
	/* One that ran out: its client gets the address again, and nobody has it. */
	lease.address = addr_from_v4(IP(50));
	lease.mac = mac_of(3);
	lease.client_id = (const uint8_t *)"\1\x52\x54\0\0\0\3";
	lease.expires_ms = 1;
	ck_assert_int_eq(dhcp_server_restore(net.server, &lease, net.now_ms), 0);
	ck_assert(!leased(&net, IP(50), &got));
	ck_assert_uint_eq(obtain(&net, 7), IP(2));
	ck_assert_uint_eq(obtain(&net, 3), IP(50));
	ck_assert_uint_eq(obtain(&net, 1), IP(40));
	net_close(&net);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		all_options,
		search_domains_change,
		in_the_order_asked_for,
		an_unusual_mtu_is_told_unasked,
		infinite_leases,
		client_identifier_is_echoed,
		an_endless_client_identifier,
		destinations,
		through_a_relay,
		size_limits,
		replies_fit_a_frame,
		network_boot,
		default_route_of_classless_routes,
		hostnames,
		a_name_is_one_guests_only,
		fqdn,
		queries,
		restoring,
		NULL,
	};

	return unit_main("dhcp_server", NULL, NULL, tests);
}
