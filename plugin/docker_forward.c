/* SPDX-License-Identifier: Apache-2.0 */
/* A forward of Docker's, by POST /v1/forwards with a lease of the connection. */
#include "plugin/docker_forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

#define PATH_FORWARDS "/v1/forwards"
#define HTTP_OK       200
#define HTTP_CONFLICT 409
#define OWNER_MAX     80

/* For whom the forward is. dockerd gives a port to one container only, so this names it. */
static const char *owner_text(const struct docker_args *args, char to[static OWNER_MAX])
{
	snprintf(to, OWNER_MAX, "docker %s port %u", args->udp ? "udp" : "tcp", args->host_port);
	return to;
}

static void add_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static struct json_object *make_body(const struct docker_args *args)
{
	struct json_object *body = json_object_new_object();
	struct endpoint local = {args->host_ip, args->host_port},
			remote = {.port = args->host_port};
	char text[ENDPOINT_TEXT_MAX], owner[OWNER_MAX];

	if (addr_is_any(&local.addr))
		local.addr = (struct addr){0};
	add_text(body, "local", endpoint_format(&local, text));
	add_text(body, "remote", endpoint_format(&remote, text));
	add_text(body, "protocol", args->udp ? "udp" : "tcp");
	add_text(body, "for", owner_text(args, owner));
	add_text(body, "lease", "connection");
	return body;
}

/* The answer is a list of what was published, of one. */
static int decode_reply(const struct http_response *response, struct endpoint *ret, char *error)
{
	struct json_object *list;
	char why[128];
	int r = json_parse(response->body, response->body_size, &list, why, sizeof(why));

	if (r < 0)
		return text_fail(error, DOCKER_FORWARD_ERROR_MAX, -EBADMSG,
				 "netproxy's answer is not JSON: %s", why);
	struct json_reader reader = json_reader(json_object_is_type(list, json_type_array)
							? json_object_array_get_idx(list, 0)
							: NULL,
						"netproxy's answer");
	const char *remote = json_need_string(&reader, "remote");
	if (!json_ok(&reader))
		r = text_fail(error, DOCKER_FORWARD_ERROR_MAX, -EBADMSG, "%s", reader.error);
	else if (endpoint_parse(remote, false, ret) < 0)
		r = text_fail(error, DOCKER_FORWARD_ERROR_MAX, -EBADMSG,
			      "netproxy's answer has no address in \"remote\": %.80s", remote);
	json_object_put(list);
	return r;
}

/* Says in `error` what netproxy said. Returns whether the port is another proxy's of the same. */
static bool decode_refusal(const struct http_response *response, const struct docker_args *args,
			   char *error)
{
	struct json_object *object = NULL;
	char why[64], owner[OWNER_MAX];
	bool is_ours = false;

	text_fail(error, DOCKER_FORWARD_ERROR_MAX, 0, "netproxy refused, with HTTP status %d",
		  response->status);
	if (json_parse(response->body, response->body_size, &object, why, sizeof(why)) < 0)
		return false;
	struct json_reader top = json_reader(object, "answer");
	struct json_object *inner = json_get_object(&top, "error");
	if (json_ok(&top) && inner) {
		struct json_reader reader = json_reader(inner, "error");
		const char *message = json_get_string(&reader, "message", "");
		const char *holder = json_get_string(&reader, "holder", "");
		const char *found = strstr(holder, owner_text(args, owner));

		if (json_ok(&reader) && message[0])
			text_fail(error, DOCKER_FORWARD_ERROR_MAX, 0, "%s", message);
		is_ours = response->status == HTTP_CONFLICT && found &&
			  found[strlen(owner)] == '\0';
	}
	json_object_put(object);
	return is_ours;
}

int docker_forward_open(struct api_reach *reach, const struct docker_args *args,
			uint64_t deadline_ms, struct docker_forward *ret,
			char error[static DOCKER_FORWARD_ERROR_MAX])
{
	struct docker_forward forward = {.fd = -1, .guest.port = args->host_port};
	struct http_response response;
	char why[API_REACH_ERROR_MAX];
	int r = api_reach_choose(reach, deadline_ms, why);

	if (r < 0)
		return text_fail(error, DOCKER_FORWARD_ERROR_MAX, r,
				 "netproxy's API can't be reached: %.900s", why);
	struct json_object *body = make_body(args);
	r = api_request_held(&reach->target, "POST", PATH_FORWARDS,
			     json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN),
			     deadline_ms, &response, &forward.fd, why);
	json_object_put(body);
	if (r < 0)
		return text_fail(error, DOCKER_FORWARD_ERROR_MAX, r,
				 "netproxy's API can't be reached: %.900s", why);
	if (response.status == HTTP_OK)
		r = decode_reply(&response, &forward.guest, error);
	else if (!decode_refusal(&response, args, error) || !addr_is_any(&args->host_ip))
		r = -EADDRINUSE;
	http_response_clear(&response);
	if (r < 0)
		fd_close(&forward.fd);
	else
		*ret = forward;
	return r;
}
