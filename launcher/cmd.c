/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd.h. */
#include "launcher/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/nearest.h"
#include "client/api_client.h"
#include "launcher/option_values.h"
#include "launcher/proxy.h"
#include "launcher/supervisor.h"

#define END_SIZE_MAX 8192
#define LOOK_MS      2000

static int set_dir(void *target, const char *value, struct problem *problem)
{
	if (value[0] == '\0')
		return problem_set(problem, -EINVAL, "-dir: the value is empty");
	((struct cmd *)target)->dir = value;
	return 0;
}

static int set_format(void *target, const char *value, struct problem *problem)
{
	if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
		return problem_set(problem, -EINVAL, "-format \"%.80s\": write text or json",
				   value);
	((struct cmd *)target)->json = strcmp(value, "json") == 0;
	return 0;
}

static int set_force(void *target, const char *value, struct problem *problem)
{
	(void)problem;
	((struct cmd *)target)->force = strcmp(value, "true") == 0;
	return 0;
}

static int set_follow(void *target, const char *value, struct problem *problem)
{
	(void)problem;
	((struct cmd *)target)->follow = strcmp(value, "true") == 0;
	return 0;
}

static int set_shrink(void *target, const char *value, struct problem *problem)
{
	(void)problem;
	((struct cmd *)target)->shrink = strcmp(value, "true") == 0;
	return 0;
}

static int set_timeout(void *target, const char *value, struct problem *problem)
{
	return option_number(&((struct cmd *)target)->timeout_s, "timeout", value, 1,
			     CMD_TIMEOUT_MAX, problem);
}

static int set_for(void *target, const char *value, struct problem *problem)
{
	if (strcmp(value, "running") != 0 && strcmp(value, "stopped") != 0)
		return problem_set(problem, -EINVAL, "-for \"%.80s\": write running or stopped",
				   value);
	((struct cmd *)target)->wait_for = value;
	return 0;
}

static int set_user(void *target, const char *value, struct problem *problem)
{
	if (value[0] == '\0' || value[0] == '-' || strpbrk(value, "@: "))
		return problem_set(problem, -EINVAL, "-user \"%.80s\": that is no user's name",
				   value);
	((struct cmd *)target)->user = value;
	return 0;
}

static int set_restore(void *target, const char *value, struct problem *problem)
{
	(void)problem;
	((struct cmd *)target)->restore = value;
	return 0;
}

static int set_which(void *target, const char *value, struct problem *problem)
{
	if (strcmp(value, "supervisor") != 0 && strcmp(value, "console") != 0 &&
	    strcmp(value, "netproxy") != 0)
		return problem_set(problem, -EINVAL,
				   "-of \"%.80s\": write supervisor, console or netproxy", value);
	((struct cmd *)target)->which = value;
	return 0;
}

static const struct {
	unsigned bit; /* 0: all commands have it */
	struct flag flag;
} all_flags[] = {
	{0,
	 {"dir", "DIR", "The machine's directory, for one that isn't kept with the others.",
	  set_dir}},
	{CMD_FORMAT, {"format", "text|json", "How it is printed. Default: text.", set_format}},
	{CMD_FORCE, {"force", NULL, "Doesn't ask the guest.", set_force}},
	{CMD_SHRINK,
	 {"shrink", NULL, "Makes it smaller, too: what is behind that is lost.", set_shrink}},
	{CMD_TIMEOUT, {"timeout", "SECONDS", "How long to wait.", set_timeout}},
	{CMD_FOR, {"for", "running|stopped", "What to wait for. Default: running.", set_for}},
	{CMD_FOLLOW, {"follow", NULL, "Goes on with what is added.", set_follow}},
	{CMD_USER, {"user", "NAME", "The user in the guest. Default: root.", set_user}},
	{CMD_RESTORE,
	 {"snapshot", "NAME", "Restores that snapshot instead of booting.", set_restore}},
	{CMD_WHICH,
	 {"of", "supervisor|console|netproxy", "Whose log. Default: supervisor.", set_which}},
};

#define FLAGS_ALL (sizeof(all_flags) / sizeof(all_flags[0]))

static int add_word(void *target, const char *text, struct problem *problem)
{
	struct cmd *cmd = target;

	if (cmd->count == CMD_WORDS_MAX)
		return problem_set(problem, -E2BIG, "too many arguments");
	cmd->words[cmd->count++] = text;
	return 0;
}

static void print_help(const struct cmd_spec *spec, const struct flag *flags, size_t count,
		       FILE *to)
{
	fprintf(to, "usage: netproxy-vm %s\n\n%s\n\n", spec->usage, spec->help);
	flags_print_help(flags, count, to);
}

/* How many of the words are ours: all, or with `rest` up to the machine's name. */
static int own_words(int argc, char *const *argv, const struct cmd_spec *spec)
{
	for (int i = 1; spec->rest && i < argc; i++) {
		const char *name = argv[i] + strspn(argv[i], "-");

		if (argv[i][0] != '-')
			return i + 1;
		if ((strcmp(name, "dir") == 0 || strcmp(name, "user") == 0) && i + 1 < argc)
			i++;
	}
	return argc;
}

/* Returns 0; 1 when that was all (the help), -errno when it was wrong and said so. */
static int parse(int argc, char *const *argv, const struct cmd_spec *spec, struct cmd *ret)
{
	struct flag flags[FLAGS_ALL];
	struct problem problem;
	int own = own_words(argc, argv, spec), r;
	size_t count = 0;

	for (size_t i = 0; i < FLAGS_ALL; i++)
		if (all_flags[i].bit == 0 || (all_flags[i].bit & spec->flags))
			flags[count++] = all_flags[i].flag;
	log_set_levels("warn");
	*ret = (struct cmd){.dir = NULL};
	r = flags_parse(flags, count, own, argv, ret, add_word, &problem);
	for (int i = own; r == 0 && i < argc; i++)
		r = add_word(ret, argv[i], &problem);
	if (r == FLAGS_HELP) {
		print_help(spec, flags, count, stdout);
		return 1;
	}
	/* With -dir the machine needs no name. */
	if (r == 0 && ret->dir && ret->count + 1 <= spec->words_max && spec->words_max > 0 &&
	    ret->count < spec->words_min) {
		memmove(&ret->words[1], &ret->words[0], ret->count * sizeof(ret->words[0]));
		ret->words[0] = NULL;
		ret->count++;
	}
	if (r == 0 && (ret->count < spec->words_min || ret->count > spec->words_max))
		r = problem_set(&problem, -EINVAL, "usage: netproxy-vm %s", spec->usage);
	if (r < 0)
		cmd_refuse(&problem);
	return r;
}

int cmd_run(int argc, char *const *argv, const struct cmd_spec *spec,
	    int (*run)(const struct cmd *cmd, const struct store_place *place))
{
	struct store_place place;
	struct problem problem;
	struct cmd cmd;
	int r = parse(argc, argv, spec, &cmd);

	if (r != 0)
		return r < 0;
	if (spec->no_machine && cmd.dir)
		r = problem_set(&problem, -EINVAL, "-dir: that is about no machine");
	else if (!spec->no_machine)
		r = store_find(cmd.words[0], cmd.dir, &place, &problem);
	if (r < 0)
		return cmd_refuse(&problem);
	return run(&cmd, spec->no_machine ? NULL : &place);
}

int cmd_refuse(const struct problem *problem)
{
	fprintf(stderr, "netproxy-vm: %s\n", problem->text);
	return 1;
}

const char *cmd_text(struct json_object *object, const char *key)
{
	struct json_object *value;

	return object && json_object_object_get_ex(object, key, &value) && value
		       ? json_object_get_string(value)
		       : "";
}

static void read_end(const struct store_place *place, bool *ret_badly, char why[PROBLEM_MAX])
{
	struct json_object *object, *status;
	char path[PATH_MAX], *text, error[128];
	size_t size;

	if (store_path(place->dir, STORE_END, path) < 0 ||
	    store_read(path, END_SIZE_MAX, &text, &size) < 0)
		return;
	if (json_parse(text, size, &object, error, sizeof(error)) == 0) {
		snprintf(why, PROBLEM_MAX, "%s", cmd_text(object, "why"));
		if (json_object_object_get_ex(object, "status", &status))
			switch (json_object_get_int(status)) {
			case RUN_PROXY_FAILED:
			case RUN_QEMU_FAILED:
			case RUN_PANICKED:
				*ret_badly = true;
			}
		json_object_put(object);
	}
	free(text);
}

static enum machine_state state_named(const char *name)
{
	for (int i = 0; i < MACHINE_STATE_COUNT; i++)
		if (strcmp(machine_state_name((enum machine_state)i), name) == 0)
			return (enum machine_state)i;
	return MACHINE_STARTING;
}

void cmd_look(const struct store_place *place, struct cmd_view *ret)
{
	struct machine_facts facts = {.locked = false};
	struct problem problem;

	*ret = (struct cmd_view){.pid = 0};
	facts.locked = store_owner(place->dir, &ret->pid) == 0;
	if (!facts.locked) {
		read_end(place, &facts.ended_badly, ret->why);
		facts.stale = store_stale(place->dir) != 0;
		if (facts.stale)
			snprintf(ret->why, sizeof(ret->why), "its supervisor was killed");
		ret->state = machine_state_of(&facts);
		return;
	}
	if (cmd_call(place, "GET", "/machine", NULL, LOOK_MS, &ret->status, &problem) < 0)
		ret->state = MACHINE_STARTING;
	else
		ret->state = state_named(cmd_text(ret->status, "state"));
}

void cmd_view_clear(struct cmd_view *view)
{
	json_object_put(view->status);
	view->status = NULL;
}

struct json_object *cmd_view_json(const struct store_place *place, const struct cmd_view *view)
{
	struct json_object *object = view->status ? json_object_get(view->status)
						  : json_object_new_object();

	json_object_object_add(object, "name", json_object_new_string(place->name));
	json_object_object_add(object, "dir", json_object_new_string(place->dir));
	json_object_object_add(object, "state",
			       json_object_new_string(machine_state_name(view->state)));
	if (view->pid > 0)
		json_object_object_add(object, "pid", json_object_new_int(view->pid));
	if (view->why[0])
		json_object_object_add(object, "why", json_object_new_string(view->why));
	return object;
}

int cmd_call(const struct store_place *place, const char *method, const char *path,
	     const char *body, unsigned timeout_ms, struct json_object **ret_value,
	     struct problem *problem)
{
	struct api_target target = {.transport = API_UNIX};
	struct http_response response;
	struct json_object *value = NULL;
	char error[API_ERROR_MAX], why[128];
	int r;

	if (snprintf(target.path, sizeof(target.path), "%s/" STORE_REST, place->dir) >=
	    (int)sizeof(target.path))
		return problem_set(problem, -ENAMETOOLONG, "%s: the directory's path is too long",
				   place->dir);
	r = api_request(&target, method, path, body, clock_ms() + timeout_ms, &response, error);
	if (r < 0)
		return problem_set(problem, r, "%s: %s", place->name, error);
	if (response.body_size > 0 &&
	    json_parse(response.body, response.body_size, &value, why, sizeof(why)) < 0)
		value = NULL;
	if (response.status >= 300)
		r = problem_set(problem, -EREMOTEIO, "%s",
				value ? cmd_text(value, "error") : "it refused");
	http_response_clear(&response);
	if (r < 0 || !ret_value)
		json_object_put(value);
	else
		*ret_value = value;
	return r;
}

void cmd_print_json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

int cmd_settings(const struct store_place *place, struct settings *settings,
		 struct problem *problem)
{
	struct json_object *object;
	int r = description_load(place, &object, problem);

	if (r < 0) {
		*settings = (struct settings){.ready_timeout_s = 0};
		return r;
	}
	r = description_options(object, place, settings, problem);
	json_object_put(object);
	return r;
}

int cmd_run_sub(int argc, char *const *argv, const struct cmd_sub *subs, size_t count)
{
	bool help = argc > 1 && (strstr(argv[1], "help") || strcmp(argv[1], "-h") == 0);
	const char *name = argc <= 1 ? "" : strcmp(argv[1], "ls") == 0 ? "list" : argv[1];
	FILE *to = help ? stdout : stderr;
	struct nearest nearest;

	nearest_begin(&nearest, name, strlen(name));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(name, subs[i].name) == 0)
			return cmd_run(argc - 1, argv + 1, &subs[i].spec, subs[i].run);
		nearest_offer(&nearest, subs[i].name, NULL);
	}
	fprintf(to, "usage:\n");
	for (size_t i = 0; i < count; i++)
		fprintf(to, "  netproxy-vm %s\n", subs[i].spec.usage);
	if (!help && argc > 1)
		fprintf(to, "netproxy-vm: %s: there is no \"%s\"%s%s%s\n", argv[0], argv[1],
			nearest.name ? ": did you mean " : "", nearest.name ? nearest.name : "",
			nearest.name ? "?" : "");
	return !help;
}

int cmd_check(const struct store_place *place, enum machine_action action,
	      enum machine_state *ret_state, struct problem *problem)
{
	struct cmd_view view;
	const char *why;

	cmd_look(place, &view);
	cmd_view_clear(&view);
	if (ret_state)
		*ret_state = view.state;
	why = machine_rule(view.state, action);
	return why ? problem_set(problem, -EBUSY, "%s: %s", place->name, why) : 0;
}

bool cmd_allowed(const struct store_place *place, enum machine_action action,
		 enum machine_state *ret_state)
{
	struct problem problem;

	if (cmd_check(place, action, ret_state, &problem) == 0)
		return true;
	cmd_refuse(&problem);
	return false;
}
