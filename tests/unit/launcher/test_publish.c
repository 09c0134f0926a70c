/* SPDX-License-Identifier: Apache-2.0 */
/* The text of -publish. Its mistakes are in test_options.c too, with what is said of them. */
#include <errno.h>
#include <string.h>

#include "launcher/publish.h"
#include "unit.h"

static const struct good {
	const char *text;
	const char *host;  /* address, or NULL for all */
	const char *guest; /* address, or NULL for the machine */
	unsigned host_port, guest_port;
	bool udp;
} goods[] = {
	{"8080:80", NULL, NULL, 8080, 80, false},
	{"8080:80/tcp", NULL, NULL, 8080, 80, false},
	{"53:5353/udp", NULL, NULL, 53, 5353, true},
	{"127.0.0.1:8080:80", "127.0.0.1", NULL, 8080, 80, false},
	{"0.0.0.0:1:65535", "0.0.0.0", NULL, 1, 65535, false},
	{":8080:80", NULL, NULL, 8080, 80, false},
	{"*:8080:80", NULL, NULL, 8080, 80, false},
	{"[::1]:8080:80/udp", "::1", NULL, 8080, 80, true},
	{"127.0.0.1:8080:192.168.65.3:80", "127.0.0.1", "192.168.65.3", 8080, 80, false},
	{":8080:[fd00::3]:80", NULL, "fd00::3", 8080, 80, false},
};

START_TEST(test_good)
{
	const struct good *g = &goods[_i];
	struct publish publish;
	struct problem problem;
	char text[ADDR_TEXT_MAX];

	ck_assert_msg(publish_parse(g->text, &publish, &problem) == 0, "%s", problem.text);
	ck_assert_uint_eq(publish.host.port, g->host_port);
	ck_assert_uint_eq(publish.guest_port, g->guest_port);
	ck_assert_int_eq(publish.udp, g->udp);
	if (g->host)
		ck_assert_str_eq(addr_format(&publish.host.addr, text), g->host);
	else
		ck_assert_int_eq(publish.host.addr.family, AF_UNSPEC);
	if (g->guest)
		ck_assert_str_eq(addr_format(&publish.guest, text), g->guest);
	else
		ck_assert_int_eq(publish.guest.family, AF_UNSPEC);
}
END_TEST

static const char *const bads[] = {
	"",
	":",
	"80",
	"80/tcp",
	"8080:",
	":80",
	"8080:80/",
	"8080:80/TCP",
	"8080:80/tcp/udp",
	"-1:80",
	"+1:80",
	" 8080:80",
	"8080:80 ",
	"65536:80",
	"8080:000080",
	"1.2.3:8080:80",
	"::1:8080:80",
	"[::1:8080:80",
	"[::1]x:8080:80",
	"1:2:3:4:5",
	"127.0.0.1:8080:guest:80",
	"0x50:80",
	"111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
	"111111111111111111111111111111111111111111111111111111111111111111111111111111111111:1",
};

START_TEST(test_bad)
{
	struct publish publish;
	struct problem problem;

	memset(&publish, 0x5a, sizeof(publish));
	ck_assert_msg(publish_parse(bads[_i], &publish, &problem) == -EINVAL, "\"%s\" was taken",
		      bads[_i]);
	ck_assert_ptr_nonnull(strstr(problem.text, "-publish"));
	ck_assert_uint_eq(publish.guest_port, 0x5a5a);
}
END_TEST

static const struct pair {
	const char *a, *b;
	bool conflicts;
} pairs[] = {
	{"8080:80", "8080:81", true},
	{"8080:80", "8081:80", false},
	{"8080:80", "8080:80/udp", false},
	{"127.0.0.1:8080:80", "8080:80", true},
	{"127.0.0.1:8080:80", "127.0.0.2:8080:80", false},
	{"127.0.0.1:8080:80", "0.0.0.0:8080:80", true},
	{"127.0.0.1:8080:80", "[::1]:8080:80", false},
};

START_TEST(test_conflict)
{
	struct publish a, b;
	struct problem problem;

	ck_assert_int_eq(publish_parse(pairs[_i].a, &a, &problem), 0);
	ck_assert_int_eq(publish_parse(pairs[_i].b, &b, &problem), 0);
	ck_assert_int_eq(publish_conflicts(&a, &b), pairs[_i].conflicts);
	ck_assert_int_eq(publish_conflicts(&b, &a), pairs[_i].conflicts);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_publish");
	TCase *tcase = unit_case(suite, "publish", NULL, NULL);

	tcase_add_loop_test(tcase, test_good, 0, (int)(sizeof(goods) / sizeof(goods[0])));
	tcase_add_loop_test(tcase, test_bad, 0, (int)(sizeof(bads) / sizeof(bads[0])));
	tcase_add_loop_test(tcase, test_conflict, 0, (int)(sizeof(pairs) / sizeof(pairs[0])));
	return unit_run(suite);
}
