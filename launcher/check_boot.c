/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine boots and is told, against this host: the image's files, kernel, ISO, firmware,
 * disks, metadata. See options_private.h. */
#include "launcher/options_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/disk_image.h"
#include "launcher/firmware.h"
#include "launcher/media.h"
#include "launcher/prepare.h"

/* A kernel's console is there by default, and a squashfs is a root that can't be written to. */
#define CONSOLE_X86_64   "console=ttyS0"
#define CONSOLE_AARCH64  "console=ttyAMA0"
#define SQUASHFS_CMDLINE " root=/dev/vda rootfstype=squashfs ro"

#define SECTOR       2048 /* of a CD */
#define ISO_MAGIC    "CD001"
#define ISO_OFFSET   (16 * SECTOR + 1)
#define IGNITION_MAX (1 << 20)

static char *join(const char *head, const char *tail)
{
	char *text;

	return asprintf(&text, "%s%s", head, tail) < 0 ? NULL : text;
}

static int check_file(const char *flag, const char *path, struct problem *problem)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return problem_set(problem, -errno, "%s%s: %s", flag, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return problem_set(problem, -EINVAL, "%s%s: that is not a file", flag, path);
	if (access(path, R_OK) < 0)
		return problem_set(problem, -errno, "%s%s: this user may not read it", flag, path);
	if (st.st_size == 0)
		return problem_set(problem, -EINVAL, "%s%s: the file is empty", flag, path);
	return 0;
}

/* Reads a kernel command line from a file, without the newlines at its end. */
static int read_cmdline(const char *path, char **ret, struct problem *problem)
{
	char text[MACHINE_CMDLINE_MAX + 2];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	if (fd < 0 && errno == ENOENT)
		return 0; /* the default serves */
	size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (size < 0) {
		int error = errno;

		fd_close(&fd);
		return problem_set(problem, -error, "%s: %s", path, strerror(error));
	}
	fd_close(&fd);
	while (size > 0 && strchr("\r\n ", text[size - 1]))
		size--;
	text[size] = '\0';
	if (size >= MACHINE_CMDLINE_MAX || strlen(text) != (size_t)size)
		return problem_set(problem, -EINVAL,
				   "%s: a kernel's command line is text of at most %d characters",
				   path, MACHINE_CMDLINE_MAX - 1);
	*ret = strdup(text);
	return *ret ? 0 : problem_set(problem, -ENOMEM, "out of memory");
}

/* PATH is the file of a disk or a CD: then it stands for -disk or -iso. */
static int resolve_file(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	const char *dot = strrchr(o->image, '.');
	char *copy = strdup(o->image);

	if (!copy)
		return problem_set(problem, -ENOMEM, "out of memory");
	if (dot && strcmp(dot, ".iso") == 0) {
		m->iso = copy;
		return 0;
	}
	if (m->disk_count == MACHINE_DISKS_MAX) {
		free(copy);
		return problem_set(problem, -E2BIG, "PATH \"%s\": at most %d disks are possible",
				   o->image, MACHINE_DISKS_MAX);
	}
	/* The disk that boots is the first. */
	memmove(&m->disks[1], &m->disks[0], m->disk_count * sizeof(m->disks[0]));
	m->disks[0] = (struct machine_disk){.path = copy};
	m->disk_count++;
	return 0;
}

/* PATH-initrd.img, PATH-squashfs.img, or both: an initrd that mounts the other. Unless a flag says
 * what. */
static int resolve_root(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	char *initrd = join(o->image, "-initrd.img"), *squashfs = join(o->image, "-squashfs.img");

	if (!initrd || !squashfs) {
		free(initrd);
		free(squashfs);
		return problem_set(problem, -ENOMEM, "out of memory");
	}
	if (!m->initrd && !m->squashfs) {
		if (access(squashfs, F_OK) == 0) {
			m->squashfs = squashfs;
			squashfs = NULL;
		}
		if (!m->squashfs || access(initrd, F_OK) == 0) {
			m->initrd = initrd;
			initrd = NULL;
		}
	}
	free(initrd);
	free(squashfs);
	return 0;
}

/* PATH stands for PATH-kernel, PATH-initrd.img or PATH-squashfs.img, and PATH-cmdline; or it is the
 * file of a disk or a CD. What a flag says goes first. */
static int resolve_image(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	char *kernel = join(o->image, "-kernel"), *cmdline = join(o->image, "-cmdline");
	struct stat st;
	int r = 0;

	if (!kernel || !cmdline)
		r = problem_set(problem, -ENOMEM, "out of memory");
	else if (access(kernel, F_OK) < 0 && stat(o->image, &st) == 0 && !S_ISDIR(st.st_mode))
		r = m->cmdline || m->initrd || m->squashfs
			    ? problem_set(
				      problem, -EINVAL,
				      "PATH \"%s\" is a disk or a CD, with a boot loader of its own: "
				      "leave out -cmdline, -initrd and -squashfs",
				      o->image)
			    : resolve_file(o, problem);
	else if (access(kernel, F_OK) < 0)
		r = problem_set(problem, -errno,
				"PATH \"%s\": there is no image of that name: %s doesn't exist; "
				"\"netproxy-vm image build %s\" makes one",
				o->image, kernel, o->image);
	else {
		m->kernel = kernel;
		kernel = NULL;
		r = m->cmdline ? 0 : read_cmdline(cmdline, &m->cmdline, problem);
		if (r == 0)
			r = resolve_root(o, problem);
	}
	free(kernel);
	free(cmdline);
	return r;
}

static int check_kernel(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	const char *console = m->arch == MACHINE_ARCH_X86_64 ? CONSOLE_X86_64 : CONSOLE_AARCH64;
	int r = check_file(o->image ? "" : "-kernel ", m->kernel, problem);

	if (r == 0 && m->initrd)
		r = check_file(o->image ? "" : "-initrd ", m->initrd, problem);
	if (r == 0 && m->squashfs)
		r = check_file(o->image ? "" : "-squashfs ", m->squashfs, problem);
	if (r == 0 && !m->cmdline) {
		m->cmdline = join(console, m->squashfs ? SQUASHFS_CMDLINE : "");
		if (!m->cmdline)
			r = problem_set(problem, -ENOMEM, "out of memory");
	}
	return r;
}

static int check_iso(const struct machine *m, struct problem *problem)
{
	char magic[sizeof(ISO_MAGIC)] = "";
	int fd, r = check_file("-iso ", m->iso, problem);
	ssize_t size;

	if (r < 0)
		return r;
	fd = open(m->iso, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : pread(fd, magic, sizeof(magic) - 1, ISO_OFFSET);
	fd_close(&fd);
	if (size != sizeof(magic) - 1 || strcmp(magic, ISO_MAGIC) != 0)
		return problem_set(
			problem, -EINVAL,
			"-iso %s: that is not an image of a CD (ISO 9660); a disk's image "
			"goes with -disk",
			m->iso);
	return 0;
}

static int check_disks(struct machine *m, struct problem *problem)
{
	int r = 0;

	for (size_t i = 0; i < m->disk_count && r == 0; i++) {
		r = disk_check(&m->disks[i], problem);
		for (size_t j = 0; j < i && r == 0; j++) {
			struct stat a, b;
			bool same = strcmp(m->disks[i].path, m->disks[j].path) == 0;

			if (!same && stat(m->disks[i].path, &a) == 0 &&
			    stat(m->disks[j].path, &b) == 0)
				same = a.st_dev == b.st_dev && a.st_ino == b.st_ino;
			if (same && !(m->disks[i].read_only && m->disks[j].read_only))
				r = problem_set(problem, -EINVAL,
						"-disk %s: that is -disk %s as well: a guest would "
						"destroy what is on it",
						m->disks[i].path, m->disks[j].path);
		}
	}
	return r;
}

/* Reads a whole text file into *ret, which is replaced. */
static int read_file(const char *flag, const char *path, size_t max, char **ret, size_t *ret_size,
		     struct problem *problem)
{
	char *text = malloc(max + 2);
	size_t size = 0;
	ssize_t n = 0;
	int fd = -1, r = text ? check_file(flag, path, problem)
			      : problem_set(problem, -ENOMEM, "out of memory");

	if (r == 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		while (fd >= 0 && size <= max && (n = read(fd, text + size, max + 1 - size)) > 0)
			size += (size_t)n;
		if (fd < 0 || n < 0)
			r = problem_set(problem, -errno, "%s%s: %s", flag, path, strerror(errno));
		else if (size > max)
			r = problem_set(problem, -EFBIG, "%s%s: at most %zu bytes are possible",
					flag, path, max);
	}
	fd_close(&fd);
	if (r < 0) {
		free(text);
		return r;
	}
	text[size] = '\0';
	free(*ret);
	*ret = text;
	*ret_size = size;
	return 0;
}

/* The key's text, or a file that has it. */
static int resolve_ssh_key(struct machine *m, struct problem *problem)
{
	char *end;
	size_t size;
	int r = 0;

	if (!media_is_public_key(m->ssh_key)) {
		char *path = strdup(m->ssh_key);

		if (!path)
			return problem_set(problem, -ENOMEM, "out of memory");
		r = read_file("-ssh-key ", path, MEDIA_KEY_MAX, &m->ssh_key, &size, problem);
		if (r == 0 && strstr(m->ssh_key, "PRIVATE KEY"))
			r = problem_set(
				problem, -EINVAL,
				"-ssh-key %s: that is a private key, which stays here: name "
				"the public one, %s.pub",
				path, path);
		if (r == 0 && (end = strpbrk(m->ssh_key, "\r\n")))
			*end = '\0';
		if (r == 0 && !media_is_public_key(m->ssh_key))
			r = problem_set(
				problem, -EINVAL,
				"-ssh-key %s: that is not a public SSH key, such as \"ssh-ed25519 "
				"AAAA... you@here\"",
				path);
		free(path);
	}
	if (r == 0)
		m->data_format = MACHINE_DATA_NOCLOUD;
	return r;
}

static int check_data(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	int r = 0;

	if (o->data_file)
		r = read_file("-data-file ", o->data_file, MACHINE_DATA_MAX, &m->data,
			      &m->data_size, problem);
	if (r == 0 && m->ssh_key)
		r = resolve_ssh_key(m, problem);
	if (r == 0 && m->ignition) {
		struct stat st;

		r = check_file("-ignition ", m->ignition, problem);
		if (r == 0 && stat(m->ignition, &st) == 0 && st.st_size > IGNITION_MAX)
			r = problem_set(problem, -EFBIG,
					"-ignition %s: a configuration has at most %d bytes",
					m->ignition, IGNITION_MAX);
	}
	return r;
}

int options_check_boot(struct run_options *options, struct problem *problem)
{
	struct machine *m = &options->machine;
	struct firmware firmware;
	int r = options->image ? resolve_image(options, problem) : 0;

	if (r == 0 && m->kernel)
		r = check_kernel(options, problem);
	if (r == 0 && m->iso)
		r = check_iso(m, problem);
	if (r == 0)
		r = check_disks(m, problem);
	if (r == 0)
		r = check_data(options, problem);
	if (m->firmware)
		m->uefi = true;
	if (r == 0 && prepare_uefi(m))
		r = firmware_find(m->arch, m->firmware, &firmware, problem);
	return r;
}
