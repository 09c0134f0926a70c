/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_disks.h. */
#include "launcher/machine_disks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "launcher/disk_image.h"

#define STAT_BLOCK 512 /* the unit of st_blocks */

const char *disk_guest_name(const struct machine *machine, size_t index,
			    char to[static DISK_NAME_MAX])
{
	const size_t first = machine->kernel && machine->squashfs ? 1 : 0;

	snprintf(to, DISK_NAME_MAX, "vd%c", (char)('a' + first + index));
	return to;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int disk_choose(const struct machine *machine, const char *text, size_t *ret_index,
		struct problem *problem)
{
	char name[DISK_NAME_MAX], names[256] = "";
	size_t found = 0, size = 0;

	for (size_t i = 0; i < machine->disk_count; i++) {
		const char *path = machine->disks[i].path;

		disk_guest_name(machine, i, name);
		if (size < sizeof(names))
			size += (size_t)snprintf(names + size, sizeof(names) - size, "%s%s (%s)",
						 size ? ", " : "", name, file_name(path));
		if (strcmp(path, text) == 0 || strcmp(name, text) == 0) {
			*ret_index = i;
			return 0;
		}
		if (strcmp(file_name(path), text) == 0) {
			*ret_index = i;
			found++;
		}
	}
	if (found == 1)
		return 0;
	if (machine->disk_count == 0)
		return problem_set(problem, -ENOENT, "the machine has no disks");
	return problem_set(problem, found ? -EINVAL : -ENOENT,
			   found ? "there is more than one disk \"%.80s\": name it as the guest "
				   "does; there are %s"
				 : "there is no disk \"%.80s\"; there are %s",
			   text, names);
}

struct json_object *disk_list_json(const struct machine *machine)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < machine->disk_count; i++) {
		struct machine_disk disk = machine->disks[i];
		struct json_object *one = json_object_new_object();
		char name[DISK_NAME_MAX];
		uint64_t bytes;
		struct stat st;

		disk_complete(&disk);
		disk_guest_name(machine, i, name);
		json_object_object_add(one, "name", json_object_new_string(name));
		json_object_object_add(one, "path", json_object_new_string(disk.path));
		json_object_object_add(one, "read_only", json_object_new_boolean(disk.read_only));
		json_object_object_add(one, "format", json_object_new_string(disk.format));
		if (disk_size(&disk, &bytes) == 0)
			json_object_object_add(one, "size", json_object_new_int64((int64_t)bytes));
		if (stat(disk.path, &st) == 0)
			json_object_object_add(
				one, "used",
				json_object_new_int64((int64_t)st.st_blocks * STAT_BLOCK));
		json_object_array_add(list, one);
	}
	return list;
}
