/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's command line, taken apart and checked. Pure, but for a look at which socket is
 * there. */
#ifndef CTL_CTL_ARGS_H
#define CTL_CTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "client/api_client.h"
#include "ctl/ctl.h"

#define CTL_ARGUMENTS_MAX 4 /* the command's name and its own */
#define CTL_ERROR_MAX     512
#define CTL_SIDE_MAX      160 /* one side of a forward */

struct ctl_args {
	const char *arguments[CTL_ARGUMENTS_MAX]; /* borrowed from argv; the first is the command */
	unsigned count;
	const char *api; /* borrowed; NULL: not given */
	unsigned timeout_s;
	bool json;
	const char *source; /* borrowed, as the following; NULL: not given */
	const char *proxy;
	const char *name;
	const char *owner; /* --for */
	const char *via;
	bool udp;
	bool both; /* --both: tcp and udp */
	bool help;
	bool version;
};

/* Returns 0, or -EINVAL with a message. Flags stand anywhere, with one dash or two. */
int ctl_args_parse(int argc, char *const *argv, struct ctl_args *ret_args,
		   char error[static CTL_ERROR_MAX]);

/* Where the API is: what was given, else NETPROXY_API, else the first of netproxy/api.sock in the
 * user's runtime directory and in /run that exists. Returns 0, or -EINVAL with a message. */
int ctl_args_target(const struct ctl_args *args, const struct ctl_env *env,
		    struct api_target *ret_target, char error[static CTL_ERROR_MAX]);

/* LOCAL: "8080", ":8080", "127.0.0.1:8080", "[::1]:8080", the port may be 0, or a range
 * "8000-8009"; or a path. REMOTE: the same with a guest's address or name, without 0 and without
 * paths. Writes what the API takes, ":8080" for "8080". Returns 0, or -EINVAL with a message. */
int ctl_args_local(const char *text, char to[static CTL_SIDE_MAX],
		   char error[static CTL_ERROR_MAX]);
int ctl_args_remote(const char *text, char to[static CTL_SIDE_MAX],
		    char error[static CTL_ERROR_MAX]);
/* The port of that index of a LOCAL that ctl_args_local() wrote, "127.0.0.1:8001" being the second
 * of "127.0.0.1:8000-8009". False when there is none. */
bool ctl_args_port_of(const char *local, unsigned index, char to[static CTL_SIDE_MAX]);

#endif
