/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of text, as wide as what is in them. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 10

struct table {
	char **cells; /* owned; row after row, the headings first; NULL when memory ran out */
	size_t count;
	size_t room;
	unsigned columns;
};

/* Headings end with NULL; those that start with '>' are of columns of numbers, which stand to the
 * right. */
void table_init(struct table *table, const char *const *headings);
/* The next cell; what could disturb a terminal becomes '?'. An empty one is shown as "-". */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints it; nothing but the headings when there are no rows. Returns 0 or -ENOMEM. */
int table_print(const struct table *table, FILE *out);
void table_clear(struct table *table);

#endif
