/* SPDX-License-Identifier: Apache-2.0 */
/* See store_description.h: values and flags. Reading and writing the file is in store_file.c, lines
 * in store_line.c. */
#include "launcher/store_description.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "launcher/option_values.h"

static int set_ready(void *target, const char *value, struct problem *problem)
{
	return ready_parse(value, &((struct settings *)target)->ready, problem);
}

static int set_ready_timeout(void *target, const char *value, struct problem *problem)
{
	return option_number(&((struct settings *)target)->ready_timeout_s, "ready-timeout", value,
			     1, READY_TIMEOUT_MAX_S, problem);
}

static int set_balloon_min(void *target, const char *value, struct problem *problem)
{
	return option_memory(&((struct settings *)target)->balloon_min_bytes, "balloon-min", value,
			     problem);
}

static const struct flag managed_flags[] = {
	{"ready", "none|serial|vsock[:PORT]|tcp:PORT|ssh|console:TEXT",
	 "When \"start\" takes the guest for ready. none (the default): QEMU runs. serial: the guest "
	 "writes a line to /dev/virtio-ports/org.netproxy.ready. vsock: systemd in the guest says so. "
	 "tcp, ssh: a published port of the guest answers. console: TEXT is on its console.",
	 set_ready},
	{"ready-timeout", "SECONDS",
	 "How long \"start\" waits for that, under KVM; 5 times as long under TCG. Default: 60.",
	 set_ready_timeout},
	{"balloon-min", "SIZE",
	 "The least memory that \"balloon set\" leaves the guest. Default: a quarter of -mem.",
	 set_balloon_min},
};

/* Flags of "run" that are for one run in the foreground, or are what a managed machine is. */
static const char *const not_described[] = {"state", "detached", "console", "name", "log-level"};
static const char *const lists[] = {"disk", "volume", "publish", "vsock-ports"};

#define COUNT(ARRAY) (sizeof(ARRAY) / sizeof((ARRAY)[0]))

static bool one_of(const char *text, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, texts[i]) == 0)
			return true;
	return false;
}

bool description_is_list(const char *key)
{
	return one_of(key, lists, COUNT(lists));
}

const struct flag *description_flags(size_t *ret_count)
{
	static struct flag flags[DESCRIPTION_KEYS_MAX];
	static size_t count;
	size_t run_count;
	const struct flag *run = run_options_flags(&run_count);

	for (size_t i = 0; count == 0 && i < COUNT(managed_flags); i++)
		flags[i] = managed_flags[i];
	if (count == 0) {
		count = COUNT(managed_flags);
		for (size_t i = 0; i < run_count && count < DESCRIPTION_KEYS_MAX; i++)
			if (!one_of(run[i].name, not_described, COUNT(not_described)))
				flags[count++] = run[i];
	}
	*ret_count = count;
	return flags;
}

static const struct flag *find_flag(const char *name)
{
	size_t count;
	const struct flag *flags = description_flags(&count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(flags[i].name, name) == 0)
			return &flags[i];
	return NULL;
}

struct json_object *description_new(void)
{
	struct json_object *object = json_object_new_object();

	if (object)
		json_object_object_add(object, "version", json_object_new_int(DESCRIPTION_VERSION));
	return object;
}

/* What is being checked, for messages. */
struct check {
	const char *text; /* the file's, or NULL: it isn't from one */
	size_t size;
	const char *where;
	struct settings settings;
};

/* Begins a message: "machine.json:7: ". */
static int complain(const struct check *check, const char *key, int index, struct problem *problem,
		    const char *what)
{
	unsigned line = check->text ? description_line(check->text, check->size, key, index) : 0;

	if (line > 0)
		return problem_set(problem, -EINVAL, "%s:%u: \"%.60s\": %.700s", check->where, line,
				   key, what);
	return problem_set(problem, -EINVAL, "%s: \"%.60s\": %.700s", check->where, key, what);
}

static int check_one(struct check *check, const struct flag *flag, struct json_object *value,
		     int index, struct problem *problem)
{
	bool is_switch = flag->value_name == NULL;
	struct problem why;
	const char *text;

	if (is_switch && !json_object_is_type(value, json_type_boolean))
		return complain(check, flag->name, index, problem, "true or false is wanted");
	if (!is_switch && !json_object_is_type(value, json_type_string) &&
	    !json_object_is_type(value, json_type_int))
		return complain(check, flag->name, index, problem,
				description_is_list(flag->name)
					? "a list of strings is wanted"
					: "a string or a whole number is wanted");
	text = json_object_get_string(value);
	if (json_object_is_type(value, json_type_string) &&
	    strlen(text) != (size_t)json_object_get_string_len(value))
		return complain(check, flag->name, index, problem,
				"there is a NUL character in it");
	if (flag->set(&check->settings, text, &why) < 0)
		return complain(check, flag->name, index, problem, why.text);
	return 0;
}

static int unknown_key(struct check *check, const char *key, struct problem *problem)
{
	size_t count;
	const struct flag *flags = description_flags(&count);
	const struct flag *nearest = flags_nearest(flags, count, key, strlen(key));
	char text[160];

	if (one_of(key, not_described, COUNT(not_described)))
		snprintf(text, sizeof(text), "that is chosen for a managed machine: leave it out");
	else if (nearest)
		snprintf(text, sizeof(text), "there is no such key: did you mean \"%s\"?",
			 nearest->name);
	else
		snprintf(text, sizeof(text),
			 "there is no such key; \"netproxy-vm init -help\" lists them");
	return complain(check, key, -1, problem, text);
}

static int check_value(struct check *check, const char *key, struct json_object *value,
		       struct problem *problem)
{
	const struct flag *flag = find_flag(key);
	int r = 0;

	if (strcmp(key, "version") == 0)
		return 0;
	if (strcmp(key, "image") == 0)
		return json_object_is_type(value, json_type_string)
			       ? 0
			       : complain(check, key, -1, problem, "a string is wanted");
	if (!flag)
		return unknown_key(check, key, problem);
	if (!description_is_list(key))
		return check_one(check, flag, value, -1, problem);
	if (!json_object_is_type(value, json_type_array))
		return complain(check, key, -1, problem, "a list is wanted: [\"...\", \"...\"]");
	for (size_t i = 0; i < json_object_array_length(value) && r == 0; i++)
		r = check_one(check, flag, json_object_array_get_idx(value, i), (int)i, problem);
	return r;
}

static void settings_init(struct settings *settings)
{
	*settings = (struct settings){.ready_timeout_s = READY_TIMEOUT_S};
	machine_init(&settings->run.machine);
}

static int check_values(struct json_object *object, const char *text, size_t size,
			const char *where, struct problem *problem)
{
	struct check check = {.text = text, .size = size, .where = where};
	struct json_object_iterator at = json_object_iter_begin(object);
	struct json_object_iterator end = json_object_iter_end(object);
	int r = 0;

	settings_init(&check.settings);
	for (; r == 0 && !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		r = check_value(&check, json_object_iter_peek_name(&at),
				json_object_iter_peek_value(&at), problem);
	run_options_clear(&check.settings.run);
	return r;
}

int description_parse(const char *text, size_t size, const char *where,
		      struct json_object **ret_object, struct problem *problem)
{
	struct json_object *object = NULL;
	char error[256], key[64];
	int r;

	if (json_parse(text, size, &object, error, sizeof(error)) < 0)
		return problem_set(problem, -EINVAL, "%s: %s", where, error);
	if (!json_object_is_type(object, json_type_object))
		r = problem_set(problem, -EINVAL, "%s: an object is wanted: {\"version\": %d, ...}",
				where, DESCRIPTION_VERSION);
	else if (description_repeated(text, size, key))
		r = problem_set(problem, -EINVAL, "%s: the key \"%s\" is there twice", where, key);
	else
		r = description_migrate(object, where, problem);
	if (r >= 0)
		r = check_values(object, text, size, where, problem);
	if (r < 0) {
		json_object_put(object);
		return r;
	}
	*ret_object = object;
	return 0;
}

/* Adds a flag's words: -flag=value, which takes any value. */
static void add_words(struct args *args, const char *key, struct json_object *value)
{
	if (!json_object_is_type(value, json_type_array)) {
		args_addf(args, "-%s=%s", key, json_object_get_string(value));
		return;
	}
	for (size_t i = 0; i < json_object_array_length(value); i++)
		args_addf(args, "-%s=%s", key,
			  json_object_get_string(json_object_array_get_idx(value, i)));
}

static bool is_managed(const char *key)
{
	for (size_t i = 0; i < COUNT(managed_flags); i++)
		if (strcmp(managed_flags[i].name, key) == 0)
			return true;
	return false;
}

static int check_settings(struct settings *s, struct problem *problem)
{
	const struct machine *m = &s->run.machine;

	if (s->balloon_min_bytes == 0)
		s->balloon_min_bytes = m->mem_bytes / 4;
	if (s->balloon_min_bytes > m->mem_bytes)
		return problem_set(problem, -ERANGE,
				   "-balloon-min: that is more than the machine has, -mem %" PRIu64
				   "M",
				   m->mem_bytes >> 20);
	return ready_check(&s->ready, m, problem);
}

int description_options(struct json_object *object, const struct store_place *place,
			struct settings *settings, struct problem *problem)
{
	struct json_object_iterator at = json_object_iter_begin(object);
	struct json_object_iterator end = json_object_iter_end(object);
	struct args args = {.count = 0};
	int r = 0;

	settings_init(settings);
	args_add(&args, "run");
	args_addf(&args, "-state=%s", place->dir);
	args_addf(&args, "-name=%s", place->name);
	args_add(&args, "-console=none");
	for (; r == 0 && !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		const char *key = json_object_iter_peek_name(&at);
		struct json_object *value = json_object_iter_peek_value(&at);

		if (strcmp(key, "version") == 0)
			continue;
		if (is_managed(key))
			r = find_flag(key)->set(settings, json_object_get_string(value), problem);
		else if (strcmp(key, "image") == 0)
			args_add(&args, json_object_get_string(value));
		else
			add_words(&args, key, value);
	}
	if (r == 0 && !args_ok(&args))
		r = problem_set(problem, -E2BIG, "%s: the description is too long", place->name);
	if (r == 0) {
		r = run_options_parse((int)args.count, args.items, &settings->run, problem);
		r = r > 0 ? problem_set(problem, -EINVAL, "a description has no -help") : r;
	}
	args_clear(&args);
	return r < 0 ? r : check_settings(settings, problem);
}
