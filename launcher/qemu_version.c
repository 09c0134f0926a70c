/* SPDX-License-Identifier: Apache-2.0 */
/* See qemu_version.h. */
#include "launcher/qemu_version.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"
#include "launcher/store.h"

#define OUTPUT_MAX       1024
#define KEY_MAX          (PATH_MAX + 128)
#define VERSION_TEXT_MAX 32

extern char **environ;

int qemu_version_parse(const char *text, struct qemu_version *ret)
{
	static const char before[] = "QEMU emulator version ";
	struct qemu_version version;

	if (strncmp(text, before, sizeof(before) - 1) != 0 ||
	    sscanf(text + sizeof(before) - 1, "%4u.%4u", &version.major, &version.minor) != 2)
		return -EINVAL;
	*ret = version;
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

static int ask(const char *qemu, struct qemu_version *ret)
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
	return r < 0 ? r : qemu_version_parse(text, ret);
}

/* What a program is known by: another, or an updated one, has another key. Returns false for a
 * script, whose version isn't its own. */
static bool key_of(const char *qemu, char to[static KEY_MAX])
{
	int fd = open(qemu, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char magic[SELFMAG];
	struct stat st;
	bool binary = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		      read(fd, magic, SELFMAG) == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0;
	int n;

	fd_close(&fd);
	if (!binary)
		return false;
	n = snprintf(to, KEY_MAX, "%ju %ju %jd %jd.%09ld %jd.%09ld %s\n", (uintmax_t)st.st_dev,
		     (uintmax_t)st.st_ino, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
		     st.st_mtim.tv_nsec, (intmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec, qemu);
	return n < KEY_MAX;
}

/* The directory of what is remembered, and the file for programs of this name; false without a
 * home. */
static bool memory_path(const char *qemu, char dir[static PATH_MAX], char file[static PATH_MAX])
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	const char *slash = strrchr(qemu, '/');
	int n;

	if (cache && cache[0] == '/')
		n = snprintf(dir, PATH_MAX, "%s/netproxy-vm", cache);
	else if (home && home[0] == '/')
		n = snprintf(dir, PATH_MAX, "%s/.cache/netproxy-vm", home);
	else
		return false;
	if (n >= PATH_MAX)
		return false;
	n = snprintf(file, PATH_MAX, "%s/%s.version", dir, slash ? slash + 1 : qemu);
	return n < PATH_MAX;
}

/* The file has one line: the version, a blank, and the key. */
static bool recall(const char *file, const char *key, struct qemu_version *ret)
{
	char text[KEY_MAX + VERSION_TEXT_MAX];
	struct qemu_version version;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), at = 0;
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	fd_close(&fd);
	if (size < 0)
		return false;
	text[size] = '\0';
	if (sscanf(text, "%4u.%4u %n", &version.major, &version.minor, &at) != 2 || at == 0 ||
	    strcmp(text + at, key) != 0)
		return false;
	*ret = version;
	return true;
}

/* A cache: where it can't be written the next one asks again. */
static void keep(const char *dir, const char *file, const char *key,
		 const struct qemu_version *version)
{
	char text[KEY_MAX + VERSION_TEXT_MAX], new[PATH_MAX];
	struct problem problem;
	int fd, size;
	bool written;

	size = snprintf(text, sizeof(text), "%u.%u %s", version->major, version->minor, key);
	if (snprintf(new, sizeof(new), "%s.XXXXXX", file) >= PATH_MAX ||
	    store_make(dir, &problem) < 0)
		return;
	fd = mkostemp(new, O_CLOEXEC);
	if (fd < 0)
		return;
	written = write(fd, text, (size_t)size) == size;
	fd_close(&fd);
	if (!written || rename(new, file) < 0)
		unlink(new);
}

int qemu_version_ask(const char *qemu, struct qemu_version *ret)
{
	char key[KEY_MAX], dir[PATH_MAX], file[PATH_MAX];
	bool known = key_of(qemu, key) && memory_path(qemu, dir, file);
	int r;

	if (known && recall(file, key, ret))
		return 0;
	r = ask(qemu, ret);
	if (r == 0 && known)
		keep(dir, file, key, ret);
	return r;
}
