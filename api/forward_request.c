/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of expose and unexpose; see forward_request.h. */
#include "api/forward_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* Longest piece of a client's text in a message. */
#define SHOWN_MAX 80

static int decode_protocol(const char *text, enum publish_protocol *ret, char *error)
{
	if (!text[0] || strcmp(text, "tcp") == 0) {
		*ret = PUBLISH_TCP;
	} else if (strcmp(text, "udp") == 0) {
		*ret = PUBLISH_UDP;
	} else {
		snprintf(error, FORWARD_REQUEST_ERROR_MAX,
			 "unknown protocol %.*s: \"protocol\" can be tcp (the default) or udp",
			 SHOWN_MAX, text);
		return -ENOTSUP;
	}
	return 0;
}

/* Text that a forward can be known by: it fits, and can be logged and listed. */
static bool is_sane(const char *text)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	}
	return size > 0 && size < PUBLISH_TEXT_MAX;
}

static void decode_local(struct json_reader *r, struct publish_spec *spec)
{
	const char *text = json_need_string(r, "local");

	if (!json_ok(r))
		return;
	if (!is_sane(text) || endpoint_parse(text, true, &spec->local) < 0) {
		json_fail(
			r,
			"\"local\" is \"%.*s\": expected where to listen on the host, ADDRESS:PORT or :PORT, "
			"such as 127.0.0.1:8080, [::1]:8080 or :8080",
			SHOWN_MAX, text);
		return;
	}
	/* As in Go, 0.0.0.0 and [::] mean all addresses of both families. */
	if (addr_is_any(&spec->local.addr))
		spec->local.addr = (struct addr){.family = AF_UNSPEC};
	strcpy(spec->local_text, text);
}

static void decode_remote(struct json_reader *r, struct publish_spec *spec)
{
	const char *text = json_need_string(r, "remote");

	if (!json_ok(r))
		return;
	if (!is_sane(text) || endpoint_parse(text, false, &spec->remote) < 0) {
		json_fail(
			r,
			"\"remote\" is \"%.*s\": expected a guest's ADDRESS:PORT, such as 192.168.65.2:80, or "
			":PORT",
			SHOWN_MAX, text);
		return;
	}
	if (spec->remote.addr.family != AF_UNSPEC)
		strcpy(spec->remote_text, text);
}

static int decode(const char *body, size_t size, bool removal, struct publish_spec *ret_spec,
		  char error[static FORWARD_REQUEST_ERROR_MAX])
{
	struct publish_spec spec = {0};
	struct json_object *object;
	char why[128];
	int r;

	if (json_parse(body, size, &object, why, sizeof(why)) < 0) {
		snprintf(error, FORWARD_REQUEST_ERROR_MAX, "the request's body is not JSON: %s",
			 why);
		return -EINVAL;
	}
	struct json_reader reader = json_reader(object, "the request's body");
	const char *protocol = json_get_string(&reader, "protocol", "tcp");
	/* Before the addresses: those of other protocols have other forms. */
	r = json_ok(&reader) ? decode_protocol(protocol, &spec.protocol, error) : 0;
	if (r == 0 && removal) {
		const char *local = json_need_string(&reader, "local");

		/* Any text will do: it finds what was published under it. Nothing was under a
		 * longer one. */
		if (json_ok(&reader) && strlen(local) < sizeof(spec.local_text))
			strcpy(spec.local_text, local);
	} else if (r == 0) {
		decode_local(&reader, &spec);
		decode_remote(&reader, &spec);
	}
	if (r == 0 && !json_ok(&reader)) {
		snprintf(error, FORWARD_REQUEST_ERROR_MAX, "%s", reader.error);
		r = -EINVAL;
	}
	json_object_put(object);
	if (r == 0)
		*ret_spec = spec;
	return r;
}

int forward_request_decode(const char *body, size_t size, struct publish_spec *ret_spec,
			   char error[static FORWARD_REQUEST_ERROR_MAX])
{
	return decode(body, size, false, ret_spec, error);
}

int forward_request_decode_removal(const char *body, size_t size, struct publish_spec *ret_spec,
				   char error[static FORWARD_REQUEST_ERROR_MAX])
{
	return decode(body, size, true, ret_spec, error);
}
