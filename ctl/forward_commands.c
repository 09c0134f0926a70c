/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's commands for published ports. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/show.h"

#define PATH_FORWARDS "/v1/forwards"

/* ---- Listing ---- */

static void add_forward(struct table *table, struct json_object *entry, void *arg)
{
	const char *whom = ctl_text(entry, "for");
	const char *via = ctl_text(entry, "via");

	(void)arg;
	table_add(table, "%s", ctl_text(entry, "local"));
	table_add(table, "%s%s%s", ctl_text(entry, "remote"), via[0] ? " via " : "", via);
	table_add(table, "%s", ctl_text(entry, "protocol"));
	table_add(table, "%s", ctl_text(entry, "name"));
	if (strcmp(ctl_text(entry, "owner"), "guest") == 0)
		table_add(table, "guest %" PRId64 "%s%s", ctl_number(entry, "guest"),
			  whom[0] ? ", " : "", whom);
	else
		table_add(table, "%s%s%s", ctl_text(entry, "owner"), whom[0] ? ", " : "", whom);
	table_add(table, "%" PRId64, ctl_number(entry, "active"));
	table_add(table, "%" PRId64, ctl_number(entry, "connections"));
	table_add(table, "%" PRId64, ctl_number(entry, "refused"));
	table_add(table, "%" PRId64, ctl_number(entry, "bytesToGuest"));
	table_add(table, "%" PRId64, ctl_number(entry, "bytesToHost"));
}

enum ctl_status command_ports(const struct ctl *ctl)
{
	static const char *const headings[] = {
		"LOCAL",        "REMOTE",   "PROTOCOL",  "NAME",        "OWNER", ">ACTIVE",
		">CONNECTIONS", ">REFUSED", ">BYTES TO", ">BYTES FROM", NULL};

	return ctl_show_list_of(
		ctl, PATH_FORWARDS, headings, add_forward,
		"Nothing is published. \"netproxyctl expose 8080 80\" would publish port 80 of the first guest.");
}

/* ---- Publishing ---- */

static void add_if(struct json_object *body, const char *key, const char *value)
{
	if (value)
		json_object_object_add(body, key, json_object_new_string(value));
}

static const char *protocol_for(const struct ctl *ctl, const char *local)
{
	return local[0] == '/'  ? "unix"
	       : ctl->args.udp  ? "udp"
	       : ctl->args.both ? "tcp+udp"
				: "tcp";
}

/* Tells what was made of it: the port that was picked, the guest that was meant. */
static void show_made(const struct ctl *ctl, struct json_object *made)
{
	if (ctl->args.json) {
		ctl_show_json(ctl, made);
		return;
	}
	for (size_t i = 0; i < ctl_array_length(made); i++) {
		struct json_object *entry = json_object_array_get_idx(made, i);

		const char *via = ctl_text(entry, "via");

		fprintf(ctl->out, "published %s -> %s%s%s (%s)\n", ctl_text(entry, "local"),
			ctl_text(entry, "remote"), via[0] ? " via " : "", via,
			ctl_text(entry, "protocol"));
	}
}

enum ctl_status command_expose(const struct ctl *ctl)
{
	char local[CTL_SIDE_MAX], remote[CTL_SIDE_MAX], error[CTL_ERROR_MAX];
	struct json_object *body, *made;
	enum ctl_status status;

	if (ctl_args_local(ctl->args.arguments[1], local, error) < 0 ||
	    ctl_args_remote(ctl->args.arguments[2], remote, error) < 0)
		return ctl_complain(ctl, CTL_USAGE, "%s", error);
	body = json_object_new_object();
	add_if(body, "local", local);
	add_if(body, "remote", remote);
	add_if(body, "protocol", protocol_for(ctl, local));
	add_if(body, "source", ctl->args.source);
	add_if(body, "proxy", ctl->args.proxy);
	add_if(body, "name", ctl->args.name);
	add_if(body, "for", ctl->args.owner);
	add_if(body, "via", ctl->args.via);
	status = ctl_post(ctl, PATH_FORWARDS, body, &made);
	if (status != CTL_OK)
		return status;
	show_made(ctl, made);
	json_object_put(made);
	return CTL_OK;
}

/* ---- Taking back ---- */

/* Whether two texts mean the same: ":80", "0.0.0.0:80" and "[::]:80" do. */
static bool same_local(const char *a, const char *b)
{
	struct endpoint x, y;

	if (strcmp(a, b) == 0)
		return true;
	if (endpoint_parse(a, true, &x) < 0 || endpoint_parse(b, true, &y) < 0 || x.port != y.port)
		return false;
	return addr_equal(&x.addr, &y.addr) || (addr_is_any(&x.addr) && addr_is_any(&y.addr));
}

/* A forward goes by the text that it was published with; who types another that means the same,
 * means it. Borrowed from the list, or NULL. */
static struct json_object *find_forward(struct json_object *list, const char *local,
					const char *protocol)
{
	struct json_object *meant = NULL;

	for (size_t i = 0; i < ctl_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (strcmp(ctl_text(entry, "protocol"), protocol) != 0)
			continue;
		if (strcmp(ctl_text(entry, "local"), local) == 0)
			return entry;
		if (!meant && (same_local(ctl_text(entry, "local"), local) ||
			       same_local(ctl_text(entry, "bound"), local)))
			meant = entry;
	}
	return meant;
}

static enum ctl_status remove_one(const struct ctl *ctl, struct json_object *list,
				  const char *local, const char *protocol)
{
	struct json_object *entry = find_forward(list, local, protocol);
	char query[CTL_QUERY_MAX] = PATH_FORWARDS;
	enum ctl_status status;

	if (!entry)
		return ctl_complain(ctl, CTL_FAILED,
				    "%s %s is not published; \"netproxyctl ports\" lists what is",
				    protocol, local);
	ctl_add_query(query, "local", ctl_text(entry, "local"));
	ctl_add_query(query, "protocol", protocol);
	status = ctl_delete(ctl, query);
	if (status == CTL_OK && !ctl->args.json)
		fprintf(ctl->out, "no longer published: %s (%s)\n", ctl_text(entry, "local"),
			protocol);
	return status;
}

/* Every port of a range, of every protocol that was said. Returns the first failure. */
static enum ctl_status remove_range(const struct ctl *ctl, struct json_object *list,
				    const char *local)
{
	const char *protocol = protocol_for(ctl, local);
	bool both = strcmp(protocol, "tcp+udp") == 0;
	char one[CTL_SIDE_MAX];
	enum ctl_status first = CTL_OK;

	for (unsigned i = 0; ctl_args_port_of(local, i, one); i++) {
		enum ctl_status status = remove_one(ctl, list, one, both ? "tcp" : protocol);

		if (both && status == CTL_OK)
			status = remove_one(ctl, list, one, "udp");
		if (first == CTL_OK)
			first = status;
	}
	return first;
}

static enum ctl_status remove_named(const struct ctl *ctl)
{
	char query[CTL_QUERY_MAX] = PATH_FORWARDS;
	enum ctl_status status;

	ctl_add_query(query, ctl->args.name ? "name" : "for",
		      ctl->args.name ? ctl->args.name : ctl->args.owner);
	status = ctl_delete(ctl, query);
	if (status == CTL_OK && !ctl->args.json)
		fprintf(ctl->out, "no longer published: %s\n",
			ctl->args.name ? ctl->args.name : ctl->args.owner);
	return status;
}

enum ctl_status command_unexpose(const struct ctl *ctl)
{
	char local[CTL_SIDE_MAX], error[CTL_ERROR_MAX];
	struct json_object *list;
	enum ctl_status status;

	if (ctl->args.count == 1)
		return remove_named(ctl);
	if (ctl_args_local(ctl->args.arguments[1], local, error) < 0)
		return ctl_complain(ctl, CTL_USAGE, "%s", error);
	status = ctl_get(ctl, PATH_FORWARDS, &list);
	if (status != CTL_OK)
		return status;
	status = remove_range(ctl, list, local);
	json_object_put(list);
	return status;
}
