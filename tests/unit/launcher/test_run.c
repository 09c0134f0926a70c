/* SPDX-License-Identifier: Apache-2.0 */
/* What surrounds a run: how an end is judged, child processes, and the console's relay. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/console.h"
#include "launcher/process.h"
#include "launcher/supervisor.h"
#include "unit.h"

#define ROUNDS_MAX 1000

static const struct end {
	struct vm_end_facts facts;
	enum vm_end end;
	enum run_status status, status_without_proxy;
} ends[] = {
	{{"guest-shutdown", false, false, 0}, VM_END_POWERED_OFF, RUN_POWERED_OFF, RUN_PROXY_DIED},
	/* It powered off just when we lost patience: it did power off. */
	{{"guest-shutdown", false, true, 0}, VM_END_POWERED_OFF, RUN_POWERED_OFF, RUN_PROXY_DIED},
	{{"guest-reset", false, false, 0}, VM_END_RESET, RUN_RESET, RUN_PROXY_DIED},
	{{"guest-panic", false, false, 0}, VM_END_PANICKED, RUN_PANICKED, RUN_PANICKED},
	{{NULL, true, false, SIGKILL}, VM_END_PANICKED, RUN_PANICKED, RUN_PANICKED},
	{{"host-qmp-quit", false, true, 0}, VM_END_QUIT, RUN_KILLED, RUN_KILLED},
	{{NULL, false, true, SIGKILL}, VM_END_QUIT, RUN_KILLED, RUN_KILLED},
	{{"host-signal", false, false, 0}, VM_END_DIED, RUN_QEMU_FAILED, RUN_QEMU_FAILED},
	{{NULL, false, false, SIGSEGV}, VM_END_DIED, RUN_QEMU_FAILED, RUN_QEMU_FAILED},
	{{NULL, false, false, 1 << 8}, VM_END_DIED, RUN_QEMU_FAILED, RUN_QEMU_FAILED},
	/* QEMU that ends well without a word was no guest's doing. */
	{{NULL, false, false, 0}, VM_END_DIED, RUN_QEMU_FAILED, RUN_QEMU_FAILED},
	{{"", false, false, 0}, VM_END_DIED, RUN_QEMU_FAILED, RUN_QEMU_FAILED},
};

START_TEST(test_end)
{
	enum vm_end end = vm_end_from(&ends[_i].facts);

	ck_assert_int_eq(end, ends[_i].end);
	ck_assert_int_eq(supervisor_status(end, false), ends[_i].status);
	ck_assert_int_eq(supervisor_status(end, true), ends[_i].status_without_proxy);
}
END_TEST

static struct loop *loop;
static struct process *process;
static int wait_status;
static bool ended;

static void setup(void)
{
	log_set_levels("error");
	signal(SIGPIPE, SIG_IGN);
	ended = false;
	process = NULL;
	ck_assert_int_eq(loop_new(&loop), 0);
}

static void teardown(void)
{
	process_free(process);
	loop_free(loop);
}

static void on_end(void *arg, int status)
{
	(void)arg;
	ended = true;
	wait_status = status;
}

static int spawn(const char *program, const char *script, const int *fds, size_t fd_count)
{
	struct args args = {.count = 0};
	struct process_conf conf = {
		.name = "child", .args = &args, .fds = fds, .fd_count = fd_count};
	int r;

	args_add(&args, program);
	args_add(&args, "-c");
	args_add(&args, script);
	r = process_spawn(loop, &conf, on_end, NULL, &process);
	args_clear(&args);
	return r;
}

static void wait_for_end(void)
{
	while (!ended)
		ck_assert_int_ge(loop_run_once(loop, true), 0);
}

START_TEST(test_process_last_words)
{
	char text[PROCESS_END_TEXT_MAX];

	ck_assert_int_eq(spawn("/bin/sh", "echo one >&2; echo two >&2; exit 3", NULL, 0), 0);
	wait_for_end();
	ck_assert_str_eq(process_last_words(process), "one\ntwo");
	ck_assert_str_eq(process_end_text(wait_status, text), "exited with status 3");
}
END_TEST

/* Much more than is kept: the end of it is. */
START_TEST(test_process_many_words)
{
	const char *words;

	ck_assert_int_eq(spawn("/bin/sh",
			       "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done >&2",
			       NULL, 0),
			 0);
	wait_for_end();
	words = process_last_words(process);
	ck_assert_uint_le(strlen(words), PROCESS_WORDS_MAX);
	ck_assert_str_eq(words + strlen(words) - 9, "line 2999");
}
END_TEST

START_TEST(test_process_missing)
{
	ck_assert_int_eq(spawn("/no/such/program", "", NULL, 0), -ENOENT);
	ck_assert_ptr_null(process);
}
END_TEST

START_TEST(test_process_signal)
{
	char text[PROCESS_END_TEXT_MAX];

	/* exec: the signal is for what waits, not for a shell around it. */
	ck_assert_int_eq(spawn("/bin/sh", "exec sleep 1000", NULL, 0), 0);
	process_signal(process, SIGTERM);
	wait_for_end();
	ck_assert_ptr_nonnull(strstr(process_end_text(wait_status, text), "signal 15"));
	process_signal(process, SIGTERM);
}
END_TEST

/* Only what is named is inherited, under its number; it has its own process group. */
START_TEST(test_process_fds)
{
	int kept[2], other[2];
	char script[256], got[64] = "";

	ck_assert_int_eq(pipe2(kept, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(other, O_CLOEXEC), 0);
	snprintf(script, sizeof(script),
		 "echo hello >&%d; [ -e /proc/self/fd/%d ] && exit 1; "
		 "read x && exit 2; [ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] || exit 3; exit 0",
		 kept[1], other[1]);
	ck_assert_int_eq(spawn("/bin/sh", script, &kept[1], 1), 0);
	wait_for_end();
	ck_assert_int_eq(wait_status, 0);
	ck_assert_int_eq(read(kept[0], got, sizeof(got)), 6);
	ck_assert_str_eq(got, "hello\n");
	for (int i = 0; i < 2; i++) {
		close(kept[i]);
		close(other[i]);
	}
}
END_TEST

START_TEST(test_process_freed_while_it_runs)
{
	ck_assert_int_eq(spawn("/bin/sh", "exec sleep 1000", NULL, 0), 0);
	process_free(process);
	process = NULL;
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert(!ended);
}
END_TEST

START_TEST(test_escape)
{
	static const struct {
		const char *typed;
		enum console_input last;
	} cases[] = {
		{"x", CONSOLE_INPUT_PASS},          {"\x01", CONSOLE_INPUT_EAT},
		{"\x01x", CONSOLE_INPUT_POWER_OFF}, {"\x01k", CONSOLE_INPUT_KILL},
		{"\x01h", CONSOLE_INPUT_HELP},      {"\x01\x01", CONSOLE_INPUT_PASS},
		{"\x01q", CONSOLE_INPUT_EAT},       {"\x01qx", CONSOLE_INPUT_PASS},
		{"\x01\x01x", CONSOLE_INPUT_PASS},  {"\x03", CONSOLE_INPUT_PASS},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool escaped = false;
		enum console_input last = CONSOLE_INPUT_EAT;

		for (const char *c = cases[i].typed; *c; c++)
			last = console_decode(&escaped, (unsigned char)*c);
		ck_assert_msg(last == cases[i].last, "case %zu", i);
	}
}
END_TEST

/* Reads from `fd` until `size` bytes came, turning the loop. */
static void receive(int fd, char *to, size_t size)
{
	size_t got = 0;

	for (int i = 0; i < ROUNDS_MAX && got < size; i++) {
		ssize_t n;

		loop_run_once(loop, false);
		n = read(fd, to + got, size - got);
		got += n > 0 ? (size_t)n : 0;
	}
	ck_assert_uint_eq(got, size);
}

static void on_key(void *arg, enum console_key key)
{
	(void)arg;
	(void)key;
	ck_abort_msg("a pipe has no keys");
}

/* Both ways through pipes, with more than any buffer holds, a slow reader, and an end of input. */
START_TEST(test_console_pipes)
{
	static char big[300000], got[300000];
	int in[2], out[2], guest[2];
	struct console *console;
	size_t sent = 0, size, received = 0;

	ck_assert_int_eq(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	fd_set_nonblocking(out[0]);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, guest), 0);
	struct console_conf conf = {.in_fd = in[0], .out_fd = out[1], .key = on_key};
	ck_assert_int_eq(console_new(loop, &conf, &console), 0);
	/* The output's own flags, which others share, are left alone. */
	ck_assert_int_eq(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(console_attach(console, guest[0]), 0);

	/* Ctrl-A is an ordinary byte where nobody types. */
	ck_assert_int_eq(write(in[1], "a\x01x\n", 4), 4);
	receive(guest[1], got, 4);
	ck_assert_int_eq(memcmp(got, "a\x01x\n", 4), 0);

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + (i >> 8));
	for (int i = 0; i < 100000 && received < sizeof(big); i++) {
		ssize_t n = sent < sizeof(big) ? write(guest[1], big + sent, sizeof(big) - sent)
					       : 0;

		sent += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, false);
		n = read(out[0], got + received, 1000);
		received += n > 0 ? (size_t)n : 0;
	}
	ck_assert_uint_eq(received, sizeof(big));
	ck_assert_int_eq(memcmp(big, got, sizeof(big)), 0);
	ck_assert_uint_eq(console_guest_bytes(console), sizeof(big));
	ck_assert_int_eq(memcmp(console_tail(console, &size), big + sizeof(big) - CONSOLE_TAIL_MAX,
				CONSOLE_TAIL_MAX),
			 0);
	ck_assert_uint_eq(size, CONSOLE_TAIL_MAX);

	/* Input ends, the reader goes: the guest's output still drains. */
	close(in[1]);
	close(out[0]);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(write(guest[1], big, 1000), 1000);
		loop_run_once(loop, false);
		loop_run_once(loop, false);
	}
	console_drain(console);
	ck_assert_uint_eq(console_guest_bytes(console), sizeof(big) + 10000);
	console_free(console);
	close(in[0]);
	close(out[1]);
	close(guest[1]);
}
END_TEST

/* A file as input can't be waited for: it is read as the guest takes it, to its end and no further.
 */
START_TEST(test_console_file)
{
	char path[] = "/tmp/np-console-XXXXXX", got[8192] = "";
	static char big[100000];
	int file = mkstemp(path), guest[2];
	struct console *console;
	size_t received = 0;

	ck_assert_int_ge(file, 0);
	unlink(path);
	memset(big, 'i', sizeof(big));
	ck_assert_int_eq(write(file, big, sizeof(big)), sizeof(big));
	lseek(file, 0, SEEK_SET);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, guest), 0);
	struct console_conf conf = {.in_fd = file, .out_fd = -1, .key = on_key};
	ck_assert_int_eq(console_new(loop, &conf, &console), 0);
	ck_assert_int_eq(console_attach(console, guest[0]), 0);
	for (int i = 0; i < 100000 && received < sizeof(big); i++) {
		ssize_t n = read(guest[1], got, sizeof(got));

		received += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, false);
	}
	ck_assert_uint_eq(received, sizeof(big));
	console_free(console);
	close(file);
	close(guest[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_run");
	TCase *tcase = unit_case(suite, "run", setup, teardown);

	tcase_add_loop_test(tcase, test_end, 0, (int)(sizeof(ends) / sizeof(ends[0])));
	tcase_add_test(tcase, test_process_last_words);
	tcase_add_test(tcase, test_process_many_words);
	tcase_add_test(tcase, test_process_missing);
	tcase_add_test(tcase, test_process_signal);
	tcase_add_test(tcase, test_process_fds);
	tcase_add_test(tcase, test_process_freed_while_it_runs);
	tcase_add_test(tcase, test_escape);
	tcase_add_test(tcase, test_console_pipes);
	tcase_add_test(tcase, test_console_file);
	return unit_run(suite);
}
