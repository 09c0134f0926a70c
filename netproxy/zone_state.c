/* SPDX-License-Identifier: Apache-2.0 */
/* Zones of DNS to JSON and back; see zone_state.h. */
#include "netproxy/zone_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

#define SECTION "dns"

struct zone_state {
	struct dns_server *server;
	struct state_file *state;
	/* Zones and batches of records from these on came by the API. */
	unsigned first_order;
	unsigned first_batch;
};

static void add_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static struct json_object *record_object(const struct dns_record_conf *conf)
{
	struct json_object *object = json_object_new_object();
	char ip[ADDR_TEXT_MAX];

	if (conf->name[0])
		add_text(object, "name", conf->name);
	if (conf->regexp)
		add_text(object, "regexp", conf->regexp);
	add_text(object, "ip", addr_format(&conf->ip, ip));
	return object;
}

/* A zone's records that came by the API: a list for each batch. Records of later batches stand in
 * front of those of earlier ones, so it is read from behind, and each batch from its front. */
static struct json_object *batches(const struct zone_state *zones, const struct dns_zone *zone)
{
	struct json_object *lists = json_object_new_array();

	for (size_t end = zone->record_count; end > 0;) {
		unsigned batch = zone->records[end - 1]->batch;
		struct json_object *list = NULL;
		size_t begin = end;

		while (begin > 0 && zone->records[begin - 1]->batch == batch)
			begin--;
		for (size_t i = begin; i < end && batch >= zones->first_batch; i++) {
			list = list ? list : json_object_new_array();
			json_object_array_add(list, record_object(&zone->records[i]->conf));
		}
		if (list)
			json_object_array_add(lists, list);
		end = begin;
	}
	return lists;
}

static struct json_object *zone_object(const struct zone_state *zones, const struct dns_zone *zone)
{
	struct json_object *object, *lists = batches(zones, zone);
	char ip[ADDR_TEXT_MAX];

	if (zone->order < zones->first_order && json_object_array_length(lists) == 0) {
		json_object_put(lists);
		return NULL;
	}
	object = json_object_new_object();
	add_text(object, "name", zone->text);
	if (zone->default_ip.family != AF_UNSPEC)
		add_text(object, "default_ip", addr_format(&zone->default_ip, ip));
	json_object_object_add(object, "records", lists);
	return object;
}

static struct json_object *save(void *arg)
{
	const struct zone_state *zones = arg;
	const struct dns_zone *list[DNS_ZONES_MAX];
	size_t count = dns_zones_list(dns_server_zones(zones->server), list);
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < count; i++) {
		struct json_object *object = zone_object(zones, list[i]);

		if (object)
			json_object_array_add(array, object);
	}
	return array;
}

static void load_ip(struct json_reader *r, const char *key, struct addr *ret)
{
	const char *text = json_get_string(r, key, NULL);

	if (text && addr_parse(text, ret) < 0)
		json_fail(r, "\"%s\" is \"%.60s\": expected an IP address", key, text);
}

/* The records of one list; those that can't be read fail the reader. */
static size_t load_records(struct json_object *list, struct json_reader *outer,
			   struct dns_record_conf *to)
{
	size_t count = json_object_array_length(list);

	for (size_t i = 0; i < count; i++) {
		struct json_reader r = json_reader(json_object_array_get_idx(list, i),
						   "a DNS record of the state");

		to[i] = (struct dns_record_conf){.name = json_get_string(&r, "name", ""),
						 .regexp = json_get_string(&r, "regexp", NULL)};
		load_ip(&r, "ip", &to[i].ip);
		if (!json_ok(&r))
			json_fail(outer, "%s", r.error);
	}
	return count;
}

static int load_list(struct zone_state *zones, struct json_object *list, struct json_reader *r,
		     struct dns_zone_conf *conf, char error[static STATE_ERROR_MAX])
{
	struct dns_record_conf *records;
	int code = 0;

	if (!json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > DNS_RECORDS_MAX) {
		snprintf(error, STATE_ERROR_MAX,
			 "the DNS zone \"%.100s\": expected lists of at most %d records",
			 conf->name, DNS_RECORDS_MAX);
		return -EINVAL;
	}
	records = calloc(json_object_array_length(list) + 1, sizeof(*records));
	if (!records) {
		snprintf(error, STATE_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	conf->records = records;
	conf->record_count = load_records(list, r, records);
	if (json_ok(r))
		code = dns_server_add_zone(zones->server, conf, error, STATE_ERROR_MAX);
	free(records);
	return code;
}

static int load_zone(struct zone_state *zones, struct json_object *object,
		     char error[static STATE_ERROR_MAX])
{
	struct json_reader r = json_reader(object, "a DNS zone of the state");
	struct dns_zone_conf conf = {.name = json_need_string(&r, "name")};
	struct json_object *lists = json_get_array(&r, "records");
	size_t count = lists ? json_object_array_length(lists) : 0;
	int code = 0;

	load_ip(&r, "default_ip", &conf.default_ip);
	if (json_ok(&r) && count == 0)
		code = dns_server_add_zone(zones->server, &conf, error, STATE_ERROR_MAX);
	for (size_t i = 0; i < count && json_ok(&r) && code == 0; i++)
		code = load_list(zones, json_object_array_get_idx(lists, i), &r, &conf, error);
	if (!json_ok(&r)) {
		snprintf(error, STATE_ERROR_MAX, "%s", r.error);
		return -EINVAL;
	}
	return code;
}

/* One zone that can't be had leaves the others. */
static int load(void *arg, struct json_object *section, char error[static STATE_ERROR_MAX])
{
	struct zone_state *zones = arg;
	int code = 0;

	if (!json_object_is_type(section, json_type_array)) {
		snprintf(error, STATE_ERROR_MAX, "\"" SECTION "\": expected a list of zones");
		return -EINVAL;
	}
	for (size_t i = 0; i < json_object_array_length(section); i++) {
		char why[STATE_ERROR_MAX];
		int r = load_zone(zones, json_object_array_get_idx(section, i), why);

		if (r < 0 && code == 0) {
			snprintf(error, STATE_ERROR_MAX, "%s", why);
			code = r;
		}
	}
	return code;
}

int zone_state_new(struct dns_server *server, struct state_file *state,
		   struct zone_state **ret_zones)
{
	struct zone_state *zones = calloc(1, sizeof(*zones));
	struct state_section section = {.name = SECTION, .save = save, .load = load, .arg = zones};
	int r;

	if (!zones)
		return -ENOMEM;
	zones->server = server;
	zones->state = state;
	zones->first_order = dns_server_zones(server)->order;
	zones->first_batch = dns_server_zones(server)->batch + 1;
	r = state_file_add_section(state, &section);
	if (r < 0) {
		free(zones);
		return r;
	}
	*ret_zones = zones;
	return 0;
}

void zone_state_free(struct zone_state *zones)
{
	if (!zones)
		return;
	state_file_remove_section(zones->state, SECTION);
	free(zones);
}

void zone_state_changed(struct zone_state *zones)
{
	state_file_changed(zones->state);
}
