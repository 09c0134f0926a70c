/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCPv6 server's decisions: see dhcp6_server.h. The table is dhcp_pool.c's, the bytes are
 * dhcp6_reply.c's. */
#include "dhcp/dhcp6_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "dhcp/dhcp6_reply.h"
#include "dhcp/dhcp_pool.h"

LOG_MODULE("dhcp6");

#define DUID_LL        3 /* RFC 8415, 11.4 */
#define HTYPE_ETHERNET 1

/* An address is the prefix, zeros, and a number of the pool's: so far from what guests make of
 * their MACs or of random bits (RFC 4291, 8981) that the two never meet. */
#define HOST_OFFSET 12
#define HOST_FIRST  2
#define HOST_LAST   0xfffffffe

static_assert(sizeof(uint32_t) + DHCP6_DUID_MAX <= DHCP_CLIENT_ID_MAX,
	      "an IAID and a DUID don't fit a client's identifier");

struct dhcp6_server {
	struct prefix prefix;
	uint32_t lease_seconds;
	bool rapid_commit;
	dhcp_lease_fn *on_lease;
	void *on_lease_arg;
	struct dhcp_pool pool;
	struct dhcp6_speaker speaker;
	struct dhcp6_counters counters;
};

/* A message, where it came from, and what becomes of it. */
struct exchange {
	const struct dhcp6_message *message;
	const struct dhcp6_sender *sender;
	uint64_t now_ms;
	struct dhcp6_decision *decision;
};

/* ---- Addresses ---- */

static struct addr address_of(const struct dhcp6_server *server, uint32_t host)
{
	struct addr addr = server->prefix.addr;
	struct wire_writer w = wire_writer(addr.v6.s6_addr + HOST_OFFSET, sizeof(host));

	wire_put_be32(&w, host);
	return addr;
}

/* The pool's number of an address; 0: it can't be one of the pool's. */
static uint32_t host_of(const struct dhcp6_server *server, const struct addr *addr)
{
	struct wire_reader r;
	struct addr same;
	uint32_t host;

	if (addr->family != AF_INET6)
		return 0;
	r = wire_reader(addr->v6.s6_addr + HOST_OFFSET, sizeof(host));
	host = wire_be32(&r);
	same = address_of(server, host);
	return addr_equal(&same, addr) ? host : 0;
}

static struct dhcp_lease_info info_of(const struct dhcp6_server *server,
				      const struct dhcp_lease *lease)
{
	return (struct dhcp_lease_info){
		.address = address_of(server, lease->address),
		.mac = lease->client.mac,
		.client_id = lease->client.id,
		.client_id_size = lease->client.id_size,
		.hostname = lease->hostname,
		.expires_ms = lease->expires_ms,
		.source = lease->client.source,
	};
}

static void on_event(void *arg, enum dhcp_lease_event event, const struct dhcp_lease *lease)
{
	struct dhcp6_server *server = arg;
	struct dhcp_lease_info info = info_of(server, lease);

	if (server->on_lease)
		server->on_lease(server->on_lease_arg, event, &info);
}

/* ---- Life ---- */

static bool conf_ok(const struct dhcp6_conf *conf)
{
	if (conf->prefix.addr.family != AF_INET6 || conf->prefix.length < 8 ||
	    conf->prefix.length > 64 || !prefix_contains(&conf->prefix, &conf->gateway) ||
	    conf->dns_count > DHCP_ADDRESSES_MAX || conf->ntp_count > DHCP_ADDRESSES_MAX ||
	    conf->search_size > DHCP6_SEARCH_SIZE_MAX ||
	    conf->lease_seconds < DHCP_LEASE_SECONDS_MIN ||
	    (conf->domain && !dhcp_domain_valid(conf->domain)))
		return false;
	for (size_t i = 0; i < conf->dns_count; i++) {
		if (conf->dns[i].family != AF_INET6)
			return false;
	}
	for (size_t i = 0; i < conf->ntp_count; i++) {
		if (conf->ntp[i].family != AF_INET6)
			return false;
	}
	return true;
}

static void fill_speaker(struct dhcp6_speaker *speaker, const struct dhcp6_conf *conf)
{
	struct wire_writer id = wire_writer(speaker->server_id, sizeof(speaker->server_id));

	wire_put_be16(&id, DUID_LL);
	wire_put_be16(&id, HTYPE_ETHERNET);
	wire_put_bytes(&id, conf->mac.bytes, MAC_SIZE);
	speaker->lease_seconds = conf->lease_seconds;
	for (size_t i = 0; i < conf->dns_count; i++)
		speaker->dns[speaker->dns_count++] = conf->dns[i];
	if (!conf->dns_count)
		speaker->dns[speaker->dns_count++] = conf->gateway;
	for (size_t i = 0; i < conf->ntp_count; i++)
		speaker->ntp[speaker->ntp_count++] = conf->ntp[i];
	if (conf->domain)
		memcpy(speaker->domain, conf->domain, strlen(conf->domain) + 1);
	if (conf->search_size)
		memcpy(speaker->search, conf->search, conf->search_size);
	speaker->search_size = conf->search_size;
}

int dhcp6_server_new(const struct dhcp6_conf *conf, struct dhcp6_server **ret_server)
{
	struct dhcp6_server *server;

	if (!conf_ok(conf))
		return -EINVAL;
	server = calloc(1, sizeof(*server));
	if (!server)
		return -ENOMEM;
	server->prefix = conf->prefix;
	server->lease_seconds = conf->lease_seconds;
	server->rapid_commit = conf->rapid_commit;
	server->on_lease = conf->on_lease;
	server->on_lease_arg = conf->on_lease_arg;
	fill_speaker(&server->speaker, conf);
	dhcp_pool_init(&server->pool);
	server->pool.first = server->pool.fresh = HOST_FIRST;
	server->pool.last = HOST_LAST;
	server->pool.kept[0] = host_of(server, &conf->gateway);
	server->pool.kept[1] = host_of(server, &conf->host_alias);
	server->pool.live_max = conf->leases_per_source_max;
	server->pool.on_event = on_event;
	server->pool.on_event_arg = server;
	*ret_server = server;
	return 0;
}

void dhcp6_server_free(struct dhcp6_server *server)
{
	if (!server)
		return;
	dhcp_pool_destroy(&server->pool);
	free(server);
}

/* ---- Leases ---- */

static struct dhcp_client client_of(const struct exchange *x, const struct dhcp6_ia *ia)
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
		uint32_t host = host_of(server, &ia->addrs[i]);
		int r = host ? dhcp_pool_claim(&server->pool, client, host, ret) : -EADDRINUSE;

		if (r == 0 || r == -ENOMEM)
			return r;
	}
	return -EADDRINUSE;
}

/* Finds an address for the IA: see the order at the top of dhcp6_server.h. */
static int find_address(struct dhcp6_server *server, const struct exchange *x,
			const struct dhcp6_ia *ia, struct dhcp_lease **ret)
{
	struct dhcp_client client = client_of(x, ia);
	struct dhcp_lease *lease;

	if (!dhcp_pool_lookup(&server->pool, &client))
		claim_named(server, &client, ia, &lease);
	return dhcp_pool_offer(&server->pool, &client, x->sender->host, x->now_ms, ret);
}

static void grant(struct dhcp6_server *server, const struct exchange *x, struct dhcp_lease *lease)
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

static void refuse(struct dhcp6_ia_answer *answer, enum dhcp6_status status)
{
	answer->present = true;
	answer->has_status = true;
	answer->status = status;
}

static void answer_granted(const struct dhcp6_server *server, const struct dhcp6_ia *ia,
			   const struct dhcp_lease *lease, struct dhcp6_ia_answer *answer)
{
	answer->present = true;
	answer->granted = address_of(server, lease->address);
	for (unsigned i = 0; i < ia->addr_count; i++) {
		if (!addr_equal(&ia->addrs[i], &answer->granted))
			answer->ended[answer->ended_count++] = ia->addrs[i];
	}
}

static void note_shortage(struct dhcp6_server *server, const struct exchange *x, int error)
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
		refuse(answer, DHCP6_NO_ADDRS_AVAIL);
	else if (ia->kind == DHCP6_OPT_IA_PD)
		refuse(answer, DHCP6_NO_PREFIX_AVAIL);
	else
		return false;
	return true;
}

static bool all_on_link(const struct dhcp6_server *server, const struct dhcp6_ia *ia)
{
	for (unsigned i = 0; i < ia->addr_count; i++) {
		if (!prefix_contains(&server->prefix, &ia->addrs[i]))
			return false;
	}
	return true;
}

/* An address for an IA of a Solicit or a Request; `commit` makes it a lease. Returns whether there
 * is one, or -ENOMEM. */
static int answer_assign(struct dhcp6_server *server, const struct exchange *x, unsigned i,
			 bool commit)
{
	const struct dhcp6_ia *ia = &x->message->ias[i];
	struct dhcp6_ia_answer *answer = &x->decision->answers[i];
	struct dhcp_lease *lease;
	int r;

	if (answer_other_kind(ia, answer))
		return 0;
	if (x->message->type == DHCP6_REQUEST && !all_on_link(server, ia)) {
		refuse(answer, DHCP6_NOT_ON_LINK);
		return 0;
	}
	r = find_address(server, x, ia, &lease);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		note_shortage(server, x, r);
		refuse(answer, DHCP6_NO_ADDRS_AVAIL);
		return 0;
	}
	if (commit)
		grant(server, x, lease);
	answer->present = true;
	answer->granted = address_of(server, lease->address);
	return 1;
}

/* The lease of an IA that its client has, or had before a restart of ours. */
static int find_renewed(struct dhcp6_server *server, const struct exchange *x,
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

/* RFC 8415, 18.3.4 and 18.3.5. */
static int answer_renew(struct dhcp6_server *server, const struct exchange *x, unsigned i)
{
	const struct dhcp6_ia *ia = &x->message->ias[i];
	struct dhcp6_ia_answer *answer = &x->decision->answers[i];
	struct dhcp_lease *lease;
	int r;

	if (ia->kind != DHCP6_OPT_IA_NA) {
		refuse(answer, DHCP6_NO_BINDING);
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
		refuse(answer, DHCP6_NO_BINDING);
	return 0;
}

/* The live lease of an IA that names its address. */
static struct dhcp_lease *lease_to_end(struct dhcp6_server *server, const struct exchange *x,
				       const struct dhcp6_ia *ia)
{
	struct dhcp_client client = client_of(x, ia);
	struct dhcp_lease *lease = dhcp_pool_lookup(&server->pool, &client);

	if (ia->kind != DHCP6_OPT_IA_NA || !lease || !dhcp_lease_is_of(lease, &client) ||
	    lease->state == DHCP_LEASE_IDLE)
		return NULL;
	for (unsigned i = 0; i < ia->addr_count; i++) {
		if (host_of(server, &ia->addrs[i]) == lease->address)
			return lease;
	}
	return NULL;
}

/* ---- Messages ---- */

static int on_solicit(struct dhcp6_server *server, const struct exchange *x)
{
	bool rapid = server->rapid_commit && x->message->rapid_commit;
	bool any = false;

	server->counters.solicits++;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		int r = answer_assign(server, x, i, rapid);

		if (r < 0)
			return r;
		any = any || r > 0;
	}
	x->decision->rapid = rapid && any;
	x->decision->type = x->decision->rapid ? DHCP6_REPLY : DHCP6_ADVERTISE;
	x->decision->with_conf = true;
	return 0;
}

static int on_request(struct dhcp6_server *server, const struct exchange *x)
{
	server->counters.requests++;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		int r = answer_assign(server, x, i, true);

		if (r < 0)
			return r;
	}
	x->decision->type = DHCP6_REPLY;
	x->decision->with_conf = true;
	return 0;
}

static int on_renew(struct dhcp6_server *server, const struct exchange *x)
{
	server->counters.renews += x->message->type == DHCP6_RENEW;
	server->counters.rebinds += x->message->type == DHCP6_REBIND;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		int r = answer_renew(server, x, i);

		if (r < 0)
			return r;
	}
	x->decision->type = DHCP6_REPLY;
	x->decision->with_conf = true;
	return 0;
}

static void answer_status(const struct exchange *x, enum dhcp6_status status)
{
	x->decision->type = DHCP6_REPLY;
	x->decision->has_status = true;
	x->decision->status = status;
}

/* RFC 8415, 18.3.3: whether the client is still where it was, not whether the lease is still its
 * own. */
static void on_confirm(struct dhcp6_server *server, const struct exchange *x)
{
	enum dhcp6_status status = DHCP6_SUCCESS;
	unsigned count = 0;

	server->counters.confirms++;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		count += x->message->ias[i].addr_count;
		if (!all_on_link(server, &x->message->ias[i]))
			status = DHCP6_NOT_ON_LINK;
	}
	if (count)
		answer_status(x, status);
}

static void decline(struct dhcp6_server *server, const struct exchange *x, struct dhcp_lease *lease)
{
	struct addr addr = address_of(server, lease->address);
	char text[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	log_limited(LOG_LEVEL_WARN,
		    "%s declined %s: somebody on the network uses that address already",
		    mac_format(&x->sender->mac, mac), addr_format(&addr, text));
	dhcp_pool_decline(&server->pool, lease, x->now_ms);
}

/* RFC 8415, 18.3.7 and 18.3.8. */
static void on_end(struct dhcp6_server *server, const struct exchange *x)
{
	bool declined = x->message->type == DHCP6_DECLINE;

	server->counters.declines += declined;
	server->counters.releases += !declined;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		struct dhcp_lease *lease = lease_to_end(server, x, &x->message->ias[i]);

		if (!lease)
			refuse(&x->decision->answers[i], DHCP6_NO_BINDING);
		else if (declined)
			decline(server, x, lease);
		else
			dhcp_pool_release(&server->pool, lease);
	}
	answer_status(x, DHCP6_SUCCESS);
}

static int decide(struct dhcp6_server *server, const struct exchange *x)
{
	switch (x->message->type) {
	case DHCP6_SOLICIT:
		return on_solicit(server, x);
	case DHCP6_REQUEST:
		return on_request(server, x);
	case DHCP6_RENEW:
	case DHCP6_REBIND:
		return on_renew(server, x);
	case DHCP6_CONFIRM:
		on_confirm(server, x);
		return 0;
	case DHCP6_RELEASE:
	case DHCP6_DECLINE:
		on_end(server, x);
		return 0;
	case DHCP6_INFORMATION_REQUEST:
		server->counters.information_requests++;
		x->decision->type = DHCP6_REPLY;
		x->decision->with_conf = true;
		return 0;
	default:
		return 0;
	}
}

/* Whether a server must answer this message at all: RFC 8415, section 16. */
static bool is_for_us(const struct dhcp6_server *server, const struct dhcp6_message *m,
		      const struct dhcp6_sender *sender)
{
	const uint8_t *ours = server->speaker.server_id;
	bool names_us = m->server.size == DHCP6_SERVER_ID_SIZE &&
			memcmp(m->server.bytes, ours, DHCP6_SERVER_ID_SIZE) == 0;

	if (mac_is_group(&sender->mac))
		return false;
	switch (m->type) {
	case DHCP6_SOLICIT:
	case DHCP6_CONFIRM:
	case DHCP6_REBIND:
		return m->client.size && !m->server.size && sender->multicast;
	case DHCP6_REQUEST:
	case DHCP6_RENEW:
	case DHCP6_DECLINE:
	case DHCP6_RELEASE:
		return m->client.size && names_us;
	case DHCP6_INFORMATION_REQUEST:
		return (names_us || !m->server.size) && m->ia_count == 0 && sender->multicast;
	default: /* a server's, a relay's (there is none on this network), or unknown */
		return false;
	}
}

/* A client that asks for one address is the whole of its machine, under whatever DUID; one that
 * asks for several can only be told apart by DUID and IAID. */
static bool asks_for_one(const struct dhcp6_message *m)
{
	unsigned count = 0;

	for (unsigned i = 0; i < m->ia_count; i++)
		count += m->ias[i].kind == DHCP6_OPT_IA_NA;
	return count == 1;
}

int dhcp6_server_handle(struct dhcp6_server *server, const struct dhcp6_sender *sender,
			const void *message, size_t size, uint64_t now_ms,
			struct dhcp6_reply *ret_reply)
{
	struct dhcp6_message m;
	struct dhcp6_decision decision = {.type = DHCP6_NONE};
	struct exchange x = {
		.message = &m, .sender = sender, .now_ms = now_ms, .decision = &decision};
	int r = 0;

	dhcp_pool_expire(&server->pool, now_ms);
	if (dhcp6_message_decode(message, size, &m) < 0) {
		server->counters.malformed++;
		return -EBADMSG;
	}
	if (!is_for_us(server, &m, sender)) {
		server->counters.ignored++;
		return 0;
	}
	server->pool.one_per_mac = asks_for_one(&m);
	/* We never send the Server Unicast option: section 18.4. */
	if (sender->multicast)
		r = decide(server, &x);
	else
		answer_status(&x, DHCP6_USE_MULTICAST);
	if (r < 0 || decision.type == DHCP6_NONE)
		return r;
	dhcp6_reply_encode(&server->speaker, &m, &decision, ret_reply);
	server->counters.replies++;
	return 1;
}

uint64_t dhcp6_server_expire(struct dhcp6_server *server, uint64_t now_ms)
{
	return dhcp_pool_expire(&server->pool, now_ms);
}

/* ---- Queries ---- */

void dhcp6_server_for_each(const struct dhcp6_server *server,
			   void (*fn)(void *arg, const struct dhcp_lease_info *lease), void *arg)
{
	list_for_each (node, &server->pool.states[DHCP_LEASE_BOUND]) {
		struct dhcp_lease_info info = info_of(server,
						      container_of(node, struct dhcp_lease, order));

		fn(arg, &info);
	}
}

static bool tell(const struct dhcp6_server *server, const struct dhcp_lease *lease,
		 struct dhcp_lease_info *ret)
{
	if (!lease || lease->state != DHCP_LEASE_BOUND)
		return false;
	*ret = info_of(server, lease);
	return true;
}

bool dhcp6_server_by_address(const struct dhcp6_server *server, const struct addr *address,
			     struct dhcp_lease_info *ret)
{
	uint32_t host = host_of(server, address);

	return host && tell(server, dhcp_pool_by_address(&server->pool, host), ret);
}

bool dhcp6_server_by_hostname(const struct dhcp6_server *server, const char *hostname,
			      struct dhcp_lease_info *ret)
{
	char clean[DHCP_HOSTNAME_MAX];

	if (strchr(hostname, '.') || !dhcp_hostname_clean(hostname, strlen(hostname), clean))
		return false;
	return tell(server, dhcp_pool_by_hostname(&server->pool, clean), ret);
}

bool dhcp6_server_by_mac(const struct dhcp6_server *server, const struct mac *mac,
			 struct dhcp_lease_info *ret)
{
	return tell(server, dhcp_pool_bound_by_mac(&server->pool, mac), ret);
}

const struct dhcp6_counters *dhcp6_server_counters(const struct dhcp6_server *server)
{
	return &server->counters;
}
