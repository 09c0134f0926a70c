/* SPDX-License-Identifier: Apache-2.0 */
/* See flags.h. */
#include "launcher/flags.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/nearest.h"

#define FLAG_SHOWN_MAX   32
#define HELP_COLUMNS     80
#define HELP_INDENT      8
#define HELP_FLAG_INDENT 2

/* What QEMU, gvproxy, docker, podman and others call the same. */
static const struct {
	const char *name, *aka;
} elsewhere[] = {
	{"mem", "m ram"},
	{"cpus", "smp c vcpus"},
	{"cmdline", "append kernel-cmdline"},
	{"disk", "hda hdb drive d device"},
	{"iso", "cdrom"},
	{"fw", "bios firmware"},
	{"publish", "p port ports portForwards"},
	{"volume", "v mount virtiofs virtfs share"},
	{"networking", "nic netdev"},
	{"console", "serial"},
	{"detached", "daemonize background b"},
	{"data", "user-data userdata cloud-init"},
	{"ssh-key", "key identity"},
	{"ignition", "ignition-path"},
	{"headless", "nographic"},
	{"log-level", "debug verbose quiet q"},
	{"format", "json o output f"},
	{"force", "f y yes"},
	{"follow", "f"},
};

static const char *called_elsewhere(const char *name)
{
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		if (strcmp(elsewhere[i].name, name) == 0)
			return elsewhere[i].aka;
	return NULL;
}

const struct flag *flags_nearest(const struct flag *flags, size_t count, const char *name,
				 size_t size)
{
	struct nearest nearest;
	const struct flag *flag = NULL;

	nearest_begin(&nearest, name, size);
	for (size_t i = 0; i < count; i++) {
		nearest_offer(&nearest, flags[i].name, called_elsewhere(flags[i].name));
		if (nearest.name == flags[i].name)
			flag = &flags[i];
	}
	return flag;
}

static int unknown_flag(const struct flag *flags, size_t count, const char *name, size_t length,
			struct problem *problem)
{
	const struct flag *nearest = flags_nearest(flags, count, name, length);
	int shown = length > FLAG_SHOWN_MAX ? FLAG_SHOWN_MAX : (int)length;

	if (nearest)
		return problem_set(problem, -EINVAL, "unknown flag -%.*s: did you mean -%s%s%s?",
				   shown, name, nearest->name, nearest->value_name ? " " : "",
				   nearest->value_name ? nearest->value_name : "");
	return problem_set(problem, -EINVAL,
			   "unknown flag -%.*s: -help lists the flags that there are", shown, name);
}

static const struct flag *find_flag(const struct flag *flags, size_t count, const char *name,
				    size_t length)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(flags[i].name) == length && memcmp(flags[i].name, name, length) == 0)
			return &flags[i];
	return NULL;
}

/* Parses the flag at argv[*index] and moves *index to its last word. */
static int parse_flag(const struct flag *flags, size_t count, int argc, char *const *argv,
		      int *index, void *target, struct problem *problem)
{
	const char *name = argv[*index] + (argv[*index][1] == '-' ? 2 : 1);
	size_t length = strcspn(name, "=");
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	const struct flag *flag = find_flag(flags, count, name, length);

	if (!flag && !value && (strcmp(name, "help") == 0 || strcmp(name, "h") == 0))
		return FLAGS_HELP;
	if (!flag)
		return unknown_flag(flags, count, name, length, problem);
	if (!flag->value_name) {
		if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return problem_set(problem, -EINVAL,
					   "-%s is a switch: write -%s, or -%s=false, not \"%s\"",
					   flag->name, flag->name, flag->name, value);
		return flag->set(target, value ? value : "true", problem);
	}
	if (!value) {
		if (*index + 1 >= argc)
			return problem_set(problem, -EINVAL, "-%s needs a value: -%s %s",
					   flag->name, flag->name, flag->value_name);
		value = argv[++*index];
	}
	return flag->set(target, value, problem);
}

int flags_parse(const struct flag *flags, size_t count, int argc, char *const *argv, void *target,
		int (*argument)(void *target, const char *text, struct problem *problem),
		struct problem *problem)
{
	bool only_arguments = false;

	for (int i = 1; i < argc; i++) {
		int r;

		if (!only_arguments && strcmp(argv[i], "--") == 0) {
			only_arguments = true;
			continue;
		}
		if (!only_arguments && argv[i][0] == '-' && argv[i][1] != '\0')
			r = parse_flag(flags, count, argc, argv, &i, target, problem);
		else
			r = argument(target, argv[i], problem);
		if (r != 0)
			return r;
	}
	return 0;
}

static void print_wrapped(const char *text, FILE *to)
{
	int column = 0;

	while (*text) {
		int length = (int)strcspn(text, " ");

		if (column > 0 && column + 1 + length > HELP_COLUMNS) {
			fputc('\n', to);
			column = 0;
		}
		if (column == 0)
			column = fprintf(to, "%*s%.*s", HELP_INDENT, "", length, text);
		else
			column += fprintf(to, " %.*s", length, text);
		text += length;
		text += strspn(text, " ");
	}
	fputc('\n', to);
}

void flags_print_help(const struct flag *flags, size_t count, FILE *to)
{
	for (size_t i = 0; i < count; i++) {
		fprintf(to, "%*s-%s%s%s\n", HELP_FLAG_INDENT, "", flags[i].name,
			flags[i].value_name ? " " : "",
			flags[i].value_name ? flags[i].value_name : "");
		print_wrapped(flags[i].help, to);
	}
}
