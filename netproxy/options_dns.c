/* SPDX-License-Identifier: Apache-2.0 */
/* The options of DNS: resolvers, routes, names of one's own, and the host's files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/dns_pattern.h"
#include "netproxy/options_private.h"

#define NONE "none"
/* Of a value that is taken apart. */
#define VALUE_MAX 4096

#define RESOLVER_FORM                                                               \
	"an address, with a port if it isn't 53, such as 10.0.0.2, 10.0.0.2:5353, " \
	"[2001:db8::1]:5353 or fe80::1%eth0"
#define RECORD_FORM                                                                \
	"NAME=ADDRESS[,ADDRESS...], such as db.corp.example=10.0.0.5,fd00::5, or " \
	"/REGEXP/ZONE=ADDRESS[,ADDRESS...], such as '/^api-[0-9]+$/crc.testing=192.168.65.2'"
#define ZONE_FORM  "NAME[=ADDRESS], such as crc.testing or apps.crc.testing=192.168.65.2"
#define ROUTE_FORM "DOMAIN=RESOLVER[,RESOLVER...], such as corp.example=10.0.0.2,[2001:db8::1]:5353"

/* Takes the part behind the last '=' off a copy of the value; NULL when there is none. */
static char *cut_value(char *text)
{
	char *equals = strrchr(text, '=');

	if (!equals)
		return NULL;
	*equals = '\0';
	return equals + 1;
}

static bool copy_value(char to[static VALUE_MAX], const char *value)
{
	size_t size = strlen(value);

	if (size >= VALUE_MAX)
		return false;
	memcpy(to, value, size + 1);
	return true;
}

/* A name that isn't the root's, in lower case. */
static bool parse_name(const char *text, struct dns_name *ret)
{
	if (dns_name_parse(text, ret) < 0 || ret->size == 1)
		return false;
	dns_name_lower(ret);
	return true;
}

/* An address, in brackets or not. */
static bool parse_addr(char *text, struct addr *ret)
{
	size_t size = strlen(text);

	if (size > 2 && text[0] == '[' && text[size - 1] == ']') {
		text[size - 1] = '\0';
		text++;
	}
	return addr_parse(text, ret) == 0;
}

int options_apply_dns(struct options *options, const char *value,
		      char error[static OPTIONS_ERROR_MAX])
{
	if (options->dns_count == DNS_RESOLVERS_MAX) {
		snprintf(error, OPTIONS_ERROR_MAX, "given more than %d times, the most allowed",
			 DNS_RESOLVERS_MAX);
		return -ENOSPC;
	}
	if (dns_resolver_parse(value, &options->dns[options->dns_count]) < 0)
		return options_complain(error, value, RESOLVER_FORM);
	options->dns_count++;
	return 0;
}

static int parse_route(const char *value, struct dns_route_option *ret,
		       char error[static OPTIONS_ERROR_MAX])
{
	char copy[VALUE_MAX], *rest, *text;

	if (!copy_value(copy, value) || !(rest = cut_value(copy)) ||
	    !parse_name(copy, &ret->suffix))
		return options_complain(error, value, ROUTE_FORM);
	while ((text = strsep(&rest, ","))) {
		if (ret->resolver_count == DNS_RESOLVERS_MAX) {
			snprintf(error, OPTIONS_ERROR_MAX,
				 "\"%.200s\": expected at most %d resolvers", value,
				 DNS_RESOLVERS_MAX);
			return -EINVAL;
		}
		if (dns_resolver_parse(text, &ret->resolvers[ret->resolver_count++]) < 0)
			return options_complain(error, value, ROUTE_FORM);
	}
	return 0;
}

int options_apply_dns_route(struct options *options, const char *value,
			    char error[static OPTIONS_ERROR_MAX])
{
	struct dns_route_option route = {0}, *to;
	int r = parse_route(value, &route, error);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < options->dns_route_count; i++) {
		if (dns_name_equal(&options->dns_routes[i].suffix, &route.suffix))
			return options_complain(error, value,
						"a domain only once, with all of its resolvers");
	}
	to = options_grow((void **)&options->dns_routes, &options->dns_route_count, sizeof(route),
			  DNS_ROUTES_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = route;
	return 0;
}

int options_apply_dns_zone(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	struct dns_zone_option zone = {0}, *to;
	char copy[VALUE_MAX], *ip;

	if (!copy_value(copy, value))
		return options_complain(error, value, ZONE_FORM);
	ip = cut_value(copy);
	if (!parse_name(copy, &zone.name) || (ip && !parse_addr(ip, &zone.default_ip)))
		return options_complain(error, value, ZONE_FORM);
	for (unsigned i = 0; i < options->dns_zone_count; i++) {
		if (dns_name_equal(&options->dns_zones[i].name, &zone.name))
			return options_complain(error, value, "a zone only once");
	}
	to = options_grow((void **)&options->dns_zones, &options->dns_zone_count, sizeof(zone),
			  DNS_ZONES_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = zone;
	return 0;
}

/* The part in front of the '=': a name, or a regular expression and the zone that it is for. */
static int parse_record_name(char *text, const char *value, struct dns_record_option *ret,
			     char error[static OPTIONS_ERROR_MAX])
{
	struct dns_pattern *pattern;
	const char *complaint = "";
	char *slash = strrchr(text, '/');
	int r;

	if (text[0] != '/')
		return parse_name(text, &ret->name) ? 0
						    : options_complain(error, value, RECORD_FORM);
	if (slash < text + 2 || !parse_name(slash + 1, &ret->name))
		return options_complain(error, value, RECORD_FORM);
	*slash = '\0';
	r = dns_pattern_new(text + 1, &pattern, &complaint);
	if (r == -EINVAL)
		snprintf(
			error, OPTIONS_ERROR_MAX,
			"\"%.200s\": expected a regular expression between the slashes; this one %s",
			value, complaint);
	else if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
	if (r < 0)
		return r;
	dns_pattern_free(pattern);
	memcpy(ret->regexp, text + 1, strlen(text));
	return 0;
}

int options_apply_dns_record(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	struct dns_record_option record = {0}, *to;
	char copy[VALUE_MAX], *rest, *text;
	int r;

	if (!copy_value(copy, value) || !(rest = cut_value(copy)))
		return options_complain(error, value, RECORD_FORM);
	r = parse_record_name(copy, value, &record, error);
	while (r == 0 && (text = strsep(&rest, ","))) {
		if (!parse_addr(text, &record.ip))
			return options_complain(error, value, RECORD_FORM);
		to = options_grow((void **)&options->dns_records, &options->dns_record_count,
				  sizeof(record), DNS_RECORDS_MAX, error);
		if (!to)
			return -ENOSPC;
		*to = record;
	}
	return r;
}

int options_apply_dns_search(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	struct dns_name name, *to;

	options->dns_search_given = true;
	if (strcmp(value, NONE) == 0)
		return 0;
	if (!parse_name(value, &name))
		return options_complain(error, value,
					"a domain, such as corp.example, or none for no others");
	to = options_grow((void **)&options->dns_search, &options->dns_search_count, sizeof(name),
			  DNS_SEARCH_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = name;
	return 0;
}

/* A path, or none. */
static int apply_file(const char *value, char to[static OPTIONS_PATH_MAX], bool *ret_none,
		      char error[static OPTIONS_ERROR_MAX])
{
	*ret_none = strcmp(value, NONE) == 0;
	return options_set_text(to, OPTIONS_PATH_MAX, value, error);
}

int options_apply_resolv_conf(struct options *options, const char *value,
			      char error[static OPTIONS_ERROR_MAX])
{
	return apply_file(value, options->resolv_conf, &options->no_resolv_conf, error);
}

int options_apply_hosts_file(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	return apply_file(value, options->hosts_file, &options->no_hosts_file, error);
}

/* The zone of a record, as an index; dns_zone_count stands for the root zone, where single names
 * are that lie in none. */
static unsigned zone_of(const struct options *options, const struct dns_record_option *record)
{
	unsigned found = options->dns_zone_count;
	size_t found_size = 0;

	for (unsigned i = 0; i < options->dns_zone_count; i++) {
		const struct dns_name *zone = &options->dns_zones[i].name;

		if (record->regexp[0]
			    ? dns_name_equal(&record->name, zone)
			    : zone->size > found_size && dns_name_is_within(&record->name, zone)) {
			found = i;
			found_size = zone->size;
		}
	}
	return found;
}

int options_finish_dns(const struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	for (unsigned i = 0; i < options->dns_record_count; i++) {
		const struct dns_record_option *record = &options->dns_records[i];
		char text[DNS_NAME_TEXT_MAX];

		if (!record->regexp[0] || zone_of(options, record) < options->dns_zone_count)
			continue;
		dns_name_format(&record->name, text);
		snprintf(
			error, OPTIONS_ERROR_MAX,
			"--dns-record \"/%.100s/%.100s\": expected the zone of a --dns-zone behind "
			"the regular expression: add --dns-zone %.100s",
			record->regexp, text, text);
		return -EINVAL;
	}
	return 0;
}

void options_free_dns(struct options *options)
{
	free(options->dns_routes);
	free(options->dns_zones);
	free(options->dns_records);
	free(options->dns_search);
	options->dns_routes = NULL;
	options->dns_zones = NULL;
	options->dns_records = NULL;
	options->dns_search = NULL;
}

/* ---- Zones for the server ---- */

static int fill_record(const struct dns_record_option *from, const struct dns_name *zone,
		       struct dns_record_conf *to)
{
	struct dns_name relative = {.size = 1};
	char text[DNS_NAME_TEXT_MAX];

	if (!from->regexp[0])
		dns_name_cut(&from->name, zone, &relative);
	to->ip = from->ip;
	to->regexp = from->regexp[0] ? from->regexp : NULL;
	to->name = strdup(relative.size > 1 ? dns_name_format(&relative, text) : "");
	return to->name ? 0 : -ENOMEM;
}

static int fill_zone(const struct options *options, const unsigned *zone_ofs, unsigned index,
		     struct options_zones *to)
{
	static const struct dns_name root = {.size = 1};
	bool is_root = index == options->dns_zone_count;
	const struct dns_name *name = is_root ? &root : &options->dns_zones[index].name;
	struct dns_zone_conf *zone = &to->zones[to->count++];
	char text[DNS_NAME_TEXT_MAX];
	int r = 0;

	zone->records = &to->records[to->record_count];
	zone->name = strdup(dns_name_format(name, text));
	if (!is_root)
		zone->default_ip = options->dns_zones[index].default_ip;
	if (!zone->name)
		return -ENOMEM;
	for (unsigned i = 0; i < options->dns_record_count && r == 0; i++) {
		if (zone_ofs[i] != index)
			continue;
		r = fill_record(&options->dns_records[i], name, &to->records[to->record_count++]);
		zone->record_count++;
	}
	return r;
}

int options_zones_make(const struct options *options, struct options_zones *ret_zones)
{
	struct options_zones made = {
		.zones = calloc(options->dns_zone_count + 1, sizeof(*made.zones)),
		.records = calloc(options->dns_record_count + 1, sizeof(*made.records)),
	};
	unsigned *zone_ofs = calloc(options->dns_record_count + 1, sizeof(*zone_ofs));
	bool has_root = false;
	int r = made.zones && made.records && zone_ofs ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < options->dns_record_count; i++) {
		zone_ofs[i] = zone_of(options, &options->dns_records[i]);
		has_root |= zone_ofs[i] == options->dns_zone_count;
	}
	for (unsigned i = 0; r == 0 && i < options->dns_zone_count + has_root; i++)
		r = fill_zone(options, zone_ofs, i, &made);
	free(zone_ofs);
	if (r < 0) {
		options_zones_free(&made);
		return r;
	}
	*ret_zones = made;
	return 0;
}

void options_zones_free(struct options_zones *zones)
{
	for (size_t i = 0; zones->zones && i < zones->count; i++)
		free((char *)zones->zones[i].name);
	for (size_t i = 0; zones->records && i < zones->record_count; i++)
		free((char *)zones->records[i].name);
	free(zones->zones);
	free(zones->records);
	*zones = (struct options_zones){0};
}
