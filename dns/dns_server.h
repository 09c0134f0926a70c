/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's DNS server: messages in, replies out. What is ours is answered at once
 * (dns_local.c), the rest goes byte by byte to the host's resolvers (dns_upstream.c), whoever they
 * are at that moment.
 *
 * It opens no listening socket. Datagrams and connections for port 53 are brought to it by whoever
 * ends them.
 *
 * Nothing that is relayed is kept. Measured, a guest waits 45 us for a name of our own, which is
 * what a cached one would take, and 90 us for one from a caching resolver on the host, such as
 * resolv.conf names on most machines; the query itself takes 20 us there. A cache of ours would
 * save that, where guests' own caches haven't already; and where the resolver is further away, a
 * millisecond per repeated name. It would cost what relaying messages as they are gives us: their
 * TTLs, cookies and client subnets would be ours to get right, it would have to be emptied when a
 * VPN comes up, and a forged reply, which now misleads one query of one guest, would stay for all
 * of them. For that reason too queries that are alike need not be merged into one (RFC 5452, 5).
 */
#ifndef DNS_DNS_SERVER_H
#define DNS_DNS_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "dns/dns_exchange.h"
#include "dns/dns_local.h"
#include "dns/dns_resolvconf.h"
#include "dns/dns_upstream.h"
#include "dns/dns_zone.h"

#define DNS_ROUTES_MAX 32

struct dns_server;

/* Names within `suffix` go to resolvers of their own. Where the suffix is a domain of ours, or lies
 * in one, these are the names that we don't know. */
struct dns_route_conf {
	const char *suffix;
	const struct dns_resolver *resolvers;
	size_t resolver_count; /* 1 to DNS_RESOLVERS_MAX */
};

/* Everything is copied. Zeros are the defaults: an address of AF_UNSPEC is one that there isn't. */
struct dns_conf {
	struct addr gateway4, gateway6; /* gateway.internal and so on */
	struct addr host4, host6;       /* host.internal: the alias of the host's loopback */
	struct addr vm4, vm6;           /* vm.internal */
	struct prefix subnet4, subnet6; /* whose reverse names are answered here */
	const char *guest_domain;       /* NULL: vm.internal; "": guests have no names */
	struct dns_guest_lookup guests;
	const struct dns_zone_conf *zones;
	size_t zone_count;
	const struct dns_resolver *resolvers; /* if any, they replace those of resolv.conf */
	size_t resolver_count;                /* up to DNS_RESOLVERS_MAX */
	const struct dns_route_conf *routes;  /* split DNS: the longest suffix decides */
	size_t route_count;
	const char *resolv_conf_path; /* NULL: /etc/resolv.conf; "": none */
	const char *hosts_path;       /* NULL: /etc/hosts; "": none */
	/* Called when another resolv.conf has been read, from within any function here; NULL:
	 * nobody wants to know. It may call dns_server_resolvconf(). */
	void (*resolvconf_changed)(void *arg);
	void *resolvconf_changed_arg;
	uint32_t try_ms, deadline_ms; /* of a relayed query; 0: defaults of dns_upstream.h */
	uint32_t stream_idle_ms;      /* 0: default of dns_stream.h */
};

struct dns_stats {
	uint64_t queries;
	uint64_t local;       /* answered here */
	uint64_t relayed;     /* sent on */
	uint64_t malformed;   /* dropped, or answered with an error about their form */
	uint64_t refused;     /* zone transfers */
	uint64_t servfail;    /* that we said; those of resolvers don't count */
	uint64_t truncated;   /* replies too large for UDP */
	uint64_t streams;     /* connections served */
	uint64_t streams_cut; /* connections closed or not taken because of a limit */
	size_t pending;       /* queries under way now */
	size_t stream_count;  /* connections open now */
	struct dns_upstream_stats upstream;
};

/*
 * The reply to a query: once, during dns_server_query() or later, unless the query was cancelled.
 * `reply` is borrowed for the call. It is NULL, and size 0, only when the server goes away: nothing
 * is to be sent then. It may call dns_server_query(), and must not free the server.
 */
typedef void dns_respond_fn(void *arg, const void *reply, size_t size);

/* Returns 0 with an owned server; or -errno with a message for the user in `error`, -EINVAL where
 * the configuration is wrong. */
int dns_server_new(struct loop *loop, const struct dns_conf *conf, char *error, size_t error_size,
		   struct dns_server **ret_server);
/* Ends all queries and streams. */
void dns_server_free(struct dns_server *server);

/*
 * Takes a message from `client` (whose address shares limits are counted by). Returns 0 when
 * `respond` was or will be called; a reply over UDP fits what the client said it takes. Returns
 * -EBADMSG, and `respond` isn't called, when it is to be dropped: no query at all.
 */
int dns_server_query(struct dns_server *server, enum dns_transport transport,
		     const struct endpoint *client, const void *message, size_t size,
		     dns_respond_fn *respond, void *arg);
/* Gives up all queries under way with this `respond` and `arg`. */
void dns_server_cancel(struct dns_server *server, dns_respond_fn *respond, void *arg);
/*
 * Serves DNS over TCP (RFC 7766) on a connected stream socket: an accepted connection or one end of
 * a socketpair. Takes the fd, also on failure. `client` may be NULL when it isn't known. Returns 0,
 * -EBUSY when there are too many streams, or -ENOMEM.
 */
int dns_server_serve_stream(struct dns_server *server, int fd, const struct endpoint *client);

/* See dns_zones_add(), dns_zones_put() and dns_zones_remove(). */
int dns_server_add_zone(struct dns_server *server, const struct dns_zone_conf *conf, char *error,
			size_t error_size);
int dns_server_put_zone(struct dns_server *server, const struct dns_zone_conf *conf, char *error,
			size_t error_size);
int dns_server_remove_zone(struct dns_server *server, const char *name);
/* For listing: of each zone its `text`, `default_ip`, and of its records `conf`. Borrowed until the
 * next change. */
const struct dns_zones *dns_server_zones(const struct dns_server *server);
/* The host's resolv.conf as it is now, such as for the search domains that DHCP hands out. Borrowed
 * until the next call of any function here. */
const struct dns_resolvconf *dns_server_resolvconf(struct dns_server *server);
struct dns_stats dns_server_stats(const struct dns_server *server);

#endif
