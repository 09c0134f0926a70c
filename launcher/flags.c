/* SPDX-License-Identifier: Apache-2.0 */
/* See flags.h. */
#include "launcher/flags.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define FLAGS_MAX        64
#define FLAG_NAME_MAX    32
#define NEAR_EDITS_MAX   2
#define HELP_COLUMNS     80
#define HELP_INDENT      8
#define HELP_FLAG_INDENT 2

/* Levenshtein's distance, of words shorter than FLAG_NAME_MAX. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[FLAG_NAME_MAX + 1];
	size_t b_length = strlen(b);

	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
			size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = best < replaced ? best : replaced;
		}
	}
	return row[b_length];
}

const char *flags_nearest(const char *text, const char *const *names)
{
	const char *nearest = NULL;
	size_t nearest_edits = NEAR_EDITS_MAX + 1;
	size_t length = strlen(text);

	if (length == 0 || length >= FLAG_NAME_MAX)
		return NULL;
	for (size_t i = 0; names[i]; i++) {
		size_t name_length = strlen(names[i]);

		if (name_length >= FLAG_NAME_MAX)
			continue;
		/* "-memory" means -mem, "-net" means -networking. */
		size_t common = length < name_length ? length : name_length;
		bool prefix = common >= 3 && strncmp(text, names[i], common) == 0;
		size_t edits = prefix ? 1 : edit_distance(text, names[i]);

		if (edits < nearest_edits && edits < name_length) {
			nearest = names[i];
			nearest_edits = edits;
		}
	}
	return nearest;
}

static int unknown_flag(const struct flag *flags, size_t count, const char *name, size_t length,
			struct problem *problem)
{
	const char *names[FLAGS_MAX + 1] = {NULL};
	char text[FLAG_NAME_MAX];
	const char *nearest;

	if (length >= sizeof(text))
		return problem_set(problem, -EINVAL,
				   "unknown flag -%.*s...: -help lists the flags that there are",
				   (int)sizeof(text), name);
	memcpy(text, name, length);
	text[length] = '\0';
	for (size_t i = 0; i < count && i < FLAGS_MAX; i++)
		names[i] = flags[i].name;
	nearest = flags_nearest(text, names);
	if (nearest)
		return problem_set(problem, -EINVAL, "unknown flag -%s: did you mean -%s?", text,
				   nearest);
	return problem_set(problem, -EINVAL,
			   "unknown flag -%s: -help lists the flags that there are", text);
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
