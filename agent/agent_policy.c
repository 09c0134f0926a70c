/* SPDX-License-Identifier: Apache-2.0 */
/* What is published; see agent_policy.h. */
#include "agent/agent_policy.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PRIVILEGED_BELOW 1024
#define DHCP_CLIENT      68
#define DHCP6_CLIENT     546

/* ---- Rules ---- */

static const char *parse_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long port;

	if (!isdigit((unsigned char)text[0]))
		return NULL;
	port = strtoul(text, &end, 10);
	if (port < 1 || port > UINT16_MAX)
		return NULL;
	*ret = (uint16_t)port;
	return end;
}

int agent_rule_parse(const char *text, struct agent_rule *ret)
{
	struct agent_rule rule = {.tcp = true, .udp = true};

	if (strncmp(text, "tcp:", 4) == 0 || strncmp(text, "udp:", 4) == 0) {
		rule.tcp = text[0] == 't';
		rule.udp = !rule.tcp;
		text += 4;
	}
	text = parse_port(text, &rule.first);
	rule.last = rule.first;
	if (text && *text == '-')
		text = parse_port(text + 1, &rule.last);
	if (!text || *text || rule.last < rule.first)
		return -EINVAL;
	*ret = rule;
	return 0;
}

static bool rules_have(const struct agent_rules *rules, bool udp, uint16_t port)
{
	for (unsigned i = 0; i < rules->count; i++) {
		const struct agent_rule *rule = &rules->at[i];

		if ((udp ? rule->udp : rule->tcp) && port >= rule->first && port <= rule->last)
			return true;
	}
	return false;
}

static bool is_ephemeral(const struct agent_policy *policy, uint16_t port)
{
	return policy->ephemeral_first && port >= policy->ephemeral_first &&
	       port <= policy->ephemeral_last;
}

static bool may_publish(const struct agent_policy *policy, bool udp, uint16_t port)
{
	if (!(udp ? policy->udp : policy->tcp) || rules_have(&policy->exclude, udp, port))
		return false;
	if (policy->include.count)
		return rules_have(&policy->include, udp, port);
	if (port < PRIVILEGED_BELOW && !policy->privileged)
		return false;
	return !udp || (port != DHCP_CLIENT && port != DHCP6_CLIENT && !is_ephemeral(policy, port));
}

/* ---- Addresses ---- */

/* By how many a socket can be reached; what can't be at all is 0. */
static int reach(const struct agent_policy *policy, const struct listener *one,
		 const struct addr *own6)
{
	const struct addr *addr = &one->addr;

	if (addr_is_multicast(addr) ||
	    (addr->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&addr->v6)))
		return 0;
	if (addr_is_loopback(addr))
		return policy->loopback && !one->udp ? 1 : 0;
	if (!addr_is_any(addr))
		return addr->family == AF_INET ? 3 : 2;
	if (addr->family == AF_INET || !one->v6_only)
		return 5;
	return own6->family == AF_INET6 ? 4 : 0;
}

static struct agent_wanted want(const struct listener *one, const struct addr *own6)
{
	struct agent_wanted wanted = {.udp = one->udp, .port = one->port};

	if (addr_is_loopback(&one->addr)) {
		wanted.relay = true;
		wanted.remote = one->addr;
	} else if (!addr_is_any(&one->addr)) {
		wanted.remote = one->addr;
	} else if (one->addr.family == AF_INET6 && one->v6_only) {
		wanted.remote = *own6;
	}
	return wanted;
}

static int compare(const void *a, const void *b)
{
	const struct listener *left = a, *right = b;

	if (left->udp != right->udp)
		return left->udp - right->udp;
	if (left->port != right->port)
		return left->port < right->port ? -1 : 1;
	/* So that of several the same one is chosen each time. */
	if (left->addr.family != right->addr.family)
		return left->addr.family < right->addr.family ? -1 : 1;
	return memcmp(&left->addr.v6, &right->addr.v6,
		      left->addr.family == AF_INET ? sizeof(left->addr.v4) : sizeof(left->addr.v6));
}

size_t agent_policy_apply(const struct agent_policy *policy, struct listeners *listeners,
			  const struct addr *own6, struct agent_wanted to[static AGENT_WANTED_MAX])
{
	size_t count = 0, next;

	qsort(listeners->at, listeners->count, sizeof(listeners->at[0]), compare);
	for (size_t i = 0; i < listeners->count && count < AGENT_WANTED_MAX; i = next) {
		const struct listener *first = &listeners->at[i], *best = NULL;
		int best_reach = 0;

		for (next = i; next < listeners->count; next++) {
			const struct listener *one = &listeners->at[next];
			int its_reach;

			if (one->udp != first->udp || one->port != first->port)
				break;
			its_reach = reach(policy, one, own6);
			if (its_reach > best_reach) {
				best = one;
				best_reach = its_reach;
			}
		}
		if (best && may_publish(policy, best->udp, best->port))
			to[count++] = want(best, own6);
	}
	return count;
}
