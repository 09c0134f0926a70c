/* SPDX-License-Identifier: Apache-2.0 */
/* Holds the local zones, checks what users put into them, and finds the record for a name. */
#include "dns/dns_zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void dns_zones_init(struct dns_zones *zones)
{
	*zones = (struct dns_zones){0};
}

static void record_free(struct dns_zone_record *record)
{
	if (!record)
		return;
	dns_pattern_free(record->pattern);
	free((char *)record->conf.name);
	free((char *)record->conf.regexp);
	free(record);
}

static void zone_free(struct dns_zone *zone)
{
	if (!zone)
		return;
	for (size_t i = 0; i < zone->record_count; i++)
		record_free(zone->records[i]);
	free(zone->records);
	free(zone->text);
	free(zone);
}

void dns_zones_destroy(struct dns_zones *zones)
{
	for (size_t i = 0; i < zones->count; i++)
		zone_free(zones->zones[i]);
	dns_zones_init(zones);
}

static int record_compile(struct dns_zone_record *record, char *error, size_t error_size)
{
	const char *complaint;
	int r = dns_pattern_new(record->conf.regexp, &record->pattern, &complaint);

	if (r == -EINVAL)
		text_fail(error, error_size, r, "the regular expression \"%.64s\" %s",
			  record->conf.regexp, complaint);
	return r;
}

/* A record's full name. One with a regexp and no name answers by the regexp only. */
static int record_name(struct dns_zone_record *record, const struct dns_name *zone, char *error,
		       size_t error_size)
{
	const char *text = strcmp(record->conf.name, "@") == 0 ? "" : record->conf.name;
	struct dns_name relative;

	record->has_name = *text || !record->pattern;
	if (!record->has_name)
		return 0;
	if (dns_name_parse(text, &relative) < 0)
		return text_fail(error, error_size, -EINVAL, "\"%.64s\" is not a valid record name",
				 text);
	if (dns_name_join(&relative, zone, &record->name) < 0)
		return text_fail(error, error_size, -EINVAL,
				 "the record name \"%.64s\" is too long in its zone", text);
	dns_name_lower(&record->name);
	return 0;
}

static int record_new(const struct dns_record_conf *conf, const struct dns_name *zone, char *error,
		      size_t error_size, struct dns_zone_record **ret_record)
{
	struct dns_zone_record *record = calloc(1, sizeof(*record));
	bool has_regexp = conf->regexp && *conf->regexp;
	int r = -ENOMEM;

	if (!record)
		goto out;
	record->conf.ip = conf->ip;
	record->conf.name = strdup(conf->name ? conf->name : "");
	record->conf.regexp = has_regexp ? strdup(conf->regexp) : NULL;
	if (!record->conf.name || (has_regexp && !record->conf.regexp))
		goto out;
	if (conf->ip.family == AF_UNSPEC) {
		r = text_fail(error, error_size, -EINVAL, "the record \"%.64s\" has no IP",
			      has_regexp ? conf->regexp : record->conf.name);
		goto out;
	}
	r = has_regexp ? record_compile(record, error, error_size) : 0;
	if (r == 0)
		r = record_name(record, zone, error, error_size);
	if (r == 0) {
		*ret_record = record;
		return 0;
	}
out:
	if (r == -ENOMEM)
		text_fail(error, error_size, r, "out of memory");
	record_free(record);
	return r;
}

/* Whether a record answers for the same names as `conf`. */
static bool record_is_like(const struct dns_zone_record *record, const struct dns_record_conf *conf)
{
	const char *regexp = conf->regexp && *conf->regexp ? conf->regexp : NULL;

	if (strcmp(record->conf.name, conf->name ? conf->name : "") != 0)
		return false;
	if (!record->conf.regexp || !regexp)
		return record->conf.regexp == regexp;
	return strcmp(record->conf.regexp, regexp) == 0;
}

static bool have_record(struct dns_zone_record *const *records, size_t count,
			const struct dns_record_conf *conf)
{
	for (size_t i = 0; i < count; i++) {
		if (addr_equal(&records[i]->conf.ip, &conf->ip) && record_is_like(records[i], conf))
			return true;
	}
	return false;
}

static struct dns_zone *find_zone(const struct dns_zones *zones, const struct dns_name *name)
{
	for (size_t i = 0; i < zones->count; i++) {
		if (dns_name_equal(&zones->zones[i]->name, name))
			return zones->zones[i];
	}
	return NULL;
}

static struct dns_zone *zone_new(const struct dns_name *name)
{
	struct dns_zone *zone = calloc(1, sizeof(*zone));
	char text[DNS_NAME_TEXT_MAX];

	if (!zone)
		return NULL;
	zone->name = *name;
	dns_name_lower(&zone->name);
	dns_name_format(&zone->name, text);
	if (asprintf(&zone->text, "%s%s", text, name->size > 1 ? "." : "") < 0) {
		free(zone);
		return NULL;
	}
	return zone;
}

static void insert_zone(struct dns_zones *zones, struct dns_zone *zone)
{
	size_t i = zones->count++;

	for (; i > 0 && zones->zones[i - 1]->name.size < zone->name.size; i--)
		zones->zones[i] = zones->zones[i - 1];
	zones->zones[i] = zone;
}

static size_t count_regexps(struct dns_zone_record *const *records, size_t count)
{
	size_t regexps = 0;

	for (size_t i = 0; i < count; i++)
		regexps += records[i]->pattern != NULL;
	return regexps;
}

/* What becomes of the records that a zone has when others come. */
enum keep { KEEP_ALL, KEEP_BUILT_IN };

/* A zone's records as they are to be: new ones, owned, and behind them those that stay. */
struct merge {
	struct dns_zone_record **records;
	size_t new_count;
	size_t count;
};

static void merge_undo(struct merge *merge)
{
	for (size_t i = 0; i < merge->new_count; i++)
		record_free(merge->records[i]);
	free(merge->records);
}

/* Whether a record is still there when those of `conf` come. Given again, one moves to the front.
 */
static bool stays(const struct dns_zone_record *record, const struct dns_zone_conf *conf,
		  enum keep keep)
{
	if (record->is_built_in || keep == KEEP_BUILT_IN)
		return record->is_built_in;
	for (size_t i = 0; i < conf->record_count; i++) {
		if (addr_equal(&record->conf.ip, &conf->records[i].ip) &&
		    record_is_like(record, &conf->records[i]))
			return false;
	}
	return true;
}

/* Makes the records of `conf` that aren't there already; `kept` are those that stay. */
static int merge_new(struct merge *merge, struct dns_zone_record *const *kept, size_t kept_count,
		     const struct dns_name *zone, const struct dns_zone_conf *conf, unsigned batch,
		     char *error, size_t error_size)
{
	for (size_t i = 0; i < conf->record_count; i++) {
		struct dns_zone_record **to = &merge->records[merge->new_count];

		if (have_record(kept, kept_count, &conf->records[i]) ||
		    have_record(merge->records, merge->new_count, &conf->records[i]))
			continue;
		int r = record_new(&conf->records[i], zone, error, error_size, to);
		if (r < 0)
			return r;
		(*to)->batch = batch;
		merge->new_count++;
	}
	return 0;
}

/* Whether there is room when the zone's records become those of the merge. */
static int check_room(const struct dns_zones *zones, const struct dns_zone *zone,
		      const struct merge *merge, char *error, size_t error_size)
{
	size_t regexps = zones->regexp_count - count_regexps(zone->records, zone->record_count) +
			 count_regexps(merge->records, merge->count);

	if (zones->record_count - zone->record_count + merge->count > DNS_RECORDS_MAX)
		return text_fail(error, error_size, -ENOSPC, "there may be at most %d DNS records",
				 DNS_RECORDS_MAX);
	if (regexps > DNS_REGEXPS_MAX)
		return text_fail(error, error_size, -ENOSPC,
				 "there may be at most %d regular expressions in DNS zones",
				 DNS_REGEXPS_MAX);
	return 0;
}

static int merge_records(const struct dns_zones *zones, const struct dns_zone *zone,
			 const struct dns_zone_conf *conf, enum keep keep, char *error,
			 size_t error_size, struct merge *ret_merge)
{
	struct merge merge = {0};
	struct dns_zone_record **kept;
	size_t kept_count = 0;

	if (conf->record_count > DNS_RECORDS_MAX)
		return text_fail(error, error_size, -ENOSPC, "there may be at most %d DNS records",
				 DNS_RECORDS_MAX);
	merge.records = calloc(conf->record_count + zone->record_count + 1,
			       sizeof(struct dns_zone_record *));
	if (!merge.records)
		return text_fail(error, error_size, -ENOMEM, "out of memory");
	/* Behind the room for as many new ones as there may be. */
	kept = merge.records + conf->record_count;
	for (size_t i = 0; i < zone->record_count; i++) {
		if (stays(zone->records[i], conf, keep))
			kept[kept_count++] = zone->records[i];
	}
	int r = merge_new(&merge, kept, kept_count, &zone->name, conf, zones->batch + 1, error,
			  error_size);
	if (r == 0) {
		memmove(merge.records + merge.new_count, kept,
			kept_count * sizeof(struct dns_zone_record *));
		merge.count = merge.new_count + kept_count;
		r = check_room(zones, zone, &merge, error, error_size);
	}
	if (r < 0) {
		merge_undo(&merge);
		return r;
	}
	*ret_merge = merge;
	return 0;
}

/* Gives a zone its merged records, and frees those that it had and that aren't among them; those
 * that stay are in the same order. */
static void take_merge(struct dns_zones *zones, struct dns_zone *zone, const struct merge *merge)
{
	size_t kept = merge->new_count;

	zones->record_count += merge->count - zone->record_count;
	zones->regexp_count += count_regexps(merge->records, merge->count) -
			       count_regexps(zone->records, zone->record_count);
	for (size_t i = 0; i < zone->record_count; i++) {
		if (kept < merge->count && merge->records[kept] == zone->records[i])
			kept++;
		else
			record_free(zone->records[i]);
	}
	free(zone->records);
	zone->records = merge->records;
	zone->record_count = merge->count;
	zones->batch++;
}

static int add_zone(struct dns_zones *zones, const struct dns_zone_conf *conf, enum keep keep,
		    bool is_built_in, char *error, size_t error_size)
{
	struct dns_name name;
	struct merge merge = {0};

	if (!conf->name || dns_name_parse(conf->name, &name) < 0)
		return text_fail(error, error_size, -EINVAL, "\"%.64s\" is not a valid zone name",
				 conf->name ? conf->name : "");
	struct dns_zone *zone = find_zone(zones, &name);
	bool is_new = !zone;
	if (is_new && zones->count == DNS_ZONES_MAX)
		return text_fail(error, error_size, -ENOSPC, "there may be at most %d DNS zones",
				 DNS_ZONES_MAX);
	if (is_new && !(zone = zone_new(&name)))
		return text_fail(error, error_size, -ENOMEM, "out of memory");

	int r = merge_records(zones, zone, conf, keep, error, error_size, &merge);
	if (r < 0) {
		if (is_new)
			zone_free(zone);
		return r;
	}
	for (size_t i = 0; i < merge.new_count; i++)
		merge.records[i]->is_built_in = is_built_in;
	take_merge(zones, zone, &merge);
	zone->default_ip = conf->default_ip;
	zone->is_shared = zone->name.size == 1 || (is_built_in && (is_new || zone->is_shared));
	if (is_new) {
		zone->order = zones->order++;
		insert_zone(zones, zone);
	}
	return 0;
}

int dns_zones_add(struct dns_zones *zones, const struct dns_zone_conf *conf, char *error,
		  size_t error_size)
{
	return add_zone(zones, conf, KEEP_ALL, false, error, error_size);
}

int dns_zones_put(struct dns_zones *zones, const struct dns_zone_conf *conf, char *error,
		  size_t error_size)
{
	return add_zone(zones, conf, KEEP_BUILT_IN, false, error, error_size);
}

int dns_zones_add_built_in(struct dns_zones *zones, const char *zone, const char *name,
			   const struct addr *ip)
{
	struct dns_record_conf record = {.name = name, .ip = *ip};
	struct dns_zone_conf conf = {.name = zone, .records = &record, .record_count = 1};
	char error[128];

	return add_zone(zones, &conf, KEEP_ALL, true, error, sizeof(error));
}

/* Takes a zone's records out, all but the built-in ones. */
static void drop_records(struct dns_zones *zones, struct dns_zone *zone)
{
	size_t kept = 0;

	for (size_t i = 0; i < zone->record_count; i++) {
		struct dns_zone_record *record = zone->records[i];

		if (record->is_built_in) {
			zone->records[kept++] = record;
			continue;
		}
		zones->record_count--;
		zones->regexp_count -= record->pattern != NULL;
		record_free(record);
	}
	zone->record_count = kept;
}

static size_t built_in_count(const struct dns_zone *zone)
{
	size_t count = 0;

	for (size_t i = 0; i < zone->record_count; i++)
		count += zone->records[i]->is_built_in;
	return count;
}

int dns_zones_remove(struct dns_zones *zones, const char *text)
{
	struct dns_name name;

	if (dns_name_parse(text, &name) < 0)
		return -ENOENT;
	for (size_t i = 0; i < zones->count; i++) {
		struct dns_zone *zone = zones->zones[i];

		if (!dns_name_equal(&zone->name, &name))
			continue;
		if (zone->is_shared && zone->record_count == built_in_count(zone) &&
		    zone->record_count && zone->default_ip.family == AF_UNSPEC)
			return -EPERM;
		drop_records(zones, zone);
		if (zone->record_count) {
			zone->default_ip = (struct addr){.family = AF_UNSPEC};
			zone->is_shared = true;
			return 0;
		}
		zone_free(zone);
		zones->count--;
		memmove(&zones->zones[i], &zones->zones[i + 1],
			(zones->count - i) * sizeof(zones->zones[0]));
		return 0;
	}
	return -ENOENT;
}

const struct dns_zone *dns_zones_get(const struct dns_zones *zones, const char *text)
{
	struct dns_name name;

	return dns_name_parse(text, &name) == 0 ? find_zone(zones, &name) : NULL;
}

size_t dns_zones_list(const struct dns_zones *zones,
		      const struct dns_zone *to[static DNS_ZONES_MAX])
{
	for (size_t count = 0; count < zones->count; count++) {
		size_t i = count;

		for (; i > 0 && to[i - 1]->order > zones->zones[count]->order; i--)
			to[i] = to[i - 1];
		to[i] = zones->zones[count];
	}
	return zones->count;
}

/* The text that a zone's regular expressions see, made at most once per lookup. */
struct relative_text {
	bool is_made;
	char text[DNS_NAME_TEXT_MAX];
};

static bool record_matches(const struct dns_zone_record *record, const struct dns_zone *zone,
			   const struct dns_name *name, struct relative_text *relative)
{
	if (record->has_name && dns_name_equal(&record->name, name))
		return true;
	if (!record->pattern || name->size == zone->name.size)
		return false;
	if (!relative->is_made) {
		struct dns_name front;

		dns_name_cut(name, &zone->name, &front);
		dns_name_format(&front, relative->text);
		relative->is_made = true;
	}
	return dns_pattern_matches(record->pattern, relative->text);
}

const struct dns_zone_record *dns_zones_find(const struct dns_zones *zones,
					     const struct dns_name *name, sa_family_t family,
					     const struct dns_zone **ret_zone)
{
	for (size_t i = 0; i < zones->count; i++) {
		const struct dns_zone *zone = zones->zones[i];
		struct relative_text relative = {.is_made = false};

		if (!dns_name_is_within(name, &zone->name))
			continue;
		for (size_t j = 0; j < zone->record_count; j++) {
			const struct dns_zone_record *record = zone->records[j];

			if (family != AF_UNSPEC && record->conf.ip.family != family)
				continue;
			if (record_matches(record, zone, name, &relative)) {
				*ret_zone = zone;
				return record;
			}
		}
	}
	return NULL;
}

const struct dns_zone_record *dns_zone_next_like(const struct dns_zone *zone,
						 const struct dns_zone_record *record)
{
	size_t i = 0;

	while (i < zone->record_count && zone->records[i] != record)
		i++;
	for (i++; i < zone->record_count; i++) {
		const struct dns_zone_record *other = zone->records[i];

		if (other->batch == record->batch &&
		    other->conf.ip.family == record->conf.ip.family &&
		    record_is_like(other, &record->conf))
			return other;
	}
	return NULL;
}

const struct dns_zone *dns_zones_owner(const struct dns_zones *zones, const struct dns_name *name)
{
	for (size_t i = 0; i < zones->count; i++) {
		const struct dns_zone *zone = zones->zones[i];

		if (dns_name_is_within(name, &zone->name) &&
		    (!zone->is_shared || zone->default_ip.family != AF_UNSPEC))
			return zone;
	}
	return NULL;
}

bool dns_zone_has_below(const struct dns_zone *zone, const struct dns_name *name)
{
	for (size_t i = 0; i < zone->record_count; i++) {
		if (zone->records[i]->has_name && dns_name_is_within(&zone->records[i]->name, name))
			return true;
	}
	return false;
}

const struct dns_zone_record *dns_zones_built_in_above(const struct dns_zones *zones,
						       const struct dns_name *name)
{
	for (size_t i = 0; i < zones->count; i++) {
		const struct dns_zone *zone = zones->zones[i];

		for (size_t j = 0; zone->is_shared && j < zone->record_count; j++) {
			const struct dns_zone_record *record = zone->records[j];

			if (record->is_built_in && dns_name_is_within(name, &record->name))
				return record;
		}
	}
	return NULL;
}

static const struct dns_name *find_name(const struct dns_zones *zones, const struct addr *addr,
					bool is_built_in)
{
	for (size_t i = zones->count; i-- > 0;) {
		const struct dns_zone *zone = zones->zones[i];

		for (size_t j = 0; j < zone->record_count; j++) {
			const struct dns_zone_record *record = zone->records[j];

			if (record->has_name && record->is_built_in == is_built_in &&
			    addr_equal(&record->conf.ip, addr))
				return &record->name;
		}
	}
	return NULL;
}

const struct dns_name *dns_zones_name_of(const struct dns_zones *zones, const struct addr *addr)
{
	const struct dns_name *name = find_name(zones, addr, true);

	return name ? name : find_name(zones, addr, false);
}
