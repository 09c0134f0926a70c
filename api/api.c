/* SPDX-License-Identifier: Apache-2.0 */
/* The API's table of routes, and its doors; see api.h. */
#include "api/api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/http_server.h"
#include "api/live.h"
#include "api/routes.h"
#include "base/list.h"
#include "base/log.h"

LOG_MODULE("api");

#define DOOR_CONNECTIONS_MAX  1024 /* half of them may be leases */
#define GUEST_CONNECTIONS_MAX 32
#define TCP_BACKLOG           128
#define ERROR_TEXT_MAX        768
/* Leases are numbered by door and connection. */
#define LEASE_DOOR_SHIFT 40

struct api {
	struct loop *loop;
	struct api_backend backend;
	struct live *live;
	struct list doors;
	struct list network_doors; /* the one that was called longest ago first */
	unsigned door_count;
	unsigned network_door_count;
	uint64_t doors_opened; /* so far */
};

struct door {
	struct list in_api;
	struct api *api;
	struct api_door conf;
	struct http_server *server;
	bool is_tcp;
	bool is_network;          /* in network_doors: without a socket */
	char path[SOCK_PATH_MAX]; /* of a unix socket; "" otherwise */
	dev_t device;             /* with inode: the file that is ours to remove */
	ino_t inode;
	uint64_t leases; /* from where the numbers of its connections begin, for leases */
};

/* ---- Routes ---- */

enum { HOST = 1 << API_DOOR_HOST, GUEST = 1 << API_DOOR_GUEST };

static const struct route {
	const char *method; /* GET stands for HEAD too */
	const char *path;   /* an asterisk at its end is any one name: call->name */
	unsigned who;
	api_route_fn *serve;
} routes[] = {
	/* clang-format off */
	{"GET",    "/services/forwarder/all",      HOST | GUEST, route_forwarder_all},
	{"POST",   "/services/forwarder/expose",   HOST | GUEST, route_forwarder_expose},
	{"POST",   "/services/forwarder/unexpose", HOST | GUEST, route_forwarder_unexpose},
	{"GET",    "/services/dhcp/leases",        HOST,         route_leases},
	{"GET",    "/leases",                      HOST,         route_leases},
	{"GET",    "/services/dns/all",            HOST,         route_dns_all},
	{"POST",   "/services/dns/add",            HOST,         route_dns_add},
	{"GET",    "/cam",                         HOST,         route_cam},
	{"GET",    "/stats",                       HOST,         route_stats},
	{"GET",    "/tunnel",                      HOST,         route_tunnel},
	{"POST",   "/tunnel",                      HOST,         route_tunnel},
	{"POST",   "/connect",                     HOST | GUEST, route_connect},
	{"GET",    "/metrics",                     HOST,         route_metrics},
	{"GET",    "/v1/version",                  HOST | GUEST, route_v1_version},
	{"GET",    "/v1/forwards",                 HOST | GUEST, route_v1_forwards},
	{"POST",   "/v1/forwards",                 HOST | GUEST, route_v1_forwards_add},
	{"DELETE", "/v1/forwards",                 HOST | GUEST, route_v1_forwards_delete},
	{"GET",    "/v1/leases",                   HOST,         route_v1_leases},
	{"GET",    "/v1/leases/static",            HOST,         route_v1_static_leases},
	{"POST",   "/v1/leases/static",            HOST,         route_v1_static_leases_add},
	{"DELETE", "/v1/leases/static",            HOST,         route_v1_static_leases_delete},
	{"GET",    "/v1/ports",                    HOST,         route_v1_ports},
	{"GET",    "/v1/guests",                   HOST,         route_v1_guests},
	{"GET",    "/v1/flows",                    HOST,         route_v1_flows},
	{"GET",    "/v1/stats",                    HOST,         route_stats},
	{"GET",    "/v1/events",                   HOST,         route_v1_events},
	{"GET",    "/v1/pcap",                     HOST,         route_v1_pcap},
	{"GET",    "/v1/policy",                   HOST,         route_v1_policy},
	{"GET",    "/v1/dns/zones",                HOST,         route_v1_zones},
	{"GET",    "/v1/dns/zones/*",              HOST,         route_v1_zone},
	{"PUT",    "/v1/dns/zones/*",              HOST,         route_v1_zone_put},
	{"DELETE", "/v1/dns/zones/*",              HOST,         route_v1_zone_delete},
	/* clang-format on */
};

#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

/* What stands at a route's asterisk, "" where it has none; NULL when the path isn't the route's. */
static const char *match_path(const struct route *route, const char *path)
{
	size_t size = strlen(route->path) - 1;

	if (route->path[size] != '*')
		return strcmp(route->path, path) == 0 ? "" : NULL;
	if (strncmp(route->path, path, size) != 0 || !path[size] || strchr(path + size, '/'))
		return NULL;
	return path + size;
}

static bool takes_method(const struct route *route, const struct http_request *request)
{
	return strcmp(route->method, request->method) == 0 ||
	       (request->is_head && strcmp(route->method, "GET") == 0);
}

/* The route of the path and the method; or else one of the path only, or NULL. */
static const struct route *find_route(const struct http_request *request, const char **ret_name)
{
	const struct route *found = NULL;

	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		const char *name = match_path(&routes[i], request->path);

		if (!name)
			continue;
		*ret_name = name;
		if (takes_method(&routes[i], request))
			return &routes[i];
		found = &routes[i];
	}
	return found;
}

static void add_method(char to[static HTTP_ALLOW_MAX], const char *method)
{
	size_t size = strlen(to);

	snprintf(to + size, HTTP_ALLOW_MAX - size, "%s%s", size ? ", " : "", method);
}

static void fail_method(const struct api_call *call, const struct route *route)
{
	char *allow = call->reply->allow;

	/* gvproxy's words. */
	if (strcmp(route->method, "POST") == 0) {
		api_fail(call, 400, "bad_request", "post only");
		return;
	}
	api_fail(call, 405, "method_not_allowed", "Method Not Allowed");
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (strcmp(routes[i].path, route->path) != 0)
			continue;
		add_method(allow, routes[i].method);
		if (strcmp(routes[i].method, "GET") == 0)
			add_method(allow, "HEAD");
	}
}

/* A host's name says where a browser believes that it is: a page of the Internet whose name was
 * made to point at the host's loopback (DNS rebinding) gives itself away by it. */
static bool is_local_host(const char *host)
{
	char name[HTTP_HOST_MAX];
	struct endpoint at;
	struct addr addr;
	char *colon, *bracket;

	if (!host[0] || endpoint_parse(host, false, &at) == 0 || addr_parse(host, &addr) == 0)
		return true;
	snprintf(name, sizeof(name), "%s", host);
	bracket = strchr(name, ']');
	if (name[0] == '[' && bracket && !bracket[1]) {
		*bracket = '\0';
		return addr_parse(name + 1, &addr) == 0;
	}
	colon = strchr(name, ':');
	if (colon)
		*colon = '\0';
	return strcasecmp(name, "localhost") == 0;
}

static void on_request(void *arg, const struct http_request *request, struct http_reply *reply)
{
	const struct door *door = arg;
	const char *name = "";
	const struct route *route = find_route(request, &name);
	const struct api_call call = {
		.backend = &door->api->backend,
		.door = &door->conf,
		.live = door->api->live,
		.request = request,
		.name = name,
		.lease = door->leases + request->connection,
		.reply = reply,
	};

	if (request->from_web_page)
		api_fail(&call, 403, "not_permitted", "web pages are not served here");
	else if (door->is_tcp && !is_local_host(request->host))
		api_fail(&call, 403, "not_permitted",
			 "this door is called by its address or as localhost, not by other names");
	else if (!route)
		api_fail(&call, 404, "not_found", "404 page not found");
	else if (!(route->who & 1u << door->conf.kind))
		api_fail(&call, 403, "not_permitted", "this is for the host, not for guests");
	else if (!takes_method(route, request))
		fail_method(&call, route);
	else
		route->serve(&call);
	log_debug("%s %s: %u", request->method, request->path, reply->status);
}

/* ---- What routes share ---- */

void api_add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(
		object, key, json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

void api_add_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void fail(const struct api_call *call, const struct api_failure *failure, const char *format,
		 va_list args)
{
	struct json_object *object, *error;
	char text[ERROR_TEXT_MAX];

	vsnprintf(text, sizeof(text), format, args);
	if (strncmp(call->request->path, "/v1/", 4) != 0) {
		http_reply_text(call->reply, failure->status, "%s", text);
		return;
	}
	object = json_object_new_object();
	error = json_object_new_object();
	api_add_text(error, "code", failure->code);
	api_add_text(error, "message", text);
	if (failure->error && strerrorname_np(failure->error))
		api_add_text(error, "errno", strerrorname_np(failure->error));
	if (failure->holder)
		api_add_text(error, "holder", failure->holder);
	json_object_object_add(object, "error", error);
	http_reply_json(call->reply, failure->status, object);
}

void api_fail(const struct api_call *call, unsigned status, const char *code, const char *format,
	      ...)
{
	va_list args;

	va_start(args, format);
	fail(call, &(struct api_failure){.status = status, .code = code}, format, args);
	va_end(args);
}

void api_fail_with(const struct api_call *call, const struct api_failure *failure,
		   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail(call, failure, format, args);
	va_end(args);
}

bool api_may_hold(const struct api_call *call, const char *what)
{
	if (call->request->may_hold)
		return true;
	if (call->request->keep_alive)
		api_fail(call, 503, "no_lease", "too many connections hold %s already", what);
	else
		api_fail(call, 400, "no_lease",
			 "\"lease\": this connection ends with the reply, and so would the %s: "
			 "expected one that is kept alive",
			 what);
	return false;
}

/* ---- Doors ---- */

static void door_free(struct door *door)
{
	struct stat st;

	http_server_free(door->server);
	/* Somebody else's by now, perhaps. */
	if (door->path[0] && lstat(door->path, &st) == 0 && st.st_dev == door->device &&
	    st.st_ino == door->inode)
		unlink(door->path);
	list_remove(&door->in_api);
	if (door->is_network)
		door->api->network_door_count--;
	else
		door->api->door_count--;
	free(door);
}

static int door_make(struct api *api, const struct api_door *conf, struct door **ret_door)
{
	struct door *door = calloc(1, sizeof(*door));

	if (!door)
		return -ENOMEM;
	door->api = api;
	door->conf = *conf;
	door->leases = ++api->doors_opened << LEASE_DOOR_SHIFT;
	*ret_door = door;
	return 0;
}

static int door_new(struct api *api, const struct api_door *conf, struct door **ret_door)
{
	int r;

	if (api->door_count >= API_DOORS_MAX)
		return -ENOSPC;
	r = door_make(api, conf, ret_door);
	if (r < 0)
		return r;
	list_add_tail(&api->doors, &(*ret_door)->in_api);
	api->door_count++;
	return 0;
}

/* What was published or reserved for as long as a connection lasts, goes with it. */
static void on_closed(void *arg, uint64_t connection)
{
	const struct door *door = arg;
	const struct api_backend *backend = &door->api->backend;
	const struct publish_owner owner = {
		.kind = door->conf.kind == API_DOOR_GUEST ? PUBLISH_OWNER_GUEST
							  : PUBLISH_OWNER_HOST,
		.id = door->conf.kind == API_DOOR_GUEST ? door->conf.guest_id : 0,
		.lease = door->leases + connection,
	};

	publish_remove_owner(backend->publish, &owner);
	if (backend->static_leases && door->conf.kind == API_DOOR_HOST)
		backend->static_leases_drop(backend->arg, owner.lease);
}

static int door_serve(struct door *door, int listen_fd)
{
	struct http_limits limits = http_limits(
		door->conf.kind == API_DOOR_GUEST ? GUEST_CONNECTIONS_MAX : DOOR_CONNECTIONS_MAX);

	int r = http_server_new(door->api->loop, listen_fd, &limits, on_request, door,
				&door->server);

	if (r == 0)
		http_server_on_closed(door->server, on_closed);
	return r;
}

static int explain(char error[static API_LISTEN_ERROR_MAX], const char *where, int r)
{
	const char *why = strerror(-r);

	if (r == -ENOSPC)
		why = "there are too many API sockets";
	else if (r == -EEXIST)
		why = "there is a file of that name, and it is not a socket";
	else if (r == -EADDRINUSE)
		why = "another program listens there";
	else if (r == -ENAMETOOLONG)
		why = "a socket's path can have 107 bytes at most";
	else if (r == -ENOENT)
		why = "its directory does not exist";
	snprintf(error, API_LISTEN_ERROR_MAX, "the API can't listen at %s: %s", where, why);
	return r;
}

int api_listen_unix(struct api *api, const char *path, const struct api_door *conf,
		    char error[static API_LISTEN_ERROR_MAX])
{
	struct door *door;
	struct stat st;
	int fd;
	int r = door_new(api, conf, &door);

	if (r < 0)
		return explain(error, path, r);
	r = sock_listen_unix(path, SOCK_STREAM, &fd);
	if (r == 0) {
		snprintf(door->path, sizeof(door->path), "%s", path);
		if (lstat(path, &st) == 0) {
			door->device = st.st_dev;
			door->inode = st.st_ino;
		}
		r = door_serve(door, fd);
	}
	if (r < 0) {
		door_free(door);
		return explain(error, path, r);
	}
	return 0;
}

int api_listen_tcp(struct api *api, const struct endpoint *at, const struct api_door *conf,
		   struct endpoint *ret_at, char error[static API_LISTEN_ERROR_MAX])
{
	char where[ENDPOINT_TEXT_MAX];
	struct endpoint bound;
	struct door *door;
	int fd;
	int r = door_new(api, conf, &door);

	endpoint_format(at, where);
	if (r < 0)
		return explain(error, where, r);
	door->is_tcp = true;
	r = sock_listen_tcp(at, TCP_BACKLOG, &fd, &bound);
	if (r == 0)
		r = door_serve(door, fd);
	if (r < 0) {
		door_free(door);
		return explain(error, where, r);
	}
	if (ret_at)
		*ret_at = bound;
	return 0;
}

/* ---- Doors inside the network ---- */

static struct door *find_network_door(struct api *api, uint32_t guest_id)
{
	list_for_each (node, &api->network_doors) {
		struct door *door = container_of(node, struct door, in_api);

		if (door->conf.guest_id == guest_id)
			return door;
	}
	return NULL;
}

/* Frees the door that was called longest ago and that nothing published hangs on. */
static bool make_room_for_network_door(struct api *api)
{
	if (api->network_door_count < API_NETWORK_DOORS_MAX)
		return true;
	list_for_each (node, &api->network_doors) {
		struct door *door = container_of(node, struct door, in_api);

		if (!http_server_counters(door->server).held) {
			door_free(door);
			return true;
		}
	}
	return false;
}

static int network_door(struct api *api, uint32_t guest_id, struct door **ret_door)
{
	const struct api_door conf = {.kind = API_DOOR_GUEST, .guest_id = guest_id};
	struct door *door = find_network_door(api, guest_id);
	int r;

	if (door) {
		list_remove(&door->in_api);
		list_add_tail(&api->network_doors, &door->in_api);
		*ret_door = door;
		return 0;
	}
	if (!make_room_for_network_door(api))
		return -ENOSPC;
	r = door_make(api, &conf, &door);
	if (r < 0)
		return r;
	door->is_network = true;
	list_add_tail(&api->network_doors, &door->in_api);
	api->network_door_count++;
	r = door_serve(door, -1);
	if (r < 0)
		door_free(door);
	else
		*ret_door = door;
	return r;
}

int api_serve_guest(struct api *api, uint32_t guest_id, int fd)
{
	struct door *door;
	int r = network_door(api, guest_id, &door);

	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	return http_server_add(door->server, fd);
}

int api_new(struct loop *loop, const struct api_backend *backend, struct api **ret_api)
{
	struct api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return -ENOMEM;
	api->loop = loop;
	api->backend = *backend;
	list_init(&api->doors);
	list_init(&api->network_doors);
	r = live_new(loop, &api->backend, &api->live);
	if (r < 0) {
		free(api);
		return r;
	}
	*ret_api = api;
	return 0;
}

void api_free(struct api *api)
{
	struct list *node;

	if (!api)
		return;
	/* We end, not the guests: they shall find their leases in the state file. */
	api->backend.static_leases = NULL;
	while ((node = list_first(&api->doors)) || (node = list_first(&api->network_doors)))
		door_free(container_of(node, struct door, in_api));
	live_free(api->live);
	free(api);
}
