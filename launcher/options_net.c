/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of "run": its network. See options_private.h. */
#include "launcher/options_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/option_values.h"

int set_net_device(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	if (strcmp(value, "vhost") == 0)
		o->machine.net_device = MACHINE_NET_DEVICE_VHOST;
	else if (strcmp(value, "stream") == 0)
		o->machine.net_device = MACHINE_NET_DEVICE_STREAM;
	else
		return problem_set(problem, -EINVAL,
				   "-net-device \"%s\": write vhost (netproxy reaches into the "
				   "guest's memory) or stream (QEMU hands over every frame)",
				   value);
	return 0;
}

int set_publish(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	struct machine *m = &o->machine;
	struct machine_publish publish = {.text = NULL};
	int r = publish_parse(value, &publish.parsed, problem);

	if (r < 0)
		return r;
	if (m->publish_count == MACHINE_PUBLISH_MAX)
		return problem_set(
			problem, -E2BIG,
			"-publish \"%s\": that is one too many, at most %d are possible here; "
			"netproxyctl adds more while the machine runs",
			value, MACHINE_PUBLISH_MAX);
	for (size_t i = 0; i < m->publish_count; i++)
		if (publish_conflicts(&publish.parsed, &m->publish[i].parsed))
			return problem_set(
				problem, -EEXIST,
				"-publish \"%s\" and -publish \"%s\" want the same port of "
				"this host: change one of them",
				m->publish[i].text, value);
	r = option_text(&publish.text, "publish", value, problem);
	if (r == 0)
		m->publish[m->publish_count++] = publish;
	return r;
}

int set_mac(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	struct mac mac;

	if (mac_parse(value, &mac) < 0)
		return problem_set(problem, -EINVAL,
				   "-mac \"%s\": write six bytes in hex, such as 52:54:00:12:34:56",
				   value);
	if (mac_is_group(&mac) || mac_equal(&mac, &(struct mac){.bytes = {0}}))
		return problem_set(
			problem, -EINVAL,
			"-mac \"%s\": a network device can't have that address: its first "
			"byte must be even (52 is a good one), and not all be zero",
			value);
	o->machine.mac = mac;
	o->mac_given = true;
	return 0;
}

/* bridged:IF, tap:IF, also with a comma as LinuxKit has it. Returns the interface's name, or NULL
 * when it is something else. */
static const char *interface_of(const char *value, const char *kind)
{
	size_t length = strlen(kind);

	if (strncmp(value, kind, length) != 0 || (value[length] != ':' && value[length] != ','))
		return NULL;
	return value + length + 1;
}

static int set_interface(struct machine *m, enum machine_network network, const char *name,
			 const char *value, struct problem *problem)
{
	if (name[0] == '\0' || strlen(name) >= MACHINE_IF_MAX || strpbrk(name, "/ ,"))
		return problem_set(
			problem, -EINVAL,
			"-networking \"%s\": after the colon comes the name of an interface of "
			"this host, of at most %d characters; \"ip link\" lists them",
			value, MACHINE_IF_MAX - 1);
	strcpy(m->network_if, name);
	m->network = network;
	return 0;
}

/* userspace,SOCKET[,api=SOCKET] */
static int set_shared(struct machine *m, const char *value, struct problem *problem)
{
	const char *socket = value + strlen("userspace,"), *api = strstr(socket, ",api=");
	int r;

	if (socket[0] == '\0' || socket == api)
		return problem_set(
			problem, -EINVAL,
			"-networking \"%s\": the socket's path is missing after the comma", value);
	r = option_text(&m->network_socket, "networking", socket, problem);
	if (r < 0)
		return r;
	m->network = MACHINE_NETWORK_USERSPACE_SHARED;
	m->network_api[0] = '\0';
	if (!api)
		return 0;
	m->network_socket[api - socket] = '\0';
	api += strlen(",api=");
	if (api[0] == '\0' || strlen(api) >= sizeof(m->network_api))
		return problem_set(problem, -EINVAL,
				   "-networking \"%s\": after api= comes the path of netproxy's "
				   "control socket, of at most %zu characters",
				   value, sizeof(m->network_api) - 1);
	strcpy(m->network_api, api);
	return 0;
}

int set_networking(void *target, const char *value, struct problem *problem)
{
	struct machine *m = &((struct run_options *)target)->machine;
	const char *name;

	if (strcmp(value, "userspace") == 0)
		m->network = MACHINE_NETWORK_USERSPACE;
	else if (strcmp(value, "none") == 0)
		m->network = MACHINE_NETWORK_NONE;
	else if (strcmp(value, "user") == 0)
		m->network = MACHINE_NETWORK_USER;
	else if ((name = interface_of(value, "bridged")) || (name = interface_of(value, "bridge")))
		return set_interface(m, MACHINE_NETWORK_BRIDGED, name, value, problem);
	else if ((name = interface_of(value, "tap")))
		return set_interface(m, MACHINE_NETWORK_TAP, name, value, problem);
	else if (strncmp(value, "userspace,", 10) == 0)
		return set_shared(m, value, problem);
	else
		return problem_set(
			problem, -EINVAL,
			"-networking \"%s\": write userspace, userspace,SOCKET (of a netproxy "
			"that runs), user, bridged:BRIDGE, tap:INTERFACE or none",
			value);
	return 0;
}

int set_ip(void *target, const char *value, struct problem *problem)
{
	struct machine *m = &((struct run_options *)target)->machine;
	struct addr ip;

	if (addr_parse(value, &ip) < 0 || ip.family != AF_INET)
		return problem_set(problem, -EINVAL,
				   "-ip \"%s\": write an IPv4 address of the guests' network, such "
				   "as 192.168.65.10",
				   value);
	m->ip = ip;
	return 0;
}

static int add_vsock_port(struct machine *m, const char *word, const char *value,
			  struct problem *problem)
{
	size_t length = strlen(word);
	unsigned long long port = UINT64_MAX;

	if (length > 0 && length <= 10 && strspn(word, DIGITS) == length)
		port = strtoull(word, NULL, 10);
	if (port < 1 || port >= UINT32_MAX)
		return problem_set(problem, -EINVAL,
				   "-vsock-ports \"%s\": numbers from 1 to 4294967294 are wanted, "
				   "with commas between, such as 2374,5000",
				   value);
	for (size_t i = 0; i < m->vsock_port_count; i++)
		if (m->vsock_ports[i] == port)
			return 0;
	if (m->vsock_port_count == MACHINE_VSOCK_PORTS_MAX)
		return problem_set(problem, -E2BIG,
				   "-vsock-ports \"%s\": at most %d ports are possible", value,
				   MACHINE_VSOCK_PORTS_MAX);
	m->vsock_ports[m->vsock_port_count++] = (uint32_t)port;
	return 0;
}

int set_vsock_ports(void *target, const char *value, struct problem *problem)
{
	struct machine *m = &((struct run_options *)target)->machine;
	char *copy = strdup(value), *next = copy;
	int r = copy ? 0 : problem_set(problem, -ENOMEM, "out of memory");

	for (char *word; r == 0 && (word = strsep(&next, ","));)
		r = add_vsock_port(m, word, value, problem);
	free(copy);
	return r;
}
