/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's command line. */
#ifndef AGENT_AGENT_OPTIONS_H
#define AGENT_AGENT_OPTIONS_H

#include "agent/agent.h"
#include "agent/tap.h"

#define AGENT_OPTIONS_ERROR_MAX 256

enum agent_command {
	AGENT_PUBLISH,
	AGENT_TAP,
	AGENT_HELP,
	AGENT_VERSION,
};

struct agent_options {
	enum agent_command command;
	uint32_t vsock_port;
	unsigned way_count;
	const char *ways[API_REACH_MAX]; /* borrowed from the arguments */
	struct agent_conf publish;
	struct tap_conf tap;
};

/* Reads the arguments behind the program's name. Returns 0, or -EINVAL with a message. */
int agent_options_parse(int argc, char **argv, struct agent_options *ret,
			char error[static AGENT_OPTIONS_ERROR_MAX]);
void agent_options_print_help(void);

#endif
