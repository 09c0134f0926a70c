/* SPDX-License-Identifier: Apache-2.0 */
/* A message from a guest: decoded, decided about, and answered. The answer must be a message
 * itself. */
#include <stdlib.h>

#include "dns/dns_local.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static int addr_of(void *arg, const char *name, sa_family_t family, struct addr *ret)
{
	(void)arg;
	if (name[0] != 'w' || family != AF_INET)
		return -1;
	*ret = addr_from_v4(0xc0a84103);
	return 0;
}

static struct dns_local *make_local(void)
{
	static struct dns_local local;
	struct dns_record_conf records[] = {
		{.name = "api", .ip = addr_from_v4(0x0a000001)},
		{.regexp = "^apps-[0-9]+", .ip = addr_from_v4(0x0a000002)},
	};
	struct dns_zone_conf zone = {.name = "z.test", .records = records, .record_count = 2};
	char error[256];

	dns_local_init(&local);
	local.gateway4 = addr_from_v4(0xc0a84101);
	local.host4 = addr_from_v4(0xc0a841fe);
	local.vm4 = addr_from_v4(0xc0a84102);
	check(prefix_parse("192.168.65.0/24", &local.subnet4) == 0);
	check(prefix_parse("fd00:65::/64", &local.subnet6) == 0);
	local.guests.addr_of = addr_of;
	check(dns_local_add_built_ins(&local) == 0);
	check(dns_zones_add(&local.zones, &zone, error, sizeof(error)) == 0);
	check(dns_hosts_parse(&local.hosts, "10.0.0.9 nas\n", &local.host4, &local.vm6) == 0);
	return &local;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_local *local;
	uint8_t reply[DNS_ANSWER_SIZE_MAX];
	char text[DNS_NAME_TEXT_MAX];
	struct dns_answer answer;
	struct dns_query query;
	struct dns_name name;

	local = local ? local : make_local();
	if (dns_query_parse(data, size, &query) < 0)
		return 0;
	check(query.udp_size >= DNS_UDP_SIZE_MIN);
	check(dns_name_parse(dns_name_format(&query.name, text), &name) == 0);
	check(dns_name_equal(&name, &query.name));
	if (query.rcode != DNS_RCODE_NOERROR)
		dns_answer_init(&answer, query.rcode);
	else if (!dns_local_answer(local, &query, &answer))
		return 0;
	size_t reply_size = dns_answer_encode(&query, &answer, reply, DNS_UDP_SIZE_MIN);
	check(reply_size >= DNS_HEADER_SIZE && reply_size <= DNS_UDP_SIZE_MIN);
	if (query.rcode == DNS_RCODE_NOERROR)
		check(dns_reply_matches(&query, query.id, reply, reply_size));
	/* Turned into a query again, it must be well-formed to its last record. */
	reply[2] &= 0x7f;
	if (query.has_question && !(query.flags & DNS_FLAG_OPCODE)) {
		check(dns_query_parse(reply, reply_size, &query) == 0);
		check(query.rcode == DNS_RCODE_NOERROR);
	}
	return 0;
}
