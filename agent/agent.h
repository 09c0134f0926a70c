/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the agent that publishes: it looks at what listens, and keeps netproxy's forwards the
 * same. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/agent_api.h"
#include "agent/agent_policy.h"

#define AGENT_INTERVAL_MS 1000

struct agent_conf {
	struct agent_api_conf api;
	struct agent_policy policy;
	uint32_t interval_ms; /* between two looks */
};

/* Runs until SIGTERM or SIGINT. Returns 0, or -errno when it could not start. */
int agent_run(const struct agent_conf *conf);

#endif
