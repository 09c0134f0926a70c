/* SPDX-License-Identifier: Apache-2.0 */
/* See rest.h. */
#include "launcher/rest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"
#include "http/http_server.h"
#include "launcher/machine_control.h"
#include "launcher/machine_disks.h"

LOG_MODULE("rest");

#define SNAPSHOT_PATH "/machine/snapshots/"

struct rest_later {
	struct rest *rest;
	bool used;
	int fd; /* -1 before the connection is taken over */
};

struct rest {
	struct control *control;
	struct http_server *server;
	char path[PATH_MAX];
	struct rest_later later[REST_LATER_MAX];
};

/* A request being answered. */
struct call {
	struct rest *rest;
	const struct http_request *request;
	struct http_reply *reply;
};

static unsigned status_of(int error)
{
	switch (error) {
	case -EINVAL:
	case -ERANGE:
		return 400;
	case -ENOENT:
		return 404;
	case -EBUSY:
	case -EEXIST:
	case -ENOTSUP:
		return 409;
	default:
		return 500;
	}
}

static void fail(struct call *call, unsigned status, const char *text)
{
	http_reply_json(call->reply, status, plug_object("error", text, NULL));
}

static void on_taken(void *arg, int fd, const void *early, size_t early_size)
{
	struct rest_later *later = arg;

	(void)early;
	(void)early_size;
	later->fd = fd;
}

/* A place for a client who waits; NULL, with the reply made, when there are too many. */
static struct rest_later *later_new(struct call *call)
{
	for (size_t i = 0; i < REST_LATER_MAX; i++) {
		struct rest_later *later = &call->rest->later[i];

		if (!later->used) {
			*later = (struct rest_later){.rest = call->rest, .used = true, .fd = -1};
			return later;
		}
	}
	fail(call, 503, "too many wait already for something to be done; try again later");
	return NULL;
}

/* Ends a call that was begun with `result`. */
static void finish_later(struct call *call, struct rest_later *later, int result,
			 const struct problem *problem)
{
	if (result < 0) {
		later->used = false;
		fail(call, status_of(result), problem->text);
		return;
	}
	call->reply->take = on_taken;
	call->reply->take_arg = later;
}

void rest_answer(struct rest_later *later, unsigned status, struct json_object *object)
{
	struct http_reply reply = http_reply_empty();
	size_t size;
	char *text;

	reply.status = status;
	if (object)
		http_reply_json(&reply, status, object);
	text = http_reply_encode(&reply, false, false, &size);
	/* It fits into an empty socket's buffer. */
	if (later->fd >= 0 && text &&
	    send(later->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
		log_debug("an answer could not be sent");
	free(text);
	http_reply_clear(&reply);
	fd_close(&later->fd);
	later->used = false;
}

void rest_answer_error(struct rest_later *later, unsigned status, const char *error)
{
	rest_answer(later, status, plug_object("error", error, NULL));
}

struct control *rest_control(struct rest_later *later)
{
	return later->rest->control;
}

/* The body as an object; false with the reply made. */
static bool read_body(struct call *call, struct json_object **ret)
{
	char error[256], text[320];

	if (json_parse(call->request->body, call->request->body_size, ret, error, sizeof(error)) <
	    0) {
		snprintf(text, sizeof(text), "the body isn't JSON: %s", error);
		fail(call, 400, text);
		return false;
	}
	if (json_object_is_type(*ret, json_type_object))
		return true;
	json_object_put(*ret);
	fail(call, 400, "the body is to be a JSON object");
	return false;
}

static void get_state(struct call *call)
{
	enum machine_state state = control_state(call->rest->control);
	struct json_object *object = plug_object("state", machine_state_vfkit(state), NULL);
	static const struct {
		const char *name;
		enum machine_action action;
	} can[] = {
		{"canStart", ACTION_START},   {"canPause", ACTION_PAUSE},
		{"canResume", ACTION_RESUME}, {"canStop", ACTION_STOP},
		{"canHardStop", ACTION_KILL},
	};

	for (size_t i = 0; i < sizeof(can) / sizeof(can[0]); i++)
		json_object_object_add(
			object, can[i].name,
			json_object_new_boolean(machine_rule(state, can[i].action) == NULL));
	http_reply_json(call->reply, 200, object);
}

static void set_state(struct call *call, const char *state)
{
	struct control *control = call->rest->control;
	struct rest_later *later;
	struct problem problem;
	int r;

	if (strcmp(state, "Stop") == 0 || strcmp(state, "HardStop") == 0) {
		r = control_stop(control, strcmp(state, "HardStop") == 0, &problem);
		if (r < 0)
			fail(call, status_of(r), problem.text);
		else
			call->reply->status = 202;
		return;
	}
	if (strcmp(state, "Pause") != 0 && strcmp(state, "Resume") != 0) {
		fail(call, 400,
		     "\"state\": \"Stop\", \"HardStop\", \"Pause\" or \"Resume\" is wanted");
		return;
	}
	later = later_new(call);
	if (later)
		finish_later(call, later, control_pause(control, state[0] == 'P', later, &problem),
			     &problem);
}

static void post_state(struct call *call)
{
	struct json_object *object;

	if (!read_body(call, &object))
		return;
	struct json_reader reader = json_reader(object, "request body");
	const char *state = json_need_string(&reader, "state");

	if (json_ok(&reader))
		set_state(call, state);
	else
		fail(call, 400, reader.error);
	json_object_put(object);
}

static void add_device(struct json_object *devices, const char *kind, const char *key,
		       const char *value)
{
	json_object_array_add(devices, plug_object("kind", kind, key, value, NULL));
}

static void get_inspect(struct call *call)
{
	const struct machine *m = control_machine(call->rest->control);
	struct json_object *object = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	struct json_object *boot;
	char mac[MAC_TEXT_MAX];

	json_object_object_add(object, "vcpus", json_object_new_int((int)m->cpus));
	json_object_object_add(object, "memoryBytes", json_object_new_int64((int64_t)m->mem_bytes));
	if (m->kernel)
		boot = plug_object("kind", "linuxBootloader", "vmlinuzPath", m->kernel,
				   "initrdPath", m->initrd ? m->initrd : "", "kernelCmdLine",
				   m->cmdline ? m->cmdline : "", NULL);
	else
		boot = plug_object("kind", m->uefi ? "efiBootloader" : "biosBootloader", NULL);
	json_object_object_add(object, "bootloader", boot);
	for (size_t i = 0; i < m->disk_count; i++)
		add_device(devices, "virtioblk", "imagePath", m->disks[i].path);
	if (m->network != MACHINE_NETWORK_NONE)
		add_device(devices, "virtionet", "macAddress", mac_format(&m->mac, mac));
	for (size_t i = 0; i < m->volume_count; i++)
		json_object_array_add(devices, plug_object("kind", "virtiofs", "sharedDir",
							   m->volumes[i].path, "mountTag",
							   m->volumes[i].tag, NULL));
	if (machine_has_proxy(m))
		add_device(devices, "virtiosock", "cid", "3");
	add_device(devices, "virtiorng", "source", "host");
	json_object_object_add(object, "devices", devices);
	json_object_object_add(object, "machine", control_status(call->rest->control));
	http_reply_json(call->reply, 200, object);
}

static void get_machine(struct call *call)
{
	http_reply_json(call->reply, 200, control_status(call->rest->control));
}

static void get_balloon(struct call *call)
{
	struct rest_later *later = later_new(call);
	struct problem problem;

	if (later)
		finish_later(call, later, control_balloon_get(call->rest->control, later, &problem),
			     &problem);
}

static uint64_t need_bytes(struct json_reader *reader)
{
	int64_t bytes = json_get_int(reader, "bytes", 1, INT64_MAX, 0);

	if (json_ok(reader) && bytes == 0)
		json_fail(reader, "\"bytes\" is missing");
	return (uint64_t)bytes;
}

static void post_balloon(struct call *call)
{
	struct json_object *object;
	struct rest_later *later;
	struct problem problem;

	if (!read_body(call, &object))
		return;
	struct json_reader reader = json_reader(object, "request body");
	uint64_t bytes = need_bytes(&reader);

	json_object_put(object);
	if (!json_ok(&reader)) {
		fail(call, 400, reader.error);
		return;
	}
	later = later_new(call);
	if (later)
		finish_later(call, later,
			     control_balloon_set(call->rest->control, bytes, later, &problem),
			     &problem);
}

static void get_snapshots(struct call *call)
{
	http_reply_json(call->reply, 200, snapshot_list_json(control_dir(call->rest->control)));
}

static void post_snapshot(struct call *call)
{
	struct json_object *object;
	struct rest_later *later;
	struct problem problem;

	if (!read_body(call, &object))
		return;
	struct json_reader reader = json_reader(object, "request body");
	const char *name = json_need_string(&reader, "name");

	if (!json_ok(&reader))
		fail(call, 400, reader.error);
	else if ((later = later_new(call)))
		finish_later(call, later, control_save(call->rest->control, name, later, &problem),
			     &problem);
	json_object_put(object);
}

static void delete_snapshot(struct call *call)
{
	const char *name = call->request->path + strlen(SNAPSHOT_PATH);
	struct rest_later *later = later_new(call);
	struct problem problem;

	if (later)
		finish_later(call, later,
			     control_delete(call->rest->control, name, later, &problem), &problem);
}

static void get_disks(struct call *call)
{
	http_reply_json(call->reply, 200, disk_list_json(control_machine(call->rest->control)));
}

static void post_disk(struct call *call)
{
	struct json_object *object;
	struct rest_later *later;
	struct problem problem;

	if (!read_body(call, &object))
		return;
	struct json_reader reader = json_reader(object, "request body");
	const char *disk = json_need_string(&reader, "disk");
	uint64_t bytes = need_bytes(&reader);

	if (!json_ok(&reader))
		fail(call, 400, reader.error);
	else if ((later = later_new(call)))
		finish_later(call, later,
			     control_resize(call->rest->control, disk, bytes, later, &problem),
			     &problem);
	json_object_put(object);
}

static void post_screenshot(struct call *call)
{
	struct json_object *object;
	struct rest_later *later;
	struct problem problem;

	if (!read_body(call, &object))
		return;
	struct json_reader reader = json_reader(object, "request body");
	const char *path = json_need_string(&reader, "path");

	if (!json_ok(&reader))
		fail(call, 400, reader.error);
	else if ((later = later_new(call)))
		finish_later(call, later,
			     control_screenshot(call->rest->control, path, later, &problem),
			     &problem);
	json_object_put(object);
}

static const struct route {
	const char *method, *path;
	void (*run)(struct call *call);
} routes[] = {
	{"GET", "/vm/state", get_state},
	{"POST", "/vm/state", post_state},
	{"GET", "/vm/inspect", get_inspect},
	{"GET", "/machine", get_machine},
	{"GET", "/machine/balloon", get_balloon},
	{"POST", "/machine/balloon", post_balloon},
	{"GET", "/machine/snapshots", get_snapshots},
	{"POST", "/machine/snapshots", post_snapshot},
	{"GET", "/machine/disks", get_disks},
	{"POST", "/machine/disks", post_disk},
	{"POST", "/machine/screenshot", post_screenshot},
};

static void on_request(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct call call = {.rest = arg, .request = request, .reply = reply};
	size_t allowed = 0;

	/* A web page has no business here, whatever its browser can reach. */
	if (request->from_web_page) {
		fail(&call, 403, "not for web pages");
		return;
	}
	if (strcmp(request->method, "DELETE") == 0 &&
	    strncmp(request->path, SNAPSHOT_PATH, strlen(SNAPSHOT_PATH)) == 0) {
		delete_snapshot(&call);
		return;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(routes[i].path, request->path) != 0)
			continue;
		if (strcmp(routes[i].method, request->method) == 0 ||
		    (request->is_head && strcmp(routes[i].method, "GET") == 0)) {
			routes[i].run(&call);
			return;
		}
		allowed += (size_t)snprintf(reply->allow + allowed, sizeof(reply->allow) - allowed,
					    "%s%s", allowed ? ", " : "", routes[i].method);
	}
	fail(&call, allowed ? 405 : 404, allowed ? "not this method" : "no such path");
}

int rest_new(struct loop *loop, const char *path, struct control *control, struct rest **ret_rest,
	     struct problem *problem)
{
	struct http_limits limits = http_limits(REST_CONNECTIONS_MAX);
	struct rest *rest = calloc(1, sizeof(*rest));
	int r = rest ? 0 : -ENOMEM, fd = -1;

	if (r == 0) {
		rest->control = control;
		for (size_t i = 0; i < REST_LATER_MAX; i++)
			rest->later[i].fd = -1;
		r = sock_listen_unix(path, SOCK_STREAM, &fd);
	}
	if (r == 0) {
		snprintf(rest->path, sizeof(rest->path), "%s", path);
		r = http_server_new(loop, fd, &limits, on_request, rest, &rest->server);
	}
	if (r < 0) {
		rest_free(rest);
		return problem_set(problem, r, "can't serve at %s: %s", path, strerror(-r));
	}
	*ret_rest = rest;
	return 0;
}

void rest_free(struct rest *rest)
{
	if (!rest)
		return;
	http_server_free(rest->server);
	for (size_t i = 0; i < REST_LATER_MAX; i++)
		fd_close(&rest->later[i].fd);
	if (rest->path[0])
		unlink(rest->path);
	free(rest);
}
