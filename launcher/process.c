/* SPDX-License-Identifier: Apache-2.0 */
/* See process.h. */
#include "launcher/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("process");

#define LINE_MAX_LOGGED 512

struct process {
	const char *name;
	bool quiet;
	process_end_fn *fn;
	void *arg;
	pid_t pid; /* -1 once reaped */
	int pidfd;
	struct loop_fd *pidfd_watch;
	int stderr_fd; /* -1 once it was closed at the other side */
	struct loop_fd *stderr_watch;
	char words[PROCESS_WORDS_MAX + 1];
	size_t words_size;
	char line[LINE_MAX_LOGGED + 1]; /* of standard error, not complete yet */
	size_t line_size;
};

static void log_line(struct process *p)
{
	p->line[p->line_size] = '\0';
	if (p->line_size > 0)
		log_write(p->quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, log_module, "%s: %s",
			  p->name, p->line);
	p->line_size = 0;
}

static void keep_words(struct process *p, const char *data, size_t size)
{
	if (size > PROCESS_WORDS_MAX) {
		data += size - PROCESS_WORDS_MAX;
		size = PROCESS_WORDS_MAX;
	}
	if (p->words_size + size > PROCESS_WORDS_MAX) {
		size_t excess = p->words_size + size - PROCESS_WORDS_MAX;

		p->words_size -= excess;
		memmove(p->words, p->words + excess, p->words_size);
	}
	memcpy(p->words + p->words_size, data, size);
	p->words_size += size;
}

static void read_stderr(struct process *p)
{
	char data[1024];
	ssize_t n;

	while (p->stderr_fd >= 0 && (n = read(p->stderr_fd, data, sizeof(data))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		keep_words(p, data, (size_t)n);
		for (ssize_t i = 0; i < n; i++) {
			if (data[i] != '\n')
				p->line[p->line_size++] = data[i];
			if (data[i] == '\n' || p->line_size == LINE_MAX_LOGGED)
				log_line(p);
		}
	}
	if (p->stderr_fd >= 0 && n == 0) {
		loop_fd_free(p->stderr_watch);
		p->stderr_watch = NULL;
		fd_close(&p->stderr_fd);
		log_line(p);
	}
}

static void on_stderr(void *arg, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	read_stderr(arg);
}

static void on_end(void *arg, int fd, unsigned ready)
{
	struct process *p = arg;
	int wait_status = 0;

	(void)fd;
	(void)ready;
	if (waitpid(p->pid, &wait_status, WNOHANG) <= 0)
		return;
	p->pid = -1;
	read_stderr(p);
	log_line(p);
	loop_fd_free(p->pidfd_watch);
	p->pidfd_watch = NULL;
	p->fn(p->arg, wait_status);
}

/* In the child: what may be done between fork and exec, then exec. Writes errno to `report` on
 * failure. */
static void child(const struct process_conf *conf, pid_t parent, int stderr_fd, int report)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	setpgid(0, 0);
	/* First: our own handlers would take the signal of the parent's death for themselves. */
	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Should we have died before the prctl(), the signal would never come. */
	if (prctl(PR_SET_PDEATHSIG, conf->kill_with_us ? SIGKILL : SIGTERM) < 0 ||
	    getppid() != parent)
		_exit(127);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    dup2(stderr_fd, STDERR_FILENO) >= 0) {
		bool kept = true;

		for (size_t i = 0; i < conf->fd_count; i++)
			kept = kept && fcntl(conf->fds[i], F_SETFD, 0) == 0;
		int r = conf->prepare ? conf->prepare(conf->prepare_arg) : 0;

		errno = -r;
		if (kept && r == 0)
			execv(conf->args->items[0], conf->args->items);
	}
	int error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* Forks and waits until the exec happened. Returns 0 or -errno. */
static int fork_and_exec(const struct process_conf *conf, int stderr_fd, pid_t *ret_pid)
{
	int report[2], error = 0;
	pid_t parent = getpid(), pid;
	ssize_t n;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(conf, parent, stderr_fd, report[1]);
	if (pid < 0)
		error = errno;
	close(report[1]);
	if (pid > 0) {
		do
			n = read(report[0], &error, sizeof(error));
		while (n < 0 && errno == EINTR);
		if (n != sizeof(error))
			error = 0;
		if (error != 0)
			waitpid(pid, NULL, 0);
	}
	close(report[0]);
	if (error != 0)
		return -error;
	*ret_pid = pid;
	return 0;
}

static int watch(struct process *p, struct loop *loop)
{
	int r = loop_fd_new(loop, p->stderr_fd, LOOP_READ, on_stderr, p, &p->stderr_watch);

	if (r < 0)
		return r;
	p->pidfd = pidfd_open(p->pid, 0);
	if (p->pidfd < 0)
		return -errno;
	fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
	return loop_fd_new(loop, p->pidfd, LOOP_READ, on_end, p, &p->pidfd_watch);
}

int process_spawn(struct loop *loop, const struct process_conf *conf, process_end_fn *fn, void *arg,
		  struct process **ret_process)
{
	struct process *p = calloc(1, sizeof(*p));
	int fds[2], r;

	if (!p)
		return -ENOMEM;
	*p = (struct process){.name = conf->name,
			      .quiet = conf->quiet,
			      .fn = fn,
			      .arg = arg,
			      .pid = -1,
			      .pidfd = -1,
			      .stderr_fd = -1};
	if (pipe2(fds, O_CLOEXEC) < 0) {
		free(p);
		return -errno;
	}
	p->stderr_fd = fds[0];
	r = fd_set_nonblocking(p->stderr_fd);
	if (r == 0)
		r = fork_and_exec(conf, fds[1], &p->pid);
	close(fds[1]);
	if (r == 0)
		r = watch(p, loop);
	if (r < 0) {
		process_free(p);
		return r;
	}
	*ret_process = p;
	return 0;
}

void process_signal(struct process *process, int signal_number)
{
	if (process->pid > 0)
		kill(process->pid, signal_number);
}

const char *process_last_words(struct process *process)
{
	size_t size = process->words_size;

	while (size > 0 && (process->words[size - 1] == '\n' || process->words[size - 1] == '\r'))
		size--;
	process->words[size] = '\0';
	process->words_size = size;
	return process->words;
}

void process_free(struct process *process)
{
	if (!process)
		return;
	if (process->pid > 0) {
		kill(process->pid, SIGKILL);
		while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	loop_fd_free(process->pidfd_watch);
	loop_fd_free(process->stderr_watch);
	fd_close(&process->pidfd);
	fd_close(&process->stderr_fd);
	free(process);
}

const char *process_end_text(int wait_status, char to[static PROCESS_END_TEXT_MAX])
{
	if (WIFSIGNALED(wait_status))
		snprintf(to, PROCESS_END_TEXT_MAX, "was killed by signal %d (%s)",
			 WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	else
		snprintf(to, PROCESS_END_TEXT_MAX, "exited with status %d",
			 WEXITSTATUS(wait_status));
	return to;
}
