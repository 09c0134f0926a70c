/* SPDX-License-Identifier: Apache-2.0 */
/* How the end of a host's connect looks to the guest. */
#include <errno.h>

#include "forwarder/flow_tcp_connect.h"
#include "unit.h"

/* What isn't named here is RST. */
static const struct {
	int error;
	enum conn_refusal v4, v6;
} expected[] = {
	{ENETUNREACH, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{ENETDOWN, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{ENODEV, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{EAFNOSUPPORT, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{EPFNOSUPPORT, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{EPROTONOSUPPORT, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{ESOCKTNOSUPPORT, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{EINVAL, CONN_REFUSE_NET, CONN_REFUSE_NET},
	{EHOSTUNREACH, CONN_REFUSE_HOST, CONN_REFUSE_HOST},
	{EHOSTDOWN, CONN_REFUSE_HOST, CONN_REFUSE_HOST},
	{ENONET, CONN_REFUSE_HOST, CONN_REFUSE_HOST},
	{EOPNOTSUPP, CONN_REFUSE_HOST, CONN_REFUSE_HOST},
	{EACCES, CONN_REFUSE_ADMIN, CONN_REFUSE_ADMIN},
	{EPERM, CONN_REFUSE_ADMIN, CONN_REFUSE_ADMIN},
	{EADDRNOTAVAIL, CONN_REFUSE_SILENTLY, CONN_REFUSE_NET},
	{ETIMEDOUT, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{EAGAIN, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{EADDRINUSE, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{EMFILE, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{ENFILE, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{ENOBUFS, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{ENOMEM, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{ENOSPC, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{ENOSR, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
	{EINTR, CONN_REFUSE_SILENTLY, CONN_REFUSE_SILENTLY},
};

static const size_t expected_count = sizeof(expected) / sizeof(expected[0]);

START_TEST(every_errno_has_its_answer)
{
	for (int error = 1; error < 134; error++) {
		enum conn_refusal v4 = CONN_REFUSE_RESET, v6 = CONN_REFUSE_RESET;

		for (size_t i = 0; i < expected_count; i++) {
			if (expected[i].error == error) {
				v4 = expected[i].v4;
				v6 = expected[i].v6;
			}
		}
		ck_assert_msg(flow_tcp_refusal(error, AF_INET) == v4, "errno %d, IPv4", error);
		ck_assert_msg(flow_tcp_refusal(error, AF_INET6) == v6, "errno %d, IPv6", error);
	}
	ck_assert_int_eq(flow_tcp_refusal(ECONNREFUSED, AF_INET), CONN_REFUSE_RESET);
}
END_TEST

START_TEST(shortages_are_this_hosts_own)
{
	ck_assert(flow_tcp_is_shortage(EMFILE, AF_INET));
	ck_assert(flow_tcp_is_shortage(ENOBUFS, AF_INET6));
	ck_assert(flow_tcp_is_shortage(EADDRNOTAVAIL, AF_INET));
	ck_assert(!flow_tcp_is_shortage(EADDRNOTAVAIL, AF_INET6));
	ck_assert(!flow_tcp_is_shortage(ETIMEDOUT, AF_INET));
	ck_assert(!flow_tcp_is_shortage(ECONNREFUSED, AF_INET));
	ck_assert(!flow_tcp_is_shortage(EHOSTUNREACH, AF_INET));
}
END_TEST

START_TEST(a_guest_that_repeats_its_syn_is_waiting)
{
	/* Linux sends after 0, 1, 3, 7, 15, 31 and 63 s. */
	static const uint64_t sent_s[] = {0, 1, 3, 7, 15, 31, 63};
	uint64_t gap_ms = 0;

	for (size_t i = 0; i < 6; i++) {
		if (i)
			gap_ms = (sent_s[i] - sent_s[i - 1]) * 1000;
		ck_assert_uint_gt(flow_tcp_waits_until(sent_s[i] * 1000, gap_ms),
				  sent_s[i + 1] * 1000);
	}
	/* After the last one it may still be answered. */
	ck_assert_uint_ge(flow_tcp_waits_until(63000, 32000), FLOW_TCP_CONNECT_TIMEOUT_MS);
	/* Whoever has given up early isn't waited for long. */
	ck_assert_uint_eq(flow_tcp_waits_until(1000, 1000), 11000);
	ck_assert_uint_eq(flow_tcp_waits_until(5, 0), 5 + FLOW_TCP_GIVEN_UP_MS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("connect");
	TCase *tcase = unit_case(suite, "connect", NULL, NULL);

	tcase_add_test(tcase, every_errno_has_its_answer);
	tcase_add_test(tcase, shortages_are_this_hosts_own);
	tcase_add_test(tcase, a_guest_that_repeats_its_syn_is_waiting);
	return unit_run(suite);
}
