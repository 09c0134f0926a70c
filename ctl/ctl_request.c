/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of netproxyctl's; see ctl_request.h. */
#include "ctl/ctl_request.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

#define HTTP_OK        200
#define HTTP_NOT_FOUND 404

enum ctl_status ctl_complain(const struct ctl *ctl, enum ctl_status status, const char *format, ...)
{
	va_list args;

	fputs("netproxyctl: ", ctl->err);
	va_start(args, format);
	vfprintf(ctl->err, format, args);
	va_end(args);
	fputc('\n', ctl->err);
	return status;
}

/* Nobody there: what the user can do about it. */
static enum ctl_status unreachable(const struct ctl *ctl, int r, const char *why)
{
	const char *path = ctl->target.path;

	if (ctl->target.transport != API_UNIX)
		return ctl_complain(ctl, CTL_UNREACHABLE, "%s", why);
	switch (r) {
	case -ENOENT:
		return ctl_complain(
			ctl, CTL_UNREACHABLE,
			"cannot reach netproxy at %s: no such file: is it running? Start it with\n"
			"    netproxy --api unix:%s ...\n"
			"or say with --api where the API of the one that runs is",
			path, path);
	case -ECONNREFUSED:
		return ctl_complain(
			ctl, CTL_UNREACHABLE,
			"cannot reach netproxy at %s: nobody listens there, though the socket's file is "
			"left: it has ended, or was killed",
			path);
	case -EACCES:
		return ctl_complain(
			ctl, CTL_UNREACHABLE,
			"cannot reach netproxy at %s: permission denied: it belongs to another user",
			path);
	default:
		return ctl_complain(ctl, CTL_UNREACHABLE, "%s", why);
	}
}

/* The line that an error is, without what could disturb a terminal. */
static void error_line(const struct http_response *response, char *to, size_t size)
{
	size_t length = strcspn(response->body, "\r\n");

	snprintf(to, size, "%.*s", (int)(length < size ? length : size - 1), response->body);
	for (char *c = to; *c; c++) {
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
}

/* The message of our own paths' errors, {"error":{"message"}}, in place of the document. */
static void structured_error(const struct http_response *response, char *to, size_t size)
{
	struct json_object *object, *error;
	char why[64];

	if (json_parse(response->body, response->body_size, &object, why, sizeof(why)) < 0)
		return;
	if (json_object_object_get_ex(object, "error", &error) && ctl_text(error, "message")[0])
		snprintf(to, size, "%s", ctl_text(error, "message"));
	json_object_put(object);
}

static enum ctl_status refused(const struct ctl *ctl, const char *path,
			       const struct http_response *response)
{
	char line[CTL_ERROR_MAX];

	if (response->status == HTTP_NOT_FOUND && !strchr(path, '?'))
		return ctl_complain(
			ctl, CTL_FAILED,
			"the server does not know %s: it is no netproxy, or an older one", path);
	error_line(response, line, sizeof(line));
	structured_error(response, line, sizeof(line));
	return ctl_complain(ctl, CTL_FAILED, "%s",
			    line[0] ? line : "refused, and the server doesn't say why");
}

static enum ctl_status request(const struct ctl *ctl, const char *method, const char *path,
			       const char *body, struct http_response *ret_response)
{
	uint64_t deadline_ms = clock_ms() + ctl->args.timeout_s * 1000ull;
	struct http_response response;
	enum ctl_status status;
	char why[API_ERROR_MAX];
	int r = api_request(&ctl->target, method, path, body, deadline_ms, &response, why);

	if (r < 0)
		return unreachable(ctl, r, why);
	if (response.status != HTTP_OK) {
		status = refused(ctl, path, &response);
		http_response_clear(&response);
		return status;
	}
	*ret_response = response;
	return CTL_OK;
}

static enum ctl_status ask(const struct ctl *ctl, const char *method, const char *path,
			   const char *body, struct json_object **ret_answer)
{
	struct http_response response;
	char why[128];
	enum ctl_status status = request(ctl, method, path, body, &response);
	int r;

	if (status != CTL_OK)
		return status;
	r = json_parse(response.body, response.body_size, ret_answer, why, sizeof(why));
	http_response_clear(&response);
	if (r < 0)
		return ctl_complain(ctl, CTL_UNREACHABLE, "the answer to %s is not JSON: %s", path,
				    why);
	return CTL_OK;
}

enum ctl_status ctl_get(const struct ctl *ctl, const char *path, struct json_object **ret_answer)
{
	return ask(ctl, "GET", path, NULL, ret_answer);
}

enum ctl_status ctl_post(const struct ctl *ctl, const char *path, struct json_object *body,
			 struct json_object **ret_answer)
{
	enum ctl_status status = ask(ctl, "POST", path, json_object_to_json_string(body),
				     ret_answer);

	json_object_put(body);
	return status;
}

enum ctl_status ctl_delete(const struct ctl *ctl, const char *path)
{
	struct http_response response;
	enum ctl_status status = request(ctl, "DELETE", path, NULL, &response);

	if (status == CTL_OK)
		http_response_clear(&response);
	return status;
}

static struct json_object *field(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

const char *ctl_text(struct json_object *object, const char *key)
{
	struct json_object *value = field(object, key, json_type_string);

	return value ? json_object_get_string(value) : "";
}

int64_t ctl_number(struct json_object *object, const char *key)
{
	struct json_object *value = field(object, key, json_type_int);

	return value ? json_object_get_int64(value) : 0;
}

void ctl_add_query(char to[static CTL_QUERY_MAX], const char *key, const char *value)
{
	size_t size = strlen(to);

	size += (size_t)snprintf(to + size, CTL_QUERY_MAX - size,
				 "%c%s=", strchr(to, '?') ? '&' : '?', key);
	for (; *value && size + 4 < CTL_QUERY_MAX; value++) {
		if (isalnum((unsigned char)*value) || strchr("-._~", *value))
			to[size++] = *value;
		else
			size += (size_t)snprintf(to + size, CTL_QUERY_MAX - size, "%%%02X",
						 (unsigned char)*value);
		to[size] = '\0';
	}
}
