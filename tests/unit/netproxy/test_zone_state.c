/* SPDX-License-Identifier: Apache-2.0 */
/* DNS zones of the API over a restart. */
#include "netproxy/zone_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

static char directory[64];
static char path[128];
static struct loop *loop;
static struct state_file *state;
static struct dns_server *server;
static struct zone_state *zones;
static char error[256];

static struct addr address(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

/* A start with one configured zone, and what was kept. */
static void start(void)
{
	struct dns_record_conf record = {.name = "conf", .ip = address("10.0.0.100")};
	struct dns_zone_conf zone = {.name = "lab.test", .records = &record, .record_count = 1};
	struct dns_conf conf = {.gateway4 = address("192.168.65.1"),
				.resolv_conf_path = "",
				.hosts_path = "",
				.zones = &zone,
				.zone_count = 1};

	ck_assert_int_eq(state_file_new(loop, path, &state), 0);
	ck_assert_msg(dns_server_new(loop, &conf, error, sizeof(error), &server) == 0, "%s", error);
	ck_assert_int_eq(zone_state_new(server, state, &zones), 0);
}

static void stop(void)
{
	zone_state_free(zones);
	dns_server_free(server);
	state_file_free(state);
	zones = NULL;
	server = NULL;
	state = NULL;
}

static void setup(void)
{
	strcpy(directory, "/tmp/np-zones-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/state", directory);
	ck_assert_int_eq(loop_new(&loop), 0);
	log_set_file("/dev/null"); /* the complaints that the tests provoke */
	start();
}

static void teardown(void)
{
	static const char *const suffixes[] = {"", ".broken", ".new", ".lock"};
	char name[160];

	stop();
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
	rmdir(directory);
	loop_free(loop);
}

static void add(const char *zone, const char *name, const char *regexp, const char *ip,
		const char *second_ip)
{
	struct dns_record_conf records[2] = {{.name = name, .regexp = regexp, .ip = address(ip)}};
	struct dns_zone_conf conf = {.name = zone, .records = records, .record_count = 1};

	if (second_ip) {
		records[1] = records[0];
		records[1].ip = address(second_ip);
		conf.record_count = 2;
	}
	ck_assert_msg(dns_server_add_zone(server, &conf, error, sizeof(error)) == 0, "%s", error);
	zone_state_changed(zones);
}

/* A name's addresses as they would be answered, with a space between them. */
static const char *find(const char *text)
{
	static char to[256];
	char ip[ADDR_TEXT_MAX];
	const struct dns_zone *zone;
	struct dns_name name;

	to[0] = '\0';
	ck_assert_int_eq(dns_name_parse(text, &name), 0);
	const struct dns_zone_record *record = dns_zones_find(dns_server_zones(server), &name,
							      AF_INET, &zone);
	for (; record; record = dns_zone_next_like(zone, record)) {
		if (to[0])
			strcat(to, " ");
		strcat(to, addr_format(&record->conf.ip, ip));
	}
	return to;
}

START_TEST(zones_come_back)
{
	struct dns_zone_conf empty = {.name = "empty.test", .default_ip = address("10.0.0.9")};

	add("crc.test", "api", NULL, "10.0.0.1", NULL);
	add("crc.test", "api", NULL, "10.0.0.2", "10.0.0.3");
	add("crc.test", "", "^node", "10.0.0.4", NULL);
	add("lab.test", "www", NULL, "10.0.0.5", NULL);
	ck_assert_int_eq(dns_server_add_zone(server, &empty, error, sizeof(error)), 0);
	zone_state_changed(zones);
	for (int i = 0; i < 3; i++) {
		stop();
		start();
		ck_assert_str_eq(find("api.crc.test"), "10.0.0.2 10.0.0.3");
		ck_assert_str_eq(find("node1.crc.test"), "10.0.0.4");
		ck_assert_str_eq(find("www.lab.test"), "10.0.0.5");
		ck_assert_str_eq(find("conf.lab.test"), "10.0.0.100");
		/* The three built-in ones, and three others. */
		ck_assert_uint_eq(dns_server_zones(server)->count, 6);
		ck_assert_int_eq(
			dns_zones_get(dns_server_zones(server), "empty.test")->default_ip.family,
			AF_INET);
	}
	ck_assert_int_eq(dns_server_remove_zone(server, "crc.test"), 0);
	zone_state_changed(zones);
	stop();
	start();
	ck_assert_str_eq(find("api.crc.test"), "");
	ck_assert_str_eq(find("www.lab.test"), "10.0.0.5");
}
END_TEST

START_TEST(what_is_configured_is_not_kept)
{
	static char text[4096];
	FILE *file;

	add("crc.test", "api", NULL, "10.0.0.1", NULL);
	stop();
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	ck_assert_ptr_nonnull(strstr(text, "crc.test."));
	ck_assert_ptr_null(strstr(text, "lab.test"));
	ck_assert_ptr_null(strstr(text, "internal"));
	start();
}
END_TEST

static const char *const broken[] = {
	"{\"version\":1,\"dns\":{}}",
	"{\"version\":1,\"dns\":[{}]}",
	"{\"version\":1,\"dns\":[{\"name\":\"a..b\"}]}",
	"{\"version\":1,\"dns\":[{\"name\":\"x\",\"records\":[{}]}]}",
	"{\"version\":1,\"dns\":[{\"name\":\"x\",\"records\":[[1]]}]}",
	"{\"version\":1,\"dns\":[{\"name\":\"x\",\"records\":[[{\"ip\":\"y\"}]]}]}",
	"{\"version\":1,\"dns\":[{\"name\":\"x\",\"records\":[[{\"regexp\":\"(\",\"ip\":\"::1\"}]]}]}",
	"{\"version\":1,\"dns\":[{\"name\":\"x\",\"default_ip\":\"y\"},{\"name\":\"good\"}]}",
};

/* It is set aside, and the start goes on. */
START_TEST(broken_states)
{
	FILE *file;

	stop();
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(broken[_i], file);
	fclose(file);
	start();
	ck_assert_str_eq(find("conf.lab.test"), "10.0.0.100");
	if (strstr(broken[_i], "good"))
		ck_assert_ptr_nonnull(dns_zones_get(dns_server_zones(server), "good"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zone_state");
	TCase *tcase = unit_case(suite, "zone_state", setup, teardown);

	tcase_add_test(tcase, zones_come_back);
	tcase_add_test(tcase, what_is_configured_is_not_kept);
	tcase_add_loop_test(tcase, broken_states, 0, (int)(sizeof(broken) / sizeof(broken[0])));
	return unit_run(suite);
}
