/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map and the keyed hash. */
#include "base/hmap.h"

#include <stdbool.h>
#include <string.h>

#include "base/list.h"
#include "unit.h"

#define ITEM_COUNT 5000

struct item {
	struct hmap_node node;
	uint32_t key;
	bool seen;
};

static struct item items[ITEM_COUNT];

static struct item *find(const struct hmap *map, uint32_t key, uint64_t hash)
{
	for (struct hmap_node *n = hmap_find(map, hash); n; n = hmap_find_next(n)) {
		struct item *item = container_of(n, struct item, node);

		if (item->key == key)
			return item;
	}
	return NULL;
}

/* Few values, so that many keys share a hash. */
static uint64_t poor_hash(uint32_t key)
{
	return key % 700;
}

static void insert_all(struct hmap *map)
{
	hmap_init(map);
	for (uint32_t i = 0; i < ITEM_COUNT; i++) {
		items[i] = (struct item){.key = i};
		ck_assert_int_eq(hmap_insert(map, &items[i].node, poor_hash(i)), 0);
	}
}

START_TEST(empty)
{
	struct hmap map;

	hmap_init(&map);
	ck_assert_ptr_null(hmap_find(&map, 1));
	ck_assert_ptr_null(hmap_next(&map, NULL));
	hmap_destroy(&map);
	hmap_destroy(&map);
}
END_TEST

START_TEST(finds_what_is_in)
{
	struct hmap map;

	insert_all(&map);
	ck_assert_uint_eq(map.count, ITEM_COUNT);
	ck_assert_uint_ge(map.bucket_mask + 1, ITEM_COUNT / 2);
	for (uint32_t i = 0; i < ITEM_COUNT; i++)
		ck_assert_ptr_eq(find(&map, i, poor_hash(i)), &items[i]);
	ck_assert_ptr_null(find(&map, ITEM_COUNT, poor_hash(ITEM_COUNT)));
	ck_assert_ptr_null(hmap_find(&map, 700));
	hmap_destroy(&map);
}
END_TEST

START_TEST(removes_only_what_is_asked)
{
	struct hmap map;

	insert_all(&map);
	for (uint32_t i = 0; i < ITEM_COUNT; i += 3)
		hmap_remove(&map, &items[i].node);
	for (uint32_t i = 0; i < ITEM_COUNT; i++)
		ck_assert_ptr_eq(find(&map, i, poor_hash(i)), i % 3 ? &items[i] : NULL);
	for (uint32_t i = 0; i < ITEM_COUNT; i++) {
		if (i % 3)
			hmap_remove(&map, &items[i].node);
	}
	ck_assert_uint_eq(map.count, 0);
	ck_assert_ptr_null(hmap_next(&map, NULL));
	hmap_destroy(&map);
}
END_TEST

START_TEST(visits_each_once)
{
	struct hmap map;
	size_t count = 0;

	insert_all(&map);
	hmap_for_each (node, &map) {
		struct item *item = container_of(node, struct item, node);

		ck_assert(!item->seen);
		item->seen = true;
		count++;
	}
	ck_assert_uint_eq(count, ITEM_COUNT);
	hmap_destroy(&map);
}
END_TEST

/* From the authors' test vectors: key 00 01 .. 0f, input 00 01 .. (n-1). */
START_TEST(siphash_vectors)
{
	static const struct {
		size_t size;
		uint8_t hash[8];
	} vectors[] = {
		{0, {0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72}},
		{1, {0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74}},
		{7, {0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab}},
		{8, {0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93}},
		{15, {0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1}},
	};
	struct hash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};
	uint8_t input[16];

	for (uint8_t i = 0; i < sizeof(input); i++)
		input[i] = i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint64_t want = 0;

		for (size_t b = 0; b < 8; b++)
			want |= (uint64_t)vectors[i].hash[b] << 8 * b;
		ck_assert_uint_eq(hash_bytes(&key, input, vectors[i].size), want);
	}
}
END_TEST

START_TEST(random_keys_differ)
{
	struct hash_key a = hash_key_random();
	struct hash_key b = hash_key_random();

	ck_assert_mem_ne(&a, &b, sizeof(a));
	ck_assert_uint_ne(hash_bytes(&a, "x", 1), hash_bytes(&b, "x", 1));
}
END_TEST

int main(void)
{
	return unit_main("hmap", NULL, NULL,
			 (const TTest *[]){
				 empty,
				 finds_what_is_in,
				 removes_only_what_is_asked,
				 visits_each_once,
				 siphash_vectors,
				 random_keys_differ,
				 NULL,
			 });
}
