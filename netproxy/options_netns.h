/* SPDX-License-Identifier: Apache-2.0 */
/* What the options say about a network namespace as the guest: part of struct options. */
#ifndef NETPROXY_OPTIONS_NETNS_H
#define NETPROXY_OPTIONS_NETNS_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/sock.h"

#define OPTIONS_NETNS_PATH_MAX   4096
#define OPTIONS_NETNS_IFNAME_MAX 16

struct netns_option {
	char netns[OPTIONS_NETNS_PATH_MAX]; /* "": none */
	char ifname[OPTIONS_NETNS_IFNAME_MAX];
	bool configure; /* set it up, and not only attach to it */
	struct mac mac; /* of the tap; set by options_finish_netns() to a random one by default */
	bool mac_given;
	struct addr address;  /* AF_UNSPEC until options_finish_netns(): the first guest's */
	struct addr address6; /* ... with the same number */
	char resolv_out[OPTIONS_NETNS_PATH_MAX]; /* "": nowhere */
	int ready_fd;                            /* -1: none */
	int exit_fd;                             /* -1: none */
	bool sandbox;
	bool seccomp;
	char slirp4netns_api[SOCK_PATH_MAX]; /* "": none */
};

#endif
