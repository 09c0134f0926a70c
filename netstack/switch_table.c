/* SPDX-License-Identifier: Apache-2.0 */
/* The switch's learning table: see switch_table.h. */
#include "netstack/switch_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/hmap.h"
#include "base/list.h"

struct entry {
	struct hmap_node node;
	struct list in_port; /* among its port's entries, or among the free ones */
	struct mac mac;
	unsigned port;
	uint64_t seen_ms;
};

struct table_port {
	struct list entries; /* the one seen longest ago first */
	unsigned count;
};

struct switch_table {
	struct hmap map;
	struct hash_key key;
	uint64_t age_ms;
	unsigned ports_max;
	struct list free;
	struct entry *entries;
	struct table_port *ports; /* by number; 0 is not used */
};

int switch_table_new(unsigned entries_max, unsigned ports_max, uint64_t age_ms,
		     struct switch_table **ret_table)
{
	struct switch_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	hmap_init(&table->map);
	list_init(&table->free);
	table->key = hash_key_random();
	table->age_ms = age_ms;
	table->ports_max = ports_max;
	table->entries = calloc(entries_max, sizeof(*table->entries));
	table->ports = calloc((size_t)ports_max + 1, sizeof(*table->ports));
	if (!table->entries || !table->ports) {
		switch_table_free(table);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < entries_max; i++)
		list_add_tail(&table->free, &table->entries[i].in_port);
	for (unsigned i = 0; i <= ports_max; i++)
		list_init(&table->ports[i].entries);
	*ret_table = table;
	return 0;
}

void switch_table_free(struct switch_table *table)
{
	if (!table)
		return;
	hmap_destroy(&table->map);
	free(table->entries);
	free(table->ports);
	free(table);
}

static struct entry *entry_of(struct list *in_port)
{
	return container_of(in_port, struct entry, in_port);
}

static uint64_t hash_of(const struct switch_table *table, const struct mac *mac)
{
	return hash_bytes(&table->key, mac->bytes, MAC_SIZE);
}

static struct entry *find(const struct switch_table *table, const struct mac *mac, uint64_t hash)
{
	struct hmap_node *node = hmap_find(&table->map, hash);

	for (; node; node = hmap_find_next(node)) {
		struct entry *entry = container_of(node, struct entry, node);

		if (mac_equal(&entry->mac, mac))
			return entry;
	}
	return NULL;
}

static void forget(struct switch_table *table, struct entry *entry)
{
	hmap_remove(&table->map, &entry->node);
	list_remove(&entry->in_port);
	table->ports[entry->port].count--;
	list_add_head(&table->free, &entry->in_port);
}

static void make_room(struct switch_table *table)
{
	struct table_port *most = &table->ports[1];

	for (unsigned i = 2; i <= table->ports_max; i++) {
		if (table->ports[i].count > most->count)
			most = &table->ports[i];
	}
	assert(most->count);
	forget(table, entry_of(list_first(&most->entries)));
}

static void place(struct switch_table *table, struct entry *entry, unsigned port)
{
	entry->port = port;
	table->ports[port].count++;
	list_add_tail(&table->ports[port].entries, &entry->in_port);
}

void switch_table_learn(struct switch_table *table, const struct mac *mac, unsigned port,
			uint64_t now_ms)
{
	struct table_port *here;
	struct entry *entry;
	uint64_t hash;

	assert(port >= 1 && port <= table->ports_max);
	here = &table->ports[port];
	/* Mostly the same address as in the port's last frame; that one is last in its list. */
	entry = entry_of(here->entries.prev);
	if (here->count && mac_equal(&entry->mac, mac)) {
		entry->seen_ms = now_ms;
		return;
	}
	hash = hash_of(table, mac);
	entry = find(table, mac, hash);
	if (entry) {
		list_remove(&entry->in_port);
		table->ports[entry->port].count--;
	} else {
		if (list_empty(&table->free))
			make_room(table);
		entry = entry_of(list_first(&table->free));
		if (hmap_insert(&table->map, &entry->node, hash) < 0)
			return; /* unknown addresses are flooded, so nothing is lost */
		list_remove(&entry->in_port);
		entry->mac = *mac;
	}
	entry->seen_ms = now_ms;
	place(table, entry, port);
}

unsigned switch_table_lookup(struct switch_table *table, const struct mac *mac, uint64_t now_ms)
{
	struct entry *entry = find(table, mac, hash_of(table, mac));

	if (!entry)
		return 0;
	if (now_ms - entry->seen_ms >= table->age_ms) {
		forget(table, entry);
		return 0;
	}
	return entry->port;
}

void switch_table_forget_port(struct switch_table *table, unsigned port)
{
	struct table_port *gone = &table->ports[port];

	while (!list_empty(&gone->entries))
		forget(table, entry_of(list_first(&gone->entries)));
}

void switch_table_for_each(const struct switch_table *table, uint64_t now_ms,
			   void (*fn)(void *arg, const struct mac *mac, unsigned port), void *arg)
{
	for (unsigned i = 1; i <= table->ports_max; i++) {
		list_for_each (node, &table->ports[i].entries) {
			const struct entry *entry = entry_of(node);

			if (now_ms - entry->seen_ms < table->age_ms)
				fn(arg, &entry->mac, i);
		}
	}
}

unsigned switch_table_count(const struct switch_table *table)
{
	return (unsigned)table->map.count;
}
