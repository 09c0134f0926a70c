/* SPDX-License-Identifier: Apache-2.0 */
/* slirp4netns' API requests; see slirp4netns_request.h. The texts are slirp4netns' own: clients
 * show them to people. */
#include "netproxy/slirp4netns_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define ERROR_MAX 512

/* ---- JSON ---- */

struct json_object *slirp4netns_request_parse(const char *text, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	struct json_object *object;

	if (!tokener)
		return NULL;
	object = json_tokener_parse_ex(tokener, text, (int)size);
	/* A number may go on: without an end it is no whole value, but nor is it a request. */
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

struct json_object *slirp4netns_request_error(const char *text)
{
	struct json_object *answer = json_object_new_object();
	struct json_object *error = json_object_new_object();
	char description[ERROR_MAX + 16];

	snprintf(description, sizeof(description), "bad request: %s", text);
	json_object_object_add(error, "desc", json_object_new_string(description));
	json_object_object_add(answer, "error", error);
	return answer;
}

static struct json_object *result(struct json_object *value)
{
	struct json_object *answer = json_object_new_object();

	json_object_object_add(answer, "return", value);
	return answer;
}

/* NULL: absent, or no string without NUL characters. */
static const char *get_text(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string) ||
	    strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
		return NULL;
	return json_object_get_string(value);
}

/* 0: absent, or no number within 1 and `max`. */
static int64_t get_number(struct json_object *object, const char *key, int64_t max)
{
	struct json_object *value;
	int64_t number;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return 0;
	number = json_object_get_int64(value);
	return number >= 1 && number <= max ? number : 0;
}

/* ---- Forwards ---- */

static const char *proto_text(enum publish_protocol protocol)
{
	return protocol == PUBLISH_UDP ? "udp" : "tcp";
}

/* An IPv4 address as text; absent and empty stand for `fallback`. */
static bool read_address(struct json_object *arguments, const char *key, const char *fallback,
			 char to[static ADDR_TEXT_MAX])
{
	const char *text = get_text(arguments, key);
	struct addr addr;

	if (!text && json_object_object_get(arguments, key))
		return false;
	if (!text || !*text)
		text = fallback;
	if (strlen(text) >= ADDR_TEXT_MAX || addr_parse(text, &addr) < 0 || addr.family != AF_INET)
		return false;
	strcpy(to, text);
	return true;
}

/* Returns NULL, or the name of the argument that is bad. */
static const char *read_forward(struct json_object *arguments, const struct addr *guest,
				struct slirp4netns_forward *ret)
{
	const char *proto = get_text(arguments, "proto");
	char guest_text[ADDR_TEXT_MAX];

	if (!proto || (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0))
		return "proto";
	ret->protocol = strcmp(proto, "udp") == 0 ? PUBLISH_UDP : PUBLISH_TCP;
	if (!read_address(arguments, "host_addr", "0.0.0.0", ret->host_addr))
		return "host_addr";
	ret->host_port = (uint16_t)get_number(arguments, "host_port", UINT16_MAX);
	if (!ret->host_port)
		return "host_port";
	if (!read_address(arguments, "guest_addr", addr_format(guest, guest_text), ret->guest_addr))
		return "guest_addr";
	ret->guest_port = (uint16_t)get_number(arguments, "guest_port", UINT16_MAX);
	return ret->guest_port ? NULL : "guest_port";
}

static void fill_spec(const struct slirp4netns_forwards *forwards,
		      const struct slirp4netns_forward *forward, struct publish_spec *ret)
{
	*ret = (struct publish_spec){
		.protocol = forward->protocol,
		.local.port = forward->host_port,
		.remote.port = forward->guest_port,
		.owner = {.kind = PUBLISH_OWNER_HOST, .text = "slirp4netns"},
	};
	/* Both were read before. */
	addr_parse(forward->host_addr, &ret->local.addr);
	addr_parse(forward->guest_addr, &ret->remote.addr);
	if (addr_is_any(&ret->remote.addr))
		ret->remote.addr = forwards->guest;
	snprintf(ret->local_text, sizeof(ret->local_text), "%s:%u", forward->host_addr,
		 forward->host_port);
}

static struct json_object *add_forward(struct slirp4netns_forwards *forwards,
				       struct json_object *arguments)
{
	struct slirp4netns_forward forward = {0}, *grown;
	const char *bad = read_forward(arguments, &forwards->guest, &forward);
	struct publish_failure failure = {0};
	struct publish_spec spec;
	struct json_object *id;
	char error[ERROR_MAX];
	int r = -ENOSPC;

	if (bad) {
		snprintf(error, sizeof(error), "add_hostfwd: bad arguments.%s", bad);
		return slirp4netns_request_error(error);
	}
	fill_spec(forwards, &forward, &spec);
	grown = forwards->count == SLIRP4NETNS_FORWARDS_MAX
			? NULL
			: realloc(forwards->entries, (forwards->count + 1) * sizeof(*grown));
	if (grown) {
		forwards->entries = grown;
		r = publish_add(forwards->publish, &spec, 1, 0, &failure);
	}
	if (r == -EEXIST)
		r = -EADDRINUSE; /* by another of ours */
	if (r < 0) {
		snprintf(error, sizeof(error), "add_hostfwd: slirp_add_hostfwd failed: %s/%s: %s",
			 spec.local_text, proto_text(forward.protocol),
			 failure.why[0] ? failure.why : strerror(-r));
		return slirp4netns_request_error(error);
	}
	forward.id = ++forwards->last_id;
	forwards->entries[forwards->count++] = forward;
	id = json_object_new_object();
	json_object_object_add(id, "id", json_object_new_int64(forward.id));
	return result(id);
}

static struct json_object *list_forwards(struct slirp4netns_forwards *forwards)
{
	struct json_object *answer = json_object_new_object();
	struct json_object *entries = json_object_new_array();

	for (unsigned i = 0; i < forwards->count; i++) {
		const struct slirp4netns_forward *forward = &forwards->entries[i];
		struct json_object *entry = json_object_new_object();

		json_object_object_add(entry, "id", json_object_new_int64(forward->id));
		json_object_object_add(entry, "proto",
				       json_object_new_string(proto_text(forward->protocol)));
		json_object_object_add(entry, "host_addr",
				       json_object_new_string(forward->host_addr));
		json_object_object_add(entry, "host_port", json_object_new_int(forward->host_port));
		json_object_object_add(entry, "guest_addr",
				       json_object_new_string(forward->guest_addr));
		json_object_object_add(entry, "guest_port",
				       json_object_new_int(forward->guest_port));
		json_object_array_add(entries, entry);
	}
	json_object_object_add(answer, "entries", entries);
	return answer;
}

static struct json_object *remove_forward(struct slirp4netns_forwards *forwards,
					  struct json_object *arguments)
{
	int64_t id = get_number(arguments, "id", INT64_MAX);

	for (unsigned i = 0; i < forwards->count; i++) {
		struct publish_spec spec;

		if (forwards->entries[i].id != id)
			continue;
		fill_spec(forwards, &forwards->entries[i], &spec);
		/* Somebody else may have ended it, through the other API: it has gone either way.
		 */
		publish_remove(forwards->publish, spec.local_text, spec.protocol, &spec.owner);
		forwards->count--;
		memmove(&forwards->entries[i], &forwards->entries[i + 1],
			(forwards->count - i) * sizeof(forwards->entries[0]));
		return result(json_object_new_object());
	}
	return slirp4netns_request_error("remove_hostfwd: bad arguments.id");
}

void slirp4netns_forwards_destroy(struct slirp4netns_forwards *forwards)
{
	free(forwards->entries);
	forwards->entries = NULL;
	forwards->count = 0;
}

/* ---- Requests ---- */

static struct json_object *execute(struct slirp4netns_forwards *forwards,
				   struct json_object *request)
{
	const char *what = get_text(request, "execute");
	struct json_object *arguments = NULL;

	if (!json_object_is_type(request, json_type_object))
		return slirp4netns_request_error("json_object() failed");
	if (!what)
		return slirp4netns_request_error("no execute found");
	json_object_object_get_ex(request, "arguments", &arguments);
	if (strcmp(what, "add_hostfwd") == 0)
		return add_forward(forwards, arguments);
	if (strcmp(what, "list_hostfwd") == 0)
		return list_forwards(forwards);
	if (strcmp(what, "remove_hostfwd") == 0)
		return remove_forward(forwards, arguments);
	return slirp4netns_request_error("unknown execute");
}

struct json_object *slirp4netns_request_answer(struct slirp4netns_forwards *forwards,
					       const char *text, size_t size)
{
	struct json_object *request = slirp4netns_request_parse(text, size);
	struct json_object *answer;

	if (!request)
		return slirp4netns_request_error("cannot parse JSON");
	answer = execute(forwards, request);
	json_object_put(request);
	return answer;
}
