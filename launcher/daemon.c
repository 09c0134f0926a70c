/* SPDX-License-Identifier: Apache-2.0 */
/* See daemon.h. */
#include "launcher/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
	/* Also what the starter has left open: a lock of a script, a pipe that somebody reads to
	 * its end. */
	if (fds[1] > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)fds[1] - 1, 0);
	close_range((unsigned)fds[1] + 1, ~0u, 0);
	setsid();
	*daemon = (struct daemon){.report_fd = fds[1], .log_fd = -1};
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

void daemon_log(struct daemon *daemon, const char *path)
{
	char before[PATH_MAX + 3];
	struct stat st;

	snprintf(daemon->log_path, sizeof(daemon->log_path), "%s", path);
	snprintf(before, sizeof(before), "%s.1", daemon->log_path);
	if (stat(daemon->log_path, &st) == 0 && st.st_size > DAEMON_LOG_MAX &&
	    rename(daemon->log_path, before) < 0)
		log_debug("can't keep %s: %s", before, strerror(errno));
	daemon->log_fd = open(daemon->log_path,
			      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (daemon->log_fd < 0)
		log_warn("%s can't be written: %s", daemon->log_path, strerror(errno));
	log_set_copy(daemon->log_fd);
}

void daemon_report(struct daemon *daemon, int status)
{
	unsigned char byte = (unsigned char)status;
	int r;

	if (daemon->report_fd < 0)
		return;
	replace(STDIN_FILENO, "/dev/null", O_RDONLY);
	replace(STDOUT_FILENO, "/dev/null", O_WRONLY);
	replace(STDERR_FILENO, daemon->log_path, O_WRONLY | O_CREAT | O_APPEND);
	log_set_copy(-1);
	fd_close(&daemon->log_fd);
	/* With the date, as in a file. */
	r = log_set_file(daemon->log_path);
	if (r < 0)
		log_warn("%s can't be written: %s", daemon->log_path, strerror(-r));
	if (write(daemon->report_fd, &byte, 1) != 1)
		log_debug("nobody waits for the report");
	fd_close(&daemon->report_fd);
}
