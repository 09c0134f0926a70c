/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's commands; ctl.c has the table of them. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "ctl/ctl_request.h"

typedef enum ctl_status ctl_command_fn(const struct ctl *ctl);

ctl_command_fn command_expose, command_unexpose, command_ports, command_leases, command_guests,
	command_links, command_policy, command_stats, command_version, command_flows,
	command_events, command_pcap, command_top, command_reserve, command_unreserve,
	command_reservations;

#endif
