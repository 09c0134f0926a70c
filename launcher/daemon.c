/* SPDX-License-Identifier: Apache-2.0 */
/* See daemon.h. */
#include "launcher/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("netproxy-vm");

/* The child's report, or else how it ended. */
static int wait_for_report(int fd, pid_t pid)
{
	unsigned char status;
	int wait_status;
	ssize_t n;

	do
		n = read(fd, &status, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return status;
	while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	/* Nobody else can say it. */
	fprintf(stderr, "netproxy-vm: the machine's supervisor was killed by signal %d (%s)\n",
		WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	return 128 + WTERMSIG(wait_status);
}

int daemon_fork(struct daemon *daemon, int *ret_status, struct problem *problem)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return problem_set(problem, -errno, "can't go to the background: %s",
				   strerror(errno));
	pid = fork();
	if (pid < 0) {
		int error = errno;

		close(fds[0]);
		close(fds[1]);
		return problem_set(problem, -error, "can't go to the background: %s",
				   strerror(error));
	}
	if (pid > 0) {
		close(fds[1]);
		*ret_status = wait_for_report(fds[0], pid);
		close(fds[0]);
		return 1;
	}
	close(fds[0]);
	setsid();
	daemon->report_fd = fds[1];
	return 0;
}

/* Puts the file in a standard descriptor's place. */
static void replace(int standard, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0 || dup2(fd, standard) < 0)
		log_warn("%s can't be written: %s", path, strerror(errno));
	fd_close(&fd);
}

void daemon_report(struct daemon *daemon, int status, const char *log_path)
{
	unsigned char byte = (unsigned char)status;

	if (daemon->report_fd < 0)
		return;
	replace(STDIN_FILENO, "/dev/null", O_RDONLY);
	replace(STDOUT_FILENO, "/dev/null", O_WRONLY);
	replace(STDERR_FILENO, log_path, O_WRONLY | O_CREAT | O_APPEND);
	if (write(daemon->report_fd, &byte, 1) != 1)
		log_debug("nobody waits for the report");
	fd_close(&daemon->report_fd);
}
