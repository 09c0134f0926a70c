/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_control.h: what is done to the disks and the screen of a machine that runs. */
#include <errno.h>
#include <string.h>

#include "launcher/disk_image.h"
#include "launcher/disk_resize.h"
#include "launcher/machine_control_private.h"
#include "launcher/machine_disks.h"

static void on_resized(void *arg, int status, struct json_object *value, const char *error)
{
	struct control *c = rest_control(arg);

	if (status == 0)
		control_event(c, "disk-resized", c->machine->disks[c->resized_disk].path);
	c->resizing = false;
	control_on_command(arg, status, value, error);
}

int control_resize(struct control *c, const char *name, uint64_t bytes, struct rest_later *later,
		   struct problem *problem)
{
	const size_t first = c->machine->kernel && c->machine->squashfs ? 1 : 0;
	const struct machine_disk *disk;
	struct json_object *arguments;
	uint64_t now;
	size_t index;
	char node[32];
	int r = control_check_rule(c, ACTION_RESIZE, problem);

	if (r == 0)
		r = disk_choose(c->machine, name, &index, problem);
	if (r < 0)
		return r;
	if (c->resizing)
		return problem_set(problem, -EBUSY, "%s: another disk is being resized",
				   c->conf.place->name);
	disk = &c->machine->disks[index];
	r = disk_size(disk, &now);
	if (r < 0)
		return problem_set(problem, r, "%s: %s", disk->path, strerror(-r));
	if (bytes < MACHINE_DISK_MIN || bytes > MACHINE_DISK_MAX || bytes % 512 != 0)
		return problem_set(problem, -EINVAL,
				   "a disk can have from 1M to 16T, in whole sectors of 512 bytes");
	r = disk_resize_check(disk, now, bytes, false, true, problem);
	if (r < 0)
		return r;
	snprintf(node, sizeof(node), "disk%zu", first + index);
	arguments = plug_object("node-name", node, NULL);
	json_object_object_add(arguments, "size", json_object_new_int64((int64_t)bytes));
	r = control_command(c, "block_resize", arguments, on_resized, later, problem);
	c->resizing = r == 0;
	c->resized_disk = index;
	return r;
}

int control_screenshot(struct control *c, const char *path, struct rest_later *later,
		       struct problem *problem)
{
	const char *dot = strrchr(path, '.');
	struct json_object *arguments;

	if (path[0] != '/')
		return problem_set(problem, -EINVAL, "\"%.80s\": an absolute path is wanted", path);
	if (c->machine->display.width == 0)
		return problem_set(problem, -ENOTSUP,
				   "%s has no screen: \"netproxy-vm set %s -display 1280x720\" "
				   "gives it one for the next start",
				   c->conf.place->name, c->conf.place->name);
	arguments = plug_object("filename", path, NULL);
	/* PPM is what it is without a word. */
	if (!dot || strcmp(dot, ".ppm") != 0)
		json_object_object_add(arguments, "format", json_object_new_string("png"));
	return control_command(c, "screendump", arguments, control_on_command, later, problem);
}
