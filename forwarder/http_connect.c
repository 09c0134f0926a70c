/* SPDX-License-Identifier: Apache-2.0 */
/* The text of HTTP that a proxied connection needs; see http_connect.h. */
#include "forwarder/http_connect.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define METHOD_SIZE_MAX 32

/* A line without its end, which is LF or CR LF (RFC 9112, 2.2). */
struct line {
	const char *text;
	size_t size;
};

/* Takes the line at *at; false when its end isn't there. */
static bool take_line(const uint8_t *bytes, size_t size, size_t *at, struct line *ret)
{
	const uint8_t *start = bytes + *at;
	const uint8_t *end = *at < size ? memchr(start, '\n', size - *at) : NULL;

	if (!end)
		return false;
	*at = (size_t)(end - bytes) + 1;
	ret->text = (const char *)start;
	ret->size = (size_t)(end - start);
	if (ret->size && ret->text[ret->size - 1] == '\r')
		ret->size--;
	return true;
}

/* ---- Requests of guests ---- */

/* Whether the bytes may be the beginning of a request line: a method and a space. */
static bool looks_like_request(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size && i < METHOD_SIZE_MAX; i++) {
		if (bytes[i] == ' ')
			return i > 0;
		if (!isupper(bytes[i]) && bytes[i] != '-' && bytes[i] != '_')
			return false;
	}
	return size < METHOD_SIZE_MAX;
}

static bool is_request_line(const struct line *line)
{
	static const char version[] = " HTTP/1.";

	return line->size > sizeof(version) &&
	       memcmp(line->text + line->size - sizeof(version), version, sizeof(version) - 1) == 0;
}

/* The host of a field's value "HOST[:PORT]". */
static int clean_host(const char *value, size_t size, char to[static EGRESS_NAME_MAX])
{
	const char *colon;

	while (size && (*value == ' ' || *value == '\t')) {
		value++;
		size--;
	}
	while (size && (value[size - 1] == ' ' || value[size - 1] == '\t'))
		size--;
	colon = memchr(value, ':', size);
	return egress_clean_name(value, colon ? (size_t)(colon - value) : size, to) ? 1 : 0;
}

int http_request_host(const uint8_t *bytes, size_t size, char to[static EGRESS_NAME_MAX])
{
	static const char field[] = "host:";
	struct line line;
	size_t at = 0;

	if (!looks_like_request(bytes, size))
		return -EPROTO;
	if (!take_line(bytes, size, &at, &line))
		return -EAGAIN;
	if (!is_request_line(&line))
		return -EPROTO;
	while (take_line(bytes, size, &at, &line)) {
		if (line.size == 0)
			return 0;
		if (line.size > sizeof(field) - 1 &&
		    strncasecmp(line.text, field, sizeof(field) - 1) == 0)
			return clean_host(line.text + sizeof(field) - 1,
					  line.size - (sizeof(field) - 1), to);
	}
	return -EAGAIN;
}

/* ---- CONNECT ---- */

size_t http_connect_request(const char *target, const char *auth,
			    char to[static HTTP_CONNECT_REQUEST_MAX])
{
	int size = snprintf(to, HTTP_CONNECT_REQUEST_MAX,
			    "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", target, target,
			    *auth ? "Proxy-Authorization: Basic " : "", auth, *auth ? "\r\n" : "");

	return (size_t)size;
}

/* "HTTP/1.x NNN[ reason]". */
static bool read_status(const struct line *line, struct http_connect_reply *reply)
{
	static const char version[] = "HTTP/1.";
	const char *at = line->text + sizeof(version) - 1;
	size_t reason_size;

	if (line->size < sizeof(version) - 1 + 5 ||
	    memcmp(line->text, version, sizeof(version) - 1) != 0)
		return false;
	if (!isdigit((unsigned char)at[0]) || at[1] != ' ')
		return false;
	reply->status = 0;
	for (int i = 2; i < 5; i++) {
		if (!isdigit((unsigned char)at[i]))
			return false;
		reply->status = reply->status * 10 + (unsigned)(at[i] - '0');
	}
	at += 5;
	reason_size = line->size - (size_t)(at - line->text);
	if (reason_size && *at != ' ')
		return false;
	if (reason_size) {
		at++;
		reason_size--;
	}
	if (reason_size >= sizeof(reply->reason))
		reason_size = sizeof(reply->reason) - 1;
	for (size_t i = 0; i < reason_size; i++)
		reply->reason[i] = at[i] >= ' ' && at[i] <= '~' ? at[i] : '?';
	reply->reason[reason_size] = '\0';
	return reply->status >= 100;
}

/* Whether the bytes may be the beginning of an answer. */
static bool looks_like_reply(const uint8_t *bytes, size_t size)
{
	static const char version[] = "HTTP/1.";

	return memcmp(bytes, version, size < sizeof(version) - 1 ? size : sizeof(version) - 1) == 0;
}

int http_connect_reply(const uint8_t *bytes, size_t size, struct http_connect_reply *ret)
{
	struct http_connect_reply reply = {0};
	struct line line;
	size_t at = 0;

	if (size == 0)
		return -EAGAIN;
	if (!looks_like_reply(bytes, size))
		return -EPROTO;
	if (size > HTTP_CONNECT_REPLY_MAX)
		size = HTTP_CONNECT_REPLY_MAX;
	if (take_line(bytes, size, &at, &line)) {
		if (!read_status(&line, &reply))
			return -EPROTO;
		while (take_line(bytes, size, &at, &line)) {
			if (line.size == 0) {
				reply.header_size = at;
				*ret = reply;
				return 0;
			}
		}
	}
	return size == HTTP_CONNECT_REPLY_MAX ? -EPROTO : -EAGAIN;
}
