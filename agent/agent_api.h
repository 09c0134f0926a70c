/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's connection to netproxy's API, on which all its forwards hang: they end with it,
 * whatever happens to the agent. It is made when it is needed, by the first way that works, and a
 * request blocks for AGENT_REQUEST_MS at most; what the agent does besides has netproxy at its
 * other end, too.
 */
#ifndef AGENT_AGENT_API_H
#define AGENT_AGENT_API_H

#include "agent/publisher.h"
#include "base/loop.h"
#include "client/api_reach.h"

#define AGENT_REQUEST_MS 5000

struct agent_api_conf {
	struct api_reach reach; /* with the ways, none of them chosen */
	struct addr host;       /* where the host listens; AF_UNSPEC: on all addresses */
};

struct agent_api;

/* The connection has ended, and the forwards with it. */
typedef void agent_api_lost_fn(void *arg);

int agent_api_new(struct loop *loop, const struct agent_api_conf *conf, agent_api_lost_fn *lost,
		  void *arg, struct agent_api **ret_api);
/* Ends the connection. NULL is fine. */
void agent_api_free(struct agent_api *api);

/* Whether there is a connection. */
bool agent_api_is_up(const struct agent_api *api);
/* Makes it. Returns 0, or -errno with a message. */
int agent_api_connect(struct agent_api *api, char error[static API_REACH_ERROR_MAX]);

/*
 * Publishes a port, or takes it back; `remote` is where it leads, a port of this machine's.
 * Returns 0 with what came of it, and a message unless that is PUBLISHER_OK; or -errno with a
 * message when the connection has ended.
 */
int agent_api_publish(struct agent_api *api, const struct agent_wanted *wanted,
		      const struct endpoint *remote, enum publisher_outcome *ret_outcome,
		      char error[static API_REACH_ERROR_MAX]);
int agent_api_withdraw(struct agent_api *api, const struct agent_wanted *wanted,
		       char error[static API_REACH_ERROR_MAX]);

#endif
