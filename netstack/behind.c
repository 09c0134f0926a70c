/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses behind guests; see behind.h. */
#include "netstack/behind.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/stack.h"

/* How many addresses a next hop has. */
struct hop {
	struct hmap_node node;
	struct addr addr;
	unsigned count;
};

struct behind {
	struct hmap entries;
	struct hmap hops;
	struct hash_key key;
};

int behind_new(struct behind **ret_behind)
{
	struct behind *behind = calloc(1, sizeof(*behind));

	if (!behind)
		return -ENOMEM;
	hmap_init(&behind->entries);
	hmap_init(&behind->hops);
	behind->key = hash_key_random();
	*ret_behind = behind;
	return 0;
}

void behind_free(struct behind *behind)
{
	struct hmap_node *node;

	if (!behind)
		return;
	while ((node = hmap_next(&behind->entries, NULL))) {
		hmap_remove(&behind->entries, node);
		free(container_of(node, struct behind_entry, node));
	}
	while ((node = hmap_next(&behind->hops, NULL))) {
		hmap_remove(&behind->hops, node);
		free(container_of(node, struct hop, node));
	}
	hmap_destroy(&behind->entries);
	hmap_destroy(&behind->hops);
	free(behind);
}

static uint64_t addr_hash(const struct behind *behind, const struct addr *addr)
{
	struct in6_addr key = {0};

	if (addr->family == AF_INET)
		memcpy(&key, &addr->v4, sizeof(addr->v4));
	else
		key = addr->v6;
	return hash_bytes(&behind->key, &key, sizeof(key));
}

static struct hop *hop_find(const struct behind *behind, const struct addr *addr)
{
	struct hmap_node *node = hmap_find(&behind->hops, addr_hash(behind, addr));

	for (; node; node = hmap_find_next(node)) {
		struct hop *hop = container_of(node, struct hop, node);

		if (addr_equal(&hop->addr, addr))
			return hop;
	}
	return NULL;
}

/* Finds or makes it; NULL without memory. */
static struct hop *hop_get(struct behind *behind, const struct addr *addr)
{
	struct hop *hop = hop_find(behind, addr);

	if (hop)
		return hop;
	hop = calloc(1, sizeof(*hop));
	if (!hop)
		return NULL;
	hop->addr = *addr;
	if (hmap_insert(&behind->hops, &hop->node, addr_hash(behind, addr)) < 0) {
		free(hop);
		return NULL;
	}
	return hop;
}

static void hop_put(struct behind *behind, struct hop *hop)
{
	if (hop->count)
		return;
	hmap_remove(&behind->hops, &hop->node);
	free(hop);
}

const struct behind_entry *behind_find(const struct behind *behind, const struct addr *addr,
				       const struct behind_entry *after)
{
	struct hmap_node *node = after ? hmap_find_next(&after->node)
				       : hmap_find(&behind->entries, addr_hash(behind, addr));

	for (; node; node = hmap_find_next(node)) {
		const struct behind_entry *entry = container_of(node, struct behind_entry, node);

		if (addr_equal(&entry->addr, addr))
			return entry;
	}
	return NULL;
}

static struct behind_entry *find_by(const struct behind *behind, const struct addr *addr,
				    const struct addr *hop)
{
	const struct behind_entry *entry = behind_find(behind, addr, NULL);

	while (entry && !addr_equal(&entry->hop, hop))
		entry = behind_find(behind, addr, entry);
	return entry ? container_of(&entry->node, struct behind_entry, node) : NULL;
}

static int entry_new(struct behind *behind, const struct addr *addr, struct hop *hop)
{
	struct behind_entry *entry;

	if (behind->entries.count >= BEHIND_MAX || hop->count >= BEHIND_HOP_MAX)
		return -ENOSPC;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->addr = *addr;
	entry->hop = hop->addr;
	entry->uses = 1;
	if (hmap_insert(&behind->entries, &entry->node, addr_hash(behind, addr)) < 0) {
		free(entry);
		return -ENOMEM;
	}
	hop->count++;
	return 0;
}

int behind_add(struct behind *behind, const struct addr *addr, const struct addr *hop_addr)
{
	struct behind_entry *entry = find_by(behind, addr, hop_addr);
	struct hop *hop;
	int r;

	if (entry) {
		entry->uses++;
		return 0;
	}
	hop = hop_get(behind, hop_addr);
	if (!hop)
		return -ENOMEM;
	r = entry_new(behind, addr, hop);
	hop_put(behind, hop);
	return r;
}

void behind_remove(struct behind *behind, const struct addr *addr, const struct addr *hop_addr)
{
	struct behind_entry *entry = find_by(behind, addr, hop_addr);
	struct hop *hop;

	if (!entry || --entry->uses)
		return;
	hmap_remove(&behind->entries, &entry->node);
	free(entry);
	hop = hop_find(behind, hop_addr);
	hop->count--;
	hop_put(behind, hop);
}

/* RFC 6890's blocks that no packet is routed to, or that mean something else to every host. */
static bool is_special4(const struct addr *addr)
{
	uint32_t ip = addr_v4(addr);

	return ip >> 24 == 0 || ip >> 24 == IN_LOOPBACKNET || ip >> 16 == 0xa9fe /* 169.254/16 */ ||
	       ip >> 28 >= 0xe /* multicast, reserved, broadcast */;
}

static bool is_special6(const struct addr *addr)
{
	const struct in6_addr *ip = &addr->v6;

	return IN6_IS_ADDR_UNSPECIFIED(ip) || IN6_IS_ADDR_LOOPBACK(ip) ||
	       IN6_IS_ADDR_MULTICAST(ip) || IN6_IS_ADDR_LINKLOCAL(ip) ||
	       IN6_IS_ADDR_SITELOCAL(ip) || IN6_IS_ADDR_V4MAPPED(ip) || IN6_IS_ADDR_V4COMPAT(ip);
}

bool behind_address_ok(const struct stack_conf *conf, const struct addr *addr)
{
	if (addr->family == AF_INET)
		return !is_special4(addr) && !prefix_contains(&conf->subnet, addr);
	/* Without a prefix there is no IPv6 but link-local, and no gateway to answer to. */
	return addr->family == AF_INET6 && conf->prefix6.length && !is_special6(addr) &&
	       !prefix_contains(&conf->prefix6, addr);
}
