/* SPDX-License-Identifier: Apache-2.0 */
/* The decision about every query: ours, with which records, or somebody else's. */
#include "dns/dns_local.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "dns/dns_reverse.h"

static const struct dns_name localhost = {11, "\011localhost"};

void dns_local_init(struct dns_local *local)
{
	memset(local, 0, sizeof(*local));
	dns_name_parse(DNS_GUEST_DOMAIN, &local->guest_domain);
	dns_zones_init(&local->zones);
	dns_hosts_init(&local->hosts);
}

void dns_local_destroy(struct dns_local *local)
{
	dns_zones_destroy(&local->zones);
	dns_hosts_destroy(&local->hosts);
}

int dns_local_add_built_ins(struct dns_local *local)
{
	static const char *const zones[] = {"containers.internal", "docker.internal", "internal"};

	/* What is added later is listed first. */
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		const struct {
			const char *name;
			const struct addr *addr;
		} names[] = {
			{"host", &local->host6},
			{"host", &local->host4},
			{"gateway", &local->gateway6},
			{"gateway", &local->gateway4},
		};

		for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
			if (names[j].addr->family == AF_UNSPEC)
				continue;
			int r = dns_zones_add_built_in(&local->zones, zones[i], names[j].name,
						       names[j].addr);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static bool wants(const struct dns_query *query, enum dns_type type)
{
	return query->type == type || query->type == DNS_TYPE_ANY;
}

static bool wants_family(const struct dns_query *query, sa_family_t family)
{
	return wants(query, family == AF_INET ? DNS_TYPE_A : DNS_TYPE_AAAA);
}

/* Questions whose answers lead to an address. HTTPS and SVCB records carry addresses of their own,
 * which would lead around ours. */
static bool is_about_addresses(const struct dns_query *query)
{
	return query->type == DNS_TYPE_A || query->type == DNS_TYPE_AAAA ||
	       query->type == DNS_TYPE_ANY || query->type == DNS_TYPE_HTTPS ||
	       query->type == DNS_TYPE_SVCB;
}

static void add_if_wanted(const struct dns_query *query, const struct addr *addr,
			  struct dns_answer *answer)
{
	if (addr->family != AF_UNSPEC && wants_family(query, addr->family))
		dns_answer_add_addr(answer, addr, DNS_LOCAL_TTL_S);
}

/* Says that there is no such name: not for what we know of it, but for what we don't. */
static void deny(struct dns_answer *answer)
{
	answer->rcode = DNS_RCODE_NXDOMAIN;
	answer->is_default = true;
}

/* Gives an answer without records the SOA that lets it be cached: that of the zone, which is the
 * last `zone_size` bytes of the name. */
static void finish(const struct dns_query *query, size_t zone_size, struct dns_answer *answer)
{
	answer->is_authoritative = true;
	answer->soa_is_answer = answer->rcode == DNS_RCODE_NOERROR &&
				zone_size == query->name.size && wants(query, DNS_TYPE_SOA);
	if (answer->count == 0 || answer->soa_is_answer)
		answer->soa_size = zone_size;
}

static void answer_localhost(const struct dns_query *query, struct dns_answer *answer)
{
	struct addr v4 = addr_from_v4(INADDR_LOOPBACK);
	struct addr v6 = addr_from_in6(&in6addr_loopback);

	add_if_wanted(query, &v4, answer);
	add_if_wanted(query, &v6, answer);
	finish(query, localhost.size, answer);
}

/* Records of zones. A name with a record exists, whatever its type; but in a shared zone, and with
 * a record of a user's, only its addresses are overridden. */
static bool answer_record(const struct dns_local *local, const struct dns_query *query,
			  const struct dns_name *name, struct dns_answer *answer)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	const struct dns_zone *zone;
	const struct dns_zone_record *any = dns_zones_find(&local->zones, name, AF_UNSPEC, &zone);
	size_t zone_size;

	if (!any || (zone->is_shared && !any->is_built_in && !is_about_addresses(query)))
		return false;
	zone_size = zone->is_shared ? name->size : zone->name.size;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const struct dns_zone *record_zone;
		const struct dns_zone_record *record;

		if (!wants_family(query, families[i]))
			continue;
		record = dns_zones_find(&local->zones, name, families[i], &record_zone);
		/* A record of a shorter zone must not fill in for what this one leaves empty. */
		for (; record && record_zone == zone; record = dns_zone_next_like(zone, record))
			dns_answer_add_addr(answer, &record->conf.ip, DNS_LOCAL_TTL_S);
	}
	finish(query, zone_size, answer);
	return true;
}

/* The text of a name that is one label of ordinary characters, or false. */
static bool single_label(const struct dns_name *name, char to[static DNS_LABEL_MAX + 1])
{
	size_t size = name->wire[0];

	if (size == 0 || name->size != size + 2 || memchr(name->wire + 1, '\0', size))
		return false;
	memcpy(to, name->wire + 1, size);
	to[size] = '\0';
	return true;
}

/*
 * Names that a guest can't have by asking for them: what all guests' software looks up by these
 * names in the domain that they search would then be its to answer (a web proxy for everybody, a
 * tunnel), or it would pass for us.
 */
static bool is_reserved(const char *label)
{
	static const char *const names[] = {"wpad",    "isatap", "localhost", "broadcasthost",
					    "gateway", "host",   "vm"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(label, names[i]) == 0)
			return true;
	}
	return false;
}

static bool find_guest(const struct dns_local *local, const struct dns_query *query,
		       const char *label, struct dns_answer *answer)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	bool is_known = false;

	if (is_reserved(label))
		return false;
	for (size_t i = 0; local->guests.addr_of && i < 2; i++) {
		struct addr addr = {.family = AF_UNSPEC};

		if (local->guests.addr_of(local->guests.arg, label, families[i], &addr) < 0)
			continue;
		is_known = true;
		add_if_wanted(query, &addr, answer);
	}
	return is_known;
}

/* vm.internal and web.vm.internal: all of that domain is ours. */
static bool answer_guest(const struct dns_local *local, const struct dns_query *query,
			 const struct dns_name *name, struct dns_answer *answer)
{
	const struct dns_name *domain = &local->guest_domain;
	char label[DNS_LABEL_MAX + 1];
	struct dns_name front;

	if (domain->size == 1 || !dns_name_is_within(name, domain))
		return false;
	if (name->size == domain->size) {
		add_if_wanted(query, &local->vm4, answer);
		add_if_wanted(query, &local->vm6, answer);
	} else {
		dns_name_cut(name, domain, &front);
		if (!single_label(&front, label) || !find_guest(local, query, label, answer))
			deny(answer);
	}
	finish(query, domain->size, answer);
	answer->is_default |= name->size == domain->size && answer->count == 0;
	return true;
}

static bool answer_hosts(const struct dns_local *local, const struct dns_query *query,
			 const struct dns_name *name, struct dns_answer *answer)
{
	const struct dns_host *host = dns_hosts_find(&local->hosts, name);

	if (!host || !is_about_addresses(query))
		return false;
	for (; host; host = host->next)
		add_if_wanted(query, &host->addr, answer);
	finish(query, name->size, answer);
	return true;
}

/* What no record answers: a default address, or the denial of what would be in a zone of ours. */
static bool answer_default(const struct dns_local *local, const struct dns_query *query,
			   const struct dns_name *name, struct dns_answer *answer)
{
	const struct dns_zone *zone = dns_zones_owner(&local->zones, name);
	const struct dns_zone_record *above = dns_zones_built_in_above(&local->zones, name);
	bool has_default = zone && zone->default_ip.family != AF_UNSPEC;

	if (above && !has_default) {
		deny(answer);
		finish(query, above->name.size, answer);
		return true;
	}
	if (!zone || (zone->is_shared && !is_about_addresses(query)))
		return false;
	if (has_default)
		add_if_wanted(query, &zone->default_ip, answer);
	else if (name->size != zone->name.size && !dns_zone_has_below(zone, name))
		deny(answer);
	finish(query, zone->name.size, answer);
	answer->is_default |= !has_default && name->size == zone->name.size;
	return true;
}

/* The name that an address of ours goes by. */
static bool name_of(const struct dns_local *local, const struct addr *addr, struct dns_name *ret)
{
	const struct dns_name *name;
	char label[DNS_LABEL_MAX + 1];
	struct dns_name front;

	if (addr_is_loopback(addr)) {
		*ret = localhost;
		return true;
	}
	if (local->guest_domain.size > 1 && local->guests.name_of &&
	    local->guests.name_of(local->guests.arg, addr, label) == 0 && !is_reserved(label) &&
	    dns_name_parse(label, &front) == 0 &&
	    dns_name_join(&front, &local->guest_domain, ret) == 0)
		return true;
	name = dns_zones_name_of(&local->zones, addr);
	if (!name && (addr_equal(addr, &local->vm4) || addr_equal(addr, &local->vm6)))
		name = &local->guest_domain;
	if (!name)
		return dns_hosts_name_of(&local->hosts, addr, ret) == 0;
	*ret = *name;
	return true;
}

/* Whether a user's record or the hosts file says what this address is called, though it lies in
 * somebody else's network. */
static bool has_users_name(const struct dns_local *local, const struct addr *addr)
{
	struct dns_name name;

	return !addr_is_any(addr) && !addr_is_multicast(addr) &&
	       (dns_zones_name_of(&local->zones, addr) ||
		dns_hosts_name_of(&local->hosts, addr, &name) == 0);
}

/* Reverse names: those of our subnets and of the loopback address are ours, whether or not they
 * exist; of others, those that a user's record or the hosts file makes. */
static bool answer_reverse(const struct dns_local *local, const struct dns_query *query,
			   const struct dns_name *name, struct dns_answer *answer)
{
	struct dns_reverse reverse;
	struct dns_name target;

	if (!dns_reverse_parse(name, &reverse))
		return false;
	const struct prefix *subnet = reverse.addr.family == AF_INET ? &local->subnet4
								     : &local->subnet6;
	bool is_host = dns_reverse_is_host(&reverse);
	bool is_loopback = is_host && addr_is_loopback(&reverse.addr);
	bool is_ours = subnet->addr.family == reverse.addr.family &&
		       reverse.bits >= subnet->length && prefix_contains(subnet, &reverse.addr);
	bool is_users = !is_ours && is_host && has_users_name(local, &reverse.addr);
	if (!is_loopback && !is_ours && !is_users)
		return false;
	if (is_host && name_of(local, &reverse.addr, &target)) {
		if (wants(query, DNS_TYPE_PTR))
			dns_answer_add_ptr(answer, &target, DNS_LOCAL_TTL_S);
	} else if (is_host || reverse.is_malformed) {
		deny(answer);
	}
	if (is_users)
		finish(query, name->size, answer);
	else
		finish(query,
		       dns_reverse_zone_size(name, &reverse, is_loopback ? 8 : subnet->length),
		       answer);
	return true;
}

/* Class CH is about the server itself, and the host's isn't the guests' business. */
static void answer_chaos(const struct dns_query *query, const struct dns_name *name,
			 struct dns_answer *answer)
{
	static const struct dns_name version = {14, "\007version\004bind"};

	if (!dns_name_equal(name, &version) || !wants(query, DNS_TYPE_TXT))
		answer->rcode = DNS_RCODE_REFUSED;
	else
		dns_answer_add_text(answer, "netproxy");
}

bool dns_local_answer(const struct dns_local *local, const struct dns_query *query,
		      struct dns_answer *ret)
{
	struct dns_name name = query->name;

	dns_answer_init(ret, DNS_RCODE_NOERROR);
	dns_name_lower(&name);
	if (query->class == DNS_CLASS_CH) {
		answer_chaos(query, &name, ret);
		return true;
	}
	if (query->class != DNS_CLASS_IN && query->class != DNS_CLASS_ANY)
		return false;
	if (dns_name_is_within(&name, &localhost)) {
		answer_localhost(query, ret);
		return true;
	}
	return answer_record(local, query, &name, ret) || answer_hosts(local, query, &name, ret) ||
	       answer_guest(local, query, &name, ret) || answer_reverse(local, query, &name, ret) ||
	       answer_default(local, query, &name, ret);
}
