/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's version: what it prints, and what is remembered of it. This very program plays QEMU. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/qemu_version.h"
#include "launcher/store.h"
#include "unit.h"

/* What this program prints when it is asked for its version. */
#define ANSWER "TEST_QEMU_ANSWER"

static char dir[] = "/tmp/test-qemu-version-XXXXXX";
static char program[PATH_MAX]; /* a copy of this one */

static void copy_self(const char *to)
{
	char *text;
	size_t size;
	FILE *file = fopen(to, "we");

	ck_assert_int_eq(store_read("/proc/self/exe", 1 << 30, &text, &size), 0);
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(to, 0700), 0);
	free(text);
}

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/qemu", dir);
	copy_self(program);
	setenv("XDG_CACHE_HOME", dir, 1);
}

static void teardown(void)
{
	struct problem problem;

	ck_assert_int_eq(store_remove(dir, &problem), 0);
}

/* What is found out while the program would answer `answer`. */
static unsigned minor_when(const char *answer)
{
	struct qemu_version version = {.major = 0};

	setenv(ANSWER, answer, 1);
	ck_assert_int_eq(qemu_version_ask(program, &version), 0);
	ck_assert_uint_eq(version.major, 8);
	return version.minor;
}

START_TEST(test_parse)
{
	struct qemu_version version = {.major = 77};

	ck_assert_int_eq(qemu_version_parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)\n"
					    "Copyright (c) 2003-2022 ...\n",
					    &version),
			 0);
	ck_assert_uint_eq(version.major, 7);
	ck_assert_uint_eq(version.minor, 2);
	ck_assert_int_eq(qemu_version_parse("QEMU emulator version 10.0.0", &version), 0);
	ck_assert_uint_eq(version.major, 10);
	ck_assert_int_eq(qemu_version_parse("qemu-img version 7.2", &version), -EINVAL);
	ck_assert_int_eq(qemu_version_parse("QEMU emulator version ?", &version), -EINVAL);
	ck_assert_int_eq(qemu_version_parse("QEMU emulator version 9", &version), -EINVAL);
	ck_assert_int_eq(qemu_version_parse("", &version), -EINVAL);
	ck_assert_uint_eq(version.major, 10);
}
END_TEST

START_TEST(test_order)
{
	struct qemu_version version = {.major = 9, .minor = 2};

	ck_assert(qemu_version_is(&version, 8, 5));
	ck_assert(qemu_version_is(&version, 9, 2));
	ck_assert(!qemu_version_is(&version, 9, 3));
	ck_assert(!qemu_version_is(&version, 10, 0));
}
END_TEST

START_TEST(test_others)
{
	struct qemu_version version;

	ck_assert_int_eq(qemu_version_ask("/bin/echo", &version), -EINVAL);
	ck_assert_int_eq(qemu_version_ask("/nowhere/qemu", &version), -ENOENT);
}
END_TEST

/* Until the program is another one. */
START_TEST(test_remembered)
{
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.1.0\n"), 1);
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.2.0\n"), 1);
	unlink(program);
	copy_self(program);
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.2.0\n"), 2);
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.3.0\n"), 2);
}
END_TEST

START_TEST(test_spoilt_memory)
{
	static const char *const texts[] = {"", "8", "8.9", "8.9 something else\n"};
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/netproxy-vm/qemu.version", dir);
	minor_when("QEMU emulator version 8.1.0\n");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(store_write(path, texts[i], strlen(texts[i])), 0);
		ck_assert_uint_eq(minor_when("QEMU emulator version 8.2.0\n"), 2);
	}
	/* Where nothing can be kept. */
	setenv("XDG_CACHE_HOME", "/dev/null", 1);
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.3.0\n"), 3);
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.4.0\n"), 4);
}
END_TEST

/* It may run another binary the next time. */
START_TEST(test_script_is_asked_again)
{
	char script[PATH_MAX + 64];
	int size = snprintf(script, sizeof(script), "#!/bin/sh\necho \"$" ANSWER "\"\n");

	unlink(program);
	ck_assert_int_eq(store_write(program, script, (size_t)size), 0);
	ck_assert_int_eq(chmod(program, 0700), 0);
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.1.0"), 1);
	ck_assert_uint_eq(minor_when("QEMU emulator version 8.2.0"), 2);
}
END_TEST

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "-version") == 0) {
		fputs(getenv(ANSWER), stdout);
		return 0;
	}
	Suite *suite = suite_create("launcher_qemu_version");
	TCase *tcase = unit_case(suite, "version", setup, teardown);

	tcase_add_test(tcase, test_parse);
	tcase_add_test(tcase, test_order);
	tcase_add_test(tcase, test_others);
	tcase_add_test(tcase, test_remembered);
	tcase_add_test(tcase, test_spoilt_memory);
	tcase_add_test(tcase, test_script_is_asked_again);
	return unit_run(suite);
}
