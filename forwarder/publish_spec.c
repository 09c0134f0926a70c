/* SPDX-License-Identifier: Apache-2.0 */
/* Forwards as they are asked for; see publish_spec.h. */
#include "forwarder/publish_spec.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sock.h"
#include "netstack/behind.h"

/* ---- Words ---- */

const char *publish_protocol_text(enum publish_protocol protocol)
{
	switch (protocol) {
	case PUBLISH_TCP:
		return "tcp";
	case PUBLISH_UDP:
		return "udp";
	case PUBLISH_UNIX:
		return "unix";
	}
	return "unknown";
}

const char *publish_owner_kind_text(enum publish_owner_kind kind)
{
	switch (kind) {
	case PUBLISH_OWNER_CONFIG:
		return "config";
	case PUBLISH_OWNER_HOST:
		return "host";
	case PUBLISH_OWNER_GUEST:
		return "guest";
	}
	return "unknown";
}

const char *publish_owner_words(const struct publish_owner *owner,
				char to[static PUBLISH_OWNER_WORDS_MAX])
{
	char guest[24];
	const char *who = "the configuration";

	snprintf(guest, sizeof(guest), "guest %u", owner->id);
	if (owner->kind == PUBLISH_OWNER_HOST)
		who = owner->lease ? "a connection to the host's API" : "the host's API";
	else if (owner->kind == PUBLISH_OWNER_GUEST)
		who = guest;
	snprintf(to, PUBLISH_OWNER_WORDS_MAX, "%s%s%s", who, owner->text[0] ? " for " : "",
		 owner->text);
	return to;
}

const char *publish_via_text(const struct publish_spec *spec, char to[static PUBLISH_NAME_MAX])
{
	_Static_assert(ADDR_TEXT_MAX <= PUBLISH_NAME_MAX, "an address or a name");

	if (spec->via.family)
		addr_format(&spec->via, to);
	else
		strcpy(to, spec->via_name);
	return to;
}

int publish_parse_guest(const char *text, struct addr *ret_addr,
			char ret_name[static PUBLISH_NAME_MAX])
{
	size_t size = strlen(text);
	char inner[ADDR_TEXT_MAX];
	bool has_letter = false;

	if (addr_parse(text, ret_addr) == 0)
		return 0;
	if (size > 2 && size < sizeof(inner) + 2 && text[0] == '[' && text[size - 1] == ']') {
		snprintf(inner, sizeof(inner), "%.*s", (int)size - 2, text + 1);
		return addr_parse(inner, ret_addr);
	}
	if (size == 0 || size >= PUBLISH_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("-._", text[i]))
			return -EINVAL;
		has_letter |= isalpha((unsigned char)text[i]) != 0;
	}
	/* What has none was meant to be an address. */
	if (!has_letter)
		return -EINVAL;
	strcpy(ret_name, text);
	return 0;
}

/* ---- Comparing ---- */

bool publish_owner_matches(const struct publish_owner *owner, const struct publish_owner *pattern)
{
	return owner->kind == pattern->kind && owner->id == pattern->id &&
	       (!pattern->lease || owner->lease == pattern->lease) &&
	       (!pattern->text[0] || strcmp(owner->text, pattern->text) == 0);
}

static bool owner_equal(const struct publish_owner *a, const struct publish_owner *b)
{
	return a->kind == b->kind && a->id == b->id && a->lease == b->lease &&
	       strcmp(a->text, b->text) == 0;
}

bool publish_spec_equal(const struct publish_spec *a, const struct publish_spec *b)
{
	return a->protocol == b->protocol && a->source == b->source && a->proxy_v2 == b->proxy_v2 &&
	       (a->protocol == PUBLISH_UNIX || endpoint_equal(&a->local, &b->local)) &&
	       endpoint_equal(&a->remote, &b->remote) && strcmp(a->guest, b->guest) == 0 &&
	       addr_equal(&a->via, &b->via) && strcmp(a->via_name, b->via_name) == 0 &&
	       strcmp(a->name, b->name) == 0 && owner_equal(&a->owner, &b->owner);
}

/* Whether a socket of `a` keeps one of `b` from its port. */
static bool addresses_overlap(const struct addr *a, const struct addr *b)
{
	if (a->family == AF_UNSPEC || b->family == AF_UNSPEC)
		return true;
	return a->family == b->family && (addr_is_any(a) || addr_is_any(b) || addr_equal(a, b));
}

bool publish_spec_overlaps(const struct publish_spec *spec, const struct publish_spec *other,
			   const struct endpoint *other_bound)
{
	if (spec->protocol != other->protocol)
		return false;
	if (spec->protocol == PUBLISH_UNIX)
		return strcmp(spec->local_text, other->local_text) == 0;
	return spec->local.port == other_bound->port &&
	       addresses_overlap(&spec->local.addr, &other_bound->addr);
}

/* ---- Checking ---- */

void publish_spec_fill_texts(struct publish_spec *spec)
{
	if (!spec->local_text[0])
		endpoint_format(&spec->local, spec->local_text);
	if (spec->remote_text[0])
		return;
	if (spec->guest[0])
		snprintf(spec->remote_text, sizeof(spec->remote_text), "%s:%u", spec->guest,
			 spec->remote.port);
	else
		endpoint_format(&spec->remote, spec->remote_text);
}

static bool is_guest_address(const struct stack_conf *conf, const struct addr *addr)
{
	if (addr->family == AF_INET6)
		return conf->prefix6.length && prefix_contains(&conf->prefix6, addr) &&
		       !addr_equal(addr, &conf->prefix6.addr) &&
		       !addr_equal(addr, &conf->gateway6) && !addr_equal(addr, &conf->alias6);
	return prefix_contains(&conf->subnet, addr) && !addr_equal(addr, &conf->gateway) &&
	       !addr_equal(addr, &conf->alias);
}

static int complain_of_network(const struct stack_conf *conf, const char *about,
			       char why[static PUBLISH_WHY_MAX])
{
	char network[PREFIX_TEXT_MAX], network6[PREFIX_TEXT_MAX];

	snprintf(why, PUBLISH_WHY_MAX, "%s, in the network %s%s%s", about,
		 prefix_format(&conf->subnet, network), conf->prefix6.length ? " or " : "",
		 conf->prefix6.length ? prefix_format(&conf->prefix6, network6) : "");
	return -EHOSTUNREACH;
}

static int check_remote(const struct publish_spec *spec, const struct stack_conf *conf,
			char why[static PUBLISH_WHY_MAX])
{
	bool is_behind = spec->via.family || spec->via_name[0];

	if (!is_behind && (spec->guest[0] || is_guest_address(conf, &spec->remote.addr)))
		return 0;
	if (!is_behind && behind_address_ok(conf, &spec->remote.addr))
		return complain_of_network(conf,
					   "expected an address of a guest, or \"via\" and the "
					   "guest that it is behind",
					   why);
	if (!is_behind)
		return complain_of_network(conf, "expected an address of a guest", why);
	if (spec->guest[0] || !behind_address_ok(conf, &spec->remote.addr)) {
		snprintf(
			why, PUBLISH_WHY_MAX,
			"\"via\" is for an address behind a guest: one that can be routed, and not "
			"of the guests' own network");
		return -EHOSTUNREACH;
	}
	if (spec->via.family && !is_guest_address(conf, &spec->via))
		return complain_of_network(conf, "\"via\" is to be an address of a guest", why);
	return 0;
}

int publish_spec_check(const struct publish_spec *spec, const struct stack_conf *conf,
		       char why[static PUBLISH_WHY_MAX])
{
	if (spec->protocol == PUBLISH_UNIX && spec->local_text[0] != '/') {
		snprintf(why, PUBLISH_WHY_MAX,
			 "a unix socket is named by its whole path, from / on");
		return -EINVAL;
	}
	if (spec->protocol == PUBLISH_UNIX && strlen(spec->local_text) >= SOCK_PATH_MAX) {
		snprintf(why, PUBLISH_WHY_MAX, "a unix socket's path has at most %d bytes",
			 SOCK_PATH_MAX - 1);
		return -ENAMETOOLONG;
	}
	if (!spec->remote.port) {
		snprintf(why, PUBLISH_WHY_MAX, "a guest's port is a number from 1 to 65535");
		return -EINVAL;
	}
	return check_remote(spec, conf, why);
}

static bool rule_allows(const struct publish_rule *rule, const struct endpoint *local)
{
	/* Port 0 is a port that the kernel picks, of those that nobody asks for. */
	if (local->port && (local->port < rule->first || local->port > rule->last))
		return false;
	if (rule->hosts.addr.family == AF_UNSPEC)
		return true;
	return !addr_is_any(&local->addr) && prefix_contains(&rule->hosts, &local->addr);
}

static void list_rules(const struct publish_rule *rules, unsigned count, char *to, size_t size)
{
	size_t at = 0;

	to[0] = '\0';
	for (unsigned i = 0; i < count && at < size; i++) {
		char hosts[PREFIX_TEXT_MAX] = "any address";

		if (rules[i].hosts.addr.family != AF_UNSPEC)
			prefix_format(&rules[i].hosts, hosts);
		at += (size_t)snprintf(to + at, size - at, "%s%s port %u-%u", i ? ", " : "", hosts,
				       rules[i].first, rules[i].last);
	}
}

int publish_rules_check(const struct publish_rule *rules, unsigned count,
			const struct publish_spec *spec, char why[static PUBLISH_WHY_MAX])
{
	char allowed[PUBLISH_WHY_MAX - 64];

	if (spec->protocol == PUBLISH_UNIX) {
		snprintf(why, PUBLISH_WHY_MAX,
			 "guests can publish tcp and udp ports, no unix sockets");
		return -EPERM;
	}
	for (unsigned i = 0; i < count; i++) {
		if (rule_allows(&rules[i], &spec->local))
			return 0;
	}
	if (!count) {
		snprintf(why, PUBLISH_WHY_MAX, "this host lets no guest publish ports");
		return -EPERM;
	}
	list_rules(rules, count, allowed, sizeof(allowed));
	snprintf(why, PUBLISH_WHY_MAX, "this host lets guests publish at %s only", allowed);
	return -EPERM;
}

/* ---- Ranges ---- */

static int check_range(const struct publish_spec *base, unsigned ports, bool tcp_and_udp,
		       char why[static PUBLISH_WHY_MAX])
{
	bool many = ports > 1 || tcp_and_udp;
	const char *text = NULL;

	if (ports < 1 || ports * (tcp_and_udp ? 2 : 1) > PUBLISH_RANGE_MAX)
		text = "too many ports at once";
	else if (many && base->protocol == PUBLISH_UNIX)
		text = "a unix socket leads to one port";
	else if (many && !base->local.port)
		text = "port 0 picks one port: it can't begin a range, nor be for tcp and udp at "
		       "once";
	else if (base->local.port + ports - 1 > UINT16_MAX ||
		 base->remote.port + ports - 1 > UINT16_MAX)
		text = "the range goes beyond port 65535";
	if (!text)
		return 0;
	snprintf(why, PUBLISH_WHY_MAX, "%s", text);
	return -EINVAL;
}

int publish_expand(const struct publish_spec *base, unsigned ports, bool tcp_and_udp,
		   struct publish_spec **ret_specs, unsigned *ret_count,
		   char why[static PUBLISH_WHY_MAX])
{
	unsigned protocols = tcp_and_udp ? 2 : 1;
	struct publish_spec *specs;
	int r = check_range(base, ports, tcp_and_udp, why);

	if (r < 0)
		return r;
	specs = calloc((size_t)ports * protocols, sizeof(*specs));
	if (!specs)
		return -ENOMEM;
	for (unsigned i = 0; i < ports * protocols; i++) {
		struct publish_spec *spec = &specs[i];

		*spec = *base;
		spec->local.port = (uint16_t)(spec->local.port + i / protocols);
		spec->remote.port = (uint16_t)(spec->remote.port + i / protocols);
		if (tcp_and_udp)
			spec->protocol = i % 2 ? PUBLISH_UDP : PUBLISH_TCP;
		if (ports > 1)
			spec->local_text[0] = spec->remote_text[0] = '\0';
	}
	*ret_specs = specs;
	*ret_count = ports * protocols;
	return 0;
}
