/* SPDX-License-Identifier: Apache-2.0 */
/* What guests may reach: the rules, and the cache of what they said. See policy.h; their text form
 * is in policy_text.c. */
#include "forwarder/policy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/log.h"
#include "netstack/link.h"
#include "netstack/switch.h"

LOG_MODULE("policy");

static_assert(POLICY_LINK_MAX == LINK_NAME_MAX, "a rule must hold a link's name");

/* So few rules are read through sooner than the cache is asked. */
#define UNCACHED_RULES_MAX 16
#define CACHE_SIZE         1024 /* a power of 2 */

#define PORT_WORDS (SWITCH_PORTS_MAX / 64 + 1)

/*
 * Denied unless named: link-local addresses, among them everybody's metadata service
 * (169.254.169.254; RFC 3927, RFC 4291), and what clouds have besides. Such a service takes whoever
 * comes from the machine for the machine, and hands out its credentials.
 */
static const char *const denied_unless_named[] = {
	"169.254.0.0/16",     "fe80::/10", "168.63.129.16", /* Azure: WireServer */
	"100.100.100.200",                                  /* Alibaba */
	"192.0.0.192",                                      /* Oracle Cloud Classic */
	"fd00:ec2::/32",                                    /* AWS: metadata, pod identities */
	"fd20:ce::254",                                     /* Google */
	"fd00:c1::a9fe:a9fe",                               /* Oracle */
	"fd00:42::42",                                      /* Scaleway */
};
#define DENIED_COUNT (sizeof(denied_unless_named) / sizeof(denied_unless_named[0]))

struct rule {
	struct policy_rule conf;
	uint64_t hits;
	uint64_t ports[PORT_WORDS]; /* POLICY_FROM_LINK: the switch ports of that link */
};

/* What a decision depends on, without padding that isn't zero. */
struct cache_key {
	struct in6_addr guest;
	struct in6_addr to;
	uint32_t port;
	uint16_t to_port;
	uint8_t protocol;
	uint8_t families; /* bit 0: the guest's is IPv6, bit 1: the destination's */
	struct mac mac;
	uint16_t is_used;
};

struct cache_entry {
	struct cache_key key;
	size_t rule;
};

/* rules[] holds, in this order: "deny host" where there is no host access; the configuration's;
 * those of denied_unless_named; the default. */
struct policy {
	struct addr alias;
	struct addr alias6;
	struct rule *rules;
	size_t rule_count;
	size_t conf_first; /* the configuration's */
	size_t conf_end;
	bool wants_mac;
	struct policy_counters counters;
	struct hash_key hash_key;
	struct cache_entry *cache;
};

/* ---- Deciding ---- */

static bool to_matches(const struct policy *policy, const struct policy_rule *rule,
		       const struct addr *to)
{
	switch (rule->to_kind) {
	case POLICY_TO_ANY:
		return true;
	case POLICY_TO_HOST:
		return addr_equal(to, &policy->alias) || addr_equal(to, &policy->alias6);
	case POLICY_TO_PREFIX:
		return prefix_contains(&rule->to, to);
	}
	return false;
}

static bool from_matches(const struct rule *rule, const struct policy_request *request)
{
	switch (rule->conf.from_kind) {
	case POLICY_FROM_ANY:
		return true;
	case POLICY_FROM_PREFIX:
		return prefix_contains(&rule->conf.from, &request->guest);
	case POLICY_FROM_MAC:
		return mac_equal(&rule->conf.from_mac, &request->mac);
	case POLICY_FROM_LINK:
		return request->port <= SWITCH_PORTS_MAX &&
		       rule->ports[request->port / 64] >> request->port % 64 & 1;
	}
	return false;
}

static bool rule_matches(const struct policy *policy, const struct rule *rule,
			 const struct policy_request *request)
{
	const struct policy_rule *conf = &rule->conf;

	return conf->protocols & request->protocol && conf->port_first <= request->to.port &&
	       request->to.port <= conf->port_last && to_matches(policy, conf, &request->to.addr) &&
	       from_matches(rule, request);
}

/* Whether an allow rule is about (some of) the denied prefix in particular. */
static bool rule_names(const struct policy_rule *rule, const struct prefix *denied)
{
	return rule->to_kind == POLICY_TO_PREFIX && rule->to.length >= denied->length &&
	       prefix_contains(denied, &rule->to.addr);
}

/* The index of the rule that decides. */
static size_t decide(const struct policy *policy, const struct policy_request *request)
{
	const struct prefix *denied = NULL;
	size_t fallback = policy->rule_count - 1;

	for (size_t i = 0; i < policy->conf_first; i++) {
		if (rule_matches(policy, &policy->rules[i], request))
			return i;
	}
	for (size_t i = policy->conf_end; !denied && i < policy->rule_count - 1; i++) {
		if (!rule_matches(policy, &policy->rules[i], request))
			continue;
		denied = &policy->rules[i].conf.to;
		fallback = i;
	}
	for (size_t i = policy->conf_first; i < policy->conf_end; i++) {
		const struct rule *rule = &policy->rules[i];

		if (rule_matches(policy, rule, request) &&
		    (!denied || !rule->conf.allow || rule_names(&rule->conf, denied)))
			return i;
	}
	return fallback;
}

/* The IPv4 address that a translator makes of 64:ff9b::/96 (RFC 6052, 2.1). */
static bool nat64_inside(const struct addr *addr, struct addr *ret)
{
	static const uint8_t well_known[12] = {0x00, 0x64, 0xff, 0x9b};
	struct in_addr inside;

	if (addr->family != AF_INET6 || memcmp(&addr->v6, well_known, sizeof(well_known)) != 0)
		return false;
	memcpy(&inside, addr->v6.s6_addr + sizeof(well_known), sizeof(inside));
	*ret = addr_from_in(inside);
	return true;
}

static size_t decide_with_nat64(const struct policy *policy, const struct policy_request *request)
{
	struct policy_request inside = *request;
	size_t decided = decide(policy, request), other;

	if (!policy->rules[decided].conf.allow || !nat64_inside(&request->to.addr, &inside.to.addr))
		return decided;
	/* That no rule is about the address within says nothing against it. */
	other = decide(policy, &inside);
	return policy->rules[other].conf.allow || other == policy->rule_count - 1 ? decided : other;
}

/* ---- The cache ---- */

static uint8_t put_addr(struct in6_addr *to, const struct addr *addr)
{
	if (addr->family == AF_INET6)
		*to = addr->v6;
	else
		memcpy(to, &addr->v4, sizeof(addr->v4));
	return addr->family == AF_INET6;
}

static struct cache_key key_of(const struct policy *policy, const struct policy_request *request)
{
	struct cache_key key = {
		.port = request->port,
		.to_port = request->to.port,
		.protocol = (uint8_t)request->protocol,
		.is_used = 1,
	};

	static_assert(sizeof(key) == 48, "padding would be hashed");
	key.families = put_addr(&key.guest, &request->guest);
	key.families |= (uint8_t)(put_addr(&key.to, &request->to.addr) << 1);
	if (policy->wants_mac)
		key.mac = request->mac;
	return key;
}

static size_t decide_cached(struct policy *policy, const struct policy_request *request)
{
	struct cache_entry *entry;
	struct cache_key key;

	if (policy->conf_end - policy->conf_first <= UNCACHED_RULES_MAX)
		return decide_with_nat64(policy, request);
	key = key_of(policy, request);
	entry = &policy->cache[hash_bytes(&policy->hash_key, &key, sizeof(key)) % CACHE_SIZE];
	if (memcmp(&entry->key, &key, sizeof(key)) != 0) {
		entry->rule = decide_with_nat64(policy, request);
		entry->key = key;
	}
	return entry->rule;
}

/* ---- Asking ---- */

static const char *protocol_text(enum policy_protocol protocol)
{
	return protocol == POLICY_TCP ? "tcp" : protocol == POLICY_UDP ? "udp" : "icmp";
}

static void log_denial(const struct policy *policy, const struct policy_request *request,
		       size_t rule)
{
	char guest[ADDR_TEXT_MAX], to[ENDPOINT_TEXT_MAX], text[POLICY_TEXT_MAX];

	addr_format(&request->guest, guest);
	if (request->protocol == POLICY_ICMP)
		addr_format(&request->to.addr, to);
	else
		endpoint_format(&request->to, to);
	log_limited(LOG_LEVEL_WARN, "denied: guest %s to %s:%s, by \"%s\"%s", guest,
		    protocol_text(request->protocol), to,
		    policy_rule_format(&policy->rules[rule].conf, text),
		    rule == policy->rule_count - 1 ? " (no rule matches)" : "");
}

bool policy_allows(struct policy *policy, const struct policy_request *request)
{
	size_t decided = decide_cached(policy, request);
	struct rule *rule = &policy->rules[decided];

	rule->hits++;
	if (rule->conf.allow) {
		policy->counters.allowed++;
		return true;
	}
	policy->counters.denied++;
	log_denial(policy, request, decided);
	return false;
}

bool policy_wants_mac(const struct policy *policy)
{
	return policy->wants_mac;
}

/* Whether the link is the one that is meant, or one of those at the place that is meant. */
static bool is_link(const char *link_name, const char *conf)
{
	size_t size = strlen(conf);

	return strcmp(link_name, conf) == 0 ||
	       (link_place_size(link_name) == size && memcmp(link_name, conf, size) == 0);
}

void policy_port_changed(struct policy *policy, unsigned port, const char *link_name, bool attached)
{
	assert(port <= SWITCH_PORTS_MAX);
	for (size_t i = policy->conf_first; i < policy->conf_end; i++) {
		struct rule *rule = &policy->rules[i];

		rule->ports[port / 64] &= ~(1ull << port % 64);
		if (attached && rule->conf.from_kind == POLICY_FROM_LINK &&
		    is_link(link_name, rule->conf.from_link))
			rule->ports[port / 64] |= 1ull << port % 64;
	}
	memset(policy->cache, 0, CACHE_SIZE * sizeof(*policy->cache));
}

struct policy_counters policy_counters(const struct policy *policy)
{
	return policy->counters;
}

size_t policy_rule_count(const struct policy *policy)
{
	return policy->rule_count;
}

struct policy_rule_info policy_rule_at(const struct policy *policy, size_t index)
{
	const struct rule *rule = &policy->rules[index];
	struct policy_rule_info info = {
		.allow = rule->conf.allow,
		.built_in = index < policy->conf_first || index >= policy->conf_end,
		.hits = rule->hits,
	};

	policy_rule_format(&rule->conf, info.text);
	return info;
}

/* ---- Life ---- */

static void add_rule(struct policy *policy, const struct policy_rule *conf)
{
	policy->rules[policy->rule_count++].conf = *conf;
	policy->wants_mac |= conf->from_kind == POLICY_FROM_MAC;
}

static void add_built_in(struct policy *policy, const char *text, bool allow)
{
	const char *expected;
	struct policy_rule rule;
	int r = policy_rule_parse(text, allow, &rule, &expected);

	assert(r == 0);
	(void)r;
	add_rule(policy, &rule);
}

int policy_new(const struct policy_conf *conf, struct policy **ret_policy)
{
	struct policy *policy;

	if (conf->rule_count > POLICY_RULES_MAX)
		return -EINVAL;
	policy = calloc(1, sizeof(*policy));
	if (!policy)
		return -ENOMEM;
	policy->rules = calloc(conf->rule_count + DENIED_COUNT + 2, sizeof(*policy->rules));
	policy->cache = calloc(CACHE_SIZE, sizeof(*policy->cache));
	if (!policy->rules || !policy->cache) {
		policy_free(policy);
		return -ENOMEM;
	}
	policy->alias = conf->alias;
	policy->alias6 = conf->alias6;
	policy->hash_key = hash_key_random();
	if (!conf->host_access)
		add_built_in(policy, "host", false);
	policy->conf_first = policy->rule_count;
	for (size_t i = 0; i < conf->rule_count; i++)
		add_rule(policy, &conf->rules[i]);
	policy->conf_end = policy->rule_count;
	for (size_t i = 0; i < DENIED_COUNT; i++)
		add_built_in(policy, denied_unless_named[i], false);
	add_built_in(policy, "any", !conf->deny_by_default);
	*ret_policy = policy;
	return 0;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	free(policy->rules);
	free(policy->cache);
	free(policy);
}
