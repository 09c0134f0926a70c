/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCPv6 server's decisions: see dhcp6_server.h. The table is dhcp_pool.c's, the bytes are
 * dhcp6_reply.c's. */
#include "dhcp/dhcp6_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "dhcp/dhcp6_private.h"

LOG_MODULE("dhcp6");

#define DUID_LL        3 /* RFC 8415, 11.4 */
#define HTYPE_ETHERNET 1

/* An IAID and a DUID. */
#define CLIENT_ID_MIN (sizeof(uint32_t) + DHCP6_DUID_MIN)
#define CLIENT_ID_MAX (sizeof(uint32_t) + DHCP6_DUID_MAX)

/* An address is the prefix, zeros, and a number of the pool's: so far from what guests make of
 * their MACs or of random bits (RFC 4291, 8981) that the two never meet. */
#define HOST_FIRST 2
#define HOST_LAST  0xfffffffe

static struct dhcp_lease_info info_of(const struct dhcp6_server *server,
				      const struct dhcp_lease *lease)
{
	return (struct dhcp_lease_info){
		.address = dhcp6_address_of(server, lease->address),
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

static void set_search(struct dhcp6_speaker *speaker, const uint8_t *search, size_t size)
{
	if (size)
		memcpy(speaker->search, search, size);
	speaker->search_size = size;
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
	set_search(speaker, conf->search, conf->search_size);
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
	server->pool.kept[0] = dhcp6_host_of(server, &conf->gateway);
	server->pool.kept[1] = dhcp6_host_of(server, &conf->host_alias);
	server->pool.live_max = conf->leases_per_source_max;
	server->pool.on_event = on_event;
	server->pool.on_event_arg = server;
	*ret_server = server;
	return 0;
}

int dhcp6_server_set_search(struct dhcp6_server *server, const uint8_t *search, size_t size)
{
	if (size > DHCP6_SEARCH_SIZE_MAX)
		return -EINVAL;
	set_search(&server->speaker, search, size);
	return 0;
}

void dhcp6_server_free(struct dhcp6_server *server)
{
	if (!server)
		return;
	dhcp_pool_destroy(&server->pool);
	free(server);
}

/* ---- Messages ---- */

static int on_solicit(struct dhcp6_server *server, const struct dhcp6_exchange *x)
{
	bool rapid = server->rapid_commit && x->message->rapid_commit;
	bool any = false;

	server->counters.solicits++;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		int r = dhcp6_answer_assign(server, x, i, rapid);

		if (r < 0)
			return r;
		any = any || r > 0;
	}
	x->decision->rapid = rapid && any;
	x->decision->type = x->decision->rapid ? DHCP6_REPLY : DHCP6_ADVERTISE;
	x->decision->with_conf = true;
	return 0;
}

static int on_request(struct dhcp6_server *server, const struct dhcp6_exchange *x)
{
	server->counters.requests++;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		int r = dhcp6_answer_assign(server, x, i, true);

		if (r < 0)
			return r;
	}
	x->decision->type = DHCP6_REPLY;
	x->decision->with_conf = true;
	return 0;
}

static int on_renew(struct dhcp6_server *server, const struct dhcp6_exchange *x)
{
	server->counters.renews += x->message->type == DHCP6_RENEW;
	server->counters.rebinds += x->message->type == DHCP6_REBIND;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		int r = dhcp6_answer_renew(server, x, i);

		if (r < 0)
			return r;
	}
	x->decision->type = DHCP6_REPLY;
	x->decision->with_conf = true;
	return 0;
}

static void answer_status(const struct dhcp6_exchange *x, enum dhcp6_status status)
{
	x->decision->type = DHCP6_REPLY;
	x->decision->has_status = true;
	x->decision->status = status;
}

/* RFC 8415, 18.3.3: whether the client is still where it was, not whether the lease is still its
 * own. */
static void on_confirm(struct dhcp6_server *server, const struct dhcp6_exchange *x)
{
	enum dhcp6_status status = DHCP6_SUCCESS;
	unsigned count = 0;

	server->counters.confirms++;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		count += x->message->ias[i].addr_count;
		if (!dhcp6_all_on_link(server, &x->message->ias[i]))
			status = DHCP6_NOT_ON_LINK;
	}
	if (count)
		answer_status(x, status);
}

static void decline(struct dhcp6_server *server, const struct dhcp6_exchange *x,
		    struct dhcp_lease *lease)
{
	struct addr addr = dhcp6_address_of(server, lease->address);
	char text[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	log_limited(LOG_LEVEL_WARN,
		    "%s declined %s: somebody on the network uses that address already",
		    mac_format(&x->sender->mac, mac), addr_format(&addr, text));
	dhcp_pool_decline(&server->pool, lease, x->now_ms);
}

/* RFC 8415, 18.3.7 and 18.3.8. */
static void on_end(struct dhcp6_server *server, const struct dhcp6_exchange *x)
{
	bool declined = x->message->type == DHCP6_DECLINE;

	server->counters.declines += declined;
	server->counters.releases += !declined;
	for (unsigned i = 0; i < x->message->ia_count; i++) {
		struct dhcp_lease *lease = dhcp6_lease_to_end(server, x, &x->message->ias[i]);

		if (!lease)
			dhcp6_refuse(&x->decision->answers[i], DHCP6_NO_BINDING);
		else if (declined)
			decline(server, x, lease);
		else
			dhcp_pool_release(&server->pool, lease);
	}
	answer_status(x, DHCP6_SUCCESS);
}

static int decide(struct dhcp6_server *server, const struct dhcp6_exchange *x)
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
	struct dhcp6_exchange x = {
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

int dhcp6_server_restore(struct dhcp6_server *server, const struct dhcp_lease_info *lease,
			 uint64_t now_ms)
{
	struct dhcp_client client = {.mac = lease->mac, .id_size = lease->client_id_size};
	uint32_t host = dhcp6_host_of(server, &lease->address);

	if (!host || mac_is_group(&lease->mac) || client.id_size < CLIENT_ID_MIN ||
	    client.id_size > CLIENT_ID_MAX)
		return -EINVAL;
	memcpy(client.id, lease->client_id, client.id_size);
	server->pool.one_per_mac = false;
	return dhcp_pool_restore(&server->pool, &client, host, lease->hostname, lease->expires_ms,
				 now_ms);
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

void dhcp6_server_for_each_ended(const struct dhcp6_server *server,
				 void (*fn)(void *arg, const struct dhcp_lease_info *lease),
				 void *arg)
{
	list_for_each (node, &server->pool.states[DHCP_LEASE_IDLE]) {
		const struct dhcp_lease *lease = container_of(node, struct dhcp_lease, order);
		struct dhcp_lease_info info = info_of(server, lease);

		info.expires_ms = 0;
		if (lease->owned && lease->was_bound)
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
	uint32_t host = dhcp6_host_of(server, address);

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
