/* SPDX-License-Identifier: Apache-2.0 */
/* "netproxy-vm run": a machine in the foreground, from the command line to the exit status. */
#include "launcher/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/accel.h"
#include "launcher/flags.h"
#include "launcher/options.h"
#include "launcher/qemu_version.h"
#include "launcher/state_dir.h"
#include "launcher/supervisor.h"

LOG_MODULE("netproxy-vm");

/* Of /proc/cpuinfo; the first processor's flags are within. */
#define CPUINFO_SIZE 16384

/* From this version on QEMU is taken to have what tcg_needs_intx() is about repaired. */
#define QEMU_MAJOR_WITHOUT_CRASH 8

static int refuse(const struct problem *problem)
{
	fprintf(stderr, "netproxy-vm: %s\n", problem->text);
	return RUN_REFUSED;
}

static int choose_accel(const struct run_options *options, enum accel *ret, struct problem *problem)
{
	char cpuinfo[CPUINFO_SIZE];
	struct accel_facts facts;
	int r;

	accel_probe(cpuinfo, sizeof(cpuinfo), &facts);
	r = accel_choose(options->accel, &facts, ret, problem);
	if (r == 0)
		log_info("running with %s: %s", accel_name(*ret), problem->text);
	return r;
}

/* Opens where the console goes; *ret_file is to be closed. */
static int open_console(const struct run_options *options, struct supervisor_conf *conf,
			int *ret_file, struct problem *problem)
{
	conf->console_in_fd = conf->console_out_fd = -1;
	if (options->console == RUN_CONSOLE_STDIO) {
		conf->console_in_fd = STDIN_FILENO;
		conf->console_out_fd = STDOUT_FILENO;
		conf->console_seen = true;
	} else if (options->console == RUN_CONSOLE_FILE) {
		*ret_file = open(options->console_file,
				 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
		if (*ret_file < 0)
			return problem_set(problem, -errno, "-console file:%s: %s",
					   options->console_file, strerror(errno));
		conf->console_out_fd = *ret_file;
	}
	return 0;
}

/* Whether a vhost-user network device crashes this QEMU under TCG when the guest's driver starts it
 * (in msix_set_vector_notifiers()), as 7.2 does. One that doesn't tell its version counts as old.
 */
static bool tcg_needs_intx(const struct run_options *options)
{
	unsigned major = 0;

	if (options->machine.network != MACHINE_NETWORK_USERSPACE ||
	    options->machine.net_device != MACHINE_NET_DEVICE_VHOST)
		return false;
	int r = qemu_version_ask(options->qemu, &major);

	if (r < 0)
		log_debug("%s doesn't tell its version: %s", options->qemu, strerror(-r));
	return major < QEMU_MAJOR_WITHOUT_CRASH;
}

static int run(const struct run_options *options)
{
	struct state_dir dir;
	struct problem problem;
	struct supervisor_conf conf = {
		.machine = &options->machine,
		.dir = dir.path,
		.qemu = options->qemu,
		.netproxy = options->netproxy,
		.accel_may_fall_back = options->accel == ACCEL_WISH_AUTO,
		.stop_timeout_ms = options->stop_timeout_s * 1000,
	};
	int console_file = -1, status;

	if (choose_accel(options, &conf.accel, &problem) < 0 ||
	    state_dir_open(&dir, options->state_dir, &problem) < 0)
		return refuse(&problem);
	log_info("sockets and netproxy's log are in %s", dir.path);
	/* Also with KVM, from which a run may fall back. */
	if (conf.accel == ACCEL_TCG || conf.accel_may_fall_back)
		conf.qemu_tcg_needs_intx = tcg_needs_intx(options);
	if (open_console(options, &conf, &console_file, &problem) < 0)
		status = refuse(&problem);
	else
		status = supervisor_run(&conf);
	fd_close(&console_file);
	state_dir_close(&dir);
	return status;
}

int command_run(int argc, char *const *argv)
{
	struct run_options options;
	struct problem problem;
	int r, status = RUN_REFUSED;

	log_set_levels("warn");
	r = run_options_parse(argc, argv, &options, &problem);
	if (r == FLAGS_HELP) {
		run_options_help(stdout);
		status = 0;
	} else if (r < 0) {
		refuse(&problem);
		fputs("\"netproxy-vm run -help\" explains every flag.\n", stderr);
	} else if (run_options_complete(&options, &problem) < 0) {
		refuse(&problem);
	} else {
		status = run(&options);
	}
	run_options_clear(&options);
	return status;
}
