/* SPDX-License-Identifier: Apache-2.0 */
/* The table of relayed queries: admission, retry, failover and deadlines. */
#include "dns/dns_upstream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/list.h"
#include "base/log.h"
#include "dns/dns_health.h"

LOG_MODULE("dns");

/* A client that has queries under way. */
struct client {
	struct hmap_node node;
	struct addr addr;
	struct list relays; /* oldest first */
	size_t count;
};

/* One resolver's part in a relayed query. */
struct attempt {
	struct dns_relay *relay;
	struct dns_resolver resolver;
	struct dns_exchange *exchange; /* NULL: not asked yet, or it is over */
	bool is_over;                  /* failed, or answered with an error code */
	bool was_noted; /* as a failure: once per query, however often it was asked */
};

struct dns_relay {
	struct dns_upstream *upstream;
	struct client *client;
	struct list link; /* in client->relays */
	enum dns_transport transport;
	uint64_t started_ms;
	uint64_t deadline_ms;
	struct loop_timer *timer;
	struct dns_query query;
	dns_relay_fn *fn;
	void *arg;
	struct attempt attempts[DNS_RESOLVERS_MAX];
	size_t attempt_count;
	size_t next;         /* whose turn it is */
	int error;           /* of the last failure */
	uint8_t *poor_reply; /* the first reply with an error code, kept in case nobody does better;
				owned */
	size_t poor_reply_size;
	size_t size;
	uint8_t message[];
};

struct dns_upstream {
	struct loop *loop;
	uint32_t try_ms;
	uint32_t deadline_ms;
	struct hmap clients;
	struct hash_key key;
	size_t count; /* relays */
	struct dns_health health;
	struct dns_upstream_stats stats;
	uint8_t scratch[DNS_MESSAGE_MAX];
};

static void ask_next(struct dns_relay *relay);

int dns_upstream_new(struct loop *loop, uint32_t try_ms, uint32_t deadline_ms,
		     struct dns_upstream **ret_upstream)
{
	struct dns_upstream *upstream = calloc(1, sizeof(*upstream));

	if (!upstream)
		return -ENOMEM;
	upstream->loop = loop;
	upstream->try_ms = try_ms ? try_ms : DNS_TRY_MS_DEFAULT;
	upstream->deadline_ms = deadline_ms ? deadline_ms : DNS_DEADLINE_MS_DEFAULT;
	hmap_init(&upstream->clients);
	upstream->key = hash_key_random();
	*ret_upstream = upstream;
	return 0;
}

static uint64_t hash_addr(const struct dns_upstream *upstream, const struct addr *addr)
{
	return addr->family == AF_INET6 ? hash_bytes(&upstream->key, &addr->v6, sizeof(addr->v6))
					: hash_bytes(&upstream->key, &addr->v4, sizeof(addr->v4));
}

static struct client *find_client(const struct dns_upstream *upstream, const struct addr *addr)
{
	struct hmap_node *node = hmap_find(&upstream->clients, hash_addr(upstream, addr));

	for (; node; node = hmap_find_next(node)) {
		struct client *client = container_of(node, struct client, node);

		if (addr_equal(&client->addr, addr))
			return client;
	}
	return NULL;
}

static struct client *find_or_add_client(struct dns_upstream *upstream, const struct addr *addr)
{
	struct client *client = find_client(upstream, addr);

	if (client)
		return client;
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->addr = *addr;
	list_init(&client->relays);
	if (hmap_insert(&upstream->clients, &client->node, hash_addr(upstream, addr)) < 0) {
		free(client);
		return NULL;
	}
	return client;
}

static void release_client(struct dns_upstream *upstream, struct client *client)
{
	if (client->count > 0)
		return;
	hmap_remove(&upstream->clients, &client->node);
	free(client);
}

static void attempt_end(struct attempt *attempt)
{
	if (attempt->exchange)
		attempt->relay->upstream->stats.mismatches += dns_exchange_mismatches(
			attempt->exchange);
	dns_exchange_free(attempt->exchange);
	attempt->exchange = NULL;
	attempt->is_over = true;
}

/* Takes a relay out of the table. */
static void relay_unlink(struct dns_relay *relay)
{
	list_remove(&relay->link);
	relay->client->count--;
	relay->upstream->count--;
	release_client(relay->upstream, relay->client);
	relay->client = NULL;
}

static void relay_free(struct dns_relay *relay)
{
	for (size_t i = 0; i < relay->attempt_count; i++)
		attempt_end(&relay->attempts[i]);
	loop_timer_free(relay->timer);
	if (relay->client)
		relay_unlink(relay);
	free(relay->poor_reply);
	free(relay);
}

void dns_upstream_cancel(struct dns_relay *relay)
{
	relay_free(relay);
}

void dns_upstream_free(struct dns_upstream *upstream)
{
	if (!upstream)
		return;
	while (upstream->clients.count > 0) {
		struct hmap_node *node = hmap_next(&upstream->clients, NULL);
		struct client *client = container_of(node, struct client, node);

		/* The last one takes the client along. */
		relay_free(container_of(list_first(&client->relays), struct dns_relay, link));
	}
	hmap_destroy(&upstream->clients);
	free(upstream);
}

/* Tells the owner, and ends the relay. It leaves the table first, because the owner may answer with
 * the next query, which must not find this one there to be given up. `reply` may lie in one of its
 * exchanges. */
static void finish(struct dns_relay *relay, int error, const void *reply, size_t size)
{
	if (reply)
		relay->upstream->stats.replies++;
	relay_unlink(relay);
	relay->fn(relay->arg, error, reply, size);
	relay_free(relay);
}

/* Nobody is left to ask or to wait for. */
static void finish_poorly(struct dns_relay *relay)
{
	struct dns_upstream_stats *stats = &relay->upstream->stats;

	if (relay->poor_reply) {
		finish(relay, 0, relay->poor_reply, relay->poor_reply_size);
		return;
	}
	if (relay->error == -ETIMEDOUT)
		stats->timeouts++;
	else
		stats->unreachable++;
	finish(relay, relay->error, NULL, 0);
}

static void note_failure(struct attempt *attempt)
{
	struct dns_upstream *upstream = attempt->relay->upstream;
	char text[DNS_RESOLVER_TEXT_MAX];

	/* Many a resolver serves UDP only; that TCP fails says nothing about it. */
	if (attempt->was_noted || attempt->relay->transport == DNS_TCP)
		return;
	attempt->was_noted = true;
	if (!dns_health_failed(&upstream->health, &attempt->resolver, loop_now_ms(upstream->loop)))
		return;
	upstream->stats.resolvers_down++;
	log_limited(LOG_LEVEL_WARN, "resolver %s does not answer; asking others first",
		    dns_resolver_format(&attempt->resolver, text));
}

static void note_answer(struct attempt *attempt)
{
	struct dns_upstream *upstream = attempt->relay->upstream;
	char text[DNS_RESOLVER_TEXT_MAX];

	if (dns_health_answered(&upstream->health, &attempt->resolver, loop_now_ms(upstream->loop)))
		log_limited(LOG_LEVEL_INFO, "resolver %s answers again",
			    dns_resolver_format(&attempt->resolver, text));
}

static void keep_poor_reply(struct dns_relay *relay, const void *reply, size_t size)
{
	if (relay->poor_reply)
		return;
	relay->poor_reply = malloc(size);
	if (!relay->poor_reply)
		return;
	memcpy(relay->poor_reply, reply, size);
	relay->poor_reply_size = size;
}

static void on_exchange(void *arg, int error, const void *reply, size_t size)
{
	struct attempt *attempt = arg;
	struct dns_relay *relay = attempt->relay;

	if (error < 0) {
		relay->error = error;
		note_failure(attempt);
	} else {
		enum dns_rcode rcode = dns_reply_rcode(reply);

		note_answer(attempt);
		if (rcode != DNS_RCODE_SERVFAIL && rcode != DNS_RCODE_REFUSED &&
		    rcode != DNS_RCODE_NOTIMP) {
			finish(relay, 0, reply, size);
			return;
		}
		keep_poor_reply(relay, reply, size);
	}
	attempt_end(attempt);
	ask_next(relay);
}

static uint32_t scaled(const struct dns_relay *relay, uint32_t ms)
{
	return relay->transport == DNS_TCP ? ms * DNS_TCP_FACTOR : ms;
}

/* Sets the timer to the next try or the deadline, whichever comes first. */
static void arm_timer(struct dns_relay *relay)
{
	struct dns_upstream *upstream = relay->upstream;
	uint64_t now_ms = loop_now_ms(upstream->loop);
	uint64_t left_ms = relay->deadline_ms > now_ms ? relay->deadline_ms - now_ms : 0;
	uint64_t delay_ms = scaled(relay, upstream->try_ms);

	loop_timer_set(relay->timer, delay_ms < left_ms ? delay_ms : left_ms);
}

/* Errors that say something about us and nothing about the resolver. */
static bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;
}

/* Asks one resolver, for the first time or again. Returns 0 when that is under way. */
static int ask(struct attempt *attempt)
{
	struct dns_relay *relay = attempt->relay;
	struct dns_upstream *upstream = relay->upstream;
	int r;

	if (attempt->exchange) {
		dns_exchange_resend(attempt->exchange);
		return 0;
	}
	r = dns_exchange_new(upstream->loop, relay->transport, &attempt->resolver, &relay->query,
			     relay->message, relay->size, upstream->scratch, on_exchange, attempt,
			     &attempt->exchange);
	if (r < 0) {
		relay->error = r;
		attempt->is_over = true;
		if (!is_shortage(r))
			note_failure(attempt);
	}
	return r;
}

/* The next resolver in turn that isn't done for, or NULL. */
static struct attempt *take_turn(struct dns_relay *relay)
{
	for (size_t i = 0; i < relay->attempt_count; i++) {
		struct attempt *attempt = &relay->attempts[relay->next];

		relay->next = (relay->next + 1) % relay->attempt_count;
		if (!attempt->is_over)
			return attempt;
	}
	return NULL;
}

/* Asks whoever can be asked. Returns 0, or -errno when nobody is left. */
static int advance(struct dns_relay *relay)
{
	struct attempt *attempt;

	while ((attempt = take_turn(relay))) {
		if (ask(attempt) == 0) {
			arm_timer(relay);
			return 0;
		}
	}
	return relay->error ? relay->error : -ENOENT;
}

static void ask_next(struct dns_relay *relay)
{
	relay->upstream->stats.retries++;
	if (advance(relay) < 0)
		finish_poorly(relay);
}

static void on_timer(void *arg)
{
	struct dns_relay *relay = arg;
	uint64_t now_ms = loop_now_ms(relay->upstream->loop);

	for (size_t i = 0; i < relay->attempt_count; i++) {
		if (relay->attempts[i].exchange)
			note_failure(&relay->attempts[i]);
	}
	if (now_ms < relay->deadline_ms) {
		ask_next(relay);
		return;
	}
	relay->error = -ETIMEDOUT;
	finish_poorly(relay);
}

/* Gives up a client's oldest query, if it is old enough. */
static int evict_oldest(struct client *client, uint64_t now_ms)
{
	struct dns_relay *oldest = container_of(list_first(&client->relays), struct dns_relay,
						link);

	if (now_ms - oldest->started_ms < DNS_EVICT_AGE_MIN_MS)
		return -EBUSY;
	oldest->upstream->stats.evicted++;
	finish(oldest, -EBUSY, NULL, 0);
	return 0;
}

/* Makes room for one more query of the client's. */
static int admit(struct dns_upstream *upstream, const struct addr *addr, uint64_t now_ms)
{
	struct client *client = find_client(upstream, addr);
	size_t client_count = client ? client->count : 0;
	struct client *heaviest = NULL;

	if (client_count >= DNS_PENDING_PER_CLIENT_MAX)
		return evict_oldest(client, now_ms);
	if (upstream->count < DNS_PENDING_MAX)
		return 0;
	hmap_for_each (node, &upstream->clients) {
		struct client *other = container_of(node, struct client, node);

		if (!heaviest || other->count > heaviest->count)
			heaviest = other;
	}
	/* Someone with a smaller share is served at once; among equals, age decides. */
	if (heaviest->count <= client_count + 1)
		return evict_oldest(heaviest, now_ms);
	upstream->stats.evicted++;
	finish(container_of(list_first(&heaviest->relays), struct dns_relay, link), -EBUSY, NULL,
	       0);
	return 0;
}

static int relay_new(struct dns_upstream *upstream, enum dns_transport transport,
		     const struct addr *addr, const struct dns_query *query, const void *message,
		     size_t size, struct dns_relay **ret_relay)
{
	struct dns_relay *relay = calloc(1, sizeof(*relay) + size);
	struct client *client = relay ? find_or_add_client(upstream, addr) : NULL;

	if (!client) {
		free(relay);
		return -ENOMEM;
	}
	relay->upstream = upstream;
	relay->client = client;
	relay->transport = transport;
	relay->started_ms = loop_now_ms(upstream->loop);
	relay->deadline_ms = relay->started_ms + scaled(relay, upstream->deadline_ms);
	relay->query = *query;
	relay->size = size;
	memcpy(relay->message, message, size);
	list_add_tail(&client->relays, &relay->link);
	client->count++;
	upstream->count++;
	int r = loop_timer_new(upstream->loop, on_timer, relay, &relay->timer);
	if (r < 0) {
		relay_free(relay);
		return r;
	}
	*ret_relay = relay;
	return 0;
}

static void set_attempts(struct dns_relay *relay, const struct dns_resolver *resolvers,
			 size_t count)
{
	struct dns_resolver ordered[DNS_RESOLVERS_MAX];

	relay->attempt_count = count < DNS_RESOLVERS_MAX ? count : DNS_RESOLVERS_MAX;
	dns_health_order(&relay->upstream->health, resolvers, relay->attempt_count,
			 relay->started_ms, ordered);
	for (size_t i = 0; i < relay->attempt_count; i++)
		relay->attempts[i] = (struct attempt){.relay = relay, .resolver = ordered[i]};
}

int dns_upstream_relay(struct dns_upstream *upstream, enum dns_transport transport,
		       const struct addr *client, const struct dns_resolver *resolvers,
		       size_t resolver_count, const struct dns_query *query, const void *message,
		       size_t size, dns_relay_fn *fn, void *arg, struct dns_relay **ret_relay)
{
	struct dns_relay *relay;
	int r;

	assert(size >= DNS_HEADER_SIZE && size <= DNS_QUERY_SIZE_MAX);
	if (resolver_count == 0)
		return -ENOENT;
	if (admit(upstream, client, loop_now_ms(upstream->loop)) < 0) {
		upstream->stats.rejected++;
		return -EBUSY;
	}
	r = relay_new(upstream, transport, client, query, message, size, &relay);
	if (r < 0)
		return r;
	set_attempts(relay, resolvers, resolver_count);
	relay->fn = fn;
	relay->arg = arg;
	r = advance(relay);
	if (r < 0) {
		upstream->stats.unreachable++;
		relay_free(relay);
		return r;
	}
	*ret_relay = relay;
	return 0;
}

size_t dns_upstream_pending(const struct dns_upstream *upstream)
{
	return upstream->count;
}

const struct dns_upstream_stats *dns_upstream_stats(const struct dns_upstream *upstream)
{
	return &upstream->stats;
}
