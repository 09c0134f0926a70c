/* SPDX-License-Identifier: Apache-2.0 */
/* The fake API's thread: one connection at a time, one request each. */
#include "fake_api.h"

#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"

struct forward {
	char local[64];
	char protocol[8];
};

struct fake_api {
	enum fake_api_mode mode;
	const char *refused;
	int listen_fd;
	int stop_fds[2];
	pthread_t thread;
	pthread_mutex_t lock; /* over all below */
	struct forward forwards[FAKE_API_FORWARDS_MAX];
	unsigned forward_count;
	char log[FAKE_API_LOG_MAX];
	char forwards_text[FAKE_API_LOG_MAX];
};

static void send_text(int fd, const char *text)
{
	/* A client that has read all it needs may have closed. */
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void answer(struct fake_api *api, int fd, int status, const char *body)
{
	char head[160];

	if (api->mode == FAKE_API_CHUNKED) {
		snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n",
			 status);
		send_text(fd, head);
		for (const char *c = body; *c; c++) {
			snprintf(head, sizeof(head), "1;x=y\r\n%c\r\n", *c);
			send_text(fd, head);
		}
		send_text(fd, "0\r\n\r\n");
		return;
	}
	snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status,
		 strlen(body));
	send_text(fd, head);
	send_text(fd, body);
}

static int find(struct fake_api *api, const char *local, const char *protocol)
{
	for (unsigned i = 0; i < api->forward_count; i++) {
		if (!strcmp(api->forwards[i].local, local) &&
		    !strcmp(api->forwards[i].protocol, protocol))
			return (int)i;
	}
	return -1;
}

static void add(struct fake_api *api, const char *local, const char *protocol)
{
	struct forward *forward = &api->forwards[api->forward_count++];

	ck_assert_uint_le(api->forward_count, FAKE_API_FORWARDS_MAX);
	snprintf(forward->local, sizeof(forward->local), "%s", local);
	snprintf(forward->protocol, sizeof(forward->protocol), "%s", protocol);
}

static void change(struct fake_api *api, int fd, const char *path, const char *body)
{
	char why[128];
	struct json_object *object;

	ck_assert_int_eq(json_parse(body, strlen(body), &object, why, sizeof(why)), 0);
	struct json_reader r = json_reader(object, "request");
	const char *local = json_need_string(&r, "local");
	const char *protocol = json_need_string(&r, "protocol");
	ck_assert_msg(json_ok(&r), "%s", r.error);
	int at = find(api, local, protocol);

	if (strstr(path, "/unexpose")) {
		if (at < 0) {
			answer(api, fd, 500, "proxy not found\n");
		} else {
			api->forwards[at] = api->forwards[--api->forward_count];
			answer(api, fd, 200, "");
		}
	} else if (api->refused && strcmp(api->refused, local) == 0) {
		answer(api, fd, 500, "listen tcp: bind: address already in use\n");
	} else if (at >= 0) {
		answer(api, fd, 500, "proxy already running\n");
	} else {
		json_need_string(&r, "remote");
		ck_assert_str_ne(json_get_string(&r, "for", ""), "");
		ck_assert_msg(json_ok(&r), "%s", r.error);
		add(api, local, protocol);
		answer(api, fd, 200, "");
	}
	json_object_put(object);
}

static void list(struct fake_api *api, int fd)
{
	char body[4096] = "[";

	for (unsigned i = 0; i < api->forward_count; i++) {
		size_t size = strlen(body);

		snprintf(body + size, sizeof(body) - size,
			 "%s{\"local\":\"%s\",\"remote\":\"192.168.65.2:1\",\"protocol\":\"%s\"}",
			 i ? "," : "", api->forwards[i].local, api->forwards[i].protocol);
	}
	strcat(body, "]");
	answer(api, fd, 200, body);
}

/* Reads head and body; the client says how long that is. */
static void read_request(int fd, char *to, size_t size)
{
	size_t have = 0, want = SIZE_MAX;

	while (have < want) {
		ssize_t n = recv(fd, to + have, size - 1 - have, 0);

		ck_assert_int_gt(n, 0);
		have += (size_t)n;
		to[have] = '\0';
		const char *body = strstr(to, "\r\n\r\n");
		const char *length = strstr(to, "Content-Length: ");
		if (body)
			want = (size_t)(body + 4 - to) +
			       (length ? strtoul(length + 16, NULL, 10) : 0);
	}
}

static void serve(struct fake_api *api, int fd)
{
	char request[8192], method[8], path[64];
	struct pollfd stop = {.fd = api->stop_fds[0], .events = POLLIN};

	read_request(fd, request, sizeof(request));
	ck_assert_int_eq(sscanf(request, "%7s %63s HTTP/1.1\r\n", method, path), 2);
	ck_assert_ptr_nonnull(strstr(request, "\r\nHost: "));
	const char *body = strstr(request, "\r\n\r\n") + 4;
	size_t size = strlen(api->log);
	snprintf(api->log + size, sizeof(api->log) - size, "%s %s %s\n", method, path, body);

	if (api->mode == FAKE_API_SILENT)
		poll(&stop, 1, -1);
	else if (api->mode == FAKE_API_GARBAGE)
		send_text(fd, "SSH-2.0-OpenSSH_9.2\r\n");
	else if (api->mode == FAKE_API_NOT_JSON)
		answer(api, fd, 200, "<html>It works!</html>");
	else if (api->mode == FAKE_API_CLOSES)
		return;
	else if (strcmp(path, "/services/forwarder/all") == 0)
		list(api, fd);
	else
		change(api, fd, path, body);
}

static void *run(void *arg)
{
	struct fake_api *api = arg;
	struct pollfd fds[2] = {
		{.fd = api->listen_fd, .events = POLLIN},
		{.fd = api->stop_fds[0], .events = POLLIN},
	};

	for (;;) {
		ck_assert_int_gt(poll(fds, 2, -1), 0);
		if (fds[1].revents)
			return NULL;
		int fd = accept(api->listen_fd, NULL, NULL);
		ck_assert_int_ge(fd, 0);
		if (api->mode != FAKE_API_SILENT)
			pthread_mutex_lock(&api->lock);
		serve(api, fd);
		if (api->mode != FAKE_API_SILENT)
			pthread_mutex_unlock(&api->lock);
		close(fd);
	}
}

/* Takes the listening socket. */
static struct fake_api *start(int listen_fd, enum fake_api_mode mode)
{
	struct fake_api *api = calloc(1, sizeof(*api));

	ck_assert_ptr_nonnull(api);
	api->mode = mode;
	api->listen_fd = listen_fd;
	pthread_mutex_init(&api->lock, NULL);
	ck_assert_int_eq(listen(listen_fd, 16), 0);
	ck_assert_int_eq(pipe(api->stop_fds), 0);
	ck_assert_int_eq(pthread_create(&api->thread, NULL, run, api), 0);
	return api;
}

struct fake_api *fake_api_start(const char *path, enum fake_api_mode mode)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_uint_lt(strlen(path), sizeof(at.sun_path));
	strcpy(at.sun_path, path);
	unlink(path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return start(fd, mode);
}

struct fake_api *fake_api_start_tcp(enum fake_api_mode mode, unsigned *ret_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	*ret_port = ntohs(at.sin_port);
	return start(fd, mode);
}

void fake_api_refuse(struct fake_api *api, const char *local)
{
	pthread_mutex_lock(&api->lock);
	api->refused = local;
	pthread_mutex_unlock(&api->lock);
}

void fake_api_add(struct fake_api *api, const char *local, const char *protocol)
{
	pthread_mutex_lock(&api->lock);
	add(api, local, protocol);
	pthread_mutex_unlock(&api->lock);
}

const char *fake_api_log(struct fake_api *api)
{
	/* Whoever read an answer knows that its request is in the log; the lock orders the memory.
	 */
	pthread_mutex_lock(&api->lock);
	pthread_mutex_unlock(&api->lock);
	return api->log;
}

const char *fake_api_forwards(struct fake_api *api)
{
	pthread_mutex_lock(&api->lock);
	FILE *text = fmemopen(api->forwards_text, sizeof(api->forwards_text), "w");
	ck_assert_ptr_nonnull(text);
	api->forwards_text[0] = '\0';
	for (unsigned i = 0; i < api->forward_count; i++)
		fprintf(text, "%s %s ", api->forwards[i].protocol, api->forwards[i].local);
	fclose(text);
	pthread_mutex_unlock(&api->lock);
	return api->forwards_text;
}

void fake_api_stop(struct fake_api *api)
{
	ck_assert_int_eq(write(api->stop_fds[1], "", 1), 1);
	pthread_join(api->thread, NULL);
	close(api->listen_fd);
	close(api->stop_fds[0]);
	close(api->stop_fds[1]);
	pthread_mutex_destroy(&api->lock);
	free(api);
}
