/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's requests; see agent_api.h. */
#include "agent/agent_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sock.h"

#define PATH_FORWARDS "/v1/forwards"
#define NAME          "netproxy-agent"
#define BODY_MAX      512
#define PATH_MAX_SIZE 256

struct agent_api {
	struct loop *loop;
	struct agent_api_conf conf;
	struct api_target target;
	agent_api_lost_fn *lost;
	void *arg;
	int fd;
	struct loop_fd *watch;
};

int agent_api_new(struct loop *loop, const struct agent_api_conf *conf, agent_api_lost_fn *lost,
		  void *arg, struct agent_api **ret_api)
{
	struct agent_api *api = calloc(1, sizeof(*api));

	if (!api)
		return -ENOMEM;
	api->loop = loop;
	api->conf = *conf;
	api->lost = lost;
	api->arg = arg;
	api->fd = -1;
	*ret_api = api;
	return 0;
}

/* Closes the connection; `lost` is not called. */
static void close_connection(struct agent_api *api)
{
	loop_fd_free(api->watch);
	api->watch = NULL;
	fd_close(&api->fd);
}

void agent_api_free(struct agent_api *api)
{
	if (!api)
		return;
	close_connection(api);
	free(api);
}

bool agent_api_is_up(const struct agent_api *api)
{
	return api->fd >= 0;
}

/* Nothing comes between the requests but the end. */
static void on_end(void *arg, int fd, unsigned ready)
{
	struct agent_api *api = arg;

	(void)fd;
	(void)ready;
	close_connection(api);
	api->lost(api->arg);
}

int agent_api_connect(struct agent_api *api, char error[static API_REACH_ERROR_MAX])
{
	uint64_t deadline_ms = clock_ms() + AGENT_REQUEST_MS;
	/* Another way may work by now. */
	struct api_reach reach = api->conf.reach;
	int r = api_reach_choose(&reach, deadline_ms, error);

	if (r == 0)
		r = api_connect(&reach.target, deadline_ms, &api->fd, error);
	if (r < 0)
		return r;
	api->target = reach.target;
	r = loop_fd_new(api->loop, api->fd, LOOP_READ, on_end, api, &api->watch);
	if (r < 0) {
		snprintf(error, API_REACH_ERROR_MAX, "%s", strerror(-r));
		close_connection(api);
	}
	return r;
}

/* ---- Requests ---- */

static const char *protocol_of(const struct agent_wanted *wanted)
{
	return wanted->udp ? "udp" : "tcp";
}

static const char *local_of(const struct agent_api *api, const struct agent_wanted *wanted,
			    char to[static ENDPOINT_TEXT_MAX])
{
	const struct endpoint local = {.addr = api->conf.host, .port = wanted->port};

	return endpoint_format(&local, to);
}

static int ask(struct agent_api *api, const char *method, const char *path, const char *json,
	       struct http_response *ret, char *error)
{
	int r;

	if (api->fd < 0) {
		snprintf(error, API_REACH_ERROR_MAX, "there is no connection to netproxy");
		return -ENOTCONN;
	}
	r = api_request_on(api->fd, &api->target, method, path, json, clock_ms() + AGENT_REQUEST_MS,
			   ret, error);
	if (r < 0)
		close_connection(api);
	return r;
}

/* What netproxy says is wrong. */
static void read_error(const struct http_response *response, char error[static API_REACH_ERROR_MAX])
{
	struct json_object *object = NULL, *inner = NULL;
	char why[64];

	snprintf(error, API_REACH_ERROR_MAX, "netproxy answers with status %d", response->status);
	if (json_parse(response->body, response->body_size, &object, why, sizeof(why)) < 0)
		return;
	if (json_object_is_type(object, json_type_object) &&
	    json_object_object_get_ex(object, "error", &inner)) {
		struct json_reader reader = json_reader(inner, "error");
		const char *message = json_get_string(&reader, "message", "");

		if (json_ok(&reader) && message[0])
			snprintf(error, API_REACH_ERROR_MAX, "%.*s", API_ERROR_MAX, message);
	}
	json_object_put(object);
}

int agent_api_publish(struct agent_api *api, const struct agent_wanted *wanted,
		      const struct endpoint *remote, enum publisher_outcome *ret_outcome,
		      char error[static API_REACH_ERROR_MAX])
{
	char body[BODY_MAX], local[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX];
	struct http_response response;
	int r;

	snprintf(body, sizeof(body),
		 "{\"local\":\"%s\",\"remote\":\"%s\",\"protocol\":\"%s\",\"name\":\"" NAME
		 "\",\"for\":\"" NAME "\",\"lease\":\"connection\"}",
		 local_of(api, wanted, local), endpoint_format(remote, to), protocol_of(wanted));
	r = ask(api, "POST", PATH_FORWARDS, body, &response, error);
	if (r < 0)
		return r;
	*ret_outcome = PUBLISHER_OK;
	if (response.status != 200) {
		read_error(&response, error);
		/* A conflict, too many, or no address of ours yet: that passes. */
		*ret_outcome = response.status == 409 || response.status >= 500 ? PUBLISHER_TAKEN
										: PUBLISHER_REFUSED;
	}
	http_response_clear(&response);
	return 0;
}

int agent_api_withdraw(struct agent_api *api, const struct agent_wanted *wanted,
		       char error[static API_REACH_ERROR_MAX])
{
	char path[PATH_MAX_SIZE], local[ENDPOINT_TEXT_MAX];
	struct http_response response;
	int r;

	/* Colons and brackets may stand in a query as they are. */
	snprintf(path, sizeof(path), PATH_FORWARDS "?local=%s&protocol=%s",
		 local_of(api, wanted, local), protocol_of(wanted));
	r = ask(api, "DELETE", path, NULL, &response, error);
	if (r < 0)
		return r;
	/* What is gone already is as good. */
	http_response_clear(&response);
	return 0;
}
