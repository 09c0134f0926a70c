/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map of intrusive nodes, chained, that doubles as it fills, and the keyed hash
 * (SipHash-2-4) that its users need: what a guest chooses (addresses, ports, MACs) must not let it
 * aim at one chain.
 */
#ifndef BASE_HMAP_H
#define BASE_HMAP_H

#include <stddef.h>
#include <stdint.h>

struct hmap_node {
	struct hmap_node *next;
	uint64_t hash;
};

struct hmap {
	struct hmap_node **buckets;
	size_t bucket_mask; /* number of buckets - 1 */
	size_t count;
};

/* An empty map; holds no memory until the first insertion. */
void hmap_init(struct hmap *map);
/* Frees the map's memory, not its nodes. */
void hmap_destroy(struct hmap *map);
/* Links `node` in under `hash`; the caller made sure that the key isn't there. Returns 0 or
 * -ENOMEM. */
int hmap_insert(struct hmap *map, struct hmap_node *node, uint64_t hash);
/* `node` must be in the map. */
void hmap_remove(struct hmap *map, struct hmap_node *node);

/* First node with this hash, or NULL; then the next one. The caller compares keys. */
struct hmap_node *hmap_find(const struct hmap *map, uint64_t hash);
struct hmap_node *hmap_find_next(const struct hmap_node *node);

/* All nodes, in no order; NULL to start, NULL at the end. Between calls the map may lose nodes that
 * were visited before `node`, and must not change otherwise. */
struct hmap_node *hmap_next(const struct hmap *map, const struct hmap_node *node);

#define hmap_for_each(NODE, MAP) \
	for (struct hmap_node *NODE = hmap_next((MAP), NULL); NODE; NODE = hmap_next((MAP), NODE))

struct hash_key {
	uint64_t words[2];
};

/* From the kernel's random source. */
struct hash_key hash_key_random(void);
/* SipHash-2-4 of `size` bytes. Zero structs before filling them: padding counts. */
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t size);

#endif
