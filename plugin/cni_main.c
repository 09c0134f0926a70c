/* SPDX-License-Identifier: Apache-2.0 */
/* netproxy-cni: the CNI plugin that publishes a container's ports on the host of the VM it runs in.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/cni_conf.h"
#include "plugin/cni_run.h"

static const char usage[] =
	"netproxy-cni is a CNI plugin; a container runtime starts it, with the command in CNI_COMMAND\n"
	"and the network configuration on standard input. It publishes the container's ports\n"
	"on the host of this VM, and stands in the plugin list after bridge and portmap:\n"
	"\n"
	"  {\"type\": \"netproxy-cni\", \"capabilities\": {\"portMappings\": true}}\n"
	"\n"
	"Its own keys, with their defaults:\n"
	"  \"api\": [\"vsock\", \"gateway\"]   tried in order: vsock, gateway (its port 80),\n"
	"                     unix:/PATH, http://ADDRESS:PORT\n"
	"  \"target\": \"guest\"  to the VM's own port, or \"container\" to that itself; by default\n"
	"                     to the VM's but for ports of a single address of the host\n"
	"  \"vsockPort\": 6565    where netproxy serves its API on the host (CID 2)\n"
	"  \"timeoutMs\": 10000   for all requests of one command together\n"
	"  \"stateDir\": \"/run/netproxy-cni\"\n"
	"\n"
	"See netproxy-cni(8).\n";

/* Reads all of standard input, up to one byte more than is allowed: the decoder refuses that. */
static int read_stdin(char *to, size_t size, size_t *ret_size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = read(STDIN_FILENO, to + have, size - have);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			have += (size_t)n;
	}
	*ret_size = have;
	return 0;
}

static int run_plugin(void)
{
	const struct cni_env env = {
		.command = getenv("CNI_COMMAND"),
		.container_id = getenv("CNI_CONTAINERID"),
		.netns = getenv("CNI_NETNS"),
		.ifname = getenv("CNI_IFNAME"),
	};
	char *text = malloc(CNI_CONF_SIZE_MAX + 1);
	size_t size = 0;

	if (!text)
		abort();
	int r = env.command ? read_stdin(text, CNI_CONF_SIZE_MAX + 1, &size) : 0;
	if (r < 0)
		fprintf(stderr, "netproxy-cni: can't read standard input: %s\n", strerror(-r));
	int status = cni_run(&env, text, size, stdout);
	free(text);
	return status;
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		signal(SIGPIPE, SIG_IGN);
		return run_plugin();
	}
	const char *word = argv[1] + strspn(argv[1], "-");

	if (!strcmp(word, "version") || !strcmp(word, "v")) {
		puts("netproxy-cni " NETPROXY_VERSION);
		return 0;
	}
	if (!strcmp(word, "help") || !strcmp(word, "h")) {
		fputs(usage, stdout);
		return 0;
	}
	fprintf(stderr,
		"netproxy-cni: unknown argument \"%s\": a container runtime starts it without any "
		"(--help tells how)\n",
		argv[1]);
	return 2;
}
