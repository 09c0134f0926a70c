/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of options.h: what depends on this host. */
#include "launcher/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/state_dir.h"

#define DEFAULT_QEMU    "qemu-system-x86_64"
#define DEFAULT_CMDLINE "console=ttyS0"
#define QCOW2_MAGIC     "QFI\xfb"

static char *join(const char *head, const char *tail)
{
	char *text;

	return asprintf(&text, "%s%s", head, tail) < 0 ? NULL : text;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Puts "directory/name" into *ret when that is a program. */
static bool try_program(const char *directory, size_t length, const char *name, char **ret)
{
	char *path;

	if (asprintf(&path, "%.*s/%s", (int)length, length ? directory : ".", name) < 0)
		return false;
	if (is_program(path)) {
		*ret = path;
		return true;
	}
	free(path);
	return false;
}

int program_find(const char *name, bool beside_us, char **ret_path)
{
	char self[PATH_MAX];
	const char *path = getenv("PATH");

	if (strchr(name, '/')) {
		char *copy = is_program(name) ? strdup(name) : NULL;

		if (!copy)
			return -ENOENT;
		*ret_path = copy;
		return 0;
	}
	if (beside_us) {
		ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		const char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;

		if (slash && try_program(self, (size_t)(slash - self), name, ret_path))
			return 0;
	}
	while (path && *path) {
		size_t length = strcspn(path, ":");

		if (length > 0 && try_program(path, length, name, ret_path))
			return 0;
		path += length + (path[length] == ':');
	}
	return -ENOENT;
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

/* PATH stands for PATH-kernel, PATH-initrd.img, PATH-cmdline. What a flag says goes first. */
static int resolve_image(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	char *cmdline_path = join(o->image, "-cmdline");
	int r;

	m->kernel = join(o->image, "-kernel");
	if (!m->initrd)
		m->initrd = join(o->image, "-initrd.img");
	if (!m->kernel || !m->initrd || !cmdline_path) {
		free(cmdline_path);
		return problem_set(problem, -ENOMEM, "out of memory");
	}
	r = m->cmdline ? 0 : read_cmdline(cmdline_path, &m->cmdline, problem);
	free(cmdline_path);
	if (r == 0 && access(m->kernel, F_OK) < 0)
		return problem_set(problem, -errno,
				   "PATH \"%s\": there is no image of that name: %s doesn't exist",
				   o->image, m->kernel);
	return r;
}

static int check_boot(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	int r;

	if (o->image) {
		r = resolve_image(o, problem);
		if (r < 0)
			return r;
	}
	if (!m->kernel)
		return 0;
	r = check_file(o->image ? "" : "-kernel ", m->kernel, problem);
	if (r == 0 && m->initrd)
		r = check_file(o->image ? "" : "-initrd ", m->initrd, problem);
	if (r == 0 && !m->cmdline) {
		m->cmdline = strdup(DEFAULT_CMDLINE);
		if (!m->cmdline)
			r = problem_set(problem, -ENOMEM, "out of memory");
	}
	return r;
}

static bool is_qcow2(const char *path)
{
	char magic[4] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t size = fd < 0 ? -1 : read(fd, magic, sizeof(magic));

	fd_close(&fd);
	return size == sizeof(magic) && memcmp(magic, QCOW2_MAGIC, sizeof(magic)) == 0;
}

static int check_disk(struct machine_disk *disk, struct problem *problem)
{
	const char *dot = strrchr(disk->path, '.');
	bool named_qcow2 = dot && strcmp(dot, ".qcow2") == 0;
	struct stat st;

	if (stat(disk->path, &st) < 0)
		return problem_set(problem, -errno, "-disk %s: %s", disk->path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return problem_set(problem, -EINVAL,
				   "-disk %s: that is neither a file nor a block device",
				   disk->path);
	if (access(disk->path, disk->read_only ? R_OK : R_OK | W_OK) < 0)
		return problem_set(problem, -errno, "-disk %s: this user may not %s it%s",
				   disk->path, disk->read_only ? "read" : "write to",
				   disk->read_only ? "" : "; add ,ro if the guest needn't either");
	/* Never by content alone: a guest could write itself a qcow2 header that names the host's
	 * files. */
	if (!disk->format && !named_qcow2 && is_qcow2(disk->path))
		return problem_set(
			problem, -EINVAL,
			"-disk %s: it starts like a qcow2 image, and isn't named so: add "
			"format=qcow2, or format=raw if that is what you mean",
			disk->path);
	if (!disk->format)
		disk->format = named_qcow2 ? "qcow2" : "raw";
	if (strcmp(disk->format, "qcow2") == 0 && !is_qcow2(disk->path))
		return problem_set(problem, -EINVAL, "-disk %s: that is not a qcow2 image",
				   disk->path);
	return 0;
}

static int check_network(const struct machine *m, struct problem *problem)
{
	int fd, r;

	if (m->network == MACHINE_NETWORK_USERSPACE_SHARED) {
		r = sock_connect_unix(m->network_socket, SOCK_STREAM, &fd);
		if (r == -ENAMETOOLONG)
			return problem_set(
				problem, r,
				"-networking: a socket's path has at most %d characters: %s",
				SOCK_PATH_MAX - 1, m->network_socket);
		if (r < 0)
			return problem_set(
				problem, r,
				"-networking: no netproxy answers at %s (%s): start one with "
				"\"netproxy --link qemu:%s\"",
				m->network_socket, strerror(-r), m->network_socket);
		fd_close(&fd);
	}
	for (size_t i = 0; i < m->publish_count; i++) {
		r = publish_check_free(&m->publish[i].parsed, m->publish[i].text, problem);
		if (r < 0)
			return r;
	}
	return 0;
}

static int find_programs(struct run_options *o, struct problem *problem)
{
	const char *qemu = o->qemu ? o->qemu : DEFAULT_QEMU;
	const char *netproxy = o->netproxy ? o->netproxy : "netproxy";
	char *path;

	if (program_find(qemu, false, &path) < 0)
		return problem_set(
			problem, -ENOENT,
			"QEMU is missing: there is no program %s; on Debian, "
			"\"apt-get install qemu-system-x86\" brings it, and -qemu names another",
			qemu);
	free(o->qemu);
	o->qemu = path;
	if (o->machine.network != MACHINE_NETWORK_USERSPACE)
		return 0;
	if (program_find(netproxy, o->netproxy == NULL, &path) < 0)
		return problem_set(
			problem, -ENOENT,
			"netproxy is missing: there is no program %s%s; -netproxy names one",
			netproxy, o->netproxy ? "" : " beside netproxy-vm or in $PATH");
	free(o->netproxy);
	o->netproxy = path;
	return 0;
}

static int check_console(const struct run_options *o, struct problem *problem)
{
	int fd;

	if (o->console != RUN_CONSOLE_FILE)
		return 0;
	fd = open(o->console_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return problem_set(problem, -errno, "-console file:%s: can't write it: %s",
				   o->console_file, strerror(errno));
	fd_close(&fd);
	return 0;
}

/* QEMU's own prefix with three bytes of ours: of the state directory's name, or else random. */
static int choose_mac(struct run_options *o, struct problem *problem)
{
	struct mac *mac = &o->machine.mac;
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	char path[PATH_MAX];

	if (o->mac_given)
		return 0;
	if (o->state_dir) {
		const char *text = realpath(o->state_dir, path) ? path : o->state_dir;

		for (; *text; text++)
			hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	} else if (getrandom(&hash, sizeof(hash), 0) != sizeof(hash)) {
		return problem_set(problem, -errno, "no random numbers: %s", strerror(errno));
	}
	*mac = (struct mac){.bytes = {0x52, 0x54, 0x00}};
	for (unsigned i = 0; i < 3; i++)
		mac->bytes[3 + i] = (uint8_t)(hash >> (8 * i));
	return 0;
}

int run_options_complete(struct run_options *options, struct problem *problem)
{
	struct machine *m = &options->machine;
	int r = check_boot(options, problem);

	for (size_t i = 0; i < m->disk_count && r == 0; i++)
		r = check_disk(&m->disks[i], problem);
	if (r == 0 && options->state_dir)
		r = state_dir_check_path(options->state_dir, problem);
	if (r == 0)
		r = check_console(options, problem);
	if (r == 0)
		r = check_network(m, problem);
	if (r == 0)
		r = find_programs(options, problem);
	if (r == 0)
		r = choose_mac(options, problem);
	return r;
}
