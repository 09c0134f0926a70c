/* SPDX-License-Identifier: Apache-2.0 */
/* VPNKit's port control: its words for forwards, and the tree that is spoken to by 9P2000. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/vpnkit_ports.h"
#include "api/vpnkit_spec.h"
#include "p9/p9_message.h"
#include "unit.h"

#define SPEC "tcp:127.0.0.1:8080:tcp:192.168.65.2:80"

static struct vpnkit_ports *ports;
static uint8_t message[VPNKIT_MESSAGE_MAX], reply[VPNKIT_MESSAGE_MAX];
static struct wire_writer out;
static struct wire_reader in;
static uint8_t reply_type;
static unsigned started, stopped;
static int start_result;

static int start_forward(void *arg, struct publish_spec *spec, uint64_t *ret_number,
			 char error[static VPNKIT_ERROR_MAX])
{
	(void)arg;
	if (start_result < 0) {
		snprintf(error, VPNKIT_ERROR_MAX, "no");
		return start_result;
	}
	if (spec->local.port == 0)
		spec->local.port = 33000;
	*ret_number = ++started;
	return 0;
}

static void stop_forward(void *arg, uint64_t number)
{
	(void)arg;
	ck_assert_uint_le(number, started);
	stopped++;
}

static const struct vpnkit_ports_ops ops = {.start = start_forward, .stop = stop_forward};

/* ---- A client ---- */

static void begin(uint8_t type)
{
	out = wire_writer(message, sizeof(message));
	wire_put_le32(&out, 0);
	wire_put_u8(&out, type);
	wire_put_le16(&out, 7);
}

/* Sends what was put together; returns whether the reply is no error. */
static bool ask(void)
{
	size_t size = wire_written(&out);
	struct wire_writer w = wire_writer(message, 4);

	wire_put_le32(&w, (uint32_t)size);
	uint8_t type = message[4];
	size_t got = vpnkit_ports_serve(ports, message, size, reply);
	ck_assert_uint_gt(got, 0);
	in = wire_reader(reply, got);
	ck_assert_uint_eq(wire_le32(&in), got);
	reply_type = wire_u8(&in);
	ck_assert_uint_eq(wire_le16(&in), 7);
	ck_assert(reply_type == type + 1 || reply_type == P9_ERROR_REPLY);
	return reply_type != P9_ERROR_REPLY;
}

static void expect_error(int error)
{
	ck_assert(!ask());
	size_t size = wire_le16(&in);
	const char *text = (const char *)wire_bytes(&in, size);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(size, strlen(strerror(error)));
	ck_assert_int_eq(memcmp(text, strerror(error), size), 0);
}

static void put_walk(uint32_t fid, uint32_t new_fid, const char *first, const char *second)
{
	begin(P9_WALK);
	wire_put_le32(&out, fid);
	wire_put_le32(&out, new_fid);
	wire_put_le16(&out, (uint16_t)((first != NULL) + (second != NULL)));
	if (first)
		p9_put_text(&out, first);
	if (second)
		p9_put_text(&out, second);
}

static void put_fid(uint8_t type, uint32_t fid)
{
	begin(type);
	wire_put_le32(&out, fid);
}

static void put_open(uint32_t fid, uint8_t mode)
{
	put_fid(P9_OPEN, fid);
	wire_put_u8(&out, mode);
}

static void put_mkdir(uint32_t fid, const char *name)
{
	put_fid(P9_CREATE, fid);
	p9_put_text(&out, name);
	wire_put_le32(&out, P9_MODE_DIR | 0755);
	wire_put_u8(&out, P9_OPEN_READ);
}

static void put_write(uint32_t fid, const char *text)
{
	put_fid(P9_WRITE, fid);
	wire_put_le64(&out, 0);
	wire_put_le32(&out, (uint32_t)strlen(text));
	wire_put_bytes(&out, text, strlen(text));
}

static void put_read(uint32_t fid, uint64_t offset, uint32_t count)
{
	put_fid(P9_READ, fid);
	wire_put_le64(&out, offset);
	wire_put_le32(&out, count);
}

static const char *read_text(uint32_t fid)
{
	static char text[VPNKIT_MESSAGE_MAX];

	put_read(fid, 0, 4096);
	ck_assert(ask());
	uint32_t size = wire_le32(&in);
	ck_assert_uint_eq(wire_left(&in), size);
	wire_copy(&in, text, size);
	text[size] = '\0';
	return text;
}

static void hello(uint32_t msize)
{
	begin(P9_VERSION_REQUEST);
	wire_put_le32(&out, msize);
	p9_put_text(&out, "9P2000.u");
	ck_assert(ask());
	ck_assert_uint_eq(wire_le32(&in), msize < VPNKIT_MESSAGE_MAX ? msize : VPNKIT_MESSAGE_MAX);
	ck_assert_uint_eq(wire_le16(&in), 6);
	begin(P9_ATTACH);
	wire_put_le32(&out, 0);
	wire_put_le32(&out, P9_NO_FID);
	p9_put_text(&out, "root");
	p9_put_text(&out, "");
	ck_assert(ask());
}

static void make(uint32_t fid, const char *name)
{
	put_walk(0, fid, NULL, NULL);
	ck_assert(ask());
	put_mkdir(fid, name);
	ck_assert(ask());
	put_fid(P9_CLUNK, fid);
	ck_assert(ask());
}

static void open_ctl(uint32_t fid, const char *name)
{
	put_walk(0, fid, name, "ctl");
	ck_assert(ask());
	put_open(fid, 2);
	ck_assert(ask());
}

static void setup(void)
{
	started = stopped = 0;
	start_result = 0;
	ck_assert_int_eq(vpnkit_ports_new(&ops, NULL, &ports), 0);
}

static void teardown(void)
{
	vpnkit_ports_free(ports);
	ck_assert_uint_eq(started, stopped);
}

/* ---- Tests ---- */

START_TEST(test_spec)
{
	static const struct {
		const char *text, *again; /* NULL: refused */
	} cases[] = {
		{SPEC, SPEC},
		{" " SPEC "\n", SPEC},
		{"udp:0.0.0.0:53:udp:10.0.0.1:53", "udp:0.0.0.0:53:udp:10.0.0.1:53"},
		{"tcp:1.2.3.4:0:tcp:10.0.0.1:53", "tcp:1.2.3.4:0:tcp:10.0.0.1:53"},
		{"tcp:[::1]:80:tcp:[fd00::2]:80", "tcp:[::1]:80:tcp:[fd00::2]:80"},
		{"tcp:::1:80:tcp:fd00::2:80", "tcp:[::1]:80:tcp:[fd00::2]:80"},
		{"", NULL},
		{"tcp:", NULL},
		{"tcp:127.0.0.1:8080", NULL},
		{"tcp:127.0.0.1:8080:udp:192.168.65.2:80", NULL},
		{"tcp:127.0.0.1:8080:tcp:192.168.65.2:0", NULL},
		{"tcp:127.0.0.1:65536:tcp:192.168.65.2:80", NULL},
		{"tcp:127.0.0.1:80x:tcp:192.168.65.2:80", NULL},
		{"tcp:127.0.0.1::tcp:192.168.65.2:80", NULL},
		{"tcp::80:tcp:192.168.65.2:80", NULL},
		{"tcp:localhost:80:tcp:192.168.65.2:80", NULL},
		{"tcp:[::1:80:tcp:192.168.65.2:80", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct publish_spec spec;
		char text[VPNKIT_SPEC_MAX];
		int r = vpnkit_spec_parse(cases[i].text, strlen(cases[i].text), &spec);

		ck_assert_msg(r == (cases[i].again ? 0 : -EINVAL), "%s: %d", cases[i].text, r);
		if (r == 0)
			ck_assert_str_eq(vpnkit_spec_format(&spec, text), cases[i].again);
	}
}
END_TEST

START_TEST(test_forward)
{
	hello(8192);
	make(1, "web");
	open_ctl(2, "web");
	ck_assert_int_eq(strncmp(read_text(2), "ERROR ", 6), 0);
	put_write(2, SPEC "\n");
	ck_assert(ask());
	ck_assert_uint_eq(wire_le32(&in), strlen(SPEC) + 1);
	ck_assert_str_eq(read_text(2), "OK " SPEC "\n");
	ck_assert_uint_eq(started, 1);
	put_write(2, SPEC);
	expect_error(EBUSY);
	/* Another handle of the file comes and goes. */
	open_ctl(3, "web");
	put_fid(P9_CLUNK, 3);
	ck_assert(ask());
	ck_assert_uint_eq(stopped, 0);
	put_fid(P9_CLUNK, 2);
	ck_assert(ask());
	ck_assert_uint_eq(stopped, 1);
	put_walk(0, 4, "web", NULL);
	expect_error(ENOENT);
}
END_TEST

START_TEST(test_refused)
{
	hello(8192);
	make(1, "web");
	open_ctl(2, "web");
	start_result = -EADDRINUSE;
	put_write(2, SPEC);
	ck_assert(ask());
	ck_assert_str_eq(read_text(2), "ERROR no\n");
	put_write(2, "tcp");
	ck_assert(ask());
	ck_assert_str_eq(read_text(2), "ERROR expected tcp:IP:PORT:tcp:IP:PORT, or udp twice\n");
	/* What failed can be tried again. */
	start_result = 0;
	put_write(2, "tcp:127.0.0.1:0:tcp:192.168.65.2:80");
	ck_assert(ask());
	ck_assert_str_eq(read_text(2), "OK tcp:127.0.0.1:33000:tcp:192.168.65.2:80\n");
}
END_TEST

START_TEST(test_removed)
{
	hello(8192);
	make(1, "web");
	open_ctl(2, "web");
	put_write(2, SPEC);
	ck_assert(ask());
	put_walk(0, 3, "web", NULL);
	ck_assert(ask());
	put_fid(P9_REMOVE, 3);
	ck_assert(ask());
	ck_assert_uint_eq(stopped, 1);
	/* The file is still open, and of no use. */
	put_read(2, 0, 100);
	expect_error(ENOENT);
	put_write(2, SPEC);
	expect_error(ENOENT);
	put_fid(P9_STAT, 2);
	expect_error(ENOENT);
	make(3, "web");
	put_fid(P9_CLUNK, 2);
	ck_assert(ask());
	put_walk(0, 2, "web", "ctl");
	ck_assert(ask());
	put_fid(P9_REMOVE, 2);
	expect_error(EPERM);
	put_fid(P9_CLUNK, 2);
	expect_error(EBADF);
}
END_TEST

START_TEST(test_version_resets)
{
	hello(8192);
	make(1, "web");
	open_ctl(2, "web");
	put_write(2, SPEC);
	ck_assert(ask());
	hello(512);
	ck_assert_uint_eq(stopped, 1);
	put_walk(0, 1, "web", NULL);
	expect_error(ENOENT);
}
END_TEST

/* A directory of many is read in pieces, each entry once. */
START_TEST(test_listing)
{
	uint64_t offset = 0;
	unsigned entries = 0;
	char name[16];

	hello(512);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		make(1, name);
	}
	put_walk(0, 1, NULL, NULL);
	ck_assert(ask());
	put_open(1, 0);
	ck_assert(ask());
	for (;;) {
		put_read(1, offset, 8192);
		ck_assert(ask());
		uint32_t size = wire_le32(&in);
		ck_assert_uint_le(size, 512 - P9_READ_EXTRA);
		if (size == 0)
			break;
		offset += size;
		while (wire_left(&in)) {
			uint16_t one = wire_le16(&in);
			struct wire_reader stat = wire_sub(&in, one);
			wire_skip(&stat, 2 + 4 + 13 + 4 + 4 + 4 + 8);
			uint16_t name_size = wire_le16(&stat);
			const char *text = (const char *)wire_bytes(&stat, name_size);
			ck_assert(wire_ok(&stat));
			snprintf(name, sizeof(name), "name%u", entries - 1);
			ck_assert_int_eq(strncmp(text, entries ? name : "README", name_size), 0);
			entries++;
		}
	}
	ck_assert_uint_eq(entries, 21);
	put_read(1, 5, 100);
	expect_error(EINVAL);
}
END_TEST

START_TEST(test_what_may_not_be)
{
	put_fid(P9_STAT, 0);
	expect_error(EPROTO);
	hello(8192);
	make(1, "web");
	put_walk(0, 1, NULL, NULL);
	ck_assert(ask());
	static const char *const names[] = {"", ".", "..", "a/b", "a b", "web", "README"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		put_mkdir(1, names[i]);
		expect_error(i < 5 ? EINVAL : EEXIST);
	}
	put_walk(0, 1, NULL, NULL);
	expect_error(EBADF); /* the fid is taken */
	put_walk(0, 2, "README", NULL);
	ck_assert(ask());
	put_open(2, P9_OPEN_WRITE);
	expect_error(EACCES);
	put_walk(2, 3, "x", NULL);
	expect_error(ENOTDIR);
	put_open(1, 2);
	expect_error(EISDIR);
	put_walk(0, 3, "web", "ctl");
	ck_assert(ask());
	put_read(3, 0, 10);
	expect_error(EBADF); /* not open */
	put_walk(0, 4, "web", "else");
	ck_assert(ask()); /* half of the way: the fid isn't made */
	ck_assert_uint_eq(wire_le16(&in), 1);
	put_fid(P9_STAT, 4);
	expect_error(EBADF);
	begin(200);
	expect_error(ENOTSUP);
	begin(P9_OPEN);
	wire_put_u8(&out, 1);
	expect_error(EBADMSG);
}
END_TEST

START_TEST(test_bounds)
{
	char name[16];

	hello(8192);
	for (unsigned i = 0; i < VPNKIT_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		make(1, name);
	}
	put_walk(0, 1, NULL, NULL);
	ck_assert(ask());
	put_mkdir(1, "more");
	expect_error(ENOSPC);
	for (uint32_t fid = 2; fid < VPNKIT_FIDS_MAX; fid++) {
		put_walk(0, fid, "n1", "ctl");
		ck_assert(ask());
	}
	put_walk(0, VPNKIT_FIDS_MAX, NULL, NULL);
	expect_error(ENFILE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vpnkit");
	TCase *tcase = unit_case(suite, "all", setup, teardown);

	tcase_add_test(tcase, test_spec);
	tcase_add_test(tcase, test_forward);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_removed);
	tcase_add_test(tcase, test_version_resets);
	tcase_add_test(tcase, test_listing);
	tcase_add_test(tcase, test_what_may_not_be);
	tcase_add_test(tcase, test_bounds);
	return unit_run(suite);
}
