/* SPDX-License-Identifier: Apache-2.0 */
/* Static leases at run time: whose they are, who may take them back, what is said about those that
 * can't be, and which of them outlive a restart. */
#include "netproxy/static_leases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

#define CONNECTION (UINT64_C(1) << 40)

static char directory[] = "/tmp/netproxy-test-XXXXXX";
static char state_path[64];
static struct loop *loop;
static struct dhcp_server *server;
static struct state_file *state;
static struct static_leases *leases;
static struct api_static_failure failure;

static struct addr ip(unsigned last)
{
	return addr_from_v4(0xc0a84100u + last);
}

static struct mac mac_of(unsigned n)
{
	return (struct mac){{0x52, 0x54, 0, 0, 0, (uint8_t)n}};
}

static void start(unsigned length)
{
	const struct dhcp_reservation configured = {
		.by_mac = true, .mac = mac_of(9), .address = ip(9)};
	const struct dhcp_conf conf = {
		.subnet = {.addr = addr_from_v4(0xc0a84100u & ~0u << (32 - length)),
			   .length = (uint8_t)length},
		.gateway = ip(1),
		.reservations = &configured,
		.reservation_count = 1,
		.lease_seconds = 3600,
	};
	char error[256];

	ck_assert_int_eq(dhcp_server_new(&conf, error, sizeof(error), &server), 0);
	ck_assert_int_eq(state_file_new(loop, state_path, &state), 0);
	ck_assert_int_eq(static_leases_new(loop, server, &conf.subnet, state, &leases), 0);
}

static void stop(void)
{
	static_leases_free(leases);
	state_file_free(state);
	dhcp_server_free(server);
}

static void setup(void)
{
	log_set_file("/dev/null");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(state_path, sizeof(state_path), "%s/state", directory);
	ck_assert_int_eq(loop_new(&loop), 0);
	start(24);
}

static void teardown(void)
{
	stop();
	loop_free(loop);
	unlink(state_path);
	ck_assert_int_eq(rmdir(directory), 0);
	memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
}

static int add(unsigned client, unsigned address, const char *name, uint64_t owner)
{
	struct dhcp_reservation wanted = {
		.by_mac = true, .mac = mac_of(client), .address = ip(address), .owner = owner};

	strcpy(wanted.hostname, name);
	return static_leases_add(leases, &wanted, &failure);
}

static int take_back(unsigned client, unsigned address)
{
	struct addr at = ip(address);
	struct mac mac = mac_of(client);

	return static_leases_remove(leases, &at, &mac, &failure);
}

/* As if the client had got it by DHCP. */
static void lease(unsigned client, unsigned address)
{
	uint8_t id[] = {1, 0x52, 0x54, 0, 0, 0, (uint8_t)client};
	struct dhcp_lease_info info = {
		.address = ip(address),
		.mac = mac_of(client),
		.client_id = id,
		.client_id_size = sizeof(id),
		.hostname = "",
		.expires_ms = loop_now_ms(loop) + 100500,
	};

	ck_assert_int_eq(dhcp_server_restore(server, &info, loop_now_ms(loop)), 0);
}

static bool is_leased(unsigned address)
{
	struct dhcp_lease_info info;
	struct addr at = ip(address);

	return dhcp_server_by_address(server, &at, &info);
}

static void append(void *arg, const struct dhcp_reservation *at)
{
	size_t size = strlen(arg);

	snprintf((char *)arg + size, 256 - size, "%u=%u%s%s ", at->address.v4.s_addr >> 24,
		 at->mac.bytes[5], at->hostname[0] ? "," : "", at->hostname);
}

/* All there are, "9=9 50=1,db ". */
static const char *all(void)
{
	static char text[256];

	text[0] = '\0';
	ck_assert_int_eq(static_leases_for_each(leases, append, text), 0);
	return text;
}

START_TEST(come_and_go)
{
	ck_assert_int_eq(add(2, 60, "", STATIC_LEASE_HOST), 0);
	ck_assert_int_eq(add(1, 50, "db", STATIC_LEASE_HOST), 0);
	ck_assert_str_eq(all(), "9=9 50=1,db 60=2 ");
	ck_assert_int_eq(add(1, 50, "", STATIC_LEASE_HOST), 0);
	ck_assert_int_eq(add(1, 50, "DB", STATIC_LEASE_HOST), 0);
	ck_assert_int_eq(add(1, 50, "web", STATIC_LEASE_HOST), -EEXIST);
	ck_assert_ptr_nonnull(strstr(failure.why, "another name (\"db\")"));
	ck_assert_int_eq(take_back(2, 50), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(failure.holder, "52:54:00:00:00:01 (db)"));
	ck_assert_int_eq(take_back(1, 50), 0);
	ck_assert_int_eq(take_back(1, 50), -ENOENT);
	ck_assert_str_eq(all(), "9=9 60=2 ");
}
END_TEST

START_TEST(refusals)
{
	lease(3, 3);
	ck_assert_int_eq(add(1, 3, "", STATIC_LEASE_HOST), -EADDRINUSE);
	ck_assert_str_eq(failure.why,
			 "192.168.65.3 is leased to 52:54:00:00:00:03, for another 100 s");
	ck_assert_str_eq(failure.holder, "52:54:00:00:00:03");
	ck_assert_int_eq(add(3, 3, "", STATIC_LEASE_HOST), 0);
	ck_assert_int_eq(add(1, 9, "", STATIC_LEASE_HOST), -EEXIST);
	ck_assert_str_eq(failure.why, "192.168.65.9 is the static lease of 52:54:00:00:00:09");
	ck_assert_int_eq(add(9, 10, "", STATIC_LEASE_HOST), -EEXIST);
	ck_assert_ptr_nonnull(strstr(failure.why, "another static lease already, 192.168.65.9"));
	ck_assert_str_eq(failure.holder, "");
	ck_assert_int_eq(add(1, 1, "", STATIC_LEASE_HOST), -EINVAL);
	ck_assert_ptr_nonnull(strstr(failure.why, "gateway"));
	ck_assert_int_eq(add(1, 255, "", STATIC_LEASE_HOST), -EINVAL);
	ck_assert_ptr_nonnull(strstr(failure.why, "192.168.65.0/24"));
	ck_assert_int_eq(take_back(9, 9), -EPERM);
	ck_assert_ptr_nonnull(strstr(failure.why, "configuration"));
	ck_assert_int_eq(add(8, 8, "", STATIC_LEASE_GUEST), 0);
	ck_assert_int_eq(take_back(8, 8), -EPERM);
	ck_assert_str_eq(all(), "3=3 8=8 9=9 ");
}
END_TEST

/* What is a connection's ends with it, with the lease on it; and nothing else. */
START_TEST(connections)
{
	ck_assert_int_eq(add(1, 50, "", CONNECTION + 1), 0);
	ck_assert_int_eq(add(2, 51, "", CONNECTION + 1), 0);
	ck_assert_int_eq(add(3, 52, "", CONNECTION + 2), 0);
	ck_assert_int_eq(add(1, 50, "", CONNECTION + 1), 0);
	ck_assert_int_eq(add(1, 50, "", CONNECTION + 2), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(failure.why, "the same MAC"));
	ck_assert_int_eq(add(9, 9, "", CONNECTION + 2), 0);
	lease(1, 50);
	lease(3, 52);
	static_leases_drop(leases, CONNECTION + 1);
	ck_assert_str_eq(all(), "9=9 52=3 ");
	ck_assert(!is_leased(50) && is_leased(52));
	/* Anybody may have it now, at once. */
	ck_assert_int_eq(add(4, 50, "", CONNECTION + 3), 0);
	/* The host's word makes it last. */
	ck_assert_int_eq(add(3, 52, "", STATIC_LEASE_HOST), 0);
	static_leases_drop(leases, CONNECTION + 2);
	static_leases_drop(leases, CONNECTION + 2);
	ck_assert_str_eq(all(), "9=9 50=4 52=3 ");
	ck_assert(is_leased(52));
	ck_assert_int_eq(take_back(4, 50), 0);
}
END_TEST

START_TEST(restart)
{
	ck_assert_int_eq(add(1, 50, "db", STATIC_LEASE_HOST), 0);
	ck_assert_int_eq(add(2, 51, "", CONNECTION), 0);
	ck_assert_int_eq(add(3, 52, "", CONNECTION), 0);
	ck_assert_int_eq(add(3, 52, "", STATIC_LEASE_HOST), 0);
	ck_assert_int_eq(add(4, 10, "", STATIC_LEASE_HOST), 0);
	stop();
	start(24);
	ck_assert_str_eq(all(), "9=9 10=4 50=1,db 52=3 ");
	ck_assert_int_eq(take_back(3, 52), 0);
	stop();
	start(28); /* .0 to .15 */
	ck_assert_str_eq(all(), "9=9 10=4 ");
}
END_TEST

static void write_state(const char *text)
{
	FILE *file = fopen(state_path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

/* What is broken is left out, and the rest isn't. */
START_TEST(broken_state)
{
	static const char *const bad[] = {
		"7",
		"{}",
		"[7]",
		"[{\"address\":\"192.168.65.20\"}]",
		"[{\"address\":\"x\",\"mac\":\"52:54:00:00:00:01\"}]",
		"[{\"address\":\"fd00::1\",\"mac\":\"52:54:00:00:00:01\"}]",
		"[{\"address\":\"192.168.65.20\",\"mac\":\"52:54:00:00:00:01\",\"hostname\":\""
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]",
	};
	char text[512], backup[80];

	stop();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"version\":1,\"static-leases\":%s}", bad[i]);
		write_state(text);
		start(24);
		ck_assert_str_eq(all(), "9=9 ");
		stop();
	}
	write_state("{\"version\":1,\"static-leases\":[7,{\"address\":\"192.168.65.20\",\"mac\":"
		    "\"52:54:00:00:00:01\"}]}");
	start(24);
	ck_assert_str_eq(all(), "9=9 20=1 ");
	snprintf(backup, sizeof(backup), "rm -f %s.*", state_path);
	ck_assert_int_eq(system(backup), 0);
}
END_TEST

START_TEST(bounded)
{
	stop();
	start(16);
	for (unsigned i = 0; i < DHCP_RESERVATIONS_MAX - 1; i++) {
		struct dhcp_reservation wanted = {.by_mac = true,
						  .mac = mac_of(0),
						  .address = addr_from_v4(0xc0a81000u + i),
						  .owner = STATIC_LEASE_HOST};

		wanted.mac.bytes[3] = (uint8_t)(i >> 8);
		wanted.mac.bytes[4] = (uint8_t)i;
		ck_assert_int_eq(static_leases_add(leases, &wanted, &failure), 0);
	}
	ck_assert_int_eq(add(1, 50, "", STATIC_LEASE_HOST), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(failure.why, "at most 1024"));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {come_and_go,  refusals, connections, restart,
				      broken_state, bounded,  NULL};

	return unit_main("static_leases", setup, teardown, tests);
}
