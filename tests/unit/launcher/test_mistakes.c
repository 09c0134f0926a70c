/* SPDX-License-Identifier: Apache-2.0 */
/* Wrong command lines of "netproxy-vm run": for each mistake the one line that is said, which names
 * what is wrong and what would be right. Nothing is started, and nothing made. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "options_fixture.h"
#include "unit.h"

static const struct mistake {
	const char *line;
	const char *said[3]; /* parts of the message: what is wrong, and what would be right */
} mistakes[] = {
	{"", {"nothing to boot", "-kernel FILE"}},
	{"-kernal kernel", {"unknown flag -kernal", "did you mean -kernel FILE?"}},
	{"-memory 512", {"unknown flag -memory", "did you mean -mem SIZE?"}},
	{"--net userspace", {"unknown flag -net", "did you mean -networking"}},
	{"-m 512", {"unknown flag -m", "did you mean -mem SIZE?"}},
	{"-p=8080:80", {"unknown flag -p:", "did you mean -publish [IP:]HOST:GUEST"}},
	{"-append quiet", {"unknown flag -append", "did you mean -cmdline TEXT?"}},
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
	{OK "-console tty", {"-console \"tty\"", "file:PATH"}},
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
	{OK "-networking bridged:", {"after the colon", "ip link"}},
	{OK "-networking tap:a-name-that-is-too-long", {"at most 15 characters"}},
	{OK "-networking bridged:npnobridge", {"no bridge of that name", "userspace"}},
	{OK "-networking tap:npnotap", {"no tap interface", "ip tuntap add npnotap"}},
	{OK "-networking userspace,x,api=", {"after api=", "control socket"}},
	{OK "-networking user -ip 192.168.65.9", {"-ip is given by netproxy's DHCP"}},
	{OK "-networking tap:x -publish 28081:80", {"-publish isn't needed on x"}},
	{OK "-networking user -vsock-ports 5", {"-vsock-ports needs a netproxy"}},
	{OK "-ip fe80::1", {"-ip \"fe80::1\"", "192.168.65.10"}},
	{OK "-ip 300.1.1.1", {"-ip \"300.1.1.1\"", "192.168.65.10"}},
	{OK "-ip 10.0.0.5", {"192.168.65.0/24", "192.168.65.2 to 192.168.65.253"}},
	{OK "-ip 192.168.65.1", {"the network's own", "gateway"}},
	{OK "-ip 192.168.65.254", {"the network's own"}},
	{OK "-ip 192.168.65.255", {"the network's own"}},
	{OK "-vsock-ports 0", {"1 to 4294967294", "2374,5000"}},
	{OK "-vsock-ports 2374,", {"1 to 4294967294"}},
	{OK "-vsock-ports 4294967295", {"1 to 4294967294"}},
	{OK "-vsock-ports 1,2,x", {"1 to 4294967294"}},
	{OK "-disk new.raw,size=10Q", {"\"10Q\" is not a size", "10G"}},
	{OK "-disk new.raw,size=100K", {"from 1M to 16T"}},
	{OK "-disk new.raw,size=17T", {"from 1M to 16T"}},
	{OK "-disk no-such/new.raw,size=1G", {"can't be made in no-such"}},
	{OK "-disk new.raw,size=1G,ro", {"no use", "leave out size= or ro"}},
	{OK "-disk no-such.raw", {"add size=10G to have it made"}},
	{OK "-disk disk.raw -disk ./disk.raw", {"-disk disk.raw as well", "destroy"}},
	{OK "-iso cd.iso", {"-kernel and -iso both"}},
	{"-iso cd.iso img", {"-iso and PATH both"}},
	{"-iso no-such.iso", {"-iso no-such.iso: No such file"}},
	{"-iso disk.raw", {"not an image of a CD", "-disk"}},
	{"-squashfs kernel", {"nothing to boot"}},
	{"-disk disk.raw -squashfs kernel", {"-squashfs needs a -kernel"}},
	{"-kernel kernel -squashfs empty", {"-squashfs empty: the file is empty"}},
	{"disk.raw -cmdline x", {"boot loader of its own", "-cmdline"}},
	{"-disk disk.raw -fw no-such.fd", {"-fw no-such.fd: No such file"}},
	{"-disk disk.raw -fw folder", {"not a firmware's file"}},
	{"-disk disk.raw -fw kernel", {"no whole firmware image", "OVMF.fd"}},
	{OK "-data ''", {"-data: the value is empty"}},
	{OK "-data x -data-file kernel", {"-data and -data-file both"}},
	{OK "-data-file no-such", {"-data-file no-such: No such file"}},
	{OK "-data-file large", {"at most 1048576 bytes"}},
	{OK "-data-format nocloud", {"-data-format without metadata", "-data"}},
	{OK "-data x -data-format xml", {"-data-format \"xml\"", "config", "nocloud"}},
	{OK "-ssh-key no-such", {"-ssh-key no-such: No such file"}},
	{OK "-ssh-key key", {"a private key", "key.pub"}},
	{OK "-ssh-key kernel", {"not a public SSH key", "ssh-ed25519"}},
	{OK "-ssh-key key.pub -data x", {"-data-format nocloud"}},
	{OK "-ssh-key key.pub -data x -data-format config", {"leave out -data-format config"}},
	{OK "-ignition no-such", {"-ignition no-such: No such file"}},
	{OK "-ignition large", {"at most 1048576 bytes"}},
	{OK "-volume no-such", {"-volume no-such: No such file"}},
	{OK "-volume kernel", {"not a directory"}},
	{OK "-volume :tag", {"the path is missing"}},
	{OK "-volume folder::ro", {"PATH:TAG", "1 to 35"}},
	{OK "-volume folder:a/b", {"without a slash"}},
	{OK "-volume /", {"give it a tag", "/:TAG"}},
	{OK "-volume folder -volume folder:folder:ro", {"the tag \"folder\"", "give another"}},
	{OK "-display huge", {"-display \"huge\"", "1920x1080"}},
	{OK "-display 1920", {"-display \"1920\"", "1920x1080"}},
	{OK "-display 1920x1080@", {"-display", "2560x1600@227"}},
	{OK "-display 1920x1080@0", {"-display", "2560x1600@227"}},
	{OK "-display 100x100", {"from 320x240 to 8192x8192"}},
	{OK "-display 9000x1000", {"from 320x240 to 8192x8192"}},
	{OK "-vnc 5900", {"-vnc shows a screen", "-display 1080p"}},
	{OK "-headless=false", {"-headless=false shows a screen", "-display 1080p"}},
	{OK "-headless=no", {"-headless is a switch"}},
	{OK "-display 4k -vnc 80", {"-vnc \"80\"", "from 5900 on"}},
	{OK "-display 4k -vnc here:5900", {"-vnc \"here:5900\"", "127.0.0.1:5901"}},
	{OK "-display 4k -vnc 192.0.2.77:5999", {"can't listen there", "an address of this host"}},
	{OK "-display 4k -vnc unix:", {"1 to 107 characters"}},
	{OK "-balloon 1G", {"-balloon: that is more", "-mem 512M"}},
	{OK "-balloon 1M", {"-balloon \"1M\"", "32M to 4T"}},
	{OK "-arch riscv64", {"-arch \"riscv64\"", "x86_64 or aarch64"}},
	{OK "-detached", {"-detached needs -state DIR"}},
	{OK "-detached -state folder -console stdio", {"-detached leaves this terminal"}},
	{OK "-detached=perhaps", {"-detached is a switch"}},
	{"img other", {"one PATH only", "\"other\""}},
};

START_TEST(test_mistake)
{
	const struct mistake *m = &mistakes[_i];
	struct run_options options;
	struct problem problem;
	int r = fixture_take(m->line, &options, &problem);

	ck_assert_msg(r < 0, "\"%s\" was taken", m->line);
	for (size_t i = 0; i < 3 && m->said[i]; i++)
		ck_assert_msg(strstr(problem.text, m->said[i]) != NULL,
			      "\"%s\": \"%s\" is not in: %s", m->line, m->said[i], problem.text);
	ck_assert_ptr_null(strchr(problem.text, '\n'));
	run_options_clear(&options);
}
END_TEST

/* With the other file of a pair, or more than there may be. */
START_TEST(test_too_many)
{
	char line[16384] = OK;
	struct run_options o;
	struct problem problem;

	for (int i = 0; i < MACHINE_DISKS_MAX + 1; i++)
		strcat(line, "-disk=disk.raw,ro ");
	ck_assert_int_lt(fixture_take(line, &o, &problem), 0);
	ck_assert_ptr_nonnull(strstr(problem.text, "at most 16 disks"));
	run_options_clear(&o);
}
END_TEST

/* What was refused has left nothing. */
START_TEST(test_nothing_made)
{
	struct run_options o;
	struct problem problem;

	ck_assert_int_lt(fixture_take(OK "-disk made.raw,size=1G -ignition no-such", &o, &problem),
			 0);
	ck_assert_int_lt(access("made.raw", F_OK), 0);
	run_options_clear(&o);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_mistakes");
	TCase *tcase = unit_case(suite, "mistakes", fixture_setup, fixture_teardown);

	tcase_add_loop_test(tcase, test_mistake, 0, (int)(sizeof(mistakes) / sizeof(mistakes[0])));
	tcase_add_test(tcase, test_too_many);
	tcase_add_test(tcase, test_nothing_made);
	return unit_run(suite);
}
