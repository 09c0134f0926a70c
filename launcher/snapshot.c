/* SPDX-License-Identifier: Apache-2.0 */
/* See snapshot.h. */
#include "launcher/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "launcher/disk_image.h"

#define NOTE_SIZE_MAX 4096
#define NOTE_SUFFIX   ".json"
#define GONE_SUFFIX   ".deleted"

int snapshot_check(const struct machine *machine, struct problem *problem)
{
	for (size_t i = 0; i < machine->disk_count; i++) {
		const struct machine_disk *disk = &machine->disks[i];

		if (!disk->read_only && disk->format && strcmp(disk->format, "raw") == 0)
			return problem_set(problem, -ENOTSUP,
					   "the disk %s is raw, and only qcow2 ones can have "
					   "snapshots: convert it (\"qemu-img convert -O qcow2\"), "
					   "or make it read-only with ,ro",
					   disk->path);
	}
	return 0;
}

int snapshot_prepare(const char *dir, struct problem *problem)
{
	char path[PATH_MAX];
	int r = store_path(dir, STORE_VMSTATE, path);

	if (r == 0)
		r = disk_create(path, "qcow2", SNAPSHOT_FILE_SIZE);
	if (r < 0 && r != -EEXIST)
		return problem_set(problem, r, "can't make %s/%s, for snapshots: %s", dir,
				   STORE_VMSTATE, strerror(-r));
	return 0;
}

void snapshot_step(struct script *script, const char *command, const char *name,
		   const struct machine *machine, bool fw_vars)
{
	struct json_object *arguments = plug_object("job-id", "snapshot", "tag", name, NULL);
	struct json_object *devices = json_object_new_array();
	size_t first = machine->kernel && machine->squashfs ? 1 : 0;
	char node[32];

	json_object_array_add(devices, json_object_new_string(SNAPSHOT_NODE));
	for (size_t i = 0; i < machine->disk_count; i++) {
		if (machine->disks[i].read_only)
			continue;
		snprintf(node, sizeof(node), "disk%zu", first + i);
		json_object_array_add(devices, json_object_new_string(node));
	}
	if (fw_vars)
		json_object_array_add(devices, json_object_new_string("fw-vars"));
	json_object_object_add(arguments, "devices", devices);
	if (strcmp(command, "snapshot-delete") != 0)
		json_object_object_add(arguments, "vmstate", json_object_new_string(SNAPSHOT_NODE));
	script_add(script, SCRIPT_JOB, "snapshot", command, arguments);
}

static const char *string_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) &&
			       json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : "";
}

int64_t snapshot_size(struct json_object *nodes, const char *name)
{
	struct json_object *image, *list, *size;

	for (size_t i = 0;
	     json_object_is_type(nodes, json_type_array) && i < json_object_array_length(nodes);
	     i++) {
		struct json_object *node = json_object_array_get_idx(nodes, i);

		if (strcmp(string_of(node, "node-name"), SNAPSHOT_NODE) != 0 ||
		    !json_object_object_get_ex(node, "image", &image) ||
		    !json_object_object_get_ex(image, "snapshots", &list) ||
		    !json_object_is_type(list, json_type_array))
			continue;
		for (size_t j = 0; j < json_object_array_length(list); j++) {
			struct json_object *one = json_object_array_get_idx(list, j);

			if (strcmp(string_of(one, "name"), name) == 0 &&
			    json_object_object_get_ex(one, "vm-state-size", &size))
				return json_object_get_int64(size);
		}
	}
	return 0;
}

static int note_path(const char *dir, const char *name, const char *suffix,
		     char to[static PATH_MAX])
{
	int n = snprintf(to, PATH_MAX, "%s/" STORE_SNAPSHOTS "/%s%s", dir, name, suffix);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int read_note(const char *dir, const char *name, struct snapshot *ret)
{
	static const char *const keys[] = {"name", "time_ms", "size", "state", NULL};
	struct json_object *object;
	char path[PATH_MAX], *text, error[128];
	size_t size;
	int r = note_path(dir, name, NOTE_SUFFIX, path);

	if (r == 0)
		r = store_read(path, NOTE_SIZE_MAX, &text, &size);
	if (r < 0)
		return r;
	r = json_parse(text, size, &object, error, sizeof(error));
	free(text);
	if (r < 0)
		return r;
	struct json_reader reader = json_reader(object, "note");
	struct snapshot snapshot = {.name = ""};

	json_only_keys(&reader, keys);
	snapshot.time_ms = json_get_int(&reader, "time_ms", 0, INT64_MAX, 0);
	snapshot.size_bytes = json_get_int(&reader, "size", 0, INT64_MAX, 0);
	snapshot.paused = strcmp(json_get_string(&reader, "state", ""), "paused") == 0;
	snprintf(snapshot.name, sizeof(snapshot.name), "%s", name);
	if (json_ok(&reader))
		*ret = snapshot;
	r = json_ok(&reader) ? 0 : -EINVAL;
	json_object_put(object);
	return r;
}

/* The name in a note's file name; false when it is none. */
static bool name_of(const char *file, const char *suffix, char to[static MACHINE_NAME_MAX])
{
	size_t length = strlen(file), tail = strlen(suffix);

	if (length <= tail || length - tail >= MACHINE_NAME_MAX ||
	    strcmp(file + length - tail, suffix) != 0)
		return false;
	memcpy(to, file, length - tail);
	to[length - tail] = '\0';
	return store_name_valid(to);
}

static int newer_first(const void *a, const void *b)
{
	const struct snapshot *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms > y->time_ms ? -1 : 1;
	return strcmp(y->name, x->name);
}

size_t snapshot_list(const char *dir, struct snapshot *to)
{
	char path[PATH_MAX], name[MACHINE_NAME_MAX];
	struct dirent *entry;
	size_t count = 0;
	DIR *files = store_path(dir, STORE_SNAPSHOTS, path) == 0 ? opendir(path) : NULL;

	while (files && count < SNAPSHOTS_MAX && (entry = readdir(files)))
		if (name_of(entry->d_name, NOTE_SUFFIX, name) &&
		    read_note(dir, name, &to[count]) == 0)
			count++;
	if (files)
		closedir(files);
	qsort(to, count, sizeof(*to), newer_first);
	return count;
}

int snapshot_find(const char *dir, const char *name, struct snapshot *ret, struct problem *problem)
{
	if (store_name_valid(name) && read_note(dir, name, ret) == 0)
		return 0;
	return problem_set(problem, -ENOENT,
			   "there is no snapshot \"%.80s\"; \"netproxy-vm snapshot list\" shows "
			   "those there are",
			   name);
}

int snapshot_begin(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int r = store_path(dir, STORE_SNAPSHOTS, path);

	if (r == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = note_path(dir, name, GONE_SUFFIX, path);
	return r < 0 ? r : store_write(path, "", 0);
}

int snapshot_note(const char *dir, const struct snapshot *snapshot)
{
	char path[PATH_MAX], begun[PATH_MAX], text[256];
	int n, r = note_path(dir, snapshot->name, NOTE_SUFFIX, path);

	if (r == 0)
		r = note_path(dir, snapshot->name, GONE_SUFFIX, begun);
	if (r < 0)
		return r;
	n = snprintf(text, sizeof(text),
		     "{\"name\": \"%s\", \"time_ms\": %lld, \"size\": %lld, \"state\": \"%s\"}\n",
		     snapshot->name, (long long)snapshot->time_ms, (long long)snapshot->size_bytes,
		     snapshot->paused ? "paused" : "running");
	/* In one step from what is to be deleted to what there is. */
	r = store_write(begun, text, (size_t)n);
	if (r == 0 && rename(begun, path) < 0)
		r = -errno;
	return r;
}

int snapshot_forget(const char *dir, const char *name, bool later)
{
	char path[PATH_MAX], gone[PATH_MAX];
	int r = note_path(dir, name, NOTE_SUFFIX, path);

	if (r == 0)
		r = note_path(dir, name, GONE_SUFFIX, gone);
	if (r == 0 && (later ? rename(path, gone) : unlink(path)) < 0)
		r = -errno;
	return r;
}

int snapshot_deletable(const char *dir, char to[static MACHINE_NAME_MAX])
{
	char path[PATH_MAX];
	struct dirent *entry;
	int r = -ENOENT;
	DIR *files = store_path(dir, STORE_SNAPSHOTS, path) == 0 ? opendir(path) : NULL;

	while (files && r < 0 && (entry = readdir(files)))
		if (name_of(entry->d_name, GONE_SUFFIX, to))
			r = 0;
	if (files)
		closedir(files);
	return r;
}

void snapshot_deleted(const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (note_path(dir, name, GONE_SUFFIX, path) == 0)
		unlink(path);
}

struct json_object *snapshot_json(const struct snapshot *snapshot)
{
	time_t seconds = (time_t)(snapshot->time_ms / 1000);
	struct json_object *object;
	char text[64];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	object = plug_object("name", snapshot->name, "time", text, "state",
			     snapshot->paused ? "paused" : "running", NULL);
	json_object_object_add(object, "size", json_object_new_int64(snapshot->size_bytes));
	return object;
}

struct json_object *snapshot_list_json(const char *dir)
{
	struct snapshot *list = calloc(SNAPSHOTS_MAX, sizeof(*list));
	struct json_object *array = json_object_new_array();
	size_t count = list ? snapshot_list(dir, list) : 0;

	for (size_t i = 0; i < count; i++)
		json_object_array_add(array, snapshot_json(&list[i]));
	free(list);
	return array;
}
