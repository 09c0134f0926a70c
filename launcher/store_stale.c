/* SPDX-License-Identifier: Apache-2.0 */
/* See store.h: who has a machine, and what a supervisor that was killed left. Its children get
 * SIGTERM from the kernel with its death, so that they are mostly gone by the time we look. */
#include "launcher/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "launcher/proxy.h"

#define CMDLINE_MAX   65536
#define PID_TEXT_MAX  32
#define LOOK_EVERY_US 20000
#define TERM_TIME_MS  1000

static const char *const sockets[] = {STORE_REST, STORE_CONSOLE, PROXY_NET_SOCKET,
				      PROXY_VSOCK_SOCKET, PROXY_API_SOCKET};
static const char *const pid_files[] = {STORE_QEMU_PID, PROXY_PID};

#define SOCKET_COUNT (sizeof(sockets) / sizeof(sockets[0]))
#define PID_COUNT    (sizeof(pid_files) / sizeof(pid_files[0]))

static pid_t read_pid(const char *path)
{
	char *text;
	size_t size;
	long pid;

	if (store_read(path, PID_TEXT_MAX, &text, &size) < 0)
		return 0;
	pid = strtol(text, NULL, 10);
	free(text);
	return pid > 1 && pid <= INT_MAX ? (pid_t)pid : 0;
}

int store_owner(const char *dir, pid_t *ret_pid)
{
	char path[PATH_MAX];
	int fd;

	if (store_path(dir, STORE_LOCK, path) < 0)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	/* A shared lock, for a moment: it doesn't get in the way of others who look. */
	if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
		close(fd);
		return -ESRCH;
	}
	close(fd);
	*ret_pid = read_pid(path);
	return 0;
}

bool store_cmdline_of(const char *cmdline, size_t size, const char *dir)
{
	size_t length = strlen(dir);

	for (size_t at = 0; at + length < size; at++)
		if (memcmp(cmdline + at, dir, length) == 0 &&
		    (cmdline[at + length] == '/' || cmdline[at + length] == '\0'))
			return true;
	return false;
}

/* The process of a pid file if it is of this machine; 0: there is none. A number that another
 * program got since then is no business of ours. */
static pid_t find_process(const char *dir, const char *pid_file)
{
	char path[PATH_MAX], cmdline[CMDLINE_MAX];
	pid_t pid;
	ssize_t n;
	int fd;

	if (store_path(dir, pid_file, path) < 0)
		return 0;
	pid = read_pid(path);
	if (pid == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, cmdline, sizeof(cmdline));
	close(fd);
	return n > 0 && store_cmdline_of(cmdline, (size_t)n, dir) ? pid : 0;
}

unsigned store_stale(const char *dir)
{
	char path[PATH_MAX];
	unsigned stale = 0;
	struct stat st;

	for (size_t i = 0; i < SOCKET_COUNT; i++)
		if (store_path(dir, sockets[i], path) == 0 && lstat(path, &st) == 0 &&
		    S_ISSOCK(st.st_mode))
			stale |= STORE_STALE_SOCKETS;
	for (size_t i = 0; i < PID_COUNT; i++)
		if (find_process(dir, pid_files[i]) > 0)
			stale |= STORE_STALE_PROCESSES;
	return stale;
}

static bool any_process(const char *dir, int signal_number)
{
	bool any = false;

	for (size_t i = 0; i < PID_COUNT; i++) {
		pid_t pid = find_process(dir, pid_files[i]);

		if (pid > 0) {
			any = true;
			kill(pid, signal_number);
		}
	}
	return any;
}

/* Whether a netproxy of the machine's is there still: one that was just starting has no pid file
 * yet, and one that is ending none any more, but it has its state file locked. */
static bool state_locked(const char *dir)
{
	char path[PATH_MAX];
	bool locked;
	int fd;

	if (store_path(dir, PROXY_STATE, path) < 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	locked = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return locked;
}

int store_clean(const char *dir, unsigned timeout_ms)
{
	uint64_t start_ms = clock_ms(), now_ms = start_ms;
	char path[PATH_MAX];
	struct stat st;

	while (any_process(dir, now_ms - start_ms < TERM_TIME_MS ? SIGTERM : SIGKILL) ||
	       state_locked(dir)) {
		now_ms = clock_ms();
		if (now_ms - start_ms > timeout_ms)
			return -ETIMEDOUT;
		usleep(LOOK_EVERY_US);
	}
	for (size_t i = 0; i < SOCKET_COUNT; i++)
		if (store_path(dir, sockets[i], path) == 0 && lstat(path, &st) == 0 &&
		    S_ISSOCK(st.st_mode))
			unlink(path);
	for (size_t i = 0; i < PID_COUNT; i++)
		if (store_path(dir, pid_files[i], path) == 0)
			unlink(path);
	return 0;
}
