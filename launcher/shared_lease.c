/* SPDX-License-Identifier: Apache-2.0 */
/* See shared_lease.h. */
#include "launcher/shared_lease.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sock.h"
#include "client/api_client.h"

#define STATUS_OK        200
#define STATUS_NOT_FOUND 404
#define STATUS_CONFLICT  409

/* Asks for it; *ret_fd is -1 unless the answer is STATUS_OK. Returns the HTTP status with its body
 * in *ret_response, owned, or -errno with a message in `error`. */
static int ask(const struct machine *m, struct http_response *ret_response, int *ret_fd,
	       char error[static API_ERROR_MAX])
{
	struct api_target target = {.transport = API_UNIX};
	char body[ADDR_TEXT_MAX + MAC_TEXT_MAX + 64], address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];
	int r;

	snprintf(target.path, sizeof(target.path), "%s", m->network_api);
	snprintf(body, sizeof(body), "{\"address\":\"%s\",\"mac\":\"%s\",\"lease\":\"connection\"}",
		 addr_format(&m->ip, address), mac_format(&m->mac, mac));
	r = api_request_held(&target, "POST", "/v1/leases/static", body,
			     clock_ms() + SHARED_LEASE_TIMEOUT_MS, ret_response, ret_fd, error);
	return r < 0 ? r : ret_response->status;
}

/* What an answer says is wrong, in one line: its message, or all of it. */
static void read_error(const struct http_response *response, char to[static API_ERROR_MAX])
{
	struct json_object *object, *error, *message;
	char why[64];

	snprintf(to, API_ERROR_MAX, "%.*s", (int)strcspn(response->body, "\r\n"), response->body);
	if (json_parse(response->body, response->body_size, &object, why, sizeof(why)) == 0) {
		if (json_object_object_get_ex(object, "error", &error) &&
		    json_object_object_get_ex(error, "message", &message) &&
		    json_object_is_type(message, json_type_string))
			snprintf(to, API_ERROR_MAX, "%s", json_object_get_string(message));
		json_object_put(object);
	}
	for (char *c = to; *c; c++) {
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
}

int shared_lease_take(const struct machine *machine, int *ret_fd, struct problem *problem)
{
	char said[API_ERROR_MAX], address[ADDR_TEXT_MAX];
	struct http_response response;
	int r, fd = -1;

	*ret_fd = -1;
	if (machine->network != MACHINE_NETWORK_USERSPACE_SHARED || machine->ip.family == AF_UNSPEC)
		return 0;
	addr_format(&machine->ip, address);
	r = ask(machine, &response, &fd, said);
	if (r < 0)
		return problem_set(problem, r, "-ip %s: netproxy at %s doesn't answer: %s", address,
				   machine->network_api, said);
	read_error(&response, said);
	http_response_clear(&response);
	if (r == STATUS_OK) {
		*ret_fd = fd;
		return 0;
	}
	fd_close(&fd);
	if (r == STATUS_NOT_FOUND)
		snprintf(said, sizeof(said), "it is too old to keep addresses");
	return problem_set(problem, r == STATUS_CONFLICT ? -EADDRINUSE : -EINVAL,
			   "-ip %s: the netproxy at %s refuses: %s%s", address,
			   machine->network_api, said,
			   r == STATUS_CONFLICT ? "; \"netproxyctl leases\" and \"netproxyctl "
						  "reservations\" show which are taken"
						: "");
}
