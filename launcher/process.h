/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child process that can't outlive us: it gets SIGTERM when we die (PR_SET_PDEATHSIG), or SIGKILL
 * where it might miss that, runs in a process group of its own (so that a terminal's Ctrl-C reaches
 * only us, and we decide), with /dev/null as standard input and output. What it writes to standard
 * error is logged and its end kept, for the moment when somebody asks what went wrong.
 */
#ifndef LAUNCHER_PROCESS_H
#define LAUNCHER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/loop.h"
#include "launcher/args.h"

#define PROCESS_WORDS_MAX    4096 /* bytes kept of what it wrote to standard error last */
#define PROCESS_END_TEXT_MAX 96

struct process;

struct process_conf {
	const char *name;        /* in the log: "QEMU"; borrowed for the process's life */
	const struct args *args; /* args->items[0] is the program, a path; borrowed for the call */
	const int *fds; /* to be inherited, under the same numbers; borrowed for the call */
	size_t fd_count;
	/* SIGKILL when we die: for what may wait where SIGTERM doesn't wake it. */
	bool kill_with_us;
	bool quiet; /* what it writes to standard error is for the debug log, and last words, only
		     */
	/* Called in the child before it executes the program, or NULL: makes its namespaces and
	 * the like. Returns 0 or -errno. */
	int (*prepare)(void *arg);
	void *prepare_arg;
};

/* It has ended and was reaped; everything that it wrote was read. `wait_status` as by waitpid().
 * The process may be freed from here. */
typedef void process_end_fn(void *arg, int wait_status);

/* Returns 0, or -errno, also when the program can't be executed. */
int process_spawn(struct loop *loop, const struct process_conf *conf, process_end_fn *fn, void *arg,
		  struct process **ret_process);
/* Sends a signal, unless it has ended. */
void process_signal(struct process *process, int signal_number);
/* The last lines that it wrote to standard error, without a newline at the end; may be empty. */
const char *process_last_words(struct process *process);
/* Kills what still runs, and reaps it. NULL is fine. */
void process_free(struct process *process);

/* "exited with status 1", "was killed by signal 9 (Killed)". */
const char *process_end_text(int wait_status, char to[static PROCESS_END_TEXT_MAX]);

#endif
