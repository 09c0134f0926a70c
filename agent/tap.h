/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the agent that carries a tap: a network interface in the guest whose frames go by a
 * connection to netproxy's API (POST /connect), for VMs whose hypervisor has no network device that
 * netproxy could be behind.
 */
#ifndef AGENT_TAP_H
#define AGENT_TAP_H

#include <net/if.h>

#include "base/addr.h"
#include "client/api_reach.h"

struct tap_conf {
	struct api_reach reach; /* with the ways, none of them chosen */
	char ifname[IFNAMSIZ];
	bool has_mac;
	struct mac mac;
	unsigned mtu; /* 0: as it is */
};

/* Runs until SIGTERM or SIGINT, connecting again when the connection ends. Returns 0, or -errno
 * when it could not start. */
int tap_run(const struct tap_conf *conf);

#endif
