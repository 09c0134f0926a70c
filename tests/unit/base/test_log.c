/* SPDX-License-Identifier: Apache-2.0 */
/* What lines the log writes, read back from a file. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

LOG_MODULE("test");

static char path[] = "/tmp/netproxy-test-log-XXXXXX";
static char text[65536];

static void start(void)
{
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
	ck_assert_int_eq(log_set_file(path), 0);
	ck_assert_int_eq(log_set_levels("debug"), 0);
}

/* All that was logged since start(). */
static const char *finish(void)
{
	FILE *file = fopen(path, "r");

	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	unlink(path);
	log_set_file(NULL);
	return text;
}

static size_t count_lines(const char *lines)
{
	size_t count = 0;

	for (; *lines; lines++)
		count += *lines == '\n';
	return count;
}

START_TEST(line_format)
{
	int n[7];
	int end = 0;

	start();
	errno = ENOENT;
	log_warn("lease of %s", "vm1");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(sscanf(finish(), "%d-%d-%d %d:%d:%d.%3d warn test: lease of vm1\n%n", n,
				n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, &end),
			 7);
	ck_assert_int_gt(end, 0);
	ck_assert_int_eq(text[end], '\0');
}
END_TEST

START_TEST(line_to_stderr)
{
	int fds[2];
	int saved = dup(STDERR_FILENO);
	char line[128];
	ssize_t size;
	int n[4];
	int end = 0;

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_error("broken");
	dup2(saved, STDERR_FILENO);
	size = read(fds[0], line, sizeof(line) - 1);
	ck_assert_int_gt(size, 0);
	line[size] = '\0';
	ck_assert_int_eq(sscanf(line, "%2d:%2d:%2d.%3d error test: broken\n%n", n, n + 1, n + 2,
				n + 3, &end),
			 4);
	ck_assert_int_eq(end, size);
	close(saved);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(control_characters_are_escaped)
{
	start();
	log_info("%s", "a\nb\r\tc\x1b[31md\x7f \xc3\xa4 \xc2\x9b \xff \xe2\x82 \xf0\x9f\x98\x80.");
	finish();
	ck_assert_uint_eq(count_lines(text), 1);
	ck_assert_ptr_nonnull(strstr(text, "a\\nb\\x0d\\x09c\\x1b[31md\\x7f \xc3\xa4 \\xc2\\x9b "
					   "\\xff \\xe2\\x82 \xf0\x9f\x98\x80.\n"));
}
END_TEST

START_TEST(long_lines_are_cut)
{
	static char longest[5000];

	memset(longest, '\n', sizeof(longest) - 1);
	start();
	log_info("%s", longest);
	memset(longest, 'x', sizeof(longest) - 1);
	log_info("%s", longest);
	finish();
	ck_assert_uint_eq(count_lines(text), 2);
	ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

START_TEST(levels)
{
	ck_assert_int_eq(log_set_levels("warn,dhcp=debug,vsock=error"), 0);
	ck_assert(log_enabled(LOG_LEVEL_WARN, "dns"));
	ck_assert(!log_enabled(LOG_LEVEL_INFO, "dns"));
	ck_assert(log_enabled(LOG_LEVEL_DEBUG, "dhcp"));
	ck_assert(log_enabled(LOG_LEVEL_ERROR, "vsock"));
	ck_assert(!log_enabled(LOG_LEVEL_WARN, "vsock"));
	ck_assert_int_eq(log_set_levels("dns=debug"), 0);
	ck_assert(log_enabled(LOG_LEVEL_INFO, "dhcp"));
	ck_assert(!log_enabled(LOG_LEVEL_DEBUG, "dhcp"));
}
END_TEST

START_TEST(bad_levels_change_nothing)
{
	static const char *const bad[] = {
		"",
		"loud",
		"warn,",
		",warn",
		"=warn",
		"dhcp=",
		"dhcp=loud",
		"dhcp=warn=info",
		"a-module-name-that-is-much-too-long=warn",
		"warnx",
		"war",
		"debug, dhcp=warn",
	};

	ck_assert_int_eq(log_set_levels("error"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(log_set_levels(bad[i]) == -EINVAL, "%s", bad[i]);
	ck_assert(!log_enabled(LOG_LEVEL_WARN, "dhcp"));
	ck_assert(log_enabled(LOG_LEVEL_ERROR, "dhcp"));
}
END_TEST

START_TEST(too_many_filters_are_refused)
{
	char many[1024] = "warn";

	for (size_t i = 0; i < 32; i++)
		sprintf(many + strlen(many), ",m%zu=debug", i);
	ck_assert_int_eq(log_set_levels(many), 0);
	strcat(many, ",more=debug");
	ck_assert_int_eq(log_set_levels(many), -EINVAL);
}
END_TEST

START_TEST(limited_lines)
{
	struct log_limit limit = {0};

	start();
	for (int i = 0; i < 100; i++)
		log_write_limited(&limit, LOG_LEVEL_WARN, log_module, "bad frame");
	/* The window has passed. */
	limit.window_start_ms -= LOG_LIMIT_WINDOW_MS;
	log_write_limited(&limit, LOG_LEVEL_WARN, log_module, "bad frame");
	finish();
	ck_assert_uint_eq(count_lines(text), LOG_LIMIT_BURST + 1);
	ck_assert_ptr_nonnull(strstr(text, "bad frame (95 more like this left out)\n"));
}
END_TEST

START_TEST(disabled_lines_do_not_count)
{
	struct log_limit limit = {0};

	start();
	log_set_levels("warn");
	for (int i = 0; i < 100; i++)
		log_write_limited(&limit, LOG_LEVEL_DEBUG, log_module, "bad frame");
	log_debug("not this");
	ck_assert_str_eq(finish(), "");
	ck_assert_uint_eq(limit.suppressed, 0);
}
END_TEST

START_TEST(bad_file_keeps_the_old_one)
{
	start();
	ck_assert_int_eq(log_set_file("/nonexistent/log"), -ENOENT);
	log_info("still here");
	ck_assert_ptr_nonnull(strstr(finish(), "still here"));
}
END_TEST

START_TEST(reopens_after_rotation)
{
	char rotated[64];

	start();
	log_info("first");
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	ck_assert_int_eq(rename(path, rotated), 0);
	ck_assert_int_eq(log_set_file(path), 0);
	log_info("second");
	unlink(rotated);
	finish();
	ck_assert_ptr_null(strstr(text, "first"));
	ck_assert_ptr_nonnull(strstr(text, "second"));
}
END_TEST

START_TEST(copy_has_the_same_lines)
{
	char copy[4096] = "";
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	start();
	log_info("before");
	log_set_copy(fds[1]);
	log_info("both");
	log_debug("of them");
	log_set_copy(-1);
	log_info("after");
	ck_assert_uint_eq(count_lines(finish()), 4);
	close(fds[1]);
	ck_assert_int_gt(read(fds[0], copy, sizeof(copy) - 1), 0);
	ck_assert_int_eq(read(fds[0], copy + strlen(copy), 1), 0);
	close(fds[0]);
	ck_assert_uint_eq(count_lines(copy), 2);
	ck_assert_ptr_nonnull(strstr(copy, " info test: both\n"));
	ck_assert_ptr_nonnull(strstr(copy, " debug test: of them\n"));
}
END_TEST

int main(void)
{
	return unit_main("log", NULL, NULL,
			 (const TTest *[]){
				 line_format,
				 line_to_stderr,
				 control_characters_are_escaped,
				 long_lines_are_cut,
				 levels,
				 bad_levels_change_nothing,
				 too_many_filters_are_refused,
				 limited_lines,
				 disabled_lines_do_not_count,
				 bad_file_keeps_the_old_one,
				 reopens_after_rotation,
				 copy_has_the_same_lines,
				 NULL,
			 });
}
