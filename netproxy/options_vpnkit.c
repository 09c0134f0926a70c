/* SPDX-License-Identifier: Apache-2.0 */
/* Where VPNKit's port control is served. */
#include <errno.h>
#include <string.h>

#include "netproxy/options_private.h"

int options_apply_vpnkit_port(struct options *options, const char *value,
			      char error[static OPTIONS_ERROR_MAX])
{
	const char *path = strncmp(value, "unix:", 5) == 0 ? value + 5 : value;
	char checked[SOCK_PATH_MAX];
	struct vpnkit_option *to;
	int r;

	if (strcmp(value, "vsock") == 0) {
		options->vpnkit_vsock = true;
		return 0;
	}
	if (path[0] != '/' && path[0] != '.')
		return options_complain(error, value,
					"vsock, or the path of a unix socket, such as /run/port");
	r = options_set_text(checked, sizeof(checked), path, error);
	if (r < 0)
		return r;
	to = options_grow((void **)&options->vpnkits, &options->vpnkit_count, sizeof(*to),
			  OPTIONS_VPNKITS_MAX, error);
	if (!to)
		return -ENOSPC;
	memcpy(to->path, checked, sizeof(to->path));
	return 0;
}
