/* SPDX-License-Identifier: Apache-2.0 */
/* "netproxy-vm image build": an image for people without one, made by the script build-image. */
#include "launcher/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/args.h"
#include "launcher/flags.h"
#include "launcher/option_values.h"
#include "launcher/options.h"

/* Where the script is, from our own program's directory: installed, or in a build. */
#define BUILD_IMAGE "../libexec/netproxy/build-image"

struct image_options {
	char *name, *format, *add, *cmdline; /* owned; NULL: not said */
};

static int set_format(void *target, const char *value, struct problem *problem)
{
	static const char *const formats[] = {"kernel+initrd", "squashfs", "disk", "iso", "all"};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(value, formats[i]) == 0)
			return option_text(&((struct image_options *)target)->format, "format",
					   value, problem);
	return problem_set(problem, -EINVAL,
			   "-format \"%s\": write kernel+initrd, squashfs, disk, iso or all",
			   value);
}

static int set_add(void *target, const char *value, struct problem *problem)
{
	struct stat st;

	if (stat(value, &st) < 0 || !S_ISDIR(st.st_mode))
		return problem_set(problem, -ENOTDIR, "-add %s: that is not a directory", value);
	return option_text(&((struct image_options *)target)->add, "add", value, problem);
}

static int set_cmdline(void *target, const char *value, struct problem *problem)
{
	return option_text(&((struct image_options *)target)->cmdline, "cmdline", value, problem);
}

static const struct flag flags[] = {
	{"format", "kernel+initrd|squashfs|disk|iso|all",
	 "kernel+initrd (the default): NAME-kernel, NAME-initrd.img and NAME-cmdline, for \"run NAME\". "
	 "squashfs: the same with NAME-squashfs.img as the root. disk: NAME.img, and iso: NAME.iso, "
	 "which boot by BIOS and UEFI. all: each of them.",
	 set_format},
	{"add", "DIR", "Files to put over the image's own: DIR/etc/motd becomes /etc/motd.",
	 set_add},
	{"cmdline", "TEXT", "The kernel's command line.", set_cmdline},
};

#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

/* "build", then NAME. */
static int set_argument(void *target, const char *text, struct problem *problem)
{
	struct image_options *o = target;

	if (o->name)
		return problem_set(problem, -EINVAL, "one NAME only: \"%s\" comes after \"%s\"",
				   text, o->name);
	return option_text(&o->name, "NAME", text, problem);
}

static void help(FILE *to)
{
	fputs("usage: netproxy-vm image build [FLAGS] NAME\n"
	      "\n"
	      "Makes a small bootable image of Debian's packages: the cloud kernel, busybox, CNI\n"
	      "plugins and netproxy's programs for guests. Nothing is installed here.\n"
	      "\n"
	      "  netproxy-vm image build demo && netproxy-vm run demo\n"
	      "\n",
	      to);
	flags_print_help(flags, FLAG_COUNT, to);
}

/* Our own program's directory; "." when it can't be told. */
static void own_directory(char to[static PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", to, PATH_MAX - 1);
	char *slash;

	to[n > 0 ? n : 0] = '\0';
	slash = strrchr(to, '/');
	if (slash)
		*slash = '\0';
	else
		strcpy(to, ".");
}

/* Becomes the script; returns only when that fails. */
static int build(const struct image_options *o)
{
	struct args args = {.count = 0};
	char directory[PATH_MAX];
	int error;

	own_directory(directory);
	args_addf(&args, "%s/" BUILD_IMAGE, directory);
	args_add(&args, "--bin");
	args_add(&args, directory);
	if (o->format) {
		args_add(&args, "--format");
		args_add(&args, o->format);
	}
	if (o->add) {
		args_add(&args, "--add");
		args_add(&args, o->add);
	}
	if (o->cmdline) {
		args_add(&args, "--cmdline");
		args_add(&args, o->cmdline);
	}
	args_add(&args, o->name);
	error = ENOMEM;
	if (args_ok(&args)) {
		/* A shell can't take it back, and its pipelines rely on it. */
		signal(SIGPIPE, SIG_DFL);
		execv(args.items[0], args.items);
		error = errno;
	}
	fprintf(stderr, "netproxy-vm: %s can't be run: %s; it is installed with netproxy-vm\n",
		args.count > 0 ? args.items[0] : "build-image", strerror(error));
	args_clear(&args);
	return 1;
}

int command_image(int argc, char *const *argv)
{
	struct image_options options = {.name = NULL};
	struct problem problem;
	int r, status = 1;

	if (argc < 2 || strcmp(argv[1], "build") != 0) {
		bool asked = argc >= 2 && strstr(argv[1], "help") != NULL;

		help(asked ? stdout : stderr);
		return asked ? 0 : 1;
	}
	r = flags_parse(flags, FLAG_COUNT, argc - 1, argv + 1, &options, set_argument, &problem);
	if (r == 0 && !options.name)
		r = problem_set(&problem, -EINVAL,
				"say what the image is to be called: netproxy-vm image build NAME");
	if (r == FLAGS_HELP) {
		help(stdout);
		status = 0;
	} else if (r < 0) {
		fprintf(stderr, "netproxy-vm: %s\n", problem.text);
	} else {
		status = build(&options);
	}
	free(options.name);
	free(options.format);
	free(options.add);
	free(options.cmdline);
	return status;
}
