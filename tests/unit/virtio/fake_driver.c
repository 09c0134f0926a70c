/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_driver.h. Layout of a ring's 64 KiB: descriptors at 0, available at 32 KiB, used at 48
 * KiB. */
#include "fake_driver.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "base/wire.h"

#define AVAIL_AT (32u << 10)
#define USED_AT  (48u << 10)
/* The loop is turned this often before a wait counts as failed, one millisecond each. */
#define TURNS_MAX 5000

void fake_mem_init(struct fake_mem *mem)
{
	mem->fd = memfd_create("fake-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_ge(mem->fd, 0);
	ck_assert_int_eq(ftruncate(mem->fd, FAKE_MEM_SIZE), 0);
	mem->bytes = mmap(NULL, FAKE_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
	ck_assert_ptr_ne(mem->bytes, MAP_FAILED);
}

void fake_mem_destroy(struct fake_mem *mem)
{
	munmap(mem->bytes, FAKE_MEM_SIZE);
	fd_close(&mem->fd);
}

struct guest_region_spec fake_mem_spec(void)
{
	return (struct guest_region_spec){
		.guest_addr = FAKE_GUEST_BASE, .size = FAKE_MEM_SIZE, .user_addr = FAKE_USER_BASE};
}

void fake_ring_init(struct fake_ring *ring, struct fake_mem *mem, uint32_t offset, uint16_t size)
{
	*ring = (struct fake_ring){
		.mem = mem, .offset = offset, .size = size, .kick_fd = -1, .call_fd = -1};
	memset(mem->bytes + offset, 0, 64 << 10);
}

struct virtq_conf fake_ring_conf(const struct fake_ring *ring)
{
	return (struct virtq_conf){
		.size = ring->size,
		.desc_user = FAKE_USER_BASE + ring->offset,
		.avail_user = FAKE_USER_BASE + ring->offset + AVAIL_AT,
		.used_user = FAKE_USER_BASE + ring->offset + USED_AT,
		.call_fd = ring->call_fd,
	};
}

void fake_desc_at(struct fake_mem *mem, uint32_t offset, uint64_t addr, uint32_t size,
		  uint16_t flags, uint16_t next)
{
	struct wire_writer w = wire_writer(mem->bytes + offset, 16);

	wire_put_le64(&w, addr);
	wire_put_le32(&w, size);
	wire_put_le16(&w, flags);
	wire_put_le16(&w, next);
}

void fake_desc(struct fake_ring *ring, uint16_t index, uint64_t addr, uint32_t size, uint16_t flags,
	       uint16_t next)
{
	fake_desc_at(ring->mem, ring->offset + index * 16u, addr, size, flags, next);
}

static uint16_t *shared16(const struct fake_ring *ring, uint32_t at)
{
	return (uint16_t *)(ring->mem->bytes + ring->offset + at);
}

void fake_offer(struct fake_ring *ring, uint16_t head)
{
	*shared16(ring, AVAIL_AT + 4 + 2u * (ring->avail_idx & (ring->size - 1))) = head;
	__atomic_store_n(shared16(ring, AVAIL_AT + 2), ++ring->avail_idx, __ATOMIC_SEQ_CST);
}

bool fake_used(struct fake_ring *ring, uint32_t *ret_id, uint32_t *ret_size)
{
	uint32_t at = USED_AT + 4 + 8u * (ring->used_seen & (ring->size - 1));
	struct wire_reader r;

	if (__atomic_load_n(shared16(ring, USED_AT + 2), __ATOMIC_SEQ_CST) == ring->used_seen)
		return false;
	ring->used_seen++;
	r = wire_reader(ring->mem->bytes + ring->offset + at, 8);
	*ret_id = wire_le32(&r);
	*ret_size = wire_le32(&r);
	return true;
}

void fake_kick(struct fake_ring *ring)
{
	ck_assert_int_eq(eventfd_write(ring->kick_fd, 1), 0);
}

uint16_t fake_used_flags(const struct fake_ring *ring)
{
	return *shared16(ring, USED_AT);
}

void fake_avail_flags(struct fake_ring *ring, uint16_t flags)
{
	*shared16(ring, AVAIL_AT) = flags;
}

void fake_used_event(struct fake_ring *ring, uint16_t event)
{
	*shared16(ring, AVAIL_AT + 4 + 2u * ring->size) = event;
}

uint16_t fake_avail_event(const struct fake_ring *ring)
{
	return *shared16(ring, USED_AT + 4 + 8u * ring->size);
}

void fake_settle(struct loop *loop)
{
	for (unsigned i = 0; i < 50; i++)
		loop_run_once(loop, false);
}

void fake_connect(struct fake_front_end *fe, struct loop *loop, const char *path)
{
	fe->loop = loop;
	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &fe->fd), 0);
	fake_settle(loop);
}

void fake_close(struct fake_front_end *fe)
{
	fd_close(&fe->fd);
	fake_settle(fe->loop);
}

void fake_send(struct fake_front_end *fe, const struct vhost_msg *msg)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	struct iovec iov = {bytes, vhost_msg_encode(msg, bytes, sizeof(bytes))};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_FDS_MAX)];
	} control = {0};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};

	if (msg->fd_count) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * msg->fd_count);
		memcpy(CMSG_DATA(&control.header), msg->fds, sizeof(int) * msg->fd_count);
		hdr.msg_control = &control;
		hdr.msg_controllen = CMSG_SPACE(sizeof(int) * msg->fd_count);
	}
	ck_assert_int_eq(sendmsg(fe->fd, &hdr, MSG_NOSIGNAL), iov.iov_len);
}

static bool receive(struct fake_front_end *fe, uint8_t *to, size_t size)
{
	size_t have = 0;

	for (unsigned turn = 0; have < size && turn < TURNS_MAX; turn++) {
		struct pollfd pfd = {.fd = fe->fd, .events = POLLIN};

		loop_run_once(fe->loop, false);
		if (poll(&pfd, 1, turn ? 1 : 0) <= 0)
			continue;
		ssize_t got = recv(fe->fd, to + have, size - have, 0);

		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	ck_assert_msg(have == size, "the back-end does not answer");
	return true;
}

bool fake_reply(struct fake_front_end *fe, struct vhost_msg *ret)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];

	memset(ret, 0, sizeof(*ret));
	if (!receive(fe, bytes, VHOST_HEADER_SIZE))
		return false;
	ck_assert_int_eq(vhost_header_decode(bytes, &ret->header), 0);
	ck_assert(ret->header.reply);
	ck_assert(receive(fe, bytes, ret->header.size));
	/* An answer may be a u64 where the request had none, or another payload. */
	if (ret->header.size == 8 && ret->header.request != VHOST_GET_VRING_BASE) {
		struct wire_reader r = wire_reader(bytes, 8);

		ret->u64 = wire_le64(&r);
		return true;
	}
	ck_assert_int_eq(vhost_payload_decode(bytes, ret), 0);
	return true;
}

uint64_t fake_get(struct fake_front_end *fe, uint32_t request)
{
	struct vhost_msg msg = {.header = {.request = request}};
	struct vhost_msg reply;

	fake_send(fe, &msg);
	ck_assert(fake_reply(fe, &reply));
	ck_assert_uint_eq(reply.header.request, request);
	return reply.u64;
}

uint64_t fake_set(struct fake_front_end *fe, struct vhost_msg *msg)
{
	struct vhost_msg reply;

	msg->header.need_reply = true;
	fake_send(fe, msg);
	ck_assert(fake_reply(fe, &reply));
	return reply.u64;
}

uint64_t fake_set_u64(struct fake_front_end *fe, uint32_t request, uint64_t value, int fd)
{
	struct vhost_msg msg = {.header = {.request = request},
				.payload = VHOST_PAYLOAD_U64,
				.u64 = value,
				.fds = {fd},
				.fd_count = fd >= 0};

	return fake_set(fe, &msg);
}

uint64_t fake_set_vring(struct fake_front_end *fe, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_msg msg = {.header = {.request = request},
				.payload = VHOST_PAYLOAD_VRING_STATE,
				.vring_state = {index, num}};

	return fake_set(fe, &msg);
}

void fake_negotiate(struct fake_front_end *fe, struct fake_mem *mem, uint64_t features)
{
	struct vhost_msg table = {.header = {.request = VHOST_SET_MEM_TABLE},
				  .payload = VHOST_PAYLOAD_MEM_TABLE,
				  .mem_table = {1, {fake_mem_spec()}},
				  .fds = {mem->fd},
				  .fd_count = 1};
	uint64_t protocol = fake_get(fe, VHOST_GET_PROTOCOL_FEATURES);
	struct vhost_msg set = {.header = {.request = VHOST_SET_PROTOCOL_FEATURES},
				.payload = VHOST_PAYLOAD_U64,
				.u64 = protocol};

	ck_assert_uint_eq(fake_get(fe, VHOST_GET_FEATURES) & features, features);
	fake_send(fe, &set);
	ck_assert_uint_eq(fake_set_u64(fe, VHOST_SET_FEATURES,
				       features | FEATURE(VHOST_USER_F_PROTOCOL_FEATURES), -1),
			  0);
	ck_assert_uint_eq(fake_set(fe, &table), 0);
}

void fake_ring_start(struct fake_front_end *fe, struct fake_ring *ring, uint32_t index,
		     uint16_t base)
{
	struct virtq_conf conf = fake_ring_conf(ring);
	struct vhost_msg addr = {.header = {.request = VHOST_SET_VRING_ADDR},
				 .payload = VHOST_PAYLOAD_VRING_ADDR,
				 .vring_addr = {.index = index,
						.desc_user = conf.desc_user,
						.used_user = conf.used_user,
						.avail_user = conf.avail_user}};

	ring->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_uint_eq(fake_set_u64(fe, VHOST_SET_VRING_CALL, index, ring->call_fd), 0);
	ck_assert_uint_eq(fake_set_vring(fe, VHOST_SET_VRING_NUM, index, ring->size), 0);
	ck_assert_uint_eq(fake_set_vring(fe, VHOST_SET_VRING_BASE, index, base), 0);
	ck_assert_uint_eq(fake_set(fe, &addr), 0);
	ck_assert_uint_eq(fake_set_u64(fe, VHOST_SET_VRING_KICK, index, ring->kick_fd), 0);
	ck_assert_uint_eq(fake_set_vring(fe, VHOST_SET_VRING_ENABLE, index, 1), 0);
}

uint16_t fake_ring_stop(struct fake_front_end *fe, struct fake_ring *ring, uint32_t index)
{
	struct vhost_msg msg = {.header = {.request = VHOST_GET_VRING_BASE},
				.payload = VHOST_PAYLOAD_VRING_STATE,
				.vring_state = {.index = index}};
	struct vhost_msg reply;

	fake_send(fe, &msg);
	ck_assert(fake_reply(fe, &reply));
	ck_assert_uint_eq(reply.vring_state.index, index);
	fd_close(&ring->kick_fd);
	fd_close(&ring->call_fd);
	return (uint16_t)reply.vring_state.num;
}

unsigned fake_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

unsigned fake_count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[4096];
	unsigned count = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, "fake-guest") != NULL;
	fclose(file);
	return count;
}
