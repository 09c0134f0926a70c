/* SPDX-License-Identifier: Apache-2.0 */
/* Queries; see http_query.h. */
#include "http/http_query.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* One "key=value" of a query. */
struct pair {
	const char *key;
	size_t key_size;
	const char *value;
	size_t value_size;
};

/* Takes the next pair from *at. Returns false at the end. */
static bool next_pair(const char **at, struct pair *ret)
{
	size_t size;

	while (**at == '&')
		(*at)++;
	size = strcspn(*at, "&");
	if (!size)
		return false;
	ret->key = *at;
	ret->key_size = strcspn(*at, "=&");
	ret->value = *at + ret->key_size + (ret->key_size < size ? 1 : 0);
	ret->value_size = (size_t)(*at + size - ret->value);
	*at += size;
	return true;
}

static bool has_key(const struct pair *pair, const char *key)
{
	return pair->key_size == strlen(key) && strncmp(pair->key, key, pair->key_size) == 0;
}

static int decode_value(const struct pair *pair, char *to, size_t size)
{
	size_t length = 0;

	for (size_t i = 0; i < pair->value_size; i++) {
		unsigned char c = (unsigned char)pair->value[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high, low;

			if (pair->value_size - i < 3)
				return -EINVAL;
			high = text_hex_digit(pair->value[i + 1]);
			low = text_hex_digit(pair->value[i + 2]);
			if (high < 0 || low < 0)
				return -EINVAL;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (c < ' ' || c == 0x7f)
			return -EINVAL;
		if (length + 1 >= size)
			return -ENAMETOOLONG;
		to[length++] = (char)c;
	}
	to[length] = '\0';
	return 0;
}

int http_query_get(const char *query, const char *key, char *to, size_t size)
{
	struct pair pair, found = {0};

	while (next_pair(&query, &pair)) {
		if (!has_key(&pair, key))
			continue;
		if (found.key)
			return -EINVAL;
		found = pair;
	}
	return found.key ? decode_value(&found, to, size) : -ENOENT;
}

int http_query_unknown(const char *query, const char *const *keys, char *to, size_t size)
{
	struct pair pair;

	while (next_pair(&query, &pair)) {
		bool known = false;

		for (size_t i = 0; keys[i] && !known; i++)
			known = has_key(&pair, keys[i]);
		if (known)
			continue;
		snprintf(to, size, "%.*s", (int)(pair.key_size < size ? pair.key_size : size - 1),
			 pair.key);
		return 0;
	}
	return -ENOENT;
}
