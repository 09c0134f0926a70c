/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's table of commands, its help, and the way from one to the other. */
#include "ctl/ctl.h"

#include <string.h>

#include "base/nearest.h"
#include "ctl/commands.h"

static const struct command {
	const char *name;
	const char *arguments;
	unsigned argument_count;
	ctl_command_fn *run;
	const char *help;
	const char *details; /* for its own help; "" */
} commands[] = {
	{"expose", "LOCAL REMOTE [--udp]", 2, command_expose, "publish a guest's port on the host",
	 "LOCAL is where the host listens: 8080 or :8080 (all its addresses, IPv4 and IPv6),\n"
	 "127.0.0.1:8080, [::1]:8080; port 0 picks a free one and says which; 8000-8009 is a range,\n"
	 "of which all are published or none; /run/web.sock is a unix socket.\n"
	 "REMOTE is what it leads to: 80 (of the first guest), 192.168.65.2:80, or web:80 (of the\n"
	 "guest of that name, whoever has it then); or 10.88.0.5:80 --via 192.168.65.2, what a guest\n"
	 "routes for, such as a container of its own.\n"
	 "\n"
	 "  --udp             UDP instead of TCP; --both for both\n"
	 "  --source gateway  the guest sees the gateway instead of the client's own address\n"
	 "  --proxy v2        the guest is told of the client by a PROXY protocol header\n"
	 "  --via GUEST       the guest that REMOTE is behind, by its address or name\n"
	 "  --name NAME       what to call it; --for TEXT for whom it is, such as a container\n"
	 "\n"
	 "  netproxyctl expose 8080 80                          the first guest's web server, for all\n"
	 "  netproxyctl expose 127.0.0.1:2222 192.168.65.3:22   another's SSH, for this host only\n"
	 "  netproxyctl expose 5353 53 --both\n"},
	{"unexpose", "LOCAL [--udp]", 1, command_unexpose, "take a published port back",
	 "LOCAL is what was said when it was published; \"netproxyctl ports\" shows it. --name and\n"
	 "--for stand for all that were published with them. Connections that were made live on.\n"
	 "\n"
	 "  netproxyctl unexpose 8080\n"},
	{"ports", "", 0, command_ports, "list the published ports", ""},
	{"guests", "", 0, command_guests, "list the guests: address, MAC, name, link", ""},
	{"leases", "", 0, command_leases, "list the DHCP leases and when they end", ""},
	{"reserve", "ADDRESS MAC [--name NAME]", 2, command_reserve, "keep an address for a guest",
	 "The guest with that MAC gets ADDRESS by DHCP, and NAME as its name, from the next time on\n"
	 "that it asks. An address that another guest has leased can't be reserved.\n"
	 "\n"
	 "  netproxyctl reserve 192.168.65.50 52:54:00:12:34:56 --name db\n"},
	{"unreserve", "ADDRESS", 1, command_unreserve, "keep it no longer",
	 "The guest that has leased it keeps it as long as it likes.\n"},
	{"reservations", "", 0, command_reservations, "list the addresses that are kept",
	 "OWNER is who said so: the configuration, the host (\"netproxyctl reserve\"), or a guest as it\n"
	 "attached; \"while connected\" is for as long as the program that asked for it runs, such as\n"
	 "netproxy-vm.\n"},
	{"links", "", 0, command_links, "list the links with their traffic", ""},
	{"policy", "", 0, command_policy, "list the rules of what guests may reach",
	 "In the order in which they are asked; the first that matches counts. HITS are the\n"
	 "connections, datagrams and pings that a rule decided.\n"},
	{"flows", "", 0, command_flows, "list the flows: connections, UDP, pings",
	 "A thousand at most. TO GUEST and TO HOST are bytes that wait for the other side to read.\n"},
	{"stats", "", 0, command_stats, "show the counters", ""},
	{"events", "", 0, command_events, "show what happens, as it happens",
	 "Guests that come and go, leases, published ports, what the policy denies; with --json as\n"
	 "netproxy says it, an object a line.\n"},
	{"pcap", "WHAT [--udp]", 1, command_pcap, "capture packets, to standard output",
	 "WHAT is all, guest=WHO (a MAC, an address or a name), link=NAME (\"netproxyctl links\" shows\n"
	 "them), or forward=LOCAL (a published port as \"netproxyctl ports\" shows it; --udp for UDP).\n"
	 "The format is pcapng; frames are as they are on their links.\n"
	 "\n"
	 "  netproxyctl pcap guest=web > web.pcapng\n"
	 "  netproxyctl pcap all | wireshark -k -i -\n"},
	{"top", "", 0, command_top, "show traffic and flows, every second",
	 "On a terminal until it is interrupted; otherwise once.\n"},
	{"version", "", 0, command_version, "show the versions of netproxyctl and of netproxy", ""},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static void print_flags(FILE *to)
{
	fputs("Flags, anywhere on the line:\n\n"
	      "  --api WHERE        the API of the netproxy that is meant: unix:PATH (or just PATH),\n"
	      "                     tcp:ADDRESS:PORT, or vsock[:PORT] inside a guest. Else $NETPROXY_API,\n"
	      "                     else $XDG_RUNTIME_DIR/netproxy/api.sock, else /run/netproxy/api.sock\n"
	      "  --json             print JSON, for programs\n"
	      "  --timeout SECONDS  how long to wait for an answer (10)\n"
	      "  --help, --version\n",
	      to);
}

static void print_overview(FILE *to)
{
	fputs("usage: netproxyctl [--api WHERE] COMMAND [ARGUMENTS]\n"
	      "\n"
	      "Asks a running netproxy what it does, and tells it what to publish.\n"
	      "\n",
	      to);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		char usage[64];

		snprintf(usage, sizeof(usage), "%s %s", commands[i].name, commands[i].arguments);
		fprintf(to, "  %-34s %s\n", usage, commands[i].help);
	}
	fputs("\n", to);
	print_flags(to);
	fputs("\nTo start:\n\n"
	      "  netproxyctl guests                who is there\n"
	      "  netproxyctl expose 8080 80        port 8080 of the host leads to port 80 of the first guest\n"
	      "  netproxyctl ports                 what is published\n"
	      "  netproxyctl unexpose 8080\n"
	      "\n"
	      "Exit status: 0 done, 1 netproxy said no, 2 wrong command line, 3 netproxy can't be reached.\n"
	      "\"netproxyctl COMMAND --help\" explains a command; man netproxyctl all of it.\n",
	      to);
}

static void print_command(const struct command *command, FILE *to)
{
	fprintf(to, "usage: netproxyctl %s%s%s\n\n%c%s.\n", command->name,
		command->arguments[0] ? " " : "", command->arguments, command->help[0] - 'a' + 'A',
		command->help + 1);
	if (command->details[0])
		fprintf(to, "\n%s", command->details);
	fputs("\n", to);
	print_flags(to);
}

static enum ctl_status unknown_command(const struct ctl *ctl, const char *name)
{
	/* What docker, gvproxy and people call the same. */
	static const struct {
		ctl_command_fn *run;
		const char *aka;
	} elsewhere[] = {
		{command_expose, "publish add forward"},
		{command_unexpose, "unpublish remove rm delete"},
		{command_ports, "list ls all"},
		{command_guests, "vms machines"},
		{command_flows, "connections"},
		{command_stats, "counters metrics status"},
		{command_pcap, "capture tcpdump"},
		{command_events, "watch"},
	};
	struct nearest nearest;

	nearest_begin(&nearest, name, strlen(name));
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const char *aka = NULL;

		for (size_t j = 0; j < sizeof(elsewhere) / sizeof(elsewhere[0]); j++)
			if (elsewhere[j].run == commands[i].run)
				aka = elsewhere[j].aka;
		nearest_offer(&nearest, commands[i].name, aka);
	}
	if (nearest.name)
		return ctl_complain(ctl, CTL_USAGE,
				    "there is no command \"%.100s\": did you mean %s?", name,
				    nearest.name);
	return ctl_complain(
		ctl, CTL_USAGE,
		"there is no command \"%.100s\"; netproxyctl --help lists those there are", name);
}

/* A flag that was given and is not for this command, or NULL. */
static const char *unwanted_flag(const struct command *command, const struct ctl_args *args)
{
	if (strstr(command->arguments, "--udp"))
		return NULL;
	return args->udp                                             ? "--udp"
	       : args->both                                          ? "--both"
	       : args->source                                        ? "--source"
	       : args->proxy                                         ? "--proxy"
	       : args->owner                                         ? "--for"
	       : args->via                                           ? "--via"
	       : args->name && !strstr(command->arguments, "--name") ? "--name"
								     : NULL;
}

static enum ctl_status complain_about_count(const struct ctl *ctl, const struct command *command)
{
	const char *first = ctl->args.arguments[1];
	const char *colon = ctl->args.count == 2 ? strrchr(first, ':') : NULL;

	/* As docker, and our own --publish, have it. */
	if (command->run == command_expose && colon && colon > first && colon[1])
		return ctl_complain(ctl, CTL_USAGE, "the two ports are two words: expose %.*s %s",
				    (int)(colon - first), first, colon + 1);
	return ctl_complain(
		ctl, CTL_USAGE, "usage: netproxyctl %s%s%s (\"netproxyctl %s --help\" explains it)",
		command->name, command->arguments[0] ? " " : "", command->arguments, command->name);
}

static enum ctl_status run(struct ctl *ctl, const struct command *command,
			   const struct ctl_env *env)
{
	char error[CTL_ERROR_MAX];

	bool by_name = command->run == command_unexpose && (ctl->args.name || ctl->args.owner);

	if (ctl->args.count - 1 != (by_name ? 0 : command->argument_count))
		return complain_about_count(ctl, command);
	if (unwanted_flag(command, &ctl->args))
		return ctl_complain(ctl, CTL_USAGE,
				    "%s means nothing to %s: it is for expose and unexpose",
				    unwanted_flag(command, &ctl->args), command->name);
	if (ctl_args_target(&ctl->args, env, &ctl->target, error) < 0)
		return ctl_complain(ctl, CTL_USAGE, "%s", error);
	return command->run(ctl);
}

/* "help" and "help COMMAND" are "--help" and "COMMAND --help". */
static void take_help_command(struct ctl_args *args)
{
	if (args->count == 0 || strcmp(args->arguments[0], "help") != 0)
		return;
	args->help = true;
	args->arguments[0] = args->arguments[1];
	args->count--;
}

enum ctl_status ctl_run(int argc, char *const *argv, const struct ctl_env *env, FILE *out,
			FILE *err)
{
	struct ctl ctl = {.out = out, .err = err};
	const struct command *command = NULL;
	char error[CTL_ERROR_MAX];

	if (ctl_args_parse(argc, argv, &ctl.args, error) < 0)
		return ctl_complain(&ctl, CTL_USAGE, "%s", error);
	take_help_command(&ctl.args);
	if (ctl.args.count) {
		command = find_command(ctl.args.arguments[0]);
		if (!command)
			return unknown_command(&ctl, ctl.args.arguments[0]);
	}
	if (ctl.args.help && command)
		print_command(command, out);
	else if (ctl.args.help)
		print_overview(out);
	else if (ctl.args.version)
		fputs("netproxyctl " NETPROXY_VERSION "\n", out);
	else if (command)
		return run(&ctl, command, env);
	else
		print_overview(err);
	return command || ctl.args.help || ctl.args.version ? CTL_OK : CTL_USAGE;
}
