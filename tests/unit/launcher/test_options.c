/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of "netproxy-vm run": what is taken, and for each mistake the one line that is
 * said. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/flags.h"
#include "launcher/options.h"
#include "launcher/state_dir.h"

#define WORDS_MAX 40

static char folder[] = "/tmp/np-options-XXXXXX";

static void put_file(const char *name, const char *content, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, size), (ssize_t)size);
	close(fd);
}

/* The files that the tables name, in a directory that is the current one. */
static void setup(void)
{
	strcpy(folder, "/tmp/np-options-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	put_file("kernel", "MZ", 2);
	put_file("initrd", "070701", 6);
	put_file("empty", "", 0);
	put_file("disk.raw", "raw", 3);
	put_file("disk.qcow2", "QFI\xfb\0\0\0\3", 8);
	put_file("disguised.raw", "QFI\xfb\0\0\0\3", 8);
	put_file("fake.qcow2", "raw", 3);
	put_file("img-kernel", "MZ", 2);
	put_file("img-initrd.img", "070701", 6);
	put_file("img-cmdline", "console=ttyS0 root=x\n", 21);
	put_file("half-kernel", "MZ", 2);
	put_file("nul-kernel", "MZ", 2);
	put_file("nul-initrd.img", "MZ", 2);
	put_file("nul-cmdline", "a\0b", 3);
	ck_assert_int_eq(mkdir("folder", 0700), 0);
}

static void teardown(void)
{
	struct state_dir dir = {.lock_fd = -1, .temporary = true};

	strcpy(dir.path, folder);
	ck_assert_int_eq(chdir("/"), 0);
	state_dir_close(&dir);
	ck_assert_int_lt(access(folder, F_OK), 0);
}

/* Parses `line`, cut at blanks ('~' stands for a blank within a word), and completes it. */
static int take(const char *line, struct run_options *options, struct problem *problem)
{
	static char copy[16384];
	char *words[WORDS_MAX + 1] = {"run"}, *next = copy, *word;
	int count = 1, r;

	ck_assert_uint_lt(strlen(line), sizeof(copy));
	strcpy(copy, line);
	while ((word = strsep(&next, " ")) && count < WORDS_MAX) {
		for (char *c = word; *c; c++)
			if (*c == '~')
				*c = ' ';
		if (word[0] != '\0')
			words[count++] = strcmp(word, "''") == 0 ? "" : word;
	}
	problem->text[0] = '\0';
	r = run_options_parse(count, words, options, problem);
	return r == 0 ? run_options_complete(options, problem) : r;
}

/* Where everything else is right. */
#define OK "-kernel kernel -initrd initrd -qemu /bin/true -netproxy /bin/true "

static const struct mistake {
	const char *line;
	const char *said[3]; /* parts of the message: what is wrong, and what would be right */
} mistakes[] = {
	{"", {"nothing to boot", "-kernel FILE"}},
	{"-kernal kernel", {"unknown flag -kernal", "did you mean -kernel?"}},
	{"-memory 512", {"unknown flag -memory", "did you mean -mem?"}},
	{"--net userspace", {"unknown flag -net", "did you mean -networking?"}},
	{"-xyzzyx 1", {"unknown flag -xyzzyx", "-help"}},
	{"-=3", {"unknown flag", "-help"}},
	{"-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", {"unknown flag", "-help"}},
	{OK "-mem", {"-mem needs a value", "-mem SIZE"}},
	{OK "-mem 0", {"-mem \"0\"", "32M to 4T"}},
	{OK "-mem 31M", {"-mem \"31M\"", "32M to 4T"}},
	{OK "-mem 5T", {"-mem \"5T\"", "32M to 4T"}},
	{OK "-mem 512X", {"-mem \"512X\"", "512M, 2G"}},
	{OK "-mem 512MBs", {"-mem \"512MBs\"", "512M, 2G"}},
	{OK "-mem -1", {"-mem \"-1\"", "512M, 2G"}},
	{OK "-mem 1.5G", {"-mem \"1.5G\"", "512M, 2G"}},
	{OK "-mem 99999999999999T", {"-mem", "512M, 2G"}},
	{OK "-mem 33000K", {"whole mebibytes"}},
	{OK "-cpus 0", {"-cpus \"0\"", "from 1 to 255"}},
	{OK "-cpus 256", {"-cpus \"256\"", "from 1 to 255"}},
	{OK "-cpus two", {"-cpus \"two\"", "from 1 to 255"}},
	{OK "-cpus 4294967297", {"-cpus", "from 1 to 255"}},
	{OK "-accel hvf", {"-accel \"hvf\"", "auto, kvm"}},
	{OK "-net-device tap", {"-net-device \"tap\"", "stream"}},
	{OK "-networking vmnet", {"-networking \"vmnet\"", "userspace,SOCKET"}},
	{OK "-networking userspace,", {"path is missing"}},
	{OK "-networking userspace,/tmp/np-no-such/socket",
	 {"no netproxy answers", "--link qemu:"}},
	{OK "-publish 8080", {"-publish \"8080\"", "HOSTPORT:GUESTPORT"}},
	{OK "-publish 8080:80/sctp", {"tcp or udp", "\"sctp\""}},
	{OK "-publish 70000:80", {"host's port \"70000\"", "1 to 65535"}},
	{OK "-publish 8080:0", {"guest's port \"0\"", "1 to 65535"}},
	{OK "-publish localhost:8080:80", {"\"localhost\" is not an address"}},
	{OK "-publish 192.0.2.77:8080:80", {"192.0.2.77", "no such address"}},
	{OK "-publish 28081:80 -publish 127.0.0.1:28081:81", {"the same port", "28081:80"}},
	{OK "-networking none -publish 28081:80", {"-publish needs a network"}},
	{OK "-networking userspace,x -publish 28081:80", {"netproxyctl expose"}},
	{OK "-mac 52:54:00", {"-mac \"52:54:00\"", "52:54:00:12:34:56"}},
	{OK "-mac ff:ff:ff:ff:ff:ff", {"-mac", "must be even"}},
	{OK "-mac 00:00:00:00:00:00", {"-mac", "not all be zero"}},
	{OK "-name a/b", {"-name \"a/b\"", "letters, digits"}},
	{OK "-name ''", {"-name \"\"", "letters, digits"}},
	{OK "-name -x", {"-name \"-x\""}},
	{OK "-console pty", {"-console \"pty\"", "file:PATH"}},
	{OK "-console file:", {"-console \"file:\"", "file:PATH"}},
	{OK "-console file:no-such/console", {"can't write it"}},
	{OK "-stop-timeout 0", {"-stop-timeout", "from 1 to 3600"}},
	{OK "-stop-timeout=3601", {"-stop-timeout", "from 1 to 3600"}},
	{OK "-no-reboot=maybe", {"-no-reboot is a switch", "\"maybe\""}},
	{OK "-log-level loud", {"-log-level \"loud\"", "error, warn"}},
	{OK "-disk ''", {"-disk: the value is empty"}},
	{OK "-disk ,ro", {"-disk \",ro\"", "the path is missing"}},
	{OK "-disk disk.raw,rw", {"format=raw or format=qcow2", "\"rw\""}},
	{OK "-disk disk.raw,format=vmdk", {"format=qcow2", "\"format=vmdk\""}},
	{OK "-disk no-such.raw", {"-disk no-such.raw: No such file"}},
	{OK "-disk folder", {"neither a file nor a block device"}},
	{OK "-disk disguised.raw", {"isn't named so", "format=qcow2"}},
	{OK "-disk fake.qcow2", {"not a qcow2 image"}},
	{OK "-qemu /no/such/qemu", {"QEMU is missing", "apt-get install"}},
	{OK "-netproxy /no/such/netproxy", {"netproxy is missing", "-netproxy"}},
	{OK "-state ''", {"-state: the value is empty"}},
	{OK
	 "-state /tmp/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	 "aaaaaaaaaa",
	 {"leave room for", "shorter"}},
	{OK "image", {"-kernel and PATH both"}},
	{"-kernel no-such", {"-kernel no-such: No such file"}},
	{"-kernel folder", {"-kernel folder: that is not a file"}},
	{"-kernel empty", {"-kernel empty: the file is empty"}},
	{"-kernel kernel -initrd no-such", {"-initrd no-such: No such file"}},
	{"-initrd initrd", {"nothing to boot"}},
	{"-disk disk.raw -initrd initrd", {"-initrd needs a -kernel"}},
	{"-disk disk.raw -cmdline quiet", {"-cmdline needs a -kernel"}},
	{"no-such", {"no image of that name", "no-such-kernel"}},
	{"half", {"half-initrd.img: No such file"}},
	{"nul", {"nul-cmdline", "at most 2047"}},
	{"img other", {"one PATH only", "\"other\""}},
};

START_TEST(test_mistake)
{
	const struct mistake *m = &mistakes[_i];
	struct run_options options;
	struct problem problem;
	int r = take(m->line, &options, &problem);

	ck_assert_msg(r < 0, "\"%s\" was taken", m->line);
	for (size_t i = 0; i < 3 && m->said[i]; i++)
		ck_assert_msg(strstr(problem.text, m->said[i]) != NULL,
			      "\"%s\": \"%s\" is not in: %s", m->line, m->said[i], problem.text);
	ck_assert_ptr_null(strchr(problem.text, '\n'));
	run_options_clear(&options);
}
END_TEST

START_TEST(test_defaults)
{
	struct run_options o;
	struct problem problem;

	ck_assert_msg(take(OK, &o, &problem) == 0, "%s", problem.text);
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
	int r = take(OK
		     "--mem=2G --cpus 4 -accel=tcg -cmdline quiet~splash -name box.1 --no-reboot "
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

	ck_assert_msg(take("-qemu /bin/true -netproxy /bin/true img -mem 1024", &o, &problem) == 0,
		      "%s", problem.text);
	ck_assert_str_eq(o.machine.kernel, "img-kernel");
	ck_assert_str_eq(o.machine.initrd, "img-initrd.img");
	ck_assert_str_eq(o.machine.cmdline, "console=ttyS0 root=x");
	run_options_clear(&o);
	ck_assert_int_eq(
		take("-qemu /bin/true -netproxy /bin/true -cmdline '' -- img", &o, &problem), 0);
	ck_assert_str_eq(o.machine.cmdline, "");
	run_options_clear(&o);
}
END_TEST

START_TEST(test_disk_alone_boots)
{
	struct run_options o;
	struct problem problem;

	ck_assert_int_eq(take("-qemu /bin/true -networking none -disk disk.raw", &o, &problem), 0);
	ck_assert_ptr_null(o.machine.kernel);
	ck_assert_ptr_null(o.machine.cmdline);
	run_options_clear(&o);
}
END_TEST

START_TEST(test_help)
{
	static const char *const lines[] = {"-help", "--help", "-h", OK "-help"};
	struct run_options o;
	struct problem problem;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_int_eq(take(lines[i], &o, &problem), FLAGS_HELP);
		run_options_clear(&o);
	}
}
END_TEST

START_TEST(test_too_many)
{
	char line[16384] = OK;
	struct run_options o;
	struct problem problem;

	for (int i = 0; i < MACHINE_DISKS_MAX + 1; i++)
		strcat(line, "-disk=disk.raw ");
	ck_assert_int_lt(take(line, &o, &problem), 0);
	ck_assert_ptr_nonnull(strstr(problem.text, "at most 16 disks"));
	run_options_clear(&o);
}
END_TEST

START_TEST(test_long_cmdline)
{
	char line[8192] = OK "-cmdline ";
	struct run_options o;
	struct problem problem;
	size_t start = strlen(line);

	memset(line + start, 'x', MACHINE_CMDLINE_MAX);
	ck_assert_int_lt(take(line, &o, &problem), 0);
	ck_assert_ptr_nonnull(strstr(problem.text, "at most 2047"));
	run_options_clear(&o);
	line[start + MACHINE_CMDLINE_MAX - 1] = '\0';
	ck_assert_int_eq(take(line, &o, &problem), 0);
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
	ck_assert_int_lt(take(line, &o, &problem), 0);
	ck_assert_ptr_nonnull(strstr(problem.text, "in use already"));
	run_options_clear(&o);
	fd_close(&fd);
	ck_assert_int_eq(take(line, &o, &problem), 0);
	run_options_clear(&o);
}
END_TEST

/* With -state the address stays the same, and differs from that of another directory. */
START_TEST(test_mac_of_state)
{
	struct run_options a, b, c;
	struct problem problem;

	ck_assert_int_eq(take(OK "-state folder", &a, &problem), 0);
	ck_assert_int_eq(take(OK "-state ./folder/", &b, &problem), 0);
	ck_assert_int_eq(take(OK "-state other", &c, &problem), 0);
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
	TCase *tcase = tcase_create("options");
	SRunner *runner = srunner_create(suite);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_mistake, 0, (int)(sizeof(mistakes) / sizeof(mistakes[0])));
	tcase_add_test(tcase, test_defaults);
	tcase_add_test(tcase, test_everything);
	tcase_add_test(tcase, test_image);
	tcase_add_test(tcase, test_disk_alone_boots);
	tcase_add_test(tcase, test_help);
	tcase_add_test(tcase, test_too_many);
	tcase_add_test(tcase, test_long_cmdline);
	tcase_add_test(tcase, test_occupied_port);
	tcase_add_test(tcase, test_mac_of_state);
	tcase_add_test(tcase, test_sizes);
	tcase_add_test(tcase, test_state_dir);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
