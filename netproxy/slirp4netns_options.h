/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netproxy in slirp4netns' place: called by that name, it takes slirp4netns' command line (of
 * version 1.2.0) and has its addresses: .2 of the network is the gateway and the host's loopback,
 * .3 answers DNS, .100 is the namespace. All of it is said in netproxy's own options.
 */
#ifndef NETPROXY_SLIRP4NETNS_OPTIONS_H
#define NETPROXY_SLIRP4NETNS_OPTIONS_H

#include <stdbool.h>

#include "netproxy/options.h"

/* Whether a program of that name is to be slirp4netns. */
bool slirp4netns_is_name(const char *argv0);

/* As options_parse(), for slirp4netns' command line. */
enum options_result slirp4netns_options_parse(int argc, char **argv, struct options *ret_options,
					      char error[static OPTIONS_ERROR_MAX]);

#endif
