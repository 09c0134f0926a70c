/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ADD publishes the container's ports on the host, DEL withdraws them, CHECK looks whether they are
 * there.
 *
 * The plugin stands after bridge and portmap: portmap leads the guest's own hostPort to the
 * container, and we lead the host's hostPort to the guest's. So a forward's remote end is
 * ":hostPort", whose empty host means the guest that asks. For a port of one address of the host,
 * and with "target": "container", it is the container's own address and port, which netproxy
 * reaches by way of the guest.
 */
#include "plugin/cni_run.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "plugin/cni_result.h"
#include "plugin/cni_state.h"

#define PATH_EXPOSE   "/services/forwarder/expose"
#define PATH_UNEXPOSE "/services/forwarder/unexpose"
#define PATH_ALL      "/services/forwarder/all"
/* What the API says of a forward that isn't there: for a withdrawal as good as success. */
#define TEXT_NOT_FOUND "proxy not found"

#define HTTP_OK 200
/* Longest text that netproxy keeps of a forward's owner, and a NUL. */
#define OWNER_MAX 80
/* The part of ADD's time that is kept for taking back what was published: a quarter. */
#define ROLL_BACK_SHARE 4

typedef int command_fn(const struct cni_env *env, const struct cni_conf *conf, FILE *out,
		       struct cni_error *error);

static const char *forward_get(struct json_object *forward, const char *key)
{
	return json_object_get_string(json_object_object_get(forward, key));
}

/* Whether a port's forward goes straight to the container. portmap's rules for a port of one
 * address are for that address only, which is the host's, and so not where netproxy's traffic comes
 * to in the VM. */
static bool goes_to_container(const struct cni_conf *conf, const struct cni_port *port)
{
	bool has_address = conf->container4.family || conf->container6.family;

	return conf->target == CNI_TARGET_CONTAINER ||
	       (conf->target == CNI_TARGET_BY_PORT && !addr_is_any(&port->host_ip) && has_address);
}

/* Where the host's traffic goes: to the VM's own port, or to the container's, at its address of the
 * host address' family if it has one. */
static struct endpoint remote_of(const struct cni_conf *conf, const struct cni_port *port)
{
	bool six = port->host_ip.family == AF_INET6;
	const struct addr *addr = six ? &conf->container6 : &conf->container4;

	if (!goes_to_container(conf, port))
		return (struct endpoint){.port = port->host_port};
	if (addr->family == AF_UNSPEC)
		addr = six ? &conf->container4 : &conf->container6;
	return (struct endpoint){*addr, port->container_port};
}

/* {"local":"127.0.0.1:8080","remote":":8080","protocol":"tcp"} */
static struct json_object *forward_new(const struct cni_conf *conf, const struct cni_port *port)
{
	struct endpoint local = {port->host_ip, port->host_port};
	struct endpoint remote = remote_of(conf, port);
	struct json_object *forward = json_object_new_object();
	char text[ENDPOINT_TEXT_MAX];

	json_object_object_add(forward, "local",
			       json_object_new_string(endpoint_format(&local, text)));
	json_object_object_add(forward, "remote",
			       json_object_new_string(endpoint_format(&remote, text)));
	json_object_object_add(forward, "protocol",
			       json_object_new_string(port->udp ? "udp" : "tcp"));
	return forward;
}

static struct json_object *forwards_new(const struct cni_conf *conf)
{
	struct json_object *forwards = json_object_new_array();

	for (size_t i = 0; i < conf->port_count; i++)
		json_object_array_add(forwards, forward_new(conf, &conf->ports[i]));
	return forwards;
}

/* The body of an answer as one line that can stand in a message. */
static void body_line(const struct http_response *response, char *to, size_t size)
{
	size_t length = response->body_size < size ? response->body_size : size - 1;

	memcpy(to, response->body, length);
	while (length > 0 && (unsigned char)to[length - 1] <= ' ')
		length--;
	to[length] = '\0';
	for (char *c = to; *c; c++) {
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = ' ';
	}
	if (length == 0)
		snprintf(to, size, "HTTP status %d", response->status);
}

/* One request whose answer must be 200. Returns 0 with an owned answer, or fails: CNI_ERROR_RETRY
 * when there is no answer, CNI_ERROR_DECODE when it isn't HTTP, CNI_ERROR_REFUSED with the answer's
 * text in error->details otherwise. */
static int request(const struct cni_conf *conf, const char *method, const char *path,
		   struct json_object *json, uint64_t deadline_ms,
		   struct http_response *ret_response, struct cni_error *error)
{
	const char *body = json ? json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN)
				: NULL;
	char why[API_REACH_ERROR_MAX];
	int r = api_reach_choose(conf->reach, deadline_ms, why);

	if (r == 0)
		r = api_request(&conf->reach->target, method, path, body, deadline_ms, ret_response,
				why);
	if (r < 0)
		return cni_fail_details(error, r == -EBADMSG ? CNI_ERROR_DECODE : CNI_ERROR_RETRY,
					why, "netproxy's API can't be reached");
	if (ret_response->status == HTTP_OK)
		return 0;
	body_line(ret_response, why, sizeof(why));
	http_response_clear(ret_response);
	return cni_fail_details(error, CNI_ERROR_REFUSED, why, "netproxy refused %s %s", method,
				path);
}

static int expose(const struct cni_conf *conf, struct json_object *forward, uint64_t deadline_ms,
		  struct cni_error *error)
{
	struct http_response response;
	int r = request(conf, "POST", PATH_EXPOSE, forward, deadline_ms, &response, error);

	if (r == 0)
		http_response_clear(&response);
	else if (error->code == CNI_ERROR_REFUSED)
		snprintf(error->msg, sizeof(error->msg),
			 "can't publish %s port %.80s on the host: %.140s",
			 forward_get(forward, "protocol"), forward_get(forward, "local"),
			 error->details);
	return r;
}

/* "CONTAINERID:IFNAME"; an id that leaves no room is cut. */
static const char *owner_text(const struct cni_attachment *at, char to[static OWNER_MAX])
{
	int room = OWNER_MAX - 2 - (int)strlen(at->ifname);

	snprintf(to, OWNER_MAX, "%.*s:%s", room, at->container_id, at->ifname);
	return to;
}

/* Only if it is for that attachment: what was on record and is gone by now, or never came to be,
 * may be another container's. */
static int unexpose(const struct cni_conf *conf, const struct cni_attachment *at,
		    struct json_object *forward, uint64_t deadline_ms, struct cni_error *error)
{
	char owner[OWNER_MAX];
	struct json_object *body = json_object_new_object();
	struct http_response response;

	json_object_object_add(body, "local",
			       json_object_new_string(forward_get(forward, "local")));
	json_object_object_add(body, "protocol",
			       json_object_new_string(forward_get(forward, "protocol")));
	json_object_object_add(body, "for", json_object_new_string(owner_text(at, owner)));
	int r = request(conf, "POST", PATH_UNEXPOSE, body, deadline_ms, &response, error);
	json_object_put(body);
	if (r == 0) {
		http_response_clear(&response);
	} else if (error->code == CNI_ERROR_REFUSED) {
		if (strstr(error->details, TEXT_NOT_FOUND))
			return 0;
		snprintf(error->msg, sizeof(error->msg),
			 "can't withdraw %s port %.80s on the host: %.140s",
			 forward_get(forward, "protocol"), forward_get(forward, "local"),
			 error->details);
	}
	return r;
}

/* Withdraws all, also after a refusal; ends early only when the API doesn't answer. Returns the
 * first failure. */
static int withdraw(const struct cni_conf *conf, const struct cni_attachment *at,
		    struct json_object *forwards, uint64_t deadline_ms, struct cni_error *error)
{
	struct cni_error ignored;
	int first = 0;

	for (size_t i = 0; i < json_object_array_length(forwards); i++) {
		struct cni_error *to = first ? &ignored : error;
		int r = unexpose(conf, at, json_object_array_get_idx(forwards, i), deadline_ms, to);

		if (r < 0 && first == 0)
			first = r;
		if (r < 0 && to->code != CNI_ERROR_REFUSED)
			break;
	}
	return first;
}

static int state_fail(struct cni_error *error, const struct cni_attachment *at, int r,
		      const char *what)
{
	return cni_fail(error, CNI_ERROR_IO, "can't %s the record in %.100s (\"stateDir\"): %s",
			what, at->state_dir, strerror(-r));
}

/* Withdraws what an attachment's record says, and removes the record. Fine when there is none. A
 * damaged one says nothing: then what the configuration asks for is withdrawn. */
static int detach(const struct cni_conf *conf, const struct cni_attachment *at,
		  uint64_t deadline_ms, struct cni_error *error)
{
	struct json_object *forwards;
	int r = cni_state_load(at, &forwards);

	if (r == -ENOENT)
		return 0;
	if (r == -EBADMSG)
		forwards = forwards_new(conf);
	else if (r < 0)
		return state_fail(error, at, r, "read");
	r = withdraw(conf, at, forwards, deadline_ms, error);
	json_object_put(forwards);
	if (r < 0)
		return r;
	r = cni_state_remove(at);
	return r < 0 ? state_fail(error, at, r, "remove") : 0;
}

/* Undoes the first `count` exposes; what can't be undone now stays on record for DEL. */
static void roll_back(const struct cni_conf *conf, const struct cni_attachment *at,
		      struct json_object *forwards, size_t count, uint64_t deadline_ms)
{
	size_t all = json_object_array_length(forwards);
	struct cni_error ignored;

	json_object_array_del_idx(forwards, count, all - count);
	if (withdraw(conf, at, forwards, deadline_ms, &ignored) == 0)
		cni_state_remove(at);
	else
		cni_state_save(at, forwards);
}

/* Records first, then exposes: a plugin that is killed in between leaves a record too much, not a
 * port. */
static int attach(const struct cni_conf *conf, const struct cni_attachment *at,
		  struct json_object *forwards, uint64_t deadline_ms, struct cni_error *error)
{
	/* What is left at the end is for taking back. */
	uint64_t expose_ms = deadline_ms - conf->timeout_ms / ROLL_BACK_SHARE;
	char owner[OWNER_MAX];
	int r = cni_state_save(at, forwards);

	if (r < 0)
		return state_fail(error, at, r, "write");
	for (size_t i = 0; i < json_object_array_length(forwards); i++) {
		struct json_object *forward = json_object_array_get_idx(forwards, i);

		/* So that netproxy's list says whose port it is. */
		json_object_object_add(forward, "for",
				       json_object_new_string(owner_text(at, owner)));
		r = expose(conf, forward, expose_ms, error);
		if (r < 0) {
			/* A request without an answer may have been carried out all the same. */
			roll_back(conf, at, forwards, error->code == CNI_ERROR_REFUSED ? i : i + 1,
				  deadline_ms);
			return r;
		}
	}
	return 0;
}

static struct cni_attachment attachment_of(const struct cni_env *env, const struct cni_conf *conf)
{
	return (struct cni_attachment){conf->state_dir, conf->name, env->container_id, env->ifname};
}

static int command_add(const struct cni_env *env, const struct cni_conf *conf, FILE *out,
		       struct cni_error *error)
{
	uint64_t deadline_ms = clock_ms() + conf->timeout_ms;
	struct cni_attachment at = attachment_of(env, conf);
	struct json_object *result, *forwards;
	int r = cni_result_convert(conf->prev_result, conf->version, &result, error);

	if (r < 0)
		return r;
	if (conf->target == CNI_TARGET_CONTAINER && conf->port_count > 0 &&
	    !conf->container4.family && !conf->container6.family) {
		json_object_put(result);
		return cni_fail(error, CNI_ERROR_CONFIG,
				"\"target\" is \"container\", but prevResult has no address of the "
				"container");
	}
	/* An ADD that was killed left its record behind. */
	r = detach(conf, &at, deadline_ms, error);
	if (r == 0 && conf->port_count > 0) {
		forwards = forwards_new(conf);
		r = attach(conf, &at, forwards, deadline_ms, error);
		json_object_put(forwards);
	}
	if (r == 0 && cni_print_result(out, result) < 0) {
		struct cni_error ignored;

		/* The runtime takes it for a failure; what can't be undone stays on record. */
		detach(conf, &at, deadline_ms, &ignored);
		r = cni_fail(error, CNI_ERROR_IO, "can't write the result to standard output");
	}
	json_object_put(result);
	return r;
}

static int command_del(const struct cni_env *env, const struct cni_conf *conf, FILE *out,
		       struct cni_error *error)
{
	struct cni_attachment at = attachment_of(env, conf);

	(void)out;
	return detach(conf, &at, clock_ms() + conf->timeout_ms, error);
}

/* Whether the list has the forward; its remote side counts where we said the whole of it. */
static bool listed(struct json_object *list, struct json_object *forward, bool with_remote)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_reader r = json_reader(json_object_array_get_idx(list, i), "forward");
		const char *local = json_get_string(&r, "local", "");
		const char *protocol = json_get_string(&r, "protocol", "tcp");
		const char *remote = json_get_string(&r, "remote", "");

		if (with_remote && strcmp(remote, forward_get(forward, "remote")) != 0)
			continue;
		if (json_ok(&r) && strcmp(local, forward_get(forward, "local")) == 0 &&
		    strcmp(protocol, forward_get(forward, "protocol")) == 0)
			return true;
	}
	return false;
}

/* The API's list of forwards, owned. */
static int fetch_list(const struct cni_conf *conf, struct json_object **ret_list,
		      struct cni_error *error)
{
	struct http_response response;
	struct json_object *list;
	char why[256];
	int r = request(conf, "GET", PATH_ALL, NULL, clock_ms() + conf->timeout_ms, &response,
			error);

	if (r < 0)
		return r;
	r = json_parse(response.body, response.body_size, &list, why, sizeof(why));
	http_response_clear(&response);
	if (r < 0)
		return cni_fail_details(error, CNI_ERROR_DECODE, why,
					"netproxy's list of forwards is not JSON");
	if (!json_object_is_type(list, json_type_array)) {
		json_object_put(list);
		return cni_fail(error, CNI_ERROR_DECODE, "netproxy's list of forwards is no array");
	}
	*ret_list = list;
	return 0;
}

static int command_check(const struct cni_env *env, const struct cni_conf *conf, FILE *out,
			 struct cni_error *error)
{
	struct json_object *list, *forwards;
	int r;

	(void)env;
	(void)out;
	if (conf->port_count == 0)
		return 0;
	r = fetch_list(conf, &list, error);
	if (r < 0)
		return r;
	forwards = forwards_new(conf);
	for (size_t i = 0; r == 0 && i < conf->port_count; i++) {
		struct json_object *forward = json_object_array_get_idx(forwards, i);

		if (!listed(list, forward, goes_to_container(conf, &conf->ports[i])))
			r = cni_fail(
				error, CNI_ERROR_MISSING, "%s port %s is not published on the host",
				forward_get(forward, "protocol"), forward_get(forward, "local"));
	}
	json_object_put(forwards);
	json_object_put(list);
	return r;
}

struct gc {
	const struct cni_conf *conf;
	struct cni_error *error;
	uint64_t deadline_ms;
	bool failed; /* *error holds the first failure */
};

static int gc_attachment(void *arg, const struct cni_attachment *at)
{
	struct gc *gc = arg;
	struct cni_error ignored;

	for (size_t i = 0; i < json_object_array_length(gc->conf->attachments); i++) {
		struct json_object *valid = json_object_array_get_idx(gc->conf->attachments, i);

		if (strcmp(forward_get(valid, "containerID"), at->container_id) == 0 &&
		    strcmp(forward_get(valid, "ifname"), at->ifname) == 0)
			return 0;
	}
	int r = detach(gc->conf, at, gc->deadline_ms, gc->failed ? &ignored : gc->error);
	gc->failed |= r < 0;
	return r;
}

static int command_gc(const struct cni_env *env, const struct cni_conf *conf, FILE *out,
		      struct cni_error *error)
{
	struct gc gc = {conf, error, clock_ms() + conf->timeout_ms, false};

	(void)env;
	(void)out;
	int r = cni_state_for_each(conf->state_dir, conf->name, gc_attachment, &gc);
	if (r < 0 && !gc.failed)
		return cni_fail(error, CNI_ERROR_IO, "can't read %.100s (\"stateDir\"): %s",
				conf->state_dir, strerror(-r));
	return r;
}

static int command_status(const struct cni_env *env, const struct cni_conf *conf, FILE *out,
			  struct cni_error *error)
{
	struct json_object *list;
	int r = fetch_list(conf, &list, error);

	(void)env;
	(void)out;
	if (r == 0)
		json_object_put(list);
	else
		error->code = CNI_ERROR_STATUS;
	return r;
}

static int command_version(const struct cni_env *env, const struct cni_conf *conf, FILE *out,
			   struct cni_error *error)
{
	(void)env;
	if (cni_print_versions(out, conf->version) < 0)
		return cni_fail(error, CNI_ERROR_IO, "can't write to standard output");
	return 0;
}

static command_fn *const commands[] = {
	[CNI_ADD] = command_add, [CNI_DEL] = command_del,       [CNI_CHECK] = command_check,
	[CNI_GC] = command_gc,   [CNI_STATUS] = command_status, [CNI_VERSION] = command_version,
};

int cni_run(const struct cni_env *env, const char *text, size_t size, FILE *out)
{
	enum cni_version version = CNI_1_1_0;
	enum cni_command command;
	struct cni_conf conf = {0};
	struct cni_error error;
	int r = cni_env_check(env, &command, &error);

	if (r == 0)
		r = cni_conf_decode(text, size, command, &conf, &error);
	if (r == 0) {
		version = conf.version;
		r = commands[command](env, &conf, out, &error);
		cni_conf_clear(&conf);
	}
	if (r < 0)
		cni_print_error(out, version, &error);
	return r < 0 ? 1 : 0;
}
