/* SPDX-License-Identifier: Apache-2.0 */
/* See disk_image.h. The layout is that of QEMU's docs/interop/qcow2. */
#include "launcher/disk_image.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"

#define QCOW2_MAGIC    "QFI\xfb"
#define CLUSTER        (UINT64_C(1) << QCOW2_CLUSTER_BITS)
#define REFCOUNT_ORDER 4 /* 16 bits */
/* Clusters at the start of a new image: the header, the table of reference counts, and its only
 * block; then the L1 table. */
#define HEADER_CLUSTERS 3

bool disk_is_qcow2(const char *path)
{
	char magic[4] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t size = fd < 0 ? -1 : read(fd, magic, sizeof(magic));

	fd_close(&fd);
	return size == sizeof(magic) && memcmp(magic, QCOW2_MAGIC, sizeof(magic)) == 0;
}

/* Whether a new file can be made at the path. */
static int check_new(const struct machine_disk *disk, struct problem *problem)
{
	char copy[PATH_MAX];
	const char *directory;

	if (strlen(disk->path) >= sizeof(copy))
		return problem_set(problem, -ENAMETOOLONG, "-disk %.64s...: the path is too long",
				   disk->path);
	strcpy(copy, disk->path);
	directory = dirname(copy);
	if (access(directory, W_OK | X_OK) < 0)
		return problem_set(problem, -errno, "-disk %s: can't be made in %s: %s", disk->path,
				   directory, strerror(errno));
	if (disk->read_only)
		return problem_set(
			problem, -EINVAL,
			"-disk %s: there is no such file, and an empty one that can't be "
			"written to is no use: leave out size= or ro",
			disk->path);
	return 0;
}

/* Whether the file's name says that it is a qcow2 image. */
static bool named_qcow2(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strcmp(dot, ".qcow2") == 0;
}

static int check_there(const struct machine_disk *disk, const struct stat *st,
		       struct problem *problem)
{
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return problem_set(problem, -EINVAL,
				   "-disk %s: that is neither a file nor a block device",
				   disk->path);
	if (access(disk->path, disk->read_only ? R_OK : R_OK | W_OK) < 0)
		return problem_set(problem, -errno, "-disk %s: this user may not %s it%s",
				   disk->path, disk->read_only ? "read" : "write to",
				   disk->read_only ? "" : "; add ,ro if the guest needn't either");
	/* Never by content alone: a guest could write itself a qcow2 header that names the host's
	 * files. */
	if (!disk->format && !named_qcow2(disk->path) && disk_is_qcow2(disk->path))
		return problem_set(
			problem, -EINVAL,
			"-disk %s: it starts like a qcow2 image, and isn't named so: add "
			"format=qcow2, or format=raw if that is what you mean",
			disk->path);
	return 0;
}

void disk_complete(struct machine_disk *disk)
{
	struct stat st;

	if (!disk->format)
		disk->format = named_qcow2(disk->path) ? "qcow2" : "raw";
	disk->device = stat(disk->path, &st) == 0 && S_ISBLK(st.st_mode);
}

int disk_check(struct machine_disk *disk, struct problem *problem)
{
	bool there;
	struct stat st;
	int r;

	there = stat(disk->path, &st) == 0;
	if (!there && errno == ENOENT && disk->create_bytes > 0)
		r = check_new(disk, problem);
	else if (!there)
		r = problem_set(problem, -errno, "-disk %s: %s%s", disk->path, strerror(errno),
				errno == ENOENT ? "; add size=10G to have it made" : "");
	else
		r = check_there(disk, &st, problem);
	if (r < 0)
		return r;
	disk_complete(disk);
	if (there && strcmp(disk->format, "qcow2") == 0 && !disk_is_qcow2(disk->path))
		return problem_set(problem, -EINVAL, "-disk %s: that is not a qcow2 image",
				   disk->path);
	if (there)
		disk->create_bytes = 0;
	return 0;
}

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put64(uint8_t *at, uint64_t value)
{
	put32(at, (uint32_t)(value >> 32));
	put32(at + 4, (uint32_t)value);
}

static int write_at(int fd, const void *data, size_t size, uint64_t offset)
{
	ssize_t n = pwrite(fd, data, size, (off_t)offset);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

/* Where the parts of a new image are, in clusters. With content there is one L2 table, and then the
 * content. */
struct layout {
	uint64_t bytes, l1_entries, l1_clusters, data_clusters, clusters;
};

/* One L2 table, a cluster of 8-byte entries, maps this much. */
#define L2_REACH (CLUSTER / 8 * CLUSTER)

static struct layout layout_of(uint64_t bytes, bool content)
{
	struct layout l = {.bytes = bytes, .l1_entries = (bytes + L2_REACH - 1) / L2_REACH};

	l.l1_clusters = (l.l1_entries * 8 + CLUSTER - 1) / CLUSTER;
	l.data_clusters = content ? (bytes + CLUSTER - 1) / CLUSTER : 0;
	l.clusters = HEADER_CLUSTERS + l.l1_clusters + (content ? 1 + l.data_clusters : 0);
	return l;
}

/* An offset in a table, marked as the only reference to its cluster. */
static int write_entry(int fd, uint64_t at, uint64_t cluster)
{
	uint8_t entry[8];

	put64(entry, (UINT64_C(1) << 63) | cluster * CLUSTER);
	return write_at(fd, entry, sizeof(entry), at);
}

static int copy_content(int fd, const struct layout *l, int from)
{
	const uint64_t l2 = HEADER_CLUSTERS + l->l1_clusters;
	uint8_t data[CLUSTER];
	int r = write_entry(fd, HEADER_CLUSTERS * CLUSTER, l2);

	for (uint64_t i = 0; i < l->data_clusters && r == 0; i++) {
		ssize_t n = pread(from, data, sizeof(data), (off_t)(i * CLUSTER));

		if (n < 0)
			return -errno;
		r = write_at(fd, data, (size_t)n, (l2 + 1 + i) * CLUSTER);
		if (r == 0)
			r = write_entry(fd, l2 * CLUSTER + 8 * i, l2 + 1 + i);
	}
	return r;
}

/* Everything that isn't written is zeros: nothing is allocated. `from` is the content, or -1. */
static int write_qcow2(int fd, uint64_t bytes, int from)
{
	const struct layout l = layout_of(bytes, from >= 0);
	uint8_t header[QCOW2_HEADER_SIZE] = QCOW2_MAGIC, table[8], count[2] = {0, 1};
	int r = ftruncate(fd, (off_t)(l.clusters * CLUSTER)) < 0 ? -errno : 0;

	put64(table, 2 * CLUSTER);
	if (r == 0)
		r = write_at(fd, table, sizeof(table), CLUSTER);
	for (uint64_t i = 0; i < l.clusters && r == 0; i++)
		r = write_at(fd, count, sizeof(count), 2 * CLUSTER + 2 * i);
	if (r == 0 && from >= 0)
		r = copy_content(fd, &l, from);
	put32(header + 4, 3);
	put32(header + 20, QCOW2_CLUSTER_BITS);
	put64(header + 24, bytes);
	put32(header + 36, (uint32_t)l.l1_entries);
	put64(header + 40, HEADER_CLUSTERS * CLUSTER); /* the L1 table's place */
	put64(header + 48, CLUSTER);                   /* the reference counts' table's */
	put32(header + 56, 1);                         /* clusters that it has */
	put32(header + 96, REFCOUNT_ORDER);
	put32(header + 100, QCOW2_HEADER_SIZE);
	return r < 0 ? r : write_at(fd, header, sizeof(header), 0);
}

/* Gives a finished file its name, unless that is taken: -EEXIST. */
static int put_in_place(const char *temporary, const char *path)
{
	if (link(temporary, path) == 0) {
		unlink(temporary);
		return 0;
	}
	if (errno == EEXIST)
		return -EEXIST;
	/* Some file systems know no second names. */
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL && access(path, F_OK) < 0 && rename(temporary, path) == 0)
		return 0;
	return -errno;
}

/* The image has its name only once it is whole: whoever is killed meanwhile leaves none that the
 * next start would take for the machine's. */
static int create(const char *path, bool qcow2, uint64_t bytes, int from)
{
	char temporary[PATH_MAX];
	int r, fd;

	if (snprintf(temporary, sizeof(temporary), "%s.%d.new", path, getpid()) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (access(path, F_OK) == 0)
		return -EEXIST;
	unlink(temporary);
	fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (qcow2)
		r = write_qcow2(fd, bytes, from);
	else
		r = ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	fd_close(&fd);
	if (r == 0)
		r = put_in_place(temporary, path);
	if (r < 0)
		unlink(temporary);
	return r;
}

int disk_create(const char *path, const char *format, uint64_t bytes)
{
	return create(path, strcmp(format, "qcow2") == 0, bytes, -1);
}

int disk_create_copy(const char *path, const char *from)
{
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;

	if (r == 0 && (st.st_size <= 0 || (uint64_t)st.st_size > DISK_COPY_MAX))
		r = -EFBIG;
	if (r == 0)
		r = create(path, true, (uint64_t)st.st_size, fd);
	fd_close(&fd);
	return r;
}

int disk_qcow2_size(const char *path, uint64_t *ret_bytes)
{
	uint8_t header[32];
	uint64_t bytes = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t size = fd < 0 ? -1 : read(fd, header, sizeof(header));
	int r = size < 0 ? -errno : 0;

	fd_close(&fd);
	if (r < 0)
		return r;
	if (size != sizeof(header) || memcmp(header, QCOW2_MAGIC, 4) != 0)
		return -EINVAL;
	for (unsigned i = 24; i < 32; i++)
		bytes = bytes << 8 | header[i];
	*ret_bytes = bytes;
	return 0;
}

int disk_size(const struct machine_disk *disk, uint64_t *ret_bytes)
{
	off_t end;
	int fd, r;

	if (strcmp(disk->format, "qcow2") == 0)
		return disk_qcow2_size(disk->path, ret_bytes);
	fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	r = end < 0 ? -errno : 0;
	fd_close(&fd);
	if (r == 0)
		*ret_bytes = (uint64_t)end;
	return r;
}
