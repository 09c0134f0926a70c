/* SPDX-License-Identifier: Apache-2.0 */
/* See prepare.h. */
#include "launcher/prepare.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/disk_image.h"
#include "launcher/media.h"

bool prepare_uefi(const struct machine *machine)
{
	return machine->uefi || (machine->arch != MACHINE_ARCH_X86_64 && !machine->kernel);
}

static int create_disks(const struct machine *m, struct problem *problem)
{
	for (size_t i = 0; i < m->disk_count; i++) {
		const struct machine_disk *disk = &m->disks[i];
		int r;

		if (disk->create_bytes == 0 || access(disk->path, F_OK) == 0)
			continue;
		r = disk_create(disk->path, disk->format, disk->create_bytes);
		if (r < 0)
			return problem_set(problem, r, "-disk %s: can't be made: %s", disk->path,
					   strerror(-r));
	}
	return 0;
}

/* The variables are the machine's own: copied once, and from then on the guest's. */
static int prepare_vars(const struct firmware *firmware, const char *path, struct problem *problem)
{
	struct stat st;
	uint64_t bytes;
	int r;

	if (stat(firmware->vars, &st) < 0)
		return problem_set(problem, -errno, "%s: %s", firmware->vars, strerror(errno));
	r = disk_qcow2_size(path, &bytes);
	if (r == -ENOENT)
		r = disk_create_copy(path, firmware->vars);
	else if (r == 0 && bytes != (uint64_t)st.st_size)
		r = -EINVAL;
	if (r == -EINVAL)
		return problem_set(
			problem, r,
			"%s doesn't fit the firmware %s (its variables have another size): "
			"remove the file, and the guest's boot entries are made anew",
			path, firmware->code);
	if (r < 0)
		return problem_set(problem, r, "%s can't be made: %s", path, strerror(-r));
	return 0;
}

int prepare_machine(const struct machine *machine, const char *dir, struct prepared *ret,
		    struct problem *problem)
{
	struct firmware firmware = {.code = ""};
	int r = 0;

	*ret = (struct prepared){.data_iso = ""};
	if (prepare_uefi(machine)) {
		r = firmware_find(machine->arch, machine->firmware, &firmware, problem);
		if (r == 0 && firmware.vars[0]) {
			snprintf(ret->fw_vars, PATH_MAX, "%.*s/" PREPARE_EFI_VARS, PATH_MAX / 2,
				 dir);
			r = prepare_vars(&firmware, ret->fw_vars, problem);
		}
		strcpy(ret->fw_code, firmware.code);
	}
	if (r == 0 && media_wanted(machine)) {
		snprintf(ret->data_iso, PATH_MAX, "%.*s/" PREPARE_DATA_ISO, PATH_MAX / 2, dir);
		r = media_write(machine, ret->data_iso, problem);
	}
	return r < 0 ? r : create_disks(machine, problem);
}
