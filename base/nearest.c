/* SPDX-License-Identifier: Apache-2.0 */
/* See nearest.h. */
#include "base/nearest.h"

#include <stdbool.h>
#include <string.h>

#define WORD_MAX   32 /* longer ones are near to nothing */
#define SHORT_WORD 4  /* in words of up to so many letters one slip is all that is forgiven */
#define PREFIX_MIN 3

/* How far a name is: an edit costs two, so that being the beginning of a word lies between one
 * edit and two. */
#define COST_EDIT    2
#define COST_PREFIX  3
#define COST_TOO_FAR 5

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters are to be put in, left out, replaced, or swapped with the next one, to make `b`
 * of `a` (the optimal string alignment distance). Both have up to WORD_MAX. */
static size_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	size_t rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= b_size; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		size_t *row = rows[i % 3], *last = rows[(i + 2) % 3];
		const size_t *before_last = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			row[j] = least(last[j - 1] + (a[i - 1] != b[j - 1]),
				       least(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before_last[j - 2] + 1);
		}
	}
	return rows[a_size % 3][b_size];
}

static bool has_word(const char *words, const char *word, size_t size)
{
	while (words && *words) {
		size_t length = strcspn(words, " ");

		if (length == size && memcmp(words, word, size) == 0)
			return true;
		words += length;
		words += strspn(words, " ");
	}
	return false;
}

static size_t cost_of(const struct nearest *nearest, const char *name)
{
	size_t size = strlen(name), common = least(size, nearest->size);
	size_t most = common <= SHORT_WORD ? 1 : 2, edits;

	if (size > WORD_MAX)
		return COST_TOO_FAR;
	edits = edit_distance(nearest->text, nearest->size, name, size);
	if (edits < 2 && edits < common)
		return edits * COST_EDIT;
	/* "-memory" means -mem, "-net" means -networking. */
	if (common >= PREFIX_MIN && memcmp(nearest->text, name, common) == 0)
		return COST_PREFIX;
	return edits <= most && edits < common ? edits * COST_EDIT : COST_TOO_FAR;
}

void nearest_begin(struct nearest *nearest, const char *text, size_t size)
{
	*nearest = (struct nearest){.text = text, .size = size, .cost = COST_TOO_FAR};
}

void nearest_offer(struct nearest *nearest, const char *name, const char *aka)
{
	size_t cost;

	if (nearest->size == 0 || nearest->size > WORD_MAX)
		return;
	cost = has_word(aka, nearest->text, nearest->size) ? 0 : cost_of(nearest, name);
	if (cost < nearest->cost) {
		nearest->name = name;
		nearest->cost = cost;
	}
}
