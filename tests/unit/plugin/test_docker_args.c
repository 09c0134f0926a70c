/* SPDX-License-Identifier: Apache-2.0 */
/* dockerd's command line for its userland proxy, and the default route that leads to the API. */
#include <stdio.h>
#include <string.h>

#include "plugin/docker_args.h"
#include "unit.h"

#define ARGS_MAX 16

static char error[DOCKER_ARGS_ERROR_MAX];

/* Decodes the words of `line`. */
static int decode(const char *line, struct docker_args *ret)
{
	static char text[512];
	char *argv[ARGS_MAX + 1] = {"netproxy-docker-proxy"};
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	for (char *at = text, *word; (word = strsep(&at, " "));)
		argv[argc++] = word;
	ck_assert_int_le(argc, ARGS_MAX);
	error[0] = '\0';
	return docker_args_decode(argc, argv, ret, error);
}

START_TEST(as_dockerd_says_it)
{
	struct docker_args args;
	char text[ADDR_TEXT_MAX];

	ck_assert_int_eq(
		decode("-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 "
		       "-container-port 80",
		       &args),
		0);
	ck_assert(!args.udp);
	ck_assert_str_eq(addr_format(&args.host_ip, text), "0.0.0.0");
	ck_assert_uint_eq(args.host_port, 8080);
	ck_assert_str_eq(addr_format(&args.container_ip, text), "172.17.0.2");
	ck_assert_uint_eq(args.container_port, 80);
	ck_assert(!args.use_listen_fd);
	ck_assert_int_eq(decode("--proto=udp --host-ip=:: -host-port=53 --container-ip fd00::2 "
				"-container-port 5353 -use-listen-fd",
				&args),
			 0);
	ck_assert(args.udp);
	ck_assert_str_eq(addr_format(&args.host_ip, text), "::");
	ck_assert_str_eq(addr_format(&args.container_ip, text), "fd00::2");
	ck_assert(args.use_listen_fd);
	/* tcp, all addresses. */
	ck_assert_int_eq(decode("-host-ip= -host-port 1 -container-ip ::1 -container-port 65535 "
				"-use-listen-fd=false",
				&args),
			 0);
	ck_assert(!args.udp);
	ck_assert_int_eq(args.host_ip.family, AF_UNSPEC);
	ck_assert(!args.use_listen_fd);
}
END_TEST

static const struct bad_line {
	const char *line, *text;
} bad_lines[] = {
	{"-proto", "-proto needs a value"},
	{"proto", "unexpected argument \"proto\""},
	{"-", "unknown flag"},
	{"---proto x", "unknown flag"},
	{"-protocol tcp", "unknown flag \"-protocol\""},
	{"-proto sctp", "only tcp and udp ports can be published on the host, not \"sctp\""},
	{"-container-ip 1.2.3.4 -container-port 1", "-host-port must be a port"},
	{"-host-port 0 -container-ip 1.2.3.4 -container-port 1", "not \"0\""},
	{"-host-port 65536 -container-ip 1.2.3.4 -container-port 1", "not \"65536\""},
	{"-host-port 99999999999999999999999 -container-ip 1.2.3.4 -container-port 1",
	 "-host-port"},
	{"-host-port +1 -container-ip 1.2.3.4 -container-port 1", "not \"+1\""},
	{"-host-port 80x -container-ip 1.2.3.4 -container-port 1", "not \"80x\""},
	{"-host-port 80 -container-ip 1.2.3.4", "-container-port must be a port"},
	{"-host-port 80 -container-port 80", "-container-ip must be"},
	{"-host-port 80 -container-port 80 -container-ip web", "not \"web\""},
	{"-host-port 80 -container-port 80 -container-ip ::1 -host-ip localhost",
	 "not \"localhost\""},
	{"-host-port 80 -container-port 80 -container-ip ::1 -use-listen-fd=4", "not \"4\""},
};

START_TEST(refused)
{
	struct docker_args args;

	ck_assert_int_lt(decode(bad_lines[_i].line, &args), 0);
	ck_assert_msg(strstr(error, bad_lines[_i].text) != NULL, "%s: %s", bad_lines[_i].line,
		      error);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("docker_args");
	TCase *tests = unit_case(suite, "decode", NULL, NULL);

	tcase_add_test(tests, as_dockerd_says_it);
	tcase_add_loop_test(tests, refused, 0, sizeof(bad_lines) / sizeof(bad_lines[0]));
	return unit_run(suite);
}
