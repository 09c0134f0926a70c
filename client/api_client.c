/* SPDX-License-Identifier: Apache-2.0 */
/* The client of netproxy's API: connect, send, receive, each bounded by the one deadline of the
 * request. */
#include "client/api_client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "base/clock.h"
#include "base/text.h"

#define HTTP_PORT     80
#define HTTP_OK       200
#define REQUEST_MAX   8192
#define RECEIVE_CHUNK 16384
/* A unix socket's backlog can be full for a moment; poll() has no event for that. */
#define BACKLOG_RETRY_MS 10

static int parse_http_url(const char *text, struct endpoint *ret)
{
	char authority[ENDPOINT_TEXT_MAX];
	size_t size = strcspn(text, "/");

	if (size == 0 || size >= sizeof(authority) || (text[size] == '/' && text[size + 1] != '\0'))
		return -EINVAL;
	memcpy(authority, text, size);
	authority[size] = '\0';
	struct endpoint at = {.port = HTTP_PORT};
	if (endpoint_parse(authority, false, &at) < 0) {
		/* No port: an IPv6 literal stands in brackets all the same. */
		char *literal = authority;

		if (literal[0] == '[' && authority[size - 1] == ']') {
			authority[size - 1] = '\0';
			literal++;
		}
		if (addr_parse(literal, &at.addr) < 0)
			return -EINVAL;
	}
	if (addr_is_any(&at.addr))
		return -EINVAL;
	*ret = at;
	return 0;
}

int api_target_parse(const char *text, uint32_t vsock_port, struct api_target *ret)
{
	struct api_target target = {.vsock_port = vsock_port};

	if (strcmp(text, "vsock") == 0) {
		target.transport = API_VSOCK;
	} else if (strncmp(text, "unix:", 5) == 0) {
		if (text[5] != '/')
			return -EINVAL;
		if (strlen(text + 5) >= sizeof(target.path))
			return -ENAMETOOLONG;
		target.transport = API_UNIX;
		strcpy(target.path, text + 5);
	} else if (strncmp(text, "http://", 7) == 0) {
		if (parse_http_url(text + 7, &target.tcp) < 0)
			return -EINVAL;
		target.transport = API_TCP;
	} else {
		return -EINVAL;
	}
	*ret = target;
	return 0;
}

const char *api_target_describe(const struct api_target *target, char *to, size_t size)
{
	char text[ENDPOINT_TEXT_MAX];

	switch (target->transport) {
	case API_VSOCK:
		snprintf(to, size, "vsock port %u of the host", target->vsock_port);
		break;
	case API_UNIX:
		snprintf(to, size, "unix socket %s", target->path);
		break;
	case API_TCP:
		snprintf(to, size, "http://%s", endpoint_format(&target->tcp, text));
		break;
	}
	return to;
}

/* What the person who set the VM up can do about a failed connect. */
static const char *connect_hint(const struct api_target *target, int r)
{
	if (target->transport == API_TCP)
		return "is that netproxy's address, and does it serve its API there?";
	if (target->transport == API_UNIX)
		return "does netproxy listen there (--api unix:PATH)?";
	if (r == -EAFNOSUPPORT || r == -ENODEV || r == -EADDRNOTAVAIL || r == -ENETUNREACH)
		return "has this VM a vsock device, and its kernel the module "
		       "vmw_vsock_virtio_transport?";
	return "does netproxy on the host serve this VM (--vsock), with its API on this port?";
}

/* Waits for `events` on `fd`. Returns 0, -ETIMEDOUT, or -errno. */
static int wait_for(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd poller = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now_ms = clock_ms();

		if (now_ms >= deadline_ms)
			return -ETIMEDOUT;
		int n = poll(&poller, 1, (int)(deadline_ms - now_ms));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static socklen_t target_sockaddr(const struct api_target *target, struct sockaddr_storage *ret)
{
	struct sockaddr_vm vm = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = target->vsock_port,
	};

	if (target->transport == API_TCP)
		return endpoint_to_sockaddr(&target->tcp, ret);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &vm, sizeof(vm));
	return sizeof(vm);
}

static int connect_socket(const struct api_target *target, uint64_t deadline_ms, int *ret_fd)
{
	struct sockaddr_storage to;
	socklen_t size = target_sockaddr(target, &to);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, size) < 0) {
		r = errno == EINPROGRESS ? wait_for(fd, POLLOUT, deadline_ms) : -errno;
		int so_error = 0;
		socklen_t so_size = sizeof(so_error);
		if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &so_size) < 0)
			r = -errno;
		else if (r == 0)
			r = -so_error;
	}
	if (r < 0)
		fd_close(&fd);
	else
		*ret_fd = fd;
	return r;
}

static int connect_unix(const struct api_target *target, uint64_t deadline_ms, int *ret_fd)
{
	for (;;) {
		int r = sock_connect_unix(target->path, SOCK_STREAM, ret_fd);

		if (r != -EAGAIN)
			return r;
		if (clock_ms() >= deadline_ms)
			return -ETIMEDOUT;
		poll(NULL, 0, BACKLOG_RETRY_MS);
	}
}

static int send_all(int fd, const char *data, size_t size, uint64_t deadline_ms)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n >= 0) {
			data += n;
			size -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		int r = wait_for(fd, POLLOUT, deadline_ms);
		if (r < 0)
			return r;
	}
	return 0;
}

struct receive_buffer {
	char *data; /* owned */
	size_t size;
	size_t room;
};

/* Reads once. Returns 1 with bytes added, 0 at the end of the stream, or -errno. */
static int receive_some(int fd, struct receive_buffer *b, uint64_t deadline_ms)
{
	if (b->room - b->size < RECEIVE_CHUNK) {
		size_t room = b->room * 2 + RECEIVE_CHUNK;
		char *data = realloc(b->data, room);

		if (!data)
			return -ENOMEM;
		b->data = data;
		b->room = room;
	}
	for (;;) {
		ssize_t n = recv(fd, b->data + b->size, b->room - b->size, 0);

		if (n >= 0) {
			b->size += (size_t)n;
			return n > 0;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		int r = wait_for(fd, POLLIN, deadline_ms);
		if (r < 0)
			return r;
	}
}

static int receive_response(int fd, uint64_t deadline_ms, struct http_response *ret,
			    const char **ret_why)
{
	struct receive_buffer buffer = {0};
	int r;

	for (;;) {
		int more = receive_some(fd, &buffer, deadline_ms);

		if (more < 0) {
			r = more;
			break;
		}
		r = http_response_decode(buffer.data, buffer.size, more == 0, ret, ret_why);
		if (r != 0)
			break;
	}
	free(buffer.data);
	return r > 0 ? 0 : r;
}

static int format_request(const struct api_target *target, const char *method, const char *path,
			  const char *json, bool held, char *to, size_t size)
{
	const char *connection = held ? "keep-alive" : "close";
	char host[ENDPOINT_TEXT_MAX] = "netproxy";
	int n;

	/* On TCP the server may look at it, to tell programs from web pages. */
	if (target->transport == API_TCP)
		endpoint_format(&target->tcp, host);

	if (json)
		n = snprintf(to, size,
			     "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n"
			     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			     method, path, host, connection, strlen(json), json);
	else
		n = snprintf(to, size, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n",
			     method, path, host, connection);
	return n >= 0 && (size_t)n < size ? 0 : -EMSGSIZE;
}

int api_connect(const struct api_target *target, uint64_t deadline_ms, int *ret_fd, char *error)
{
	char where[SOCK_PATH_MAX + 32];
	int r = target->transport == API_UNIX ? connect_unix(target, deadline_ms, ret_fd)
					      : connect_socket(target, deadline_ms, ret_fd);

	if (r == 0)
		return 0;
	return text_fail(error, API_ERROR_MAX, r, "can't connect to %s: %s; %s",
			 api_target_describe(target, where, sizeof(where)), strerror(-r),
			 connect_hint(target, r));
}

/* Sends the request; `held`: the connection shall stay. */
static int send_request(int fd, const struct api_target *target, const char *method,
			const char *path, const char *json, bool held, uint64_t deadline_ms,
			char *error)
{
	char request[REQUEST_MAX];

	if (format_request(target, method, path, json, held, request, sizeof(request)) < 0)
		return text_fail(error, API_ERROR_MAX, -EMSGSIZE,
				 "the request %s %s is longer than %d bytes", method, path,
				 REQUEST_MAX);
	return send_all(fd, request, strlen(request), deadline_ms);
}

int api_send(int fd, const struct api_target *target, const char *method, const char *path,
	     uint64_t deadline_ms, char *error)
{
	char where[SOCK_PATH_MAX + 32];
	int r = send_request(fd, target, method, path, NULL, true, deadline_ms, error);

	if (r == 0 || r == -EMSGSIZE)
		return r;
	return text_fail(error, API_ERROR_MAX, r, "can't send %s %s to %s: %s", method, path,
			 api_target_describe(target, where, sizeof(where)), strerror(-r));
}

static int exchange(int fd, const struct api_target *target, const char *method, const char *path,
		    const char *json, bool held, uint64_t deadline_ms,
		    struct http_response *ret_response, char *error)
{
	char where[SOCK_PATH_MAX + 32];
	const char *why = NULL;
	int r = send_request(fd, target, method, path, json, held, deadline_ms, error);

	if (r == -EMSGSIZE)
		return r;
	/* A server may answer, and close, before it has read all of a request that it refuses. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = receive_response(fd, deadline_ms, ret_response, &why);
	if (r == 0)
		return 0;
	api_target_describe(target, where, sizeof(where));
	if (r == -EBADMSG && why)
		return text_fail(error, API_ERROR_MAX, r,
				 "the answer of %s can't be understood: %s", where, why);
	return text_fail(error, API_ERROR_MAX, r, "no answer of %s to %s %s: %s", where, method,
			 path, strerror(-r));
}

int api_request_on(int fd, const struct api_target *target, const char *method, const char *path,
		   const char *json, uint64_t deadline_ms, struct http_response *ret_response,
		   char *error)
{
	return exchange(fd, target, method, path, json, true, deadline_ms, ret_response, error);
}

int api_request(const struct api_target *target, const char *method, const char *path,
		const char *json, uint64_t deadline_ms, struct http_response *ret_response,
		char *error)
{
	int fd = -1;
	int r = api_connect(target, deadline_ms, &fd, error);

	if (r == 0)
		r = exchange(fd, target, method, path, json, false, deadline_ms, ret_response,
			     error);
	fd_close(&fd);
	return r;
}

int api_request_held(const struct api_target *target, const char *method, const char *path,
		     const char *json, uint64_t deadline_ms, struct http_response *ret_response,
		     int *ret_fd, char *error)
{
	int fd = -1;
	int r = api_connect(target, deadline_ms, &fd, error);

	if (r == 0)
		r = exchange(fd, target, method, path, json, true, deadline_ms, ret_response,
			     error);
	if (r < 0 || ret_response->status != HTTP_OK)
		fd_close(&fd);
	if (r == 0)
		*ret_fd = fd;
	return r;
}
