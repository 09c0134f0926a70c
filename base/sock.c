/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: listening, connecting and accepting, non-blocking and close-on-exec. */
#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_BACKLOG  1024
#define LOCK_TRIES    50
#define LOCK_EVERY_US 1000

_Static_assert(SOCK_PATH_MAX == sizeof(((struct sockaddr_un *)0)->sun_path), "see sock.h");

int fd_set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool fd_is_at(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

/* Closes `fd` in an error path and passes the error on. */
static int fail_close(int fd, int error)
{
	close(fd);
	return error;
}

/* Returns the fd or -errno. */
static int socket_new(int family, int type)
{
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int unix_address(const char *path, struct sockaddr_un *ret)
{
	size_t length = strlen(path);

	if (length == 0)
		return -EINVAL;
	if (length >= SOCK_PATH_MAX)
		return -ENAMETOOLONG;
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	memcpy(ret->sun_path, path, length);
	return 0;
}

/* Removes the socket file in the way, if nobody is behind it. */
static int unix_remove_stale(const struct sockaddr_un *at, int type)
{
	struct stat st;
	int fd;
	int r;

	if (lstat(at->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket_new(AF_UNIX, type);
	if (fd < 0)
		return fd;
	r = connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ? -errno : 0;
	close(fd);
	switch (r) {
	case -ENOENT:
		return 0;
	case -ECONNREFUSED:
		return unlink(at->sun_path) < 0 && errno != ENOENT ? -errno : 0;
	case -EACCES:
		return -EACCES;
	default:
		/* It took the connection, is too busy to (EAGAIN), is of another type
		 * (EPROTOTYPE) or talks to someone else (EPERM): alive in any case. */
		return -EADDRINUSE;
	}
}

static int unix_bind(int fd, const struct sockaddr_un *at, int type)
{
	int r;

	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	r = unix_remove_stale(at, type);
	if (r < 0)
		return r;
	return bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ? -errno : 0;
}

/* Between its bind() and its listen() a socket looks like one that nobody is behind, and between
 * two who take such a one's place, the second would remove what the first has just made: so they do
 * it one after the other. Returns a descriptor to close, or -1 where that can't be had: it isn't
 * worth failing, nor waiting for somebody who holds such a lock for other reasons. */
static int lock_directory(const struct sockaddr_un *at)
{
	char directory[SOCK_PATH_MAX] = ".";
	const char *slash = strrchr(at->sun_path, '/');
	int fd;

	if (slash)
		snprintf(directory, sizeof(directory), "%.*s",
			 slash == at->sun_path ? 1 : (int)(slash - at->sun_path), at->sun_path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		usleep(LOCK_EVERY_US);
	}
	fd_close(&fd);
	return -1;
}

static int unix_bind_and_listen(int fd, const struct sockaddr_un *at, int type)
{
	int lock = lock_directory(at);
	int r = unix_bind(fd, at, type);

	if (r == 0 && type != SOCK_DGRAM && listen(fd, UNIX_BACKLOG) < 0) {
		r = -errno;
		unlink(at->sun_path);
	}
	fd_close(&lock);
	return r;
}

int sock_listen_unix(const char *path, int type, int *ret_fd)
{
	struct sockaddr_un at;
	int fd;
	int r = unix_address(path, &at);

	if (r < 0)
		return r;
	fd = socket_new(AF_UNIX, type);
	if (fd < 0)
		return fd;
	r = unix_bind_and_listen(fd, &at, type);
	if (r < 0)
		return fail_close(fd, r);
	*ret_fd = fd;
	return 0;
}

int sock_connect_unix(const char *path, int type, int *ret_fd)
{
	struct sockaddr_un to;
	int fd;
	int r = unix_address(path, &to);

	if (r < 0)
		return r;
	fd = socket_new(AF_UNIX, type);
	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return fail_close(fd, -errno);
	*ret_fd = fd;
	return 0;
}

/* A socket of `type`, bound to `at`; the address must be an IPv4 or IPv6 one, and `both_families`
 * is for [::] only. */
static int inet_bind(const struct endpoint *at, int type, bool both_families, int *ret_fd)
{
	struct sockaddr_storage sa;
	socklen_t sa_size = endpoint_to_sockaddr(at, &sa);
	int on = 1;
	int v6only = !both_families;
	int fd = socket_new(sa.ss_family, type);

	if (fd < 0)
		return fd;
	/* Not for UDP, where it would let a second socket take over the port. */
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return fail_close(fd, -errno);
	if (sa.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
		return fail_close(fd, -errno);
	if (bind(fd, (struct sockaddr *)&sa, sa_size) < 0)
		return fail_close(fd, -errno);
	*ret_fd = fd;
	return 0;
}

/* As inet_bind(); AF_UNSPEC is [::] for both families, or 0.0.0.0 on a host without IPv6. */
static int inet_bind_any(const struct endpoint *at, int type, int *ret_fd)
{
	struct endpoint v4 = {.addr = addr_from_v4(INADDR_ANY), .port = at->port};
	int r;

	if (at->addr.family != AF_UNSPEC)
		return inet_bind(at, type, false, ret_fd);
	r = inet_bind(at, type, true, ret_fd);
	if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
		r = inet_bind(&v4, type, false, ret_fd);
	return r;
}

/* Where `fd` is bound: the address as it was asked for, with the port that was picked. */
static int bound_at(int fd, const struct endpoint *asked, struct endpoint *ret)
{
	struct sockaddr_storage sa;
	socklen_t sa_size = sizeof(sa);
	struct endpoint bound;
	int r;

	if (getsockname(fd, (struct sockaddr *)&sa, &sa_size) < 0)
		return -errno;
	r = endpoint_from_sockaddr((struct sockaddr *)&sa, &bound);
	if (r < 0)
		return r;
	*ret = *asked;
	ret->port = bound.port;
	return 0;
}

int sock_listen_tcp(const struct endpoint *at, int backlog, int *ret_fd, struct endpoint *ret_at)
{
	struct endpoint bound;
	int fd;
	int r = inet_bind_any(at, SOCK_STREAM, &fd);

	if (r < 0)
		return r;
	if (listen(fd, backlog) < 0)
		return fail_close(fd, -errno);
	r = bound_at(fd, at, &bound);
	if (r < 0)
		return fail_close(fd, r);
	*ret_fd = fd;
	if (ret_at)
		*ret_at = bound;
	return 0;
}

int sock_bind_udp(const struct endpoint *at, int *ret_fd, struct endpoint *ret_at)
{
	struct endpoint bound;
	int fd;
	int r = inet_bind_any(at, SOCK_DGRAM, &fd);

	if (r < 0)
		return r;
	r = bound_at(fd, at, &bound);
	if (r < 0)
		return fail_close(fd, r);
	*ret_fd = fd;
	if (ret_at)
		*ret_at = bound;
	return 0;
}

/* Errors that concern the connection at the head of the queue, not the listener: accept(2). */
static bool is_connection_error(int error)
{
	switch (error) {
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

int sock_accept(int listen_fd, int *ret_fd, struct endpoint *ret_peer)
{
	struct sockaddr_storage sa = {0};
	socklen_t sa_size = sizeof(sa);
	int fd;

	do {
		fd = accept4(listen_fd, (struct sockaddr *)&sa, &sa_size,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return is_connection_error(errno) ? -EAGAIN : -errno;
	if (ret_peer && (sa.ss_family == AF_INET || sa.ss_family == AF_INET6))
		endpoint_from_sockaddr((struct sockaddr *)&sa, ret_peer);
	*ret_fd = fd;
	return 0;
}
