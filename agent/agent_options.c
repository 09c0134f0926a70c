/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's options, in one table; see agent_options.h. */
#include "agent/agent_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/nearest.h"

#define VSOCK_PORT   6565
#define INTERVAL_MIN 50
#define INTERVAL_MAX 3600000
#define MTU_MIN      576
#define MTU_MAX      65521

typedef int apply_fn(struct agent_options *options, const char *value);

static int parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret)
{
	unsigned long number;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || *end || number < min || number > max)
		return -EINVAL;
	*ret = number;
	return 0;
}

static int apply_api(struct agent_options *options, const char *value)
{
	struct api_reach probe = {0};

	if (api_reach_add(&probe, value, VSOCK_PORT) < 0 || options->way_count == API_REACH_MAX)
		return -EINVAL;
	options->ways[options->way_count++] = value;
	return 0;
}

static int apply_vsock_port(struct agent_options *options, const char *value)
{
	unsigned long number;
	int r = parse_number(value, 1, UINT32_MAX - 1, &number);

	if (r == 0)
		options->vsock_port = (uint32_t)number;
	return r;
}

static int apply_log_level(struct agent_options *options, const char *value)
{
	(void)options;
	return log_set_levels(value);
}

static int apply_interval(struct agent_options *options, const char *value)
{
	unsigned long number;
	int r = parse_number(value, INTERVAL_MIN, INTERVAL_MAX, &number);

	if (r == 0)
		options->publish.interval_ms = (uint32_t)number;
	return r;
}

static int apply_host_address(struct agent_options *options, const char *value)
{
	if (strcmp(value, "any") == 0) {
		options->publish.api.host = (struct addr){.family = AF_UNSPEC};
		return 0;
	}
	return addr_parse(value, &options->publish.api.host);
}

static int add_rule(struct agent_rules *rules, const char *value)
{
	if (rules->count == AGENT_RULES_MAX)
		return -ENOSPC;
	if (agent_rule_parse(value, &rules->at[rules->count]) < 0)
		return -EINVAL;
	rules->count++;
	return 0;
}

static int apply_include(struct agent_options *options, const char *value)
{
	return add_rule(&options->publish.policy.include, value);
}

static int apply_exclude(struct agent_options *options, const char *value)
{
	return add_rule(&options->publish.policy.exclude, value);
}

static int apply_protocol(struct agent_options *options, const char *value)
{
	bool both = strcmp(value, "tcp+udp") == 0;
	bool tcp = both || strcmp(value, "tcp") == 0;
	bool udp = both || strcmp(value, "udp") == 0;

	if (!tcp && !udp)
		return -EINVAL;
	options->publish.policy.tcp = tcp;
	options->publish.policy.udp = udp;
	return 0;
}

static int apply_privileged(struct agent_options *options, const char *value)
{
	(void)value;
	options->publish.policy.privileged = true;
	return 0;
}

static int apply_loopback(struct agent_options *options, const char *value)
{
	(void)value;
	options->publish.policy.loopback = true;
	return 0;
}

static int apply_ifname(struct agent_options *options, const char *value)
{
	size_t size = strlen(value);

	if (size == 0 || size >= sizeof(options->tap.ifname) || strchr(value, '/') ||
	    strchr(value, '%'))
		return -EINVAL;
	memcpy(options->tap.ifname, value, size + 1);
	return 0;
}

static int apply_mac(struct agent_options *options, const char *value)
{
	if (mac_parse(value, &options->tap.mac) < 0 || mac_is_group(&options->tap.mac))
		return -EINVAL;
	options->tap.has_mac = true;
	return 0;
}

static int apply_mtu(struct agent_options *options, const char *value)
{
	unsigned long number;
	int r = parse_number(value, MTU_MIN, MTU_MAX, &number);

	if (r == 0)
		options->tap.mtu = (unsigned)number;
	return r;
}

enum { PUBLISH = 1 << AGENT_PUBLISH, TAP = 1 << AGENT_TAP };

static const struct {
	const char *name;
	const char *value; /* NULL: a switch */
	unsigned commands;
	apply_fn *apply;
	const char *expected; /* for messages */
	const char *help;
} defs[] = {
	/* clang-format off */
	{"api", "WAY", PUBLISH | TAP, apply_api,
	 "at most 4 of vsock, gateway, unix:PATH or http://ADDRESS[:PORT]",
	 "How netproxy is reached (many, tried in order; default vsock, then gateway): vsock is\n"
	 "the host by vsock, gateway is port 80 of the default route's router; or unix:PATH,\n"
	 "http://ADDRESS[:PORT]. A tap takes vsock only, by default."},
	{"vsock-port", "N", PUBLISH | TAP, apply_vsock_port, "a number of 1 or more",
	 "The vsock port (default 6565)."},
	{"host-address", "ADDRESS|any", PUBLISH, apply_host_address,
	 "an address of the host, such as 127.0.0.1, or any",
	 "Where the host listens (default 127.0.0.1)."},
	{"include", "[tcp:|udp:]PORT[-LAST]", PUBLISH, apply_include,
	 "at most 64 of PORT, FIRST-LAST, tcp:PORT or udp:PORT",
	 "Publish these ports only (many), also those that are left out by default: ports below\n"
	 "1024, UDP ports that the kernel gives to clients, and those of DHCP's clients."},
	{"exclude", "[tcp:|udp:]PORT[-LAST]", PUBLISH, apply_exclude,
	 "at most 64 of PORT, FIRST-LAST, tcp:PORT or udp:PORT",
	 "Don't publish these (many)."},
	{"privileged", NULL, PUBLISH, apply_privileged, NULL, "Publish ports below 1024, too."},
	{"loopback", NULL, PUBLISH, apply_loopback, NULL,
	 "Publish also TCP ports that listen on this machine's loopback only, by a relay."},
	{"protocol", "tcp|udp|tcp+udp", PUBLISH, apply_protocol, "tcp, udp or tcp+udp",
	 "What is published (default tcp+udp)."},
	{"interval", "MS", PUBLISH, apply_interval, "50 to 3600000 milliseconds",
	 "How often to look for what listens (default 1000)."},
	{"ifname", "NAME", TAP, apply_ifname, "a name of at most 15 characters",
	 "What the interface is called (default tap0)."},
	{"mac", "MAC", TAP, apply_mac, "a MAC address, such as 52:54:00:12:34:56",
	 "Its MAC address (default: a random one)."},
	{"mtu", "BYTES", TAP, apply_mtu, "576 to 65521", "Its MTU (default 1500)."},
	{"log-level", "LEVEL", PUBLISH | TAP, apply_log_level, "error, warn, info or debug",
	 "error, warn, info (default) or debug."},
	/* clang-format on */
};

#define DEF_COUNT (sizeof(defs) / sizeof(defs[0]))

static int complain(char error[static AGENT_OPTIONS_ERROR_MAX], const char *format,
		    const char *name, const char *value)
{
	char shown[64];

	snprintf(shown, sizeof(shown), "%s", value);
	snprintf(error, AGENT_OPTIONS_ERROR_MAX, format, name, shown);
	return -EINVAL;
}

static int unknown_option(const char *argument, const char *name, size_t size,
			  char error[static AGENT_OPTIONS_ERROR_MAX])
{
	struct nearest nearest;

	nearest_begin(&nearest, name, size);
	for (size_t i = 0; i < DEF_COUNT; i++)
		nearest_offer(&nearest, defs[i].name, NULL);
	return nearest.name ? complain(error, "unknown option %s: did you mean --%s?", argument,
				       nearest.name)
			    : complain(error, "unknown option %s%s; see --help", argument, "");
}

/* One option; *index is left at the last argument that it has taken. */
static int parse_option(int argc, char **argv, int *index, struct agent_options *options,
			char error[static AGENT_OPTIONS_ERROR_MAX])
{
	const char *argument = argv[*index];
	const char *name = argument + (argument[1] == '-' ? 2 : 1);
	const char *equals = strchr(name, '=');
	size_t size = equals ? (size_t)(equals - name) : strlen(name);
	const char *value = equals ? equals + 1 : NULL;

	for (size_t i = 0; i < DEF_COUNT; i++) {
		if (strlen(defs[i].name) != size || strncmp(defs[i].name, name, size) != 0)
			continue;
		if (!(defs[i].commands & 1u << options->command))
			return complain(error, "--%s doesn't go with the command %s", defs[i].name,
					options->command == AGENT_TAP ? "tap" : "publish");
		if (!defs[i].value && value)
			return complain(error, "--%s takes no value, and got \"%s\"", defs[i].name,
					value);
		if (defs[i].value && !value && ++*index < argc)
			value = argv[*index];
		if (defs[i].value && !value)
			return complain(error, "--%s needs a value: %s", defs[i].name,
					defs[i].expected);
		if (defs[i].apply(options, value) == 0)
			return 0;
		snprintf(error, AGENT_OPTIONS_ERROR_MAX, "--%s: \"%.60s\" given, expected %s",
			 defs[i].name, value, defs[i].expected);
		return -EINVAL;
	}
	return unknown_option(argument, name, size, error);
}

static void finish(struct agent_options *options)
{
	static const char *const usual[] = {"vsock", "gateway"};
	unsigned usual_count = options->command == AGENT_TAP ? 1 : 2;
	struct api_reach reach = {0};

	if (options->way_count == 0) {
		for (unsigned i = 0; i < usual_count; i++)
			options->ways[options->way_count++] = usual[i];
	}
	/* They have been checked. */
	for (unsigned i = 0; i < options->way_count; i++)
		(void)api_reach_add(&reach, options->ways[i], options->vsock_port);
	options->publish.api.reach = reach;
	options->tap.reach = reach;
}

int agent_options_parse(int argc, char **argv, struct agent_options *ret,
			char error[static AGENT_OPTIONS_ERROR_MAX])
{
	struct agent_options options = {
		.vsock_port = VSOCK_PORT,
		.publish = {.interval_ms = AGENT_INTERVAL_MS, .policy = {.tcp = true, .udp = true}},
		.tap = {.ifname = "tap0"},
	};
	int first = 0;

	options.publish.api.host = addr_from_v4(INADDR_LOOPBACK);
	if (argc > 0 && argv[0][0] != '-') {
		if (strcmp(argv[0], "tap") == 0)
			options.command = AGENT_TAP;
		else if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "version") == 0)
			options.command = argv[0][0] == 'h' ? AGENT_HELP : AGENT_VERSION;
		else if (strcmp(argv[0], "publish") != 0)
			return complain(error, "unknown command %s%s: expected publish or tap",
					argv[0], "");
		first = 1;
	}
	for (int i = first; i < argc; i++) {
		const char *bare = argv[i] + strspn(argv[i], "-");
		int r;

		if (argv[i][0] == '-' &&
		    (strcmp(bare, "help") == 0 || strcmp(bare, "version") == 0 ||
		     strcmp(bare, "h") == 0 || strcmp(bare, "v") == 0)) {
			options.command = bare[0] == 'h' ? AGENT_HELP : AGENT_VERSION;
			break;
		}
		if (argv[i][0] != '-')
			return complain(error, "unexpected argument %s%s; see --help", argv[i], "");
		r = parse_option(argc, argv, &i, &options, error);
		if (r < 0)
			return r;
	}
	finish(&options);
	*ret = options;
	return 0;
}

static void print_options(unsigned commands)
{
	for (size_t i = 0; i < DEF_COUNT; i++) {
		if (defs[i].commands != commands)
			continue;
		printf("  --%s%s%s\n", defs[i].name, defs[i].value ? " " : "",
		       defs[i].value ? defs[i].value : "");
		for (const char *text = defs[i].help; *text;) {
			int size = (int)strcspn(text, "\n");

			printf("        %.*s\n", size, text);
			text += size + (text[size] != '\0');
		}
	}
}

void agent_options_print_help(void)
{
	printf("usage: netproxy-agent [publish] [options]\n"
	       "       netproxy-agent tap [options]\n"
	       "\n"
	       "Runs in a VM whose network is netproxy. publish, the default, publishes every port that\n"
	       "something in the VM listens on, at the host, for as long as it listens. tap makes a\n"
	       "network interface whose frames reach netproxy by vsock.\n"
	       "\n"
	       "Options:\n");
	print_options(PUBLISH | TAP);
	printf("\nOptions of publish:\n");
	print_options(PUBLISH);
	printf("\nOptions of tap:\n");
	print_options(TAP);
	printf("\nSIGTERM and SIGINT end it, and what it published goes. Exit status: 0 ended by a signal,\n"
	       "1 it could not start, 2 wrong options.\n");
}
