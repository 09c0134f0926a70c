/* SPDX-License-Identifier: Apache-2.0 */
/* See shared_lease.h. */
#include "launcher/shared_lease.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/api_client.h"

LOG_MODULE("netproxy-vm");

#define STATUS_OK        200
#define STATUS_NOT_FOUND 404

static bool wanted(const struct machine *m)
{
	return m->network == MACHINE_NETWORK_USERSPACE_SHARED && m->ip.family != AF_UNSPEC;
}

/* Sends the request; returns the HTTP status, or -errno, with what was said in `said`. */
static int ask(const struct machine *m, const char *method, char said[static API_ERROR_MAX])
{
	struct api_target target = {.transport = API_UNIX};
	char body[ADDR_TEXT_MAX + MAC_TEXT_MAX + 64], address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];
	struct http_response response;
	int r;

	snprintf(target.path, sizeof(target.path), "%s", m->network_api);
	snprintf(body, sizeof(body), "{\"address\":\"%s\",\"mac\":\"%s\"}",
		 addr_format(&m->ip, address), mac_format(&m->mac, mac));
	r = api_request(&target, method, "/v1/leases/static", body,
			clock_ms() + SHARED_LEASE_TIMEOUT_MS, &response, said);
	if (r < 0)
		return r;
	snprintf(said, API_ERROR_MAX, "%.*s", (int)response.body_size, response.body);
	said[strcspn(said, "\r\n")] = '\0';
	r = response.status;
	http_response_clear(&response);
	return r;
}

int shared_lease_take(const struct machine *machine, struct problem *problem)
{
	char said[API_ERROR_MAX], address[ADDR_TEXT_MAX];
	int r;

	if (!wanted(machine))
		return 0;
	r = ask(machine, "POST", said);
	if (r == STATUS_OK)
		return 0;
	if (r == STATUS_NOT_FOUND)
		snprintf(said, sizeof(said), "it is too old to give addresses");
	return problem_set(problem, r < 0 ? r : -EADDRINUSE,
			   "-ip %s: netproxy at %s refuses it: %s; \"netproxyctl leases\" shows "
			   "which are taken",
			   addr_format(&machine->ip, address), machine->network_api, said);
}

void shared_lease_drop(const struct machine *machine)
{
	char said[API_ERROR_MAX];

	if (wanted(machine) && ask(machine, "DELETE", said) != STATUS_OK)
		log_debug("the static lease is still there: %s", said);
}
