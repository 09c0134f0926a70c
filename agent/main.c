/* SPDX-License-Identifier: Apache-2.0 */
/* netproxy-agent: netproxy's helper in a guest. It publishes what listens there (agent.c), or
 * carries a network interface (tap.c). */
#include <stdio.h>

#include "agent/agent_options.h"

#define EXIT_CANNOT    1
#define EXIT_USAGE     2
#define EPHEMERAL_FILE "/proc/sys/net/ipv4/ip_local_port_range"

/* Where it can't be told, no port is taken for a client's. */
static void read_ephemeral(struct agent_policy *policy)
{
	FILE *file = fopen(EPHEMERAL_FILE, "re");
	unsigned first, last;

	if (!file)
		return;
	if (fscanf(file, "%5u %5u", &first, &last) == 2 && first <= last && last <= UINT16_MAX) {
		policy->ephemeral_first = (uint16_t)first;
		policy->ephemeral_last = (uint16_t)last;
	}
	fclose(file);
}

int main(int argc, char **argv)
{
	static struct agent_options options;
	char error[AGENT_OPTIONS_ERROR_MAX];
	int r = 0;

	if (agent_options_parse(argc - 1, argv + 1, &options, error) < 0) {
		fprintf(stderr, "netproxy-agent: %s\n", error);
		return EXIT_USAGE;
	}
	switch (options.command) {
	case AGENT_HELP:
		agent_options_print_help();
		break;
	case AGENT_VERSION:
		puts("netproxy-agent " NETPROXY_VERSION);
		break;
	case AGENT_TAP:
		r = tap_run(&options.tap);
		break;
	case AGENT_PUBLISH:
		read_ephemeral(&options.publish.policy);
		r = agent_run(&options.publish);
		break;
	}
	return r < 0 ? EXIT_CANNOT : 0;
}
