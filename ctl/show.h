/* SPDX-License-Identifier: Apache-2.0 */
/* The API's answers, shown as tables, or as JSON as they came. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include "ctl/ctl_request.h"
#include "ctl/table.h"

/* Adds an entry's cells. */
typedef void ctl_row_fn(struct table *table, struct json_object *entry, void *arg);

enum ctl_status ctl_show_json(const struct ctl *ctl, struct json_object *object);
/* 0 for what is no array. */
size_t ctl_array_length(struct json_object *array);
/* A table of an array's entries, or the sentence that says that there are none. */
enum ctl_status ctl_show_list(const struct ctl *ctl, struct json_object *array,
			      const char *const *headings, ctl_row_fn *add_row, void *arg,
			      const char *none);
/* The same of what the API has at a path. */
enum ctl_status ctl_show_list_of(const struct ctl *ctl, const char *path,
				 const char *const *headings, ctl_row_fn *add_row,
				 const char *none);

#endif
