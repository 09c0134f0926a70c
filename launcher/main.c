/* SPDX-License-Identifier: Apache-2.0 */
/* netproxy-vm: boots Linux virtual machines on QEMU, with netproxy as their network. This is the
 * map: one table of commands, each in its own file. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/inherited.h"
#include "base/nearest.h"
#include "launcher/commands.h"

static int command_help(int argc, char *const *argv);
static int command_version(int argc, char *const *argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char *const *argv);
	const char *help;
} commands[] = {
	{"run", command_run, "boot a machine and stay with it until it ends"},
	{"init", command_init, "make a machine that is kept"},
	{"set", command_set, "change a machine's description"},
	{"rm", command_rm, "remove a machine"},
	{"list", command_list, "list the machines"},
	{"inspect", command_inspect, "print all about a machine, as JSON"},
	{"status", command_status, "say what a machine is doing"},
	{"validate", command_validate, "check a machine's description"},
	{"cmdline", command_cmdline, "print a machine's QEMU command line"},
	{"start", command_start, "start a machine in the background"},
	{"stop", command_stop, "power a machine off, and wait until it has gone"},
	{"restart", command_restart, "stop and start"},
	{"kill", command_kill, "end a machine without asking its guest"},
	{"pause", command_pause, "stop a machine's time"},
	{"resume", command_resume, "let a paused machine go on"},
	{"wait", command_wait, "wait until a machine is ready, or has stopped"},
	{"console", command_console, "attach to a machine's serial console"},
	{"ssh", command_ssh, "run ssh to a machine"},
	{"cp", command_cp, "copy files to and from a machine"},
	{"snapshot", command_snapshot, "save, list, restore or delete snapshots"},
	{"disk", command_disk, "make disks, list a machine's, give them another size"},
	{"screenshot", command_screenshot, "take a picture of a machine's screen"},
	{"balloon", command_balloon, "take memory from a guest, or give it back"},
	{"vsock", command_vsock, "connect to a vsock port of a guest"},
	{"port", command_port, "publish ports of a machine that runs"},
	{"events", command_events, "print what happened to a machine"},
	{"logs", command_logs, "print a machine's logs"},
	{"image", command_image, "build: make a small bootable image of Debian's packages"},
	{"doctor", command_doctor, "say what this host has and lacks to run machines"},
	{"help", command_help, "this overview, or with a command's name, that command's flags"},
	{"version", command_version, "print the version"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_overview(FILE *to)
{
	fputs("usage: netproxy-vm COMMAND [FLAGS] [ARGUMENTS]\n"
	      "\n"
	      "Boots Linux virtual machines on QEMU, with a userspace network and no privileges.\n"
	      "\n",
	      to);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\nTo start:\n\n"
	      "  netproxy-vm run -kernel vmlinuz -initrd initrd.img -publish 8080:80\n"
	      "\n"
	      "\"netproxy-vm COMMAND -help\" explains a command's flags; man netproxy-vm all of it.\n",
	      to);
}

/* What podman machine, limactl, docker and others call the same. */
static const char *called_elsewhere(const char *name)
{
	static const struct {
		const char *name, *aka;
	} words[] = {
		{"run", "boot"},
		{"init", "create new add"},
		{"set", "edit configure update"},
		{"rm", "remove delete destroy"},
		{"list", "ls ps machines"},
		{"inspect", "show info describe"},
		{"start", "up"},
		{"stop", "down shutdown poweroff halt"},
		{"restart", "reboot reset"},
		{"pause", "suspend"},
		{"resume", "unpause continue"},
		{"ssh", "shell exec login"},
		{"console", "attach serial"},
		{"port", "expose publish ports"},
		{"cmdline", "cmd"},
		{"cp", "copy scp"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].name, name) == 0)
			return words[i].aka;
	return NULL;
}

static int unknown_command(const char *name)
{
	struct nearest nearest;

	nearest_begin(&nearest, name, strlen(name));
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		nearest_offer(&nearest, commands[i].name, called_elsewhere(commands[i].name));
	fprintf(stderr, "netproxy-vm: there is no command \"%s\"", name);
	if (nearest.name)
		fprintf(stderr, ": did you mean %s?\n", nearest.name);
	else
		fputs("; \"netproxy-vm help\" lists those there are\n", stderr);
	return 1;
}

static int command_help(int argc, char *const *argv)
{
	const struct command *command;

	if (argc < 2) {
		print_overview(stdout);
		return 0;
	}
	command = find_command(argv[1]);
	if (!command)
		return unknown_command(argv[1]);
	if (command->run == command_help || command->run == command_version) {
		print_overview(stdout);
		return 0;
	}
	return command->run(2, (char *const[]){argv[1], "-help", NULL});
}

static int command_version(int argc, char *const *argv)
{
	(void)argc;
	(void)argv;
	puts("netproxy-vm " NETPROXY_VERSION);
	return 0;
}

int main(int argc, char **argv)
{
	const struct command *command;
	const char *name = argc > 1 ? argv[1] : NULL;

	inherited_drop();
	if (!name) {
		print_overview(stderr);
		return 1;
	}
	if (name[0] == '-') {
		name += strspn(name, "-");
		if (strcmp(name, "help") == 0 || strcmp(name, "h") == 0)
			return command_help(argc - 1, argv + 1);
		if (strcmp(name, "version") == 0 || strcmp(name, "v") == 0)
			return command_version(argc - 1, argv + 1);
		fprintf(stderr,
			"netproxy-vm: %s: the command comes first, as in \"netproxy-vm run %s "
			"...\"; \"netproxy-vm help\" lists them\n",
			argv[1], argv[1]);
		return 1;
	}
	command = find_command(name);
	if (!command)
		return unknown_command(name);
	return command->run(argc - 1, argv + 1);
}
