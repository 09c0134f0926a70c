/* SPDX-License-Identifier: Apache-2.0 */
/* The argument vectors: QEMU's from a description, netproxy's, and the vector itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/args.h"
#include "launcher/proxy.h"
#include "launcher/qemu_args.h"
#include "launcher/volume.h"
#include "unit.h"

static struct machine machine;
static struct args args;

static void setup(void)
{
	machine_init(&machine);
	memset(&args, 0, sizeof(args));
	ck_assert_int_eq(mac_parse("52:54:00:00:00:01", &machine.mac), 0);
}

static void teardown(void)
{
	machine_clear(&machine);
	args_clear(&args);
}

/* Whether `key` is there, followed by `value` (NULL: by anything). */
static bool has(const char *key, const char *value)
{
	for (size_t i = 0; i < args.count; i++)
		if (strcmp(args.items[i], key) == 0 &&
		    (!value || (i + 1 < args.count && strcmp(args.items[i + 1], value) == 0)))
			return true;
	return false;
}

static void build(const char *net, const char *vsock, enum accel accel)
{
	struct qemu_wiring wiring = {.qemu = "/usr/bin/qemu",
				     .accel = accel,
				     .net_socket = net,
				     .vsock_socket = vsock,
				     .qmp_fd = 7,
				     .console_fd = 9};

	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert_str_eq(args.items[0], "/usr/bin/qemu");
	ck_assert_ptr_null(args.items[args.count]);
}

START_TEST(test_userspace)
{
	machine.kernel = strdup("k");
	machine.initrd = strdup("i");
	machine.cmdline = strdup("console=ttyS0 a,b");
	machine.cpus = 3;
	build("/run/x/net.sock", "/run/x/vsock.sock", ACCEL_TCG);
	ck_assert(has("-machine", "q35,accel=tcg,memory-backend=mem"));
	ck_assert(has("-object", "memory-backend-memfd,id=mem,size=536870912B,share=on"));
	ck_assert(has("-m", "size=536870912B"));
	ck_assert(has("-smp", "cpus=3"));
	ck_assert(has("-cpu", "max"));
	ck_assert(has("-netdev",
		      "stream,id=net0,server=off,addr.type=unix,addr.path=/run/x/net.sock"));
	ck_assert(has("-device",
		      "virtio-net-pci,netdev=net0,id=net0-device,mac=52:54:00:00:00:01,romfile="));
	ck_assert(has("-chardev", "socket,id=vsock0,path=/run/x/vsock.sock"));
	ck_assert(has("-device", "vhost-user-vsock-pci,chardev=vsock0,id=vsock0-device"));
	ck_assert(has("-chardev", "socket,id=qmp,fd=7"));
	ck_assert(has("-mon", "chardev=qmp,mode=control"));
	ck_assert(has("-chardev", "socket,id=console,fd=9"));
	ck_assert(has("-serial", "chardev:console"));
	ck_assert(has("-device", "pvpanic-pci"));
	ck_assert(has("-kernel", "k"));
	ck_assert(has("-initrd", "i"));
	ck_assert(has("-append", "console=ttyS0 a,b"));
	ck_assert(has("-nodefaults", NULL));
	ck_assert(!has("-no-reboot", NULL));
}
END_TEST

/* vhost-user needs shared memory, with or without vsock. */
START_TEST(test_vhost)
{
	struct qemu_wiring wiring = {.qemu = "/usr/bin/qemu",
				     .accel = ACCEL_TCG,
				     .net_socket = "/run/x/a,b.sock",
				     .net_vhost = true};

	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has("-machine", "q35,accel=tcg,memory-backend=mem"));
	ck_assert(has("-object", "memory-backend-memfd,id=mem,size=536870912B,share=on"));
	ck_assert(has("-chardev", "socket,id=net0-socket,path=/run/x/a,,b.sock"));
	ck_assert(has("-netdev", "vhost-user,id=net0,chardev=net0-socket"));
	ck_assert(has("-device",
		      "virtio-net-pci,netdev=net0,id=net0-device,mac=52:54:00:00:00:01,romfile="));
	args_clear(&args);
	wiring.net_intx = true;
	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has(
		"-device",
		"virtio-net-pci,netdev=net0,id=net0-device,mac=52:54:00:00:00:01,romfile=,vectors=0"));
}
END_TEST

/* Whom QEMU connects to again, in the words of its version. */
START_TEST(test_reconnect)
{
	struct qemu_wiring wiring = {.qemu = "/usr/bin/qemu",
				     .net_socket = "/run/x/a.sock",
				     .net_reconnects = true,
				     .reconnect_ms = true};

	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has("-netdev", "stream,id=net0,server=off,addr.type=unix,addr.path=/run/x/a.sock,"
				 "reconnect-ms=250"));
	args_clear(&args);
	wiring.net_vhost = true;
	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has("-chardev", "socket,id=net0-socket,path=/run/x/a.sock,reconnect-ms=250"));
	args_clear(&args);
	wiring.reconnect_ms = false;
	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has("-chardev", "socket,id=net0-socket,path=/run/x/a.sock,reconnect=1"));
	ck_assert(has("-device", "virtio-net-pci,netdev=net0,id=net0-device,mac=52:54:00:00:00:01,"
				 "romfile=,status=off"));
}
END_TEST

/* What can't connect again can be exchanged. */
START_TEST(test_hub)
{
	struct qemu_wiring wiring = {
		.qemu = "/usr/bin/qemu", .net_socket = "/run/x/a.sock", .net_hub = true};

	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has("-netdev", "stream,id=net0-stream,server=off,addr.type=unix,"
				 "addr.path=/run/x/a.sock"));
	ck_assert(has("-netdev", "hubport,id=net0-port,hubid=0,netdev=net0-stream"));
	ck_assert(has("-netdev", "hubport,id=net0,hubid=0"));
	ck_assert(has("-device",
		      "virtio-net-pci,netdev=net0,id=net0-device,mac=52:54:00:00:00:01,romfile="));
}
END_TEST

/* Without vsock nothing needs shared memory; without a network nothing is attached. */
START_TEST(test_plain)
{
	machine.reboot_ends = true;
	build(NULL, NULL, ACCEL_KVM);
	ck_assert(has("-machine", "q35,accel=kvm"));
	ck_assert(has("-cpu", "host"));
	ck_assert(!has("-object", NULL));
	ck_assert(!has("-netdev", NULL));
	ck_assert(!has("-kernel", NULL));
	ck_assert(!has("-append", NULL));
	ck_assert(has("-no-reboot", NULL));
}
END_TEST

START_TEST(test_disks)
{
	machine.disks[0] = (struct machine_disk){.path = strdup("/d/a,b.raw"), .format = "raw"};
	machine.disks[1] = (struct machine_disk){
		.path = strdup("c.qcow2"), .format = "qcow2", .read_only = true};
	machine.disks[2] = (struct machine_disk){
		.path = strdup("/dev/sdx"), .format = "raw", .device = true};
	machine.disk_count = 3;
	build(NULL, NULL, ACCEL_TCG);
	/* QEMU's driver for files refuses devices. */
	ck_assert(has("-blockdev", "driver=host_device,node-name=disk2-file,read-only=off,"
				   "discard=unmap,filename=/dev/sdx"));
	ck_assert(has("-blockdev", "driver=file,node-name=disk0-file,read-only=off,discard=unmap,"
				   "filename=/d/a,,b.raw"));
	ck_assert(has("-blockdev",
		      "driver=raw,node-name=disk0,read-only=off,discard=unmap,file=disk0-file"));
	ck_assert(has("-device", "virtio-blk-pci,drive=disk0,id=disk0-device,bootindex=1"));
	ck_assert(has("-blockdev",
		      "driver=qcow2,node-name=disk1,read-only=on,discard=unmap,file=disk1-file"));
}
END_TEST

/* Everything that a machine can boot from and keep its data on. */
START_TEST(test_media)
{
	const struct prepared prepared = {.data_iso = "/s/config.iso",
					  .fw_code = "/fw/CODE.fd",
					  .fw_vars = "/s/efi-vars.qcow2"};
	struct qemu_wiring wiring = {
		.qemu = "/q", .accel = ACCEL_TCG, .dir = "/s", .prepared = &prepared};

	machine.iso = strdup("a.iso");
	machine.ignition = strdup("a,b.ign");
	machine.volumes[0] = (struct machine_volume){.path = strdup("/home"), .tag = "h,me"};
	machine.volume_count = 1;
	machine.balloon = true;
	machine.display.width = 1280;
	machine.display.height = 720;
	machine.vnc = strdup("127.0.0.1:1");
	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has("-machine", "q35,accel=tcg,memory-backend=mem"));
	ck_assert(has("-machine", "pflash0=fw-code,pflash1=fw-vars"));
	ck_assert(has("-blockdev", "driver=qcow2,node-name=fw-vars,file=fw-vars-file"));
	ck_assert(has("-device", "scsi-cd,bus=scsi0.0,drive=cd0,id=cd0-device,bootindex=0"));
	ck_assert(has("-device", "scsi-cd,bus=scsi0.0,drive=data0,id=data0-device"));
	ck_assert(has("-fw_cfg", "name=opt/com.coreos/config,file=a,,b.ign"));
	ck_assert(has("-chardev", "socket,id=fs0,path=/s/fs0.sock"));
	ck_assert(has("-device", "vhost-user-fs-pci,chardev=fs0,id=fs0-device,tag=h,,me"));
	ck_assert(has("-device", "VGA,vgamem_mb=256,edid=on,xres=1280,yres=720"));
	ck_assert(has("-vnc", "127.0.0.1:1"));
	ck_assert(has("-chardev", "socket,id=qmp-others,server=on,wait=off,path=/s/qmp.sock"));
	args_clear(&args);
	wiring.hotplug = true;
	ck_assert_int_eq(qemu_args_build(&machine, &wiring, &args), 0);
	ck_assert(has("-device", "pcie-root-port,id=port-fs0,chassis=1"));
	ck_assert(has("-device",
		      "vhost-user-fs-pci,chardev=fs0,id=fs0-device,bus=port-fs0,tag=h,,me"));
}
END_TEST

/* Its squashfs is a kernel's first disk; a kernel's disks don't boot. */
START_TEST(test_squashfs)
{
	machine.kernel = strdup("k");
	machine.squashfs = strdup("s");
	machine.disks[0] = (struct machine_disk){.path = strdup("d"), .format = "raw"};
	machine.disk_count = 1;
	build(NULL, NULL, ACCEL_TCG);
	ck_assert(has("-blockdev", "driver=raw,node-name=disk0,read-only=on,discard=unmap,"
				   "file=disk0-file"));
	ck_assert(has("-device", "virtio-blk-pci,drive=disk1,id=disk1-device"));
}
END_TEST

START_TEST(test_other_networks)
{
	machine.network = MACHINE_NETWORK_USER;
	ck_assert_int_eq(publish_parse("127.0.0.1:8080:80", &machine.publish[0].parsed,
				       &(struct problem){.text = ""}),
			 0);
	machine.publish_count = 1;
	build(NULL, NULL, ACCEL_TCG);
	ck_assert(has("-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80"));
	args_clear(&args);
	machine.network = MACHINE_NETWORK_TAP;
	strcpy(machine.network_if, "tap0");
	build(NULL, NULL, ACCEL_TCG);
	ck_assert(has("-netdev", "tap,id=net0,script=no,downscript=no,ifname=tap0"));
	args_clear(&args);
	machine.network = MACHINE_NETWORK_BRIDGED;
	build(NULL, NULL, ACCEL_TCG);
	ck_assert(has("-netdev", "bridge,id=net0,br=tap0"));
	machine.publish_count = 0;
}
END_TEST

START_TEST(test_aarch64)
{
	machine.arch = MACHINE_ARCH_AARCH64;
	build(NULL, NULL, ACCEL_TCG);
	ck_assert(has("-machine", "virt,gic-version=3,accel=tcg"));
	ck_assert(!has("-device", "pvpanic-pci"));
}
END_TEST

START_TEST(test_virtiofsd)
{
	struct machine_volume volume = {.path = "/a,b\\c", .read_only = true};

	ck_assert_int_eq(volume_args_build("/usr/lib/qemu/virtiofsd", &volume, 5, &args), 0);
	ck_assert(has("-o", "source=/a\\,b\\\\c"));
	ck_assert(has("--fd=5", NULL));
	args_clear(&args);
	ck_assert_int_eq(volume_args_build("/usr/libexec/virtiofsd", &volume, 5, &args), 0);
	ck_assert(has("--shared-dir", "/a,b\\c"));
	ck_assert(has("--readonly", NULL));
}
END_TEST

/* A comma in a path is doubled where QEMU splits at commas: else it could smuggle in an option. */
START_TEST(test_commas)
{
	build("/t/a,addr.path=b", "/t/c,server=on", ACCEL_TCG);
	ck_assert(has("-netdev",
		      "stream,id=net0,server=off,addr.type=unix,addr.path=/t/a,,addr.path=b"));
	ck_assert(has("-chardev", "socket,id=vsock0,path=/t/c,,server=on"));
}
END_TEST

START_TEST(test_proxy)
{
	struct proxy_conf conf = {.program = "/bin/netproxy", .dir = "/run/x", .machine = &machine};
	static const char *const wanted[] = {
		"/bin/netproxy",
		"--link",
		"vhost:/run/x/net.sock",
		"--vsock",
		"/run/x/vsock.sock,cid=3",
		"--api",
		"unix:/run/x/api.sock",
		"--dhcp-host",
		"52:54:00:00:00:01=192.168.65.9",
		"--publish",
		"8080:80",
		"--publish",
		"[::1]:53:53/udp",
		"--log-file",
		"/run/x/netproxy.log",
		"--pid-file",
		"/run/x/netproxy.pid",
		"--notify-fd",
		"12",
	};

	ck_assert_int_eq(addr_parse("192.168.65.9", &machine.ip), 0);
	machine.publish[0].text = strdup("8080:80");
	machine.publish[1].text = strdup("[::1]:53:53/udp");
	machine.publish_count = 2;
	ck_assert_int_eq(proxy_args_build(&conf, 12, &args), 0);
	ck_assert_uint_eq(args.count, sizeof(wanted) / sizeof(wanted[0]));
	for (size_t i = 0; i < args.count; i++)
		ck_assert_str_eq(args.items[i], wanted[i]);
	args_clear(&args);
	machine.net_device = MACHINE_NET_DEVICE_STREAM;
	ck_assert_int_eq(proxy_args_build(&conf, 12, &args), 0);
	ck_assert_str_eq(args.items[2], "qemu:/run/x/net.sock");
}
END_TEST

START_TEST(test_shell_line)
{
	char *line;

	args_add(&args, "plain");
	args_add(&args, "two words");
	args_add(&args, "it's");
	args_add(&args, "");
	args_add(&args, "$HOME;rm");
	line = args_shell_line(&args);
	ck_assert_str_eq(line, "plain 'two words' 'it'\\''s' '' '$HOME;rm'");
	free(line);
}
END_TEST

START_TEST(test_full)
{
	for (size_t i = 0; i < ARGS_MAX; i++)
		args_addf(&args, "%zu", i);
	ck_assert(args_ok(&args));
	args_add(&args, "one too many");
	ck_assert(!args_ok(&args));
	ck_assert_uint_eq(args.count, ARGS_MAX);
	ck_assert_ptr_null(args.items[ARGS_MAX]);
}
END_TEST

START_TEST(test_append_to_nothing)
{
	args_append(&args, "x");
	ck_assert(!args_ok(&args));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_args");
	TCase *tcase = unit_case(suite, "args", setup, teardown);

	tcase_add_test(tcase, test_userspace);
	tcase_add_test(tcase, test_vhost);
	tcase_add_test(tcase, test_reconnect);
	tcase_add_test(tcase, test_hub);
	tcase_add_test(tcase, test_plain);
	tcase_add_test(tcase, test_disks);
	tcase_add_test(tcase, test_media);
	tcase_add_test(tcase, test_squashfs);
	tcase_add_test(tcase, test_other_networks);
	tcase_add_test(tcase, test_aarch64);
	tcase_add_test(tcase, test_virtiofsd);
	tcase_add_test(tcase, test_commas);
	tcase_add_test(tcase, test_proxy);
	tcase_add_test(tcase, test_shell_line);
	tcase_add_test(tcase, test_full);
	tcase_add_test(tcase, test_append_to_nothing);
	return unit_run(suite);
}
