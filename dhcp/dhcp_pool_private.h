/* SPDX-License-Identifier: Apache-2.0 */
/* What the lease table's look-ups (dhcp_pool_find.c) and its changes (dhcp_pool.c) share. */
#ifndef DHCP_DHCP_POOL_PRIVATE_H
#define DHCP_DHCP_POOL_PRIVATE_H

#include "dhcp/dhcp_pool.h"

uint64_t dhcp_pool_hash_address(const struct dhcp_pool *pool, uint32_t address);
uint64_t dhcp_pool_hash_mac(const struct dhcp_pool *pool, const struct mac *mac);
uint64_t dhcp_pool_hash_id(const struct dhcp_pool *pool, const struct dhcp_client *client);
/* By what a static lease is found: its MAC or its identifier. */
uint64_t dhcp_pool_hash_static(const struct dhcp_pool *pool, const struct dhcp_reservation *conf);

bool dhcp_client_has_id(const struct dhcp_client *client, const uint8_t *id, size_t size);
/* Whether the static lease is meant for this client. */
bool dhcp_static_matches(const struct dhcp_static *reserved, const struct dhcp_client *client);
/* Whether the client can have a record with a static lease now. One that its identifier gets from
 * another MAC is that client's while it lasts, as any other is. */
bool dhcp_lease_allows_static(const struct dhcp_lease *lease, const struct dhcp_client *client);

/* The record that the client has or had: from this MAC, else an idle one with its identifier. */
struct dhcp_lease *dhcp_pool_find_owned(const struct dhcp_pool *pool,
					const struct dhcp_client *client);
/* The record that this MAC has under any identifier, the most alive of them; no static one. */
struct dhcp_lease *dhcp_pool_find_by_mac(const struct dhcp_pool *pool, const struct mac *mac);

#endif
