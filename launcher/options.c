/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. One function per flag reads its value; what can only be judged together, or needs
 * the host, is checked in options_check.c. */
#include "launcher/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "launcher/flags.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define DIGITS     "0123456789"

/* Replaces *to by a copy of `value`, which may not be empty. */
static int set_text(char **to, const char *flag, const char *value, struct problem *problem)
{
	char *copy;

	if (value[0] == '\0')
		return problem_set(problem, -EINVAL, "-%s: the value is empty", flag);
	copy = strdup(value);
	if (!copy)
		return problem_set(problem, -ENOMEM, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

static int set_number(unsigned *to, const char *flag, const char *value, unsigned min, unsigned max,
		      struct problem *problem)
{
	unsigned long number = 0;
	size_t length = strlen(value);

	if (length > 0 && length <= 9 && strspn(value, DIGITS) == length)
		number = strtoul(value, NULL, 10);
	else
		number = max + 1ul;
	if (number < min || number > max)
		return problem_set(problem, -EINVAL, "-%s \"%s\": a number from %u to %u is wanted",
				   flag, value, min, max);
	*to = (unsigned)number;
	return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	size_t digits = strspn(text, DIGITS);
	const char *suffix = text + digits;
	unsigned shift = 20;
	uint64_t number;

	if (digits == 0 || digits > 15)
		return -EINVAL;
	number = strtoull(text, NULL, 10);
	if (*suffix != '\0') {
		const char upper = (char)(*suffix & ~0x20);
		const char *unit = strchr(units, upper);

		if (!unit || upper == '\0')
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
		suffix++;
		if (strcmp(suffix, "iB") == 0)
			suffix += 2;
		else if (strcmp(suffix, "B") == 0)
			suffix++;
	}
	if (*suffix != '\0' || number > UINT64_MAX >> shift)
		return -EINVAL;
	*ret_bytes = number << shift;
	return 0;
}

static int set_kernel(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return set_text(&o->machine.kernel, "kernel", value, problem);
}

static int set_initrd(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return set_text(&o->machine.initrd, "initrd", value, problem);
}

static int set_cmdline(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	char *copy;

	if (strlen(value) >= MACHINE_CMDLINE_MAX)
		return problem_set(problem, -E2BIG,
				   "-cmdline: %zu characters, and Linux takes at most %d",
				   strlen(value), MACHINE_CMDLINE_MAX - 1);
	/* An empty one is a way to say: none, not even the default. */
	copy = strdup(value);
	if (!copy)
		return problem_set(problem, -ENOMEM, "out of memory");
	free(o->machine.cmdline);
	o->machine.cmdline = copy;
	return 0;
}

static int set_mem(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	uint64_t bytes;

	if (size_parse(value, &bytes) < 0)
		return problem_set(
			problem, -EINVAL,
			"-mem \"%s\": write mebibytes, such as 1024, or a suffix: 512M, 2G", value);
	if (bytes < MACHINE_MEM_MIN || bytes > MACHINE_MEM_MAX)
		return problem_set(problem, -ERANGE,
				   "-mem \"%s\": a machine can have from 32M to 4T of memory",
				   value);
	if (bytes % (UINT64_C(1) << 20) != 0)
		return problem_set(problem, -EINVAL, "-mem \"%s\": whole mebibytes are wanted",
				   value);
	o->machine.mem_bytes = bytes;
	return 0;
}

static int set_cpus(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return set_number(&o->machine.cpus, "cpus", value, 1, MACHINE_CPUS_MAX, problem);
}

static int set_accel(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	if (accel_wish_parse(value, &o->accel) < 0)
		return problem_set(
			problem, -EINVAL,
			"-accel \"%s\": write auto, kvm (fast, needs the CPU's help) or tcg "
			"(works everywhere)",
			value);
	return 0;
}

static int set_networking(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	if (strcmp(value, "userspace") == 0) {
		o->machine.network = MACHINE_NETWORK_USERSPACE;
		return 0;
	}
	if (strcmp(value, "none") == 0) {
		o->machine.network = MACHINE_NETWORK_NONE;
		return 0;
	}
	if (strncmp(value, "userspace,", 10) != 0)
		return problem_set(
			problem, -EINVAL,
			"-networking \"%s\": write userspace, userspace,SOCKET (of a netproxy "
			"that runs) or none",
			value);
	if (value[10] == '\0')
		return problem_set(
			problem, -EINVAL,
			"-networking \"%s\": the socket's path is missing after the comma", value);
	o->machine.network = MACHINE_NETWORK_USERSPACE_SHARED;
	return set_text(&o->machine.network_socket, "networking", value + 10, problem);
}

static int set_net_device(void *target, const char *value, struct problem *problem)
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

static int set_publish(void *target, const char *value, struct problem *problem)
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
	r = set_text(&publish.text, "publish", value, problem);
	if (r == 0)
		m->publish[m->publish_count++] = publish;
	return r;
}

static int set_mac(void *target, const char *value, struct problem *problem)
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

/* One word after the path. */
static int set_disk_word(struct machine_disk *disk, const char *word, const char *value,
			 struct problem *problem)
{
	if (strcmp(word, "ro") == 0)
		disk->read_only = true;
	else if (strcmp(word, "format=raw") == 0)
		disk->format = "raw";
	else if (strcmp(word, "format=qcow2") == 0)
		disk->format = "qcow2";
	else
		return problem_set(
			problem, -EINVAL,
			"-disk \"%s\": after the path come format=raw or format=qcow2, and "
			"ro, not \"%s\"",
			value, word);
	return 0;
}

static int set_disk(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	struct machine *m = &o->machine;
	struct machine_disk disk = {.format = NULL};
	char *next;
	int r;

	if (m->disk_count == MACHINE_DISKS_MAX)
		return problem_set(problem, -E2BIG, "-disk \"%s\": at most %d disks are possible",
				   value, MACHINE_DISKS_MAX);
	r = set_text(&disk.path, "disk", strncmp(value, "file=", 5) == 0 ? value + 5 : value,
		     problem);
	if (r < 0 || !disk.path)
		return r;
	next = disk.path;
	strsep(&next, ",");
	if (disk.path[0] == '\0')
		r = problem_set(problem, -EINVAL, "-disk \"%s\": the path is missing", value);
	for (char *word; r == 0 && (word = strsep(&next, ","));)
		r = set_disk_word(&disk, word, value, problem);
	if (r < 0) {
		free(disk.path);
		return r;
	}
	m->disks[m->disk_count++] = disk;
	return 0;
}

static int set_name(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	size_t length = strlen(value);

	if (length == 0 || length >= MACHINE_NAME_MAX || strspn(value, NAME_CHARS) != length ||
	    value[0] == '-' || value[0] == '.')
		return problem_set(
			problem, -EINVAL,
			"-name \"%s\": letters, digits, '-', '_' and '.' make a name, up to %d "
			"of them, the first a letter, digit or '_'",
			value, MACHINE_NAME_MAX - 1);
	strcpy(o->machine.name, value);
	return 0;
}

static int set_console(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	if (strcmp(value, "stdio") == 0) {
		o->console = RUN_CONSOLE_STDIO;
		return 0;
	}
	if (strcmp(value, "none") == 0) {
		o->console = RUN_CONSOLE_NONE;
		return 0;
	}
	if (strncmp(value, "file:", 5) != 0 || value[5] == '\0')
		return problem_set(problem, -EINVAL,
				   "-console \"%s\": write stdio, file:PATH or none", value);
	o->console = RUN_CONSOLE_FILE;
	return set_text(&o->console_file, "console", value + 5, problem);
}

static int set_state(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return set_text(&o->state_dir, "state", value, problem);
}

static int set_qemu(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return set_text(&o->qemu, "qemu", value, problem);
}

static int set_netproxy(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return set_text(&o->netproxy, "netproxy", value, problem);
}

static int set_stop_timeout(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return set_number(&o->stop_timeout_s, "stop-timeout", value, 1, STOP_TIMEOUT_MAX_S,
			  problem);
}

static int set_no_reboot(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	(void)problem;
	o->machine.reboot_ends = strcmp(value, "true") == 0;
	return 0;
}

static int set_log_level(void *target, const char *value, struct problem *problem)
{
	(void)target;

	/* Effective at once: nothing has been logged before. */
	if (log_set_levels(value) < 0)
		return problem_set(problem, -EINVAL,
				   "-log-level \"%s\": write error, warn, info or debug", value);
	return 0;
}

static const struct flag flags[] = {
	{"kernel", "FILE",
	 "The Linux kernel to boot (a bzImage, such as Debian's vmlinuz). Without it, and without PATH, "
	 "the first -disk is booted by the BIOS.",
	 set_kernel},
	{"initrd", "FILE", "The initial RAM disk that the kernel unpacks and starts from.",
	 set_initrd},
	{"cmdline", "TEXT",
	 "The kernel's command line. Default: console=ttyS0, so that the kernel speaks on -console; "
	 "say it again when you give your own.",
	 set_cmdline},
	{"mem", "SIZE", "The guest's memory, in MiB or with a suffix (512M, 2G). Default: 512.",
	 set_mem},
	{"cpus", "N", "The guest's processors. Default: 1.", set_cpus},
	{"accel", "auto|kvm|tcg",
	 "What runs the guest's code: kvm, the host's processor (fast), or tcg, an emulation that works "
	 "everywhere (some ten times slower). auto (the default) takes kvm where it can be expected to "
	 "work, and starts again with tcg if the guest then makes no progress.",
	 set_accel},
	{"networking", "userspace[,SOCKET]|none",
	 "userspace (the default) starts a netproxy for this machine, which gives it an address by "
	 "DHCP, names, a way out, and vsock (CID 2, port 6565 is the control API), with no privileges. "
	 "userspace,SOCKET joins the netproxy that listens there with --link qemu:SOCKET. none: no "
	 "network.",
	 set_networking},
	{"net-device", "vhost|stream",
	 "How frames get from the guest to the machine's own netproxy. vhost (the default): netproxy "
	 "takes them from the guest's memory, by far the faster way. stream: QEMU hands over every "
	 "frame, as it does with -networking userspace,SOCKET.",
	 set_net_device},
	{"publish", "[IP:]HOST:GUEST[/tcp|/udp]",
	 "Makes a port of the guest reachable at a port of this host: 8080:80, or 127.0.0.1:5353:53/udp. "
	 "Without IP, at all of the host's addresses. May be repeated.",
	 set_publish},
	{"mac", "ADDRESS",
	 "The network device's address. Default: made from the -state directory's path, so that it "
	 "stays the same there, or else random.",
	 set_mac},
	{"disk", "[file=]FILE[,format=raw|qcow2][,ro]",
	 "A disk image (or block device) as a virtio disk: /dev/vda, the next one /dev/vdb. The format "
	 "is qcow2 if the name ends so, else raw. ro: the guest can't write to it. May be repeated.",
	 set_disk},
	{"console", "stdio|file:PATH|none",
	 "Where the serial console goes. On a terminal (stdio, the default) all keys reach the guest "
	 "but Ctrl-A: then x powers off, k kills, h helps.",
	 set_console},
	{"state", "DIR",
	 "Where sockets and netproxy's log are kept: net.sock, vsock.sock, api.sock (for netproxyctl), "
	 "netproxy.log. Made if missing. Default: a private directory that is removed at the end.",
	 set_state},
	{"name", "NAME", "The machine's name, as QEMU and ps show it. Default: netproxy-vm.",
	 set_name},
	{"stop-timeout", "SECONDS",
	 "How long the guest may take to power off after SIGTERM, SIGINT or SIGHUP before it is killed. "
	 "A second signal kills at once. Default: 30.",
	 set_stop_timeout},
	{"no-reboot", NULL, "The run ends, with status 7, when the guest reboots.", set_no_reboot},
	{"qemu", "PROGRAM", "QEMU. Default: qemu-system-x86_64, found in $PATH.", set_qemu},
	{"netproxy", "PROGRAM", "netproxy. Default: the one beside netproxy-vm, or in $PATH.",
	 set_netproxy},
	{"log-level", "LEVEL",
	 "What is told on standard error: error, warn (the default), info, or debug, which shows the "
	 "commands that are started.",
	 set_log_level},
};

#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

static int set_image(void *target, const char *text, struct problem *problem)
{
	struct run_options *o = target;

	if (o->image)
		return problem_set(
			problem, -EINVAL,
			"one PATH only: \"%s\" comes after \"%s\" (a value with blanks needs "
			"quotes)",
			text, o->image);
	return set_text(&o->image, "PATH", text, problem);
}

/* What contradicts itself whatever the host is like. */
static int check_together(const struct run_options *o, struct problem *problem)
{
	const struct machine *m = &o->machine;

	if (o->image && m->kernel)
		return problem_set(problem, -EINVAL,
				   "-kernel and PATH both say what to boot: give one of them");
	if (!o->image && !m->kernel && m->disk_count == 0)
		return problem_set(
			problem, -EINVAL,
			"nothing to boot: give -kernel FILE and -initrd FILE, or PATH of an image "
			"(PATH-kernel, PATH-initrd.img), or a -disk with a system on it");
	if (!o->image && !m->kernel && m->initrd)
		return problem_set(problem, -EINVAL, "-initrd needs a -kernel that unpacks it");
	if (!o->image && !m->kernel && m->cmdline)
		return problem_set(problem, -EINVAL,
				   "-cmdline needs a -kernel: a disk's boot loader has its own");
	if (m->publish_count > 0 && m->network == MACHINE_NETWORK_NONE)
		return problem_set(problem, -EINVAL,
				   "-publish needs a network: leave out -networking none");
	if (m->publish_count > 0 && m->network == MACHINE_NETWORK_USERSPACE_SHARED)
		return problem_set(
			problem, -EINVAL,
			"-publish is for a netproxy of the machine's own: tell the one at %s with "
			"\"netproxyctl expose\"",
			m->network_socket);
	return 0;
}

int run_options_parse(int argc, char *const *argv, struct run_options *ret, struct problem *problem)
{
	int r;

	*ret = (struct run_options){.stop_timeout_s = 30};
	machine_init(&ret->machine);
	r = flags_parse(flags, FLAG_COUNT, argc, argv, ret, set_image, problem);
	if (r != 0)
		return r;
	return check_together(ret, problem);
}

void run_options_clear(struct run_options *options)
{
	machine_clear(&options->machine);
	free(options->image);
	free(options->state_dir);
	free(options->console_file);
	free(options->qemu);
	free(options->netproxy);
	memset(options, 0, sizeof(*options));
}

void run_options_help(FILE *to)
{
	fputs("usage: netproxy-vm run [FLAGS] [PATH]\n"
	      "\n"
	      "Boots a Linux virtual machine on QEMU, with a network of its own that needs no\n"
	      "privileges, and stays until the guest powers off. PATH is an image as LinuxKit\n"
	      "makes them: PATH-kernel, PATH-initrd.img and PATH-cmdline. Flags may be written\n"
	      "-flag VALUE, -flag=VALUE or --flag.\n"
	      "\n"
	      "  netproxy-vm run -kernel vmlinuz -initrd initrd.img -publish 8080:80\n"
	      "\n",
	      to);
	flags_print_help(flags, FLAG_COUNT, to);
	fputs("\nThe exit status is 0 when the guest powered off; 1: a mistake here; 2: netproxy\n"
	      "failed; 3: QEMU failed; 4: the guest was killed; 5: netproxy died meanwhile;\n"
	      "6: the guest's kernel panicked; 7: it rebooted, under -no-reboot.\n",
	      to);
}
