/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv6: which address an identity association gets, keeps or loses; see dhcp6_server.h. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "dhcp/dhcp6_private.h"

LOG_MODULE("dhcp6");

/* Where the pool's number stands in an address. */
#define HOST_OFFSET 12

static_assert(sizeof(uint32_t) + DHCP6_DUID_MAX <= DHCP_CLIENT_ID_MAX,
	      "an IAID and a DUID don't fit a client's identifier");

/* ---- Addresses ---- */

struct addr dhcp6_address_of(const struct dhcp6_server *server, uint32_t host)
{
	struct addr addr = server->prefix.addr;
	struct wire_writer w = wire_writer(addr.v6.s6_addr + HOST_OFFSET, sizeof(host));

	wire_put_be32(&w, host);
	return addr;
}

uint32_t dhcp6_host_of(const struct dhcp6_server *server, const struct addr *addr)
{
	struct wire_reader r;
	struct addr same;
	uint32_t host;

	if (addr->family != AF_INET6)
		return 0;
	r = wire_reader(addr->v6.s6_addr + HOST_OFFSET, sizeof(host));
	host = wire_be32(&r);
	same = dhcp6_address_of(server, host);
	return addr_equal(&same, addr) ? host : 0;
}

/* ---- Leases ---- */

static struct dhcp_client client_of(const struct dhcp6_exchange *x, const struct dhcp6_ia *ia)
{
	const struct dhcp6_duid *duid = &x->message->client;
	struct dhcp_client client = {.mac = x->sender->mac, .source = x->sender->source};
	struct wire_writer w = wire_writer(client.id, sizeof(client.id));

	wire_put_be32(&w, ia->id);
	wire_put_bytes(&w, duid->bytes, duid->size);
	client.id_size = wire_written(&w);
	return client;
}

/* Makes one of the addresses that the IA names the client's. */
static int claim_named(struct dhcp6_server *server, const struct dhcp_client *client,
		       const struct dhcp6_ia *ia, struct dhcp_lease **ret)
{
	for (unsigned i = 0; i < ia->addr_count; i++) {
		uint32_t host = dhcp6_host_of(server, &ia->addrs[i]);
		int r = host ? dhcp_pool_claim(&server->pool, client, host, ret) : -EADDRINUSE;

		if (r == 0 || r == -ENOMEM)
			return r;
	}
	return -EADDRINUSE;
}

/* Finds an address for the IA: see the order at the top of dhcp6_server.h. */
static int find_address(struct dhcp6_server *server, const struct dhcp6_exchange *x,
			const struct dhcp6_ia *ia, struct dhcp_lease **ret)
{
	struct dhcp_client client = client_of(x, ia);
	struct dhcp_lease *lease;

	if (!dhcp_pool_lookup(&server->pool, &client))
		claim_named(server, &client, ia, &lease);
	return dhcp_pool_offer(&server->pool, &client, x->sender->host, x->now_ms, ret);
}

static void grant(struct dhcp6_server *server, const struct dhcp6_exchange *x,
		  struct dhcp_lease *lease)
{
	const char *hostname = x->message->hostname;
	uint64_t expires_ms = UINT64_MAX;
	char kept[DHCP_HOSTNAME_MAX];

	/* Some clients don't repeat their name when they renew. */
	if (hostname[0] == '\0' && lease->state == DHCP_LEASE_BOUND) {
		memcpy(kept, lease->hostname, sizeof(kept));
		hostname = kept;
	}
	if (server->lease_seconds != DHCP_LEASE_INFINITE)
		expires_ms = x->now_ms + (uint64_t)server->lease_seconds * 1000;
	dhcp_pool_bind(&server->pool, lease, hostname, expires_ms);
	x->decision->hostname = lease->hostname;
}

void dhcp6_refuse(struct dhcp6_ia_answer *answer, enum dhcp6_status status)
{
	answer->present = true;
	answer->has_status = true;
	answer->status = status;
}

static void answer_granted(const struct dhcp6_server *server, const struct dhcp6_ia *ia,
			   const struct dhcp_lease *lease, struct dhcp6_ia_answer *answer)
{
	answer->present = true;
	answer->granted = dhcp6_address_of(server, lease->address);
	for (unsigned i = 0; i < ia->addr_count; i++) {
		if (!addr_equal(&ia->addrs[i], &answer->granted))
			answer->ended[answer->ended_count++] = ia->addrs[i];
	}
}

static void note_shortage(struct dhcp6_server *server, const struct dhcp6_exchange *x, int error)
{
	char mac[MAC_TEXT_MAX];

	mac_format(&x->sender->mac, mac);
	if (error == -EDQUOT) {
		server->counters.limited++;
		log_limited(LOG_LEVEL_WARN,
			    "no IPv6 address for %s: its guest has as many as one may have", mac);
	} else {
		server->counters.exhausted++;
		log_limited(LOG_LEVEL_WARN, "no free IPv6 address for %s: all are leased", mac);
	}
}

/* ---- What is said of an IA ---- */

/* No temporary addresses: guests make those by themselves (RFC 8981). No prefixes: there is nothing
 * behind a guest. */
static bool answer_other_kind(const struct dhcp6_ia *ia, struct dhcp6_ia_answer *answer)
{
	if (ia->kind == DHCP6_OPT_IA_TA)
		dhcp6_refuse(answer, DHCP6_NO_ADDRS_AVAIL);
	else if (ia->kind == DHCP6_OPT_IA_PD)
		dhcp6_refuse(answer, DHCP6_NO_PREFIX_AVAIL);
	else
		return false;
	return true;
}

bool dhcp6_all_on_link(const struct dhcp6_server *server, const struct dhcp6_ia *ia)
{
	for (unsigned i = 0; i < ia->addr_count; i++) {
		if (!prefix_contains(&server->prefix, &ia->addrs[i]))
			return false;
	}
	return true;
}

int dhcp6_answer_assign(struct dhcp6_server *server, const struct dhcp6_exchange *x, unsigned i,
			bool commit)
{
	const struct dhcp6_ia *ia = &x->message->ias[i];
	struct dhcp6_ia_answer *answer = &x->decision->answers[i];
	struct dhcp_lease *lease;
	int r;

	if (answer_other_kind(ia, answer))
		return 0;
	if (x->message->type == DHCP6_REQUEST && !dhcp6_all_on_link(server, ia)) {
		dhcp6_refuse(answer, DHCP6_NOT_ON_LINK);
		return 0;
	}
	r = find_address(server, x, ia, &lease);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		note_shortage(server, x, r);
		dhcp6_refuse(answer, DHCP6_NO_ADDRS_AVAIL);
		return 0;
	}
	if (commit)
		grant(server, x, lease);
	answer->present = true;
	answer->granted = dhcp6_address_of(server, lease->address);
	return 1;
}

/* The lease of an IA that its client has, or had before a restart of ours. */
static int find_renewed(struct dhcp6_server *server, const struct dhcp6_exchange *x,
			const struct dhcp6_ia *ia, struct dhcp_lease **ret)
{
	struct dhcp_client client = client_of(x, ia);
	struct dhcp_lease *lease = dhcp_pool_lookup(&server->pool, &client);

	if (lease)
		return dhcp_pool_claim(&server->pool, &client, lease->address, ret);
	/* RFC 8415, 18.2.4: this is also how a client asks for a further address. */
	if (ia->addr_count == 0)
		return find_address(server, x, ia, ret);
	return claim_named(server, &client, ia, ret);
}

int dhcp6_answer_renew(struct dhcp6_server *server, const struct dhcp6_exchange *x, unsigned i)
{
	const struct dhcp6_ia *ia = &x->message->ias[i];
	struct dhcp6_ia_answer *answer = &x->decision->answers[i];
	struct dhcp_lease *lease;
	int r;

	if (ia->kind != DHCP6_OPT_IA_NA) {
		dhcp6_refuse(answer, DHCP6_NO_BINDING);
		return 0;
	}
	r = find_renewed(server, x, ia, &lease);
	if (r == -ENOMEM)
		return r;
	if (r == 0) {
		grant(server, x, lease);
		answer_granted(server, ia, lease, answer);
		return 0;
	}
	/* What isn't of this network must not be used any more; for the rest it asks anew. */
	answer->present = true;
	for (unsigned n = 0; n < ia->addr_count; n++) {
		if (!prefix_contains(&server->prefix, &ia->addrs[n]))
			answer->ended[answer->ended_count++] = ia->addrs[n];
	}
	if (answer->ended_count == 0)
		dhcp6_refuse(answer, DHCP6_NO_BINDING);
	return 0;
}

struct dhcp_lease *dhcp6_lease_to_end(struct dhcp6_server *server, const struct dhcp6_exchange *x,
				      const struct dhcp6_ia *ia)
{
	struct dhcp_client client = client_of(x, ia);
	struct dhcp_lease *lease = dhcp_pool_lookup(&server->pool, &client);

	if (ia->kind != DHCP6_OPT_IA_NA || !lease || !dhcp_lease_is_of(lease, &client) ||
	    lease->state == DHCP_LEASE_IDLE)
		return NULL;
	for (unsigned i = 0; i < ia->addr_count; i++) {
		if (dhcp6_host_of(server, &ia->addrs[i]) == lease->address)
			return lease;
	}
	return NULL;
}
