/* SPDX-License-Identifier: Apache-2.0 */
/* See args.h. */
#include "launcher/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes `text`. */
static void add_owned(struct args *args, char *text)
{
	if (!text || args->failed || args->count == ARGS_MAX) {
		free(text);
		args->failed = true;
		return;
	}
	args->items[args->count++] = text;
	args->items[args->count] = NULL;
}

void args_add(struct args *args, const char *text)
{
	add_owned(args, strdup(text));
}

void args_addf(struct args *args, const char *format, ...)
{
	char *text = NULL;
	va_list list;

	va_start(list, format);
	if (vasprintf(&text, format, list) < 0)
		text = NULL;
	va_end(list);
	add_owned(args, text);
}

void args_append(struct args *args, const char *text)
{
	char *joined = NULL;

	if (args->failed || args->count == 0 ||
	    asprintf(&joined, "%s%s", args->items[args->count - 1], text) < 0) {
		args->failed = true;
		return;
	}
	free(args->items[args->count - 1]);
	args->items[args->count - 1] = joined;
}

void args_append_value(struct args *args, const char *text)
{
	char *escaped = malloc(2 * strlen(text) + 1);
	char *to = escaped;

	if (!escaped) {
		args->failed = true;
		return;
	}
	for (; *text; text++) {
		if (*text == ',')
			*to++ = ',';
		*to++ = *text;
	}
	*to = '\0';
	args_append(args, escaped);
	free(escaped);
}

static bool is_plain(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_=+,.:/@%";

	return text[0] != '\0' && text[strspn(text, plain)] == '\0';
}

static void print_quoted(FILE *to, const char *text)
{
	if (is_plain(text)) {
		fputs(text, to);
		return;
	}
	fputc('\'', to);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", to);
		else
			fputc(*text, to);
	}
	fputc('\'', to);
}

char *args_shell_line(const struct args *args)
{
	char *line = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&line, &size);

	if (!to)
		return NULL;
	for (size_t i = 0; i < args->count; i++) {
		if (i > 0)
			fputc(' ', to);
		print_quoted(to, args->items[i]);
	}
	if (fclose(to) != 0) {
		free(line);
		return NULL;
	}
	return line;
}

void args_clear(struct args *args)
{
	for (size_t i = 0; i < args->count; i++)
		free(args->items[i]);
	memset(args, 0, sizeof(*args));
}
