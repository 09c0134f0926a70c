/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's commands for static leases, the addresses that are kept for guests. */
#include <string.h>

#include "ctl/commands.h"
#include "ctl/show.h"

#define PATH_STATIC "/v1/leases/static"

static void add_reservation(struct table *table, struct json_object *entry, void *arg)
{
	(void)arg;
	table_add(table, "%s", ctl_text(entry, "address"));
	table_add(table, "%s", ctl_text(entry, "mac"));
	table_add(table, "%s", ctl_text(entry, "hostname"));
	table_add(table, "%s%s", ctl_text(entry, "owner"),
		  ctl_text(entry, "lease")[0] ? ", while connected" : "");
}

enum ctl_status command_reservations(const struct ctl *ctl)
{
	static const char *const headings[] = {"ADDRESS", "MAC", "NAME", "OWNER", NULL};

	return ctl_show_list_of(
		ctl, PATH_STATIC, headings, add_reservation,
		"No address is reserved. \"netproxyctl reserve ADDRESS MAC\" would.");
}

static enum ctl_status bad_address(const struct ctl *ctl, const char *text)
{
	return ctl_complain(ctl, CTL_USAGE,
			    "\"%.100s\" is no IPv4 address: expected one of the guests' network, "
			    "such as 192.168.65.50",
			    text);
}

static bool parse_address(const char *text, struct addr *ret)
{
	return addr_parse(text, ret) == 0 && ret->family == AF_INET;
}

enum ctl_status command_reserve(const struct ctl *ctl)
{
	const char *address_text = ctl->args.arguments[1], *mac_text = ctl->args.arguments[2];
	struct json_object *body, *made;
	enum ctl_status status;
	struct addr address;
	struct mac mac;

	if (!parse_address(address_text, &address))
		return bad_address(ctl, address_text);
	if (mac_parse(mac_text, &mac) < 0)
		return ctl_complain(ctl, CTL_USAGE,
				    "\"%.100s\" is no MAC: expected six bytes in hex, such as "
				    "52:54:00:12:34:56",
				    mac_text);
	body = json_object_new_object();
	json_object_object_add(body, "address", json_object_new_string(address_text));
	json_object_object_add(body, "mac", json_object_new_string(mac_text));
	if (ctl->args.name)
		json_object_object_add(body, "hostname", json_object_new_string(ctl->args.name));
	status = ctl_post(ctl, PATH_STATIC, body, &made);
	if (status != CTL_OK)
		return status;
	if (ctl->args.json)
		ctl_show_json(ctl, made);
	else
		fprintf(ctl->out, "reserved %s for %s\n", ctl_text(made, "address"),
			ctl_text(made, "mac"));
	json_object_put(made);
	return CTL_OK;
}

/* The MAC that an address is kept for; "" when there is none. */
static enum ctl_status find_mac(const struct ctl *ctl, const struct addr *address,
				char to[static MAC_TEXT_MAX])
{
	struct json_object *list;
	enum ctl_status status = ctl_get(ctl, PATH_STATIC, &list);
	struct addr entry_address;

	to[0] = '\0';
	if (status != CTL_OK)
		return status;
	for (size_t i = 0; i < ctl_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (addr_parse(ctl_text(entry, "address"), &entry_address) == 0 &&
		    addr_equal(&entry_address, address))
			snprintf(to, MAC_TEXT_MAX, "%s", ctl_text(entry, "mac"));
	}
	json_object_put(list);
	return CTL_OK;
}

enum ctl_status command_unreserve(const struct ctl *ctl)
{
	const char *text = ctl->args.arguments[1];
	char query[CTL_QUERY_MAX] = PATH_STATIC, mac[MAC_TEXT_MAX];
	enum ctl_status status;
	struct addr address;

	if (!parse_address(text, &address))
		return bad_address(ctl, text);
	status = find_mac(ctl, &address, mac);
	if (status != CTL_OK)
		return status;
	if (!mac[0])
		return ctl_complain(ctl, CTL_FAILED,
				    "%s is reserved for no MAC; \"netproxyctl reservations\" lists "
				    "what is",
				    text);
	ctl_add_query(query, "address", text);
	ctl_add_query(query, "mac", mac);
	status = ctl_delete(ctl, query);
	if (status == CTL_OK && !ctl->args.json)
		fprintf(ctl->out, "no longer reserved: %s for %s\n", text, mac);
	return status;
}
