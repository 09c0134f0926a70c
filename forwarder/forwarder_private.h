/* SPDX-License-Identifier: Apache-2.0 */
/* What publish.c, dial.c and flow_list.c need of the forwarder beyond its public face. */
#ifndef FORWARDER_FORWARDER_PRIVATE_H
#define FORWARDER_FORWARDER_PRIVATE_H

#include "forwarder/flow_icmp.h"
#include "forwarder/flow_tcp.h"
#include "forwarder/flow_udp.h"
#include "forwarder/forwarder.h"

struct flow_tcp_table *forwarder_tcp(struct forwarder *forwarder);
struct flow_udp_table *forwarder_udp(struct forwarder *forwarder);
struct flow_icmp_table *forwarder_icmp(struct forwarder *forwarder);

#endif
