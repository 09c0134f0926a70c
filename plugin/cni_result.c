/* SPDX-License-Identifier: Apache-2.0 */
/* Results in the versions of the specification, and errors. */
#include "plugin/cni_result.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

typedef int entry_fn(struct json_object *entry, enum cni_version version);

/* Until 0.4.0 an address said its family; from 1.0.0 on it must not. */
static int convert_ip(struct json_object *entry, enum cni_version version)
{
	struct json_object *address;

	json_object_object_del(entry, "version");
	if (version >= CNI_1_0_0)
		return 0;
	if (!json_object_object_get_ex(entry, "address", &address) ||
	    !json_object_is_type(address, json_type_string))
		return -EINVAL;
	const char *family = strchr(json_object_get_string(address), ':') ? "6" : "4";
	return json_object_object_add(entry, "version", json_object_new_string(family));
}

/* What 1.1.0 added. */
static int convert_interface(struct json_object *entry, enum cni_version version)
{
	if (version < CNI_1_1_0) {
		json_object_object_del(entry, "mtu");
		json_object_object_del(entry, "socketPath");
		json_object_object_del(entry, "pciID");
	}
	return 0;
}

static int convert_route(struct json_object *entry, enum cni_version version)
{
	if (version < CNI_1_1_0) {
		json_object_object_del(entry, "mtu");
		json_object_object_del(entry, "advmss");
		json_object_object_del(entry, "priority");
		json_object_object_del(entry, "table");
		json_object_object_del(entry, "scope");
	}
	return 0;
}

/* Converts every entry of a list; an absent list is fine. */
static int convert_list(struct json_object *result, const char *key, enum cni_version version,
			entry_fn *convert, struct cni_error *error)
{
	struct json_reader r = json_reader(result, "prevResult");
	struct json_object *list = json_get_array(&r, key);

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (!json_object_is_type(entry, json_type_object))
			json_fail(&r, "%s[%zu] must be an object", key, i);
		else if (convert(entry, version) < 0)
			json_fail(&r, "%s[%zu] needs an address", key, i);
	}
	return json_ok(&r) ? 0 : cni_fail(error, CNI_ERROR_DECODE, "%s", r.error);
}

static int convert_in_place(struct json_object *result, enum cni_version version,
			    struct cni_error *error)
{
	struct json_reader r = json_reader(result, "prevResult");
	const char *text = json_get_string(&r, "cniVersion", cni_version_name(version));
	enum cni_version from;

	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_DECODE, "%s", r.error);
	if (cni_version_parse(text, &from) < 0)
		return cni_fail(
			error, CNI_ERROR_VERSION,
			"prevResult is of cniVersion \"%.32s\"; 0.3.1, 0.4.0, 1.0.0 and 1.1.0 "
			"can be converted",
			text);
	if (from != version) {
		int failed = convert_list(result, "ips", version, convert_ip, error);

		if (!failed)
			failed = convert_list(result, "interfaces", version, convert_interface,
					      error);
		if (!failed)
			failed = convert_list(result, "routes", version, convert_route, error);
		if (failed)
			return failed;
	}
	json_object_object_add(result, "cniVersion",
			       json_object_new_string(cni_version_name(version)));
	return 0;
}

int cni_result_convert(struct json_object *prev_result, enum cni_version version,
		       struct json_object **ret_result, struct cni_error *error)
{
	struct json_object *result = NULL;

	if (json_object_deep_copy(prev_result, &result, NULL) < 0)
		return cni_fail(error, CNI_ERROR_IO, "out of memory");
	int r = convert_in_place(result, version, error);
	if (r < 0)
		json_object_put(result);
	else
		*ret_result = result;
	return r;
}

int cni_print_result(FILE *out, struct json_object *result)
{
	int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text = json_object_to_json_string_ext(result, flags);

	if (!text || fprintf(out, "%s\n", text) < 0 || fflush(out) != 0)
		return -EIO;
	return 0;
}

int cni_print_error(FILE *out, enum cni_version version, const struct cni_error *error)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "cniVersion",
			       json_object_new_string(cni_version_name(version)));
	json_object_object_add(object, "code", json_object_new_int((int)error->code));
	json_object_object_add(object, "msg", json_object_new_string(error->msg));
	if (error->details[0])
		json_object_object_add(object, "details", json_object_new_string(error->details));
	int r = cni_print_result(out, object);
	json_object_put(object);
	return r;
}

int cni_print_versions(FILE *out, enum cni_version version)
{
	struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_object_object_add(object, "cniVersion",
			       json_object_new_string(cni_version_name(version)));
	for (int i = 0; i < CNI_VERSION_COUNT; i++)
		json_object_array_add(
			list, json_object_new_string(cni_version_name((enum cni_version)i)));
	json_object_object_add(object, "supportedVersions", list);
	int r = cni_print_result(out, object);
	json_object_put(object);
	return r;
}
