/* SPDX-License-Identifier: Apache-2.0 */
/* Forwards in JSON; see forward_request.h. */
#include "api/forward_request.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sock.h"
#include "forwarder/publish_spec.h"

/* Longest piece of a client's text in a message. */
#define SHOWN_MAX          80
#define UNIX_REMOTE_PREFIX "tcp://"

_Static_assert(SOCK_PATH_MAX <= PUBLISH_TEXT_MAX, "a path is a text");

int forward_protocol_parse(const char *text, enum publish_protocol *ret)
{
	if (!text[0] || strcmp(text, "tcp") == 0)
		*ret = PUBLISH_TCP;
	else if (strcmp(text, "udp") == 0)
		*ret = PUBLISH_UDP;
	else if (strcmp(text, "unix") == 0)
		*ret = PUBLISH_UNIX;
	else
		return -ENOTSUP;
	return 0;
}

static int decode_protocol(enum forward_request_form form, const char *text,
			   struct forward_request *ret, char *error)
{
	ret->tcp_and_udp = form == FORWARD_REQUEST_V1 && strcmp(text, "tcp+udp") == 0;
	if (ret->tcp_and_udp || forward_protocol_parse(text, &ret->spec.protocol) == 0)
		return 0;
	snprintf(error, FORWARD_REQUEST_ERROR_MAX,
		 "unknown protocol %.*s: \"protocol\" can be tcp (the default), udp%s or unix",
		 SHOWN_MAX, text, form == FORWARD_REQUEST_V1 ? ", tcp+udp" : "");
	return -ENOTSUP;
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

/* Cuts "...:FIRST-LAST" down to "...:FIRST", into `to`; *ret_ports is 1 where there is no range. */
static bool cut_range(const char *text, char to[static PUBLISH_TEXT_MAX], unsigned *ret_ports)
{
	const char *colon = strrchr(text, ':');
	const char *dash = colon ? strchr(colon, '-') : NULL;
	unsigned long first, last;
	char *end;

	snprintf(to, PUBLISH_TEXT_MAX, "%s", text);
	*ret_ports = 1;
	if (!dash)
		return true;
	if (!isdigit((unsigned char)colon[1]) || !isdigit((unsigned char)dash[1]))
		return false;
	first = strtoul(colon + 1, &end, 10);
	if (end != dash)
		return false;
	last = strtoul(dash + 1, &end, 10);
	if (*end || first < 1 || last < first || last > UINT16_MAX)
		return false;
	to[dash - text] = '\0';
	*ret_ports = (unsigned)(last - first + 1);
	return true;
}

static void decode_local(struct json_reader *r, enum forward_request_form form,
			 struct forward_request *ret)
{
	const char *text = json_need_string(r, "local");
	struct publish_spec *spec = &ret->spec;
	char first[PUBLISH_TEXT_MAX];

	if (!json_ok(r))
		return;
	if (spec->protocol == PUBLISH_UNIX) {
		if (!is_sane(text) || text[0] != '/' || strlen(text) >= SOCK_PATH_MAX)
			json_fail(r,
				  "\"local\" is \"%.*s\": expected the whole path of a unix "
				  "socket, of at most %d bytes",
				  SHOWN_MAX, text, SOCK_PATH_MAX - 1);
		else
			strcpy(spec->local_text, text);
		return;
	}
	if (!is_sane(text) || !cut_range(text, first, &ret->ports) ||
	    (form == FORWARD_REQUEST_GVPROXY && ret->ports > 1) ||
	    endpoint_parse(first, true, &spec->local) < 0) {
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

/* "web:80": a guest's name and a port of it. */
static bool parse_named(const char *text, struct publish_spec *spec)
{
	const char *colon = strrchr(text, ':');
	size_t size = colon ? (size_t)(colon - text) : 0;
	bool has_letter = false;

	if (size == 0 || size >= sizeof(spec->guest))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("-._", text[i]))
			return false;
		has_letter |= isalpha((unsigned char)text[i]) != 0;
	}
	/* What has none was meant to be an address. */
	if (!has_letter || endpoint_parse(colon, false, &spec->remote) < 0)
		return false;
	memcpy(spec->guest, text, size);
	spec->guest[size] = '\0';
	return true;
}

static void decode_remote(struct json_reader *r, enum forward_request_form form,
			  struct forward_request *ret)
{
	const char *text = json_need_string(r, "remote"), *endpoint = text;
	struct publish_spec *spec = &ret->spec;
	char first[PUBLISH_TEXT_MAX];
	unsigned ports = 1;
	bool ok;

	if (!json_ok(r))
		return;
	if (spec->protocol == PUBLISH_UNIX &&
	    strncmp(text, UNIX_REMOTE_PREFIX, strlen(UNIX_REMOTE_PREFIX)) == 0)
		endpoint += strlen(UNIX_REMOTE_PREFIX);
	ok = is_sane(text) && cut_range(endpoint, first, &ports) &&
	     (form == FORWARD_REQUEST_V1 || ports == 1) &&
	     (endpoint_parse(first, false, &spec->remote) == 0 ||
	      (form == FORWARD_REQUEST_V1 && parse_named(first, spec)));
	if (!ok)
		json_fail(
			r,
			"\"remote\" is \"%.*s\": expected a guest's ADDRESS:PORT, such as 192.168.65.2:80, or "
			":PORT",
			SHOWN_MAX, text);
	else if (ports > 1 && ports != ret->ports)
		json_fail(
			r,
			"\"local\" and \"remote\" are ranges of %u and %u ports: expected as many",
			ret->ports, ports);
	else if (spec->remote.addr.family != AF_UNSPEC)
		strcpy(spec->remote_text, text);
}

/* Takes a short text of one line. */
static bool take_text(const char *text, char to[static PUBLISH_NAME_MAX])
{
	if (strlen(text) >= PUBLISH_NAME_MAX)
		return false;
	for (const char *at = text; *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return false;
	}
	strcpy(to, text);
	return true;
}

static void decode_text(struct json_reader *r, const char *key, char to[static PUBLISH_NAME_MAX])
{
	if (!take_text(json_get_string(r, key, ""), to))
		json_fail(r, "\"%s\": expected at most %d bytes of text on one line", key,
			  PUBLISH_NAME_MAX - 1);
}

/* One of two values, the first being the default. Returns whether it is the second. */
static bool decode_choice(struct json_reader *r, const char *key, const char *first,
			  const char *second)
{
	const char *text = json_get_string(r, key, first);

	if (strcmp(text, first) != 0 && strcmp(text, second) != 0)
		json_fail(r, "\"%s\" is \"%.*s\": expected \"%s\"%s%s%s", key, SHOWN_MAX, text,
			  second, first[0] ? " or \"" : "", first, first[0] ? "\"" : "");
	return strcmp(text, second) == 0;
}

/* What gvproxy's callers don't say, and who says it to gvproxy is not refused for. */
static void decode_extension(struct json_object *object, struct forward_request *ret)
{
	struct json_object *value;

	if (json_object_object_get_ex(object, "for", &value) &&
	    json_object_is_type(value, json_type_string))
		(void)take_text(json_object_get_string(value), ret->spec.owner.text);
}

static void decode_via(struct json_reader *r, struct publish_spec *spec)
{
	const char *text = json_get_string(r, "via", "");

	if (text[0] && publish_parse_guest(text, &spec->via, spec->via_name) < 0)
		json_fail(r,
			  "\"via\" is \"%.*s\": expected the address or the name of the guest that "
			  "\"remote\" is behind",
			  SHOWN_MAX, text);
}

static void decode_ours(struct json_reader *r, struct forward_request *ret)
{
	static const char *const keys[] = {"local", "remote", "protocol", "source", "proxy",
					   "name",  "for",    "lease",    "via",    NULL};

	json_only_keys(r, keys);
	decode_via(r, &ret->spec);
	if (decode_choice(r, "source", "client", "gateway"))
		ret->spec.source = PUBLISH_SOURCE_GATEWAY;
	ret->spec.proxy_v2 = decode_choice(r, "proxy", "", "v2");
	ret->connection_lease = decode_choice(r, "lease", "", "connection");
	decode_text(r, "name", ret->spec.name);
	decode_text(r, "for", ret->spec.owner.text);
}

int forward_request_read(enum forward_request_form form, struct json_object *object,
			 const char *where, struct forward_request *ret,
			 char error[static FORWARD_REQUEST_ERROR_MAX])
{
	struct forward_request request = {.ports = 1};
	struct json_reader reader = json_reader(object, where);
	const char *protocol = json_get_string(&reader, "protocol", "tcp");
	int r = 0;

	/* Before the addresses: those of other protocols have other forms. */
	if (json_ok(&reader))
		r = decode_protocol(form, protocol, &request, error);
	if (r < 0)
		return r;
	if (form == FORWARD_REQUEST_V1)
		decode_ours(&reader, &request);
	else if (json_ok(&reader))
		decode_extension(object, &request);
	decode_local(&reader, form, &request);
	decode_remote(&reader, form, &request);
	if (!json_ok(&reader)) {
		snprintf(error, FORWARD_REQUEST_ERROR_MAX, "%s", reader.error);
		return -EINVAL;
	}
	*ret = request;
	return 0;
}

static int parse_body(const char *body, size_t size, struct json_object **ret_object,
		      char error[static FORWARD_REQUEST_ERROR_MAX])
{
	char why[128];

	if (json_parse(body, size, ret_object, why, sizeof(why)) == 0)
		return 0;
	snprintf(error, FORWARD_REQUEST_ERROR_MAX, "the request's body is not JSON: %s", why);
	return -EINVAL;
}

int forward_request_decode(enum forward_request_form form, const char *body, size_t size,
			   struct forward_request *ret,
			   char error[static FORWARD_REQUEST_ERROR_MAX])
{
	struct json_object *object;
	int r = parse_body(body, size, &object, error);

	if (r < 0)
		return r;
	r = forward_request_read(form, object, "the request's body", ret, error);
	json_object_put(object);
	return r;
}

int forward_request_decode_removal(const char *body, size_t size, struct publish_spec *ret_spec,
				   char error[static FORWARD_REQUEST_ERROR_MAX])
{
	struct forward_request request = {0};
	struct json_object *object;
	const char *protocol, *local;
	int r = parse_body(body, size, &object, error);

	if (r < 0)
		return r;
	struct json_reader reader = json_reader(object, "the request's body");
	protocol = json_get_string(&reader, "protocol", "tcp");
	local = json_need_string(&reader, "local");
	if (!json_ok(&reader)) {
		snprintf(error, FORWARD_REQUEST_ERROR_MAX, "%s", reader.error);
		r = -EINVAL;
	} else {
		r = decode_protocol(FORWARD_REQUEST_GVPROXY, protocol, &request, error);
	}
	/* Any text will do: it finds what was published under it. Nothing was under a longer one.
	 */
	if (r == 0 && strlen(local) < sizeof(request.spec.local_text))
		strcpy(request.spec.local_text, local);
	decode_extension(object, &request);
	json_object_put(object);
	if (r == 0)
		*ret_spec = request.spec;
	return r;
}

static void add_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

struct json_object *forward_request_encode(enum forward_request_form form,
					   const struct publish_spec *spec)
{
	struct json_object *object = json_object_new_object();
	char via[PUBLISH_NAME_MAX];

	add_text(object, "local", spec->local_text);
	add_text(object, "remote", spec->remote_text);
	add_text(object, "protocol", publish_protocol_text(spec->protocol));
	if (form == FORWARD_REQUEST_GVPROXY)
		return object;
	if (publish_via_text(spec, via)[0])
		add_text(object, "via", via);
	if (spec->source == PUBLISH_SOURCE_GATEWAY)
		add_text(object, "source", "gateway");
	if (spec->proxy_v2)
		add_text(object, "proxy", "v2");
	if (spec->name[0])
		add_text(object, "name", spec->name);
	if (spec->owner.text[0])
		add_text(object, "for", spec->owner.text);
	return object;
}
