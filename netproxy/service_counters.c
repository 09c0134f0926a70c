/* SPDX-License-Identifier: Apache-2.0 */
/* DNS' and DHCP's counters for the API; see service_counters.h. */
#include "netproxy/service_counters.h"

/* What stands before the values of one name, and who gets them. */
struct group {
	const char *name;
	const char *help; /* NULL once it was told */
	api_counter_fn *fn;
	void *visitor;
};

static void tell(struct group *group, const char *labels, uint64_t value)
{
	const struct api_counter counter = {
		.name = group->name, .help = group->help, .labels = labels, .value = value};

	group->fn(group->visitor, &counter);
	group->help = NULL;
}

static void visit_dns(struct services *services, api_counter_fn *fn, void *visitor)
{
	struct dns_stats stats = dns_server_stats(services_dns(services));
	struct group queries = {"dns_queries_total", "Guests' DNS queries.", fn, visitor};
	struct group results = {"dns_results_total", "What became of DNS queries.", fn, visitor};
	struct group pending = {"dns_pending", "DNS queries under way.", fn, visitor};
	struct group streams = {"dns_streams", "Connections for DNS.", fn, visitor};
	struct group cut = {"dns_streams_cut_total", "Connections for DNS beyond a limit.", fn,
			    visitor};

	tell(&queries, "", stats.queries);
	tell(&results, "{result=\"local\"}", stats.local);
	tell(&results, "{result=\"relayed\"}", stats.relayed);
	tell(&results, "{result=\"malformed\"}", stats.malformed);
	tell(&results, "{result=\"refused\"}", stats.refused);
	tell(&results, "{result=\"servfail\"}", stats.servfail);
	tell(&results, "{result=\"truncated\"}", stats.truncated);
	tell(&pending, "", stats.pending);
	tell(&streams, "", stats.stream_count);
	tell(&cut, "", stats.streams_cut);
}

static void visit_resolvers(struct services *services, api_counter_fn *fn, void *visitor)
{
	struct dns_upstream_stats stats = dns_server_stats(services_dns(services)).upstream;
	struct group events = {"dns_resolver_events_total",
			       "Of DNS queries to the host's resolvers.", fn, visitor};

	tell(&events, "{event=\"reply\"}", stats.replies);
	tell(&events, "{event=\"retry\"}", stats.retries);
	tell(&events, "{event=\"timeout\"}", stats.timeouts);
	tell(&events, "{event=\"unreachable\"}", stats.unreachable);
	tell(&events, "{event=\"evicted\"}", stats.evicted);
	tell(&events, "{event=\"rejected\"}", stats.rejected);
	tell(&events, "{event=\"mismatch\"}", stats.mismatches);
	tell(&events, "{event=\"resolver_down\"}", stats.resolvers_down);
}

static void visit_dhcp4(const struct dhcp_counters *dhcp, struct group *messages)
{
	tell(messages, "{family=\"ipv4\",type=\"discover\"}", dhcp->discovers);
	tell(messages, "{family=\"ipv4\",type=\"request\"}", dhcp->requests);
	tell(messages, "{family=\"ipv4\",type=\"decline\"}", dhcp->declines);
	tell(messages, "{family=\"ipv4\",type=\"release\"}", dhcp->releases);
	tell(messages, "{family=\"ipv4\",type=\"inform\"}", dhcp->informs);
	tell(messages, "{family=\"ipv4\",type=\"offer\"}", dhcp->offers);
	tell(messages, "{family=\"ipv4\",type=\"ack\"}", dhcp->acks);
	tell(messages, "{family=\"ipv4\",type=\"nak\"}", dhcp->naks);
}

static void visit_dhcp6(const struct dhcp6_counters *dhcp, struct group *messages)
{
	tell(messages, "{family=\"ipv6\",type=\"solicit\"}", dhcp->solicits);
	tell(messages, "{family=\"ipv6\",type=\"request\"}", dhcp->requests);
	tell(messages, "{family=\"ipv6\",type=\"confirm\"}", dhcp->confirms);
	tell(messages, "{family=\"ipv6\",type=\"renew\"}", dhcp->renews);
	tell(messages, "{family=\"ipv6\",type=\"rebind\"}", dhcp->rebinds);
	tell(messages, "{family=\"ipv6\",type=\"release\"}", dhcp->releases);
	tell(messages, "{family=\"ipv6\",type=\"decline\"}", dhcp->declines);
	tell(messages, "{family=\"ipv6\",type=\"information_request\"}",
	     dhcp->information_requests);
	tell(messages, "{family=\"ipv6\",type=\"reply\"}", dhcp->replies);
}

static void visit_dhcp(struct services *services, api_counter_fn *fn, void *visitor)
{
	const struct dhcp_counters *four = dhcp_server_counters(services_dhcp(services));
	const struct dhcp6_server *server6 = services_dhcp6(services);
	const struct dhcp6_counters *six = server6 ? dhcp6_server_counters(server6) : NULL;
	struct group messages = {"dhcp_messages_total", "DHCP messages taken and sent.", fn,
				 visitor};
	struct group refused = {"dhcp_unserved_total", "DHCP messages that led to no address.", fn,
				visitor};

	visit_dhcp4(four, &messages);
	if (six)
		visit_dhcp6(six, &messages);
	tell(&refused, "{family=\"ipv4\",reason=\"malformed\"}", four->malformed);
	tell(&refused, "{family=\"ipv4\",reason=\"ignored\"}", four->ignored);
	tell(&refused, "{family=\"ipv4\",reason=\"exhausted\"}", four->exhausted);
	tell(&refused, "{family=\"ipv4\",reason=\"guest_limit\"}", four->limited);
	if (!six)
		return;
	tell(&refused, "{family=\"ipv6\",reason=\"malformed\"}", six->malformed);
	tell(&refused, "{family=\"ipv6\",reason=\"ignored\"}", six->ignored);
	tell(&refused, "{family=\"ipv6\",reason=\"exhausted\"}", six->exhausted);
	tell(&refused, "{family=\"ipv6\",reason=\"guest_limit\"}", six->limited);
}

void service_counters_visit(struct services *services, api_counter_fn *fn, void *visitor)
{
	visit_dns(services, fn, visitor);
	visit_resolvers(services, fn, visitor);
	visit_dhcp(services, fn, visitor);
}
