/* SPDX-License-Identifier: Apache-2.0 */
/* See store_description.h: where keys stand in a text that is known to be JSON, which json-c
 * doesn't tell. */
#include "launcher/store_description.h"

#include <stdio.h>
#include <string.h>

/* Walks over JSON, a token at a time. */
struct walk {
	const char *at, *end;
	unsigned line, depth;
	const char *string; /* the token's, when it is a string, without the quotes */
	size_t string_size;
};

/* The next of {}[],: or '"' for a string or 'v' for another value; 0 at the end. */
static char next_token(struct walk *w)
{
	for (; w->at < w->end && strchr(" \t\r\n", *w->at); w->at++)
		w->line += *w->at == '\n';
	if (w->at >= w->end)
		return 0;
	char c = *w->at++;

	if (c == '{' || c == '[')
		w->depth++;
	else if ((c == '}' || c == ']') && w->depth > 0)
		w->depth--;
	if (strchr("{}[],:", c))
		return c;
	if (c != '"') {
		while (w->at < w->end && !strchr("{}[],: \t\r\n", *w->at))
			w->at++;
		return 'v';
	}
	w->string = w->at;
	while (w->at < w->end && *w->at != '"')
		w->at += *w->at == '\\' && w->at + 1 < w->end ? 2 : 1;
	w->string_size = (size_t)(w->at - w->string);
	w->at += w->at < w->end;
	return '"';
}

/* Moves behind the next key of the outermost object. */
static bool next_key(struct walk *w)
{
	char token, before = w->depth == 0 ? 0 : 'x';

	while ((token = next_token(w))) {
		if (token == '"' && w->depth == 1 && (before == '{' || before == ','))
			return true;
		before = token;
	}
	return false;
}

static struct walk walk_over(const char *text, size_t size)
{
	return (struct walk){.at = text, .end = text + size, .line = 1};
}

unsigned description_line(const char *text, size_t size, const char *key, int index)
{
	struct walk w = walk_over(text, size);
	int element = 0;
	char token;

	while (next_key(&w)) {
		unsigned key_line = w.line;

		if (w.string_size != strlen(key) || memcmp(w.string, key, w.string_size) != 0)
			continue;
		if (index < 0 || next_token(&w) != ':' || next_token(&w) != '[')
			return key_line;
		while (element <= index && (token = next_token(&w)) && w.depth >= 2) {
			if (token == ',' && w.depth == 2)
				element++;
			else if (element == index)
				return w.line;
		}
		return key_line;
	}
	return 0;
}

bool description_repeated(const char *text, size_t size, char to[static 64])
{
	struct walk w = walk_over(text, size);

	while (next_key(&w)) {
		struct walk rest = w;

		while (next_key(&rest))
			if (rest.string_size == w.string_size &&
			    memcmp(rest.string, w.string, w.string_size) == 0) {
				snprintf(to, 64, "%.*s", (int)w.string_size, w.string);
				return true;
			}
	}
	return false;
}
