/* SPDX-License-Identifier: Apache-2.0 */
/* What netproxyctl's commands do: ask, and show the answer as a table, or as JSON as it came. */
#include "ctl/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/show.h"

#define PATH_LEASES  "/v1/leases"
#define PATH_PORTS   "/v1/ports"
#define PATH_POLICY  "/v1/policy"
#define PATH_CAM     "/cam"
#define PATH_STATS   "/stats"
#define PATH_VERSION "/v1/version"

/* "1h 2m", "5m 3s", "40s". */
static void add_duration(struct table *table, struct json_object *entry, const char *key)
{
	struct json_object *value;
	int64_t s = ctl_number(entry, key);

	if (json_object_object_get_ex(entry, key, &value) && !value)
		table_add(table, "never");
	else if (s >= 86400)
		table_add(table, "%" PRId64 "d %" PRId64 "h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		table_add(table, "%" PRId64 "h %" PRId64 "m", s / 3600, s / 60 % 60);
	else if (s >= 60)
		table_add(table, "%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
	else
		table_add(table, "%" PRId64 "s", s);
}

static void add_lease(struct table *table, struct json_object *entry, void *arg)
{
	(void)arg;
	table_add(table, "%s", ctl_text(entry, "address"));
	table_add(table, "%s", ctl_text(entry, "mac"));
	table_add(table, "%s", ctl_text(entry, "hostname"));
	add_duration(table, entry, "expiresSeconds");
}

enum ctl_status command_leases(const struct ctl *ctl)
{
	static const char *const headings[] = {"ADDRESS", "MAC", "NAME", "ENDS IN", NULL};

	return ctl_show_list_of(ctl, PATH_LEASES, headings, add_lease, "No guest has a lease.");
}

static void add_link(struct table *table, struct json_object *entry, void *arg)
{
	(void)arg;
	table_add(table, "%" PRId64, ctl_number(entry, "port"));
	table_add(table, "%s", ctl_text(entry, "link"));
	table_add(table, "%" PRId64, ctl_number(entry, "framesReceived"));
	table_add(table, "%" PRId64, ctl_number(entry, "bytesReceived"));
	table_add(table, "%" PRId64, ctl_number(entry, "framesSent"));
	table_add(table, "%" PRId64, ctl_number(entry, "bytesSent"));
	table_add(table, "%" PRId64,
		  ctl_number(entry, "invalidReceived") + ctl_number(entry, "spoofedReceived"));
	table_add(table, "%" PRId64, ctl_number(entry, "sendDropped"));
}

enum ctl_status command_links(const struct ctl *ctl)
{
	static const char *const headings[] = {">PORT",       "LINK",       ">FRAMES FROM",
					       ">BYTES FROM", ">FRAMES TO", ">BYTES TO",
					       ">BAD",        ">DROPPED",   NULL};

	return ctl_show_list_of(ctl, PATH_PORTS, headings, add_link, "No guest is attached.");
}

static void add_policy_rule(struct table *table, struct json_object *entry, void *arg)
{
	(void)arg;
	table_add(table, "%s", ctl_text(entry, "rule"));
	table_add(table, "%s", ctl_text(entry, "from"));
	table_add(table, "%" PRId64, ctl_number(entry, "hits"));
}

enum ctl_status command_policy(const struct ctl *ctl)
{
	static const char *const headings[] = {"RULE", "FROM", ">HITS", NULL};

	return ctl_show_list_of(ctl, PATH_POLICY, headings, add_policy_rule, "There are no rules.");
}

/* ---- Guests: leases, with the link that their MAC was last seen on ---- */

struct guests {
	struct json_object *leases;
	struct json_object *addresses; /* MAC to port */
	struct json_object *links;
};

static const char *link_of(const struct guests *guests, const char *mac)
{
	int64_t port = ctl_number(guests->addresses, mac);

	for (size_t i = 0; port && i < ctl_array_length(guests->links); i++) {
		struct json_object *entry = json_object_array_get_idx(guests->links, i);

		if (ctl_number(entry, "port") == port)
			return ctl_text(entry, "link");
	}
	return "";
}

static void add_guest(struct table *table, struct json_object *entry, void *arg)
{
	table_add(table, "%s", ctl_text(entry, "address"));
	table_add(table, "%s", ctl_text(entry, "mac"));
	table_add(table, "%s", ctl_text(entry, "hostname"));
	table_add(table, "%s", link_of(arg, ctl_text(entry, "mac")));
}

/* In JSON, a guest is its lease and its link. */
static void add_links(const struct guests *guests)
{
	for (size_t i = 0; i < ctl_array_length(guests->leases); i++) {
		struct json_object *entry = json_object_array_get_idx(guests->leases, i);

		if (json_object_is_type(entry, json_type_object))
			json_object_object_add(
				entry, "link",
				json_object_new_string(link_of(guests, ctl_text(entry, "mac"))));
	}
}

enum ctl_status command_guests(const struct ctl *ctl)
{
	static const char *const headings[] = {"ADDRESS", "MAC", "NAME", "LINK", NULL};
	struct guests guests = {0};
	enum ctl_status status = ctl_get(ctl, PATH_LEASES, &guests.leases);

	if (status == CTL_OK)
		status = ctl_get(ctl, PATH_CAM, &guests.addresses);
	if (status == CTL_OK)
		status = ctl_get(ctl, PATH_PORTS, &guests.links);
	if (status == CTL_OK && ctl->args.json)
		add_links(&guests);
	if (status == CTL_OK)
		status = ctl_show_list(
			ctl, guests.leases, headings, add_guest, &guests,
			"No guest has an address. \"netproxyctl links\" shows who is attached.");
	json_object_put(guests.leases);
	json_object_put(guests.addresses);
	json_object_put(guests.links);
	return status;
}

/* ---- Counters and versions ---- */

/* One line each, "TCP.Flows  3", objects within walked into. */
static void print_counters(const struct ctl *ctl, struct json_object *object, const char *prefix)
{
	char name[64];

	json_object_object_foreach(object, key, value)
	{
		snprintf(name, sizeof(name), "%s%s", prefix, key);
		if (json_object_is_type(value, json_type_object) &&
		    strlen(name) + 1 < sizeof(name)) {
			strcat(name, ".");
			/* A step only: netproxy nests once, and a server that nests deeper is none.
			 */
			if (!prefix[0])
				print_counters(ctl, value, name);
		} else if (json_object_is_type(value, json_type_int)) {
			fprintf(ctl->out, "%-24s %14" PRId64 "\n", name,
				json_object_get_int64(value));
		}
	}
}

enum ctl_status command_stats(const struct ctl *ctl)
{
	struct json_object *stats;
	enum ctl_status status = ctl_get(ctl, PATH_STATS, &stats);

	if (status != CTL_OK)
		return status;
	if (ctl->args.json)
		ctl_show_json(ctl, stats);
	else if (json_object_is_type(stats, json_type_object))
		print_counters(ctl, stats, "");
	json_object_put(stats);
	return CTL_OK;
}

enum ctl_status command_version(const struct ctl *ctl)
{
	struct json_object *version;
	enum ctl_status status;

	/* Ours is known, whether or not netproxy runs. */
	if (!ctl->args.json)
		fputs("netproxyctl " NETPROXY_VERSION "\n", ctl->out);
	status = ctl_get(ctl, PATH_VERSION, &version);
	if (status != CTL_OK)
		return status;
	if (ctl->args.json)
		ctl_show_json(ctl, version);
	else
		fprintf(ctl->out, "netproxy %s, network %s, gateway %s\n",
			ctl_text(version, "version"), ctl_text(version, "subnet"),
			ctl_text(version, "gateway"));
	json_object_put(version);
	return CTL_OK;
}
