/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which name somebody meant who gave one that there isn't: flags, commands, keys. The names are
 * offered one by one, from whatever table they are in:
 *
 *	struct nearest nearest;
 *
 *	nearest_begin(&nearest, given, strlen(given));
 *	for (each row of the table)
 *		nearest_offer(&nearest, row->name, row->aka);
 *	if (nearest.name) ... "did you mean %s?"
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

struct nearest {
	const char *name; /* the nearest so far, borrowed from the table; NULL: none is near */
	const char *text; /* borrowed: what was given */
	size_t size;
	size_t cost; /* how far `name` is from it */
};

/* `text` need not end with a NUL; it and the names are borrowed. */
void nearest_begin(struct nearest *nearest, const char *text, size_t size);
/* `aka` has the words, with a blank between two, by which other programs call the same; or NULL.
 * Near is such a word, one of which the other is the beginning (from three letters on), and what a
 * slip of the finger or two makes of it. Of two that are as near the first one stays. */
void nearest_offer(struct nearest *nearest, const char *name, const char *aka);

#endif
