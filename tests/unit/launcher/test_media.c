/* SPDX-License-Identifier: Apache-2.0 */
/* What is made for a machine: disk images, the metadata's CD, and which firmware is taken. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "launcher/disk_image.h"
#include "launcher/firmware.h"
#include "launcher/media.h"
#include "launcher/state_dir.h"
#include "unit.h"

static char folder[] = "/tmp/np-media-XXXXXX";

static void setup(void)
{
	strcpy(folder, "/tmp/np-media-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
}

static void teardown(void)
{
	struct state_dir dir = {.lock_fd = -1, .temporary = true};

	strcpy(dir.path, folder);
	ck_assert_int_eq(chdir("/"), 0);
	state_dir_close(&dir);
}

static uint64_t big_endian(const uint8_t *at, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static void read_at(const char *path, void *to, size_t size, uint64_t at)
{
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(pread(fd, to, size, (off_t)at), (ssize_t)size);
	close(fd);
}

START_TEST(test_raw)
{
	struct stat st;

	ck_assert_int_eq(disk_create("d.raw", "raw", UINT64_C(10) << 30), 0);
	ck_assert_int_eq(stat("d.raw", &st), 0);
	ck_assert_int_eq(st.st_size, INT64_C(10) << 30);
	ck_assert_int_eq(st.st_blocks, 0);
	ck_assert_int_eq(disk_create("d.raw", "raw", 1 << 20), -EEXIST);
	ck_assert_int_eq(stat("d.raw", &st), 0);
	ck_assert_int_eq(st.st_size, INT64_C(10) << 30);
}
END_TEST

START_TEST(test_qcow2)
{
	uint8_t header[QCOW2_HEADER_SIZE], counts[16];
	uint64_t bytes;
	struct stat st;

	ck_assert_int_eq(disk_create("d.qcow2", "qcow2", MACHINE_DISK_MAX), 0);
	ck_assert(disk_is_qcow2("d.qcow2"));
	ck_assert_int_eq(disk_qcow2_size("d.qcow2", &bytes), 0);
	ck_assert_uint_eq(bytes, MACHINE_DISK_MAX);
	ck_assert_int_eq(stat("d.qcow2", &st), 0);
	ck_assert_int_lt(st.st_blocks, 256);
	read_at("d.qcow2", header, sizeof(header), 0);
	ck_assert_uint_eq(big_endian(header + 4, 4), 3);
	/* 16 TiB at 512 MiB for each entry. */
	ck_assert_uint_eq(big_endian(header + 36, 4), 32768);
	ck_assert_uint_eq(big_endian(header + 40, 8), 3 << 16);
	/* The three clusters at its start, and four of the table, are counted; no more. */
	read_at("d.qcow2", counts, sizeof(counts), 2 << 16);
	ck_assert_uint_eq(big_endian(counts, 8), UINT64_C(0x0001000100010001));
	ck_assert_uint_eq(big_endian(counts + 8, 8), UINT64_C(0x0001000100010000));
	ck_assert_int_eq(disk_create("no/d.qcow2", "qcow2", 1 << 20), -ENOENT);
	ck_assert_int_eq(disk_qcow2_size("no", &bytes), -ENOENT);
}
END_TEST

START_TEST(test_qcow2_copy)
{
	char text[100000], back[sizeof(text)];
	uint8_t entry[8];
	uint64_t l2, bytes;
	int fd = open("from", O_WRONLY | O_CREAT, 0600);

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7 + i / 256);
	ck_assert_int_eq(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
	ck_assert_int_eq(disk_create_copy("copy.qcow2", "from"), 0);
	ck_assert_int_eq(disk_qcow2_size("copy.qcow2", &bytes), 0);
	ck_assert_uint_eq(bytes, sizeof(text));
	read_at("copy.qcow2", entry, sizeof(entry), 3 << 16);
	l2 = big_endian(entry, 8) & ~(UINT64_C(1) << 63);
	for (size_t done = 0; done < sizeof(text); done += 65536) {
		size_t size = sizeof(text) - done < 65536 ? sizeof(text) - done : 65536;

		read_at("copy.qcow2", entry, sizeof(entry), l2 + done / 65536 * 8);
		ck_assert_uint_ne(entry[0] & 0x80, 0);
		read_at("copy.qcow2", back + done, size,
			big_endian(entry, 8) & ~(UINT64_C(1) << 63));
	}
	ck_assert_mem_eq(back, text, sizeof(text));
	ck_assert_int_eq(disk_create_copy("copy.qcow2", "from"), -EEXIST);
	ck_assert_int_eq(disk_create_copy("other.qcow2", "no-such"), -ENOENT);
	ck_assert_int_lt(access("other.qcow2", F_OK), 0);
}
END_TEST

/* Killed in the middle of it: what isn't whole has no name that a start would go by. */
START_TEST(test_killed)
{
	const struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* Its signal kills at the first byte behind that. */
		setrlimit(RLIMIT_FSIZE, &limit);
		signal(SIGXFSZ, SIG_DFL);
		disk_create("killed.qcow2", "qcow2", 1 << 20);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_lt(access("killed.qcow2", F_OK), 0);
	ck_assert_int_eq(disk_create("killed.qcow2", "qcow2", 1 << 20), 0);
	ck_assert(disk_is_qcow2("killed.qcow2"));
}
END_TEST

/* The file `name` of the CD, or "" when there is none. */
static const char *file_on_cd(const char *path, const char *name)
{
	static char text[65536];
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;

	text[0] = '\0';
	archive_read_support_format_iso9660(archive);
	ck_assert_int_eq(archive_read_open_filename(archive, path, 10240), ARCHIVE_OK);
	while (archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
		if (strcmp(archive_entry_pathname(entry), name) != 0)
			continue;
		la_ssize_t n = archive_read_data(archive, text, sizeof(text) - 1);

		ck_assert_int_ge(n, 0);
		text[n] = '\0';
		break;
	}
	archive_read_free(archive);
	return text;
}

START_TEST(test_config_cd)
{
	struct machine machine = {.data = "{\"a\": \"b\"}\n", .data_size = 11, .name = "m"};
	struct problem problem;
	struct stat st;

	ck_assert(media_wanted(&machine));
	ck_assert_int_eq(media_write(&machine, "config.iso", &problem), 0);
	ck_assert_str_eq(file_on_cd("config.iso", "config"), "{\"a\": \"b\"}\n");
	ck_assert_int_eq(stat("config.iso", &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	machine.data = "other";
	machine.data_size = 5;
	ck_assert_int_eq(media_write(&machine, "config.iso", &problem), 0);
	ck_assert_str_eq(file_on_cd("config.iso", "config"), "other");
	ck_assert_int_lt(media_write(&machine, "no/config.iso", &problem), 0);
}
END_TEST

START_TEST(test_nocloud_cd)
{
	struct machine machine = {.name = "m",
				  .data_format = MACHINE_DATA_NOCLOUD,
				  .ssh_key = "ssh-ed25519 AAAA it's me"};
	struct problem problem;
	char volume[7] = "";

	ck_assert_int_eq(media_write(&machine, "c.iso", &problem), 0);
	ck_assert_ptr_nonnull(strstr(file_on_cd("c.iso", "meta-data"), "local-hostname: \"m\"\n"));
	ck_assert_ptr_nonnull(strstr(file_on_cd("c.iso", "meta-data"),
				     "public-keys:\n  - 'ssh-ed25519 AAAA it''s me'\n"));
	ck_assert_ptr_nonnull(strstr(file_on_cd("c.iso", "user-data"), "#cloud-config"));
	read_at("c.iso", volume, 6, 16 * 2048 + 40);
	ck_assert_str_eq(volume, "CIDATA");
}
END_TEST

/* The id changes with what is said, and with nothing else. */
START_TEST(test_instance_id)
{
	char one[MEDIA_META_DATA_MAX], two[MEDIA_META_DATA_MAX], small[40];
	struct machine machine = {.name = "m", .data = "x", .data_size = 1};

	media_meta_data(&machine, one, sizeof(one));
	media_meta_data(&machine, two, sizeof(two));
	ck_assert_str_eq(one, two);
	machine.data = "y";
	media_meta_data(&machine, two, sizeof(two));
	ck_assert_str_ne(one, two);
	machine.ssh_key = "ssh-rsa A";
	media_meta_data(&machine, one, sizeof(one));
	ck_assert_str_ne(one, two);
	ck_assert_uint_lt(media_meta_data(&machine, small, sizeof(small)), sizeof(small));
}
END_TEST

START_TEST(test_public_key)
{
	ck_assert(media_is_public_key("ssh-ed25519 AAAA"));
	ck_assert(media_is_public_key("ecdsa-sha2-nistp256 AAAA me"));
	ck_assert(media_is_public_key("sk-ssh-ed25519@openssh.com AAAA"));
	ck_assert(!media_is_public_key("ssh-ed25519"));
	ck_assert(!media_is_public_key("ssh-ed25519 A\nruncmd: x"));
	ck_assert(!media_is_public_key("/root/.ssh/id_rsa.pub x"));
	ck_assert(!media_is_public_key(""));
}
END_TEST

#define FIRMWARE(INTERFACE, DEVICE, FORMAT, ARCH, MACHINE, FEATURE)                                \
	"{\"interface-types\":[\"" INTERFACE "\"],\"mapping\":{\"device\":\"" DEVICE "\","         \
	"\"executable\":{\"filename\":\"/c.fd\",\"format\":\"" FORMAT "\"},"                       \
	"\"nvram-template\":{\"filename\":\"/v.fd\",\"format\":\"raw\"}},\"targets\":["            \
	"{\"architecture\":\"" ARCH "\",\"machines\":[\"" MACHINE "\"]}],\"features\":[\"" FEATURE \
	"\"]}"

static const struct description {
	const char *text;
	bool x86, arm;
} descriptions[] = {
	{FIRMWARE("uefi", "flash", "raw", "x86_64", "pc-q35-*", "acpi-s3"), true, false},
	{FIRMWARE("uefi", "flash", "raw", "aarch64", "virt-*", "verbose-static"), false, true},
	{FIRMWARE("bios", "flash", "raw", "x86_64", "pc-q35-*", "acpi-s3"), false, false},
	{FIRMWARE("uefi", "memory", "raw", "x86_64", "pc-q35-*", "acpi-s3"), false, false},
	{FIRMWARE("uefi", "flash", "qcow2", "x86_64", "pc-q35-*", "acpi-s3"), false, false},
	{FIRMWARE("uefi", "flash", "raw", "x86_64", "pc-i440fx-*", "acpi-s3"), false, false},
	{FIRMWARE("uefi", "flash", "raw", "x86_64", "pc-q35-*", "secure-boot"), false, false},
	{FIRMWARE("uefi", "flash", "raw", "x86_64", "pc-q35-*", "requires-smm"), false, false},
	{"{}", false, false},
	{"[]", false, false},
	{"{\"interface-types\":\"uefi\",\"targets\":[1,{}],\"mapping\":[]}", false, false},
	{"{\"interface-types\":[\"uefi\",null,3],\"targets\":[null],\"mapping\":{}}", false, false},
};

START_TEST(test_firmware)
{
	const struct description *d = &descriptions[_i];
	struct json_object *object;
	struct firmware firmware = {.code = ""};
	char error[256];

	ck_assert_int_eq(json_parse(d->text, strlen(d->text), &object, error, sizeof(error)), 0);
	ck_assert_int_eq(firmware_matches(object, MACHINE_ARCH_X86_64, &firmware), d->x86);
	if (d->x86)
		ck_assert_str_eq(firmware.vars, "/v.fd");
	ck_assert_int_eq(firmware_matches(object, MACHINE_ARCH_AARCH64, &firmware), d->arm);
	json_object_put(object);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_media");
	TCase *tcase = unit_case(suite, "media", setup, teardown);

	tcase_add_test(tcase, test_raw);
	tcase_add_test(tcase, test_qcow2);
	tcase_add_test(tcase, test_qcow2_copy);
	tcase_add_test(tcase, test_killed);
	tcase_add_test(tcase, test_config_cd);
	tcase_add_test(tcase, test_nocloud_cd);
	tcase_add_test(tcase, test_instance_id);
	tcase_add_test(tcase, test_public_key);
	tcase_add_loop_test(tcase, test_firmware, 0,
			    (int)(sizeof(descriptions) / sizeof(descriptions[0])));
	return unit_run(suite);
}
