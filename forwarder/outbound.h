/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own addresses that guests' TCP and UDP leaves from, where the host has many and its
 * routes shall not choose. */
#ifndef FORWARDER_OUTBOUND_H
#define FORWARDER_OUTBOUND_H

#include "base/addr.h"

struct outbound {
	struct addr v4; /* AF_UNSPEC: as the host's routes say */
	struct addr v6;
};

/* The one of that family. */
static inline const struct addr *outbound_of(const struct outbound *outbound, sa_family_t family)
{
	return family == AF_INET6 ? &outbound->v6 : &outbound->v4;
}

#endif
