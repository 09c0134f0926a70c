/* SPDX-License-Identifier: Apache-2.0 */
/* The neighbour table; see neigh.h. Knows nothing of packets' contents: arp.c and nd.c ask and
 * answer. */
#include "netstack/neigh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/list.h"
#include "netstack/switch.h"

struct entry {
	struct hmap_node node;
	struct list by_use;  /* in neigh_table.by_use, latest use first */
	struct list by_port; /* in neigh_table.ports[neigh.port], unless that is 0 */
	struct addr addr;
	struct neigh neigh;
	bool resolved;
	uint64_t requested_ms; /* when the last request was due; 0: never */
	void *held;
	size_t held_size;
};

struct port_entries {
	struct list entries; /* entry.by_port, the latest learned first */
	unsigned count;
};

struct neigh_table {
	struct hmap entries;
	struct list by_use;
	struct port_entries ports[SWITCH_PORTS_MAX + 1];
	struct hash_key key;
};

int neigh_table_new(struct neigh_table **ret_table)
{
	struct neigh_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	hmap_init(&table->entries);
	list_init(&table->by_use);
	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++)
		list_init(&table->ports[port].entries);
	table->key = hash_key_random();
	*ret_table = table;
	return 0;
}

static void leave_port(struct neigh_table *table, struct entry *entry)
{
	if (list_empty(&entry->by_port))
		return;
	list_remove(&entry->by_port);
	table->ports[entry->neigh.port].count--;
}

static void entry_free(struct neigh_table *table, struct entry *entry)
{
	leave_port(table, entry);
	hmap_remove(&table->entries, &entry->node);
	list_remove(&entry->by_use);
	free(entry->held);
	free(entry);
}

/* The entry was seen at a port; the port's oldest one makes room. */
static void join_port(struct neigh_table *table, struct entry *entry, unsigned port)
{
	struct port_entries *at = &table->ports[port];

	leave_port(table, entry);
	if (at->count >= NEIGH_PORT_ENTRIES_MAX)
		entry_free(table, container_of(at->entries.prev, struct entry, by_port));
	list_add_head(&at->entries, &entry->by_port);
	at->count++;
	entry->neigh.port = port;
}

void neigh_table_free(struct neigh_table *table)
{
	if (!table)
		return;
	while (!list_empty(&table->by_use))
		entry_free(table, container_of(list_first(&table->by_use), struct entry, by_use));
	hmap_destroy(&table->entries);
	free(table);
}

static uint64_t addr_hash(const struct neigh_table *table, const struct addr *addr)
{
	struct in6_addr key = {0};

	if (addr->family == AF_INET)
		memcpy(&key, &addr->v4, sizeof(addr->v4));
	else
		key = addr->v6;
	return hash_bytes(&table->key, &key, sizeof(key));
}

static struct entry *entry_find(struct neigh_table *table, const struct addr *addr)
{
	struct hmap_node *node = hmap_find(&table->entries, addr_hash(table, addr));

	for (; node; node = hmap_find_next(node)) {
		struct entry *entry = container_of(node, struct entry, node);

		if (addr_equal(&entry->addr, addr))
			return entry;
	}
	return NULL;
}

static void entry_used(struct neigh_table *table, struct entry *entry)
{
	if (table->by_use.next == &entry->by_use)
		return;
	list_remove(&entry->by_use);
	list_add_head(&table->by_use, &entry->by_use);
}

/* Finds or makes the entry of `addr`; NULL without memory. */
static struct entry *entry_get(struct neigh_table *table, const struct addr *addr)
{
	struct entry *entry = entry_find(table, addr);

	if (entry) {
		entry_used(table, entry);
		return entry;
	}
	if (table->entries.count >= NEIGH_ENTRIES_MAX)
		entry_free(table, container_of(table->by_use.prev, struct entry, by_use));
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->addr = *addr;
	list_init(&entry->by_port);
	if (hmap_insert(&table->entries, &entry->node, addr_hash(table, addr)) < 0) {
		free(entry);
		return NULL;
	}
	list_add_head(&table->by_use, &entry->by_use);
	return entry;
}

const struct neigh *neigh_lookup(struct neigh_table *table, const struct addr *addr)
{
	struct entry *entry = NULL;

	/* Bursts go to one guest: try the latest first. */
	if (!list_empty(&table->by_use)) {
		entry = container_of(list_first(&table->by_use), struct entry, by_use);
		if (!addr_equal(&entry->addr, addr))
			entry = entry_find(table, addr);
	}
	if (!entry || !entry->resolved)
		return NULL;
	entry_used(table, entry);
	return &entry->neigh;
}

void *neigh_learn(struct neigh_table *table, const struct addr *addr, const struct mac *mac,
		  unsigned port, size_t *ret_size)
{
	struct entry *entry;
	void *held;

	if (!list_empty(&table->by_use)) {
		/* The usual case, for every packet that comes in: nothing changed. */
		entry = container_of(list_first(&table->by_use), struct entry, by_use);
		if (entry->resolved && addr_equal(&entry->addr, addr) &&
		    mac_equal(&entry->neigh.mac, mac) && (!port || entry->neigh.port == port))
			return NULL;
	}
	entry = entry_get(table, addr);
	if (!entry)
		return NULL;
	entry->neigh.mac = *mac;
	if (port && entry->neigh.port != port)
		join_port(table, entry, port);
	entry->resolved = true;
	held = entry->held;
	if (held)
		*ret_size = entry->held_size;
	entry->held = NULL;
	return held;
}

void neigh_hold(struct neigh_table *table, const struct addr *addr, const void *packet, size_t size)
{
	struct entry *entry = size <= NEIGH_HELD_SIZE_MAX ? entry_get(table, addr) : NULL;
	void *copy;

	if (!entry || entry->resolved)
		return;
	copy = malloc(size);
	if (!copy)
		return;
	memcpy(copy, packet, size);
	free(entry->held);
	entry->held = copy;
	entry->held_size = size;
}

bool neigh_ask(struct neigh_table *table, const struct addr *addr, uint64_t now_ms)
{
	struct entry *entry = entry_get(table, addr);

	if (!entry || entry->resolved)
		return false;
	if (entry->requested_ms && now_ms - entry->requested_ms < NEIGH_REQUEST_GAP_MS)
		return false;
	entry->requested_ms = now_ms;
	return true;
}

void neigh_forget_port(struct neigh_table *table, unsigned port)
{
	struct list *entries = &table->ports[port].entries;

	while (!list_empty(entries))
		entry_free(table, container_of(list_first(entries), struct entry, by_port));
}
