/* SPDX-License-Identifier: Apache-2.0 */
/* Takes each query to whoever answers it: an error about its form, the local names, or a resolver.
 */
#include "dns/dns_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "dns/dns_file.h"
#include "dns/dns_stream.h"

LOG_MODULE("dns");

struct route {
	struct dns_name suffix;
	size_t resolver_count;
	struct dns_resolver resolvers[DNS_RESOLVERS_MAX];
};

/* A query that is with the resolvers. */
struct request {
	struct list link; /* in server->requests */
	struct dns_server *server;
	enum dns_transport transport;
	struct dns_query query;
	dns_respond_fn *respond;
	void *arg;
	struct dns_relay *relay;
};

struct dns_server {
	struct loop *loop;
	struct dns_local local;
	struct dns_upstream *upstream;
	struct dns_streams streams;
	struct list requests;
	struct dns_file resolvconf_file; /* path NULL: none */
	struct dns_file hosts_file;      /* path NULL: none */
	struct dns_resolvconf resolvconf;
	void (*resolvconf_changed)(void *arg); /* NULL: nobody wants to know */
	void *resolvconf_changed_arg;
	size_t resolver_count; /* configured; 0: those of resolv.conf */
	struct dns_resolver resolvers[DNS_RESOLVERS_MAX];
	size_t route_count;
	struct route routes[DNS_ROUTES_MAX]; /* longest suffix first */
	struct dns_stats stats;
	uint8_t scratch[DNS_MESSAGE_MAX]; /* replies on their way out */
};

static int add_route(struct dns_server *server, const struct dns_route_conf *conf, char *error,
		     size_t error_size)
{
	struct route route = {.resolver_count = conf->resolver_count};
	size_t i = server->route_count;

	if (i == DNS_ROUTES_MAX)
		return text_fail(error, error_size, -EINVAL, "there may be at most %d DNS routes",
				 DNS_ROUTES_MAX);
	if (!conf->suffix || dns_name_parse(conf->suffix, &route.suffix) < 0)
		return text_fail(error, error_size, -EINVAL,
				 "\"%.64s\" is not a domain that DNS can be routed by",
				 conf->suffix ? conf->suffix : "");
	if (conf->resolver_count < 1 || conf->resolver_count > DNS_RESOLVERS_MAX)
		return text_fail(error, error_size, -EINVAL,
				 "the DNS route for \"%.64s\" needs 1 to %d resolvers",
				 conf->suffix, DNS_RESOLVERS_MAX);
	memcpy(route.resolvers, conf->resolvers, conf->resolver_count * sizeof(*conf->resolvers));
	for (; i > 0 && server->routes[i - 1].suffix.size < route.suffix.size; i--)
		server->routes[i] = server->routes[i - 1];
	server->routes[i] = route;
	server->route_count++;
	return 0;
}

static int set_local(struct dns_server *server, const struct dns_conf *conf, char *error,
		     size_t error_size)
{
	struct dns_local *local = &server->local;
	int r;

	local->gateway4 = conf->gateway4;
	local->gateway6 = conf->gateway6;
	local->host4 = conf->host4;
	local->host6 = conf->host6;
	local->vm4 = conf->vm4;
	local->vm6 = conf->vm6;
	local->subnet4 = conf->subnet4;
	local->subnet6 = conf->subnet6;
	local->guests = conf->guests;
	if (conf->guest_domain && dns_name_parse(conf->guest_domain, &local->guest_domain) < 0)
		return text_fail(error, error_size, -EINVAL,
				 "\"%.64s\" is not a valid guest domain", conf->guest_domain);
	dns_name_lower(&local->guest_domain);
	r = dns_local_add_built_ins(local);
	if (r < 0)
		return text_fail(error, error_size, r, "%s", strerror(-r));
	for (size_t i = 0; i < conf->zone_count && r == 0; i++)
		r = dns_zones_add(&local->zones, &conf->zones[i], error, error_size);
	return r;
}

static int set_upstream(struct dns_server *server, const struct dns_conf *conf, char *error,
			size_t error_size)
{
	int r = 0;

	if (conf->resolver_count > DNS_RESOLVERS_MAX)
		return text_fail(error, error_size, -EINVAL,
				 "there may be at most %d DNS resolvers", DNS_RESOLVERS_MAX);
	server->resolver_count = conf->resolver_count;
	if (conf->resolver_count)
		memcpy(server->resolvers, conf->resolvers,
		       conf->resolver_count * sizeof(*conf->resolvers));
	for (size_t i = 0; i < conf->route_count && r == 0; i++)
		r = add_route(server, &conf->routes[i], error, error_size);
	return r;
}

static int watch_files(struct dns_server *server, const struct dns_conf *conf)
{
	const char *resolvconf = conf->resolv_conf_path ? conf->resolv_conf_path
							: DNS_RESOLVCONF_PATH;
	const char *hosts = conf->hosts_path ? conf->hosts_path : DNS_HOSTS_PATH;
	int r = 0;

	server->resolvconf_changed = conf->resolvconf_changed;
	server->resolvconf_changed_arg = conf->resolvconf_changed_arg;
	if (*resolvconf)
		r = dns_file_init(&server->resolvconf_file, resolvconf, DNS_RESOLVCONF_SIZE_MAX);
	if (r == 0 && *hosts)
		r = dns_file_init(&server->hosts_file, hosts, DNS_HOSTS_SIZE_MAX);
	return r;
}

int dns_server_new(struct loop *loop, const struct dns_conf *conf, char *error, size_t error_size,
		   struct dns_server **ret_server)
{
	struct dns_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return text_fail(error, error_size, -ENOMEM, "out of memory");
	server->loop = loop;
	list_init(&server->requests);
	dns_local_init(&server->local);
	dns_streams_init(&server->streams, loop, server, conf->stream_idle_ms);
	r = set_local(server, conf, error, error_size);
	if (r == 0)
		r = set_upstream(server, conf, error, error_size);
	if (r < 0)
		goto failed;
	r = watch_files(server, conf);
	if (r == 0)
		r = dns_upstream_new(loop, conf->try_ms, conf->deadline_ms, &server->upstream);
	if (r < 0) {
		text_fail(error, error_size, r, "%s", strerror(-r));
		goto failed;
	}
	*ret_server = server;
	return 0;

failed:
	dns_server_free(server);
	return r;
}

static void request_free(struct request *request)
{
	if (request->relay)
		dns_upstream_cancel(request->relay);
	list_remove(&request->link);
	free(request);
}

void dns_server_free(struct dns_server *server)
{
	if (!server)
		return;
	dns_streams_destroy(&server->streams);
	while (!list_empty(&server->requests)) {
		struct request *request = container_of(list_first(&server->requests),
						       struct request, link);
		dns_respond_fn *respond = request->respond;
		void *arg = request->arg;

		request_free(request);
		respond(arg, NULL, 0);
	}
	dns_upstream_free(server->upstream);
	dns_local_destroy(&server->local);
	dns_file_destroy(&server->resolvconf_file);
	dns_file_destroy(&server->hosts_file);
	free(server);
}

static void read_resolvconf(struct dns_server *server, const char *text)
{
	struct dns_resolvconf *conf = &server->resolvconf;

	dns_resolvconf_parse(text, conf);
	if (conf->bad_line_count)
		log_limited(LOG_LEVEL_WARN, "%s: %u nameserver lines are not addresses; ignored",
			    server->resolvconf_file.path, conf->bad_line_count);
	if (conf->resolver_count == 0 && server->resolver_count == 0)
		log_limited(LOG_LEVEL_WARN,
			    "%s names no nameserver: only local names resolve until it does",
			    server->resolvconf_file.path);
	else
		log_debug("%s: %zu resolvers, %zu search domains", server->resolvconf_file.path,
			  conf->resolver_count, conf->search_count);
}

/* Looks whether the host's files changed, at most once a second. What can't be read now for want of
 * memory is read at the next query. */
static void refresh(struct dns_server *server)
{
	struct dns_local *local = &server->local;
	uint64_t now_ms = loop_now_ms(server->loop);
	bool changed = false;
	char *text;

	if (server->resolvconf_file.path &&
	    dns_file_poll(&server->resolvconf_file, now_ms, &text) > 0) {
		read_resolvconf(server, text);
		free(text);
		changed = true;
	}
	if (server->hosts_file.path && dns_file_poll(&server->hosts_file, now_ms, &text) > 0) {
		int r = dns_hosts_parse(&local->hosts, text, &local->host4, &local->host6);

		if (r < 0)
			log_limited(LOG_LEVEL_WARN, "%s: only the first %zu entries are used: %s",
				    server->hosts_file.path, local->hosts.count,
				    r == -ENOSPC ? "there are too many" : strerror(-r));
		free(text);
	}
	if (changed && server->resolvconf_changed)
		server->resolvconf_changed(server->resolvconf_changed_arg);
}

/* The route with the longest suffix that the name is in, or NULL. */
static const struct route *find_route(const struct dns_server *server, const struct dns_name *name)
{
	for (size_t i = 0; i < server->route_count; i++) {
		if (dns_name_is_within(name, &server->routes[i].suffix))
			return &server->routes[i];
	}
	return NULL;
}

static const struct dns_resolver *choose_resolvers(const struct dns_server *server,
						   const struct dns_name *name, size_t *ret_count)
{
	const struct route *route = find_route(server, name);

	if (route) {
		*ret_count = route->resolver_count;
		return route->resolvers;
	}
	if (server->resolver_count) {
		*ret_count = server->resolver_count;
		return server->resolvers;
	}
	*ret_count = server->resolvconf.resolver_count;
	return server->resolvconf.resolvers;
}

/* Whether we answer by ourselves. A route for a domain of ours, or within it, is where names are
 * looked for that we don't know. */
static bool answer_locally(const struct dns_server *server, const struct dns_query *query,
			   struct dns_answer *ret)
{
	const struct route *route;

	if (!dns_local_answer(&server->local, query, ret))
		return false;
	if (!ret->is_default)
		return true;
	route = find_route(server, &query->name);
	return !route || route->suffix.size < ret->soa_size;
}

static void respond_answer(enum dns_transport transport, const struct dns_query *query,
			   const struct dns_answer *answer, dns_respond_fn *respond, void *arg)
{
	uint8_t reply[DNS_ANSWER_SIZE_MAX];
	size_t limit = sizeof(reply);

	if (transport == DNS_UDP && query->udp_size < limit)
		limit = query->udp_size;
	respond(arg, reply, dns_answer_encode(query, answer, reply, limit));
}

static void respond_servfail(struct dns_server *server, enum dns_transport transport,
			     const struct dns_query *query, int error, dns_respond_fn *respond,
			     void *arg)
{
	struct dns_answer answer;

	server->stats.servfail++;
	dns_answer_init(&answer, DNS_RCODE_SERVFAIL);
	switch (-error) {
	case ENOENT:
		answer.ede = DNS_EDE_NO_REACHABLE;
		answer.ede_text = "the host has no DNS resolver configured";
		break;
	case ETIMEDOUT:
		answer.ede = DNS_EDE_NO_REACHABLE;
		answer.ede_text = "the host's DNS resolvers did not answer";
		break;
	case EBUSY:
		answer.ede = DNS_EDE_OTHER;
		answer.ede_text = "too many DNS queries under way";
		break;
	default:
		answer.ede = DNS_EDE_NETWORK;
		answer.ede_text = strerror(-error);
		break;
	}
	respond_answer(transport, query, &answer, respond, arg);
}

static void respond_reply(struct dns_server *server, const struct request *request,
			  const void *reply, size_t size)
{
	const struct dns_query *query = &request->query;
	uint8_t *copy = server->scratch;

	if (request->transport == DNS_UDP && size > query->udp_size) {
		server->stats.truncated++;
		size = dns_reply_truncate(query, reply, copy);
	} else {
		memcpy(copy, reply, size);
		copy[0] = (uint8_t)(query->id >> 8);
		copy[1] = (uint8_t)query->id;
	}
	request->respond(request->arg, copy, size);
}

static void on_relayed(void *arg, int error, const void *reply, size_t size)
{
	struct request *request = arg;
	struct dns_server *server = request->server;
	struct request done = *request;

	/* Gone before the owner hears of it, who may cancel or ask again. */
	request->relay = NULL;
	request_free(request);
	if (reply)
		respond_reply(server, &done, reply, size);
	else
		respond_servfail(server, done.transport, &done.query, error, done.respond,
				 done.arg);
}

static int relay(struct dns_server *server, enum dns_transport transport,
		 const struct endpoint *client, const struct dns_query *query, const void *message,
		 size_t size, dns_respond_fn *respond, void *arg)
{
	struct request *request = calloc(1, sizeof(*request));
	size_t resolver_count;
	int r;

	if (!request)
		return -ENOMEM;
	const struct dns_resolver *resolvers = choose_resolvers(server, &query->name,
								&resolver_count);
	request->server = server;
	request->transport = transport;
	request->query = *query;
	request->respond = respond;
	request->arg = arg;
	list_add_tail(&server->requests, &request->link);
	r = dns_upstream_relay(server->upstream, transport, &client->addr, resolvers,
			       resolver_count, query, message, size, on_relayed, request,
			       &request->relay);
	if (r < 0)
		request_free(request);
	else
		server->stats.relayed++;
	return r;
}

/* What is to be said about a query's form, or NOERROR. */
static enum dns_rcode judge(const struct dns_query *query, size_t size)
{
	if (query->rcode != DNS_RCODE_NOERROR)
		return query->rcode;
	if (size > DNS_QUERY_SIZE_MAX)
		return DNS_RCODE_FORMERR;
	/* A transfer's reply is many messages, and no stub's business. */
	if (query->type == DNS_TYPE_AXFR || query->type == DNS_TYPE_IXFR)
		return DNS_RCODE_REFUSED;
	return DNS_RCODE_NOERROR;
}

int dns_server_query(struct dns_server *server, enum dns_transport transport,
		     const struct endpoint *client, const void *message, size_t size,
		     dns_respond_fn *respond, void *arg)
{
	struct dns_stats *stats = &server->stats;
	struct dns_answer answer;
	struct dns_query query;
	enum dns_rcode rcode;
	int r;

	stats->queries++;
	if (dns_query_parse(message, size, &query) < 0) {
		stats->malformed++;
		return -EBADMSG;
	}
	rcode = judge(&query, size);
	if (rcode != DNS_RCODE_NOERROR) {
		if (rcode == DNS_RCODE_REFUSED)
			stats->refused++;
		else
			stats->malformed++;
		dns_answer_init(&answer, rcode);
		respond_answer(transport, &query, &answer, respond, arg);
		return 0;
	}
	refresh(server);
	if (answer_locally(server, &query, &answer)) {
		stats->local++;
		respond_answer(transport, &query, &answer, respond, arg);
		return 0;
	}
	r = relay(server, transport, client, &query, message, size, respond, arg);
	if (r < 0)
		respond_servfail(server, transport, &query, r, respond, arg);
	return 0;
}

void dns_server_cancel(struct dns_server *server, dns_respond_fn *respond, void *arg)
{
	list_for_each_safe (link, &server->requests) {
		struct request *request = container_of(link, struct request, link);

		if (request->respond == respond && request->arg == arg)
			request_free(request);
	}
}

int dns_server_serve_stream(struct dns_server *server, int fd, const struct endpoint *client)
{
	return dns_streams_add(&server->streams, fd, client);
}

int dns_server_add_zone(struct dns_server *server, const struct dns_zone_conf *conf, char *error,
			size_t error_size)
{
	return dns_zones_add(&server->local.zones, conf, error, error_size);
}

int dns_server_put_zone(struct dns_server *server, const struct dns_zone_conf *conf, char *error,
			size_t error_size)
{
	return dns_zones_put(&server->local.zones, conf, error, error_size);
}

int dns_server_remove_zone(struct dns_server *server, const char *name)
{
	return dns_zones_remove(&server->local.zones, name);
}

const struct dns_zones *dns_server_zones(const struct dns_server *server)
{
	return &server->local.zones;
}

const struct dns_resolvconf *dns_server_resolvconf(struct dns_server *server)
{
	refresh(server);
	return &server->resolvconf;
}

struct dns_stats dns_server_stats(const struct dns_server *server)
{
	struct dns_stats stats = server->stats;

	stats.upstream = *dns_upstream_stats(server->upstream);
	stats.pending = dns_upstream_pending(server->upstream);
	stats.streams = server->streams.served;
	stats.streams_cut = server->streams.cut;
	stats.stream_count = server->streams.count;
	return stats;
}
