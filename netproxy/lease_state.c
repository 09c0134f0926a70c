/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP leases to JSON and back: see lease_state.h. */
#include "netproxy/lease_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

LOG_MODULE("dhcp");

#define WALL_MAX (INT64_MAX / 2000) /* seconds that are still right as milliseconds */

/* ---- Saving ---- */

struct saving {
	struct json_object *leases;
	const struct lease_clock *clock;
	bool failed;
};

static void put_hex(char *to, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 0xf];
	}
	*to = '\0';
}

/* Adds a member, which it takes; without memory the object is failed. */
static void add(struct saving *saving, struct json_object *object, const char *key,
		struct json_object *value)
{
	if (value && json_object_object_add(object, key, value) == 0)
		return;
	json_object_put(value);
	saving->failed = true;
}

static int64_t wall_of(const struct lease_clock *clock, uint64_t expires_ms)
{
	if (expires_ms == 0)
		return 0;
	return clock->wall_s + ((int64_t)expires_ms - (int64_t)clock->now_ms) / 1000;
}

static void save_lease(void *arg, const struct dhcp_lease_info *lease)
{
	struct saving *saving = arg;
	struct json_object *object = json_object_new_object();
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX], id[2 * DHCP_CLIENT_ID_MAX + 1];

	if (!object || json_object_array_add(saving->leases, object) < 0) {
		json_object_put(object);
		saving->failed = true;
		return;
	}
	put_hex(id, lease->client_id, lease->client_id_size);
	add(saving, object, "address",
	    json_object_new_string(addr_format(&lease->address, address)));
	add(saving, object, "mac", json_object_new_string(mac_format(&lease->mac, mac)));
	add(saving, object, "client-id", json_object_new_string(id));
	if (lease->hostname[0])
		add(saving, object, "hostname", json_object_new_string(lease->hostname));
	if (lease->expires_ms != UINT64_MAX)
		add(saving, object, "expires",
		    json_object_new_int64(wall_of(saving->clock, lease->expires_ms)));
}

/* The members of the section but for the leases themselves, which stand in `saving`; takes those.
 */
static struct json_object *finish_section(struct saving *saving, uint32_t lease_seconds)
{
	struct json_object *section = json_object_new_object();

	if (section && saving->leases) {
		add(saving, section, "lease-time", json_object_new_int64(lease_seconds));
		add(saving, section, "leases", json_object_get(saving->leases));
	}
	json_object_put(saving->leases);
	if (section && saving->leases && !saving->failed)
		return section;
	json_object_put(section);
	return NULL;
}

struct json_object *lease_state_save(const struct dhcp_server *server, uint32_t lease_seconds,
				     const struct lease_clock *clock)
{
	struct saving saving = {.leases = json_object_new_array(), .clock = clock};

	if (saving.leases) {
		dhcp_server_for_each(server, save_lease, &saving);
		dhcp_server_for_each_ended(server, save_lease, &saving);
	}
	return finish_section(&saving, lease_seconds);
}

struct json_object *lease_state_save6(const struct dhcp6_server *server, uint32_t lease_seconds,
				      const struct lease_clock *clock)
{
	struct saving saving = {.leases = json_object_new_array(), .clock = clock};

	if (saving.leases) {
		dhcp6_server_for_each(server, save_lease, &saving);
		dhcp6_server_for_each_ended(server, save_lease, &saving);
	}
	return finish_section(&saving, lease_seconds);
}

/* ---- Loading ---- */

struct loading {
	struct dhcp_server *server; /* one of the two is NULL */
	struct dhcp6_server *server6;
	const struct lease_clock *clock;
	int64_t longest_s; /* of any lease; INT64_MAX: without an end */
	unsigned restored, unfit;
};

/* Returns the size, or -1 when the text isn't one of bytes that fit. */
static int get_hex(const char *text, uint8_t *to, size_t to_size)
{
	size_t size = strlen(text) / 2;

	if (strlen(text) % 2 || size > to_size)
		return -1;
	for (size_t i = 0; i < size; i++) {
		int high = text_hex_digit(text[2 * i]), low = text_hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return (int)size;
}

/* In the server's clock, and 0 for what is over. */
static uint64_t server_time(const struct loading *loading, int64_t expires_s)
{
	int64_t left_s = expires_s - loading->clock->wall_s;

	if (left_s <= 0)
		return 0;
	if (left_s > loading->longest_s)
		left_s = loading->longest_s;
	return loading->clock->now_ms + (uint64_t)left_s * 1000;
}

static int restore(const struct loading *loading, const struct dhcp_lease_info *lease)
{
	if (loading->server6)
		return dhcp6_server_restore(loading->server6, lease, loading->clock->now_ms);
	return dhcp_server_restore(loading->server, lease, loading->clock->now_ms);
}

static void load_lease(struct loading *loading, struct json_reader *r)
{
	const char *address = json_need_string(r, "address");
	const char *mac = json_need_string(r, "mac");
	const char *client_id = json_need_string(r, "client-id");
	const char *hostname = json_get_string(r, "hostname", "");
	int64_t expires_s = json_get_int(r, "expires", 0, WALL_MAX, -1);
	uint8_t id[DHCP_CLIENT_ID_MAX];
	struct dhcp_lease_info lease = {.client_id = id, .hostname = hostname};

	if (!json_ok(r))
		return;
	int id_size = get_hex(client_id, id, sizeof(id));

	if (addr_parse(address, &lease.address) < 0 || mac_parse(mac, &lease.mac) < 0 ||
	    id_size < 0) {
		json_fail(r,
			  "\"%.40s\", \"%.20s\" and \"%.20s\" aren't an address, a MAC and "
			  "the bytes of a client identifier",
			  address, mac, client_id);
		return;
	}
	lease.client_id_size = (size_t)id_size;
	lease.expires_ms = expires_s < 0 ? UINT64_MAX : server_time(loading, expires_s);
	int status = restore(loading, &lease);

	if (status == 0 && lease.expires_ms)
		loading->restored++;
	else if (status < 0 && lease.expires_ms)
		loading->unfit++;
}

static int load_section(struct loading *loading, uint32_t lease_seconds,
			struct json_object *section, char *error, size_t error_size)
{
	struct json_reader r = json_reader(section, "DHCP leases");
	int64_t saved_s = json_get_int(&r, "lease-time", 0, UINT32_MAX, 0);
	struct json_object *leases = json_get_array(&r, "leases");

	loading->longest_s = saved_s > lease_seconds ? saved_s : lease_seconds;
	for (size_t i = 0; json_ok(&r) && leases && i < json_object_array_length(leases); i++) {
		struct json_reader lease = json_reader(json_object_array_get_idx(leases, i),
						       "a DHCP lease");

		if (json_ok(&lease))
			load_lease(loading, &lease);
		if (!json_ok(&lease))
			json_fail(&r, "lease %zu: %s", i + 1, lease.error);
	}
	if (loading->restored)
		log_info("%u leases of an earlier run go on", loading->restored);
	if (loading->unfit)
		log_warn("%u leases of an earlier run don't fit the network as it is configured "
			 "now; they are dropped",
			 loading->unfit);
	if (json_ok(&r))
		return 0;
	snprintf(error, error_size, "%s", r.error);
	return -EINVAL;
}

int lease_state_load(struct dhcp_server *server, uint32_t lease_seconds,
		     const struct lease_clock *clock, struct json_object *section, char *error,
		     size_t error_size)
{
	struct loading loading = {.server = server, .clock = clock};

	return load_section(&loading, lease_seconds, section, error, error_size);
}

int lease_state_load6(struct dhcp6_server *server, uint32_t lease_seconds,
		      const struct lease_clock *clock, struct json_object *section, char *error,
		      size_t error_size)
{
	struct loading loading = {.server6 = server, .clock = clock};

	return load_section(&loading, lease_seconds, section, error, error_size);
}
