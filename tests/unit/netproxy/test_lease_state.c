/* SPDX-License-Identifier: Apache-2.0 */
/* Leases survive a restart as JSON, whatever happened to the clocks and to the configuration. */
#include "netproxy/lease_state.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "unit.h"

#define LEASE_SECONDS 3600
#define WALL_S        1790000000
#define NOW_MS        5000000

static struct dhcp_server *server;
static char error[256];

static struct addr ip(unsigned last)
{
	return addr_from_v4(0xc0a84100u + last);
}

static struct dhcp_server *open_server(uint32_t lease_seconds, unsigned length)
{
	const struct dhcp_conf conf = {
		.subnet = {.addr = addr_from_v4(0xc0a84100u), .length = (uint8_t)length},
		.gateway = ip(1),
		.lease_seconds = lease_seconds,
	};
	struct dhcp_server *opened;

	ck_assert_int_eq(dhcp_server_new(&conf, error, sizeof(error), &opened), 0);
	return opened;
}

static void setup(void)
{
	log_set_file("/dev/null");
	server = open_server(LEASE_SECONDS, 24);
}

static void teardown(void)
{
	dhcp_server_free(server);
}

/* A lease of client `n` on address `n`, until then. */
static void lease(unsigned n, const char *hostname, uint64_t expires_ms)
{
	uint8_t id[] = {1, 0x52, 0x54, 0, 0, 0, (uint8_t)n};
	struct dhcp_lease_info info = {
		.address = ip(n),
		.mac = {{0x52, 0x54, 0, 0, 0, (uint8_t)n}},
		.client_id = id,
		.client_id_size = sizeof(id),
		.hostname = hostname,
		.expires_ms = expires_ms,
	};

	ck_assert_int_eq(dhcp_server_restore(server, &info, NOW_MS), 0);
}

/* Ends the server, and starts another one that reads what the first one saved. */
static int restart(uint32_t lease_seconds, unsigned length, const struct lease_clock *later)
{
	const struct lease_clock clock = {.now_ms = NOW_MS, .wall_s = WALL_S};
	struct json_object *section = lease_state_save(server, LEASE_SECONDS, &clock), *read;
	const char *text = json_object_to_json_string(section);
	int r;

	ck_assert_int_eq(json_parse(text, strlen(text), &read, error, sizeof(error)), 0);
	dhcp_server_free(server);
	server = open_server(lease_seconds, length);
	r = lease_state_load(server, lease_seconds, later, read, error, sizeof(error));
	json_object_put(section);
	json_object_put(read);
	return r;
}

static bool is_leased(unsigned n, struct dhcp_lease_info *ret)
{
	struct addr address = ip(n);

	return dhcp_server_by_address(server, &address, ret);
}

static void count(void *arg, const struct dhcp_lease_info *info)
{
	(void)info;
	++*(unsigned *)arg;
}

static unsigned ended_count(void)
{
	unsigned n = 0;

	dhcp_server_for_each_ended(server, count, &n);
	return n;
}

/* A minute later, in a process whose own clock began anew. */
START_TEST(survives)
{
	const struct lease_clock later = {.now_ms = 100, .wall_s = WALL_S + 60};
	struct dhcp_lease_info got;

	lease(2, "web", NOW_MS + 600000);
	lease(3, "", UINT64_MAX);
	lease(4, "old", NOW_MS + 59000);
	lease(5, "older", NOW_MS); /* ended already */
	ck_assert_int_eq(restart(LEASE_SECONDS, 24, &later), 0);
	ck_assert(is_leased(2, &got));
	ck_assert_str_eq(got.hostname, "web");
	ck_assert_uint_eq(got.mac.bytes[5], 2);
	ck_assert_uint_eq(got.client_id_size, 7);
	ck_assert_uint_eq(got.client_id[6], 2);
	ck_assert_uint_eq(got.expires_ms, 100 + 540000);
	ck_assert(is_leased(3, &got));
	ck_assert_uint_eq(got.expires_ms, UINT64_MAX);
	ck_assert(!is_leased(4, &got));
	ck_assert(!is_leased(5, &got));
	ck_assert_uint_eq(ended_count(), 2);
}
END_TEST

/* A wall clock that was set back doesn't make leases last for years. */
START_TEST(clock_went_back)
{
	const struct lease_clock later = {.now_ms = 100, .wall_s = 1000};
	struct dhcp_lease_info got;

	lease(2, "", NOW_MS + 600000);
	ck_assert_int_eq(restart(60, 24, &later), 0);
	ck_assert(is_leased(2, &got));
	ck_assert_uint_eq(got.expires_ms, 100 + LEASE_SECONDS * 1000);
}
END_TEST

START_TEST(another_network)
{
	const struct lease_clock later = {.now_ms = 100, .wall_s = WALL_S};
	struct dhcp_lease_info got;

	lease(2, "", NOW_MS + 600000);
	lease(200, "", NOW_MS + 600000);
	ck_assert_int_eq(restart(LEASE_SECONDS, 28, &later), 0);
	ck_assert(is_leased(2, &got));
	ck_assert(!is_leased(200, &got));
}
END_TEST

static const struct {
	const char *text;
	bool good;
} sections[] = {
	{"{}", true},
	{"{\"leases\": []}", true},
	{"{\"lease-time\": 3600, \"leases\": [{\"address\": \"192.168.65.9\", \"mac\": "
	 "\"52:54:00:00:00:09\", \"client-id\": \"01aB\", \"expires\": 1790000100}]}",
	 true},
	{"[]", false},
	{"{\"leases\": {}}", false},
	{"{\"lease-time\": -1}", false},
	{"{\"lease-time\": 4294967296}", false},
	{"{\"leases\": [3]}", false},
	{"{\"leases\": [{}]}", false},
	{"{\"leases\": [{\"address\": \"x\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": \"01ab\"}]}",
	 false},
	{"{\"leases\": [{\"address\": \"192.168.65.9\", \"mac\": \"52\", \"client-id\": \"01ab\"}]}",
	 false},
	{"{\"leases\": [{\"address\": \"192.168.65.9\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": "
	 "\"01a\"}]}",
	 false},
	{"{\"leases\": [{\"address\": \"192.168.65.9\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": "
	 "\"01ag\"}]}",
	 false},
	{"{\"leases\": [{\"address\": \"192.168.65.9\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": "
	 "\"01ab\", \"expires\": -5}]}",
	 false},
	{"{\"leases\": [{\"address\": \"192.168.65.9\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": "
	 "\"01ab\", \"expires\": 9223372036854775807}]}",
	 false},
	/* Well-formed, but no leases of ours: left out. */
	{"{\"leases\": [{\"address\": \"::1\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": "
	 "\"01ab\"}]}",
	 true},
	{"{\"leases\": [{\"address\": \"192.168.65.1\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": "
	 "\"01ab\"}]}",
	 true},
	{"{\"leases\": [{\"address\": \"192.168.65.9\", \"mac\": \"ff:ff:ff:ff:ff:ff\", \"client-id\": "
	 "\"01ab\"}]}",
	 true},
	{"{\"leases\": [{\"address\": \"192.168.65.9\", \"mac\": \"52:54:00:00:00:09\", \"client-id\": "
	 "\"\"}]}",
	 true},
};

START_TEST(strange_sections)
{
	const struct lease_clock clock = {.now_ms = NOW_MS, .wall_s = WALL_S};
	struct json_object *section;
	struct dhcp_lease_info got;
	int r;

	ck_assert_int_eq(json_parse(sections[_i].text, strlen(sections[_i].text), &section, error,
				    sizeof(error)),
			 0);
	error[0] = '\0';
	r = lease_state_load(server, LEASE_SECONDS, &clock, section, error, sizeof(error));
	ck_assert_msg(r == (sections[_i].good ? 0 : -EINVAL), "%s: %d", sections[_i].text, r);
	ck_assert_msg(!error[0] == sections[_i].good, "%s", error);
	ck_assert(is_leased(9, &got) == (_i == 2));
	json_object_put(section);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lease_state");
	TCase *tc = unit_case(suite, "lease_state", setup, teardown);

	tcase_add_test(tc, survives);
	tcase_add_test(tc, clock_went_back);
	tcase_add_test(tc, another_network);
	tcase_add_loop_test(tc, strange_sections, 0, sizeof(sections) / sizeof(sections[0]));
	return unit_run(suite);
}
