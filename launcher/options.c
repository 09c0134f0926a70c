/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. The table of flags; one function per flag reads its value (options_boot.c,
 * options_net.c, options_devices.c). What needs the host is checked in options_check.c. */
#include "launcher/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/flags.h"
#include "launcher/option_values.h"
#include "launcher/options_private.h"

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
	{"squashfs", "FILE",
	 "With a kernel: a squashfs image that it mounts as its root, read-only, from /dev/vda. With "
	 "PATH this is PATH-squashfs.img, where it is there.",
	 set_squashfs},
	{"iso", "FILE", "A CD image to boot, by the BIOS, or by UEFI with -uefi.", set_iso},
	{"uefi", NULL,
	 "Boots by UEFI (Debian's package ovmf) instead of the BIOS. Its variables are kept in -state.",
	 set_uefi},
	{"fw", "FILE", "The UEFI firmware, instead of the one that QEMU's descriptions name.",
	 set_fw},
	{"data", "TEXT",
	 "Metadata for the guest, on a CD: the file /config, as LinuxKit has it, or cloud-init's "
	 "user-data with -data-format nocloud.",
	 set_data},
	{"data-file", "FILE", "The same, from a file.", set_data_file},
	{"data-format", "config|nocloud", "How the CD is laid out. Default: config.",
	 set_data_format},
	{"ssh-key", "KEY|FILE",
	 "A public SSH key that cloud-init lets in (implies -data-format nocloud): its text, or a file "
	 "such as ~/.ssh/id_ed25519.pub.",
	 set_ssh_key},
	{"ignition", "FILE", "A configuration for Ignition (Fedora CoreOS, Flatcar), by fw_cfg.",
	 set_ignition},
	{"mem", "SIZE", "The guest's memory, in MiB or with a suffix (512M, 2G). Default: 512.",
	 set_mem},
	{"cpus", "N", "The guest's processors. Default: 1.", set_cpus},
	{"accel", "auto|kvm|tcg",
	 "What runs the guest's code: kvm, the host's processor (fast), or tcg, an emulation that works "
	 "everywhere (some ten times slower). auto (the default) takes kvm where it can be expected to "
	 "work, and starts again with tcg if the guest then makes no progress.",
	 set_accel},
	{"arch", "x86_64|aarch64", "The guest's architecture. Default: x86_64.", set_arch},
	{"balloon", "SIZE",
	 "What the guest is left with of its memory; the host has the rest until the balloon is set "
	 "again. Gives memory that the guest doesn't use back to the host, too.",
	 set_balloon},
	{"display", "WIDTHxHEIGHT[@PPI]|4k|1080p|720p|retina",
	 "Gives the guest a graphics card with a screen of that size; seen by -vnc or -headless=false.",
	 set_display},
	{"headless", NULL,
	 "No window (the default); -headless=false shows the screen in one, which needs Debian's "
	 "package qemu-system-gui.",
	 set_headless},
	{"vnc", "[ADDRESS:]PORT|unix:PATH",
	 "Shows the screen by VNC there: 5900, or 127.0.0.1:5901. Without ADDRESS on the loopback. "
	 "There is no password: whoever reaches the port has the screen.",
	 set_vnc},
	{"volume", "PATH[:TAG][:ro|rw]",
	 "A directory of this host for the guest, by virtiofs: \"mount -t virtiofs TAG /mnt\". TAG is "
	 "the directory's name unless said. ro: the guest can't write to it. May be repeated.",
	 set_volume},
	{"networking", "userspace[,SOCKET]|user|bridged:IF|tap:IF|none",
	 "userspace (the default) starts a netproxy for this machine, which gives it an address by "
	 "DHCP, names, a way out, and vsock (CID 2, port 6565 is the control API), with no privileges. "
	 "userspace,SOCKET joins the netproxy that listens there with --link qemu:SOCKET; its "
	 "control socket is api.sock beside it, or is named by a further ,api=PATH. user: QEMU's own user "
	 "networking. bridged:IF: a bridge of this host that /etc/qemu/bridge.conf allows. tap:IF: a tap "
	 "interface of this user's. none: no network.",
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
	{"ip", "ADDRESS",
	 "The guest's IPv4 address, which it gets by DHCP: one of 192.168.65.2 to .253, or of the shared "
	 "netproxy's network one that no other guest has. Default: the first that is free.",
	 set_ip},
	{"vsock-ports", "PORT[,PORT...]",
	 "Makes vsock ports of the guest reachable at the unix sockets guest.%08x (the port in "
	 "hexadecimal) in the -state directory; what listens at host.%08x there is what the guest "
	 "reaches at CID 2 and that port. May be repeated.",
	 set_vsock_ports},
	{"disk", "[file=]FILE[,size=SIZE][,format=raw|qcow2][,ro]",
	 "A disk image (or block device) as a virtio disk: /dev/vda, the next one /dev/vdb. The format "
	 "is qcow2 if the name ends so, else raw. size: made, sparse, if it isn't there. ro: the guest can't write "
	 "to it. May be repeated.",
	 set_disk},
	{"console", "stdio|file:PATH|pty|none",
	 "Where the serial console goes. On a terminal (stdio, the default) all keys reach the guest "
	 "but Ctrl-A: then x powers off, k kills, h helps. pty: a terminal that is told on standard "
	 "error, and is DIR/console for a -state DIR.",
	 set_console},
	{"detached", NULL,
	 "Comes back once QEMU runs; the machine goes on in the background, until SIGTERM to the "
	 "process in DIR/lock. Needs -state DIR; the console is DIR/console.log unless said.",
	 set_detached},
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
	return option_text(&o->image, "PATH", text, problem);
}

/* What is there to boot; at most one of these. */
static int check_boot(const struct run_options *o, struct problem *problem)
{
	const struct machine *m = &o->machine;

	if ((o->image != NULL) + (m->kernel != NULL) + (m->iso != NULL) > 1)
		return problem_set(problem, -EINVAL, "%s both say what to boot: give one of them",
				   !o->image   ? "-kernel and -iso"
				   : m->kernel ? "-kernel and PATH"
					       : "-iso and PATH");
	if (!o->image && !m->kernel && !m->iso && m->disk_count == 0)
		return problem_set(
			problem, -EINVAL,
			"nothing to boot: give -kernel FILE and -initrd FILE, or PATH of an image "
			"(PATH-kernel, PATH-initrd.img), or -iso, or a -disk with a system on it; "
			"\"netproxy-vm image build\" makes one");
	if (o->image || m->kernel)
		return 0;
	if (m->initrd || m->squashfs)
		return problem_set(problem, -EINVAL, "-%s needs a -kernel that %s it",
				   m->initrd ? "initrd" : "squashfs",
				   m->initrd ? "unpacks" : "mounts");
	if (m->cmdline)
		return problem_set(problem, -EINVAL,
				   "-cmdline needs a -kernel: a disk's boot loader has its own");
	return 0;
}

static int check_data(const struct run_options *o, struct problem *problem)
{
	const struct machine *m = &o->machine;

	if (m->data && o->data_file)
		return problem_set(problem, -EINVAL,
				   "-data and -data-file both are the metadata: give one of them");
	if (m->ssh_key && o->data_format_given && m->data_format != MACHINE_DATA_NOCLOUD)
		return problem_set(problem, -EINVAL,
				   "-ssh-key is for cloud-init: leave out -data-format config");
	if (m->ssh_key && (m->data || o->data_file) && !o->data_format_given)
		return problem_set(
			problem, -EINVAL,
			"-ssh-key with -data is for cloud-init: add -data-format nocloud, so that "
			"it is clear that the data is its user-data");
	if (o->data_format_given && !m->data && !o->data_file && !m->ssh_key)
		return problem_set(problem, -EINVAL,
				   "-data-format without metadata: add -data or -data-file");
	return 0;
}

/* What needs a network of a certain kind. */
static int check_network(const struct machine *m, struct problem *problem)
{
	if (m->publish_count > 0 && m->network == MACHINE_NETWORK_NONE)
		return problem_set(problem, -EINVAL,
				   "-publish needs a network: leave out -networking none");
	if (m->publish_count > 0 && m->network == MACHINE_NETWORK_USERSPACE_SHARED)
		return problem_set(
			problem, -EINVAL,
			"-publish is for a netproxy of the machine's own: tell the one at %s with "
			"\"netproxyctl expose\"",
			m->network_socket);
	if (m->publish_count > 0 && m->network_if[0] && m->network != MACHINE_NETWORK_USERSPACE &&
	    m->network != MACHINE_NETWORK_USER)
		return problem_set(
			problem, -EINVAL,
			"-publish isn't needed on %s: the guest has an address of its own "
			"there; leave it out",
			m->network_if);
	if (m->vsock_port_count > 0 && !machine_has_proxy(m))
		return problem_set(problem, -EINVAL,
				   "-vsock-ports needs a netproxy of the machine's own, which has "
				   "the vsock device: use -networking userspace");
	if (m->ip.family != AF_UNSPEC && !machine_has_proxy(m) &&
	    m->network != MACHINE_NETWORK_USERSPACE_SHARED)
		return problem_set(problem, -EINVAL,
				   "-ip is given by netproxy's DHCP: use -networking userspace");
	return 0;
}

/* What contradicts itself whatever the host is like. */
static int check_together(const struct run_options *o, struct problem *problem)
{
	const struct machine *m = &o->machine;
	int r = check_boot(o, problem);

	if (r == 0)
		r = check_data(o, problem);
	if (r == 0)
		r = check_network(m, problem);
	if (r < 0)
		return r;
	if (m->balloon_bytes > m->mem_bytes)
		return problem_set(problem, -ERANGE,
				   "-balloon: that is more than the machine has, -mem %" PRIu64 "M",
				   m->mem_bytes >> 20);
	if ((m->vnc || m->window) && m->display.width == 0)
		return problem_set(problem, -EINVAL,
				   "%s shows a screen: give the machine one with -display 1080p",
				   m->vnc ? "-vnc" : "-headless=false");
	if (o->detached && !o->state_dir)
		return problem_set(problem, -EINVAL,
				   "-detached needs -state DIR, where the machine is found again");
	if (o->detached && o->console_given && o->console == RUN_CONSOLE_STDIO)
		return problem_set(problem, -EINVAL,
				   "-detached leaves this terminal: the console can be "
				   "-console file:PATH, pty or none");
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
	free(options->data_file);
	free(options->state_dir);
	free(options->console_file);
	free(options->qemu);
	free(options->netproxy);
	free(options->virtiofsd);
	memset(options, 0, sizeof(*options));
}

const struct flag *run_options_flags(size_t *ret_count)
{
	*ret_count = FLAG_COUNT;
	return flags;
}

void run_options_help(FILE *to)
{
	fputs("usage: netproxy-vm run [FLAGS] [PATH]\n"
	      "\n"
	      "Boots a Linux virtual machine on QEMU, with a network of its own that needs no\n"
	      "privileges, and stays until the guest powers off. PATH is an image as LinuxKit\n"
	      "makes them: PATH-kernel, PATH-initrd.img (or PATH-squashfs.img) and PATH-cmdline;\n"
	      "or the file of a disk or, named .iso, a CD. Flags may be written -flag VALUE,\n"
	      "-flag=VALUE or --flag.\n"
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
