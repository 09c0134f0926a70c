/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of "netproxy-vm run": what is taken. test_mistakes.c has what isn't. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/flags.h"
#include "launcher/option_values.h"
#include "launcher/state_dir.h"
#include "options_fixture.h"
#include "unit.h"

START_TEST(test_defaults)
{
	struct run_options o;
	struct problem problem;

	ck_assert_msg(fixture_take(OK, &o, &problem) == 0, "%s", problem.text);
	ck_assert_uint_eq(o.machine.mem_bytes, UINT64_C(512) << 20);
	ck_assert_uint_eq(o.machine.cpus, 1);
	ck_assert_int_eq(o.machine.network, MACHINE_NETWORK_USERSPACE);
	ck_assert_str_eq(o.machine.cmdline, "console=ttyS0");
	ck_assert_int_eq(o.accel, ACCEL_WISH_AUTO);
	ck_assert_int_eq(o.console, RUN_CONSOLE_STDIO);
	ck_assert_uint_eq(o.stop_timeout_s, 30);
	ck_assert_int_eq(memcmp(o.machine.mac.bytes, "\x52\x54\x00", 3), 0);
	ck_assert_str_eq(o.qemu, "/bin/true");
	ck_assert_ptr_null(o.state_dir);
	run_options_clear(&o);
}
END_TEST

START_TEST(test_everything)
{
	struct run_options o;
	struct problem problem;
	int r = fixture_take(
		OK "--mem=2G --cpus 4 -accel=tcg -cmdline quiet~splash -name box.1 --no-reboot "
		   "-publish 28082:80 -publish=127.0.0.1:28083:53/udp -mac 02:00:00:00:00:01 "
		   "-disk disk.raw -disk file=disk.qcow2,ro -disk disguised.raw,format=raw "
		   "-console file:out -stop-timeout 5 -log-level error -cpus 2",
		&o, &problem);

	ck_assert_msg(r == 0, "%s", problem.text);
	ck_assert_uint_eq(o.machine.mem_bytes, UINT64_C(2) << 30);
	ck_assert_uint_eq(o.machine.cpus, 2); /* the last one counts */
	ck_assert_str_eq(o.machine.cmdline, "quiet splash");
	ck_assert_str_eq(o.machine.name, "box.1");
	ck_assert(o.machine.reboot_ends);
	ck_assert_uint_eq(o.machine.publish_count, 2);
	ck_assert_str_eq(o.machine.publish[1].text, "127.0.0.1:28083:53/udp");
	ck_assert_uint_eq(o.machine.disk_count, 3);
	ck_assert_str_eq(o.machine.disks[0].format, "raw");
	ck_assert_str_eq(o.machine.disks[1].format, "qcow2");
	ck_assert_str_eq(o.machine.disks[1].path, "disk.qcow2");
	ck_assert(o.machine.disks[1].read_only);
	ck_assert_str_eq(o.machine.disks[2].format, "raw");
	ck_assert_int_eq(o.machine.mac.bytes[5], 1);
	ck_assert_str_eq(o.console_file, "out");
	run_options_clear(&o);
}
END_TEST

START_TEST(test_image)
{
	struct run_options o;
	struct problem problem;

	ck_assert_msg(fixture_take("-qemu /bin/true -netproxy /bin/true img -mem 1024", &o,
				   &problem) == 0,
		      "%s", problem.text);
	ck_assert_str_eq(o.machine.kernel, "img-kernel");
	ck_assert_str_eq(o.machine.initrd, "img-initrd.img");
	ck_assert_str_eq(o.machine.cmdline, "console=ttyS0 root=x");
	run_options_clear(&o);
	ck_assert_int_eq(fixture_take("-qemu /bin/true -netproxy /bin/true -cmdline '' -- img", &o,
				      &problem),
			 0);
	ck_assert_str_eq(o.machine.cmdline, "");
	run_options_clear(&o);
}
END_TEST

START_TEST(test_disk_alone_boots)
{
	struct run_options o;
	struct problem problem;

	ck_assert_int_eq(
		fixture_take("-qemu /bin/true -networking none -disk disk.raw", &o, &problem), 0);
	ck_assert_ptr_null(o.machine.kernel);
	ck_assert_ptr_null(o.machine.cmdline);
	run_options_clear(&o);
}
END_TEST

/* LinuxKit's words. */
START_TEST(test_words)
{
	struct run_options o;
	struct problem problem;
	int r = fixture_take(
		OK "-disk new.qcow2,size=10G -data-file user.ign -ignition user.ign "
		   "-ip 192.168.65.77 -vsock-ports 2374,5000 -vsock-ports 2374 -volume folder "
		   "-volume folder:more:ro -display retina -vnc 127.0.0.1:5987 -mem 1G "
		   "-balloon 512M -console pty -arch amd64",
		&o, &problem);

	ck_assert_msg(r == 0, "%s", problem.text);
	ck_assert_uint_eq(o.machine.disks[0].create_bytes, UINT64_C(10) << 30);
	ck_assert_str_eq(o.machine.disks[0].format, "qcow2");
	ck_assert_uint_eq(o.machine.data_size, 2);
	ck_assert_str_eq(o.machine.data, "{}");
	ck_assert_uint_eq(o.machine.vsock_port_count, 2);
	ck_assert_uint_eq(o.machine.vsock_ports[1], 5000);
	ck_assert_uint_eq(o.machine.volume_count, 2);
	ck_assert_str_eq(o.machine.volumes[0].tag, "folder");
	ck_assert(!o.machine.volumes[0].read_only);
	ck_assert_int_eq(o.machine.volumes[1].path[0], '/');
	ck_assert(o.machine.volumes[1].read_only);
	ck_assert_uint_eq(o.machine.display.width, 2560);
	ck_assert_uint_eq(o.machine.display.ppi, 227);
	ck_assert_str_eq(o.machine.vnc, "127.0.0.1:87");
	ck_assert_uint_eq(o.machine.balloon_bytes, UINT64_C(512) << 20);
	ck_assert_int_eq(o.console, RUN_CONSOLE_PTY);
	run_options_clear(&o);
}
END_TEST

START_TEST(test_ssh_key)
{
	static const char *const lines[] = {OK "-ssh-key key.pub",
					    OK "-ssh-key ssh-ed25519~AAAAC3Nz~me@here"};
	struct run_options o;
	struct problem problem;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_msg(fixture_take(lines[i], &o, &problem) == 0, "%s", problem.text);
		ck_assert_str_eq(o.machine.ssh_key, "ssh-ed25519 AAAAC3Nz me@here");
		ck_assert_int_eq(o.machine.data_format, MACHINE_DATA_NOCLOUD);
		run_options_clear(&o);
	}
}
END_TEST

/* PATH is an image's name, or the file of a disk or CD. */
START_TEST(test_paths)
{
	struct run_options o;
	struct problem problem;
	const char *programs = "-qemu /bin/true -netproxy /bin/true ";
	char line[256];

	snprintf(line, sizeof(line), "%s root", programs);
	ck_assert_msg(fixture_take(line, &o, &problem) == 0, "%s", problem.text);
	ck_assert_str_eq(o.machine.squashfs, "root-squashfs.img");
	ck_assert_ptr_null(o.machine.initrd);
	ck_assert_str_eq(o.machine.cmdline, "console=ttyS0 root=/dev/vda rootfstype=squashfs ro");
	run_options_clear(&o);
	snprintf(line, sizeof(line), "%s -disk disk.qcow2 disk.raw", programs);
	ck_assert_msg(fixture_take(line, &o, &problem) == 0, "%s", problem.text);
	ck_assert_uint_eq(o.machine.disk_count, 2);
	ck_assert_str_eq(o.machine.disks[0].path, "disk.raw");
	ck_assert_str_eq(o.machine.disks[1].path, "disk.qcow2");
	run_options_clear(&o);
	snprintf(line, sizeof(line), "%s cd.iso", programs);
	ck_assert_msg(fixture_take(line, &o, &problem) == 0, "%s", problem.text);
	ck_assert_str_eq(o.machine.iso, "cd.iso");
	run_options_clear(&o);
}
END_TEST

START_TEST(test_help)
{
	static const char *const lines[] = {"-help", "--help", "-h", OK "-help"};
	struct run_options o;
	struct problem problem;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_int_eq(fixture_take(lines[i], &o, &problem), FLAGS_HELP);
		run_options_clear(&o);
	}
}
END_TEST

START_TEST(test_long_cmdline)
{
	char line[8192] = OK "-cmdline ";
	struct run_options o;
	struct problem problem;
	size_t start = strlen(line);

	memset(line + start, 'x', MACHINE_CMDLINE_MAX);
	ck_assert_int_lt(fixture_take(line, &o, &problem), 0);
	ck_assert_ptr_nonnull(strstr(problem.text, "at most 2047"));
	run_options_clear(&o);
	line[start + MACHINE_CMDLINE_MAX - 1] = '\0';
	ck_assert_int_eq(fixture_take(line, &o, &problem), 0);
	run_options_clear(&o);
}
END_TEST

START_TEST(test_occupied_port)
{
	struct endpoint at;
	struct run_options o;
	struct problem problem;
	char line[256];
	int fd;

	ck_assert_int_eq(endpoint_parse("127.0.0.1:0", true, &at), 0);
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &at), 0);
	snprintf(line, sizeof(line), OK "-publish 127.0.0.1:%u:80", at.port);
	ck_assert_int_lt(fixture_take(line, &o, &problem), 0);
	ck_assert_ptr_nonnull(strstr(problem.text, "in use already"));
	run_options_clear(&o);
	fd_close(&fd);
	ck_assert_int_eq(fixture_take(line, &o, &problem), 0);
	run_options_clear(&o);
}
END_TEST

/* With -state the address stays the same, and differs from that of another directory. */
START_TEST(test_mac_of_state)
{
	struct run_options a, b, c;
	struct problem problem;

	ck_assert_int_eq(fixture_take(OK "-state folder", &a, &problem), 0);
	ck_assert_int_eq(fixture_take(OK "-state ./folder/", &b, &problem), 0);
	ck_assert_int_eq(fixture_take(OK "-state other", &c, &problem), 0);
	ck_assert(mac_equal(&a.machine.mac, &b.machine.mac));
	ck_assert(!mac_equal(&a.machine.mac, &c.machine.mac));
	run_options_clear(&a);
	run_options_clear(&b);
	run_options_clear(&c);
}
END_TEST

START_TEST(test_sizes)
{
	uint64_t bytes = 7;

	ck_assert_int_eq(size_parse("1", &bytes), 0);
	ck_assert_uint_eq(bytes, 1u << 20);
	ck_assert_int_eq(size_parse("3g", &bytes), 0);
	ck_assert_uint_eq(bytes, UINT64_C(3) << 30);
	ck_assert_int_eq(size_parse("2GiB", &bytes), 0);
	ck_assert_uint_eq(bytes, UINT64_C(2) << 30);
	ck_assert_int_eq(size_parse("4KB", &bytes), 0);
	ck_assert_uint_eq(bytes, 4096);
	ck_assert_int_eq(size_parse("", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse("G", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse("1Gi", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse("18446744073709551616", &bytes), -EINVAL);
	ck_assert_uint_eq(bytes, 4096);
}
END_TEST

START_TEST(test_state_dir)
{
	struct state_dir dir, again;
	struct problem problem;

	ck_assert_int_eq(state_dir_open(&dir, "machine", &problem), 0);
	ck_assert_int_eq(state_dir_open(&again, "machine", &problem), -EBUSY);
	ck_assert_ptr_nonnull(strstr(problem.text, "in use by a machine that runs"));
	state_dir_close(&dir);
	ck_assert_int_eq(access("machine", F_OK), 0);
	ck_assert_int_eq(state_dir_open(&again, "machine", &problem), 0);
	state_dir_close(&again);
	ck_assert_int_eq(state_dir_open(&dir, "kernel", &problem), -ENOTDIR);
	ck_assert_int_lt(state_dir_open(&dir, "no/such/parent", &problem), 0);

	ck_assert_int_eq(state_dir_open(&dir, NULL, &problem), 0);
	strcpy(again.path, dir.path);
	ck_assert_int_eq(access(dir.path, W_OK), 0);
	state_dir_close(&dir);
	ck_assert_int_lt(access(again.path, F_OK), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_options");
	TCase *tcase = unit_case(suite, "options", fixture_setup, fixture_teardown);

	tcase_add_test(tcase, test_defaults);
	tcase_add_test(tcase, test_everything);
	tcase_add_test(tcase, test_image);
	tcase_add_test(tcase, test_disk_alone_boots);
	tcase_add_test(tcase, test_words);
	tcase_add_test(tcase, test_ssh_key);
	tcase_add_test(tcase, test_paths);
	tcase_add_test(tcase, test_help);
	tcase_add_test(tcase, test_long_cmdline);
	tcase_add_test(tcase, test_occupied_port);
	tcase_add_test(tcase, test_mac_of_state);
	tcase_add_test(tcase, test_sizes);
	tcase_add_test(tcase, test_state_dir);
	return unit_run(suite);
}
