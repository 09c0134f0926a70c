/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin prints: results, versions and errors (CNI specification 1.1, section 5). */
#ifndef PLUGIN_CNI_RESULT_H
#define PLUGIN_CNI_RESULT_H

#include <json-c/json.h>
#include <stdio.h>

#include "plugin/cni_conf.h"
#include "plugin/cni_error.h"

/* The result of the plugin before us, in the form that `version` gives it. Returns 0 with an owned
 * object, or fails with CNI_ERROR_VERSION or CNI_ERROR_DECODE. */
int cni_result_convert(struct json_object *prev_result, enum cni_version version,
		       struct json_object **ret_result, struct cni_error *error);

/* Each writes one JSON object and a newline. Return 0, or -EIO when `out` took not all of it. */
int cni_print_result(FILE *out, struct json_object *result);
int cni_print_error(FILE *out, enum cni_version version, const struct cni_error *error);
int cni_print_versions(FILE *out, enum cni_version version);

#endif
