/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about parts of a machine: snapshots, the balloon, published ports, events and logs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sock.h"
#include "client/api_client.h"
#include "launcher/cmd.h"
#include "launcher/commands.h"
#include "launcher/option_values.h"
#include "launcher/proxy.h"
#include "launcher/snapshot.h"

#define FOLLOW_EVERY_US 100000
#define BODY_MAX        1024

static int snapshot_save(const struct cmd *cmd, const struct store_place *place)
{
	enum machine_state state;
	struct problem problem;
	char body[128];

	if (!cmd_allowed(place, ACTION_SNAPSHOT_SAVE, &state))
		return 1;
	if (!store_name_valid(cmd->words[1])) {
		problem_set(&problem, -EINVAL, "\"%.80s\" is no name for a snapshot",
			    cmd->words[1]);
		return cmd_refuse(&problem);
	}
	snprintf(body, sizeof(body), "{\"name\": \"%s\"}", cmd->words[1]);
	if (cmd_call(place, "POST", "/machine/snapshots", body, CMD_SNAPSHOT_MS, NULL, &problem) <
	    0)
		return cmd_refuse(&problem);
	return 0;
}

static int snapshot_list_command(const struct cmd *cmd, const struct store_place *place)
{
	struct json_object *list = snapshot_list_json(place->dir), *size;

	if (cmd->json) {
		cmd_print_json(list);
		return 0;
	}
	printf("%-20s %-20s %10s  %s\n", "NAME", "TIME", "SIZE", "STATE");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);
		int64_t bytes = json_object_object_get_ex(one, "size", &size)
					? json_object_get_int64(size)
					: 0;

		printf("%-20s %-20s %8" PRId64 "MB  %s\n", cmd_text(one, "name"),
		       cmd_text(one, "time"), (bytes + 500000) / 1000000, cmd_text(one, "state"));
	}
	json_object_put(list);
	return 0;
}

static int snapshot_restore(const struct cmd *cmd, const struct store_place *place)
{
	struct snapshot snapshot;
	struct problem problem;

	if (snapshot_find(place->dir, cmd->words[1], &snapshot, &problem) < 0)
		return cmd_refuse(&problem);
	return cmd_start(place, cmd->words[1]);
}

/* One that doesn't run forgets it now, and gives its room back at the next start. */
static int snapshot_delete(const struct cmd *cmd, const struct store_place *place)
{
	struct snapshot snapshot;
	enum machine_state state;
	struct problem problem;
	char path[PATH_MAX];
	int r;

	if (!cmd_allowed(place, ACTION_SNAPSHOT_DELETE, &state))
		return 1;
	if (snapshot_find(place->dir, cmd->words[1], &snapshot, &problem) < 0)
		return cmd_refuse(&problem);
	if (state == MACHINE_STOPPED || state == MACHINE_CRASHED) {
		r = snapshot_forget(place->dir, snapshot.name, true);
		if (r < 0)
			problem_set(&problem, r, "can't delete it: %s", strerror(-r));
	} else {
		snprintf(path, sizeof(path), "/machine/snapshots/%s", snapshot.name);
		r = cmd_call(place, "DELETE", path, NULL, CMD_SNAPSHOT_MS, NULL, &problem);
	}
	return r < 0 ? cmd_refuse(&problem) : 0;
}

int command_snapshot(int argc, char *const *argv)
{
	static const struct cmd_sub subs[] = {
		{"save",
		 {.usage = "snapshot save NAME SNAPSHOT",
		  .help = "Saves the machine's memory and disks. It goes on afterwards.",
		  .words_min = 2,
		  .words_max = 2},
		 snapshot_save},
		{"list",
		 {.usage = "snapshot list [-format json] NAME",
		  .help = "Lists the snapshots, newest first.",
		  .flags = CMD_FORMAT,
		  .words_min = 1,
		  .words_max = 1},
		 snapshot_list_command},
		{"restore",
		 {.usage = "snapshot restore NAME SNAPSHOT",
		  .help = "Starts a stopped machine where the snapshot was saved.",
		  .words_min = 2,
		  .words_max = 2},
		 snapshot_restore},
		{"delete",
		 {.usage = "snapshot delete NAME SNAPSHOT",
		  .help = "Deletes a snapshot. Of a machine that doesn't run, it gives its room back at\n"
			  "the next start.",
		  .words_min = 2,
		  .words_max = 2},
		 snapshot_delete},
	};

	return cmd_run_sub(argc, argv, subs, sizeof(subs) / sizeof(subs[0]));
}

static int balloon_get(const struct cmd *cmd, const struct store_place *place)
{
	struct json_object *value, *bytes;
	enum machine_state state;
	struct problem problem;

	if (!cmd_allowed(place, ACTION_BALLOON, &state))
		return 1;
	if (cmd_call(place, "GET", "/machine/balloon", NULL, CMD_CALL_MS, &value, &problem) < 0)
		return cmd_refuse(&problem);
	if (cmd->json) {
		cmd_print_json(value);
		return 0;
	}
	if (json_object_object_get_ex(value, "bytes", &bytes))
		printf("%" PRId64 "M\n", json_object_get_int64(bytes) >> 20);
	json_object_put(value);
	return 0;
}

static int balloon_set(const struct cmd *cmd, const struct store_place *place)
{
	enum machine_state state;
	struct problem problem;
	uint64_t bytes;
	char body[64];

	if (option_memory(&bytes, "balloon", cmd->words[1], &problem) < 0)
		return cmd_refuse(&problem);
	if (!cmd_allowed(place, ACTION_BALLOON, &state))
		return 1;
	snprintf(body, sizeof(body), "{\"bytes\": %" PRIu64 "}", bytes);
	if (cmd_call(place, "POST", "/machine/balloon", body, CMD_CALL_MS, NULL, &problem) < 0)
		return cmd_refuse(&problem);
	return 0;
}

int command_balloon(int argc, char *const *argv)
{
	static const struct cmd_sub subs[] = {
		{"get",
		 {.usage = "balloon get [-format json] NAME",
		  .help = "Says how much memory the guest is left with.",
		  .flags = CMD_FORMAT,
		  .words_min = 1,
		  .words_max = 1},
		 balloon_get},
		{"set",
		 {.usage = "balloon set NAME SIZE",
		  .help = "Leaves the guest with so much memory, at least -balloon-min. It may take a\n"
			  "while to give the rest back.",
		  .words_min = 2,
		  .words_max = 2},
		 balloon_set},
	};

	return cmd_run_sub(argc, argv, subs, sizeof(subs) / sizeof(subs[0]));
}

/* Asks the machine's netproxy; prints what it complains of. */
static int ask_proxy(const struct store_place *place, const char *method, const char *path,
		     const char *body, struct json_object **ret_value)
{
	struct api_target target = {.transport = API_UNIX};
	struct http_response response;
	char error[API_ERROR_MAX], why[128];
	enum machine_state state;
	struct problem problem;
	int r;

	if (!cmd_allowed(place, ACTION_CONSOLE, &state))
		return 1;
	snprintf(target.path, sizeof(target.path), "%.80s/" PROXY_API_SOCKET, place->dir);
	r = api_request(&target, method, path, body, clock_ms() + CMD_CALL_MS, &response, error);
	if (r < 0) {
		problem_set(&problem, r,
			    "%s: %s (ports are published by a netproxy of the machine's "
			    "own; for a shared one there is netproxyctl)",
			    place->name, error);
		return cmd_refuse(&problem);
	}
	if (response.status >= 300) {
		problem_set(&problem, -EREMOTEIO, "%s: %.*s", place->name,
			    (int)strcspn(response.body, "\n"), response.body);
		http_response_clear(&response);
		return cmd_refuse(&problem);
	}
	*ret_value = NULL;
	if (response.body_size > 0 &&
	    json_parse(response.body, response.body_size, ret_value, why, sizeof(why)) < 0)
		*ret_value = NULL;
	http_response_clear(&response);
	return 0;
}

/* The body for expose and unexpose; `guest` only for the former. */
static void port_body(const struct publish *p, bool with_guest, char to[static BODY_MAX])
{
	char local[ENDPOINT_TEXT_MAX], guest[ADDR_TEXT_MAX] = "";
	int n;

	if (p->host.addr.family == AF_UNSPEC)
		snprintf(local, sizeof(local), ":%u", p->host.port);
	else
		endpoint_format(&p->host, local);
	if (p->guest.family != AF_UNSPEC)
		addr_format(&p->guest, guest);
	n = snprintf(to, BODY_MAX, "{\"local\": \"%s\", \"protocol\": \"%s\"", local,
		     p->udp ? "udp" : "tcp");
	if (with_guest)
		n += snprintf(to + n, BODY_MAX - (size_t)n, ", \"remote\": \"%s:%u\"", guest,
			      p->guest_port);
	snprintf(to + n, BODY_MAX - (size_t)n, "}");
}

/* Whether [IP:]HOST[:GUEST] has its last part: two numbers with a colon between at its end, and
 * nothing before them but an address and its colon. */
static bool has_guest_port(const char *text, size_t size)
{
	size_t at = size, first;

	while (at > 0 && strchr("0123456789", text[at - 1]))
		at--;
	if (at == 0 || at == size || text[at - 1] != ':')
		return false;
	first = --at;
	while (at > 0 && strchr("0123456789", text[at - 1]))
		at--;
	return at < first && (at == 0 || text[at - 1] == ':');
}

static int port_change(const struct cmd *cmd, const struct store_place *place, bool add)
{
	struct publish publish;
	struct problem problem;
	struct json_object *value;
	char body[BODY_MAX], text[128];
	const char *port = cmd->words[1];
	size_t head = strcspn(port, "/");

	/* What is removed needs no guest's port: any will do. */
	if (!add && !has_guest_port(port, head) &&
	    snprintf(text, sizeof(text), "%.*s:1%s", (int)head, port, port + head) <
		    (int)sizeof(text))
		port = text;
	if (publish_parse(port, &publish, &problem) < 0)
		return cmd_refuse(&problem);
	port_body(&publish, add, body);
	if (ask_proxy(place, "POST",
		      add ? "/services/forwarder/expose" : "/services/forwarder/unexpose", body,
		      &value))
		return 1;
	json_object_put(value);
	return 0;
}

static int port_add(const struct cmd *cmd, const struct store_place *place)
{
	return port_change(cmd, place, true);
}

static int port_rm(const struct cmd *cmd, const struct store_place *place)
{
	return port_change(cmd, place, false);
}

static int port_ls(const struct cmd *cmd, const struct store_place *place)
{
	struct json_object *value;
	int r = ask_proxy(place, "GET", "/services/forwarder/all", NULL, &value);

	if (r != 0)
		return r;
	if (cmd->json) {
		cmd_print_json(value);
		return 0;
	}
	printf("%-28s %-28s %s\n", "HOST", "GUEST", "PROTOCOL");
	for (size_t i = 0;
	     json_object_is_type(value, json_type_array) && i < json_object_array_length(value);
	     i++) {
		struct json_object *one = json_object_array_get_idx(value, i);

		printf("%-28s %-28s %s\n", cmd_text(one, "local"), cmd_text(one, "remote"),
		       cmd_text(one, "protocol"));
	}
	json_object_put(value);
	return 0;
}

int command_port(int argc, char *const *argv)
{
	static const struct cmd_sub subs[] = {
		{"add",
		 {.usage = "port add NAME [IP:]HOST:GUEST[/tcp|/udp]",
		  .help = "Publishes a port of the guest at this host, until it is removed.",
		  .words_min = 2,
		  .words_max = 2},
		 port_add},
		{"rm",
		 {.usage = "port rm NAME [IP:]HOST[:GUEST][/tcp|/udp]",
		  .help = "Takes a published port back.",
		  .words_min = 2,
		  .words_max = 2},
		 port_rm},
		{"list",
		 {.usage = "port list [-format json] NAME",
		  .help = "Lists the published ports.",
		  .flags = CMD_FORMAT,
		  .words_min = 1,
		  .words_max = 1},
		 port_ls},
	};

	return cmd_run_sub(argc, argv, subs, sizeof(subs) / sizeof(subs[0]));
}

/* Copies a file to standard output; with `follow` for as long as nobody stops us. */
static int print_file(const struct store_place *place, const char *name, bool follow)
{
	char path[PATH_MAX], data[8192];
	struct problem problem;
	ssize_t n;
	int fd = -1;

	if (store_path(place->dir, name, path) == 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && !(errno == ENOENT && !follow)) {
		problem_set(&problem, -errno, "%s: %s", path, strerror(errno));
		return cmd_refuse(&problem);
	}
	while (fd >= 0) {
		n = read(fd, data, sizeof(data));
		if (n > 0) {
			if (fwrite(data, 1, (size_t)n, stdout) != (size_t)n)
				break;
			continue;
		}
		fflush(stdout);
		if (n < 0 || !follow)
			break;
		usleep(FOLLOW_EVERY_US);
	}
	fd_close(&fd);
	return 0;
}

static int print_events(const struct cmd *cmd, const struct store_place *place)
{

	return print_file(place, STORE_EVENTS, cmd->follow);
}

static int print_log(const struct cmd *cmd, const struct store_place *place)
{
	const char *name = STORE_LOG;

	if (cmd->which && strcmp(cmd->which, "console") == 0)
		name = STORE_CONSOLE_LOG;
	else if (cmd->which && strcmp(cmd->which, "netproxy") == 0)
		name = PROXY_LOG;
	return print_file(place, name, cmd->follow);
}

int command_events(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "events [-follow] NAME",
		.help = "Prints what happened to the machine, a line of JSON each.",
		.flags = CMD_FOLLOW | CMD_FORMAT,
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, print_events);
}

int command_logs(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "logs [-of supervisor|console|netproxy] [-follow] NAME",
		.help = "Prints a log: the supervisor's (with QEMU's words), the guest's console, or its\n"
			"netproxy's.",
		.flags = CMD_FOLLOW | CMD_WHICH,
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, print_log);
}
