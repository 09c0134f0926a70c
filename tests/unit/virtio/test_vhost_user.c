/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of virtio/vhost_user: negotiation, memory, rings, and front-ends that come, go and
 * misbehave. The device behind it returns every chain at once. */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "fake_driver.h"
#include "virtio/vhost_user.h"
#include "unit.h"

#define FEATURES (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX))
#define DATA     (FAKE_GUEST_BASE + 0x100000)

static char path[64];
static struct loop *loop;
static struct vhost_user *vu;
static struct fake_mem mem;
static struct fake_front_end fe;
static struct fake_ring ring;

/* The device. */
static struct virtq *queues[2];
static unsigned started, stopped, attached, detached;
static uint64_t mtu;

static void on_started(void *arg, unsigned index, struct virtq *vq)
{
	(void)arg;
	ck_assert_ptr_null(queues[index]);
	queues[index] = vq;
	started++;
}

static void on_kicked(void *arg, unsigned index)
{
	struct iovec iov[4];
	struct virtq_chain chain = {.iov = iov, .iov_max = 4};
	int r;

	(void)arg;
	ck_assert_ptr_nonnull(queues[index]);
	while ((r = virtq_pop(queues[index], &chain)) > 0)
		virtq_push(queues[index], chain.head, 7);
	if (r < 0)
		vhost_user_queue_broken(vu, index);
	virtq_notify(queues[index]);
	virtq_kicks_on(queues[index]);
}

static void on_stopped(void *arg, unsigned index)
{
	(void)arg;
	ck_assert_ptr_nonnull(queues[index]);
	queues[index] = NULL;
	stopped++;
}

static int on_config(void *arg, uint32_t offset, uint32_t size, uint8_t *to)
{
	(void)arg;
	if (offset + size > 8)
		return -1;
	memcpy(to, &"ABCDEFGH"[offset], size);
	return 0;
}

static int on_message(void *arg, const struct vhost_msg *msg)
{
	(void)arg;
	if (msg->header.request != VHOST_NET_SET_MTU)
		return -95;
	mtu = msg->u64;
	return 0;
}

static void on_attached(void *arg)
{
	(void)arg;
	attached++;
}

static void on_detached(void *arg)
{
	(void)arg;
	detached++;
}

static const struct vhost_device_ops ops = {
	.queue_started = on_started,
	.queue_kicked = on_kicked,
	.queue_stopped = on_stopped,
	.config_read = on_config,
	.message = on_message,
	.attached = on_attached,
	.detached = on_detached,
};

static void setup(void)
{
	const struct vhost_conf conf = {.name = "test",
					.features = FEATURES,
					.queue_count = 2,
					.queue_num = 1,
					.ops = &ops};

	log_set_levels("error");
	log_set_file("/dev/null");
	snprintf(path, sizeof(path), "/tmp/np-test-vhost-%d", (int)getpid());
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(vhost_user_new(loop, path, &conf, &vu), 0);
	fake_mem_init(&mem);
	fake_ring_init(&ring, &mem, 0, 8);
	fake_connect(&fe, loop, path);
	started = stopped = attached = detached = 0;
	mtu = 0;
}

static void teardown(void)
{
	fake_close(&fe);
	vhost_user_free(vu);
	loop_free(loop);
	ck_assert_uint_eq(started, stopped);
	ck_assert_ptr_null(queues[0]);
	fd_close(&ring.kick_fd);
	fd_close(&ring.call_fd);
	fake_mem_destroy(&mem);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_uint_eq(fake_count_maps(), 0);
}

/* One chain through queue 0. */
static void roundtrip(void)
{
	uint32_t id, size;

	fake_desc(&ring, 2, DATA, 1, 0, 0);
	fake_offer(&ring, 2);
	fake_kick(&ring);
	fake_settle(loop);
	ck_assert(fake_used(&ring, &id, &size));
	ck_assert_uint_eq(id, 2);
	ck_assert_uint_eq(size, 7);
}

START_TEST(negotiates)
{
	struct vhost_msg config = {.header = {.request = VHOST_GET_CONFIG},
				   .payload = VHOST_PAYLOAD_CONFIG,
				   .config = {.offset = 2, .size = 4}};
	struct vhost_msg reply;

	ck_assert_uint_eq(fake_get(&fe, VHOST_GET_FEATURES),
			  FEATURES | FEATURE(VHOST_USER_F_PROTOCOL_FEATURES));
	ck_assert_uint_eq(fake_get(&fe, VHOST_GET_PROTOCOL_FEATURES),
			  FEATURE(VHOST_PROTOCOL_MQ) | FEATURE(VHOST_PROTOCOL_REPLY_ACK) |
				  FEATURE(VHOST_PROTOCOL_CONFIG) |
				  FEATURE(VHOST_PROTOCOL_RESET_DEVICE) |
				  FEATURE(VHOST_PROTOCOL_CONFIGURE_MEM_SLOTS));
	ck_assert_uint_eq(fake_get(&fe, VHOST_GET_QUEUE_NUM), 1);
	ck_assert_uint_eq(fake_get(&fe, VHOST_GET_MAX_MEM_SLOTS), GUEST_MEM_REGIONS_MAX);
	fake_send(&fe, &config);
	ck_assert(fake_reply(&fe, &reply));
	ck_assert_uint_eq(reply.config.size, 4);
	ck_assert_mem_eq(reply.config.data, "CDEF", 4);
	config.config.offset = 6;
	fake_send(&fe, &config);
	ck_assert(fake_reply(&fe, &reply));
	ck_assert_uint_eq(reply.config.size, 0);
	fake_negotiate(&fe, &mem, FEATURES);
	ck_assert_uint_eq(vhost_user_features(vu),
			  FEATURES | FEATURE(VHOST_USER_F_PROTOCOL_FEATURES));
	/* Not offered. */
	ck_assert_uint_ne(
		fake_set_u64(&fe, VHOST_SET_FEATURES, FEATURE(VIRTIO_F_INDIRECT_DESC), -1), 0);
	ck_assert_uint_eq(fake_set_u64(&fe, VHOST_NET_SET_MTU, 9000, -1), 0);
	ck_assert_uint_eq(mtu, 9000);
	ck_assert_uint_ne(fake_set_u64(&fe, VHOST_SEND_RARP, 0, -1), 0);
}
END_TEST

START_TEST(runs_stops_and_goes_on)
{
	fake_negotiate(&fe, &mem, FEATURES);
	fake_ring_start(&fe, &ring, 0, 0);
	ck_assert_uint_eq(started, 1);
	roundtrip();
	roundtrip();
	ck_assert_uint_eq(fake_ring_stop(&fe, &ring, 0), 2);
	ck_assert_uint_eq(stopped, 1);
	fake_ring_start(&fe, &ring, 0, 2);
	roundtrip();
	ck_assert_uint_eq(fake_set_vring(&fe, VHOST_SET_VRING_ENABLE, 0, 0), 0);
	ck_assert_uint_eq(stopped, 2);
	ck_assert_uint_eq(fake_set_vring(&fe, VHOST_SET_VRING_ENABLE, 0, 1), 0);
	roundtrip();
}
END_TEST

/* What a back-end that was killed had returned, the driver may not have been told. */
START_TEST(driver_is_called_at_the_start)
{
	eventfd_t calls;

	fake_negotiate(&fe, &mem, FEATURES);
	fake_ring_start(&fe, &ring, 0, 0);
	ck_assert_int_eq(eventfd_read(ring.call_fd, &calls), 0);
}
END_TEST

START_TEST(memory_may_change_below)
{
	struct vhost_msg table = {.header = {.request = VHOST_SET_MEM_TABLE},
				  .payload = VHOST_PAYLOAD_MEM_TABLE,
				  .mem_table = {1, {fake_mem_spec()}},
				  .fds = {mem.fd},
				  .fd_count = 1};
	struct vhost_msg region = {.header = {.request = VHOST_ADD_MEM_REG},
				   .payload = VHOST_PAYLOAD_MEM_REGION,
				   .mem_region = {0x1000, 0x1000, 0x5000, 0},
				   .fds = {mem.fd},
				   .fd_count = 1};

	fake_negotiate(&fe, &mem, FEATURES);
	fake_ring_start(&fe, &ring, 0, 0);
	roundtrip();
	ck_assert_uint_eq(fake_set(&fe, &table), 0);
	ck_assert_uint_eq(started, 2);
	roundtrip();
	ck_assert_uint_eq(fake_set(&fe, &region), 0);
	ck_assert_uint_ne(fake_set(&fe, &region), 0); /* there already */
	ck_assert_uint_eq(started, 2);
	roundtrip();
	region.header.request = VHOST_REM_MEM_REG;
	ck_assert_uint_eq(fake_set(&fe, &region), 0);
	ck_assert_uint_ne(fake_set(&fe, &region), 0);
	roundtrip();
	/* Larger than its file: refused, and there is no memory from then on. */
	table.mem_table.regions[0].size++;
	ck_assert_uint_ne(fake_set(&fe, &table), 0);
	ck_assert_ptr_null(queues[0]);
	/* No fd. */
	table.mem_table.regions[0].size--;
	table.fd_count = 0;
	ck_assert_uint_ne(fake_set(&fe, &table), 0);
	table.fd_count = 1;
	ck_assert_uint_eq(fake_set(&fe, &table), 0);
	roundtrip();
}
END_TEST

START_TEST(bad_requests_are_answered)
{
	const struct {
		uint32_t request, index, num;
	} bad[] = {
		{VHOST_SET_VRING_NUM, 2, 8},      {VHOST_SET_VRING_NUM, 0, 0},
		{VHOST_SET_VRING_NUM, 0, 7},      {VHOST_SET_VRING_NUM, 0, 65536},
		{VHOST_SET_VRING_BASE, 9, 0},     {VHOST_SET_VRING_BASE, 0, 65536},
		{VHOST_SET_VRING_ENABLE, 2, 1},   {VHOST_SET_VRING_ENABLE, 0, 2},
		{VHOST_SET_VRING_ENABLE, ~0u, 1}, {VHOST_GET_VRING_BASE, 77, 0},
	};
	int fd = eventfd(0, EFD_CLOEXEC);

	fake_negotiate(&fe, &mem, FEATURES);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_uint_ne(fake_set_vring(&fe, bad[i].request, bad[i].index, bad[i].num), 0);
	ck_assert_uint_ne(fake_set_u64(&fe, VHOST_SET_VRING_KICK, 5, fd), 0);
	ck_assert_uint_ne(fake_set_u64(&fe, VHOST_SET_VRING_KICK, 0, -1), 0);
	ck_assert_uint_ne(fake_set_u64(&fe, VHOST_SET_VRING_KICK, 0x100, -1), 0); /* polling */
	ck_assert_uint_ne(fake_set_u64(&fe, VHOST_SET_VRING_CALL, 0x100, fd), 0);
	ck_assert_uint_eq(fake_set_u64(&fe, VHOST_SET_VRING_CALL, 0x100, -1), 0);
	close(fd);
	/* Unknown, but an answer is asked for. */
	struct vhost_msg unknown = {.header = {.request = 99, .need_reply = true}};
	struct vhost_msg reply;

	fake_send(&fe, &unknown);
	ck_assert(fake_reply(&fe, &reply));
	ck_assert_uint_ne(reply.u64, 0);
	/* Nobody would learn of it. */
	unknown.header.need_reply = false;
	fake_send(&fe, &unknown);
	ck_assert(!fake_reply(&fe, &reply));
	ck_assert(!vhost_user_attached(vu));
}
END_TEST

START_TEST(garbage_ends_the_connection)
{
	static const uint8_t version_3[12] = {1, 0, 0, 0, 3};
	static const uint8_t too_long[12] = {2, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t wrong_size[16] = {2, 0, 0, 0, 1, 0, 0, 0, 4};
	static const struct {
		const uint8_t *bytes;
		size_t size;
	} garbage[] = {{version_3, 12}, {too_long, 12}, {wrong_size, 16}};
	struct vhost_msg reply;

	for (size_t i = 0; i < 3; i++) {
		ck_assert(vhost_user_attached(vu));
		ck_assert_int_eq(send(fe.fd, garbage[i].bytes, garbage[i].size, 0),
				 (ssize_t)garbage[i].size);
		ck_assert(!fake_reply(&fe, &reply));
		ck_assert(!vhost_user_attached(vu));
		fake_close(&fe);
		fake_connect(&fe, loop, path);
	}
}
END_TEST

START_TEST(arrives_byte_by_byte)
{
	static const uint8_t get_features[12] = {1, 0, 0, 0, 1};
	struct vhost_msg reply;

	for (unsigned i = 0; i < 12; i++) {
		ck_assert_int_eq(send(fe.fd, get_features + i, 1, 0), 1);
		fake_settle(loop);
	}
	ck_assert(fake_reply(&fe, &reply));
	ck_assert_uint_eq(reply.u64, FEATURES | FEATURE(VHOST_USER_F_PROTOCOL_FEATURES));
}
END_TEST

START_TEST(broken_queue_is_reported)
{
	int err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t count;

	fake_negotiate(&fe, &mem, FEATURES);
	ck_assert_uint_eq(fake_set_u64(&fe, VHOST_SET_VRING_ERR, 0, err_fd), 0);
	fake_ring_start(&fe, &ring, 0, 0);
	fake_offer(&ring, 99);
	fake_kick(&ring);
	fake_settle(loop);
	ck_assert_int_eq(eventfd_read(err_fd, &count), 0);
	ck_assert_uint_eq(vhost_user_counters(vu).queues_broken, 1);
	fake_kick(&ring);
	fake_settle(loop);
	ck_assert_uint_eq(vhost_user_counters(vu).queues_broken, 1);
	/* The guest resets the device. */
	fake_ring_stop(&fe, &ring, 0);
	fake_ring_init(&ring, &mem, 0, 8);
	fake_ring_start(&fe, &ring, 0, 0);
	roundtrip();
	close(err_fd);
}
END_TEST

START_TEST(second_front_end_is_refused)
{
	struct fake_front_end second;
	struct vhost_msg reply;

	fake_connect(&second, loop, path);
	ck_assert(!fake_reply(&second, &reply));
	fake_close(&second);
	ck_assert_uint_eq(vhost_user_counters(vu).refused, 1);
	fake_negotiate(&fe, &mem, FEATURES);
}
END_TEST

START_TEST(front_ends_die_ten_times)
{
	unsigned fds = 0;

	for (unsigned i = 0; i < 10; i++) {
		fake_ring_init(&ring, &mem, 0, 8);
		fake_negotiate(&fe, &mem, FEATURES);
		fake_ring_start(&fe, &ring, 0, 0);
		roundtrip();
		ck_assert_uint_eq(fake_count_maps(), 2);
		/* With half a message on the way and no good-bye; the next is there before we look.
		 */
		ck_assert_int_eq(send(fe.fd, "\5\0\0", 3, 0), 3);
		fd_close(&fe.fd);
		fake_connect(&fe, loop, path);
		ck_assert_uint_eq(fake_count_maps(), 1);
		ck_assert_uint_eq(detached, i + 1);
		fd_close(&ring.kick_fd);
		fd_close(&ring.call_fd);
		if (i == 0)
			fds = fake_count_fds();
		ck_assert_uint_eq(fake_count_fds(), fds);
	}
	ck_assert_uint_eq(vhost_user_counters(vu).front_ends, 11);
}
END_TEST

START_TEST(reset_device_starts_anew)
{
	struct vhost_msg reset = {.header = {.request = VHOST_RESET_DEVICE}};

	fake_negotiate(&fe, &mem, FEATURES);
	fake_ring_start(&fe, &ring, 0, 0);
	roundtrip();
	ck_assert_uint_eq(fake_set(&fe, &reset), 0);
	ck_assert_uint_eq(stopped, 1);
	ck_assert_uint_eq(vhost_user_features(vu), 0);
	fd_close(&ring.kick_fd);
	fd_close(&ring.call_fd);
	fake_ring_init(&ring, &mem, 0, 8);
	fake_negotiate(&fe, &mem, FEATURES);
	fake_ring_start(&fe, &ring, 0, 0);
	roundtrip();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost_user");
	TCase *tcase = unit_case(suite, "vhost_user", setup, teardown);

	tcase_add_test(tcase, negotiates);
	tcase_add_test(tcase, runs_stops_and_goes_on);
	tcase_add_test(tcase, driver_is_called_at_the_start);
	tcase_add_test(tcase, memory_may_change_below);
	tcase_add_test(tcase, bad_requests_are_answered);
	tcase_add_test(tcase, garbage_ends_the_connection);
	tcase_add_test(tcase, arrives_byte_by_byte);
	tcase_add_test(tcase, broken_queue_is_reported);
	tcase_add_test(tcase, second_front_end_is_refused);
	tcase_add_test(tcase, front_ends_die_ten_times);
	tcase_add_test(tcase, reset_device_starts_anew);
	return unit_run(suite);
}
