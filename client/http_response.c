/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of an HTTP/1.1 response: the head's lines first, then the body as the head said. */
#include "client/http_response.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Bytes not looked at yet. */
struct cursor {
	const char *pos;
	const char *end;
};

/* How the body ends. */
struct framing {
	int status;
	bool chunked;
	bool has_length;
	size_t length;
};

static int bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/* Takes the next line without its end ("\r\n" or "\n"). False when there is no whole line yet. */
static bool take_line(struct cursor *c, const char **ret_line, size_t *ret_size)
{
	const char *newline = memchr(c->pos, '\n', (size_t)(c->end - c->pos));

	if (!newline)
		return false;
	*ret_line = c->pos;
	*ret_size = (size_t)(newline - c->pos);
	if (*ret_size > 0 && newline[-1] == '\r')
		(*ret_size)--;
	c->pos = newline + 1;
	return true;
}

/* "HTTP/1.1 200 OK". */
static int decode_status(const char *line, size_t size, struct framing *framing)
{
	if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)line[7]) ||
	    line[8] != ' ' || (size > 12 && line[12] != ' '))
		return -EBADMSG;
	framing->status = 0;
	for (int i = 9; i < 12; i++) {
		if (!isdigit((unsigned char)line[i]))
			return -EBADMSG;
		framing->status = framing->status * 10 + (line[i] - '0');
	}
	return framing->status >= 200 && framing->status <= 599 ? 0 : -EBADMSG;
}

static int decode_number(const char *text, size_t size, int base, size_t *ret)
{
	size_t value = 0;

	if (size == 0)
		return -EBADMSG;
	for (size_t i = 0; i < size; i++) {
		int c = tolower((unsigned char)text[i]);
		int digit = isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;

		if (digit >= base)
			return -EBADMSG;
		value = value * (size_t)base + (size_t)digit;
		if (value > HTTP_RESPONSE_SIZE_MAX)
			return -EBADMSG;
	}
	*ret = value;
	return 0;
}

static bool token_is(const char *text, size_t size, const char *token)
{
	return size == strlen(token) && strncasecmp(text, token, size) == 0;
}

/* One field of the head; only those that say where the body ends matter. */
static int decode_field(const char *line, size_t size, struct framing *framing)
{
	const char *colon = memchr(line, ':', size);

	if (!colon || colon == line)
		return -EBADMSG;
	const char *value = colon + 1, *end = line + size;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	size_t name_size = (size_t)(colon - line), value_size = (size_t)(end - value);

	if (token_is(line, name_size, "Content-Length")) {
		size_t length;

		if (decode_number(value, value_size, 10, &length) < 0 ||
		    (framing->has_length && framing->length != length))
			return -EBADMSG;
		framing->has_length = true;
		framing->length = length;
	} else if (token_is(line, name_size, "Transfer-Encoding")) {
		if (!token_is(value, value_size, "chunked"))
			return -EBADMSG;
		framing->chunked = true;
	}
	return 0;
}

/* Returns 1 with the cursor after the empty line, 0 when the head isn't complete. */
static int decode_head(struct cursor *c, struct framing *framing, const char **ret_why)
{
	const char *start = c->pos, *line;
	size_t size;

	for (unsigned lines = 0; take_line(c, &line, &size); lines++) {
		if (c->pos - start > HTTP_HEAD_SIZE_MAX)
			return bad(ret_why, "its header is too long");
		if (lines == 0) {
			if (decode_status(line, size, framing) < 0)
				return bad(ret_why, "it doesn't begin with an HTTP status line");
		} else if (size == 0) {
			return 1;
		} else if (decode_field(line, size, framing) < 0) {
			return bad(ret_why, "a field of its header is malformed");
		}
	}
	if (c->end - start > HTTP_HEAD_SIZE_MAX)
		return bad(ret_why, "its header is too long");
	return 0;
}

/* Walks the chunks; copies them to `to` unless that is NULL. Returns 1 with the body's size when
 * the last one is there, 0 when not. */
static int decode_chunks(struct cursor c, char *to, size_t *ret_size, const char **ret_why)
{
	const char *line;
	size_t line_size, chunk, total = 0;

	while (take_line(&c, &line, &line_size)) {
		const char *extension = memchr(line, ';', line_size);

		if (extension)
			line_size = (size_t)(extension - line);
		if (decode_number(line, line_size, 16, &chunk) < 0)
			return bad(ret_why, "a chunk's size is malformed");
		if (chunk == 0) {
			*ret_size = total;
			return 1;
		}
		if ((size_t)(c.end - c.pos) < chunk)
			return 0;
		if (to)
			memcpy(to + total, c.pos, chunk);
		total += chunk;
		c.pos += chunk;
		if (!take_line(&c, &line, &line_size))
			return 0;
		if (line_size != 0)
			return bad(ret_why, "a chunk is longer than it says");
	}
	return 0;
}

static int body_size(struct cursor c, const struct framing *framing, bool ended, size_t *ret_size,
		     const char **ret_why)
{
	size_t have = (size_t)(c.end - c.pos);

	if (framing->chunked)
		return decode_chunks(c, NULL, ret_size, ret_why);
	*ret_size = framing->has_length ? framing->length : have;
	return framing->has_length ? have >= framing->length : ended;
}

int http_response_decode(const char *data, size_t size, bool ended, struct http_response *ret,
			 const char **ret_why)
{
	struct cursor c = {data, data + size};
	struct framing framing = {0};
	size_t length;

	if (size > HTTP_RESPONSE_SIZE_MAX)
		return bad(ret_why, "it is too long");
	int r = decode_head(&c, &framing, ret_why);
	/* Whatever its fields say, such an answer has no body. */
	if (framing.status == 204 || framing.status == 304)
		framing = (struct framing){.status = framing.status, .has_length = true};
	if (r > 0)
		r = body_size(c, &framing, ended, &length, ret_why);
	if (r == 0 && ended)
		return bad(ret_why, size ? "it ends in the middle" : "it is empty");
	if (r <= 0)
		return r;
	char *body = malloc(length + 1);
	if (!body)
		return bad(ret_why, "there is no memory for it");
	if (framing.chunked)
		decode_chunks(c, body, &length, ret_why);
	else
		memcpy(body, c.pos, length);
	body[length] = '\0';
	*ret = (struct http_response){framing.status, body, length};
	return 1;
}

void http_response_clear(struct http_response *response)
{
	free(response->body);
	*response = (struct http_response){0};
}
