/* SPDX-License-Identifier: Apache-2.0 */
/* What a program was started with and doesn't want. */
#include "base/inherited.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

START_TEST(standard_descriptors)
{
	struct stat st;
	int fd = open("/", O_RDONLY), highest = fcntl(fd, F_DUPFD, 100);

	close(STDIN_FILENO);
	close(STDERR_FILENO);
	inherited_drop();
	ck_assert_int_eq(fstat(STDIN_FILENO, &st), 0);
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFD), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(highest, F_GETFD), FD_CLOEXEC);
	close(fd);
	close(highest);
}
END_TEST

START_TEST(signals)
{
	struct sigaction action;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	inherited_drop();
	sigprocmask(SIG_BLOCK, NULL, &set);
	ck_assert_int_eq(sigismember(&set, SIGTERM), 0);
	sigaction(SIGCHLD, NULL, &action);
	ck_assert(action.sa_handler == SIG_DFL);
	sigaction(SIGPIPE, NULL, &action);
	ck_assert(action.sa_handler == SIG_IGN);
	/* That is how nohup(1) says it. */
	sigaction(SIGHUP, NULL, &action);
	ck_assert(action.sa_handler == SIG_IGN);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {standard_descriptors, signals, NULL};

	return unit_main("inherited", NULL, NULL, tests);
}
