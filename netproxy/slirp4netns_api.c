/* SPDX-License-Identifier: Apache-2.0 */
/* slirp4netns' API socket; see slirp4netns_api.h. What a request means is in
 * slirp4netns_request.c. */
#include "netproxy/slirp4netns_api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "netproxy/slirp4netns_request.h"

LOG_MODULE("slirp4netns");

#define BACKLOG 128

struct client {
	struct slirp4netns_api *api;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	char request[SLIRP4NETNS_API_REQUEST_MAX + 1];
	size_t size;
	struct json_object *answer; /* its text is what is being sent */
	const char *text;
	size_t left;
	struct list link;
};

struct slirp4netns_api {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	char path[SOCK_PATH_MAX];
	struct list clients;
	unsigned client_count;
	struct slirp4netns_forwards forwards;
};

/* ---- Clients ---- */

static void client_free(struct client *client)
{
	struct slirp4netns_api *api = client->api;

	list_remove(&client->link);
	/* There was no room for this one's successor. */
	if (api->client_count-- == SLIRP4NETNS_API_CLIENTS_MAX)
		loop_fd_set(api->watch, LOOP_READ);
	loop_timer_free(client->timer);
	loop_fd_free(client->watch);
	fd_close(&client->fd);
	json_object_put(client->answer);
	free(client);
}

static void on_timeout(void *arg)
{
	client_free(arg);
}

static void send_answer(struct client *client)
{
	while (client->left) {
		ssize_t sent = send(client->fd, client->text, client->left, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			loop_fd_set(client->watch, LOOP_WRITE);
			return;
		}
		if (sent <= 0)
			break;
		client->text += sent;
		client->left -= (size_t)sent;
	}
	client_free(client);
}

static void answer(struct client *client, struct json_object *object)
{
	client->answer = object;
	if (!object) {
		client_free(client);
		return;
	}
	client->text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &client->left);
	if (!client->text) {
		client_free(client);
		return;
	}
	send_answer(client);
}

/* A request without a shutdown behind it is answered as soon as it is a whole one: clients that
 * don't know of that rule would wait for ever. */
static bool is_whole(const struct client *client)
{
	struct json_object *object;

	if (client->size == 0 || client->request[client->size - 1] != '}')
		return false;
	object = slirp4netns_request_parse(client->request, client->size);
	if (!object)
		return false;
	json_object_put(object);
	return true;
}

/* Reads on, into the place of what is of no use any more once the request is too large. */
static ssize_t receive(struct client *client)
{
	size_t at = client->size > SLIRP4NETNS_API_REQUEST_MAX ? 0 : client->size;
	ssize_t got = recv(client->fd, client->request + at, sizeof(client->request) - at, 0);

	if (got > 0 && client->size <= SLIRP4NETNS_API_REQUEST_MAX)
		client->size += (size_t)got;
	return got;
}

static void on_client(void *arg, int fd, unsigned ready)
{
	struct client *client = arg;
	ssize_t got;

	(void)fd;
	if (client->answer) {
		send_answer(client);
		return;
	}
	if (!(ready & LOOP_READ))
		return;
	got = receive(client);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		client_free(client);
	else if (client->size > SLIRP4NETNS_API_REQUEST_MAX && got == 0)
		answer(client, slirp4netns_request_error("request too large"));
	else if (client->size <= SLIRP4NETNS_API_REQUEST_MAX && (got == 0 || is_whole(client)))
		answer(client, slirp4netns_request_answer(&client->api->forwards, client->request,
							  client->size));
}

static int client_new(struct slirp4netns_api *api, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client) {
		fd_close(&fd);
		return -ENOMEM;
	}
	client->api = api;
	client->fd = fd;
	list_add_tail(&api->clients, &client->link);
	if (++api->client_count == SLIRP4NETNS_API_CLIENTS_MAX)
		loop_fd_set(api->watch, 0);
	r = loop_fd_new(api->loop, fd, LOOP_READ, on_client, client, &client->watch);
	if (r == 0)
		r = loop_timer_new(api->loop, on_timeout, client, &client->timer);
	if (r < 0) {
		client_free(client);
		return r;
	}
	loop_timer_set(client->timer, SLIRP4NETNS_API_REQUEST_MS_MAX);
	return 0;
}

static void on_listener(void *arg, int fd, unsigned ready)
{
	struct slirp4netns_api *api = arg;
	int client_fd;

	(void)ready;
	if (sock_accept(fd, &client_fd, NULL) == 0)
		client_new(api, client_fd);
}

/* ---- Life ---- */

static int complain(char error[static OPTIONS_ERROR_MAX], const char *path, int r)
{
	snprintf(error, OPTIONS_ERROR_MAX, "--slirp4netns-api %.108s: %s", path,
		 r == -EADDRINUSE ? "something answers there already" : strerror(-r));
	return r;
}

int slirp4netns_api_new(struct loop *loop, const struct options *options, struct publish *publish,
			char error[static OPTIONS_ERROR_MAX], struct slirp4netns_api **ret_api)
{
	const char *path = options->netns.slirp4netns_api;
	struct slirp4netns_api *api;
	int r;

	*ret_api = NULL;
	if (!path[0])
		return 0;
	api = calloc(1, sizeof(*api));
	if (!api)
		return complain(error, path, -ENOMEM);
	api->loop = loop;
	api->fd = -1;
	list_init(&api->clients);
	api->forwards.publish = publish;
	api->forwards.guest = options_first_guest(options);
	r = sock_listen_unix(path, SOCK_STREAM, &api->fd);
	if (r == 0) {
		strcpy(api->path, path);
		chmod(path, 0600);
		r = listen(api->fd, BACKLOG) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = loop_fd_new(loop, api->fd, LOOP_READ, on_listener, api, &api->watch);
	if (r < 0) {
		slirp4netns_api_free(api);
		return complain(error, path, r);
	}
	log_info("slirp4netns' API is at %s", path);
	*ret_api = api;
	return 0;
}

void slirp4netns_api_free(struct slirp4netns_api *api)
{
	if (!api)
		return;
	while (!list_empty(&api->clients))
		client_free(container_of(list_first(&api->clients), struct client, link));
	loop_fd_free(api->watch);
	if (api->path[0])
		unlink(api->path);
	fd_close(&api->fd);
	slirp4netns_forwards_destroy(&api->forwards);
	free(api);
}
