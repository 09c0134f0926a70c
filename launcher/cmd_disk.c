/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about disks and the screen: disk create, list and resize; screenshot. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/cmd.h"
#include "launcher/commands.h"
#include "launcher/disk_image.h"
#include "launcher/disk_resize.h"
#include "launcher/machine_disks.h"
#include "launcher/machine_plug.h"
#include "launcher/options_private.h"
#include "launcher/state_dir.h"

/* Reads FILE[,format=...] as -disk has it, with the size as one of its words. */
static int parse_new(const char *file, const char *size, struct run_options *options,
		     struct problem *problem)
{
	char *text;
	int r;

	machine_init(&options->machine);
	if (asprintf(&text, "%s,size=%s", file, size) < 0)
		return problem_set(problem, -ENOMEM, "out of memory");
	r = set_disk(options, text, problem);
	free(text);
	return r;
}

static int disk_create_command(const struct cmd *cmd, const struct store_place *place)
{
	struct run_options options = {.qemu = NULL};
	struct machine_disk *disk = &options.machine.disks[0];
	struct problem problem;
	struct stat st;
	int r = parse_new(cmd->words[0], cmd->words[1], &options, &problem);

	(void)place;
	if (r == 0 && lstat(disk->path, &st) == 0)
		r = -EEXIST;
	else if (r == 0)
		r = disk_check(disk, &problem);
	if (r == 0) {
		r = disk_create(disk->path, disk->format, disk->create_bytes);
		if (r < 0 && r != -EEXIST)
			problem_set(&problem, r, "%s can't be made: %s", disk->path, strerror(-r));
	}
	if (r == -EEXIST)
		problem_set(&problem, r,
			    "%s is there already, and is left as it is: choose another name, or "
			    "remove it first",
			    disk->path);
	run_options_clear(&options);
	return r < 0 ? cmd_refuse(&problem) : 0;
}

/* The machine's description, from within its directory, where its relative paths begin. */
static int read_machine(const struct store_place *place, struct settings *settings,
			struct problem *problem)
{
	int r = cmd_settings(place, settings, problem);

	if (r == 0 && chdir(place->dir) < 0)
		r = problem_set(problem, -errno, "%s: %s", place->dir, strerror(errno));
	return r;
}

static int64_t number(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_int64(value) : 0;
}

static void print_disks(struct json_object *list)
{
	printf("%-5s %10s %10s  %-6s %s\n", "DISK", "SIZE", "USED", "FORMAT", "FILE");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);
		const char *ro = number(one, "read_only") ? " (read-only)" : "";

		printf("%-5s %8" PRId64 "MB %8" PRId64 "MB  %-6s %s%s\n", cmd_text(one, "name"),
		       (number(one, "size") + 500000) / 1000000,
		       (number(one, "used") + 500000) / 1000000, cmd_text(one, "format"),
		       cmd_text(one, "path"), ro);
	}
}

static int disk_list(const struct cmd *cmd, const struct store_place *place)
{
	struct json_object *list;
	struct settings settings;
	struct problem problem;
	int r = read_machine(place, &settings, &problem);

	list = r == 0 ? disk_list_json(&settings.run.machine) : NULL;
	run_options_clear(&settings.run);
	if (r < 0)
		return cmd_refuse(&problem);
	if (cmd->json) {
		cmd_print_json(list);
		return 0;
	}
	print_disks(list);
	json_object_put(list);
	return 0;
}

/* Of one that runs, by its supervisor. */
static int resize_running(const struct store_place *place, const struct machine_disk *disk,
			  const char *name, uint64_t now, uint64_t bytes, struct problem *problem)
{
	struct json_object *body;
	int r = disk_resize_check(disk, now, bytes, false, true, problem);

	if (r < 0)
		return r;
	body = plug_object("disk", name, NULL);
	json_object_object_add(body, "bytes", json_object_new_int64((int64_t)bytes));
	r = cmd_call(place, "POST", "/machine/disks", json_object_to_json_string(body), CMD_CALL_MS,
		     NULL, problem);
	json_object_put(body);
	return r;
}

/* Of one that doesn't, with its lock, so that it isn't started meanwhile. */
static int resize_stopped(const struct store_place *place, struct settings *settings,
			  const struct machine_disk *disk, uint64_t now, uint64_t bytes,
			  bool shrink, struct problem *problem)
{
	struct state_dir dir;
	int r = disk_resize_check(disk, now, bytes, shrink, false, problem);

	if (r == 0)
		r = run_options_find_qemu(&settings->run, problem);
	if (r == 0)
		r = state_dir_open(&dir, place->dir, problem);
	if (r < 0)
		return r;
	r = disk_resize(settings->run.qemu, disk, bytes, problem);
	state_dir_close(&dir);
	return r;
}

static int resize(const struct cmd *cmd, const struct store_place *place, bool runs,
		  struct settings *settings, struct problem *problem)
{
	struct machine *m = &settings->run.machine;
	char name[DISK_NAME_MAX];
	uint64_t now, bytes;
	size_t index;
	int r = disk_choose(m, cmd->words[1], &index, problem);
	struct machine_disk *disk;

	if (r < 0)
		return r;
	disk = &m->disks[index];
	r = disk_check(disk, problem);
	if (r == 0 && access(disk->path, F_OK) < 0)
		r = problem_set(problem, -ENOENT,
				"%s is made when the machine starts: give -disk "
				"another size= (\"netproxy-vm set\")",
				disk->path);
	if (r == 0) {
		r = disk_size(disk, &now);
		if (r < 0)
			problem_set(problem, r, "%s: %s", disk->path, strerror(-r));
	}
	if (r == 0)
		r = disk_size_parse(cmd->words[2], now, &bytes, problem);
	if (r < 0)
		return r;
	disk_guest_name(m, index, name);
	return runs ? resize_running(place, disk, name, now, bytes, problem)
		    : resize_stopped(place, settings, disk, now, bytes, cmd->shrink, problem);
}

static int disk_resize_command(const struct cmd *cmd, const struct store_place *place)
{
	enum machine_state state;
	struct settings settings;
	struct problem problem;
	int r;

	if (!cmd_allowed(place, ACTION_RESIZE, &state))
		return 1;
	r = read_machine(place, &settings, &problem);
	if (r == 0)
		r = resize(cmd, place, state != MACHINE_STOPPED && state != MACHINE_CRASHED,
			   &settings, &problem);
	run_options_clear(&settings.run);
	return r < 0 ? cmd_refuse(&problem) : 0;
}

int command_disk(int argc, char *const *argv)
{
	static const struct cmd_sub subs[] = {
		{.name = "create",
		 .spec = {.usage = "disk create FILE[,format=raw|qcow2] SIZE",
			  .help = "Makes an empty disk, which takes no room before it is written to. The format is\n"
				  "qcow2 if the name ends so, else raw. A file that is there is never touched.",
			  .words_min = 2,
			  .words_max = 2,
			  .no_machine = true},
		 .run = disk_create_command},
		{.name = "list",
		 .spec = {.usage = "disk list [-format json] NAME",
			  .help = "Lists a machine's disks: how much they hold, and what they take of this host.",
			  .flags = CMD_FORMAT,
			  .words_min = 1,
			  .words_max = 1},
		 .run = disk_list},
		{.name = "resize",
		 .spec = {.usage = "disk resize [-shrink] NAME DISK SIZE|+SIZE",
			  .help = "Gives a disk of a machine another size, whether the machine runs or not. DISK is\n"
				  "its file, or what the guest calls it (vda). Partitions and file systems are the\n"
				  "guest's to grow.",
			  .flags = CMD_SHRINK,
			  .words_min = 3,
			  .words_max = 3},
		 .run = disk_resize_command},
	};

	return cmd_run_sub(argc, argv, subs, sizeof(subs) / sizeof(subs[0]));
}

/* Where QEMU, which is elsewhere, writes: beside the file, so that nobody sees half a picture. */
static int picture_path(const char *file, char to[static PATH_MAX], struct problem *problem)
{
	const char *dot = strrchr(file, '.');
	char cwd[PATH_MAX] = "";
	int n;

	if (!dot || (strcmp(dot, ".png") != 0 && strcmp(dot, ".ppm") != 0))
		return problem_set(problem, -EINVAL,
				   "\"%.80s\": a picture's name ends in .png or .ppm", file);
	if (file[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return problem_set(problem, -errno, "this directory has no path: %s",
				   strerror(errno));
	n = snprintf(to, PATH_MAX, "%s%s%s.%d%s", cwd, cwd[0] ? "/" : "", file, getpid(), dot);
	return n < PATH_MAX ? 0 : problem_set(problem, -ENAMETOOLONG, "the path is too long");
}

static int take_picture(const struct cmd *cmd, const struct store_place *place)
{
	struct problem problem;
	struct json_object *body;
	enum machine_state state;
	char path[PATH_MAX];
	int r;

	if (picture_path(cmd->words[1], path, &problem) < 0)
		return cmd_refuse(&problem);
	if (!cmd_allowed(place, ACTION_CONSOLE, &state))
		return 1;
	body = plug_object("path", path, NULL);
	r = cmd_call(place, "POST", "/machine/screenshot", json_object_to_json_string(body),
		     CMD_CALL_MS, NULL, &problem);
	json_object_put(body);
	if (r == 0 && rename(path, cmd->words[1]) < 0)
		r = problem_set(&problem, -errno, "%s can't be written: %s", cmd->words[1],
				strerror(errno));
	if (r < 0)
		unlink(path);
	return r < 0 ? cmd_refuse(&problem) : 0;
}

int command_screenshot(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "screenshot NAME FILE",
		.help = "Writes a picture of the machine's screen (-display), as PNG or PPM, which FILE's\n"
			"name tells.",
		.words_min = 2,
		.words_max = 2,
	};

	return cmd_run(argc, argv, &spec, take_picture);
}
