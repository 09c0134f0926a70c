/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map of intrusive nodes, and SipHash-2-4 (Aumasson and Bernstein, 2012). */
#include "base/hmap.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS_MIN 16

void hmap_init(struct hmap *map)
{
	*map = (struct hmap){0};
}

void hmap_destroy(struct hmap *map)
{
	free(map->buckets);
	hmap_init(map);
}

static struct hmap_node **hmap_bucket(const struct hmap *map, uint64_t hash)
{
	return &map->buckets[hash & map->bucket_mask];
}

static void hmap_link(struct hmap *map, struct hmap_node *node)
{
	struct hmap_node **bucket = hmap_bucket(map, node->hash);

	node->next = *bucket;
	*bucket = node;
}

static int hmap_resize(struct hmap *map, size_t bucket_count)
{
	struct hmap old = *map;
	struct hmap_node **buckets = calloc(bucket_count, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	map->buckets = buckets;
	map->bucket_mask = bucket_count - 1;
	for (size_t i = 0; old.buckets && i <= old.bucket_mask; i++) {
		struct hmap_node *node = old.buckets[i];

		while (node) {
			struct hmap_node *next = node->next;

			hmap_link(map, node);
			node = next;
		}
	}
	free(old.buckets);
	return 0;
}

int hmap_insert(struct hmap *map, struct hmap_node *node, uint64_t hash)
{
	if (!map->buckets) {
		int r = hmap_resize(map, BUCKETS_MIN);

		if (r < 0)
			return r;
	} else if (map->count > map->bucket_mask) {
		/* Without memory for more buckets the chains get longer, and everything works. */
		hmap_resize(map, (map->bucket_mask + 1) * 2);
	}
	node->hash = hash;
	hmap_link(map, node);
	map->count++;
	return 0;
}

void hmap_remove(struct hmap *map, struct hmap_node *node)
{
	struct hmap_node **at;

	assert(map->count > 0);
	for (at = hmap_bucket(map, node->hash); *at != node; at = &(*at)->next)
		assert(*at);
	*at = node->next;
	node->next = NULL;
	map->count--;
}

static struct hmap_node *chain_find(struct hmap_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct hmap_node *hmap_find(const struct hmap *map, uint64_t hash)
{
	return map->buckets ? chain_find(*hmap_bucket(map, hash), hash) : NULL;
}

struct hmap_node *hmap_find_next(const struct hmap_node *node)
{
	return chain_find(node->next, node->hash);
}

struct hmap_node *hmap_next(const struct hmap *map, const struct hmap_node *node)
{
	size_t i = 0;

	if (!map->buckets)
		return NULL;
	if (node) {
		if (node->next)
			return node->next;
		i = (node->hash & map->bucket_mask) + 1;
	}
	for (; i <= map->bucket_mask; i++) {
		if (map->buckets[i])
			return map->buckets[i];
	}
	return NULL;
}

struct hash_key hash_key_random(void)
{
	struct hash_key key;
	ssize_t got;

	/* So few bytes come whole or not at all. */
	do {
		got = getrandom(&key, sizeof(key), 0);
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(key)) {
		/* Going on with a key that a guest can guess would be worse. */
		fprintf(stderr, "the kernel gives no random numbers (getrandom: %s)\n",
			strerror(errno));
		abort();
	}
	return key;
}

struct sip {
	uint64_t v[4];
};

static inline uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static inline void sip_rounds(struct sip *s, unsigned rounds)
{
	uint64_t *v = s->v;

	while (rounds--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_rounds(s, 2);
	s->v[0] ^= word;
}

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t size)
{
	const uint8_t *at = data;
	uint64_t word;
	uint64_t last = (uint64_t)size << 56;
	struct sip s = {{
		key->words[0] ^ 0x736f6d6570736575,
		key->words[1] ^ 0x646f72616e646f6d,
		key->words[0] ^ 0x6c7967656e657261,
		key->words[1] ^ 0x7465646279746573,
	}};

	for (; size >= 8; size -= 8, at += 8) {
		memcpy(&word, at, 8);
		sip_word(&s, le64toh(word));
	}
	for (size_t i = 0; i < size; i++)
		last |= (uint64_t)at[i] << 8 * i;
	sip_word(&s, last);
	s.v[2] ^= 0xff;
	sip_rounds(&s, 4);
	return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
