/* SPDX-License-Identifier: Apache-2.0 */
/* The state file: read at the start, written whole whenever something changed; see state_file.h. */
#include "netproxy/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sock.h"
#include "netproxy/disk_sync.h"

LOG_MODULE("state");

#define VERSION_KEY     "version"
#define VERSION         1
#define SUFFIX_SIZE_MAX 16
#define LOCK_TRIES_MAX  16

struct state_file {
	struct loop *loop;
	char *path;  /* owned; NULL: keeps nothing */
	int lock_fd; /* the file that is at `path`, locked as long as it is ours; -1: none */
	struct loop_timer *timer;
	uint64_t due_ms;          /* while the timer runs */
	struct json_object *kept; /* owned: the file's sections, as last read or written */
	struct state_section sections[STATE_FILE_SECTIONS_MAX];
	unsigned section_count;
	struct disk_sync *sync; /* NULL: not offered here */
	int new_fd;             /* what is to take the file's place, on its way to the disk; -1 */
	bool changed;           /* since `kept` was last gathered for a write */
	bool set_aside;         /* what was found can't all be used, and a copy of it was made */
};

/* ---- Writing ---- */

/* Takes the sections' present content into `kept`. */
static void gather(struct state_file *state)
{
	for (unsigned i = 0; i < state->section_count; i++) {
		const struct state_section *section = &state->sections[i];
		struct json_object *content = section->save(section->arg);

		json_object_object_del(state->kept, section->name);
		if (content)
			json_object_object_add(state->kept, section->name, content);
	}
	json_object_object_add(state->kept, VERSION_KEY, json_object_new_int(VERSION));
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The name of the file beside ours; `to` has room for PATH_MAX. */
static void path_beside(const struct state_file *state, const char *suffix, char *to)
{
	snprintf(to, PATH_MAX, "%s%s", state->path, suffix);
}

/* So that the new name is on the disk too; without effect on file systems that don't know it. */
static void sync_directory(const struct state_file *state)
{
	char directory[PATH_MAX];
	char *slash;
	int fd;

	path_beside(state, "", directory);
	slash = strrchr(directory, '/');
	if (slash)
		slash[slash == directory] = '\0';
	fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!fsync(fd);
	close(fd);
}

/* 0, or -EWOULDBLOCK when another process has the file. Some file systems know no locks. */
static int lock(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK ? -EWOULDBLOCK : 0;
}

/* Makes an empty file beside ours, under the name that temporary[PATH_MAX] gets. */
static int open_new(const struct state_file *state, char *temporary)
{
	int fd;

	path_beside(state, ".new", temporary);
	/* What a killed run left, or whatever else has that name: not to be written through. */
	if (unlink(temporary) < 0 && errno != ENOENT)
		return -errno;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

/* Writes what the sections keep now into a new file beside the old one, locked from its beginning.
 */
static int write_new(struct state_file *state, int *ret_fd)
{
	char temporary[PATH_MAX];
	const char *text;
	int fd, r;

	gather(state);
	text = json_object_to_json_string_ext(state->kept, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return -ENOMEM;
	fd = open_new(state, temporary);
	if (fd < 0)
		return fd;
	r = lock(fd);
	if (r == 0)
		r = write_all(fd, text, strlen(text));
	if (r < 0) {
		close(fd);
		unlink(temporary);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* Puts a new file, which is on the disk unless `r` says otherwise, in the place of the old one. */
static int put_in_place(struct state_file *state, int fd, int r)
{
	char temporary[PATH_MAX];

	path_beside(state, ".new", temporary);
	if (r == 0 && rename(temporary, state->path) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		unlink(temporary);
		state->changed = true;
		return r;
	}
	fd_close(&state->lock_fd);
	state->lock_fd = fd;
	return 0;
}

int state_file_flush(struct state_file *state)
{
	int fd, r;

	if (!state || !state->path)
		return 0;
	if (state->new_fd >= 0) {
		/* It would be there only later: once more, and waiting for it. */
		disk_sync_forget(state->sync);
		fd_close(&state->new_fd);
		state->changed = true;
	}
	if (!state->changed)
		return 0;
	r = write_new(state, &fd);
	if (r < 0)
		return r;
	state->changed = false;
	r = put_in_place(state, fd, fsync(fd) < 0 ? -errno : 0);
	if (r == 0)
		sync_directory(state);
	return r;
}

static void start_timer(struct state_file *state, uint64_t delay_ms)
{
	state->due_ms = loop_now_ms(state->loop) + delay_ms;
	loop_timer_set(state->timer, delay_ms);
}

static void complain(struct state_file *state, int r)
{
	log_limited(LOG_LEVEL_ERROR, "the state can't be written to %s: %s", state->path,
		    strerror(-r));
	start_timer(state, STATE_FILE_RETRY_MS);
}

/* The directory isn't flushed: until its turn comes, its name stands for the old file, whole. */
static void on_synced(void *arg, int result)
{
	struct state_file *state = arg;
	int fd = state->new_fd, r;

	state->new_fd = -1;
	r = put_in_place(state, fd, result);
	if (r < 0)
		complain(state, r);
}

static void on_timer(void *arg)
{
	struct state_file *state = arg;
	int r;

	if (!state->changed)
		return;
	if (state->new_fd >= 0) {
		start_timer(state, STATE_FILE_DELAY_MS);
		return;
	}
	r = write_new(state, &state->new_fd);
	if (r < 0) {
		complain(state, r);
		return;
	}
	state->changed = false;
	if (disk_sync_start(state->sync, state->new_fd) < 0)
		on_synced(state, fsync(state->new_fd) < 0 ? -errno : 0);
}

void state_file_changed_within(struct state_file *state, uint64_t delay_ms)
{
	if (!state || !state->path)
		return;
	state->changed = true;
	if (!loop_timer_pending(state->timer) ||
	    state->due_ms > loop_now_ms(state->loop) + delay_ms)
		start_timer(state, delay_ms);
}

void state_file_changed(struct state_file *state)
{
	state_file_changed_within(state, STATE_FILE_DELAY_MS);
}

/* ---- Reading ---- */

/* Keeps what was found, for whoever wants to look into it: the next write would be its end. */
static void set_aside(struct state_file *state, const char *why)
{
	char aside[PATH_MAX];

	path_beside(state, ".broken", aside);
	log_error("%s can't be used: %s", state->path, why);
	if (state->set_aside)
		return;
	state->set_aside = true;
	unlink(aside);
	if (link(state->path, aside) < 0)
		log_warn("what was in it can't be kept as %s: %s", aside, strerror(errno));
	else
		log_warn("what was in it is kept as %s", aside);
}

static int read_all(int fd, char **ret_text, size_t *ret_size)
{
	struct stat st;
	size_t size = 0;
	char *text;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > STATE_FILE_SIZE_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (size < (size_t)st.st_size) {
		ssize_t n = read(fd, text + size, (size_t)st.st_size - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = -errno;

			free(text);
			return r;
		}
		if (n == 0)
			break;
		size += (size_t)n;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

static void parse(struct state_file *state, const char *text, size_t size)
{
	struct json_object *found;
	char why[256];

	if (json_parse(text, size, &found, why, sizeof(why)) < 0) {
		set_aside(state, why);
		return;
	}
	struct json_reader r = json_reader(found, "it");
	int64_t version = json_get_int(&r, VERSION_KEY, 1, INT32_MAX, 0);
	if (!json_ok(&r)) {
		set_aside(state, r.error);
	} else if (version != VERSION) {
		set_aside(state, "it is not of this version of netproxy");
	} else {
		json_object_put(state->kept);
		state->kept = json_object_get(found);
	}
	json_object_put(found);
}

/* Opens the file, an empty one if there is none, and locks it. */
static int open_locked(struct state_file *state)
{
	for (int i = 0; i < LOCK_TRIES_MAX; i++) {
		int fd = open(state->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			      0600);
		int r;

		if (fd < 0)
			return errno == EISDIR ? -EINVAL : -errno;
		r = lock(fd);
		if (r == 0 && fd_is_at(fd, state->path)) {
			state->lock_fd = fd;
			return 0;
		}
		close(fd);
		if (r < 0)
			return r;
	}
	return -EWOULDBLOCK;
}

/* Reads the file. Content that makes no sense is no error. */
static int read_file(struct state_file *state)
{
	size_t size = 0;
	char *text = NULL;
	int r = open_locked(state);

	if (r == 0)
		r = read_all(state->lock_fd, &text, &size);
	if (r == -EFBIG) {
		set_aside(state, "it is larger than any state can be");
		return 0;
	}
	if (r == 0 && size > 0)
		parse(state, text, size);
	free(text);
	return r;
}

/* Whether the file's directory is one that a file can be made in. */
static int check_directory(const struct state_file *state)
{
	char temporary[PATH_MAX];
	int fd = open_new(state, temporary);

	if (fd < 0)
		return fd;
	close(fd);
	unlink(temporary);
	return 0;
}

/* ---- Sections ---- */

static struct state_section *find_section(struct state_file *state, const char *name)
{
	for (unsigned i = 0; i < state->section_count; i++) {
		if (strcmp(state->sections[i].name, name) == 0)
			return &state->sections[i];
	}
	return NULL;
}

int state_file_add_section(struct state_file *state, const struct state_section *section)
{
	struct json_object *content;
	char why[STATE_ERROR_MAX] = "";

	if (find_section(state, section->name) || strcmp(section->name, VERSION_KEY) == 0)
		return -EEXIST;
	if (state->section_count == STATE_FILE_SECTIONS_MAX)
		return -ENOSPC;
	/* Registered only when it is loaded: what loading changes is no news. */
	if (json_object_object_get_ex(state->kept, section->name, &content) && content &&
	    section->load(section->arg, content, why) < 0)
		set_aside(state, why);
	state->sections[state->section_count++] = *section;
	return 0;
}

void state_file_remove_section(struct state_file *state, const char *name)
{
	struct state_section *section = state ? find_section(state, name) : NULL;
	int r;

	if (!section)
		return;
	r = state_file_flush(state);
	if (r < 0)
		log_error("the state can't be written to %s: %s", state->path, strerror(-r));
	*section = state->sections[--state->section_count];
}

/* ---- Life ---- */

int state_file_new(struct loop *loop, const char *path, struct state_file **ret_state)
{
	struct state_file *state;
	int r = 0;

	if (path && strlen(path) + SUFFIX_SIZE_MAX >= PATH_MAX)
		return -ENAMETOOLONG;
	state = calloc(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	state->loop = loop;
	state->lock_fd = state->new_fd = -1;
	state->kept = json_object_new_object();
	state->path = path ? strdup(path) : NULL;
	if (!state->kept || (path && !state->path))
		r = -ENOMEM;
	if (r == 0)
		r = loop_timer_new(loop, on_timer, state, &state->timer);
	if (r == 0 && path && disk_sync_new(loop, on_synced, state, &state->sync) < 0)
		log_debug("%s: no asynchronous fsync here", path);
	if (r == 0 && path)
		r = read_file(state);
	/* With the lock: without it, the file beside is another's, on its way. */
	if (r == 0 && path)
		r = check_directory(state);
	if (r < 0) {
		state_file_free(state);
		return r;
	}
	*ret_state = state;
	return 0;
}

void state_file_free(struct state_file *state)
{
	int r;

	if (!state)
		return;
	r = state_file_flush(state);
	if (r < 0)
		log_error("the state can't be written to %s: %s", state->path, strerror(-r));
	loop_timer_free(state->timer);
	disk_sync_free(state->sync);
	json_object_put(state->kept);
	fd_close(&state->lock_fd);
	free(state->path);
	free(state);
}
