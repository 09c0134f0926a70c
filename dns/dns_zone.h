/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of local zones: names that this network answers itself, from the configuration, from
 * the API and built in. dns_local.c decides with it; the model is gvproxy's (a zone has records,
 * each a name or a regular expression, and maybe a default address).
 *
 * A zone that a user adds is ours altogether: what isn't in it doesn't exist. Built-in names live
 * in zones marked as shared (internal, docker.internal, containers.internal): only these names are
 * ours, the rest of the zone belongs to whoever the host's resolver finds there. The root zone is
 * always shared, so that single names can be overridden by records in it.
 */
#ifndef DNS_DNS_ZONE_H
#define DNS_DNS_ZONE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "dns/dns_pattern.h"
#include "dns/dns_wire.h"

#define DNS_ZONES_MAX   64
#define DNS_RECORDS_MAX 4096 /* of all zones together */
#define DNS_REGEXPS_MAX 256  /* of all zones together */

/* A record as users give it and as it is listed; the strings are borrowed. */
struct dns_record_conf {
	const char *name;   /* relative to the zone; "" or "@" is the zone itself, unless there is a
			       regexp */
	const char *regexp; /* dns_pattern.h, matched anywhere in the relative name; NULL: none */
	struct addr ip;
};

struct dns_zone_conf {
	const char *name; /* with or without the final dot */
	const struct dns_record_conf *records;
	size_t record_count;
	struct addr default_ip; /* for names without a record; AF_UNSPEC: none */
};

struct dns_zone_record {
	struct dns_record_conf conf; /* strings owned */
	struct dns_name name; /* lower case, with the zone; unset where there is only a regexp */
	bool has_name;
	bool is_built_in; /* names below it are ours too */
	unsigned batch;   /* of one call of dns_zones_add(): same names in it make one answer */
	struct dns_pattern *pattern; /* NULL: no regexp */
};

struct dns_zone {
	char *text; /* the name as given, with the final dot */
	struct dns_name name;
	struct dns_zone_record **records; /* in the order in which they are tried */
	size_t record_count;
	struct addr default_ip;
	bool is_shared;
	unsigned order; /* zones are listed as they came */
};

struct dns_zones {
	struct dns_zone *zones[DNS_ZONES_MAX]; /* longest name first */
	size_t count;
	size_t record_count;
	size_t regexp_count;
	unsigned batch; /* calls so far that made records */
	unsigned order; /* zones made so far */
};

void dns_zones_init(struct dns_zones *zones);
void dns_zones_destroy(struct dns_zones *zones);

/*
 * Adds a zone. Where there is one of that name, the new records go in front of its own, and its
 * default address is replaced (as gvproxy does); records that it has already move to the front.
 * Returns 0; -EINVAL, -ENOSPC or -ENOMEM, with nothing changed and a message for the user in
 * `error`.
 */
int dns_zones_add(struct dns_zones *zones, const struct dns_zone_conf *conf, char *error,
		  size_t error_size);
/* Makes the zone what `conf` says, whatever was in it, but for its built-in records. Returns as
 * dns_zones_add() does. */
int dns_zones_put(struct dns_zones *zones, const struct dns_zone_conf *conf, char *error,
		  size_t error_size);
/* A name that is always there, such as "host.docker.internal"; its zone is shared. */
int dns_zones_add_built_in(struct dns_zones *zones, const char *zone, const char *name,
			   const struct addr *ip);
/* Removes a zone with its records, all but built-in ones. Returns 0, -ENOENT when there is none of
 * that name, or -EPERM when all of it is built in. */
int dns_zones_remove(struct dns_zones *zones, const char *name);
/* The zone of that name, or NULL. */
const struct dns_zone *dns_zones_get(const struct dns_zones *zones, const char *name);
/* Fills `to` with all zones in the order in which they were made; returns their number. */
size_t dns_zones_list(const struct dns_zones *zones,
		      const struct dns_zone *to[static DNS_ZONES_MAX]);

/* The record that answers for `name` (lower case) with an address of `family`, or with AF_UNSPEC of
 * any, or NULL: the first one that matches, in the longest zone that has one. */
const struct dns_zone_record *dns_zones_find(const struct dns_zones *zones,
					     const struct dns_name *name, sa_family_t family,
					     const struct dns_zone **ret_zone);
/* The next record behind `record` of its zone that was given with it and like it, but for the
 * address, which is of the same family; or NULL. */
const struct dns_zone_record *dns_zone_next_like(const struct dns_zone *zone,
						 const struct dns_zone_record *record);
/* The zone that decides about `name` when no record does: the longest that has a default address or
 * is ours altogether; or NULL. */
const struct dns_zone *dns_zones_owner(const struct dns_zones *zones, const struct dns_name *name);
/* Whether a record's name lies below `name`, which therefore exists, though empty (RFC 8020). */
bool dns_zone_has_below(const struct dns_zone *zone, const struct dns_name *name);
/* The built-in record that `name` lies below, or NULL. */
const struct dns_zone_record *dns_zones_built_in_above(const struct dns_zones *zones,
						       const struct dns_name *name);
/* The name of a record with this address, for reverse lookups, or NULL: a built-in one first, and
 * then the one in the shortest zone (gateway.internal before gateway.docker.internal). */
const struct dns_name *dns_zones_name_of(const struct dns_zones *zones, const struct addr *addr);

#endif
