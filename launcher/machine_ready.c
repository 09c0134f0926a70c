/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_ready.h. */
#include "launcher/machine_ready.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"
#include "client/api_client.h"
#include "launcher/proxy.h"

LOG_MODULE("ready");

#define PROBE_EVERY_MS 250
#define ASK_MS         200 /* for netproxy's answer, which this waits for */
#define PATH_FLOWS     "/v1/flows"
#define SSH_PORT       22
/* Both begin a line; LINE_BEGUN of their bytes were matched where a stream begins. */
#define SSH_GREETING "\nSSH-"
#define NOTIFY_TEXT  "\nREADY=1"
#define LINE_BEGUN   1

struct ready_client {
	struct ready *ready;
	int fd; /* -1: free */
	struct loop_fd *watch;
	size_t matched;
};

struct ready {
	const struct ready_spec *spec;
	struct loop *loop;
	loop_fn *fn;
	void *arg;
	bool done;
	char path[PATH_MAX]; /* of the socket: serial's, vsock's, of netproxy's API */
	struct endpoint at;  /* of the published port */
	int listen_fd;       /* vsock's */
	struct loop_fd *listen_watch;
	struct ready_client clients[READY_VSOCK_CLIENTS_MAX]; /* the first serves the others' */
	struct loop_timer *timer;
	bool probing; /* a connection to the published port is held */
	size_t matched;
};

static int parse_port(const char *text, uint32_t max, uint32_t *ret)
{
	size_t length = strlen(text);
	unsigned long long port;

	if (length == 0 || length > 10 || strspn(text, "0123456789") != length)
		return -EINVAL;
	port = strtoull(text, NULL, 10);
	if (port < 1 || port > max)
		return -EINVAL;
	*ret = (uint32_t)port;
	return 0;
}

int ready_parse(const char *text, struct ready_spec *ret, struct problem *problem)
{
	struct ready_spec spec = {.kind = READY_NONE};
	int r = 0;

	if (strcmp(text, "none") == 0) {
		spec.kind = READY_NONE;
	} else if (strcmp(text, "serial") == 0) {
		spec.kind = READY_SERIAL;
	} else if (strcmp(text, "ssh") == 0) {
		spec.kind = READY_SSH;
		spec.port = SSH_PORT;
	} else if (strcmp(text, "vsock") == 0) {
		spec.kind = READY_VSOCK;
		spec.port = READY_VSOCK_PORT;
	} else if (strncmp(text, "vsock:", 6) == 0) {
		spec.kind = READY_VSOCK;
		r = parse_port(text + 6, UINT32_MAX - 1, &spec.port);
	} else if (strncmp(text, "tcp:", 4) == 0) {
		spec.kind = READY_TCP;
		r = parse_port(text + 4, UINT16_MAX, &spec.port);
	} else if (strncmp(text, "console:", 8) == 0 && text[8] != '\0' &&
		   strlen(text + 8) < sizeof(spec.text)) {
		spec.kind = READY_CONSOLE;
		strcpy(spec.text, text + 8);
	} else {
		r = -EINVAL;
	}
	if (r < 0)
		return problem_set(problem, -EINVAL,
				   "-ready \"%.80s\": write none, serial, vsock, vsock:PORT, "
				   "tcp:PORT, ssh, or console:TEXT of at most %d characters",
				   text, READY_TEXT_MAX - 1);
	*ret = spec;
	return 0;
}

/* Where the guest's TCP port is published, or NULL. */
static const struct publish *published(const struct machine *m, uint32_t port)
{
	for (size_t i = 0; i < m->publish_count; i++)
		if (!m->publish[i].parsed.udp && m->publish[i].parsed.guest_port == port &&
		    m->publish[i].parsed.guest.family == AF_UNSPEC)
			return &m->publish[i].parsed;
	return NULL;
}

int ready_check(const struct ready_spec *spec, const struct machine *machine,
		struct problem *problem)
{
	if (spec->kind == READY_VSOCK && !machine_has_proxy(machine))
		return problem_set(problem, -EINVAL,
				   "-ready vsock needs the vsock device of a netproxy of the "
				   "machine's own: use -networking userspace, or -ready serial");
	if (spec->kind == READY_TCP && !machine_has_proxy(machine))
		return problem_set(problem, -EINVAL,
				   "-ready tcp asks the netproxy of the machine's own whether the "
				   "guest answered: use -networking userspace, or -ready ssh");
	if ((spec->kind == READY_TCP || spec->kind == READY_SSH) && !published(machine, spec->port))
		return problem_set(problem, -EINVAL,
				   "-ready %s asks at a published port: add -publish "
				   "127.0.0.1:PORT:%u",
				   spec->kind == READY_SSH ? "ssh" : "tcp", spec->port);
	return 0;
}

const char *ready_describe(const struct ready_spec *spec, char *to, size_t size)
{
	switch (spec->kind) {
	case READY_NONE:
		snprintf(to, size, "nothing");
		break;
	case READY_SERIAL:
		snprintf(to, size, "a line from /dev/virtio-ports/org.netproxy.ready");
		break;
	case READY_VSOCK:
		snprintf(to, size, "READY=1 at vsock CID 2, port %u", spec->port);
		break;
	case READY_CONSOLE:
		snprintf(to, size, "\"%s\" on the console", spec->text);
		break;
	case READY_TCP:
		snprintf(to, size, "an answer at the guest's TCP port %u", spec->port);
		break;
	case READY_SSH:
		snprintf(to, size, "an SSH server at the guest's port %u", spec->port);
		break;
	}
	return to;
}

int ready_match(const char *text, size_t *matched, const char *data, size_t size)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < size; i++) {
		/* Falls back to the longest beginning of the text that ends here. */
		while (*matched > 0 && text[*matched] != data[i]) {
			size_t shorter = *matched - 1;

			while (shorter > 0 && memcmp(text, text + *matched - shorter, shorter) != 0)
				shorter--;
			*matched = shorter;
		}
		*matched += text[*matched] == data[i];
		if (*matched == length) {
			*matched = 0;
			return 1;
		}
	}
	return 0;
}

static void client_close(struct ready_client *client)
{
	loop_fd_free(client->watch);
	client->watch = NULL;
	fd_close(&client->fd);
	client->matched = 0;
}

static void close_all(struct ready *ready)
{
	for (size_t i = 0; i < READY_VSOCK_CLIENTS_MAX; i++)
		client_close(&ready->clients[i]);
	loop_fd_free(ready->listen_watch);
	ready->listen_watch = NULL;
	if (ready->listen_fd >= 0)
		unlink(ready->path);
	fd_close(&ready->listen_fd);
}

static void is_ready(struct ready *ready)
{
	if (ready->done)
		return;
	ready->done = true;
	loop_timer_cancel(ready->timer);
	close_all(ready);
	ready->fn(ready->arg);
}

static void retry(struct ready *ready)
{
	client_close(&ready->clients[0]);
	ready->probing = false;
	loop_timer_set(ready->timer, PROBE_EVERY_MS);
}

/* What the other end says; it means something different in each kind. */
static void on_client(void *arg, int fd, unsigned events)
{
	struct ready_client *client = arg;
	struct ready *ready = client->ready;
	enum ready_kind kind = ready->spec->kind;
	char data[512];
	ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (kind == READY_VSOCK)
			client_close(client);
		else
			retry(ready);
		return;
	}
	if (kind == READY_TCP || (kind == READY_SERIAL && memchr(data, '\n', (size_t)n)) ||
	    (kind == READY_SSH && ready_match(SSH_GREETING, &client->matched, data, (size_t)n)) ||
	    (kind == READY_VSOCK && ready_match(NOTIFY_TEXT, &client->matched, data, (size_t)n)))
		is_ready(ready);
}

static int add_client(struct ready *ready, int fd)
{
	for (size_t i = 0; i < READY_VSOCK_CLIENTS_MAX; i++) {
		struct ready_client *client = &ready->clients[i];

		if (client->fd >= 0)
			continue;
		if (loop_fd_new(ready->loop, fd, LOOP_READ, on_client, client, &client->watch) < 0)
			break;
		client->fd = fd;
		client->matched = LINE_BEGUN;
		return 0;
	}
	fd_close(&fd);
	return -ENOBUFS;
}

static void on_listen(void *arg, int fd, unsigned events)
{
	struct ready *ready = arg;
	int client;

	(void)events;
	if (sock_accept(fd, &client, NULL) == 0 && add_client(ready, client) < 0)
		log_limited(LOG_LEVEL_WARN,
			    "too many of the guest's connections to the ready port");
}

/* Whether netproxy has reached the guest for our connection to a published port, which it accepts
 * before it knows. Asked of its API; it answers at once, or not at all. */
static bool flow_is_open(const struct ready *ready)
{
	struct api_target target = {.transport = API_UNIX};
	struct http_response response;
	struct json_object *object = NULL, *flows, *far, *state;
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char error[API_ERROR_MAX], port[16];
	struct endpoint own;
	bool open = false;

	if (getsockname(ready->clients[0].fd, (struct sockaddr *)&address, &size) < 0 ||
	    endpoint_from_sockaddr((struct sockaddr *)&address, &own) < 0 ||
	    strlen(ready->path) >= sizeof(target.path))
		return false;
	strcpy(target.path, ready->path);
	snprintf(port, sizeof(port), ":%u", own.port);
	if (api_request(&target, "GET", PATH_FLOWS, NULL, clock_ms() + ASK_MS, &response, error) <
	    0) {
		log_debug("%s", error);
		return false;
	}
	if (json_parse(response.body, response.body_size, &object, error, sizeof(error)) == 0 &&
	    json_object_object_get_ex(object, "flows", &flows) &&
	    json_object_is_type(flows, json_type_array))
		for (size_t i = 0; i < json_object_array_length(flows) && !open; i++) {
			struct json_object *flow = json_object_array_get_idx(flows, i);
			const char *text, *colon;

			if (!json_object_object_get_ex(flow, "far", &far) ||
			    !json_object_object_get_ex(flow, "state", &state) || !state)
				continue;
			text = json_object_get_string(far);
			colon = text ? strrchr(text, ':') : NULL;
			open = colon && strcmp(colon, port) == 0 &&
			       strcmp(json_object_get_string(state), "opening") != 0;
		}
	json_object_put(object);
	http_response_clear(&response);
	return open;
}

static int connect_tcp(const struct endpoint *at)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(at, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		fd_close(&fd);
	return fd;
}

static void on_timer(void *arg)
{
	struct ready *ready = arg;
	int fd = -1;

	if (ready->spec->kind == READY_NONE) {
		is_ready(ready);
		return;
	}
	if (ready->probing && ready->spec->kind == READY_TCP) {
		if (flow_is_open(ready))
			is_ready(ready);
		else
			loop_timer_set(ready->timer, PROBE_EVERY_MS);
		return;
	}
	client_close(&ready->clients[0]);
	if (ready->spec->kind == READY_SERIAL) {
		if (sock_connect_unix(ready->path, SOCK_STREAM, &fd) < 0)
			fd = -1;
	} else {
		fd = connect_tcp(&ready->at);
	}
	ready->probing = fd >= 0 && add_client(ready, fd) == 0;
	if (!ready->probing)
		loop_timer_set(ready->timer, PROBE_EVERY_MS);
	else if (ready->spec->kind == READY_TCP)
		loop_timer_set(ready->timer, PROBE_EVERY_MS);
	else if (ready->spec->kind == READY_SSH)
		loop_timer_set(ready->timer, 20 * PROBE_EVERY_MS);
}

/* Opens what has to be there before the guest. */
static int prepare(struct ready *ready, const struct machine *machine, const char *dir)
{
	const struct ready_spec *spec = ready->spec;
	const struct publish *publish;
	int n = 0, r;

	switch (spec->kind) {
	case READY_SERIAL:
		n = snprintf(ready->path, sizeof(ready->path), "%s/" READY_SOCKET, dir);
		break;
	case READY_VSOCK:
		n = snprintf(ready->path, sizeof(ready->path), "%s/" PROXY_VSOCK_SOCKET "_%u", dir,
			     spec->port);
		r = sock_listen_unix(ready->path, SOCK_STREAM, &ready->listen_fd);
		if (r < 0)
			return r;
		return loop_fd_new(ready->loop, ready->listen_fd, LOOP_READ, on_listen, ready,
				   &ready->listen_watch);
	case READY_TCP:
	case READY_SSH:
		publish = published(machine, spec->port);
		if (!publish)
			return -EINVAL;
		ready->at = publish->host;
		if (ready->at.addr.family == AF_UNSPEC)
			addr_parse("127.0.0.1", &ready->at.addr);
		n = snprintf(ready->path, sizeof(ready->path), "%s/" PROXY_API_SOCKET, dir);
		break;
	case READY_NONE:
	case READY_CONSOLE:
		break;
	}
	return n < (int)sizeof(ready->path) ? 0 : -ENAMETOOLONG;
}

int ready_new(struct loop *loop, const struct ready_spec *spec, const struct machine *machine,
	      const char *dir, loop_fn *fn, void *arg, struct ready **ret_ready,
	      struct problem *problem)
{
	struct ready *ready = calloc(1, sizeof(*ready));
	int r = ready ? 0 : -ENOMEM;

	if (r == 0) {
		*ready = (struct ready){
			.spec = spec, .loop = loop, .fn = fn, .arg = arg, .listen_fd = -1};
		for (size_t i = 0; i < READY_VSOCK_CLIENTS_MAX; i++)
			ready->clients[i] = (struct ready_client){.ready = ready, .fd = -1};
		r = loop_timer_new(loop, on_timer, ready, &ready->timer);
	}
	if (r == 0)
		r = prepare(ready, machine, dir);
	if (r < 0) {
		ready_free(ready);
		return problem_set(problem, r, "can't wait for the guest's ready message: %s",
				   strerror(-r));
	}
	*ret_ready = ready;
	return 0;
}

void ready_guest_up(struct ready *ready)
{
	if (ready->done || ready->spec->kind == READY_VSOCK || ready->spec->kind == READY_CONSOLE)
		return;
	if (ready->clients[0].fd < 0)
		loop_timer_set(ready->timer, 0);
}

void ready_console(struct ready *ready, const char *data, size_t size)
{
	if (!ready->done && ready->spec->kind == READY_CONSOLE &&
	    ready_match(ready->spec->text, &ready->matched, data, size))
		is_ready(ready);
}

void ready_free(struct ready *ready)
{
	if (!ready)
		return;
	close_all(ready);
	loop_timer_free(ready->timer);
	free(ready);
}
