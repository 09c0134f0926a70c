/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCPv4 server's decisions: see dhcp_server.h. The table is dhcp_pool.c's, the bytes are
 * dhcp_reply.c's. */
#include "dhcp/dhcp_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "dhcp/dhcp_conf.h"
#include "dhcp/dhcp_options.h"
#include "dhcp/dhcp_pool.h"
#include "dhcp/dhcp_reply.h"

LOG_MODULE("dhcp");

#define HTYPE_ETHERNET     1
#define CLIENT_ID_SIZE_MIN 2

struct dhcp_server {
	struct dhcp_conf conf; /* its scalars; what it points to was copied elsewhere */
	struct dhcp_pool pool;
	struct dhcp_options options;
	char domain[DHCP_DOMAIN_MAX];
	char boot_file[DHCP_BOOT_FILE_MAX];
	bool search_is_fixed; /* an option of the configuration */
	struct dhcp_counters counters;
};

static struct dhcp_lease_info info_of(const struct dhcp_lease *lease)
{
	return (struct dhcp_lease_info){
		.address = addr_from_v4(lease->address),
		.mac = lease->client.mac,
		.client_id = lease->client.id,
		.client_id_size = lease->client.id_size,
		.hostname = lease->hostname,
		.expires_ms = lease->expires_ms,
		.reserved = lease->reserved,
		.source = lease->client.source,
	};
}

static void on_event(void *arg, enum dhcp_lease_event event, const struct dhcp_lease *lease)
{
	static const char *const words[] = {"granted to", "renewed for", "released by",
					    "expired of"};
	struct dhcp_server *server = arg;
	struct dhcp_lease_info info = info_of(lease);
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	if (log_enabled(LOG_LEVEL_DEBUG, log_module))
		log_debug("lease of %s %s %s %s", addr_format(&info.address, address), words[event],
			  mac_format(&info.mac, mac), info.hostname);
	if (server->conf.on_lease)
		server->conf.on_lease(server->conf.on_lease_arg, event, &info);
}

/* Creation. */

static void set_range(struct dhcp_server *server)
{
	const struct dhcp_conf *conf = &server->conf;
	struct dhcp_pool *pool = &server->pool;
	uint32_t network = addr_v4(&conf->subnet.addr);
	uint32_t last = network | ~prefix_mask4(&conf->subnet);

	pool->first = conf->pool_first.family ? addr_v4(&conf->pool_first) : network + 1;
	pool->last = conf->pool_last.family ? addr_v4(&conf->pool_last) : last - 1;
	pool->fresh = pool->first;
	pool->kept[0] = addr_v4(&conf->gateway);
	pool->kept[1] = conf->host_alias.family ? addr_v4(&conf->host_alias) : 0;
}

/* Takes over the scalars of a checked configuration. */
static void take_conf(struct dhcp_server *server, const struct dhcp_conf *conf)
{
	server->conf = *conf;
	server->conf.dns = server->conf.ntp = NULL;
	server->conf.domain = NULL;
	server->conf.search = NULL;
	for (size_t i = 0; i < conf->extra_count; i++)
		server->search_is_fixed |= conf->extras[i].code == DHCP_OPT_SEARCH;
	server->conf.routes = NULL;
	server->conf.extras = NULL;
	server->conf.reservations = NULL;
	server->conf.boot_file = NULL;
	if (conf->domain)
		memcpy(server->domain, conf->domain, strlen(conf->domain) + 1);
	if (conf->boot_file)
		memcpy(server->boot_file, conf->boot_file, strlen(conf->boot_file) + 1);
	dhcp_pool_init(&server->pool);
	server->pool.on_event = on_event;
	server->pool.on_event_arg = server;
	server->pool.live_max = conf->leases_per_source_max;
	server->pool.one_per_mac = conf->one_per_mac;
	set_range(server);
}

static int add_reservations(struct dhcp_server *server, const struct dhcp_conf *conf, char *error,
			    size_t error_size)
{
	for (size_t i = 0; i < conf->reservation_count; i++) {
		const struct dhcp_reservation *reservation = &conf->reservations[i];
		char address[ADDR_TEXT_MAX] = "no address";
		int r = dhcp_server_reserve(server, reservation, 0);

		if (r == 0)
			continue;
		if (reservation->address.family != AF_UNSPEC)
			addr_format(&reservation->address, address);
		snprintf(error, error_size, "static DHCP lease %zu (%s): %s", i + 1, address,
			 dhcp_server_why_not(server, reservation, r));
		return r == -ENOMEM ? -ENOMEM : -EINVAL;
	}
	return 0;
}

int dhcp_server_new(const struct dhcp_conf *conf, char *error, size_t error_size,
		    struct dhcp_server **ret_server)
{
	int r = dhcp_conf_check(conf, error, error_size);

	if (r < 0)
		return r;
	struct dhcp_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	take_conf(server, conf);
	r = dhcp_options_from_conf(&server->options, conf);
	if (r == 0)
		r = add_reservations(server, conf, error, error_size);
	if (r < 0) {
		dhcp_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void dhcp_server_free(struct dhcp_server *server)
{
	if (!server)
		return;
	dhcp_pool_destroy(&server->pool);
	dhcp_options_clear(&server->options);
	free(server);
}

int dhcp_server_set_search(struct dhcp_server *server, const uint8_t *search, size_t size)
{
	if (size > DHCP_SEARCH_SIZE_MAX)
		return -EINVAL;
	return server->search_is_fixed ? 0
				       : dhcp_options_set_search(&server->options, search, size);
}

/* Messages. */

static bool usable_mac(const struct mac *mac)
{
	static const struct mac zero;

	return !mac_is_group(mac) && !mac_equal(mac, &zero);
}

/* Whether it is a client's message that a server on this network may answer. A relay agent would
 * have to sit on our subnet: we have addresses for no other, and must not be made to send anywhere
 * else. */
static bool is_for_us(const struct dhcp_server *server, const struct dhcp_message *m)
{
	struct addr relay = addr_from_v4(m->giaddr);

	return m->op == DHCP_BOOTREQUEST && m->htype == HTYPE_ETHERNET && m->hlen == MAC_SIZE &&
	       usable_mac(&m->chaddr) && m->type != DHCP_BOOTP &&
	       (m->giaddr == 0 || dhcp_conf_leasable(&server->conf, &relay));
}

static void read_hostname(struct dhcp_exchange *x)
{
	uint8_t value[DHCP_OPTION_SIZE_MAX];
	ssize_t size = dhcp_message_option(x->message, DHCP_OPT_FQDN, value, sizeof(value));

	if (size > 0) {
		x->sent_fqdn = true;
		x->fqdn_flags = value[0];
		dhcp_hostname_from_fqdn(value, (size_t)size, x->hostname);
	}
	size = dhcp_message_option(x->message, DHCP_OPT_HOSTNAME, value, sizeof(value));
	if (size > 0 && x->hostname[0] == '\0')
		dhcp_hostname_clean(value, (size_t)size, x->hostname);
}

static void client_from_mac(struct dhcp_client *client, const struct mac *mac)
{
	client->mac = *mac;
	client->id[0] = HTYPE_ETHERNET;
	memcpy(client->id + 1, mac->bytes, MAC_SIZE);
	client->id_size = 1 + MAC_SIZE;
}

/* Who sends it. A client without an identifier is the one that identifies itself by its MAC. */
static int identify(const struct dhcp_message *m, struct dhcp_exchange *ret)
{
	struct dhcp_client *client = &ret->client;
	ssize_t size = dhcp_message_option(m, DHCP_OPT_CLIENT_ID, client->id, sizeof(client->id));

	if (size == -EMSGSIZE)
		return -EBADMSG;
	ret->message = m;
	client->mac = m->chaddr;
	ret->sent_id = size >= CLIENT_ID_SIZE_MIN;
	if (ret->sent_id)
		client->id_size = (size_t)size;
	else
		client_from_mac(client, &m->chaddr);
	read_hostname(ret);
	return 0;
}

static void grant(struct dhcp_server *server, const struct dhcp_exchange *x,
		  struct dhcp_lease *lease, uint64_t now_ms)
{
	uint64_t lease_ms = (uint64_t)server->conf.lease_seconds * 1000;
	const char *hostname = x->hostname;
	char kept[DHCP_HOSTNAME_MAX];

	/* Some clients don't repeat their name when they renew. */
	if (hostname[0] == '\0' && lease->state == DHCP_LEASE_BOUND) {
		memcpy(kept, lease->hostname, sizeof(kept));
		hostname = kept;
	}
	if (lease->reserved && lease->reserved->conf.hostname[0])
		hostname = lease->reserved->conf.hostname;
	dhcp_pool_bind(&server->pool, lease, hostname,
		       server->conf.lease_seconds == DHCP_LEASE_INFINITE ? UINT64_MAX
									 : now_ms + lease_ms);
}

static void note_limit(struct dhcp_server *server, const struct dhcp_exchange *x)
{
	char mac[MAC_TEXT_MAX];

	server->counters.limited++;
	log_limited(LOG_LEVEL_WARN,
		    "no address for %s: the guest at port %u has %u, the most that one may have",
		    mac_format(&x->client.mac, mac), x->client.source,
		    server->conf.leases_per_source_max);
}

static int on_discover(struct dhcp_server *server, const struct dhcp_exchange *x, uint64_t now_ms,
		       struct dhcp_decision *ret)
{
	struct dhcp_lease *lease;
	int r = dhcp_pool_offer(&server->pool, &x->client, x->message->requested, now_ms, &lease);

	server->counters.discovers++;
	if (r == -ENOSPC) {
		char mac[MAC_TEXT_MAX];

		server->counters.exhausted++;
		log_limited(LOG_LEVEL_WARN, "no free address for %s: all of the pool is leased",
			    mac_format(&x->client.mac, mac));
		return 0;
	}
	if (r == -EDQUOT) {
		note_limit(server, x);
		return 0;
	}
	if (r < 0)
		return r;
	ret->lease = lease;
	ret->type = DHCP_OFFER;
	if (server->conf.rapid_commit && x->message->rapid_commit) {
		grant(server, x, lease, now_ms);
		ret->type = DHCP_ACK;
		ret->rapid = true;
	}
	return 0;
}

static int refuse(struct dhcp_decision *ret, const char *reason)
{
	ret->type = DHCP_NAK;
	ret->reason = reason;
	return 0;
}

/* The address that a REQUEST is about: RFC 2131 section 4.3.2 and table 4. While selecting and
 * after a reboot it is in option 50, to renew or rebind it is the client's own. Some clients that
 * select from a lease which they still use fill in only the latter. */
static uint32_t requested_address(const struct dhcp_message *m)
{
	if (m->ciaddr && (!m->server_id || !m->requested))
		return m->ciaddr;
	return m->requested;
}

static int on_request(struct dhcp_server *server, const struct dhcp_exchange *x, uint64_t now_ms,
		      struct dhcp_decision *ret)
{
	const struct dhcp_message *m = x->message;
	struct dhcp_lease *lease = dhcp_pool_lookup(&server->pool, &x->client);
	struct addr address = addr_from_v4(requested_address(m));

	server->counters.requests++;
	if (m->server_id && m->server_id != addr_v4(&server->conf.gateway)) {
		/* It took another server's offer. */
		if (lease && lease->state == DHCP_LEASE_OFFERED &&
		    dhcp_lease_is_of(lease, &x->client))
			dhcp_pool_release(&server->pool, lease);
		return 0;
	}
	if (addr_is_any(&address))
		return 0;
	if (!dhcp_conf_leasable(&server->conf, &address))
		return refuse(ret, "address isn't of this network");
	if (lease && lease->address != addr_v4(&address))
		return refuse(ret, "another address is yours");
	/* Somebody else's lease might be meant, unless we made the offer or are alone. */
	if (!lease && !m->server_id && !server->conf.authoritative)
		return 0;
	int r = dhcp_pool_claim(&server->pool, &x->client, addr_v4(&address), &lease);

	if (r == -EADDRINUSE || r == -ENOSPC)
		return refuse(ret, "address isn't free");
	if (r == -EDQUOT) {
		note_limit(server, x);
		return refuse(ret, "too many addresses");
	}
	if (r < 0)
		return r;
	grant(server, x, lease, now_ms);
	ret->lease = lease;
	ret->type = DHCP_ACK;
	return 0;
}

/* The lease that a DECLINE or RELEASE ends: the sender's own, on that address, from us. */
static struct dhcp_lease *lease_to_end(struct dhcp_server *server, const struct dhcp_exchange *x,
				       uint32_t address)
{
	struct dhcp_lease *lease = dhcp_pool_lookup(&server->pool, &x->client);
	uint32_t server_id = x->message->server_id;

	if (server_id && server_id != addr_v4(&server->conf.gateway))
		return NULL;
	if (!lease || lease->address != address || !dhcp_lease_is_of(lease, &x->client) ||
	    lease->state == DHCP_LEASE_IDLE)
		return NULL;
	return lease;
}

static void on_decline(struct dhcp_server *server, const struct dhcp_exchange *x, uint64_t now_ms)
{
	struct dhcp_lease *lease = lease_to_end(server, x, x->message->requested);
	struct addr address = addr_from_v4(x->message->requested);
	char text[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	server->counters.declines++;
	if (!lease)
		return;
	log_limited(LOG_LEVEL_WARN,
		    "%s declined %s: somebody on the network uses that address already",
		    mac_format(&x->client.mac, mac), addr_format(&address, text));
	dhcp_pool_decline(&server->pool, lease, now_ms);
}

static void on_release(struct dhcp_server *server, const struct dhcp_exchange *x)
{
	struct dhcp_lease *lease = lease_to_end(server, x, x->message->ciaddr);

	server->counters.releases++;
	if (lease)
		dhcp_pool_release(&server->pool, lease);
}

/* The client has an address by other means, and wants the rest. It must be of our subnet: the
 * answer goes there. */
static void on_inform(struct dhcp_server *server, const struct dhcp_exchange *x,
		      struct dhcp_decision *ret)
{
	struct addr address = addr_from_v4(x->message->ciaddr);

	server->counters.informs++;
	if (dhcp_conf_leasable(&server->conf, &address))
		ret->type = DHCP_ACK;
}

static int decide(struct dhcp_server *server, const struct dhcp_exchange *x, uint64_t now_ms,
		  struct dhcp_decision *ret)
{
	switch (x->message->type) {
	case DHCP_DISCOVER:
		return on_discover(server, x, now_ms, ret);
	case DHCP_REQUEST:
		return on_request(server, x, now_ms, ret);
	case DHCP_DECLINE:
		on_decline(server, x, now_ms);
		return 0;
	case DHCP_RELEASE:
		on_release(server, x);
		return 0;
	case DHCP_INFORM:
		on_inform(server, x, ret);
		return 0;
	default: /* a server's message, or one we don't know */
		server->counters.ignored++;
		return 0;
	}
}

/* Where clients find the boot file, the header's "siaddr"; 0: no boot. */
static uint32_t boot_server(const struct dhcp_server *server)
{
	if (!server->boot_file[0])
		return 0;
	return addr_v4(server->conf.boot_server.family ? &server->conf.boot_server
						       : &server->conf.gateway);
}

static void count_reply(struct dhcp_counters *counters, enum dhcp_type type)
{
	counters->offers += type == DHCP_OFFER;
	counters->acks += type == DHCP_ACK;
	counters->naks += type == DHCP_NAK;
}

int dhcp_server_handle(struct dhcp_server *server, const void *message, size_t size,
		       unsigned source, uint64_t now_ms, struct dhcp_reply *ret_reply)
{
	struct dhcp_message m;
	struct dhcp_exchange x = {0};
	struct dhcp_decision decision = {.type = DHCP_BOOTP};

	dhcp_pool_expire(&server->pool, now_ms);
	if (dhcp_message_decode(message, size, &m) < 0 || identify(&m, &x) < 0) {
		server->counters.malformed++;
		return -EBADMSG;
	}
	if (!is_for_us(server, &m)) {
		server->counters.ignored++;
		return 0;
	}
	x.client.source = source <= DHCP_SOURCES_MAX ? source : 0;
	int r = decide(server, &x, now_ms, &decision);

	if (r < 0)
		return r;
	if (decision.type == DHCP_BOOTP)
		return 0;
	const struct dhcp_speaker speaker = {
		.server_id = addr_v4(&server->conf.gateway),
		.lease_seconds = server->conf.lease_seconds,
		.mtu = server->conf.mtu,
		.domain = server->domain,
		.boot_file = server->boot_file,
		.boot_server = boot_server(server),
		.options = &server->options,
	};

	count_reply(&server->counters, decision.type);
	dhcp_reply_encode(&speaker, &x, &decision, ret_reply);
	return 1;
}

uint64_t dhcp_server_expire(struct dhcp_server *server, uint64_t now_ms)
{
	return dhcp_pool_expire(&server->pool, now_ms);
}

/* Static and restored leases. */

static bool valid_reservation(const struct dhcp_server *server, const struct dhcp_reservation *conf,
			      struct dhcp_reservation *ret)
{
	*ret = *conf;
	ret->hostname[0] = '\0';
	if (!dhcp_conf_leasable(&server->conf, &conf->address))
		return false;
	size_t length = strnlen(conf->hostname, sizeof(conf->hostname));

	if (length > 0 && (memchr(conf->hostname, '.', length) ||
			   !dhcp_hostname_clean(conf->hostname, length, ret->hostname)))
		return false;
	return conf->by_mac ? usable_mac(&conf->mac)
			    : conf->client_id_size >= CLIENT_ID_SIZE_MIN &&
				      conf->client_id_size <= DHCP_CLIENT_ID_MAX;
}

int dhcp_server_reserve(struct dhcp_server *server, const struct dhcp_reservation *reservation,
			uint64_t now_ms)
{
	struct dhcp_reservation clean;

	dhcp_pool_expire(&server->pool, now_ms);
	if (!valid_reservation(server, reservation, &clean))
		return -EINVAL;
	return dhcp_pool_reserve(&server->pool, &clean);
}

const char *dhcp_server_why_not(const struct dhcp_server *server,
				const struct dhcp_reservation *reservation, int error)
{
	const struct dhcp_conf *conf = &server->conf;
	const struct addr *address = &reservation->address;

	if (error == -EEXIST)
		return "the address or the client has another static lease";
	if (error != -EINVAL)
		return strerror(-error);
	if (addr_equal(address, &conf->gateway))
		return "that is the gateway's address: choose another one";
	if (addr_equal(address, &conf->host_alias))
		return "that is the host alias' address: choose another one";
	if (!dhcp_conf_leasable(conf, address))
		return "it isn't a host address of the subnet";
	return "it needs a MAC of one device or a client identifier of 2 bytes or more, and a host "
	       "name of letters, digits and inner hyphens or none";
}

static struct dhcp_lease *record_of(const struct dhcp_server *server, const struct addr *address)
{
	if (address->family != AF_INET)
		return NULL;
	return dhcp_pool_by_address(&server->pool, addr_v4(address));
}

int dhcp_server_unreserve(struct dhcp_server *server, const struct addr *address)
{
	if (address->family != AF_INET)
		return -ENOENT;
	return dhcp_pool_unreserve(&server->pool, addr_v4(address));
}

int dhcp_server_reown(struct dhcp_server *server, const struct addr *address, uint64_t owner)
{
	struct dhcp_lease *lease = record_of(server, address);

	if (!lease || !lease->reserved)
		return -ENOENT;
	lease->reserved->conf.owner = owner;
	return 0;
}

int dhcp_server_end(struct dhcp_server *server, const struct addr *address)
{
	struct dhcp_lease *lease = record_of(server, address);

	if (!lease || lease->state != DHCP_LEASE_BOUND)
		return -ENOENT;
	dhcp_pool_release(&server->pool, lease);
	return 0;
}

void dhcp_server_for_each_static(const struct dhcp_server *server,
				 void (*fn)(void *arg, const struct dhcp_reservation *reservation),
				 void *arg)
{
	hmap_for_each (node, &server->pool.statics)
		fn(arg, &container_of(node, struct dhcp_static, by_key)->conf);
}

int dhcp_server_restore(struct dhcp_server *server, const struct dhcp_lease_info *lease,
			uint64_t now_ms)
{
	struct dhcp_client client = {.mac = lease->mac, .id_size = lease->client_id_size};

	if (!dhcp_conf_leasable(&server->conf, &lease->address) || !usable_mac(&lease->mac) ||
	    client.id_size < CLIENT_ID_SIZE_MIN || client.id_size > sizeof(client.id))
		return -EINVAL;
	memcpy(client.id, lease->client_id, client.id_size);
	return dhcp_pool_restore(&server->pool, &client, addr_v4(&lease->address), lease->hostname,
				 lease->expires_ms, now_ms);
}

/* Queries. */

void dhcp_server_for_each(const struct dhcp_server *server,
			  void (*fn)(void *arg, const struct dhcp_lease_info *lease), void *arg)
{
	list_for_each (node, &server->pool.states[DHCP_LEASE_BOUND]) {
		struct dhcp_lease_info info = info_of(container_of(node, struct dhcp_lease, order));

		fn(arg, &info);
	}
}

void dhcp_server_for_each_ended(const struct dhcp_server *server,
				void (*fn)(void *arg, const struct dhcp_lease_info *lease),
				void *arg)
{
	list_for_each (node, &server->pool.states[DHCP_LEASE_IDLE]) {
		const struct dhcp_lease *lease = container_of(node, struct dhcp_lease, order);
		struct dhcp_lease_info info = info_of(lease);

		info.expires_ms = 0;
		if (lease->owned && lease->was_bound)
			fn(arg, &info);
	}
}

bool dhcp_server_by_address(const struct dhcp_server *server, const struct addr *address,
			    struct dhcp_lease_info *ret)
{
	const struct dhcp_lease *lease = record_of(server, address);

	if (!lease || lease->state != DHCP_LEASE_BOUND)
		return false;
	*ret = info_of(lease);
	return true;
}

bool dhcp_server_by_hostname(const struct dhcp_server *server, const char *hostname,
			     struct dhcp_lease_info *ret)
{
	char clean[DHCP_HOSTNAME_MAX];

	if (strchr(hostname, '.') || !dhcp_hostname_clean(hostname, strlen(hostname), clean))
		return false;
	const struct dhcp_lease *lease = dhcp_pool_by_hostname(&server->pool, clean);

	if (!lease)
		return false;
	*ret = info_of(lease);
	return true;
}

bool dhcp_server_by_mac(const struct dhcp_server *server, const struct mac *mac,
			struct dhcp_lease_info *ret)
{
	const struct dhcp_lease *lease = dhcp_pool_bound_by_mac(&server->pool, mac);

	if (!lease)
		return false;
	*ret = info_of(lease);
	return true;
}

const struct dhcp_counters *dhcp_server_counters(const struct dhcp_server *server)
{
	return &server->counters;
}
