/* SPDX-License-Identifier: Apache-2.0 */
/* See store_description.h: the file, its older versions, and how flags get into it. */
#include "launcher/store_description.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"

LOG_MODULE("store");

#define BACKUP_NAME STORE_DESCRIPTION ".v%d"

/* How a flag's value names a file. */
enum path_kind {
	PATH_WHOLE,     /* it is one */
	PATH_IF_SLASH,  /* if there is a slash in it: a program */
	PATH_IF_FILE,   /* if there is such a file: else a key's text */
	PATH_TO_COMMA,  /* FILE,format=..., perhaps with file= before it */
	PATH_TO_COLON,  /* PATH:TAG */
	PATH_AFTER_WORD /* userspace,SOCKET,api=SOCKET */
};

static const struct path_flag {
	const char *name;
	enum path_kind kind;
} path_flags[] = {
	{"kernel", PATH_WHOLE},    {"initrd", PATH_WHOLE},
	{"squashfs", PATH_WHOLE},  {"iso", PATH_WHOLE},
	{"fw", PATH_WHOLE},        {"ignition", PATH_WHOLE},
	{"image", PATH_WHOLE},     {"data-file", PATH_WHOLE},
	{"qemu", PATH_IF_SLASH},   {"netproxy", PATH_IF_SLASH},
	{"ssh-key", PATH_IF_FILE}, {"disk", PATH_TO_COMMA},
	{"volume", PATH_TO_COLON}, {"networking", PATH_AFTER_WORD},
};

/* Version 0 had no version key, and a list of one could be a string. */
static int migrate_0(struct json_object *object)
{
	static const char *const keys[] = {"disk", "volume", "publish", "vsock-ports"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value, *list;

		if (!json_object_object_get_ex(object, keys[i], &value) ||
		    !json_object_is_type(value, json_type_string))
			continue;
		list = json_object_new_array();
		if (!list)
			return -ENOMEM;
		json_object_array_add(list, json_object_get(value));
		json_object_object_add(object, keys[i], list);
	}
	json_object_object_add(object, "version", json_object_new_int(1));
	return 0;
}

static int (*const migrations[DESCRIPTION_VERSION])(struct json_object *object) = {migrate_0};

int description_migrate(struct json_object *object, const char *where, struct problem *problem)
{
	struct json_object *value;
	int64_t version = 0;

	if (json_object_object_get_ex(object, "version", &value)) {
		if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 1)
			return problem_set(problem, -EINVAL,
					   "%s: \"version\": a whole number is wanted; this "
					   "program writes %d",
					   where, DESCRIPTION_VERSION);
		version = json_object_get_int64(value);
	}
	if (version > DESCRIPTION_VERSION)
		return problem_set(problem, -EINVAL,
				   "%s: \"version\" is %lld, from a newer netproxy-vm than this, "
				   "which knows up to %d: use that one",
				   where, (long long)version, DESCRIPTION_VERSION);
	for (int64_t v = version; v < DESCRIPTION_VERSION; v++)
		if (migrations[v](object) < 0)
			return problem_set(problem, -ENOMEM, "out of memory");
	return version < DESCRIPTION_VERSION;
}

/* The version of a text that is a good description. */
static int version_of(const char *text, size_t size)
{
	struct json_object *object, *value;
	char error[128];
	int version = 0;

	if (json_parse(text, size, &object, error, sizeof(error)) < 0)
		return DESCRIPTION_VERSION;
	if (json_object_object_get_ex(object, "version", &value))
		version = json_object_get_int(value);
	json_object_put(object);
	return version;
}

static int back_up(const struct store_place *place, const char *text, size_t size, int version,
		   struct problem *problem)
{
	char name[sizeof(BACKUP_NAME) + 16], path[PATH_MAX];
	int r;

	snprintf(name, sizeof(name), BACKUP_NAME, version);
	r = store_path(place->dir, name, path);
	if (r == 0)
		r = store_write(path, text, size);
	if (r < 0)
		return problem_set(problem, r, "can't keep a copy of %s's description in %s: %s",
				   place->name, name, strerror(-r));
	log_info("%s is from an older version: it is migrated, and kept as %s", STORE_DESCRIPTION,
		 name);
	return 0;
}

int description_load(const struct store_place *place, struct json_object **ret_object,
		     struct problem *problem)
{
	struct json_object *object;
	char path[PATH_MAX], *text;
	size_t size;
	int r = store_path(place->dir, STORE_DESCRIPTION, path);

	if (r == 0)
		r = store_read(path, DESCRIPTION_SIZE_MAX, &text, &size);
	if (r < 0)
		return problem_set(problem, r, "can't read %s/%s: %s", place->dir,
				   STORE_DESCRIPTION, strerror(-r));
	r = description_parse(text, size, path, &object, problem);
	if (r == 0) {
		int version = version_of(text, size);

		if (version < DESCRIPTION_VERSION) {
			r = back_up(place, text, size, version, problem);
			if (r == 0)
				r = description_save(place, object, problem);
			if (r < 0)
				json_object_put(object);
		}
	}
	free(text);
	if (r == 0)
		*ret_object = object;
	return r;
}

int description_save(const struct store_place *place, struct json_object *object,
		     struct problem *problem)
{
	const char *json = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	char path[PATH_MAX], *text = NULL;
	int r = store_path(place->dir, STORE_DESCRIPTION, path);

	if (r == 0 && (!json || asprintf(&text, "%s\n", json) < 0))
		r = -ENOMEM;
	if (r == 0)
		r = store_write(path, text, strlen(text));
	free(text);
	if (r < 0)
		return problem_set(problem, r, "can't write %s/%s: %s", place->dir,
				   STORE_DESCRIPTION, strerror(-r));
	return 0;
}

static enum path_kind *kind_of(const char *name, enum path_kind *to)
{
	for (size_t i = 0; i < sizeof(path_flags) / sizeof(path_flags[0]); i++)
		if (strcmp(path_flags[i].name, name) == 0) {
			*to = path_flags[i].kind;
			return to;
		}
	return NULL;
}

/* Where in the value a path begins, or NULL. */
static const char *path_in(const char *name, const char *value)
{
	enum path_kind kind;

	if (!kind_of(name, &kind))
		return NULL;
	switch (kind) {
	case PATH_WHOLE:
	case PATH_TO_COLON:
		return value;
	case PATH_IF_SLASH:
		return strchr(value, '/') ? value : NULL;
	case PATH_IF_FILE:
		return access(value, F_OK) == 0 ? value : NULL;
	case PATH_TO_COMMA:
		return strncmp(value, "file=", 5) == 0 ? value + 5 : value;
	case PATH_AFTER_WORD:
		return strncmp(value, "userspace,", 10) == 0 ? value + 10 : NULL;
	}
	return NULL;
}

static bool is_relative(const char *path)
{
	return path && path[0] != '/' && path[0] != '\0';
}

/* The value with its paths made absolute; owned, NULL without memory. Only -networking has two. */
static char *absolute(const char *name, const char *value)
{
	const char *path = path_in(name, value);
	const char *api = strcmp(name, "networking") == 0 && path ? strstr(path, ",api=") : NULL;
	const char *second = api ? api + strlen(",api=") : NULL;
	char cwd[PATH_MAX], *text;
	size_t first_size;

	if ((!is_relative(path) && !is_relative(second)) || !getcwd(cwd, sizeof(cwd)))
		return strdup(value);
	first_size = second ? (size_t)(second - path) : strlen(path);
	if (asprintf(&text, "%.*s%s%s%.*s%s%s%s", (int)(path - value), value,
		     is_relative(path) ? cwd : "", is_relative(path) ? "/" : "", (int)first_size,
		     path, is_relative(second) ? cwd : "", is_relative(second) ? "/" : "",
		     second ? second : "") < 0)
		return NULL;
	return text;
}

/* Adds one flag's value: to a list, which begins anew with the first one of this command line. */
static int put_value(struct json_object *object, const struct flag *flag, const char *value,
		     bool first)
{
	struct json_object *list, *item;
	char *text = absolute(flag->name, value);

	if (!text)
		return -ENOMEM;
	item = flag->value_name ? json_object_new_string(text)
				: json_object_new_boolean(strcmp(text, "true") == 0);
	free(text);
	if (!description_is_list(flag->name)) {
		json_object_object_add(object, flag->name, item);
		return 0;
	}
	if (first || !json_object_object_get_ex(object, flag->name, &list)) {
		list = json_object_new_array();
		json_object_object_add(object, flag->name, list);
	}
	json_object_array_add(list, item);
	return 0;
}

static const struct flag *flag_of_word(const char *word, const struct flag *flags, size_t count,
				       const char **ret_value)
{
	const char *name = word + (word[1] == '-' ? 2 : 1);
	size_t length = strcspn(name, "=");

	for (size_t i = 0; i < count; i++)
		if (strlen(flags[i].name) == length && memcmp(flags[i].name, name, length) == 0) {
			*ret_value = name[length] == '=' ? name + length + 1 : NULL;
			return &flags[i];
		}
	return NULL;
}

static bool skipped(const char *name, const char *const *skip)
{
	for (; *skip; skip++)
		if (strcmp(*skip, name) == 0)
			return true;
	return false;
}

int description_merge(struct json_object *object, int argc, char *const *argv,
		      const struct flag *flags, size_t flag_count, const char *const *skip,
		      unsigned first_path, struct problem *problem)
{
	static const struct flag image = {"image", "PATH", NULL, NULL};
	bool seen[DESCRIPTION_KEYS_MAX] = {false}, only_arguments = false;
	unsigned arguments = 0;
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		const char *value = NULL;
		const struct flag *flag;

		if (!only_arguments && strcmp(argv[i], "--") == 0) {
			only_arguments = true;
			continue;
		}
		if (only_arguments || argv[i][0] != '-' || argv[i][1] == '\0') {
			if (arguments++ >= first_path)
				r = put_value(object, &image, argv[i], true);
			continue;
		}
		flag = flag_of_word(argv[i], flags, flag_count, &value);
		if (!flag)
			return problem_set(problem, -EINVAL, "%s is not a flag", argv[i]);
		if (!value)
			value = flag->value_name ? argv[++i] : "true";
		if (!skipped(flag->name, skip)) {
			r = put_value(object, flag, value, !seen[flag - flags]);
			seen[flag - flags] = true;
		}
	}
	return r < 0 ? problem_set(problem, r, "%s", strerror(-r)) : 0;
}
