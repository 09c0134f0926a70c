/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP leases of a state file that anybody may have edited: what is taken from it is saved again,
 * and taken again, as it was. */
#include <assert.h>
#include <stdlib.h>

#include "base/json.h"
#include "netproxy/lease_state.h"

#define LEASE_SECONDS 3600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct lease_clock lease_clock = {.now_ms = 1000000, .wall_s = 1790000000};

static struct dhcp_server *open_server(void)
{
	const struct dhcp_conf conf = {
		.subnet = {.addr = addr_from_v4(0xc0a84100u), .length = 24},
		.gateway = addr_from_v4(0xc0a84101u),
		.lease_seconds = LEASE_SECONDS,
		.one_per_mac = true,
	};
	struct dhcp_server *server;
	char error[256];

	if (dhcp_server_new(&conf, error, sizeof(error), &server) < 0)
		abort();
	return server;
}

static void count(void *arg, const struct dhcp_lease_info *lease)
{
	uint32_t address = addr_v4(&lease->address);

	assert(address > 0xc0a84101u && address < 0xc0a841ffu);
	++*(size_t *)arg;
}

static size_t lease_count(const struct dhcp_server *server)
{
	size_t n = 0;

	dhcp_server_for_each(server, count, &n);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhcp_server *server, *again;
	struct json_object *section, *saved;
	char error[256] = "";

	if (json_parse((const char *)data, size, &section, error, sizeof(error)) < 0)
		return 0;
	server = open_server();
	again = open_server();
	error[0] = '\0';
	if (lease_state_load(server, LEASE_SECONDS, &lease_clock, section, error, sizeof(error)) <
	    0)
		assert(error[0]);
	saved = lease_state_save(server, LEASE_SECONDS, &lease_clock);
	if (!saved ||
	    lease_state_load(again, LEASE_SECONDS, &lease_clock, saved, error, sizeof(error)) < 0)
		abort();
	assert(lease_count(server) == lease_count(again));
	json_object_put(section);
	json_object_put(saved);
	dhcp_server_free(server);
	dhcp_server_free(again);
	return 0;
}
