/* SPDX-License-Identifier: Apache-2.0 */
/* The lease table: see dhcp_pool.h. */
#include "dhcp/dhcp_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dhcp/dhcp_pool_private.h"

void dhcp_pool_init(struct dhcp_pool *pool)
{
	*pool = (struct dhcp_pool){.key = hash_key_random()};
	hmap_init(&pool->by_address);
	hmap_init(&pool->by_client);
	hmap_init(&pool->by_mac);
	hmap_init(&pool->by_name);
	hmap_init(&pool->statics);
	for (int i = 0; i < DHCP_LEASE_STATES; i++)
		list_init(&pool->states[i]);
	list_init(&pool->all);
}

void dhcp_pool_destroy(struct dhcp_pool *pool)
{
	list_for_each_safe (node, &pool->all) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, all);

		free(lease->reserved);
		free(lease);
	}
	hmap_destroy(&pool->by_address);
	hmap_destroy(&pool->by_client);
	hmap_destroy(&pool->by_mac);
	hmap_destroy(&pool->by_name);
	hmap_destroy(&pool->statics);
}

/* State changes. */

/* Whether a lease in that state counts for its source. */
static bool is_live(enum dhcp_lease_state state)
{
	return state == DHCP_LEASE_OFFERED || state == DHCP_LEASE_BOUND;
}

/* Moves a record to a list, which is kept in the order of expiry. The search from the end finds its
 * place at once, but after a restart with another lease time. */
static void enter(struct dhcp_pool *pool, struct dhcp_lease *lease, enum dhcp_lease_state state,
		  uint64_t expires_ms)
{
	struct list *at = &pool->states[state];

	pool->declined_count += state == DHCP_LEASE_DECLINED;
	pool->declined_count -= lease->state == DHCP_LEASE_DECLINED;
	pool->live[lease->client.source] += is_live(state);
	pool->live[lease->client.source] -= is_live(lease->state);
	list_remove(&lease->order);
	lease->state = state;
	lease->expires_ms = expires_ms;
	if (state == DHCP_LEASE_IDLE) {
		if (lease->reserved)
			return;
		/* What nobody has used goes first to who comes next. */
		if (lease->was_bound)
			list_add_tail(at, &lease->order);
		else
			list_add_head(at, &lease->order);
		return;
	}
	while (at->prev != &pool->states[state] &&
	       container_of(at->prev, struct dhcp_lease, order)->expires_ms > expires_ms)
		at = at->prev;
	list_add_tail(at, &lease->order);
}

static void drop_name(struct dhcp_pool *pool, struct dhcp_lease *lease)
{
	if (lease->hostname[0] == '\0')
		return;
	hmap_remove(&pool->by_name, &lease->by_name);
	lease->hostname[0] = '\0';
}

static void end(struct dhcp_pool *pool, struct dhcp_lease *lease, enum dhcp_lease_event event)
{
	if (lease->state == DHCP_LEASE_BOUND) {
		if (pool->on_event)
			pool->on_event(pool->on_event_arg, event, lease);
		drop_name(pool, lease);
	}
	if (lease->state != DHCP_LEASE_IDLE)
		enter(pool, lease, DHCP_LEASE_IDLE, UINT64_MAX);
}

/* Ends what the client has on this record, and forgets that it was the client's. */
static void disown(struct dhcp_pool *pool, struct dhcp_lease *lease)
{
	if (!lease->owned)
		return;
	end(pool, lease, DHCP_LEASE_RELEASED);
	hmap_remove(&pool->by_client, &lease->by_client);
	hmap_remove(&pool->by_mac, &lease->by_mac);
	lease->owned = false;
	lease->was_bound = false;
	enter(pool, lease, DHCP_LEASE_IDLE, UINT64_MAX);
}

/* Makes room for one more record of this MAC. Idle ones go first, then what runs out first. */
static void limit_mac(struct dhcp_pool *pool, const struct mac *mac)
{
	struct dhcp_lease *least = NULL;
	size_t count = 0;

	for (struct hmap_node *node = hmap_find(&pool->by_mac, dhcp_pool_hash_mac(pool, mac)); node;
	     node = hmap_find_next(node)) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, by_mac);

		if (!mac_equal(&lease->client.mac, mac))
			continue;
		count++;
		bool idle = lease->state == DHCP_LEASE_IDLE;
		bool least_idle = least && least->state == DHCP_LEASE_IDLE;

		if (!least || (idle && !least_idle) ||
		    (idle == least_idle && lease->expires_ms < least->expires_ms))
			least = lease;
	}
	if (count >= DHCP_LEASES_PER_MAC_MAX)
		disown(pool, least);
}

/* Whether there is room for one more record of this client identifier, which other MACs use too. An
 * idle one makes room; a live one doesn't, or a guest could drive its neighbour out by using its
 * identifier. */
static bool limit_id(struct dhcp_pool *pool, const struct dhcp_client *client)
{
	uint64_t hash = dhcp_pool_hash_id(pool, client);
	struct dhcp_lease *idle = NULL;
	size_t count = 0;

	for (struct hmap_node *node = hmap_find(&pool->by_client, hash); node;
	     node = hmap_find_next(node)) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, by_client);

		if (!dhcp_client_has_id(client, lease->client.id, lease->client.id_size))
			continue;
		count++;
		if (lease->state == DHCP_LEASE_IDLE)
			idle = lease;
	}
	if (count < DHCP_LEASES_PER_ID_MAX)
		return true;
	if (idle)
		disown(pool, idle);
	return idle;
}

/* The client asks from this source now. */
static void move_to_source(struct dhcp_pool *pool, struct dhcp_lease *lease, unsigned source)
{
	if (is_live(lease->state)) {
		pool->live[lease->client.source]--;
		pool->live[source]++;
	}
	lease->client.source = source;
}

/* Whether the client's source may have this record, or with NULL one that it hasn't yet. */
static bool within_limit(const struct dhcp_pool *pool, const struct dhcp_lease *lease,
			 const struct dhcp_client *client)
{
	if (!pool->live_max || !client->source || (lease && lease->reserved))
		return true;
	if (lease && is_live(lease->state) && lease->client.source == client->source)
		return true;
	return pool->live[client->source] < pool->live_max;
}

/* Gives an owned record to another identifier of its MAC, as it stands. */
static int rename_owner(struct dhcp_pool *pool, struct dhcp_lease *lease,
			const struct dhcp_client *client)
{
	if (!limit_id(pool, client))
		return -ENOSPC;
	hmap_remove(&pool->by_client, &lease->by_client);
	if (hmap_insert(&pool->by_client, &lease->by_client, dhcp_pool_hash_id(pool, client)) < 0) {
		/* Nobody's, then; only memory can make this fail, and the map has just shrunk. */
		hmap_remove(&pool->by_mac, &lease->by_mac);
		lease->owned = false;
		end(pool, lease, DHCP_LEASE_RELEASED);
		return -ENOMEM;
	}
	move_to_source(pool, lease, client->source);
	lease->client = *client;
	return 0;
}

/* Makes the client the owner of a record that it may have. Its other record, if any, loses it. */
static int own(struct dhcp_pool *pool, struct dhcp_lease *lease, const struct dhcp_client *client)
{
	struct dhcp_lease *other = dhcp_pool_find_owned(pool, client);

	if (other == lease && mac_equal(&lease->client.mac, &client->mac)) {
		move_to_source(pool, lease, client->source);
		return 0;
	}
	if (!other && pool->one_per_mac && lease->owned &&
	    mac_equal(&lease->client.mac, &client->mac))
		return rename_owner(pool, lease, client);
	if (other)
		disown(pool, other);
	other = pool->one_per_mac ? dhcp_pool_find_by_mac(pool, &client->mac) : NULL;
	if (other && other != lease)
		disown(pool, other);
	disown(pool, lease);
	lease->was_bound = false;
	if (!limit_id(pool, client))
		return -ENOSPC;
	limit_mac(pool, &client->mac);
	if (hmap_insert(&pool->by_client, &lease->by_client, dhcp_pool_hash_id(pool, client)) < 0)
		return -ENOMEM;
	if (hmap_insert(&pool->by_mac, &lease->by_mac, dhcp_pool_hash_mac(pool, &client->mac)) <
	    0) {
		hmap_remove(&pool->by_client, &lease->by_client);
		return -ENOMEM;
	}
	move_to_source(pool, lease, client->source);
	lease->client = *client;
	lease->owned = true;
	return 0;
}

/* Choosing. */

/* Whether the pool gives this address to anybody. */
static bool is_dynamic(const struct dhcp_pool *pool, uint32_t address)
{
	return address >= pool->first && address <= pool->last && address != pool->kept[0] &&
	       address != pool->kept[1];
}

static int new_record(struct dhcp_pool *pool, uint32_t address, struct dhcp_lease **ret)
{
	if (pool->by_address.count >= DHCP_LEASES_MAX + pool->statics.count)
		return -ENOSPC;
	struct dhcp_lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return -ENOMEM;
	lease->address = address;
	if (hmap_insert(&pool->by_address, &lease->by_address,
			dhcp_pool_hash_address(pool, address)) < 0) {
		free(lease);
		return -ENOMEM;
	}
	list_init(&lease->order);
	list_add_tail(&pool->all, &lease->all);
	enter(pool, lease, DHCP_LEASE_IDLE, UINT64_MAX);
	*ret = lease;
	return 0;
}

static void free_record(struct dhcp_pool *pool, struct dhcp_lease *lease)
{
	disown(pool, lease);
	list_remove(&lease->order);
	list_remove(&lease->all);
	hmap_remove(&pool->by_address, &lease->by_address);
	free(lease);
}

/* Whether the client may have this record's address now. */
static bool may_have(const struct dhcp_pool *pool, const struct dhcp_lease *lease,
		     const struct dhcp_client *client)
{
	if (lease->reserved)
		return dhcp_lease_allows_static(lease, client);
	if (lease->state == DHCP_LEASE_IDLE || lease->state == DHCP_LEASE_DECLINED)
		return lease->state == DHCP_LEASE_IDLE;
	return dhcp_lease_is_of(lease, client) ||
	       (pool->one_per_mac && mac_equal(&lease->client.mac, &client->mac));
}

/* The record of an address asked for by number, made where there is none. */
static int find_wanted(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t address,
		       struct dhcp_lease **ret)
{
	struct dhcp_lease *lease = dhcp_pool_by_address(pool, address);

	if (lease ? !may_have(pool, lease, client) : !is_dynamic(pool, address))
		return -EADDRINUSE;
	if (!lease && new_record(pool, address, &lease) == -ENOMEM)
		return -ENOMEM;
	if (!lease)
		return -EADDRINUSE; /* the table is full: it can have another one's old address */
	*ret = lease;
	return 0;
}

/* The lowest address that has no record yet. */
static int take_fresh(struct dhcp_pool *pool, struct dhcp_lease **ret)
{
	while (pool->fresh <= pool->last &&
	       (!is_dynamic(pool, pool->fresh) || dhcp_pool_by_address(pool, pool->fresh)))
		pool->fresh++;
	return pool->fresh <= pool->last ? new_record(pool, pool->fresh, ret) : -ENOSPC;
}

static struct dhcp_lease *head_of(const struct dhcp_pool *pool, enum dhcp_lease_state state)
{
	struct list *first = list_first(&pool->states[state]);

	return first ? container_of(first, struct dhcp_lease, order) : NULL;
}

/* The oldest offer that its client has had time to take, and didn't. */
static struct dhcp_lease *stale_offer(const struct dhcp_pool *pool, uint64_t now_ms)
{
	list_for_each (node, &pool->states[DHCP_LEASE_OFFERED]) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, order);

		if (now_ms + DHCP_OFFER_HOLD_MS < lease->expires_ms + DHCP_OFFER_GRACE_MS)
			return NULL;
		if (!lease->reserved)
			return lease;
	}
	return NULL;
}

/* An address for a client that has none: see the order at the top of dhcp_pool.h. */
static int take_any(struct dhcp_pool *pool, uint64_t now_ms, struct dhcp_lease **ret)
{
	struct dhcp_lease *idle = head_of(pool, DHCP_LEASE_IDLE);
	int r = -ENOSPC;

	if (!idle || idle->was_bound)
		r = take_fresh(pool, ret);
	if (r != -ENOSPC)
		return r;
	if (!idle)
		idle = stale_offer(pool, now_ms);
	if (!idle)
		return -ENOSPC;
	*ret = idle;
	return 0;
}

int dhcp_pool_offer(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t wanted,
		    uint64_t now_ms, struct dhcp_lease **ret_lease)
{
	struct dhcp_lease *lease = dhcp_pool_lookup(pool, client);
	int r = 0;

	if (!within_limit(pool, lease, client))
		return -EDQUOT;
	if (!lease && wanted)
		r = find_wanted(pool, client, wanted, &lease);
	if (!lease && r != -ENOMEM)
		r = take_any(pool, now_ms, &lease);
	if (!lease)
		return r;
	r = own(pool, lease, client);
	if (r < 0)
		return r;
	if (lease->state != DHCP_LEASE_BOUND)
		enter(pool, lease, DHCP_LEASE_OFFERED, now_ms + DHCP_OFFER_HOLD_MS);
	*ret_lease = lease;
	return 0;
}

int dhcp_pool_claim(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t address,
		    struct dhcp_lease **ret_lease)
{
	struct dhcp_lease *lease = dhcp_pool_by_address(pool, address);
	int r;

	if (!within_limit(pool, lease, client))
		return -EDQUOT;
	r = find_wanted(pool, client, address, &lease);
	if (r == 0)
		r = own(pool, lease, client);
	if (r < 0)
		return r;
	*ret_lease = lease;
	return 0;
}

int dhcp_pool_remember(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t address)
{
	struct dhcp_lease *lease = dhcp_pool_lookup(pool, client);
	int r;

	if (lease && lease->address != address)
		return -EADDRINUSE;
	r = dhcp_pool_claim(pool, client, address, &lease);
	if (r < 0)
		return r;
	lease->was_bound = true;
	if (lease->state == DHCP_LEASE_IDLE)
		enter(pool, lease, DHCP_LEASE_IDLE, UINT64_MAX);
	return 0;
}

/* The life of a lease. */

static bool has_static_name(const struct dhcp_lease *lease, const char *hostname)
{
	return lease->reserved && strcmp(lease->reserved->conf.hostname, hostname) == 0;
}

/* Gives the lease the name. Between guests who came first keeps it, or they could take over each
 * other's names; but a static lease gets the name that the user gave it. */
static void take_name(struct dhcp_pool *pool, struct dhcp_lease *lease, const char *hostname)
{
	if (strcmp(lease->hostname, hostname) == 0)
		return;
	drop_name(pool, lease);
	struct dhcp_lease *holder = dhcp_pool_by_hostname(pool, hostname);

	if (hostname[0] == '\0' || (holder && !has_static_name(lease, hostname)))
		return;
	if (holder) {
		drop_name(pool, holder);
		if (pool->on_event)
			pool->on_event(pool->on_event_arg, DHCP_LEASE_GRANTED, holder);
	}
	uint64_t hash = hash_bytes(&pool->key, hostname, strlen(hostname));

	if (hmap_insert(&pool->by_name, &lease->by_name, hash) == 0)
		memcpy(lease->hostname, hostname, strlen(hostname) + 1);
}

void dhcp_pool_bind(struct dhcp_pool *pool, struct dhcp_lease *lease, const char *hostname,
		    uint64_t expires_ms)
{
	enum dhcp_lease_event event = DHCP_LEASE_RENEWED;
	char before[DHCP_HOSTNAME_MAX];

	memcpy(before, lease->hostname, sizeof(before));
	take_name(pool, lease, hostname);
	if (lease->state != DHCP_LEASE_BOUND || strcmp(before, lease->hostname) != 0)
		event = DHCP_LEASE_GRANTED;
	lease->was_bound = true;
	enter(pool, lease, DHCP_LEASE_BOUND, expires_ms);
	if (pool->on_event)
		pool->on_event(pool->on_event_arg, event, lease);
}

void dhcp_pool_release(struct dhcp_pool *pool, struct dhcp_lease *lease)
{
	end(pool, lease, DHCP_LEASE_RELEASED);
}

/* How many addresses may be set aside: a guest that declines all that it is offered shall not leave
 * the others without any. */
static size_t declined_max(const struct dhcp_pool *pool)
{
	size_t quarter = (pool->last - pool->first + 1) / 4;

	if (quarter < 1)
		return 1;
	return quarter < DHCP_DECLINED_MAX ? quarter : DHCP_DECLINED_MAX;
}

void dhcp_pool_decline(struct dhcp_pool *pool, struct dhcp_lease *lease, uint64_t now_ms)
{
	disown(pool, lease);
	/* A static lease is what the user wants, conflict or not; the log has told. */
	if (lease->reserved)
		return;
	if (pool->declined_count >= declined_max(pool))
		end(pool, head_of(pool, DHCP_LEASE_DECLINED), DHCP_LEASE_RELEASED);
	lease->was_bound = true; /* so that it is the last to be tried again */
	enter(pool, lease, DHCP_LEASE_DECLINED, now_ms + DHCP_DECLINE_HOLD_MS);
}

uint64_t dhcp_pool_expire(struct dhcp_pool *pool, uint64_t now_ms)
{
	uint64_t next_ms = UINT64_MAX;

	for (int state = DHCP_LEASE_OFFERED; state < DHCP_LEASE_STATES; state++) {
		struct dhcp_lease *lease;

		while ((lease = head_of(pool, state)) && lease->expires_ms <= now_ms)
			end(pool, lease, DHCP_LEASE_EXPIRED);
		if (lease && lease->expires_ms < next_ms)
			next_ms = lease->expires_ms;
	}
	return next_ms;
}

int dhcp_pool_restore(struct dhcp_pool *pool, const struct dhcp_client *client, uint32_t address,
		      const char *hostname, uint64_t expires_ms, uint64_t now_ms)
{
	char clean[DHCP_HOSTNAME_MAX] = "";
	struct dhcp_lease *known, *lease;
	int r;

	dhcp_pool_expire(pool, now_ms);
	if (expires_ms <= now_ms)
		return dhcp_pool_remember(pool, client, address);
	known = dhcp_pool_lookup(pool, client);
	if (known && known->address != address)
		return -EADDRINUSE;
	r = dhcp_pool_claim(pool, client, address, &lease);
	if (r < 0)
		return r;
	if (hostname)
		dhcp_hostname_clean(hostname, strlen(hostname), clean);
	dhcp_pool_bind(pool, lease, clean, expires_ms);
	return 0;
}

/* Static leases. */

static bool static_exists(const struct dhcp_pool *pool, const struct dhcp_reservation *conf)
{
	for (struct hmap_node *node = hmap_find(&pool->statics, dhcp_pool_hash_static(pool, conf));
	     node; node = hmap_find_next(node)) {
		struct dhcp_static *at = container_of(node, struct dhcp_static, by_key);

		if (at->conf.by_mac != conf->by_mac)
			continue;
		if (conf->by_mac ? mac_equal(&at->conf.mac, &conf->mac)
				 : at->conf.client_id_size == conf->client_id_size &&
					   memcmp(at->conf.client_id, conf->client_id,
						  conf->client_id_size) == 0)
			return true;
	}
	return false;
}

/* Makes `reserved` the record's. Who was offered the address loses it; who has it bound has a claim
 * to it. */
static void attach_static(struct dhcp_pool *pool, struct dhcp_lease *lease,
			  struct dhcp_static *reserved)
{
	if (lease->owned && !dhcp_static_matches(reserved, &lease->client))
		disown(pool, lease);
	if (lease->state == DHCP_LEASE_IDLE)
		list_remove(&lease->order);
	lease->reserved = reserved;
}

int dhcp_pool_reserve(struct dhcp_pool *pool, const struct dhcp_reservation *conf)
{
	uint32_t address = addr_v4(&conf->address);
	struct dhcp_lease *lease = dhcp_pool_by_address(pool, address);
	struct dhcp_static *reserved;

	if (pool->statics.count >= DHCP_RESERVATIONS_MAX)
		return -ENOSPC;
	if ((lease && lease->reserved) || static_exists(pool, conf))
		return -EEXIST;
	reserved = calloc(1, sizeof(*reserved));
	if (!reserved)
		return -ENOMEM;
	reserved->conf = *conf;
	int r = -EADDRINUSE;

	if (lease && lease->state == DHCP_LEASE_BOUND &&
	    !dhcp_static_matches(reserved, &lease->client))
		goto fail;
	r = hmap_insert(&pool->statics, &reserved->by_key, dhcp_pool_hash_static(pool, conf));
	if (r < 0)
		goto fail;
	if (!lease)
		r = new_record(pool, address, &lease);
	if (r < 0) {
		hmap_remove(&pool->statics, &reserved->by_key);
		goto fail;
	}
	attach_static(pool, lease, reserved);
	return 0;
fail:
	free(reserved);
	return r;
}

int dhcp_pool_unreserve(struct dhcp_pool *pool, uint32_t address)
{
	struct dhcp_lease *lease = dhcp_pool_by_address(pool, address);

	if (!lease || !lease->reserved)
		return -ENOENT;
	hmap_remove(&pool->statics, &lease->reserved->by_key);
	free(lease->reserved);
	lease->reserved = NULL;
	if (!is_dynamic(pool, address))
		free_record(pool, lease);
	else if (lease->state == DHCP_LEASE_IDLE)
		enter(pool, lease, DHCP_LEASE_IDLE, UINT64_MAX);
	return 0;
}
