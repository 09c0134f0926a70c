/* SPDX-License-Identifier: Apache-2.0 */
/* Starting docker-proxy as dockerd would. */
#include "plugin/docker_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"
#include "base/text.h"

#define REPORT_FD 3
#define LISTEN_FD 4

static const char *const places[] = {
	"/usr/bin/docker-proxy",
	"/usr/sbin/docker-proxy",
	"/usr/libexec/docker/docker-proxy",
	"/usr/local/bin/docker-proxy",
	"/usr/lib/docker/docker-proxy",
};

const char *docker_child_find(const char *configured)
{
	if (configured && configured[0])
		return configured;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (access(places[i], X_OK) == 0)
			return places[i];
	}
	return NULL;
}

/* In the child: becomes `program`. Reports what fails as it would. */
static void __attribute__((noreturn))
become(const char *program, char *const *argv, int report_fd, bool with_listen_fd, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* The parent may have gone before it could be said. */
	if (getppid() != parent)
		_exit(1);
	if (!with_listen_fd)
		close(LISTEN_FD);
	/* dup2() onto itself would leave close-on-exec set. */
	if (report_fd == REPORT_FD)
		fcntl(REPORT_FD, F_SETFD, 0);
	else
		dup2(report_fd, REPORT_FD);
	execv(program, argv);
	dprintf(REPORT_FD, "1\ncan't run %s: %s", program, strerror(errno));
	_exit(1);
}

/* Reads "0\n", or "1\n" and a message up to the end. Returns 0 or -errno with a message. */
static int read_report(int fd, uint64_t deadline_ms, char *error)
{
	char text[DOCKER_CHILD_ERROR_MAX / 2] = "";
	size_t size = 0;

	for (;;) {
		uint64_t now_ms = clock_ms();
		struct pollfd poller = {.fd = fd, .events = POLLIN};
		int n = poll(&poller, 1, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return text_fail(error, DOCKER_CHILD_ERROR_MAX, -ETIMEDOUT,
					 "it doesn't say whether it listens");
		ssize_t got = read(fd, text + size, sizeof(text) - 1 - size);
		if (got > 0)
			size += (size_t)got;
		text[size] = '\0';
		if (size >= 2 && memcmp(text, "0\n", 2) == 0)
			return 0;
		if (got <= 0 || size == sizeof(text) - 1)
			break;
	}
	for (char *c = text; *c; c++) {
		if (*c == '\n' && c > text + 1)
			*c = ' ';
	}
	if (memcmp(text, "1\n", 2) == 0)
		return text_fail(error, DOCKER_CHILD_ERROR_MAX, -EADDRINUSE, "%s", text + 2);
	return text_fail(error, DOCKER_CHILD_ERROR_MAX, -EIO, "it ended without a report");
}

int docker_child_start(const char *program, const struct docker_args *args,
		       const struct addr *host_ip, bool with_listen_fd, uint64_t deadline_ms,
		       pid_t *ret_pid, char error[static DOCKER_CHILD_ERROR_MAX])
{
	char host[ADDR_TEXT_MAX], container[ADDR_TEXT_MAX], host_port[8], container_port[8];
	char why[DOCKER_CHILD_ERROR_MAX];
	char *argv[] = {(char *)program,
			"-proto",
			args->udp ? "udp" : "tcp",
			"-host-ip",
			host,
			"-host-port",
			host_port,
			"-container-ip",
			container,
			"-container-port",
			container_port,
			with_listen_fd ? "-use-listen-fd" : NULL,
			NULL};
	pid_t self = getpid();
	int fds[2];

	addr_format(host_ip, host);
	addr_format(&args->container_ip, container);
	snprintf(host_port, sizeof(host_port), "%u", args->host_port);
	snprintf(container_port, sizeof(container_port), "%u", args->container_port);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return text_fail(error, DOCKER_CHILD_ERROR_MAX, -errno, "can't make a pipe: %s",
				 strerror(errno));
	pid_t pid = fork();
	if (pid == 0)
		become(program, argv, fds[1], with_listen_fd, self);
	fd_close(&fds[1]);
	int r = pid < 0 ? text_fail(why, DOCKER_CHILD_ERROR_MAX, -errno, "can't fork: %s",
				    strerror(errno))
			: read_report(fds[0], deadline_ms, why);
	fd_close(&fds[0]);
	if (r == 0) {
		*ret_pid = pid;
		return 0;
	}
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return text_fail(error, DOCKER_CHILD_ERROR_MAX, r, "%s on %s port %u of this VM: %s",
			 program, host, args->host_port, why);
}
