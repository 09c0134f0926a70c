/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's network, against this host: sockets, ports, interfaces and who may use them. See
 * options_private.h. */
#include "launcher/options_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"

/* netproxy's default network, and what in it is netproxy's own. */
#define NET_PREFIX  "192.168.65.0/24"
#define NET_GATEWAY "192.168.65.1"
#define NET_ALIAS   "192.168.65.254"

#define BRIDGE_CONF "/etc/qemu/bridge.conf"

static const char *const bridge_helpers[] = {
	"/usr/lib/qemu/qemu-bridge-helper",
	"/usr/libexec/qemu-bridge-helper",
};

static int check_shared(struct machine *m, struct problem *problem)
{
	const char *slash = strrchr(m->network_socket, '/');
	int fd, r = sock_connect_unix(m->network_socket, SOCK_STREAM, &fd);

	if (r == -ENAMETOOLONG)
		return problem_set(problem, r,
				   "-networking: a socket's path has at most %d characters: %s",
				   SOCK_PATH_MAX - 1, m->network_socket);
	if (r < 0)
		return problem_set(problem, r,
				   "-networking: no netproxy answers at %s (%s): start one with "
				   "\"netproxy --link qemu:%s\"",
				   m->network_socket, strerror(-r), m->network_socket);
	fd_close(&fd);
	if (m->ip.family == AF_UNSPEC)
		return 0;
	/* The API is what gives a fixed address. */
	if (m->network_api[0] == '\0')
		snprintf(m->network_api, sizeof(m->network_api), "%.*sapi.sock",
			 slash ? (int)(slash - m->network_socket) + 1 : 0, m->network_socket);
	r = sock_connect_unix(m->network_api, SOCK_STREAM, &fd);
	if (r < 0)
		return problem_set(
			problem, r,
			"-ip: that netproxy's control socket does not answer at %s (%s): start it "
			"with \"--api unix:%s\", too, or say where it is: -networking "
			"userspace,%s,api=PATH",
			m->network_api, strerror(-r), m->network_api, m->network_socket);
	fd_close(&fd);
	return 0;
}

/* The address on a netproxy of its own, where nobody else is. */
static int check_own_ip(const struct machine *m, struct problem *problem)
{
	static const char *const taken[] = {NET_GATEWAY, NET_ALIAS, "192.168.65.0",
					    "192.168.65.255"};
	char text[ADDR_TEXT_MAX];
	struct prefix prefix;
	struct addr own;

	addr_format(&m->ip, text);
	if (prefix_parse(NET_PREFIX, &prefix) < 0 || !prefix_contains(&prefix, &m->ip))
		return problem_set(problem, -ERANGE,
				   "-ip %s: the guests' network is " NET_PREFIX
				   ": choose an address from 192.168.65.2 to 192.168.65.253",
				   text);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (addr_parse(taken[i], &own) == 0 && addr_equal(&own, &m->ip))
			return problem_set(problem, -EADDRINUSE,
					   "-ip %s: that is the network's own (" NET_GATEWAY
					   " is the gateway, " NET_ALIAS
					   " the host): choose one from 192.168.65.2 to "
					   "192.168.65.253",
					   text);
	return 0;
}

static bool interface_has(const char *name, const char *what)
{
	char path[64 + MACHINE_IF_MAX];

	snprintf(path, sizeof(path), "/sys/class/net/%s%s", name, what);
	return access(path, F_OK) == 0;
}

/* Whether QEMU's helper takes this bridge: a line "allow IF" or "allow all". */
static bool bridge_allowed(const char *name)
{
	FILE *conf = fopen(BRIDGE_CONF, "re");
	char line[256], word[64], value[64];
	bool allowed = false;

	while (conf && fgets(line, sizeof(line), conf)) {
		if (sscanf(line, " %63s %63s", word, value) != 2)
			continue;
		if (strcmp(word, "allow") == 0)
			allowed |= strcmp(value, name) == 0 || strcmp(value, "all") == 0;
		/* Other files of root's are included: let the helper decide. */
		allowed |= strcmp(word, "include") == 0;
	}
	if (conf)
		fclose(conf);
	return allowed;
}

static int check_bridge(const struct machine *m, struct problem *problem)
{
	const char *name = m->network_if, *helper = NULL;
	struct stat st;

	if (!interface_has(name, "/bridge"))
		return problem_set(
			problem, -ENODEV,
			"-networking bridged:%s: this host has no bridge of that name; \"ip link "
			"show type bridge\" lists them, and -networking userspace needs none",
			name);
	for (size_t i = 0; i < sizeof(bridge_helpers) / sizeof(bridge_helpers[0]) && !helper; i++)
		if (access(bridge_helpers[i], X_OK) == 0)
			helper = bridge_helpers[i];
	if (!helper)
		return problem_set(
			problem, -ENOENT,
			"-networking bridged:%s: qemu-bridge-helper is missing: \"apt-get "
			"install qemu-system-common\" brings it",
			name);
	if (geteuid() != 0 && (stat(helper, &st) < 0 || !(st.st_mode & S_ISUID)))
		return problem_set(problem, -EPERM,
				   "-networking bridged:%s: this user may not: make the helper "
				   "set-uid (\"sudo chmod u+s %s\"), or use -networking userspace",
				   name, helper);
	if (!bridge_allowed(name))
		return problem_set(problem, -EPERM,
				   "-networking bridged:%s: " BRIDGE_CONF
				   " doesn't allow that bridge: add the line \"allow %s\" to it",
				   name, name);
	return 0;
}

static int check_tap(const struct machine *m, struct problem *problem)
{
	const char *name = m->network_if;
	char path[64 + MACHINE_IF_MAX];
	FILE *file;
	long owner = -1;

	if (!interface_has(name, "/tun_flags"))
		return problem_set(
			problem, -ENODEV,
			"-networking tap:%s: this host has no tap interface of that name: \"sudo ip "
			"tuntap add %s mode tap user $USER\" makes one",
			name, name);
	snprintf(path, sizeof(path), "/sys/class/net/%s/owner", name);
	file = fopen(path, "re");
	if (file && fscanf(file, "%ld", &owner) != 1)
		owner = -1;
	if (file)
		fclose(file);
	if (geteuid() != 0 && owner != (long)geteuid())
		return problem_set(
			problem, -EPERM,
			"-networking tap:%s: that interface isn't this user's: \"sudo ip "
			"tuntap add NAME mode tap user $USER\" makes one that is",
			name);
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		return problem_set(problem, -errno,
				   "-networking tap:%s: /dev/net/tun can't be opened: %s", name,
				   strerror(errno));
	return 0;
}

int options_check_net(struct run_options *options, struct problem *problem)
{
	struct machine *m = &options->machine;
	int r = 0;

	switch (m->network) {
	case MACHINE_NETWORK_USERSPACE_SHARED:
		r = check_shared(m, problem);
		break;
	case MACHINE_NETWORK_USERSPACE:
		r = m->ip.family == AF_UNSPEC ? 0 : check_own_ip(m, problem);
		break;
	case MACHINE_NETWORK_BRIDGED:
		r = check_bridge(m, problem);
		break;
	case MACHINE_NETWORK_TAP:
		r = check_tap(m, problem);
		break;
	case MACHINE_NETWORK_USER:
	case MACHINE_NETWORK_NONE:
		break;
	}
	for (size_t i = 0; i < m->publish_count && r == 0; i++)
		r = publish_check_free(&m->publish[i].parsed, m->publish[i].text, problem);
	return r;
}
