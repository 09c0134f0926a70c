/* SPDX-License-Identifier: Apache-2.0 */
/* See state_dir.h. */
#include "launcher/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("state");

#define LOCK_NAME      "lock"
#define LOCK_TRIES     50
#define LOCK_EVERY_US  10000
#define WALK_FDS_MAX   16
#define TEMPORARY_NAME "netproxy-vm-XXXXXX"

int state_dir_check_path(const char *path, struct problem *problem)
{
	size_t room = SOCK_PATH_MAX - 1 - sizeof(STATE_DIR_LONGEST_SOCKET);

	if (strlen(path) > room)
		return problem_set(
			problem, -ENAMETOOLONG,
			"the state directory's path has %zu characters, and sockets in it "
			"leave room for %zu: choose a shorter one: %s",
			strlen(path), room, path);
	return 0;
}

static int make_temporary(struct state_dir *dir, struct problem *problem)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	struct problem ignored;

	if (!base || base[0] != '/' || access(base, W_OK | X_OK) < 0 ||
	    strlen(base) + sizeof(TEMPORARY_NAME) >= sizeof(dir->path))
		base = "/tmp";
	snprintf(dir->path, sizeof(dir->path), "%.*s/" TEMPORARY_NAME, PATH_MAX / 2, base);
	if (state_dir_check_path(dir->path, &ignored) < 0)
		snprintf(dir->path, sizeof(dir->path), "/tmp/" TEMPORARY_NAME);
	if (!mkdtemp(dir->path))
		return problem_set(
			problem, -errno,
			"can't make a directory for the machine's sockets (%s): %s; name a "
			"writable one with -state",
			dir->path, strerror(errno));
	dir->temporary = true;
	return 0;
}

static int make_named(struct state_dir *dir, const char *path, struct problem *problem)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return problem_set(problem, -errno, "-state %s: can't make the directory: %s", path,
				   strerror(errno));
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return problem_set(problem, -ENOTDIR, "-state %s: that is not a directory", path);
	if (!realpath(path, dir->path))
		return problem_set(problem, -errno, "-state %s: %s", path, strerror(errno));
	if (access(dir->path, W_OK | X_OK) < 0)
		return problem_set(
			problem, -errno,
			"-state %s: can't make files there: %s; name a directory of your own", path,
			strerror(errno));
	return state_dir_check_path(dir->path, problem);
}

static int busy(const struct state_dir *dir, int fd, struct problem *problem)
{
	char owner[32] = "";
	ssize_t n = read(fd, owner, sizeof(owner) - 1);

	owner[n > 0 ? strcspn(owner, "\n") : 0] = '\0';
	return problem_set(problem, -EBUSY,
			   "the state directory %s is in use by a machine that runs (process %s): "
			   "stop that, or use another directory",
			   dir->path, owner[0] ? owner : "unknown");
}

/* Returns -EAGAIN when it is worth another try. */
static int try_lock(struct state_dir *dir, const char *path, struct problem *problem)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), r = -EAGAIN;

	if (fd < 0)
		return problem_set(problem, -errno, "can't open %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fd_is_at(fd, path)) {
		dir->lock_fd = fd;
		return 0;
	}
	/* Who only looks (store_owner()) shares it, for a moment. */
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		r = busy(dir, fd, problem);
	close(fd);
	return r;
}

static int take_lock(struct state_dir *dir, struct problem *problem)
{
	char path[PATH_MAX + sizeof(LOCK_NAME) + 1];
	int r = -EAGAIN;

	snprintf(path, sizeof(path), "%s/" LOCK_NAME, dir->path);
	for (int i = 0; i < LOCK_TRIES && r == -EAGAIN; i++) {
		if (i > 0)
			usleep(LOCK_EVERY_US);
		r = try_lock(dir, path, problem);
	}
	if (r == -EAGAIN)
		return problem_set(problem, -EBUSY, "the state directory %s is in use", dir->path);
	if (r < 0)
		return r;
	/* For people, messages, and a signal to one who doesn't answer. */
	if (ftruncate(dir->lock_fd, 0) < 0 || dprintf(dir->lock_fd, "%d\n", getpid()) < 0)
		log_debug("can't write %s: %s", path, strerror(errno));
	return 0;
}

int state_dir_open(struct state_dir *dir, const char *path, struct problem *problem)
{
	int r;

	*dir = (struct state_dir){.lock_fd = -1};
	r = path ? make_named(dir, path, problem) : make_temporary(dir, problem);
	if (r == 0)
		r = take_lock(dir, problem);
	if (r < 0)
		state_dir_close(dir);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	if (remove(path) < 0)
		log_debug("can't remove %s: %s", path, strerror(errno));
	return 0;
}

void state_dir_close(struct state_dir *dir)
{
	if (dir->temporary)
		nftw(dir->path, remove_one, WALK_FDS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	dir->temporary = false;
	/* The number will be another's. */
	if (dir->lock_fd >= 0 && ftruncate(dir->lock_fd, 0) < 0)
		log_debug("can't empty the lock: %s", strerror(errno));
	fd_close(&dir->lock_fd);
}
