/* SPDX-License-Identifier: Apache-2.0 */
/* See qemu_version.h. */
#include "launcher/qemu_version.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"

#define OUTPUT_MAX 1024

extern char **environ;

int qemu_version_parse(const char *text, unsigned *ret_major)
{
	static const char before[] = "QEMU emulator version ";
	unsigned major;

	if (strncmp(text, before, sizeof(before) - 1) != 0 ||
	    sscanf(text + sizeof(before) - 1, "%4u.", &major) != 1)
		return -EINVAL;
	*ret_major = major;
	return 0;
}

static int start(const char *qemu, int output, pid_t *ret_pid)
{
	char *const argv[] = {(char *)qemu, "-version", NULL};
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return -r;
	r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
						     0);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
						     0);
	if (r == 0)
		r = posix_spawn(ret_pid, qemu, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Reads to the end, or as much as fits, until the deadline. Returns 0 or -errno. */
static int read_output(int fd, char text[static OUTPUT_MAX], uint64_t deadline_ms)
{
	size_t size = 0;

	while (size < OUTPUT_MAX - 1) {
		uint64_t now_ms = clock_ms();
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (now_ms >= deadline_ms)
			return -ETIMEDOUT;
		if (poll(&pfd, 1, (int)(deadline_ms - now_ms)) <= 0)
			continue;
		n = read(fd, text + size, OUTPUT_MAX - 1 - size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0)
			size += (size_t)n;
	}
	text[size] = '\0';
	return 0;
}

int qemu_version_ask(const char *qemu, unsigned *ret_major)
{
	char text[OUTPUT_MAX];
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = start(qemu, fds[1], &pid);
	fd_close(&fds[1]);
	if (r == 0) {
		r = read_output(fds[0], text, clock_ms() + QEMU_VERSION_TIMEOUT_MS);
		/* It has said what we want to know, or never will. */
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	fd_close(&fds[0]);
	return r < 0 ? r : qemu_version_parse(text, ret_major);
}
