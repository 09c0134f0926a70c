/* SPDX-License-Identifier: Apache-2.0 */
/* See firmware.h. */
#include "launcher/firmware.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/sock.h"

#define DIRECTORIES 3

/* The descriptions there are: names in order, each with the directory that has the last word. */
struct listing {
	char directories[DIRECTORIES][PATH_MAX];
	struct {
		char name[NAME_MAX + 1];
		unsigned directory;
	} files[FIRMWARE_FILES_MAX];
	size_t count;
};

/* Whether an array of strings has `text`, or one that ends in '*' and begins as `text` does. */
static bool has_text(struct json_object *array, const char *text)
{
	if (!json_object_is_type(array, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		const char *item = json_object_get_string(json_object_array_get_idx(array, i));
		size_t length = item ? strlen(item) : 0;

		if (!item)
			continue;
		if (strcmp(item, text) == 0 ||
		    (length > 0 && item[length - 1] == '*' && strncmp(item, text, length - 1) == 0))
			return true;
	}
	return false;
}

static bool has_target(struct json_object *targets, enum machine_arch arch)
{
	if (!json_object_is_type(targets, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(targets); i++) {
		struct json_object *target = json_object_array_get_idx(targets, i);
		const char *name = json_object_get_string(
			json_object_object_get(target, "architecture"));
		struct json_object *machines = json_object_object_get(target, "machines");

		if (name && strcmp(name, machine_arch_name(arch)) == 0 &&
		    has_text(machines, arch == MACHINE_ARCH_X86_64 ? "pc-q35-" : "virt-"))
			return true;
	}
	return false;
}

/* The raw file of one flash device. */
static bool flash_file(struct json_object *mapping, const char *key, char to[static PATH_MAX])
{
	struct json_object *flash = json_object_object_get(mapping, key);
	const char *format = json_object_get_string(json_object_object_get(flash, "format"));
	const char *name = json_object_get_string(json_object_object_get(flash, "filename"));

	if (!format || strcmp(format, "raw") != 0 || !name || name[0] != '/' ||
	    strlen(name) >= PATH_MAX)
		return false;
	strcpy(to, name);
	return true;
}

bool firmware_matches(struct json_object *description, enum machine_arch arch, struct firmware *ret)
{
	struct json_object *features, *mapping;
	struct firmware firmware;
	const char *device;

	if (!json_object_is_type(description, json_type_object) ||
	    !has_text(json_object_object_get(description, "interface-types"), "uefi") ||
	    !has_target(json_object_object_get(description, "targets"), arch))
		return false;
	features = json_object_object_get(description, "features");
	/* What only starts signed systems, or needs SMM, isn't for everybody's guest. */
	if (has_text(features, "secure-boot") || has_text(features, "requires-smm") ||
	    has_text(features, "enrolled-keys"))
		return false;
	mapping = json_object_object_get(description, "mapping");
	device = json_object_get_string(json_object_object_get(mapping, "device"));
	if (!device || strcmp(device, "flash") != 0 ||
	    !flash_file(mapping, "executable", firmware.code) ||
	    !flash_file(mapping, "nvram-template", firmware.vars))
		return false;
	*ret = firmware;
	return true;
}

static void set_directories(struct listing *l)
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");

	strcpy(l->directories[0], "/usr/share/qemu/firmware");
	strcpy(l->directories[1], "/etc/qemu/firmware");
	if (config && config[0] == '/')
		snprintf(l->directories[2], PATH_MAX, "%.2048s/qemu/firmware", config);
	else if (home && home[0] == '/')
		snprintf(l->directories[2], PATH_MAX, "%.2048s/.config/qemu/firmware", home);
}

/* Puts a name in its place in the order; a later directory takes it over. */
static void list_add_name(struct listing *l, const char *name, unsigned directory)
{
	size_t at = 0;

	while (at < l->count && strcmp(l->files[at].name, name) < 0)
		at++;
	if (at == l->count || strcmp(l->files[at].name, name) != 0) {
		if (l->count == FIRMWARE_FILES_MAX)
			return;
		memmove(&l->files[at + 1], &l->files[at], (l->count - at) * sizeof(l->files[0]));
		l->count++;
		strcpy(l->files[at].name, name);
	}
	l->files[at].directory = directory;
}

static void list_descriptions(struct listing *l)
{
	for (unsigned i = 0; i < DIRECTORIES; i++) {
		DIR *directory = l->directories[i][0] ? opendir(l->directories[i]) : NULL;
		struct dirent *entry;

		while (directory && (entry = readdir(directory))) {
			const char *dot = strrchr(entry->d_name, '.');

			if (dot && strcmp(dot, ".json") == 0)
				list_add_name(l, entry->d_name, i);
		}
		if (directory)
			closedir(directory);
	}
}

/* Reads a description; NULL when it is none. */
static struct json_object *read_description(const char *directory, const char *name)
{
	static char text[FIRMWARE_JSON_MAX];
	char path[PATH_MAX + NAME_MAX + 2], error[256];
	struct json_object *object = NULL;
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	size = read(fd, text, sizeof(text));
	fd_close(&fd);
	/* An empty file hides the one of that name. */
	if (size <= 0 || size == (ssize_t)sizeof(text) ||
	    json_parse(text, (size_t)size, &object, error, sizeof(error)) < 0)
		return NULL;
	return object;
}

/* The first that fits and whose files are there. */
static bool search(enum machine_arch arch, const char *wanted, struct firmware *ret)
{
	struct listing *l = calloc(1, sizeof(*l));
	bool found = false;

	if (!l)
		return false;
	set_directories(l);
	list_descriptions(l);
	for (size_t i = 0; i < l->count && !found; i++) {
		struct json_object *description = read_description(
			l->directories[l->files[i].directory], l->files[i].name);
		struct firmware firmware;

		if (firmware_matches(description, arch, &firmware) &&
		    (!wanted || strcmp(wanted, firmware.code) == 0) &&
		    access(firmware.code, R_OK) == 0 && access(firmware.vars, R_OK) == 0) {
			*ret = firmware;
			found = true;
		}
		json_object_put(description);
	}
	free(l);
	return found;
}

int firmware_find(enum machine_arch arch, const char *wanted, struct firmware *ret,
		  struct problem *problem)
{
	char path[PATH_MAX];
	struct stat st;

	if (!wanted) {
		if (search(arch, NULL, ret))
			return 0;
		return problem_set(
			problem, -ENOENT,
			"UEFI firmware for %s is missing (no description in /usr/share/qemu/firmware "
			"fits): \"apt-get install %s\" brings it, and -fw names another",
			machine_arch_name(arch),
			arch == MACHINE_ARCH_X86_64 ? "ovmf" : "qemu-efi-aarch64");
	}
	if (!realpath(wanted, path) || stat(path, &st) < 0)
		return problem_set(problem, -errno, "-fw %s: %s", wanted, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return problem_set(problem, -EINVAL, "-fw %s: that is not a firmware's file",
				   wanted);
	if (access(path, R_OK) < 0)
		return problem_set(problem, -errno, "-fw %s: this user may not read it", wanted);
	if (search(arch, path, ret))
		return 0;
	/* Whole images have a power of two of 64 KiB blocks; half of a pair would hang. */
	if (st.st_size % (64 << 10) != 0)
		return problem_set(
			problem, -EINVAL,
			"-fw %s: that is no whole firmware image (its size is no multiple of 64 "
			"KiB), and no description in /usr/share/qemu/firmware says where its "
			"variables are; name a whole image such as OVMF.fd, or leave out -fw",
			wanted);
	strcpy(ret->code, path);
	ret->vars[0] = '\0';
	return 0;
}
