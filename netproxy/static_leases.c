/* SPDX-License-Identifier: Apache-2.0 */
/* Static leases at run time: see static_leases.h. */
#include "netproxy/static_leases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/log.h"

LOG_MODULE("dhcp");

#define SECTION "static-leases"

struct static_leases {
	struct loop *loop;
	struct dhcp_server *server;
	struct prefix subnet;
	struct state_file *state;
};

/* ---- Finding ---- */

struct search {
	const struct addr *address; /* or NULL: any */
	const struct mac *mac;      /* or NULL: any */
	uint64_t owner;             /* asked for where the others are NULL */
	bool found;
	struct dhcp_reservation lease;
};

static void match(void *arg, const struct dhcp_reservation *lease)
{
	struct search *search = arg;
	bool matches = search->address ? addr_equal(&lease->address, search->address)
		       : search->mac   ? lease->by_mac && mac_equal(&lease->mac, search->mac)
				       : lease->owner == search->owner;

	if (search->found || !matches)
		return;
	search->found = true;
	search->lease = *lease;
}

/* Fills search->lease with the first that matches. */
static bool find(const struct static_leases *leases, struct search *search)
{
	dhcp_server_for_each_static(leases->server, match, search);
	return search->found;
}

static bool is_of(const struct dhcp_reservation *lease, const struct mac *mac)
{
	return lease->by_mac && mac_equal(&lease->mac, mac);
}

static bool is_connections(uint64_t owner)
{
	return owner >= STATIC_LEASE_OWNERS;
}

/* ---- What goes wrong ---- */

static void name_holder(struct api_static_failure *failure, bool by_mac, const struct mac *mac,
			const char *hostname)
{
	char text[MAC_TEXT_MAX];

	snprintf(failure->holder, sizeof(failure->holder), "%s%s%s%s",
		 by_mac ? mac_format(mac, text) : "a client identifier", hostname[0] ? " (" : "",
		 hostname, hostname[0] ? ")" : "");
}

static int explain_taken(const struct static_leases *leases, const struct dhcp_reservation *wanted,
			 struct api_static_failure *failure)
{
	struct search on_address = {.address = &wanted->address};
	struct search of_mac = {.mac = &wanted->mac};
	char address[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	addr_format(&wanted->address, address);
	if (find(leases, &on_address)) {
		name_holder(failure, on_address.lease.by_mac, &on_address.lease.mac,
			    on_address.lease.hostname);
		snprintf(failure->why, sizeof(failure->why), "%s is the static lease of %s",
			 address, failure->holder);
	} else if (find(leases, &of_mac)) {
		snprintf(failure->why, sizeof(failure->why),
			 "%s: %s has another static lease already, %s", address,
			 mac_format(&wanted->mac, mac), addr_format(&of_mac.lease.address, other));
	}
	return -EEXIST;
}

static int explain_leased(const struct static_leases *leases, const struct addr *at,
			  struct api_static_failure *failure)
{
	uint64_t now_ms = loop_now_ms(leases->loop);
	char address[ADDR_TEXT_MAX], until[48] = "";
	struct dhcp_lease_info lease;

	if (!dhcp_server_by_address(leases->server, at, &lease))
		return -EADDRINUSE;
	if (lease.expires_ms != UINT64_MAX && lease.expires_ms > now_ms)
		snprintf(until, sizeof(until), ", for another %llu s",
			 (unsigned long long)(lease.expires_ms - now_ms) / 1000);
	name_holder(failure, true, &lease.mac, lease.hostname);
	snprintf(failure->why, sizeof(failure->why), "%s is leased to %s%s",
		 addr_format(at, address), failure->holder, until);
	return -EADDRINUSE;
}

static int explain(const struct static_leases *leases, const struct dhcp_reservation *wanted, int r,
		   struct api_static_failure *failure)
{
	char address[ADDR_TEXT_MAX], subnet[PREFIX_TEXT_MAX];

	addr_format(&wanted->address, address);
	switch (r) {
	case -EEXIST:
		return explain_taken(leases, wanted, failure);
	case -EADDRINUSE:
		return explain_leased(leases, &wanted->address, failure);
	case -ENOSPC:
		snprintf(failure->why, sizeof(failure->why),
			 "there are too many static leases: at most %d", DHCP_RESERVATIONS_MAX);
		break;
	default:
		snprintf(failure->why, sizeof(failure->why), "%s: %s; the network is %s", address,
			 dhcp_server_why_not(leases->server, wanted, r),
			 prefix_format(&leases->subnet, subnet));
		break;
	}
	return r;
}

/* ---- Coming and going ---- */

/* The MAC has the address already: is that what is wanted? */
static int add_again(struct static_leases *leases, const struct dhcp_reservation *wanted,
		     const struct dhcp_reservation *there, struct api_static_failure *failure)
{
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	addr_format(&wanted->address, address);
	mac_format(&wanted->mac, mac);
	if (wanted->hostname[0] && strcasecmp(wanted->hostname, there->hostname) != 0) {
		snprintf(failure->why, sizeof(failure->why),
			 "%s is the static lease of %s already, with another name (\"%s\"): take "
			 "it back first",
			 address, mac, there->hostname);
		return -EEXIST;
	}
	if (is_connections(there->owner) && is_connections(wanted->owner) &&
	    there->owner != wanted->owner) {
		name_holder(failure, true, &wanted->mac, there->hostname);
		snprintf(failure->why, sizeof(failure->why),
			 "%s is held for a machine that runs and has the same MAC, %s", address,
			 mac);
		return -EADDRINUSE;
	}
	if (is_connections(there->owner) && !is_connections(wanted->owner)) {
		dhcp_server_reown(leases->server, &wanted->address, wanted->owner);
		state_file_changed(leases->state);
	}
	return 0;
}

int static_leases_add(struct static_leases *leases, const struct dhcp_reservation *wanted,
		      struct api_static_failure *ret_failure)
{
	struct search search = {.address = &wanted->address};
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];
	int r;

	*ret_failure = (struct api_static_failure){.holder = ""};
	if (find(leases, &search) && is_of(&search.lease, &wanted->mac))
		return add_again(leases, wanted, &search.lease, ret_failure);
	r = dhcp_server_reserve(leases->server, wanted, loop_now_ms(leases->loop));
	if (r < 0)
		return explain(leases, wanted, r, ret_failure);
	log_info("static lease: %s to %s", addr_format(&wanted->address, address),
		 mac_format(&wanted->mac, mac));
	if (!is_connections(wanted->owner))
		state_file_changed(leases->state);
	return 0;
}

static void take_back(struct static_leases *leases, const struct dhcp_reservation *lease)
{
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	log_info("static lease taken back: %s of %s", addr_format(&lease->address, address),
		 mac_format(&lease->mac, mac));
	dhcp_server_unreserve(leases->server, &lease->address);
	if (!is_connections(lease->owner))
		state_file_changed(leases->state);
}

int static_leases_remove(struct static_leases *leases, const struct addr *address,
			 const struct mac *mac, struct api_static_failure *ret_failure)
{
	struct search search = {.address = address};
	struct api_static_failure *failure = ret_failure;
	char text[ADDR_TEXT_MAX], mac_text[MAC_TEXT_MAX];

	*failure = (struct api_static_failure){.holder = ""};
	addr_format(address, text);
	if (!find(leases, &search)) {
		snprintf(failure->why, sizeof(failure->why), "%s is no static lease", text);
		return -ENOENT;
	}
	if (!is_of(&search.lease, mac)) {
		name_holder(failure, search.lease.by_mac, &search.lease.mac, search.lease.hostname);
		snprintf(failure->why, sizeof(failure->why), "%s is the static lease of %s, not %s",
			 text, failure->holder, mac_format(mac, mac_text));
		return -EADDRINUSE;
	}
	if (search.lease.owner == STATIC_LEASE_CONFIG || search.lease.owner == STATIC_LEASE_GUEST) {
		snprintf(failure->why, sizeof(failure->why), "%s %s", text,
			 search.lease.owner == STATIC_LEASE_CONFIG
				 ? "stands in netproxy's configuration: change it there"
				 : "is what its guest asked for when it attached");
		return -EPERM;
	}
	take_back(leases, &search.lease);
	return 0;
}

void static_leases_drop(struct static_leases *leases, uint64_t connection)
{
	struct search search = {.owner = connection};

	/* Nearly every connection has none, and few have more than one. */
	for (; find(leases, &search); search.found = false) {
		dhcp_server_end(leases->server, &search.lease.address);
		take_back(leases, &search.lease);
	}
}

/* ---- Listing ---- */

struct listing {
	struct dhcp_reservation *leases;
	size_t count;
};

static void copy(void *arg, const struct dhcp_reservation *lease)
{
	struct listing *listing = arg;

	if (listing->count < DHCP_RESERVATIONS_MAX)
		listing->leases[listing->count++] = *lease;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = addr_v4(&((const struct dhcp_reservation *)a)->address);
	uint32_t y = addr_v4(&((const struct dhcp_reservation *)b)->address);

	return x < y ? -1 : x > y;
}

int static_leases_for_each(const struct static_leases *leases,
			   void (*fn)(void *arg, const struct dhcp_reservation *lease), void *arg)
{
	struct listing listing = {.leases = calloc(DHCP_RESERVATIONS_MAX, sizeof(*listing.leases))};

	if (!listing.leases)
		return -ENOMEM;
	dhcp_server_for_each_static(leases->server, copy, &listing);
	qsort(listing.leases, listing.count, sizeof(*listing.leases), compare);
	for (size_t i = 0; i < listing.count; i++)
		fn(arg, &listing.leases[i]);
	free(listing.leases);
	return 0;
}

/* ---- State ---- */

static void save_lease(void *arg, const struct dhcp_reservation *lease)
{
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];
	struct json_object *object;

	if (lease->owner != STATIC_LEASE_HOST)
		return;
	object = json_object_new_object();
	json_object_object_add(object, "address",
			       json_object_new_string(addr_format(&lease->address, address)));
	json_object_object_add(object, "mac", json_object_new_string(mac_format(&lease->mac, mac)));
	if (lease->hostname[0])
		json_object_object_add(object, "hostname", json_object_new_string(lease->hostname));
	json_object_array_add(arg, object);
}

static struct json_object *save(void *arg)
{
	struct json_object *array = json_object_new_array();

	if (static_leases_for_each(arg, save_lease, array) == 0)
		return array;
	json_object_put(array);
	return NULL;
}

static void load_lease(struct static_leases *leases, struct json_reader *r)
{
	struct dhcp_reservation lease = {.by_mac = true, .owner = STATIC_LEASE_HOST};
	const char *address = json_need_string(r, "address"), *mac = json_need_string(r, "mac");
	const char *hostname = json_get_string(r, "hostname", "");
	struct api_static_failure failure;

	if (!json_ok(r))
		return;
	if (addr_parse(address, &lease.address) < 0 || mac_parse(mac, &lease.mac) < 0 ||
	    strlen(hostname) >= sizeof(lease.hostname)) {
		json_fail(r,
			  "\"%.40s\", \"%.20s\" and \"%.70s\" aren't an address, a MAC and a "
			  "host name",
			  address, mac, hostname);
		return;
	}
	strcpy(lease.hostname, hostname);
	/* The configuration may have changed meanwhile. */
	if (static_leases_add(leases, &lease, &failure) < 0)
		log_warn("a static lease of an earlier run is dropped: %s", failure.why);
}

static int load(void *arg, struct json_object *section, char error[static STATE_ERROR_MAX])
{
	error[0] = '\0';
	if (!json_object_is_type(section, json_type_array)) {
		snprintf(error, STATE_ERROR_MAX, "\"" SECTION "\": expected a list");
		return -EINVAL;
	}
	for (size_t i = 0; i < json_object_array_length(section); i++) {
		struct json_reader r = json_reader(json_object_array_get_idx(section, i),
						   "a static lease of the state");

		if (json_ok(&r))
			load_lease(arg, &r);
		if (!json_ok(&r) && !error[0])
			snprintf(error, STATE_ERROR_MAX, "%s", r.error);
	}
	return error[0] ? -EINVAL : 0;
}

int static_leases_new(struct loop *loop, struct dhcp_server *server, const struct prefix *subnet,
		      struct state_file *state, struct static_leases **ret_leases)
{
	struct static_leases *leases = calloc(1, sizeof(*leases));
	const struct state_section section = {
		.name = SECTION, .save = save, .load = load, .arg = leases};
	int r;

	if (!leases)
		return -ENOMEM;
	*leases = (struct static_leases){
		.loop = loop, .server = server, .subnet = *subnet, .state = state};
	r = state_file_add_section(state, &section);
	if (r < 0) {
		free(leases);
		return r;
	}
	*ret_leases = leases;
	return 0;
}

void static_leases_free(struct static_leases *leases)
{
	if (!leases)
		return;
	state_file_remove_section(leases->state, SECTION);
	free(leases);
}
