/* SPDX-License-Identifier: Apache-2.0 */
/* Records of attachments: STATE_DIR/NETWORK/CONTAINERID:IFNAME, a JSON array of forwards each. */
#include "plugin/cni_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/sock.h"
#include "plugin/cni_conf.h"

/* Neither a container ID nor an interface name may hold a colon; a name in the making begins with a
 * dot. */
#define SEPARATOR ':'
#define DIR_MODE  0700
#define FILE_MODE 0600

static int format_path(char *to, const char *prefix, const struct cni_attachment *at)
{
	int n = snprintf(to, PATH_MAX, "%s/%s/%s%s%c%s", at->state_dir, at->network, prefix,
			 at->container_id, SEPARATOR, at->ifname);

	return n >= 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int make_directories(const struct cni_attachment *at)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", at->state_dir, at->network);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, DIR_MODE) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, DIR_MODE) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_file(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	int r = 0;

	if (fd < 0)
		return -errno;
	while (size > 0 && r == 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		text += n;
		size -= (size_t)n;
	}
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int cni_state_save(const struct cni_attachment *at, struct json_object *forwards)
{
	char path[PATH_MAX], making[PATH_MAX];
	const char *text = json_object_to_json_string_ext(forwards, JSON_C_TO_STRING_PLAIN);

	if (!text)
		return -ENOMEM;
	int r = make_directories(at);
	if (r == 0)
		r = format_path(path, "", at);
	if (r == 0)
		r = format_path(making, ".", at);
	if (r == 0)
		r = write_file(making, text, strlen(text));
	if (r == 0 && rename(making, path) < 0)
		r = -errno;
	return r;
}

static int read_file(const char *path, char *to, size_t size, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t have = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (have < size && n != 0) {
		n = read(fd, to + have, size - have);
		if (n < 0 && errno != EINTR) {
			int r = -errno;

			fd_close(&fd);
			return r;
		}
		if (n > 0)
			have += (size_t)n;
	}
	fd_close(&fd);
	*ret_size = have;
	return 0;
}

static bool record_valid(struct json_object *forwards)
{
	if (!json_object_is_type(forwards, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(forwards); i++) {
		struct json_reader r = json_reader(json_object_array_get_idx(forwards, i),
						   "record");

		json_need_string(&r, "local");
		json_need_string(&r, "protocol");
		if (!json_ok(&r))
			return false;
	}
	return true;
}

int cni_state_load(const struct cni_attachment *at, struct json_object **ret_forwards)
{
	char path[PATH_MAX], why[128];
	struct json_object *forwards;
	size_t size = 0;
	int r = format_path(path, "", at);

	if (r < 0)
		return r;
	char *text = malloc(CNI_RECORD_SIZE_MAX);
	if (!text)
		return -ENOMEM;
	r = read_file(path, text, CNI_RECORD_SIZE_MAX, &size);
	if (r == 0 && json_parse(text, size, &forwards, why, sizeof(why)) < 0)
		r = -EBADMSG;
	free(text);
	if (r < 0)
		return r;
	if (!record_valid(forwards)) {
		json_object_put(forwards);
		return -EBADMSG;
	}
	*ret_forwards = forwards;
	return 0;
}

int cni_state_remove(const struct cni_attachment *at)
{
	char path[PATH_MAX];
	int r = format_path(path, "", at);

	if (r == 0 && unlink(path) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

int cni_state_for_each(const char *state_dir, const char *network, cni_state_fn *fn, void *arg)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", state_dir, network);
	int first_failure = 0;
	struct dirent *entry;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		char *ifname = strchr(entry->d_name, SEPARATOR);

		if (!ifname)
			continue;
		*ifname++ = '\0';
		if (!cni_name_valid(entry->d_name))
			continue;
		int r = fn(arg,
			   &(struct cni_attachment){state_dir, network, entry->d_name, ifname});
		if (r < 0 && first_failure == 0)
			first_failure = r;
	}
	closedir(dir);
	return first_failure;
}
