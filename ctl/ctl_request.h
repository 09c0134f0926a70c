/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of netproxyctl's: one of the API's answers, or the reason for the user why there is
 * none. */
#ifndef CTL_CTL_REQUEST_H
#define CTL_CTL_REQUEST_H

#include <json-c/json.h>

#include "ctl/ctl_args.h"

/* What a command works with. */
struct ctl {
	struct ctl_args args;
	struct api_target target;
	FILE *out;
	FILE *err;
};

/* Says what went wrong, on one line that starts with the program's name. Returns `status`. */
enum ctl_status ctl_complain(const struct ctl *ctl, enum ctl_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Asks for a JSON document; *ret_answer is owned. What goes wrong is told to the user. */
enum ctl_status ctl_get(const struct ctl *ctl, const char *path, struct json_object **ret_answer);
/* Posts `body`, which it takes; the answer is a JSON document, too. */
enum ctl_status ctl_post(const struct ctl *ctl, const char *path, struct json_object *body,
			 struct json_object **ret_answer);
enum ctl_status ctl_delete(const struct ctl *ctl, const char *path);

/* Appends "key=value" to a path, escaped as a query must be, and cut where it doesn't fit. */
#define CTL_QUERY_MAX 512
void ctl_add_query(char to[static CTL_QUERY_MAX], const char *key, const char *value);

/* Fields of the API's objects: "" and 0 where there is none of that type. */
const char *ctl_text(struct json_object *object, const char *key);
int64_t ctl_number(struct json_object *object, const char *key);

#endif
