/* SPDX-License-Identifier: Apache-2.0 */
/* The text form of the policy's rules: see policy.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder/policy.h"

#define FROM_KEY ",from="

static const struct {
	const char *name;
	uint8_t protocols;
} protocol_names[] = {
	{"tcp", POLICY_TCP},
	{"udp", POLICY_UDP},
	{"icmp", POLICY_ICMP},
};

static int expected(const char **ret_expected, const char *what)
{
	*ret_expected = what;
	return -EINVAL;
}

/* An address, which is a prefix of full length, or a prefix. */
static int parse_prefix(const char *text, struct prefix *ret)
{
	struct prefix prefix = {0};

	if (addr_parse(text, &prefix.addr) < 0)
		return prefix_parse(text, ret);
	prefix.length = prefix.addr.family == AF_INET ? 32 : 128;
	*ret = prefix;
	return 0;
}

/* A number at *at, and behind it. */
static bool take_port(const char **at, uint16_t *ret)
{
	char *end;
	unsigned long value = strtoul(*at, &end, 10);

	if (**at < '0' || **at > '9' || value < 1 || value > 65535)
		return false;
	*at = end;
	*ret = (uint16_t)value;
	return true;
}

static bool parse_ports(const char *text, struct policy_rule *rule)
{
	if (!take_port(&text, &rule->port_first))
		return false;
	rule->port_last = rule->port_first;
	if (*text == '-') {
		text++;
		if (!take_port(&text, &rule->port_last))
			return false;
	}
	return !*text && rule->port_first <= rule->port_last;
}

/* Whether the text names a link, as the kinds of --link begin. */
static bool is_link_name(const char *text)
{
	static const char *const kinds[] = {
		"qemu:", "vhost:", "tap:", "dgram:", "vfkit:", "bess:", "fd:", "vpnkit:", "stdio"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(text, kinds[i], strlen(kinds[i])) == 0)
			return true;
	}
	return false;
}

static int parse_from(const char *text, struct policy_rule *rule)
{
	if (mac_parse(text, &rule->from_mac) == 0) {
		rule->from_kind = POLICY_FROM_MAC;
	} else if (parse_prefix(text, &rule->from) == 0) {
		rule->from_kind = POLICY_FROM_PREFIX;
	} else if (is_link_name(text)) {
		if (strlen(text) >= sizeof(rule->from_link))
			return -EINVAL;
		rule->from_kind = POLICY_FROM_LINK;
		strcpy(rule->from_link, text);
	} else {
		return -EINVAL;
	}
	return 0;
}

/* The protocol in front, if there is one; returns what is behind it. */
static const char *take_protocol(const char *text, struct policy_rule *rule)
{
	for (size_t i = 0; i < sizeof(protocol_names) / sizeof(protocol_names[0]); i++) {
		size_t size = strlen(protocol_names[i].name);

		if (strncmp(text, protocol_names[i].name, size) != 0 || text[size] != ':')
			continue;
		rule->protocols = protocol_names[i].protocols;
		return text + size + 1;
	}
	return text;
}

/* Cuts "TO:PORTS", with TO in brackets or not, into its two parts; *ret_ports is NULL when there
 * are none. Returns TO. */
static char *split_ports(char *text, const char **ret_ports)
{
	char *colon = strchr(text, ':');
	char *bracket;

	*ret_ports = NULL;
	if (text[0] == '[' && (bracket = strchr(text, ']')) != NULL) {
		if (bracket[1] == ':')
			*ret_ports = bracket + 2;
		else if (bracket[1])
			return text; /* brackets are in no address: refused as such */
		*bracket = '\0';
		return text + 1;
	}
	/* More than one colon: IPv6. */
	if (colon && colon == strrchr(text, ':')) {
		*colon = '\0';
		*ret_ports = colon + 1;
	}
	return text;
}

static int parse_to(const char *text, struct policy_rule *rule)
{
	if (strcmp(text, "any") == 0)
		rule->to_kind = POLICY_TO_ANY;
	else if (strcmp(text, "host") == 0)
		rule->to_kind = POLICY_TO_HOST;
	else if (parse_prefix(text, &rule->to) == 0)
		rule->to_kind = POLICY_TO_PREFIX;
	else
		return -EINVAL;
	return 0;
}

int policy_rule_parse(const char *text, bool allow, struct policy_rule *ret_rule,
		      const char **ret_expected)
{
	struct policy_rule rule = {
		.allow = allow, .protocols = POLICY_PROTOCOLS, .port_last = UINT16_MAX};
	const char *from = strstr(text, FROM_KEY);
	size_t size = from ? (size_t)(from - text) : strlen(text);
	const char *ports;
	char copy[128], *to;

	if (size >= sizeof(copy))
		return expected(ret_expected, "a shorter rule, such as tcp:10.0.0.0/8:443");
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (from && parse_from(from + strlen(FROM_KEY), &rule) < 0)
		return expected(ret_expected,
				"behind from= an address, a prefix, a MAC, or a link as --link "
				"names it, of at most 143 characters");
	to = split_ports(copy + (take_protocol(copy, &rule) - copy), &ports);
	if (parse_to(to, &rule) < 0)
		return expected(
			ret_expected,
			"[tcp:|udp:|icmp:]TO[:PORT[-PORT]][,from=WHO], TO an address, a prefix "
			"without bits behind its length, any or host, such as 10.0.0.0/8, "
			"tcp:10.0.0.5:443 or udp:[2001:db8::/32]:53");
	if (ports && rule.protocols == POLICY_ICMP)
		return expected(ret_expected, "no port with icmp: it has none");
	if (ports && !parse_ports(ports, &rule))
		return expected(ret_expected,
				"ports from 1 to 65535, one or a range such as 8000-8099");
	if (ports)
		rule.protocols &= POLICY_TCP | POLICY_UDP;
	*ret_rule = rule;
	return 0;
}

/* ---- To text ---- */

static const char *prefix_text(const struct prefix *prefix, char to[static PREFIX_TEXT_MAX])
{
	if (prefix->length == (prefix->addr.family == AF_INET ? 32 : 128))
		return addr_format(&prefix->addr, to);
	return prefix_format(prefix, to);
}

static const char *to_text(const struct policy_rule *rule, char to[static PREFIX_TEXT_MAX])
{
	switch (rule->to_kind) {
	case POLICY_TO_ANY:
		return "any";
	case POLICY_TO_HOST:
		return "host";
	case POLICY_TO_PREFIX:
		break;
	}
	return prefix_text(&rule->to, to);
}

static const char *from_text(const struct policy_rule *rule, char to[static PREFIX_TEXT_MAX])
{
	switch (rule->from_kind) {
	case POLICY_FROM_ANY:
		return "";
	case POLICY_FROM_MAC:
		return mac_format(&rule->from_mac, to);
	case POLICY_FROM_LINK:
		return rule->from_link;
	case POLICY_FROM_PREFIX:
		break;
	}
	return prefix_text(&rule->from, to);
}

const char *policy_rule_format(const struct policy_rule *rule, char to[static POLICY_TEXT_MAX])
{
	char address[PREFIX_TEXT_MAX], who[PREFIX_TEXT_MAX], ports[16] = "";
	const char *protocol = "";
	bool has_ports = rule->port_first > 0 || rule->port_last < UINT16_MAX;
	bool brackets = has_ports && rule->to_kind == POLICY_TO_PREFIX &&
			rule->to.addr.family == AF_INET6;

	for (size_t i = 0; i < sizeof(protocol_names) / sizeof(protocol_names[0]); i++) {
		if (protocol_names[i].protocols == rule->protocols)
			protocol = protocol_names[i].name;
	}
	if (has_ports && rule->port_first == rule->port_last)
		snprintf(ports, sizeof(ports), ":%u", rule->port_first);
	else if (has_ports)
		snprintf(ports, sizeof(ports), ":%u-%u", rule->port_first, rule->port_last);
	snprintf(to, POLICY_TEXT_MAX, "%s %s%s%s%s%s%s%s%s", rule->allow ? "allow" : "deny",
		 protocol, *protocol ? ":" : "", brackets ? "[" : "", to_text(rule, address),
		 brackets ? "]" : "", ports, rule->from_kind == POLICY_FROM_ANY ? "" : FROM_KEY,
		 from_text(rule, who));
	return to;
}
