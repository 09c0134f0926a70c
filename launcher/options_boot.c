/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of "run": what is booted, and what the guest is told. See options_private.h. */
#include "launcher/options_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/option_values.h"

int set_kernel(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.kernel, "kernel", value, problem);
}

int set_initrd(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.initrd, "initrd", value, problem);
}

int set_cmdline(void *target, const char *value, struct problem *problem)
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

/* How large to make a disk that isn't there. */
static int set_disk_size(struct machine_disk *disk, const char *text, const char *value,
			 struct problem *problem)
{
	uint64_t bytes;

	if (size_parse(text, &bytes) < 0)
		return problem_set(problem, -EINVAL,
				   "-disk \"%s\": \"%s\" is not a size: write mebibytes, or a "
				   "suffix: 512M, 10G",
				   value, text);
	if (bytes < MACHINE_DISK_MIN || bytes > MACHINE_DISK_MAX || bytes % 512 != 0)
		return problem_set(problem, -ERANGE,
				   "-disk \"%s\": a disk can have from 1M to 16T, in whole sectors "
				   "of 512 bytes",
				   value);
	disk->create_bytes = bytes;
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
	else if (strncmp(word, "size=", 5) == 0)
		return set_disk_size(disk, word + 5, value, problem);
	else
		return problem_set(problem, -EINVAL,
				   "-disk \"%s\": after the path come size=10G, format=raw or "
				   "format=qcow2, and ro, not \"%s\"",
				   value, word);
	return 0;
}

int set_disk(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	struct machine *m = &o->machine;
	struct machine_disk disk = {.format = NULL};
	char *next;
	int r;

	if (m->disk_count == MACHINE_DISKS_MAX)
		return problem_set(problem, -E2BIG, "-disk \"%s\": at most %d disks are possible",
				   value, MACHINE_DISKS_MAX);
	r = option_text(&disk.path, "disk", strncmp(value, "file=", 5) == 0 ? value + 5 : value,
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

int set_squashfs(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.squashfs, "squashfs", value, problem);
}

int set_iso(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.iso, "iso", value, problem);
}

int set_fw(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.firmware, "fw", value, problem);
}

int set_ignition(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.ignition, "ignition", value, problem);
}

int set_data_file(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->data_file, "data-file", value, problem);
}

int set_ssh_key(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.ssh_key, "ssh-key", value, problem);
}

int set_uefi(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	(void)problem;
	o->machine.uefi = strcmp(value, "true") == 0;
	return 0;
}

int set_data(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	int r = option_text(&o->machine.data, "data", value, problem);

	if (r == 0)
		o->machine.data_size = strlen(value);
	return r;
}

int set_data_format(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	if (strcmp(value, "config") == 0)
		o->machine.data_format = MACHINE_DATA_CONFIG;
	else if (strcmp(value, "nocloud") == 0)
		o->machine.data_format = MACHINE_DATA_NOCLOUD;
	else
		return problem_set(
			problem, -EINVAL,
			"-data-format \"%s\": write config (LinuxKit's, a file /config) or "
			"nocloud (cloud-init's, user-data and meta-data)",
			value);
	o->data_format_given = true;
	return 0;
}
