/* SPDX-License-Identifier: Apache-2.0 */
/* What was wrong, in one line for the person at the terminal: the launcher's checks fill it in and
 * return a negative errno, and only the command that was called prints it. */
#ifndef LAUNCHER_PROBLEM_H
#define LAUNCHER_PROBLEM_H

#define PROBLEM_MAX 1024

struct problem {
	char text[PROBLEM_MAX]; /* no newline at its end */
};

/* Writes the text (cut where it is too long) and returns `error`, so that checks read
 * `return problem_set(problem, -EINVAL, "...")`. The arguments may not point into `problem`. */
int problem_set(struct problem *problem, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
