/* SPDX-License-Identifier: Apache-2.0 */
/* The state file: what is written is read again, and what can't be read is kept aside. */
#include "netproxy/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "unit.h"

/* A part with one number for a state. */
struct part {
	int64_t value;
	int loads;
	bool saves_nothing;
};

static char directory[64];
static char path[128];
static struct loop *loop;
static struct state_file *state;
static struct part one, two;

static struct json_object *save_part(void *arg)
{
	struct part *part = arg;
	struct json_object *section = json_object_new_object();

	if (part->saves_nothing) {
		json_object_put(section);
		return NULL;
	}
	json_object_object_add(section, "value", json_object_new_int64(part->value));
	return section;
}

static int load_part(void *arg, struct json_object *section, char why[static STATE_ERROR_MAX])
{
	struct part *part = arg;
	struct json_reader r = json_reader(section, "part");
	int64_t value = json_get_int(&r, "value", 0, 1000, -1);

	part->loads++;
	if (!json_ok(&r)) {
		snprintf(why, STATE_ERROR_MAX, "%s", r.error);
		return -EINVAL;
	}
	part->value = value;
	return 0;
}

static void open_state(void)
{
	ck_assert_int_eq(state_file_new(loop, path, &state), 0);
}

static void register_part(const char *name, struct part *part)
{
	ck_assert_int_eq(state_file_add_section(state, &(struct state_section){.name = name,
									       .save = save_part,
									       .load = load_part,
									       .arg = part}),
			 0);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* The file's text, until the next call; empty when there is no such file. */
static const char *file_text(const char *suffix)
{
	static char text[4096];
	char name[160];
	FILE *file;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	file = fopen(name, "r");
	text[file ? fread(text, 1, sizeof(text) - 1, file) : 0] = '\0';
	if (file)
		fclose(file);
	return text;
}

/* Turns the loop until the file, which may be on its way to the disk, says so. */
static void expect_written(const char *text)
{
	while (!strstr(file_text(""), text))
		ck_assert_int_ge(loop_run_once(loop, true), 0);
}

static void setup(void)
{
	strcpy(directory, "/tmp/np-state-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/state", directory);
	ck_assert_int_eq(loop_new(&loop), 0);
	loop_use_virtual_time(loop, 100000);
	log_set_file("/dev/null"); /* the complaints that the tests provoke */
	one = two = (struct part){0};
	state = NULL;
}

static void teardown(void)
{
	static const char *const suffixes[] = {"", ".broken", ".new"};
	char name[160];

	state_file_free(state);
	loop_free(loop);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
	ck_assert_msg(rmdir(directory) == 0, "something else was left behind in %s", directory);
}

START_TEST(none)
{
	ck_assert_int_eq(state_file_new(loop, NULL, &state), 0);
	register_part("one", &one);
	state_file_changed(state);
	ck_assert_int_eq(state_file_flush(state), 0);
	state_file_changed(NULL);
	state_file_remove_section(NULL, "one");
}
END_TEST

START_TEST(survives)
{
	struct stat st;

	open_state();
	register_part("one", &one);
	register_part("two", &two);
	ck_assert_int_eq(one.loads, 0);
	one.value = 7;
	two.value = 8;
	state_file_changed(state);
	loop_advance(loop, STATE_FILE_DELAY_MS);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	state_file_free(state);
	one = two = (struct part){0};
	open_state();
	register_part("two", &two);
	register_part("one", &one);
	ck_assert_int_eq(one.value, 7);
	ck_assert_int_eq(two.value, 8);
}
END_TEST

START_TEST(gathers_changes)
{
	open_state();
	register_part("one", &one);
	one.value = 1;
	state_file_changed(state);
	loop_advance(loop, STATE_FILE_DELAY_MS - 1);
	ck_assert_str_eq(file_text(""), "");
	state_file_changed(state);
	loop_advance(loop, 1);
	expect_written("\"value\":1");
	/* Nothing changed: nothing is written. */
	one.value = 3;
	ck_assert_int_eq(state_file_flush(state), 0);
	ck_assert_ptr_nonnull(strstr(file_text(""), "\"value\":1"));
}
END_TEST

/* What has changed is written when its module goes, and not lost when the state goes later. */
START_TEST(module_ends)
{
	open_state();
	register_part("one", &one);
	one.value = 4;
	state_file_changed(state);
	state_file_remove_section(state, "one");
	one.value = 5;
	state_file_changed(state);
	state_file_free(state);
	state = NULL;
	ck_assert_ptr_nonnull(strstr(file_text(""), "\"value\":4"));
}
END_TEST

START_TEST(keeps_sections_of_others)
{
	write_file("{\"version\": 1, \"new\": {\"x\": [1]}, \"two\": {\"value\":5}}");
	open_state();
	register_part("one", &one);
	register_part("two", &two);
	two.saves_nothing = true;
	state_file_changed(state);
	state_file_flush(state);
	ck_assert_ptr_nonnull(strstr(file_text(""), "\"new\""));
	ck_assert_ptr_null(strstr(file_text(""), "\"two\""));
	ck_assert_str_eq(file_text(".broken"), "");
}
END_TEST

static const char *const broken[] = {
	"{",
	"{\"version\": 1} x",
	"[]",
	"{}",
	"null",
	"{\"version\": 2}",
	"{\"version\": \"1\"}",
	"<html>",
	"{\"version\": 1, \"one\": []}",
	"{\"version\": 1, \"one\": {\"value\":1001}}",
};

START_TEST(broken_is_kept_aside)
{
	write_file(broken[_i]);
	open_state();
	register_part("one", &one);
	register_part("two", &two);
	ck_assert_str_eq(file_text(".broken"), broken[_i]);
	ck_assert_int_eq(one.value, 0);
	one.value = 9;
	state_file_changed(state);
	loop_advance(loop, STATE_FILE_DELAY_MS);
	expect_written("\"value\":9");
	ck_assert_str_eq(file_text(".broken"), broken[_i]);
}
END_TEST

START_TEST(too_large_is_kept_aside)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(ftruncate(fd, STATE_FILE_SIZE_MAX + 1), 0);
	close(fd);
	open_state();
	register_part("one", &one);
	ck_assert_int_eq(one.loads, 0);
	state_file_changed(state);
	loop_advance(loop, STATE_FILE_DELAY_MS);
	expect_written("version");
}
END_TEST

/* The lock goes with the file, however often it has been written. */
START_TEST(is_locked)
{
	struct state_file *other = NULL;

	open_state();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(state_file_new(loop, path, &other), -EWOULDBLOCK);
		ck_assert_ptr_null(other);
		state_file_changed(state);
		ck_assert_int_eq(state_file_flush(state), 0);
	}
	state_file_free(state);
	open_state();
}
END_TEST

/* Who comes too late leaves alone what the other is writing. */
START_TEST(is_locked_while_written)
{
	struct state_file *other = NULL;
	char beside[160];
	int fd;

	open_state();
	snprintf(beside, sizeof(beside), "%s.new", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "{}", 2), 2);
	close(fd);
	ck_assert_int_eq(state_file_new(loop, path, &other), -EWOULDBLOCK);
	ck_assert_str_eq(file_text(".new"), "{}");
}
END_TEST

START_TEST(may_wait_for_others)
{
	open_state();
	register_part("one", &one);
	one.value = 1;
	state_file_changed_within(state, 10000);
	loop_advance(loop, 9999);
	ck_assert_str_eq(file_text(""), "");
	loop_advance(loop, 1);
	expect_written("\"value\":1");
	one.value = 2;
	state_file_changed_within(state, 10000);
	state_file_changed(state);
	state_file_changed_within(state, 10000);
	loop_advance(loop, STATE_FILE_DELAY_MS);
	expect_written("\"value\":2");
}
END_TEST

/* What is on its way to the disk is overtaken by who can't wait, and by the end. */
START_TEST(flush_overtakes)
{
	open_state();
	register_part("one", &one);
	for (one.value = 1; one.value <= 20; one.value++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "\"value\":%d", (int)one.value);
		state_file_changed(state);
		loop_advance(loop, STATE_FILE_DELAY_MS);
		if (one.value % 2) {
			ck_assert_int_eq(state_file_flush(state), 0);
			ck_assert_ptr_nonnull(strstr(file_text(""), expected));
			ck_assert_str_eq(file_text(".new"), "");
		}
	}
	one.value = 21;
	state_file_changed(state);
	loop_advance(loop, STATE_FILE_DELAY_MS);
	state_file_free(state);
	state = NULL;
	ck_assert_ptr_nonnull(strstr(file_text(""), "\"value\":21"));
	ck_assert_str_eq(file_text(".new"), "");
}
END_TEST

/* What changes while the file is on its way is written after it. */
START_TEST(changes_meanwhile)
{
	open_state();
	register_part("one", &one);
	one.value = 1;
	state_file_changed(state);
	loop_advance(loop, STATE_FILE_DELAY_MS);
	one.value = 2;
	state_file_changed(state);
	expect_written("\"value\":1");
	/* Again until nothing is on its way. */
	for (int i = 0; i < 100 && !strstr(file_text(""), "\"value\":2"); i++) {
		loop_advance(loop, STATE_FILE_DELAY_MS);
		expect_written("\"value\"");
		loop_run_once(loop, false);
		usleep(1000);
	}
	ck_assert_ptr_nonnull(strstr(file_text(""), "\"value\":2"));
}
END_TEST

START_TEST(unusable_paths)
{
	ck_assert_int_eq(state_file_new(loop, directory, &state), -EINVAL);
	ck_assert_int_eq(state_file_new(loop, "/dev/null", &state), -EINVAL);
	strcat(path, "/below/x");
	ck_assert_int_eq(state_file_new(loop, path, &state), -ENOENT);
	ck_assert_ptr_null(state);
	path[strlen(path) - strlen("/below/x")] = '\0';
}
END_TEST

/* A write that fails is tried again, and the old file stays until one succeeds. */
START_TEST(failure_is_repeated)
{
	char blocker[160];

	open_state();
	register_part("one", &one);
	one.value = 1;
	state_file_changed(state);
	ck_assert_int_eq(state_file_flush(state), 0);
	snprintf(blocker, sizeof(blocker), "%s.new", path);
	ck_assert_int_eq(mkdir(blocker, 0700), 0);
	one.value = 2;
	state_file_changed(state);
	ck_assert_int_lt(state_file_flush(state), 0);
	ck_assert_ptr_nonnull(strstr(file_text(""), "\"value\":1"));
	ck_assert_int_eq(rmdir(blocker), 0);
	loop_advance(loop, STATE_FILE_RETRY_MS);
	expect_written("\"value\":2");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state_file");
	TCase *tc = unit_case(suite, "state_file", setup, teardown);

	tcase_add_test(tc, none);
	tcase_add_test(tc, survives);
	tcase_add_test(tc, gathers_changes);
	tcase_add_test(tc, module_ends);
	tcase_add_test(tc, keeps_sections_of_others);
	tcase_add_loop_test(tc, broken_is_kept_aside, 0, sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(tc, too_large_is_kept_aside);
	tcase_add_test(tc, is_locked);
	tcase_add_test(tc, is_locked_while_written);
	tcase_add_test(tc, may_wait_for_others);
	tcase_add_test(tc, flush_overtakes);
	tcase_add_test(tc, changes_meanwhile);
	tcase_add_test(tc, unusable_paths);
	tcase_add_test(tc, failure_is_repeated);
	return unit_run(suite);
}
