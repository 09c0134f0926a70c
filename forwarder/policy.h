/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests may reach: rules that allow or deny destinations, asked for every SYN, datagram and
 * echo request that is to leave, before any host socket exists (route.h).
 *
 * Theory: the first rule that matches decides, in the order given; where none does, the default. A
 * rule sees the address that the guest names, so the host's loopback is the host alias. The
 * gateway's own services (DNS, DHCP) are no destinations in this sense, nor is what comes back on
 * published ports.
 *
 * Link-local addresses and those by which clouds tell their machines secrets are denied, unless an
 * allow rule names them: one whose prefix lies within the denied one, so that "allow any" isn't
 * enough. An IPv4 address behind the prefix of NAT64 (RFC 6052) is denied where it would be by
 * itself.
 *
 * The decisions made last are cached, so that a datagram's costs the same with 1000 rules as with
 * one. Guests are told apart by address, MAC, or link; the last can't be forged, the others can't
 * where the switch guards addresses (netstack/guard.h).
 */
#ifndef FORWARDER_POLICY_H
#define FORWARDER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define POLICY_RULES_MAX 1024
#define POLICY_LINK_MAX  144 /* LINK_NAME_MAX */
/* Longest text form of a rule, with the NUL. */
#define POLICY_TEXT_MAX 320

enum policy_protocol {
	POLICY_TCP = 1,
	POLICY_UDP = 2,
	POLICY_ICMP = 4, /* echo requests, of ICMP and ICMPv6 */
	POLICY_PROTOCOLS = 7,
};

enum policy_to {
	POLICY_TO_ANY,
	POLICY_TO_HOST, /* the host alias, of both families */
	POLICY_TO_PREFIX,
};

enum policy_from {
	POLICY_FROM_ANY,
	POLICY_FROM_PREFIX,
	POLICY_FROM_MAC,
	POLICY_FROM_LINK, /* what --link says: all that came in there */
};

struct policy_rule {
	bool allow;
	uint8_t protocols; /* of enum policy_protocol, or'ed */
	enum policy_to to_kind;
	struct prefix to;
	uint16_t port_first; /* 0 to 65535: all */
	uint16_t port_last;
	enum policy_from from_kind;
	struct prefix from;
	struct mac from_mac;
	char from_link[POLICY_LINK_MAX];
};

struct policy_conf {
	const struct policy_rule *rules; /* borrowed for policy_new() */
	size_t rule_count;               /* up to POLICY_RULES_MAX */
	bool deny_by_default;            /* what no rule matches */
	bool host_access;                /* false: the host alias is denied whatever rules say */
	struct addr alias;
	struct addr alias6; /* AF_UNSPEC: none */
};

/* Who wants to reach what. */
struct policy_request {
	enum policy_protocol protocol;
	struct addr guest;
	struct mac mac; /* all zeros: not known */
	unsigned port;  /* the switch port that it came in by; 0: not known */
	struct endpoint to;
};

struct policy_rule_info {
	char text[POLICY_TEXT_MAX]; /* "deny tcp:10.0.0.0/8:443", "allow any" */
	bool allow;
	bool built_in; /* ours: not from the configuration */
	uint64_t hits; /* SYNs, datagrams and echo requests that it decided */
};

struct policy_counters {
	uint64_t allowed;
	uint64_t denied;
};

struct policy;

/* Returns 0 with an owned policy, -EINVAL (more than POLICY_RULES_MAX rules), or -ENOMEM. */
int policy_new(const struct policy_conf *conf, struct policy **ret_policy);
void policy_free(struct policy *policy);

/* Whether the request may go out. Counts, and logs a denial, with a limit. */
bool policy_allows(struct policy *policy, const struct policy_request *request);
/* Whether a rule asks for MACs: if not, requests need not say theirs. */
bool policy_wants_mac(const struct policy *policy);
/* A link of that name (netstack/link.h) came to the switch port, or went: rules from=LINK. */
void policy_port_changed(struct policy *policy, unsigned port, const char *link_name,
			 bool attached);

struct policy_counters policy_counters(const struct policy *policy);
/* The rules in the order in which they are asked, the default last. */
size_t policy_rule_count(const struct policy *policy);
struct policy_rule_info policy_rule_at(const struct policy *policy, size_t index);

/* policy_text.c */

/*
 * Reads "[tcp:|udp:|icmp:]TO[:PORT[-PORT]][,from=WHO]". TO is an address, a prefix, "any" or
 * "host"; IPv6 stands in brackets where a port follows. WHO is an address, a prefix, a MAC or a
 * link. Without a protocol a rule is for all, with ports for TCP and UDP. Returns 0, or -EINVAL
 * with what was expected in *ret_expected (static text).
 */
int policy_rule_parse(const char *text, bool allow, struct policy_rule *ret_rule,
		      const char **ret_expected);
/* "allow ..." or "deny ...", as policy_rule_parse() reads it; writes to `to` and returns it. */
const char *policy_rule_format(const struct policy_rule *rule, char to[static POLICY_TEXT_MAX]);

#endif
