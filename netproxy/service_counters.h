/* SPDX-License-Identifier: Apache-2.0 */
/* What DNS and DHCP have counted, under the names that the API's metrics give it. */
#ifndef NETPROXY_SERVICE_COUNTERS_H
#define NETPROXY_SERVICE_COUNTERS_H

#include "api/api.h"
#include "netproxy/services.h"

/* Visits all of it; see api_backend.counters. */
void service_counters_visit(struct services *services, api_counter_fn *fn, void *visitor);

#endif
