/* SPDX-License-Identifier: Apache-2.0 */
/* See options_fixture.h. */
#include "options_fixture.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/state_dir.h"

#define WORDS_MAX 40

static char folder[] = "/tmp/np-options-XXXXXX";

void fixture_put(const char *name, const char *content, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, size), (ssize_t)size);
	close(fd);
}

/* A file of that size with a text somewhere in it. */
static void put_sparse(const char *name, off_t size, off_t at, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	ck_assert_int_eq(pwrite(fd, text, strlen(text), at), (ssize_t)strlen(text));
	close(fd);
}

void fixture_setup(void)
{
	strcpy(folder, "/tmp/np-options-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	fixture_put("kernel", "MZ", 2);
	fixture_put("initrd", "070701", 6);
	fixture_put("empty", "", 0);
	fixture_put("disk.raw", "raw", 3);
	fixture_put("disk.qcow2", "QFI\xfb\0\0\0\3", 8);
	fixture_put("disguised.raw", "QFI\xfb\0\0\0\3", 8);
	fixture_put("fake.qcow2", "raw", 3);
	fixture_put("img-kernel", "MZ", 2);
	fixture_put("img-initrd.img", "070701", 6);
	fixture_put("img-cmdline", "console=ttyS0 root=x\n", 21);
	fixture_put("half-kernel", "MZ", 2);
	fixture_put("nul-kernel", "MZ", 2);
	fixture_put("nul-initrd.img", "MZ", 2);
	fixture_put("nul-cmdline", "a\0b", 3);
	ck_assert_int_eq(mkdir("folder", 0700), 0);
	fixture_put("root-kernel", "MZ", 2);
	fixture_put("root-squashfs.img", "hsqs", 4);
	fixture_put("key.pub", "ssh-ed25519 AAAAC3Nz me@here\n", 29);
	fixture_put("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n", 36);
	fixture_put("user.ign", "{}", 2);
	put_sparse("cd.iso", 16 * 2048 + 2048, 16 * 2048 + 1, "CD001");
	put_sparse("large", (2 << 20) + 1, 0, "x");
}

void fixture_teardown(void)
{
	struct state_dir dir = {.lock_fd = -1, .temporary = true};

	strcpy(dir.path, folder);
	ck_assert_int_eq(chdir("/"), 0);
	state_dir_close(&dir);
	ck_assert_int_lt(access(folder, F_OK), 0);
}

int fixture_take(const char *line, struct run_options *options, struct problem *problem)
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
