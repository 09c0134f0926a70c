/* SPDX-License-Identifier: Apache-2.0 */
/* See store.h: directories and files. What a killed supervisor leaves is in store_stale.c. */
#include "launcher/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/flags.h"

#define NAME_CHARS   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define WALK_FDS_MAX 16
#define NAMES_SHOWN  256

bool store_name_valid(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length < MACHINE_NAME_MAX && strspn(text, NAME_CHARS) == length &&
	       text[0] != '-' && text[0] != '.';
}

/* The directory of all machines: $XDG_STATE_HOME/netproxy-vm, or ~/.local/state/netproxy-vm. */
static int find_root(char to[static PATH_MAX], struct problem *problem)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;

	if (state && state[0] == '/')
		n = snprintf(to, PATH_MAX, "%s/netproxy-vm", state);
	else if (home && home[0] == '/')
		n = snprintf(to, PATH_MAX, "%s/.local/state/netproxy-vm", home);
	else
		return problem_set(problem, -ENOENT,
				   "neither $XDG_STATE_HOME nor $HOME says where machines are "
				   "kept: set one, or name the machine's directory with -dir");
	if (n >= PATH_MAX)
		return problem_set(problem, -ENAMETOOLONG,
				   "the path of the machines' directory is too long");
	return 0;
}

int store_path(const char *dir, const char *name, char to[static PATH_MAX])
{
	int n = snprintf(to, PATH_MAX, "%s/%s", dir, name);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int name_of_dir(const char *dir, struct store_place *ret, struct problem *problem)
{
	size_t end = strlen(dir), start;

	while (end > 1 && dir[end - 1] == '/')
		end--;
	for (start = end; start > 0 && dir[start - 1] != '/';)
		start--;
	if (end - start >= sizeof(ret->name))
		end = start;
	memcpy(ret->name, dir + start, end - start);
	ret->name[end - start] = '\0';
	if (!store_name_valid(ret->name))
		return problem_set(problem, -EINVAL,
				   "-dir %s: its last part isn't a name for a machine: give NAME "
				   "as well",
				   dir);
	return 0;
}

int store_locate(const char *name, const char *dir, struct store_place *ret,
		 struct problem *problem)
{
	struct store_place place = {.name = ""};
	char root[PATH_MAX];
	int r = 0;

	if (!name && !dir)
		return problem_set(problem, -EINVAL,
				   "which machine? give its NAME; \"netproxy-vm list\" shows those "
				   "there are");
	if (name && !store_name_valid(name))
		return problem_set(
			problem, -EINVAL,
			"\"%.80s\" is no name for a machine: letters, digits, '-', '_' and "
			"'.', up to %d of them, the first a letter, digit or '_'",
			name, MACHINE_NAME_MAX - 1);
	if (name)
		strcpy(place.name, name);
	else
		r = name_of_dir(dir, &place, problem);
	if (r == 0 && dir) {
		if (strlen(dir) >= sizeof(place.dir))
			return problem_set(problem, -ENAMETOOLONG, "-dir: the path is too long");
		strcpy(place.dir, dir);
	} else if (r == 0) {
		r = find_root(root, problem);
		if (r == 0 && store_path(root, name, place.dir) < 0)
			r = problem_set(problem, -ENAMETOOLONG, "%s: the path is too long", name);
	}
	if (r == 0)
		*ret = place;
	return r;
}

struct names {
	char text[NAMES_SHOWN];
	size_t size;
};

static int add_name(void *arg, const struct store_place *place)
{
	struct names *names = arg;
	int n = snprintf(names->text + names->size, sizeof(names->text) - names->size, "%s%s",
			 names->size ? ", " : "", place->name);

	if (n < 0 || (size_t)n >= sizeof(names->text) - names->size)
		return 1;
	names->size += (size_t)n;
	return 0;
}

int store_find(const char *name, const char *dir, struct store_place *ret, struct problem *problem)
{
	struct names names = {.text = ""};
	struct problem ignored;
	struct store_place place;
	char path[PATH_MAX];
	int r = store_locate(name, dir, &place, problem);

	if (r < 0)
		return r;
	if (store_path(place.dir, STORE_DESCRIPTION, path) < 0 || access(path, F_OK) < 0) {
		if (dir)
			return problem_set(problem, -ENOENT,
					   "-dir %s: there is no machine: %s is missing", dir,
					   STORE_DESCRIPTION);
		store_each(add_name, &names, &ignored);
		return problem_set(problem, -ENOENT, "there is no machine \"%s\"%s%s%s", name,
				   names.size ? "; there are " : "", names.text,
				   names.size ? "" : "; \"netproxy-vm init NAME ...\" makes one");
	}
	if (!realpath(place.dir, path))
		return problem_set(problem, -errno, "%s: %s", place.dir, strerror(errno));
	strcpy(place.dir, path);
	*ret = place;
	return 0;
}

static int is_machine(const struct dirent *entry)
{
	return store_name_valid(entry->d_name);
}

int store_each(int (*fn)(void *arg, const struct store_place *place), void *arg,
	       struct problem *problem)
{
	struct dirent **entries = NULL;
	struct store_place place;
	char root[PATH_MAX], file[PATH_MAX];
	int r = find_root(root, problem), count;

	if (r < 0)
		return r;
	count = scandir(root, &entries, is_machine, alphasort);
	if (count < 0)
		return errno == ENOENT
			       ? 0
			       : problem_set(problem, -errno, "%s: %s", root, strerror(errno));
	for (int i = 0; i < count; i++) {
		if (r == 0 && i < STORE_MACHINES_MAX &&
		    store_locate(entries[i]->d_name, NULL, &place, problem) == 0 &&
		    store_path(place.dir, STORE_DESCRIPTION, file) == 0 && access(file, F_OK) == 0)
			r = fn(arg, &place);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int store_make(const char *dir, struct problem *problem)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s", dir);

	if (n >= (int)sizeof(path))
		return problem_set(problem, -ENAMETOOLONG, "%.80s...: the path is too long", dir);
	for (char *slash = path + 1;; slash++) {
		bool last = *slash == '\0';

		if (*slash != '/' && !last)
			continue;
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return problem_set(problem, -errno, "can't make the directory %s: %s", path,
					   strerror(errno));
		if (last)
			return 0;
		*slash = '/';
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* What says that there is a machine, and that nobody else may have it, goes last: a removal that is
 * killed can be repeated, and nobody starts what is half gone. */
static bool goes_last(const char *name)
{
	return strcmp(name, STORE_DESCRIPTION) == 0 || strcmp(name, STORE_EDIT_LOCK) == 0 ||
	       strcmp(name, STORE_LOCK) == 0;
}

static int remove_tree(const char *path)
{
	int r = nftw(path, remove_one, WALK_FDS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	return r == -1 ? -errno : r;
}

static int remove_content(const char *dir)
{
	DIR *entries = opendir(dir);
	struct dirent *entry;
	char path[PATH_MAX];
	int r = entries ? 0 : -errno;

	while (r == 0 && (entry = readdir(entries))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    goes_last(entry->d_name))
			continue;
		r = store_path(dir, entry->d_name, path);
		if (r == 0)
			r = remove_tree(path);
	}
	if (entries)
		closedir(entries);
	return r;
}

int store_remove(const char *dir, struct problem *problem)
{
	static const char *const last[] = {STORE_DESCRIPTION, STORE_EDIT_LOCK, STORE_LOCK};
	char path[PATH_MAX];
	int r = remove_content(dir);

	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]) && r == 0; i++) {
		r = store_path(dir, last[i], path);
		if (r == 0 && unlink(path) < 0 && errno != ENOENT)
			r = -errno;
	}
	if (r == 0 && rmdir(dir) < 0 && errno != ENOENT)
		r = -errno;
	return r == 0 ? 0
		      : problem_set(problem, r, "can't remove all of %s: %s", dir, strerror(-r));
}

int store_read(const char *path, size_t max, char **ret_text, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r = 0;
	size_t size = 0;
	struct stat st;
	char *text;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)max) {
		close(fd);
		return S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
	}
	text = malloc((size_t)st.st_size + 1);
	while (text && size < (size_t)st.st_size) {
		ssize_t n = read(fd, text + size, (size_t)st.st_size - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	close(fd);
	if (!text || r < 0) {
		free(text);
		return r < 0 ? r : -ENOMEM;
	}
	text[size] = '\0';
	*ret_text = text;
	*ret_size = size;
	return 0;
}

int store_write(const char *path, const char *text, size_t size)
{
	char temporary[PATH_MAX];
	int r = 0, fd;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < size && r == 0;) {
		ssize_t n = write(fd, text + done, size - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

int store_lock_edit(const char *dir)
{
	char path[PATH_MAX];

	if (store_path(dir, STORE_EDIT_LOCK, path) < 0)
		return -ENAMETOOLONG;
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		int r = fd < 0 ? -errno : 0;

		while (r == 0 && flock(fd, LOCK_EX) < 0)
			r = errno == EINTR ? 0 : -errno;
		if (r < 0) {
			fd_close(&fd);
			return r;
		}
		/* Who had it may have removed it with the machine. */
		if (fd_is_at(fd, path))
			return fd;
		close(fd);
	}
}
