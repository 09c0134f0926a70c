/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network namespace as the guest; see netns_setup.h.
 *
 * As with opening the tap, a child process enters the namespace and works there, so that nothing
 * has to be restored.
 */
#include "netproxy/netns_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "netproxy/netns_link.h"
#include "netstack/netns.h"

LOG_MODULE("netns");

struct netns_session {
	struct loop *loop;
	int ready_fd;
	struct loop_fd *exit_watch; /* on --exit-fd, which stays the caller's */
	int pid_fd;
	struct loop_fd *pid_watch;
	int inotify_fd; /* on the directory of the namespace's path */
	struct loop_fd *path_watch;
	char path_name[OPTIONS_PATH_MAX]; /* its name in that directory */
};

/* ---- Inside the namespace ---- */

enum step {
	STEP_NONE,
	STEP_CHILD,
	STEP_ENTER,
	STEP_NETLINK,
	STEP_LOOPBACK,
	STEP_FIND,
	STEP_LINK,
	STEP_ADDRESS,
	STEP_ROUTE,
	STEP_ADDRESS6,
	STEP_ROUTE6,
};

static const char *const step_texts[] = {
	[STEP_NONE] = "",
	[STEP_CHILD] = "running the process that sets it up",
	[STEP_ENTER] = "entering it",
	[STEP_NETLINK] = "asking its kernel",
	[STEP_LOOPBACK] = "bringing up lo",
	[STEP_FIND] = "finding the interface",
	[STEP_LINK] = "bringing up the interface with its MAC and MTU",
	[STEP_ADDRESS] = "setting the address",
	[STEP_ROUTE] = "setting the default route",
	[STEP_ADDRESS6] = "setting the IPv6 address",
	[STEP_ROUTE6] = "setting the IPv6 default route",
};

/* What the child sends back. */
struct outcome {
	int error;
	enum step step;
};

static int set_up_loopback(struct netns_link *link)
{
	unsigned index = 0;
	int r = netns_link_index("lo", &index);

	return r < 0 ? r : netns_link_up(link, index, NULL, 0);
}

static struct outcome set_up_interface(struct netns_link *link, const struct options *options)
{
	const struct netns_option *netns = &options->netns;
	const struct addr router = options_router(options, AF_INET);
	const struct addr router6 = options_router(options, AF_INET6);
	struct outcome done = {.step = STEP_FIND};
	unsigned index = 0;

	done.error = netns_link_index(netns->ifname, &index);
	if (done.error == 0) {
		done.step = STEP_LINK;
		done.error = netns_link_up(link, index, &netns->mac, options->mtu);
	}
	if (done.error == 0) {
		done.step = STEP_ADDRESS;
		done.error = netns_link_address(link, index, &netns->address, &options->subnet);
	}
	if (done.error == 0) {
		done.step = STEP_ROUTE;
		done.error = netns_link_default_route(link, index, &router);
	}
	if (done.error < 0 || !options->prefix6.length)
		return done;
	done.step = STEP_ADDRESS6;
	done.error = netns_link_address(link, index, &netns->address6, &options->prefix6);
	/* A kernel without IPv6, or with it turned off, is a guest without IPv6. */
	if (done.error == -EACCES || done.error == -EOPNOTSUPP || done.error == -EAFNOSUPPORT)
		return (struct outcome){.step = STEP_NONE};
	if (done.error == 0) {
		done.step = STEP_ROUTE6;
		done.error = netns_link_default_route(link, index, &router6);
	}
	return done;
}

static struct outcome set_up_inside(int netns_fd, const struct options *options)
{
	struct outcome done = {.step = STEP_ENTER, .error = netns_enter(netns_fd)};
	struct netns_link link;

	if (done.error < 0)
		return done;
	done.step = STEP_NETLINK;
	done.error = netns_link_open(&link);
	if (done.error < 0)
		return done;
	done.step = STEP_LOOPBACK;
	done.error = set_up_loopback(&link);
	if (done.error == 0)
		done = set_up_interface(&link, options);
	netns_link_close(&link);
	return done;
}

/* The child's whole life. */
static void child_main(int pipe_fd, int netns_fd, const struct options *options)
{
	struct outcome done = set_up_inside(netns_fd, options);

	(void)!write(pipe_fd, &done, sizeof(done));
	_exit(0);
}

static struct outcome set_up_by_child(int netns_fd, const struct options *options)
{
	struct outcome done = {.step = STEP_CHILD};
	int pipes[2];
	pid_t child;
	ssize_t got;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return (struct outcome){.step = STEP_CHILD, .error = -errno};
	child = fork();
	if (child == 0)
		child_main(pipes[1], netns_fd, options);
	close(pipes[1]);
	if (child < 0) {
		close(pipes[0]);
		return (struct outcome){.step = STEP_CHILD, .error = -EAGAIN};
	}
	do {
		got = read(pipes[0], &done, sizeof(done));
	} while (got < 0 && errno == EINTR);
	close(pipes[0]);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != sizeof(done))
		return (struct outcome){.step = STEP_CHILD, .error = -EPROTO};
	return done;
}

static int complain(char error[static OPTIONS_ERROR_MAX], const struct options *options,
		    const char *what, int r)
{
	snprintf(error, OPTIONS_ERROR_MAX, "--netns %.250s: %.100s: %s%s", options->netns.netns,
		 what, strerror(-r),
		 r == -EPERM ? ": it needs CAP_NET_ADMIN in that namespace" : "");
	return r;
}

static int set_up(const struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	struct outcome done;
	int netns_fd;
	int r = netns_open(options->netns.netns, &netns_fd);

	if (r < 0)
		return complain(error, options, "opening it", r);
	done = set_up_by_child(netns_fd, options);
	close(netns_fd);
	return done.error < 0 ? complain(error, options, step_texts[done.step], done.error) : 0;
}

/* ---- The resolver ---- */

/* Replaced as a whole: who reads it while we write sees the old one or the new one. */
static int write_resolv_conf(const struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	const char *path = options->netns.resolv_out;
	char temporary[OPTIONS_PATH_MAX + 16], address[ADDR_TEXT_MAX];
	FILE *file;
	bool ok;

	snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
	/* In a container a killed one may have had the same number. */
	unlink(temporary);
	file = fopen(temporary, "wxe");
	ok = file && fprintf(file, "nameserver %s\n", addr_format(&options->gateway, address)) > 0;
	if (ok && options->prefix6.length)
		ok = fprintf(file, "nameserver %s\n", addr_format(&options->gateway6, address)) > 0;
	if (ok && options->domain[0])
		ok = fprintf(file, "search %s\n", options->domain) > 0;
	if (file && fclose(file) != 0)
		ok = false;
	if (ok && rename(temporary, path) == 0)
		return 0;
	snprintf(error, OPTIONS_ERROR_MAX, "--resolv-out %.200s: %s", path, strerror(errno));
	if (file)
		unlink(temporary);
	return -EIO;
}

/* ---- When to end ---- */

static void on_exit_fd(void *arg, int fd, unsigned ready)
{
	struct netns_session *session = arg;

	(void)fd;
	(void)ready;
	log_info("something happened on --exit-fd: ending");
	loop_fd_set(session->exit_watch, 0);
	loop_stop(session->loop, 0);
}

static void on_process_end(void *arg, int fd, unsigned ready)
{
	struct netns_session *session = arg;

	(void)fd;
	(void)ready;
	log_info("the process whose network namespace it is has ended: ending too");
	loop_fd_set(session->pid_watch, 0);
	loop_stop(session->loop, 0);
}

static void on_directory(void *arg, int fd, unsigned ready)
{
	struct netns_session *session = arg;
	union {
		struct inotify_event event;
		char bytes[8192];
	} buffer;
	ssize_t size = read(fd, &buffer, sizeof(buffer));

	(void)ready;
	for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= size;) {
		struct inotify_event event;

		memcpy(&event, buffer.bytes + at, sizeof(event));
		if (event.len &&
		    strcmp(buffer.bytes + at + sizeof(event), session->path_name) == 0) {
			log_info("the path of the network namespace has gone: ending");
			loop_stop(session->loop, 0);
			return;
		}
		at += (ssize_t)(sizeof(event) + event.len);
	}
}

/* The process that a namespace is named by, as PID or /proc/PID/ns/net; false: it is a path. */
static bool process_of(const char *netns, pid_t *ret)
{
	const char *text = netns;
	char *end;
	long pid;

	if (!netns_is_pid(netns)) {
		if (strncmp(netns, "/proc/", strlen("/proc/")) != 0)
			return false;
		text += strlen("/proc/");
	}
	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || pid <= 0 || pid > INT32_MAX || end == text ||
	    (*end && strncmp(end, "/ns/", strlen("/ns/")) != 0))
		return false;
	*ret = (pid_t)pid;
	return true;
}

static int watch_pid(struct netns_session *session, pid_t pid)
{
	session->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (session->pid_fd < 0)
		return -errno;
	return loop_fd_new(session->loop, session->pid_fd, LOOP_READ, on_process_end, session,
			   &session->pid_watch);
}

static int watch_path(struct netns_session *session, const char *path)
{
	char copy[OPTIONS_PATH_MAX];

	strcpy(copy, path);
	strcpy(session->path_name, basename(copy));
	strcpy(copy, path);
	session->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (session->inotify_fd < 0)
		return -errno;
	/* No such watch in /proc; there the process is what to name. */
	if (inotify_add_watch(session->inotify_fd, dirname(copy), IN_DELETE | IN_MOVED_FROM) < 0)
		return -errno;
	return loop_fd_new(session->loop, session->inotify_fd, LOOP_READ, on_directory, session,
			   &session->path_watch);
}

static int watch_exit_fd(struct netns_session *session, int fd,
			 char error[static OPTIONS_ERROR_MAX])
{
	int r = loop_fd_new(session->loop, fd, LOOP_READ, on_exit_fd, session,
			    &session->exit_watch);

	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX,
			 "--exit-fd %d: %s: expected the end of a pipe or a socket", fd,
			 strerror(-r));
	return r;
}

static int watch(struct netns_session *session, const struct options *options,
		 char error[static OPTIONS_ERROR_MAX])
{
	const char *netns = options->netns.netns;
	pid_t pid;
	int r = 0;

	if (options->netns.exit_fd >= 0)
		r = watch_exit_fd(session, options->netns.exit_fd, error);
	if (r < 0 || !netns[0])
		return r;
	r = process_of(netns, &pid) ? watch_pid(session, pid) : watch_path(session, netns);
	return r < 0 ? complain(error, options, "watching it", r) : 0;
}

/* ---- Life ---- */

int netns_session_new(struct loop *loop, const struct options *options,
		      char error[static OPTIONS_ERROR_MAX], struct netns_session **ret_session)
{
	const struct netns_option *netns = &options->netns;
	struct netns_session *session = calloc(1, sizeof(*session));
	int r = 0;

	if (!session) {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	session->loop = loop;
	session->ready_fd = netns->ready_fd;
	session->pid_fd = -1;
	session->inotify_fd = -1;
	r = watch(session, options, error);
	if (r == 0 && netns->netns[0] && netns->configure)
		r = set_up(options, error);
	if (r == 0 && netns->resolv_out[0])
		r = write_resolv_conf(options, error);
	if (r < 0) {
		netns_session_free(session);
		return r;
	}
	*ret_session = session;
	return 0;
}

void netns_session_free(struct netns_session *session)
{
	if (!session)
		return;
	loop_fd_free(session->exit_watch);
	loop_fd_free(session->pid_watch);
	loop_fd_free(session->path_watch);
	fd_close(&session->pid_fd);
	fd_close(&session->inotify_fd);
	free(session);
}

void netns_session_ready(struct netns_session *session)
{
	if (session->ready_fd < 0)
		return;
	if (write(session->ready_fd, "1", 1) < 0)
		log_warn("--ready-fd %d: %s", session->ready_fd, strerror(errno));
	close(session->ready_fd);
	session->ready_fd = -1;
}
