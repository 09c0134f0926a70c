/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 messages as a server sees them; see http_message.h. */
#include "http/http_message.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX 1024

/* Bytes not looked at yet. */
struct cursor {
	char *pos;
	char *end;
};

/* What the fields say about the rest. */
struct fields {
	bool minor_0; /* HTTP/1.0 */
	bool has_host;
	bool has_length;
	bool chunked;
	bool expects;
	size_t length;
};

static int fail(struct http_progress *progress, unsigned status, const char *why)
{
	progress->status = status;
	progress->why = why;
	return -EBADMSG;
}

/* Takes the next line without its end ("\r\n" or "\n"); false when there is no whole line yet. */
static bool take_line(struct cursor *c, char **ret_line, size_t *ret_size)
{
	char *newline = memchr(c->pos, '\n', (size_t)(c->end - c->pos));

	if (!newline)
		return false;
	*ret_line = c->pos;
	*ret_size = (size_t)(newline - c->pos);
	if (*ret_size > 0 && newline[-1] == '\r')
		(*ret_size)--;
	c->pos = newline + 1;
	return true;
}

static bool is_token(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!isalnum((unsigned char)text[i]) &&
		    (!text[i] || !strchr("!#$%&'*+-.^_`|~", text[i])))
			return false;
	}
	return size > 0;
}

static bool is_visible(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!isgraph((unsigned char)text[i]))
			return false;
	}
	return size > 0;
}

static bool copy_text(char *to, size_t room, const char *from, size_t size)
{
	if (size >= room)
		return false;
	memcpy(to, from, size);
	to[size] = '\0';
	return true;
}

/* The request target: "/path?query", also behind "http://host" (RFC 9112 3.2.2). */
static int decode_target(const char *text, size_t size, struct http_request *request,
			 struct http_progress *progress)
{
	const char *query;
	size_t path_size;

	if (!is_visible(text, size))
		return fail(progress, 400,
			    "the request's target has characters that it mustn't have");
	if (size >= 7 && strncasecmp(text, "http://", 7) == 0) {
		const char *slash = memchr(text + 7, '/', size - 7);

		size = slash ? size - (size_t)(slash - text) : 1;
		text = slash ? slash : "/";
	}
	if (text[0] != '/' && !(size == 1 && text[0] == '*'))
		return fail(progress, 400, "the request's target must start with a slash");
	query = memchr(text, '?', size);
	path_size = query ? (size_t)(query - text) : size;
	if (!copy_text(request->path, sizeof(request->path), text, path_size) ||
	    (query &&
	     !copy_text(request->query, sizeof(request->query), query + 1, size - path_size - 1)))
		return fail(progress, 414, "the request's target is too long");
	return 0;
}

/* "GET /path HTTP/1.1" */
static int decode_request_line(const char *line, size_t size, struct http_request *request,
			       struct fields *fields, struct http_progress *progress)
{
	const char *target = memchr(line, ' ', size), *version;
	size_t method_size = target ? (size_t)(target - line) : 0;

	if (!target || !is_token(line, method_size))
		return fail(progress, 400, "it doesn't begin with an HTTP request line");
	if (!copy_text(request->method, sizeof(request->method), line, method_size))
		return fail(progress, 501, "there is no such method");
	target++;
	version = memchr(target, ' ', size - method_size - 1);
	if (!version)
		return fail(progress, 400, "it doesn't begin with an HTTP request line");
	size_t version_size = size - (size_t)(version + 1 - line);
	if (version_size != 8 || memcmp(version + 1, "HTTP/", 5) != 0)
		return fail(progress, 400, "it doesn't begin with an HTTP request line");
	if (version[6] != '1' || version[7] != '.' || !isdigit((unsigned char)version[8]))
		return fail(progress, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	fields->minor_0 = version[8] == '0';
	request->keep_alive = !fields->minor_0;
	request->is_head = strcmp(request->method, "HEAD") == 0;
	return decode_target(target, (size_t)(version - target), request, progress);
}

static bool text_is(const char *text, size_t size, const char *word)
{
	return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

/* Whether a comma-separated list has `word` in it. */
static bool list_has(const char *text, size_t size, const char *word)
{
	const char *end = text + size;

	while (text < end) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		const char *stop = comma ? comma : end, *last = stop;

		while (text < last && (*text == ' ' || *text == '\t'))
			text++;
		while (last > text && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		if (text_is(text, (size_t)(last - text), word))
			return true;
		text = comma ? comma + 1 : end;
	}
	return false;
}

/* Digits to a size; what is larger than any body may be comes out as that and one more. */
static bool decode_size(const char *text, size_t size, unsigned base, size_t *ret)
{
	size_t value = 0;

	for (size_t i = 0; i < size; i++) {
		int c = tolower((unsigned char)text[i]);
		unsigned digit = isdigit(c)    ? (unsigned)(c - '0')
				 : isxdigit(c) ? (unsigned)(c - 'a') + 10
					       : 99;

		if (digit >= base)
			return false;
		value = value * base + digit;
		if (value > HTTP_REQUEST_BODY_MAX)
			value = HTTP_REQUEST_BODY_MAX + 1;
	}
	*ret = value;
	return size > 0;
}

static int decode_host(const char *value, size_t size, struct http_request *request,
		       struct fields *fields, struct http_progress *progress)
{
	/* An empty one is allowed (RFC 9112 3.2), two are not. */
	if (fields->has_host || (size && !is_visible(value, size)) ||
	    !copy_text(request->host, sizeof(request->host), value, size))
		return fail(progress, 400, "its Host field is malformed");
	fields->has_host = true;
	return 0;
}

static int decode_length(const char *value, size_t size, struct fields *fields,
			 struct http_progress *progress)
{
	size_t length;

	if (!decode_size(value, size, 10, &length) ||
	    (fields->has_length && length != fields->length))
		return fail(progress, 400, "its Content-Length field is malformed");
	fields->has_length = true;
	fields->length = length;
	return 0;
}

static int decode_value(const char *name, size_t name_size, const char *value, size_t size,
			struct http_request *request, struct fields *fields,
			struct http_progress *progress)
{
	if (text_is(name, name_size, "Host"))
		return decode_host(value, size, request, fields, progress);
	if (text_is(name, name_size, "Content-Length"))
		return decode_length(value, size, fields, progress);
	if (text_is(name, name_size, "Transfer-Encoding")) {
		if (fields->chunked || !text_is(value, size, "chunked"))
			return fail(progress, 501,
				    "the only Transfer-Encoding understood here is chunked");
		fields->chunked = true;
	} else if (text_is(name, name_size, "Connection")) {
		if (list_has(value, size, "close"))
			request->keep_alive = false;
	} else if (text_is(name, name_size, "Expect")) {
		if (!text_is(value, size, "100-continue"))
			return fail(progress, 417,
				    "the only expectation understood here is 100-continue");
		fields->expects = true;
	} else if (text_is(name, name_size, "Origin")) {
		request->from_web_page = true;
	}
	return 0;
}

static int decode_field(const char *line, size_t size, struct http_request *request,
			struct fields *fields, struct http_progress *progress)
{
	const char *colon = memchr(line, ':', size);

	if (!colon || !is_token(line, (size_t)(colon - line)) || memchr(line, '\0', size))
		return fail(progress, 400, "a field of its header is malformed");
	const char *value = colon + 1, *end = line + size;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return decode_value(line, (size_t)(colon - line), value, (size_t)(end - value), request,
			    fields, progress);
}

/* Returns 1 with the cursor behind the empty line, 0 when the head isn't complete. */
static int decode_head(struct cursor *c, struct http_request *request, struct fields *fields,
		       struct http_progress *progress)
{
	const char *start = c->pos;
	bool has_line = false;
	char *line;
	size_t size;

	while (take_line(c, &line, &size)) {
		int r = 0;

		if (c->pos - start > HTTP_REQUEST_HEAD_MAX)
			break;
		if (size == 0 && has_line)
			return 1;
		/* Empty lines before a request are to be ignored (RFC 9112 2.2). */
		if (size > 0)
			r = has_line ? decode_field(line, size, request, fields, progress)
				     : decode_request_line(line, size, request, fields, progress);
		has_line = has_line || size > 0;
		if (r < 0)
			return r;
	}
	if (c->end - start > HTTP_REQUEST_HEAD_MAX)
		return fail(progress, 431, "its header is too long");
	return 0;
}

/* The trailer behind the last chunk: ignored. */
static int skip_trailer(struct cursor *c)
{
	char *line;
	size_t size;

	while (take_line(c, &line, &size)) {
		if (size == 0)
			return 1;
	}
	return 0;
}

/* Walks the chunks, and moves them together at `to` unless that is NULL. Returns 1 with the body's
 * size and the cursor behind it, or 0 when they are not all there. */
static int decode_chunks(struct cursor *c, char *to, size_t *ret_size,
			 struct http_progress *progress)
{
	size_t line_size, chunk, total = 0;
	char *line;

	while (take_line(c, &line, &line_size)) {
		const char *extension = memchr(line, ';', line_size);

		if (!decode_size(line, extension ? (size_t)(extension - line) : line_size, 16,
				 &chunk))
			return fail(progress, 400, "a chunk's size is malformed");
		if (chunk == 0) {
			*ret_size = total;
			return skip_trailer(c);
		}
		if (total + chunk > HTTP_REQUEST_BODY_MAX)
			return fail(progress, 413, "its body is too long");
		if ((size_t)(c->end - c->pos) < chunk)
			return 0;
		if (to)
			memmove(to + total, c->pos, chunk);
		total += chunk;
		c->pos += chunk;
		if (!take_line(c, &line, &line_size))
			return 0;
		if (line_size != 0)
			return fail(progress, 400, "a chunk is longer than it says");
	}
	return 0;
}

static int decode_chunked_body(struct cursor *c, struct http_request *request,
			       struct http_progress *progress)
{
	struct cursor look = *c;
	char *start = c->pos;
	int r = decode_chunks(&look, NULL, &request->body_size, progress);

	if (r == 0 && c->end - start > HTTP_REQUEST_BODY_MAX)
		return fail(progress, 413, "its body is too long");
	if (r > 0) {
		r = decode_chunks(c, start, &request->body_size, progress);
		request->body = start;
	}
	return r;
}

static int decode_body(struct cursor *c, struct http_request *request, const struct fields *fields,
		       struct http_progress *progress)
{
	if (fields->chunked && (fields->has_length || fields->minor_0))
		return fail(progress, 400, "it says in two ways how long its body is");
	if (fields->chunked)
		return decode_chunked_body(c, request, progress);
	if (fields->length > HTTP_REQUEST_BODY_MAX)
		return fail(progress, 413, "its body is too long");
	if ((size_t)(c->end - c->pos) < fields->length)
		return 0;
	request->body = c->pos;
	request->body_size = fields->length;
	c->pos += fields->length;
	return 1;
}

int http_request_decode(char *data, size_t size, struct http_request *ret_request,
			struct http_progress *progress)
{
	struct http_request request = {0};
	struct fields fields = {0};
	struct cursor c = {data, data + size};
	int r = decode_head(&c, &request, &fields, progress);

	progress->wants_continue = false;
	if (r <= 0)
		return r;
	if (!fields.has_host && !fields.minor_0)
		return fail(progress, 400, "its Host field is missing");
	r = decode_body(&c, &request, &fields, progress);
	progress->wants_continue = r == 0 && fields.expects && !fields.minor_0;
	if (r <= 0)
		return r;
	progress->taken = (size_t)(c.pos - data);
	*ret_request = request;
	return 1;
}

/* ---- Replies ---- */

static const char *status_text(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 413:
		return "Request Entity Too Large";
	case 414:
		return "Request URI Too Long";
	case 417:
		return "Expectation Failed";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Error";
	}
}

void http_reply_clear(struct http_reply *reply)
{
	free(reply->body);
	*reply = http_reply_empty();
}

/* `text` and a newline. */
static void set_body(struct http_reply *reply, unsigned status, const char *type, const char *text)
{
	size_t size = strlen(text) + 1;
	char *body = malloc(size);

	http_reply_clear(reply);
	if (!body) {
		reply->status = 500;
		return;
	}
	memcpy(body, text, size - 1);
	body[size - 1] = '\n';
	*reply = (struct http_reply){
		.status = status, .type = type, .body = body, .body_size = size};
}

void http_reply_text(struct http_reply *reply, unsigned status, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* One line, whatever a client's own words in it were. */
	for (char *c = text; *c; c++) {
		if (iscntrl((unsigned char)*c))
			*c = ' ';
	}
	set_body(reply, status, "text/plain; charset=utf-8", text);
}

void http_reply_json(struct http_reply *reply, unsigned status, struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (text) {
		set_body(reply, status, "application/json", text);
	} else {
		http_reply_clear(reply);
		reply->status = 500;
	}
	json_object_put(object);
}

char *http_reply_encode(const struct http_reply *reply, bool is_head, bool keep_alive,
			size_t *ret_size)
{
	size_t body_size = is_head ? 0 : reply->body_size;
	char head[512];
	char *message;
	int head_size;

	head_size = snprintf(
		head, sizeof(head), "HTTP/1.1 %u %s\r\n%s%s%s%s%s%s%sContent-Length: %zu\r\n\r\n",
		reply->status, status_text(reply->status), reply->allow[0] ? "Allow: " : "",
		reply->allow, reply->allow[0] ? "\r\n" : "", reply->type ? "Content-Type: " : "",
		reply->type ? reply->type : "",
		reply->type ? "\r\nX-Content-Type-Options: nosniff\r\n" : "",
		keep_alive ? "" : "Connection: close\r\n", reply->body_size);
	message = malloc((size_t)head_size + body_size);
	if (!message)
		return NULL;
	memcpy(message, head, (size_t)head_size);
	if (body_size)
		memcpy(message + head_size, reply->body, body_size);
	*ret_size = (size_t)head_size + body_size;
	return message;
}
