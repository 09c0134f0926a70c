/* SPDX-License-Identifier: Apache-2.0 */
/* The lease table's look-ups: by address, identifier, MAC, name and static lease. What they lead to
 * is dhcp_pool.c's. */
#include <string.h>

#include "dhcp/dhcp_pool_private.h"

uint64_t dhcp_pool_hash_address(const struct dhcp_pool *pool, uint32_t address)
{
	return hash_bytes(&pool->key, &address, sizeof(address));
}

uint64_t dhcp_pool_hash_mac(const struct dhcp_pool *pool, const struct mac *mac)
{
	return hash_bytes(&pool->key, mac->bytes, MAC_SIZE);
}

uint64_t dhcp_pool_hash_id(const struct dhcp_pool *pool, const struct dhcp_client *client)
{
	return hash_bytes(&pool->key, client->id, client->id_size);
}

bool dhcp_client_has_id(const struct dhcp_client *client, const uint8_t *id, size_t size)
{
	return client->id_size == size && memcmp(client->id, id, size) == 0;
}

bool dhcp_lease_is_of(const struct dhcp_lease *lease, const struct dhcp_client *client)
{
	return lease->owned &&
	       dhcp_client_has_id(client, lease->client.id, lease->client.id_size) &&
	       (lease->state == DHCP_LEASE_IDLE || mac_equal(&lease->client.mac, &client->mac));
}

struct dhcp_lease *dhcp_pool_by_address(const struct dhcp_pool *pool, uint32_t address)
{
	struct hmap_node *node = hmap_find(&pool->by_address,
					   dhcp_pool_hash_address(pool, address));

	for (; node; node = hmap_find_next(node)) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, by_address);

		if (lease->address == address)
			return lease;
	}
	return NULL;
}

struct dhcp_lease *dhcp_pool_by_hostname(const struct dhcp_pool *pool, const char *lower_case)
{
	uint64_t hash = hash_bytes(&pool->key, lower_case, strlen(lower_case));

	for (struct hmap_node *node = hmap_find(&pool->by_name, hash); node;
	     node = hmap_find_next(node)) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, by_name);

		if (strcmp(lease->hostname, lower_case) == 0)
			return lease;
	}
	return NULL;
}

struct dhcp_lease *dhcp_pool_find_owned(const struct dhcp_pool *pool,
					const struct dhcp_client *client)
{
	uint64_t hash = dhcp_pool_hash_id(pool, client);
	struct dhcp_lease *idle = NULL;

	for (struct hmap_node *node = hmap_find(&pool->by_client, hash); node;
	     node = hmap_find_next(node)) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, by_client);

		if (!dhcp_lease_is_of(lease, client))
			continue;
		if (mac_equal(&lease->client.mac, &client->mac))
			return lease;
		idle = lease;
	}
	return idle;
}

struct dhcp_lease *dhcp_pool_find_by_mac(const struct dhcp_pool *pool, const struct mac *mac)
{
	struct dhcp_lease *best = NULL;

	for (struct hmap_node *node = hmap_find(&pool->by_mac, dhcp_pool_hash_mac(pool, mac)); node;
	     node = hmap_find_next(node)) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, by_mac);

		if (mac_equal(&lease->client.mac, mac) && !lease->reserved &&
		    (!best || lease->state > best->state))
			best = lease;
	}
	return best;
}

struct dhcp_lease *dhcp_pool_bound_by_mac(const struct dhcp_pool *pool, const struct mac *mac)
{
	for (struct hmap_node *node = hmap_find(&pool->by_mac, dhcp_pool_hash_mac(pool, mac)); node;
	     node = hmap_find_next(node)) {
		struct dhcp_lease *lease = container_of(node, struct dhcp_lease, by_mac);

		if (mac_equal(&lease->client.mac, mac) && lease->state == DHCP_LEASE_BOUND)
			return lease;
	}
	return NULL;
}

uint64_t dhcp_pool_hash_static(const struct dhcp_pool *pool, const struct dhcp_reservation *conf)
{
	return conf->by_mac ? dhcp_pool_hash_mac(pool, &conf->mac)
			    : hash_bytes(&pool->key, conf->client_id, conf->client_id_size);
}

bool dhcp_static_matches(const struct dhcp_static *reserved, const struct dhcp_client *client)
{
	return reserved->conf.by_mac ? mac_equal(&reserved->conf.mac, &client->mac)
				     : dhcp_client_has_id(client, reserved->conf.client_id,
							  reserved->conf.client_id_size);
}

static struct dhcp_static *find_static(const struct dhcp_pool *pool, bool by_mac,
				       const struct dhcp_client *client)
{
	uint64_t hash = by_mac ? dhcp_pool_hash_mac(pool, &client->mac)
			       : dhcp_pool_hash_id(pool, client);

	for (struct hmap_node *node = hmap_find(&pool->statics, hash); node;
	     node = hmap_find_next(node)) {
		struct dhcp_static *reserved = container_of(node, struct dhcp_static, by_key);

		if (reserved->conf.by_mac == by_mac && dhcp_static_matches(reserved, client))
			return reserved;
	}
	return NULL;
}

bool dhcp_lease_allows_static(const struct dhcp_lease *lease, const struct dhcp_client *client)
{
	return dhcp_static_matches(lease->reserved, client) &&
	       (lease->state != DHCP_LEASE_BOUND || mac_equal(&lease->client.mac, &client->mac));
}

/* The record of the client's static lease, by MAC or by identifier, if it can have it. */
static struct dhcp_lease *find_reserved(const struct dhcp_pool *pool, bool by_mac,
					const struct dhcp_client *client)
{
	struct dhcp_static *reserved = find_static(pool, by_mac, client);
	struct dhcp_lease *lease = NULL;

	if (reserved)
		lease = dhcp_pool_by_address(pool, addr_v4(&reserved->conf.address));
	return lease && dhcp_lease_allows_static(lease, client) ? lease : NULL;
}

struct dhcp_lease *dhcp_pool_lookup(struct dhcp_pool *pool, const struct dhcp_client *client)
{
	struct dhcp_lease *lease = find_reserved(pool, false, client);

	if (!lease)
		lease = find_reserved(pool, true, client);
	if (lease)
		return lease;
	lease = dhcp_pool_find_owned(pool, client);
	/* It was had by way of a static lease that isn't this client's now. */
	if (lease && lease->reserved)
		lease = NULL;
	if (!lease && pool->one_per_mac)
		lease = dhcp_pool_find_by_mac(pool, &client->mac);
	return lease;
}
