/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of "netproxy-vm run": read, completed and checked once, before anything is
 * started. */
#ifndef LAUNCHER_OPTIONS_H
#define LAUNCHER_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "launcher/accel.h"
#include "launcher/flags.h"
#include "launcher/machine.h"
#include "launcher/problem.h"

#define STOP_TIMEOUT_MAX_S 3600

enum run_console { RUN_CONSOLE_STDIO, RUN_CONSOLE_FILE, RUN_CONSOLE_PTY, RUN_CONSOLE_NONE };

struct run_options {
	struct machine machine;
	char *image; /* owned: PATH of PATH-kernel and so on; NULL */
	bool mac_given;
	enum accel_wish accel;
	char *state_dir;    /* owned; NULL: a temporary one */
	char *console_file; /* owned; with RUN_CONSOLE_FILE */
	enum run_console console;
	bool console_given;
	char *data_file; /* owned; what machine.data is read from */
	bool data_format_given;
	bool detached;   /* runs on in the background once QEMU runs */
	char *qemu;      /* owned; a program's name or path */
	char *netproxy;  /* owned; NULL: to be found */
	char *virtiofsd; /* owned; found where there are volumes */
	unsigned stop_timeout_s;
};

/* Reads the command line, argv[0] being the command's name; -log-level takes effect here. Returns
 * 0, FLAGS_HELP, or -errno with the problem set; the options are to be cleared in any case. */
int run_options_parse(int argc, char *const *argv, struct run_options *ret,
		      struct problem *problem);
/* Completes them from this host (the image's files, the programs' paths, a MAC) and checks all that
 * can be known beforehand: files, ports, sockets. Returns 0, or -errno with the problem set. */
int run_options_complete(struct run_options *options, struct problem *problem);
/* The first of that: makes `qemu` the program's path. Returns 0, or -ENOENT with the problem set.
 */
int run_options_find_qemu(struct run_options *options, struct problem *problem);
void run_options_clear(struct run_options *options);
void run_options_help(FILE *to);
/* The flags, for others who take the same words. */
const struct flag *run_options_flags(size_t *ret_count);

/* Finds a program: `name` itself if it has a slash, else next to our own binary (when `beside_us`),
 * else in $PATH. Returns 0 with *ret_path owned, or -ENOENT. */
int program_find(const char *name, bool beside_us, char **ret_path);

#endif
