/* SPDX-License-Identifier: Apache-2.0 */
/* What the options say about DHCP: part of struct options. */
#ifndef NETPROXY_OPTIONS_DHCP_H
#define NETPROXY_OPTIONS_DHCP_H

#include "dhcp/dhcp_server.h"

#define OPTIONS_LEASES_PER_GUEST 64

struct options;

struct options_dhcp {
	bool off;                       /* --no-dhcp */
	bool by_id;                     /* an address for each client identifier of a MAC */
	unsigned per_guest_max;         /* addresses; 0: no limit */
	struct addr first, last;        /* the range; AF_UNSPEC: the whole subnet */
	struct dhcp_reservation *hosts; /* owned, as the other arrays */
	unsigned host_count;
	struct dhcp_extra *extras; /* their data owned, too */
	unsigned extra_count;
	struct dhcp_route *routes;
	unsigned route_count;
	struct addr *ntp;
	unsigned ntp_count;
	char boot_file[DHCP_BOOT_FILE_MAX]; /* empty: none */
	struct addr boot_server;            /* AF_UNSPEC: the gateway */
};

/* Fills in what the options say; names to search, callbacks and the rest are the caller's. Borrows
 * from the options. */
void options_dhcp_conf(const struct options *options, struct dhcp_conf *ret_conf);

#endif
