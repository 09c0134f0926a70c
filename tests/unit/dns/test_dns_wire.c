/* SPDX-License-Identifier: Apache-2.0 */
/* Names, queries and replies on the wire. */
#include <errno.h>

#include "dns_test.h"
#include "unit.h"

START_TEST(names_from_text_and_back)
{
	static const char *const same[] = {"host.internal",      ".",       "a",
					   "_dns.resolver.arpa", "x\\.y.z", "a\\000b.c\\255"};
	struct dns_name name;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		name = test_name(same[i]);
		test_assert_name(&name, same[i]);
	}
	name = test_name("Host.Internal.");
	test_assert_name(&name, "Host.Internal");
	ck_assert_uint_eq(name.size, 15);
	name = test_name("");
	ck_assert_uint_eq(name.size, 1);
}
END_TEST

START_TEST(bad_names_are_refused)
{
	static const char *const bad[] = {"..",  ".a",    "a..b",   "a b",
					  "a\\", "a\\25", "a\\999", "a\n"};
	char label[65], full[300] = "";
	struct dns_name name = {.size = 42};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(dns_name_parse(bad[i], &name), -EINVAL);
	memset(label, 'x', 64);
	label[64] = '\0';
	ck_assert_int_eq(dns_name_parse(label, &name), -EINVAL);
	ck_assert_uint_eq(name.size, 42);
	ck_assert_int_eq(dns_name_parse(label + 1, &name), 0);
	for (int i = 0; i < 127; i++)
		strcat(full, "a.");
	ck_assert_int_eq(dns_name_parse(full, &name), 0);
	ck_assert_uint_eq(name.size, 255);
	strcat(full, "a.");
	ck_assert_int_eq(dns_name_parse(full, &name), -EINVAL);
}
END_TEST

START_TEST(names_compare_by_labels)
{
	struct dns_name name = test_name("WWW.example.COM"), same = test_name("www.EXAMPLE.com");
	struct dns_name zone = test_name("example.com"), other = test_name("ample.com");
	struct dns_name root = test_name("."), front;

	ck_assert(dns_name_equal(&name, &same));
	ck_assert(dns_name_is_within(&name, &zone));
	ck_assert(dns_name_is_within(&zone, &zone));
	ck_assert(dns_name_is_within(&name, &root));
	ck_assert(!dns_name_is_within(&name, &other));
	ck_assert(!dns_name_is_within(&zone, &name));
	dns_name_cut(&name, &zone, &front);
	test_assert_name(&front, "WWW");
	ck_assert_int_eq(dns_name_join(&front, &zone, &same), 0);
	ck_assert(dns_name_equal(&name, &same));
}
END_TEST

/* Reads a name at `offset` of a message. */
static bool read_at(const void *message, size_t size, size_t offset, struct dns_name *ret)
{
	struct wire_reader r = wire_reader(message, size);

	wire_skip(&r, offset);
	dns_name_read(&r, ret);
	return wire_ok(&r);
}

START_TEST(compression_is_followed)
{
	static const uint8_t message[] = "............\001a\002bc\000\003www\300\016\001x\300\022";
	struct wire_reader r = wire_reader(message, sizeof(message) - 1);
	struct dns_name name;

	wire_skip(&r, 18);
	dns_name_read(&r, &name);
	test_assert_name(&name, "www.bc");
	dns_name_read(&r, &name);
	test_assert_name(&name, "x.www.bc");
	ck_assert(wire_ok(&r));
	ck_assert_uint_eq(wire_left(&r), 0);
}
END_TEST

START_TEST(malformed_names_fail)
{
	struct dns_name name;

	/* To itself, forwards, into the header, past the end, reserved length bits, cut label,
	 * loop. */
	ck_assert(!read_at("............\300\014", 14, 12, &name));
	ck_assert_uint_eq(name.size, 1);
	ck_assert(!read_at("............\300\016\000", 15, 12, &name));
	ck_assert(!read_at("............\300\000", 14, 12, &name));
	ck_assert(!read_at("............\300", 13, 12, &name));
	ck_assert(!read_at("............\100a\000", 15, 12, &name));
	ck_assert(!read_at("............\005abc", 16, 12, &name));
	ck_assert(!read_at("............\001a\300\014", 16, 14, &name));
	ck_assert(read_at("............\000\300\014", 15, 13, &name));
}
END_TEST

START_TEST(query_is_decoded)
{
	uint8_t message[512];
	struct dns_query query;
	size_t size = test_query(0x1234, "Example.com", DNS_TYPE_AAAA, 4096, message);

	ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
	ck_assert_int_eq(query.rcode, DNS_RCODE_NOERROR);
	ck_assert_uint_eq(query.id, 0x1234);
	ck_assert(query.has_question);
	test_assert_name(&query.name, "Example.com");
	ck_assert_uint_eq(query.type, DNS_TYPE_AAAA);
	ck_assert(query.has_edns);
	ck_assert_uint_eq(query.udp_size, 4096);
	size = test_query(1, "a", DNS_TYPE_A, 100, message);
	ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
	ck_assert_uint_eq(query.udp_size, DNS_UDP_SIZE_MIN);
}
END_TEST

/* RFC 3225: the DO bit comes back. */
START_TEST(dnssec_ok_is_repeated)
{
	uint8_t message[512], reply[DNS_ANSWER_SIZE_MAX];
	struct dns_query query;
	struct dns_answer answer;

	for (int on = 0; on <= 1; on++) {
		size_t size = test_query(1, "a.b", DNS_TYPE_A, 1232, message);

		message[size - 4] = on ? 0x80 : 0;
		ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
		dns_answer_init(&answer, DNS_RCODE_NXDOMAIN);
		size = dns_answer_encode(&query, &answer, reply, sizeof(reply));
		ck_assert_uint_eq(reply[size - 4], on ? 0x80 : 0);
	}
}
END_TEST

START_TEST(errors_in_queries_are_answered_as_they_should)
{
	uint8_t message[512], reply[DNS_ANSWER_SIZE_MAX];
	struct dns_query query;
	struct dns_answer answer;
	size_t size = test_query(1, "a.b", DNS_TYPE_A, 1232, message);

	ck_assert_int_eq(dns_query_parse(message, DNS_HEADER_SIZE - 1, &query), -EBADMSG);
	for (size_t cut = DNS_HEADER_SIZE; cut < size; cut++) {
		ck_assert_int_eq(dns_query_parse(message, cut, &query), 0);
		ck_assert_int_eq(query.rcode, DNS_RCODE_FORMERR);
	}
	message[size - 5] = 0x01; /* EDNS version */
	ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
	ck_assert_int_eq(query.rcode, DNS_RCODE_BADVERS);
	dns_answer_init(&answer, query.rcode);
	size_t reply_size = dns_answer_encode(&query, &answer, reply, sizeof(reply));
	ck_assert_int_eq(test_read_reply(reply, reply_size).rcode, DNS_RCODE_BADVERS);

	message[2] |= 0x20; /* opcode 4, NOTIFY */
	ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
	ck_assert_int_eq(query.rcode, DNS_RCODE_NOTIMP);
	message[2] = 0x80; /* a reply */
	ck_assert_int_eq(dns_query_parse(message, size, &query), -EBADMSG);
	message[2] = 0;
	message[5] = 2; /* two questions */
	ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
	ck_assert_int_eq(query.rcode, DNS_RCODE_FORMERR);
	ck_assert(!query.has_question);
}
END_TEST

START_TEST(answer_is_encoded)
{
	struct dns_query query = test_parsed_query("x.Example.com", DNS_TYPE_ANY);
	struct addr v4 = test_addr("1.2.3.4"), v6 = test_addr("fd00::1");
	struct dns_name target = test_name("web.vm.internal");
	uint8_t reply[DNS_ANSWER_SIZE_MAX];
	struct dns_answer answer;

	query.has_edns = true;
	dns_answer_init(&answer, DNS_RCODE_NOERROR);
	answer.is_authoritative = true;
	dns_answer_add_addr(&answer, &v4, 5);
	dns_answer_add_addr(&answer, &v6, 5);
	dns_answer_add_ptr(&answer, &target, 5);
	answer.soa_size = test_name("example.com").size;
	size_t size = dns_answer_encode(&query, &answer, reply, sizeof(reply));
	struct test_reply got = test_read_reply(reply, size);

	ck_assert_uint_eq(got.id, 7);
	ck_assert_uint_eq(got.flags, DNS_FLAG_QR | DNS_FLAG_AA | DNS_FLAG_RD | DNS_FLAG_RA);
	test_assert_name(&got.name, "x.Example.com");
	ck_assert_uint_eq(got.answer_count, 3);
	ck_assert_uint_eq(got.authority_count, 1);
	test_assert_addr(&got.records[0].addr, "1.2.3.4");
	test_assert_addr(&got.records[1].addr, "fd00::1");
	test_assert_name(&got.records[2].target, "web.vm.internal");
	test_assert_name(&got.records[3].target, "Example.com");
	ck_assert(got.has_opt);
}
END_TEST

START_TEST(answer_too_large_is_truncated)
{
	char text[300] = "";
	struct dns_answer answer;
	uint8_t reply[DNS_ANSWER_SIZE_MAX];

	for (int i = 0; i < 120; i++)
		strcat(text, "a.");
	struct dns_query query = test_parsed_query(text, DNS_TYPE_AAAA);
	struct addr v6 = test_addr("fd00::1");
	dns_answer_init(&answer, DNS_RCODE_NOERROR);
	for (int i = 0; i < 2 * DNS_ANSWER_RECORDS_MAX; i++)
		dns_answer_add_addr(&answer, &v6, 5);
	ck_assert_uint_eq(answer.count, DNS_ANSWER_RECORDS_MAX);
	query.has_edns = true;
	answer.soa_size = 1;
	struct test_reply got = test_read_reply(reply,
						dns_answer_encode(&query, &answer, reply, 512));
	ck_assert(got.flags & DNS_FLAG_TC);
	ck_assert_uint_eq(got.answer_count, 0);
	got = test_read_reply(reply, dns_answer_encode(&query, &answer, reply, sizeof(reply)));
	ck_assert(!(got.flags & DNS_FLAG_TC));
	ck_assert_uint_eq(got.answer_count, DNS_ANSWER_RECORDS_MAX);
}
END_TEST

START_TEST(replies_are_matched)
{
	struct dns_query query = test_parsed_query("example.com", DNS_TYPE_A);
	uint8_t reply[512];
	size_t size = test_query(0x99, "EXAMPLE.com", DNS_TYPE_A, 0, reply);

	ck_assert(!dns_reply_matches(&query, 0x99, reply, size)); /* a query */
	test_make_reply(reply, size, DNS_RCODE_NOERROR, 0);
	ck_assert(dns_reply_matches(&query, 0x99, reply, size));
	ck_assert(!dns_reply_matches(&query, 0x98, reply, size));
	ck_assert(!dns_reply_matches(&query, 0x99, reply, size - 1));
	ck_assert(!dns_reply_matches(&query, 0x99, reply, 3));
	query.type = DNS_TYPE_AAAA;
	ck_assert(!dns_reply_matches(&query, 0x99, reply, size));
	query = test_parsed_query("example.org", DNS_TYPE_A);
	ck_assert(!dns_reply_matches(&query, 0x99, reply, size));
	/* No question: only with an error. */
	reply[5] = 0;
	ck_assert(!dns_reply_matches(&query, 0x99, reply, DNS_HEADER_SIZE));
	reply[3] |= DNS_RCODE_REFUSED;
	ck_assert(dns_reply_matches(&query, 0x99, reply, DNS_HEADER_SIZE));
	ck_assert_int_eq(dns_reply_rcode(reply), DNS_RCODE_REFUSED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_wire");
	TCase *tc = unit_case(suite, "wire", NULL, NULL);

	tcase_add_test(tc, names_from_text_and_back);
	tcase_add_test(tc, bad_names_are_refused);
	tcase_add_test(tc, names_compare_by_labels);
	tcase_add_test(tc, compression_is_followed);
	tcase_add_test(tc, malformed_names_fail);
	tcase_add_test(tc, query_is_decoded);
	tcase_add_test(tc, dnssec_ok_is_repeated);
	tcase_add_test(tc, errors_in_queries_are_answered_as_they_should);
	tcase_add_test(tc, answer_is_encoded);
	tcase_add_test(tc, answer_too_large_is_truncated);
	tcase_add_test(tc, replies_are_matched);
	return unit_run(suite);
}
