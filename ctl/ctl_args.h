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

struct ctl_args {
	const char *arguments[CTL_ARGUMENTS_MAX]; /* borrowed from argv; the first is the command */
	unsigned count;
	const char *api; /* borrowed; NULL: not given */
	unsigned timeout_s;
	bool json;
	bool udp;
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

/* LOCAL: "8080", ":8080", "127.0.0.1:8080", "[::1]:8080", the port may be 0; REMOTE: the same,
 * without 0. Writes what the API takes, ":8080" for "8080". Returns 0, or -EINVAL with a message.
 */
int ctl_args_local(const char *text, char to[static ENDPOINT_TEXT_MAX],
		   char error[static CTL_ERROR_MAX]);
int ctl_args_remote(const char *text, char to[static ENDPOINT_TEXT_MAX],
		    char error[static CTL_ERROR_MAX]);

#endif
