/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl: the command line of a running netproxy. ctl.c has the table of commands, commands.c
 * what they do. */
#include <signal.h>
#include <stdlib.h>

#include "ctl/ctl.h"

int main(int argc, char **argv)
{
	const struct ctl_env env = {
		.api = getenv("NETPROXY_API"),
		.runtime_dir = getenv("XDG_RUNTIME_DIR"),
	};
	enum ctl_status status;

	signal(SIGPIPE, SIG_IGN);
	status = ctl_run(argc, argv, &env, stdout, stderr);
	if (fflush(stdout) == EOF && status == CTL_OK) {
		fputs("netproxyctl: can't write to standard output\n", stderr);
		status = CTL_FAILED;
	}
	return (int)status;
}
