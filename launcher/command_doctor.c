/* SPDX-License-Identifier: Apache-2.0 */
/* "netproxy-vm doctor": what this host has and lacks to run machines, and what to do about it. */
#include "launcher/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/accel.h"
#include "launcher/firmware.h"
#include "launcher/options.h"
#include "launcher/state_dir.h"
#include "launcher/volume.h"

#define CPUINFO_SIZE 16384
#define VERSION_MAX  256

static void report(bool good, const char *what, const char *text)
{
	printf("%-8s %-10s %s\n", good ? "ok" : "MISSING", what, text);
}

/* The first line that `program -version` prints. */
static void read_version(const char *program, char to[static VERSION_MAX])
{
	char *command = NULL;
	FILE *from = NULL;

	to[0] = '\0';
	/* The path goes as an argument: nothing in it is the shell's to read. */
	if (setenv("NETPROXY_VM_PROGRAM", program, 1) == 0 &&
	    asprintf(&command, "exec \"$NETPROXY_VM_PROGRAM\" --version 2>&1") >= 0)
		from = popen(command, "re");
	if (from) {
		if (!fgets(to, VERSION_MAX, from))
			to[0] = '\0';
		pclose(from);
	}
	to[strcspn(to, "\n")] = '\0';
	free(command);
}

static bool check_program(const char *what, const char *name, bool beside_us, const char *remedy)
{
	char version[VERSION_MAX], text[VERSION_MAX + PATH_MAX];
	char *path;

	if (program_find(name, beside_us, &path) < 0) {
		report(false, what, remedy);
		return false;
	}
	read_version(path, version);
	snprintf(text, sizeof(text), "%s: %s", path, version);
	report(true, what, text);
	free(path);
	return true;
}

static void check_accel(void)
{
	char cpuinfo[CPUINFO_SIZE];
	struct accel_facts facts;
	struct problem why;
	enum accel accel = ACCEL_TCG;

	accel_probe(cpuinfo, sizeof(cpuinfo), &facts);
	if (accel_choose(ACCEL_WISH_KVM, &facts, &accel, &why) < 0)
		printf("%-8s %-10s %s\n", "slow", "kvm", why.text);
	else
		report(true, "kvm", why.text);
}

static bool check_state(void)
{
	struct state_dir dir;
	struct problem problem;

	if (state_dir_open(&dir, NULL, &problem) < 0) {
		report(false, "state", problem.text);
		return false;
	}
	report(true, "state", dir.path);
	state_dir_close(&dir);
	return true;
}

/* What only some machines need: absent, it is no fault. */
static void optional(bool there, const char *what, const char *text)
{
	printf("%-8s %-10s %s\n", there ? "ok" : "absent", what, text);
}

static void check_optional(void)
{
	char *virtiofsd = volume_daemon_find();
	struct firmware firmware;
	struct problem problem;

	optional(
		virtiofsd != NULL, "virtiofsd",
		virtiofsd
			? virtiofsd
			: "for -volume: apt-get install qemu-system-common (Debian 13: virtiofsd)");
	free(virtiofsd);
	if (volume_check_rights(&problem) < 0)
		optional(false, "namespaces", problem.text);
	if (firmware_find(MACHINE_ARCH_X86_64, NULL, &firmware, &problem) < 0)
		optional(false, "uefi", problem.text);
	else
		optional(true, "uefi", firmware.code);
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		optional(
			false, "tap",
			"for -networking tap:IF: /dev/net/tun can't be opened (sudo modprobe tun)");
	else
		optional(
			true, "tap",
			"/dev/net/tun opens; \"sudo ip tuntap add NAME mode tap user $USER\" makes "
			"an interface for -networking tap:NAME");
}

int command_doctor(int argc, char *const *argv)
{
	bool good;

	if (argc > 1) {
		bool help = strstr(argv[1], "help") != NULL;

		fputs("usage: netproxy-vm doctor\n"
		      "\n"
		      "Says what this host has and lacks to run machines, and what to do about it.\n"
		      "The exit status is 0 when machines can be run.\n",
		      help ? stdout : stderr);
		return help ? 0 : 1;
	}
	good = check_program("qemu", "qemu-system-x86_64", false,
			     "no qemu-system-x86_64 in $PATH: apt-get install qemu-system-x86");
	good &= check_program(
		"netproxy", "netproxy", true,
		"not beside netproxy-vm and not in $PATH: install it, or name it with "
		"-netproxy");
	good &= check_state();
	check_accel();
	check_optional();
	return good ? 0 : 1;
}
