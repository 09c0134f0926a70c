/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of a DHCP configuration, with messages for the user. Internal to dhcp/. */
#ifndef DHCP_DHCP_CONF_H
#define DHCP_DHCP_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "dhcp/dhcp_server.h"

/* Returns 0, or -EINVAL with the reason in `error`. Static leases are checked as they are added. */
int dhcp_conf_check(const struct dhcp_conf *conf, char *error, size_t error_size);

/* Whether a client could have this address: a host address of the subnet, not the gateway's or the
 * host alias'. */
bool dhcp_conf_leasable(const struct dhcp_conf *conf, const struct addr *address);

#endif
