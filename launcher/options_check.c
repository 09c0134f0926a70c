/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of options.h: what depends on this host. */
#include "launcher/options_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/state_dir.h"

#define QEMU_PREFIX "qemu-system-"
#define CONSOLE_LOG "console.log"

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

int run_options_find_qemu(struct run_options *o, struct problem *problem)
{
	const bool x86 = o->machine.arch == MACHINE_ARCH_X86_64;
	const char *qemu = o->qemu ? o->qemu : x86 ? QEMU_PREFIX "x86_64" : QEMU_PREFIX "aarch64";
	char *path;

	if (program_find(qemu, false, &path) < 0)
		return problem_set(problem, -ENOENT,
				   "QEMU is missing: there is no program %s; on Debian, "
				   "\"apt-get install %s\" brings it, and -qemu names another",
				   qemu, x86 ? QEMU_PREFIX "x86" : QEMU_PREFIX "arm");
	free(o->qemu);
	o->qemu = path;
	return 0;
}

static int find_programs(struct run_options *o, struct problem *problem)
{
	const char *netproxy = o->netproxy ? o->netproxy : "netproxy";
	char *path;
	int r = run_options_find_qemu(o, problem);

	if (r < 0)
		return r;
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

/* A machine in the background leaves its console in its directory. */
static int default_console(struct run_options *o, struct problem *problem)
{
	if (!o->detached || o->console_given)
		return 0;
	if (asprintf(&o->console_file, "%s/" CONSOLE_LOG, o->state_dir) < 0) {
		o->console_file = NULL;
		return problem_set(problem, -ENOMEM, "out of memory");
	}
	o->console = RUN_CONSOLE_FILE;
	return 0;
}

static int check_console(const struct run_options *o, struct problem *problem)
{
	int fd;

	/* The directory may have to be made yet. */
	if (o->detached && !o->console_given)
		return 0;
	if (o->console != RUN_CONSOLE_FILE)
		return 0;
	fd = open(o->console_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return problem_set(problem, -errno, "-console file:%s: can't write it: %s",
				   o->console_file, strerror(errno));
	fd_close(&fd);
	return 0;
}

/* The same before and after the directory was made. */
static const char *absolute_path(const char *path, char to[static PATH_MAX])
{
	char parent[PATH_MAX], *slash;

	if (strlen(path) >= sizeof(parent))
		return path;
	strcpy(parent, path);
	slash = strrchr(parent, '/');
	/* "DIR/" and "DIR" are one. */
	while (slash && slash > parent && slash[1] == '\0') {
		*slash = '\0';
		slash = strrchr(parent, '/');
	}
	if (realpath(parent, to))
		return to;
	if (slash)
		*slash = '\0';
	if (!realpath(!slash ? "." : slash == parent ? "/" : parent, to))
		return path;
	const char *name = slash ? slash + 1 : parent;

	if (strlen(to) + 1 + strlen(name) >= PATH_MAX)
		return path;
	if (strcmp(to, "/") != 0)
		strcat(to, "/");
	return strcat(to, name);
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
		const char *text = absolute_path(o->state_dir, path);

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
	int r = options_check_boot(options, problem);

	if (r == 0)
		r = options_check_devices(options, problem);
	if (r == 0 && options->state_dir)
		r = state_dir_check_path(options->state_dir, problem);
	if (r == 0)
		r = default_console(options, problem);
	if (r == 0)
		r = check_console(options, problem);
	if (r == 0)
		r = options_check_net(options, problem);
	if (r == 0)
		r = find_programs(options, problem);
	if (r == 0)
		r = choose_mac(options, problem);
	return r;
}
