/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, shown; see show.h. */
#include "ctl/show.h"

enum ctl_status ctl_show_json(const struct ctl *ctl, struct json_object *object)
{
	fprintf(ctl->out, "%s\n",
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							       JSON_C_TO_STRING_SPACED |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	return CTL_OK;
}

size_t ctl_array_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

enum ctl_status ctl_show_list(const struct ctl *ctl, struct json_object *array,
			      const char *const *headings, ctl_row_fn *add_row, void *arg,
			      const char *none)
{
	enum ctl_status status = CTL_OK;
	struct table table;

	if (ctl->args.json)
		return ctl_show_json(ctl, array);
	if (ctl_array_length(array) == 0) {
		fprintf(ctl->err, "%s\n", none);
		return CTL_OK;
	}
	table_init(&table, headings);
	for (size_t i = 0; i < ctl_array_length(array); i++)
		add_row(&table, json_object_array_get_idx(array, i), arg);
	if (table_print(&table, ctl->out) < 0)
		status = ctl_complain(ctl, CTL_FAILED, "out of memory");
	table_clear(&table);
	return status;
}

enum ctl_status ctl_show_list_of(const struct ctl *ctl, const char *path,
				 const char *const *headings, ctl_row_fn *add_row, const char *none)
{
	struct json_object *array;
	enum ctl_status status = ctl_get(ctl, path, &array);

	if (status != CTL_OK)
		return status;
	status = ctl_show_list(ctl, array, headings, add_row, NULL, none);
	json_object_put(array);
	return status;
}
