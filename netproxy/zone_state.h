/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS zones that came by the API, kept over a restart as a section of the state file:
 *
 *	"dns":[{"name":"crc.testing.","default_ip":"10.0.0.9",
 *	        "records":[[{"name":"api","ip":"10.0.0.1"}],[{"regexp":"^x","ip":"10.0.0.2"}]]}]
 *
 * What was given together is in one list, and comes back as it came, oldest first. What the
 * configuration says isn't kept: it is there again at the next start, behind what came by the API,
 * even if that had removed it.
 */
#ifndef NETPROXY_ZONE_STATE_H
#define NETPROXY_ZONE_STATE_H

#include "dns/dns_server.h"
#include "netproxy/state_file.h"

struct zone_state;

/* Takes what the server's zones are now for what the configuration says, and adds those that were
 * kept. Returns 0 with an owned zone_state on the server and the state, which must outlive it, or
 * -errno. */
int zone_state_new(struct dns_server *server, struct state_file *state,
		   struct zone_state **ret_zones);
/* NULL is fine. */
void zone_state_free(struct zone_state *zones);
/* The API has changed a zone. */
void zone_state_changed(struct zone_state *zones);

#endif
