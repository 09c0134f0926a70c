/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of text; see table.h. */
#include "ctl/table.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GAP "  "

static void add(struct table *table, char *text)
{
	if (table->count == table->room) {
		size_t room = table->room * 2 + TABLE_COLUMNS_MAX;
		char **cells = reallocarray(table->cells, room, sizeof(*cells));

		if (!cells) {
			free(text);
			return;
		}
		table->cells = cells;
		table->room = room;
	}
	table->cells[table->count++] = text;
}

void table_init(struct table *table, const char *const *headings)
{
	*table = (struct table){0};
	for (; headings[table->columns]; table->columns++) {
		assert(table->columns < TABLE_COLUMNS_MAX);
		add(table, strdup(headings[table->columns]));
	}
}

void table_add(struct table *table, const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	for (char *c = text; c && *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	add(table, text);
}

static bool is_number_column(const struct table *table, unsigned column)
{
	return table->cells[column][0] == '>';
}

/* What is shown of a cell. */
static const char *shown(const struct table *table, size_t cell)
{
	const char *text = table->cells[cell];

	if (cell < table->columns)
		return text + (text[0] == '>');
	return text[0] ? text : "-";
}

/* Whether every cell is there: memory may have run out. */
static bool is_whole(const struct table *table)
{
	if (!table->cells || table->count % table->columns)
		return false;
	for (size_t i = 0; i < table->count; i++) {
		if (!table->cells[i])
			return false;
	}
	return true;
}

int table_print(const struct table *table, FILE *out)
{
	int widths[TABLE_COLUMNS_MAX] = {0};

	if (!is_whole(table))
		return -ENOMEM;
	for (size_t i = 0; i < table->count; i++) {
		int width = (int)strlen(shown(table, i));

		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	for (size_t i = 0; i < table->count; i++) {
		unsigned column = (unsigned)(i % table->columns);
		bool is_last = column + 1 == table->columns;

		if (is_number_column(table, column))
			fprintf(out, "%*s", widths[column], shown(table, i));
		else
			fprintf(out, "%-*s", is_last ? 0 : widths[column], shown(table, i));
		fputs(is_last ? "\n" : GAP, out);
	}
	return 0;
}

void table_clear(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){0};
}
