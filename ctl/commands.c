/* SPDX-License-Identifier: Apache-2.0 */
/* What netproxyctl's commands do: ask, and show the answer as a table, or as JSON as it came. */
#include "ctl/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/table.h"

#define PATH_EXPOSE   "/services/forwarder/expose"
#define PATH_UNEXPOSE "/services/forwarder/unexpose"
#define PATH_FORWARDS "/v1/forwards"
#define PATH_LEASES   "/v1/leases"
#define PATH_PORTS    "/v1/ports"
#define PATH_POLICY   "/v1/policy"
#define PATH_CAM      "/cam"
#define PATH_STATS    "/stats"
#define PATH_VERSION  "/v1/version"

static enum ctl_status print_json(const struct ctl *ctl, struct json_object *object)
{
	fprintf(ctl->out, "%s\n",
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							       JSON_C_TO_STRING_SPACED |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	return CTL_OK;
}

static size_t array_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static const char *protocol(const struct ctl *ctl)
{
	return ctl->args.udp ? "udp" : "tcp";
}

/* ---- Lists ---- */

typedef void row_fn(struct table *table, struct json_object *entry, void *arg);

/* A table of an array's entries, or the sentence that says that there are none. */
static enum ctl_status print_list(const struct ctl *ctl, struct json_object *array,
				  const char *const *headings, row_fn *add_row, void *arg,
				  const char *none)
{
	enum ctl_status status = CTL_OK;
	struct table table;

	if (ctl->args.json)
		return print_json(ctl, array);
	if (array_length(array) == 0) {
		fprintf(ctl->err, "%s\n", none);
		return CTL_OK;
	}
	table_init(&table, headings);
	for (size_t i = 0; i < array_length(array); i++)
		add_row(&table, json_object_array_get_idx(array, i), arg);
	if (table_print(&table, ctl->out) < 0)
		status = ctl_complain(ctl, CTL_FAILED, "out of memory");
	table_clear(&table);
	return status;
}

static enum ctl_status get_list(const struct ctl *ctl, const char *path,
				const char *const *headings, row_fn *add_row, const char *none)
{
	struct json_object *array;
	enum ctl_status status = ctl_get(ctl, path, &array);

	if (status != CTL_OK)
		return status;
	status = print_list(ctl, array, headings, add_row, NULL, none);
	json_object_put(array);
	return status;
}

static void add_forward(struct table *table, struct json_object *entry, void *arg)
{
	(void)arg;
	table_add(table, "%s", ctl_text(entry, "local"));
	table_add(table, "%s", ctl_text(entry, "bound"));
	table_add(table, "%s", ctl_text(entry, "remote"));
	table_add(table, "%s", ctl_text(entry, "protocol"));
	if (strcmp(ctl_text(entry, "owner"), "guest") == 0)
		table_add(table, "guest %" PRId64, ctl_number(entry, "guest"));
	else
		table_add(table, "%s", ctl_text(entry, "owner"));
	table_add(table, "%" PRId64, ctl_number(entry, "connections"));
	table_add(table, "%" PRId64, ctl_number(entry, "refused"));
}

enum ctl_status command_ports(const struct ctl *ctl)
{
	static const char *const headings[] = {"LOCAL", "LISTENS AT",   "REMOTE",   "PROTOCOL",
					       "OWNER", ">CONNECTIONS", ">REFUSED", NULL};

	return get_list(
		ctl, PATH_FORWARDS, headings, add_forward,
		"Nothing is published. \"netproxyctl expose 8080 80\" would publish port 80 of the first guest.");
}

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

	return get_list(ctl, PATH_LEASES, headings, add_lease, "No guest has a lease.");
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

	return get_list(ctl, PATH_PORTS, headings, add_link, "No guest is attached.");
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

	return get_list(ctl, PATH_POLICY, headings, add_policy_rule, "There are no rules.");
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

	for (size_t i = 0; port && i < array_length(guests->links); i++) {
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
	for (size_t i = 0; i < array_length(guests->leases); i++) {
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
		status = print_list(
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
		print_json(ctl, stats);
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
		print_json(ctl, version);
	else
		fprintf(ctl->out, "netproxy %s, network %s, gateway %s\n",
			ctl_text(version, "version"), ctl_text(version, "subnet"),
			ctl_text(version, "gateway"));
	json_object_put(version);
	return CTL_OK;
}

/* ---- Publishing ---- */

static struct json_object *forward_body(const struct ctl *ctl, const char *local,
					const char *remote)
{
	struct json_object *body = json_object_new_object();

	json_object_object_add(body, "local", json_object_new_string(local));
	if (remote)
		json_object_object_add(body, "remote", json_object_new_string(remote));
	json_object_object_add(body, "protocol", json_object_new_string(protocol(ctl)));
	return body;
}

/* The forward of this text and our protocol, borrowed from the list, or NULL. */
static struct json_object *find_forward(const struct ctl *ctl, struct json_object *list,
					const char *local)
{
	for (size_t i = 0; i < array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (strcmp(ctl_text(entry, "local"), local) == 0 &&
		    strcmp(ctl_text(entry, "protocol"), protocol(ctl)) == 0)
			return entry;
	}
	return NULL;
}

/* Tells what was made of it: the port that was picked, the guest that was meant. */
static enum ctl_status show_forward(const struct ctl *ctl, const char *local, const char *remote)
{
	struct json_object *list = NULL, *entry;
	enum ctl_status status = ctl_get(ctl, PATH_FORWARDS, &list);

	if (status != CTL_OK)
		return status;
	entry = find_forward(ctl, list, local);
	if (ctl->args.json)
		print_json(ctl, entry);
	else
		fprintf(ctl->out, "published %s -> %s (%s)\n",
			entry ? ctl_text(entry, "bound") : local,
			entry ? ctl_text(entry, "remote") : remote, protocol(ctl));
	json_object_put(list);
	return CTL_OK;
}

enum ctl_status command_expose(const struct ctl *ctl)
{
	char local[ENDPOINT_TEXT_MAX], remote[ENDPOINT_TEXT_MAX], error[CTL_ERROR_MAX];
	enum ctl_status status;

	if (ctl_args_local(ctl->args.arguments[1], local, error) < 0 ||
	    ctl_args_remote(ctl->args.arguments[2], remote, error) < 0)
		return ctl_complain(ctl, CTL_USAGE, "%s", error);
	status = ctl_post(ctl, PATH_EXPOSE, forward_body(ctl, local, remote));
	return status == CTL_OK ? show_forward(ctl, local, remote) : status;
}

/* Whether two texts mean the same: ":80", "0.0.0.0:80" and "[::]:80" do. */
static bool same_local(const char *a, const char *b)
{
	struct endpoint x, y;

	if (endpoint_parse(a, true, &x) < 0 || endpoint_parse(b, true, &y) < 0 || x.port != y.port)
		return false;
	return addr_equal(&x.addr, &y.addr) || (addr_is_any(&x.addr) && addr_is_any(&y.addr));
}

/* A forward goes by the text that it was published with; who types another that means the same,
 * means it. */
static struct json_object *find_meant(const struct ctl *ctl, struct json_object *list,
				      const char *local)
{
	struct json_object *entry = find_forward(ctl, list, local);

	for (size_t i = 0; !entry && i < array_length(list); i++) {
		struct json_object *candidate = json_object_array_get_idx(list, i);

		if (strcmp(ctl_text(candidate, "protocol"), protocol(ctl)) == 0 &&
		    (same_local(ctl_text(candidate, "local"), local) ||
		     same_local(ctl_text(candidate, "bound"), local)))
			entry = candidate;
	}
	return entry;
}

enum ctl_status command_unexpose(const struct ctl *ctl)
{
	char local[ENDPOINT_TEXT_MAX], error[CTL_ERROR_MAX];
	struct json_object *list, *entry;
	enum ctl_status status;

	if (ctl_args_local(ctl->args.arguments[1], local, error) < 0)
		return ctl_complain(ctl, CTL_USAGE, "%s", error);
	status = ctl_get(ctl, PATH_FORWARDS, &list);
	if (status != CTL_OK)
		return status;
	entry = find_meant(ctl, list, local);
	if (entry)
		status = ctl_post(ctl, PATH_UNEXPOSE,
				  forward_body(ctl, ctl_text(entry, "local"), NULL));
	else
		status = ctl_complain(ctl, CTL_FAILED,
				      "%s %s is not published; \"netproxyctl ports\" lists what is",
				      protocol(ctl), local);
	if (status == CTL_OK && !ctl->args.json)
		fprintf(ctl->out, "no longer published: %s (%s)\n", ctl_text(entry, "local"),
			protocol(ctl));
	json_object_put(list);
	return status;
}
