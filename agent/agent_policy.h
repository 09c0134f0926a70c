/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the things that listen are published, and under which of their addresses. Pure. */
#ifndef AGENT_AGENT_POLICY_H
#define AGENT_AGENT_POLICY_H

#include "agent/listeners.h"

#define AGENT_RULES_MAX  64
#define AGENT_WANTED_MAX 1024

/* Ports of TCP, UDP, or both: "8080", "tcp:8000-8999". */
struct agent_rule {
	bool tcp;
	bool udp;
	uint16_t first, last;
};

struct agent_rules {
	unsigned count;
	struct agent_rule at[AGENT_RULES_MAX];
};

struct agent_policy {
	bool tcp;
	bool udp;
	bool privileged;            /* ports below 1024, too */
	bool loopback;              /* what listens on the loopback only, too: by a relay, TCP */
	struct agent_rules include; /* if there are any: these ports only, and these in any case */
	struct agent_rules exclude; /* wins */
	/* Ports that the kernel gives to clients: a UDP socket bound to one of them is most likely
	 * no service. 0: none are known. */
	uint16_t ephemeral_first, ephemeral_last;
};

/* A port that is to be published. */
struct agent_wanted {
	bool udp;
	bool relay; /* it listens on the loopback only */
	uint16_t port;
	struct addr remote; /* AF_UNSPEC: this machine's IPv4 address, whichever it is */
};

/* Reads a rule. Returns 0 or -EINVAL. */
int agent_rule_parse(const char *text, struct agent_rule *ret);

/*
 * Decides. Where several sockets listen at one port, the one that is reached by most counts. `own6`
 * is this machine's address for sockets that take IPv6 only, or AF_UNSPEC. The listeners are
 * sorted. Returns how many are wanted, sorted; more than AGENT_WANTED_MAX are cut off.
 */
size_t agent_policy_apply(const struct agent_policy *policy, struct listeners *listeners,
			  const struct addr *own6, struct agent_wanted to[static AGENT_WANTED_MAX]);

#endif
