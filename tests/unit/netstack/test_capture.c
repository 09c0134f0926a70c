/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of pcapng files, and which frames fit a filter. */
#include <netinet/in.h>
#include <string.h>

#include "netstack/capture.h"
#include "netstack/pcapng.h"
#include "unit.h"

static uint32_t word(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Both sizes of a block say how long it is. */
static void check_block(const uint8_t *block, size_t size, uint32_t type)
{
	ck_assert_uint_eq(size % 4, 0);
	ck_assert_uint_eq(word(block), type);
	ck_assert_uint_eq(word(block + 4), size);
	ck_assert_uint_eq(word(block + size - 4), size);
}

START_TEST(heads)
{
	char name[2 * PCAPNG_NAME_MAX];
	uint8_t block[PCAPNG_INTERFACE_SIZE_MAX];

	check_block(block, pcapng_section(block), 0x0a0d0d0a);
	ck_assert_uint_eq(word(block + 8), 0x1a2b3c4d);
	check_block(block, pcapng_interface("qemu:/x #1", 1000, block), 1);
	ck_assert_uint_eq(word(block + 12), 1000);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	check_block(block, pcapng_interface(name, 1000, block), 1);
}
END_TEST

START_TEST(packets)
{
	uint8_t bytes[100], block[sizeof(bytes) + PCAPNG_PACKET_OVERHEAD];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (uint32_t snaplen = 1; snaplen <= sizeof(bytes); snaplen++) {
		const struct iovec iov[] = {{bytes, 33}, {bytes + 33, sizeof(bytes) - 33}};
		struct pcapng_packet packet = {.interface = 3,
					       .time_ns = 0x123456789abcdef0,
					       .iov = iov,
					       .iov_count = 2,
					       .size = sizeof(bytes),
					       .snaplen = snaplen,
					       .dropped = snaplen & 1};
		size_t size = pcapng_packet(&packet, block);

		ck_assert_uint_le(size, snaplen + PCAPNG_PACKET_OVERHEAD);
		check_block(block, size, 6);
		ck_assert_uint_eq(word(block + 8), 3);
		ck_assert_uint_eq(word(block + 12), 0x12345678);
		ck_assert_uint_eq(word(block + 16), 0x9abcdef0);
		ck_assert_uint_eq(word(block + 20), snaplen);
		ck_assert_uint_eq(word(block + 24), sizeof(bytes));
		ck_assert_mem_eq(block + 28, bytes, snaplen);
	}
}
END_TEST

/* 192.168.65.2:1000 to 10.0.0.1:80, TCP, with an option of 4 bytes. */
static uint8_t tcp4[] = {2, 0,  0, 0, 0, 1, 2,  0,    0, 0,  0,   2,   8,  0, 0x46, 0,
			 0, 44, 0, 0, 0, 0, 64, 6,    0, 0,  192, 168, 65, 2, 10,   0,
			 0, 1,  1, 1, 1, 1, 3,  0xe8, 0, 80, 0,   0,   0,  0, 0,    0};

static bool fits(uint8_t *bytes, size_t size, uint8_t protocol, const char *endpoint)
{
	const struct iovec iov = {bytes, size};
	const struct frame frame = {.iov = &iov, .iov_count = 1, .size = (uint32_t)size};
	struct endpoint wanted = {0};

	if (endpoint[0] == ':')
		wanted.port = (uint16_t)atoi(endpoint + 1);
	else
		ck_assert_int_eq(endpoint_parse(endpoint, false, &wanted), 0);
	return capture_frame_fits(&frame, protocol, &wanted);
}

START_TEST(filters)
{
	ck_assert(fits(tcp4, sizeof(tcp4), IPPROTO_TCP, "192.168.65.2:1000"));
	ck_assert(fits(tcp4, sizeof(tcp4), IPPROTO_TCP, "10.0.0.1:80"));
	ck_assert(fits(tcp4, sizeof(tcp4), IPPROTO_TCP, ":80"));
	ck_assert(!fits(tcp4, sizeof(tcp4), IPPROTO_TCP, "10.0.0.1:1000"));
	ck_assert(!fits(tcp4, sizeof(tcp4), IPPROTO_UDP, "10.0.0.1:80"));
	for (size_t size = 0; size < 42; size++)
		ck_assert(!fits(tcp4, size, IPPROTO_TCP, "10.0.0.1:80"));
	tcp4[21] = 1; /* a later fragment */
	ck_assert(!fits(tcp4, sizeof(tcp4), IPPROTO_TCP, "10.0.0.1:80"));
	tcp4[21] = 0;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("capture");
	TCase *tcase = unit_case(suite, "capture", NULL, NULL);

	tcase_add_test(tcase, heads);
	tcase_add_test(tcase, packets);
	tcase_add_test(tcase, filters);
	return unit_run(suite);
}
