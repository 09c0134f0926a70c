/* SPDX-License-Identifier: Apache-2.0 */
/* What vhost-user messages do to a session; see vhost_session.h. */
#include "virtio/vhost_session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("vhost");

/* In the u64 of SET_VRING_KICK, CALL and ERR. */
#define VRING_INDEX_MASK UINT64_C(0xff)
#define VRING_NO_FD      UINT64_C(0x100)

static uint64_t offered_features(const struct vhost_session *s)
{
	return s->conf->features | FEATURE(VHOST_USER_F_PROTOCOL_FEATURES);
}

static uint64_t offered_protocol_features(const struct vhost_session *s)
{
	uint64_t offered = s->conf->protocol_features | FEATURE(VHOST_PROTOCOL_MQ) |
			   FEATURE(VHOST_PROTOCOL_REPLY_ACK) |
			   FEATURE(VHOST_PROTOCOL_RESET_DEVICE) |
			   FEATURE(VHOST_PROTOCOL_CONFIGURE_MEM_SLOTS);

	if (s->conf->ops->config_read)
		offered |= FEATURE(VHOST_PROTOCOL_CONFIG);
	return offered;
}

static void vring_kicked(void *arg, int fd, unsigned ready)
{
	struct vhost_vring *v = arg;
	uint64_t count;
	ssize_t got = read(fd, &count, sizeof(count));

	(void)ready;
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		log_limited(LOG_LEVEL_WARN,
			    "%s: queue %u: its kick fd can't be read: the queue stops",
			    v->session->conf->name, v->index);
		loop_fd_free(v->kick_watch);
		v->kick_watch = NULL;
		return;
	}
	if (got > 0)
		v->session->conf->ops->queue_kicked(v->session->conf->arg, v->index);
}

static void vring_stop(struct vhost_vring *v)
{
	const struct vhost_conf *conf = v->session->conf;

	if (!v->running)
		return;
	conf->ops->queue_stopped(conf->arg, v->index);
	virtq_notify(&v->vq);
	v->base = v->vq.last_avail;
	v->running = false;
	loop_fd_free(v->kick_watch);
	v->kick_watch = NULL;
	log_debug("%s: queue %u stopped at %u", conf->name, v->index, v->base);
}

static int vring_start(struct vhost_vring *v)
{
	struct vhost_session *s = v->session;
	const struct virtq_conf conf = {
		.size = v->size,
		.base = v->base,
		.desc_user = v->desc_user,
		.avail_user = v->avail_user,
		.used_user = v->used_user,
		.event_idx = s->features & FEATURE(VIRTIO_F_EVENT_IDX),
		.indirect = s->features & FEATURE(VIRTIO_F_INDIRECT_DESC),
		.call_fd = v->call_fd,
	};
	const char *reason;
	int r = virtq_start(&v->vq, &s->mem, &conf, &reason);

	if (r < 0) {
		log_limited(LOG_LEVEL_ERROR, "%s: queue %u can't start: %s", s->conf->name,
			    v->index, reason);
		return r;
	}
	r = loop_fd_new(s->loop, v->kick_fd, LOOP_READ, vring_kicked, v, &v->kick_watch);
	if (r < 0) {
		log_limited(LOG_LEVEL_ERROR,
			    "%s: queue %u can't start: its kick fd can't be watched: %s",
			    s->conf->name, v->index, strerror(-r));
		return r;
	}
	v->running = true;
	log_debug("%s: queue %u runs: %u descriptors, from entry %u", s->conf->name, v->index,
		  v->size, v->base);
	/* A back-end that was killed may have returned chains and not said so. */
	virtq_call(&v->vq);
	s->conf->ops->queue_started(s->conf->arg, v->index, &v->vq);
	s->conf->ops->queue_kicked(s->conf->arg, v->index);
	return 0;
}

/* Starts or stops the ring as its state says. */
static int vring_update(struct vhost_vring *v)
{
	bool wanted = v->kick_fd >= 0 && v->enabled && v->addresses_set && v->size &&
		      v->session->mem.count;

	if (!wanted)
		vring_stop(v);
	else if (!v->running)
		return vring_start(v);
	return 0;
}

static void vring_reset(struct vhost_vring *v)
{
	vring_stop(v);
	fd_close(&v->kick_fd);
	fd_close(&v->call_fd);
	fd_close(&v->err_fd);
	v->size = v->base = 0;
	v->addresses_set = v->enabled = false;
}

void vhost_session_init(struct vhost_session *s, struct loop *loop, const struct vhost_conf *conf)
{
	assert(conf->queue_count <= VHOST_QUEUES_MAX);
	memset(s, 0, sizeof(*s));
	s->loop = loop;
	s->conf = conf;
	for (unsigned i = 0; i < VHOST_QUEUES_MAX; i++) {
		s->vrings[i].session = s;
		s->vrings[i].index = i;
		s->vrings[i].kick_fd = s->vrings[i].call_fd = s->vrings[i].err_fd = -1;
	}
}

static void stop_all(struct vhost_session *s)
{
	for (unsigned i = 0; i < s->conf->queue_count; i++)
		vring_stop(&s->vrings[i]);
}

static int update_all(struct vhost_session *s)
{
	int result = 0;

	for (unsigned i = 0; i < s->conf->queue_count; i++) {
		int r = vring_update(&s->vrings[i]);

		if (r < 0)
			result = r;
	}
	return result;
}

void vhost_session_clear(struct vhost_session *s)
{
	/* All rings first: a device may use one queue while the other one stops. */
	stop_all(s);
	for (unsigned i = 0; i < s->conf->queue_count; i++)
		vring_reset(&s->vrings[i]);
	guest_mem_clear(&s->mem);
	s->features = s->protocol_features = 0;
}

void vhost_session_queue_broken(struct vhost_session *s, unsigned index)
{
	static const uint64_t one = 1;
	struct vhost_vring *v = &s->vrings[index];

	s->counters.queues_broken++;
	log_limited(LOG_LEVEL_WARN,
		    "%s: queue %u broke and stays so until the guest resets the device: %s",
		    s->conf->name, index, v->vq.broken ? v->vq.broken : "no reason given");
	loop_fd_free(v->kick_watch);
	v->kick_watch = NULL;
	if (v->err_fd >= 0 && write(v->err_fd, &one, sizeof(one)) < 0)
		log_debug("%s: queue %u: its error fd takes nothing", s->conf->name, index);
}

static int set_features(struct vhost_session *s, uint64_t features)
{
	if (features & ~offered_features(s)) {
		log_error("%s: the front-end accepted features that were not offered: 0x%llx",
			  s->conf->name, (unsigned long long)(features & ~offered_features(s)));
		return -EINVAL;
	}
	s->features = features;
	log_debug("%s: features 0x%llx", s->conf->name, (unsigned long long)features);
	if (s->conf->ops->features_set)
		s->conf->ops->features_set(s->conf->arg, features);
	/* Without protocol features there is no ENABLE: rings are enabled from the start. */
	if (!(features & FEATURE(VHOST_USER_F_PROTOCOL_FEATURES))) {
		for (unsigned i = 0; i < s->conf->queue_count; i++)
			s->vrings[i].enabled = true;
		return update_all(s);
	}
	return 0;
}

static int map_region(struct vhost_session *s, struct guest_mem *mem,
		      const struct guest_region_spec *spec, int fd)
{
	bool sealed = true;
	int r = fd < 0 ? -EBADF : guest_mem_add(mem, spec, fd, &sealed);

	if (r < 0) {
		log_error("%s: the guest's memory at 0x%llx, %llu bytes, can't be mapped: %s",
			  s->conf->name, (unsigned long long)spec->guest_addr,
			  (unsigned long long)spec->size,
			  r == -EBADF ? "no fd came with it"
			  : r == -EINVAL
				  ? "its file is smaller than that, or the range wraps around"
			  : r == -EEXIST ? "it overlaps memory that is there already"
					 : strerror(-r));
		return r;
	}
	if (!sealed)
		log_debug("%s: the guest's memory at 0x%llx is not sealed against shrinking",
			  s->conf->name, (unsigned long long)spec->guest_addr);
	return 0;
}

/* Replaces the memory. The rings pause meanwhile, and find their addresses in the new one; one that
 * can't has been logged and waits for its new addresses: the memory is there all the same. */
static int set_mem_table(struct vhost_session *s, struct vhost_msg *msg)
{
	struct guest_mem *mem = &s->mem;
	unsigned old_count = mem->count;
	int r = 0;

	stop_all(s);
	/* Nothing points into the old memory any more; a table that fails leaves none. */
	guest_mem_clear(mem);
	for (uint32_t i = 0; i < msg->mem_table.count && r == 0; i++)
		r = map_region(s, mem, &msg->mem_table.regions[i],
			       i < msg->fd_count ? msg->fds[i] : -1);
	if (r < 0) {
		guest_mem_clear(mem);
		return r;
	}
	log_debug("%s: memory: %u regions, was %u", s->conf->name, mem->count, old_count);
	update_all(s);
	return 0;
}

static int add_mem_region(struct vhost_session *s, struct vhost_msg *msg)
{
	int r = map_region(s, &s->mem, &msg->mem_region, msg->fd_count ? msg->fds[0] : -1);

	if (r == 0)
		update_all(s);
	return r;
}

static int remove_mem_region(struct vhost_session *s, struct vhost_msg *msg)
{
	stop_all(s);
	int r = guest_mem_remove(&s->mem, &msg->mem_region);

	update_all(s);
	return r;
}

/* The ring of an index from the wire, or NULL. */
static struct vhost_vring *vring_at(struct vhost_session *s, uint64_t index)
{
	if (index < s->conf->queue_count)
		return &s->vrings[index];
	log_error("%s: the front-end speaks of queue %llu, there are %u", s->conf->name,
		  (unsigned long long)index, s->conf->queue_count);
	return NULL;
}

static int set_vring_num(struct vhost_session *s, const struct vhost_msg *msg)
{
	struct vhost_vring *v = vring_at(s, msg->vring_state.index);
	uint32_t size = msg->vring_state.num;

	if (!v || size == 0 || size > VIRTQ_SIZE_MAX || (size & (size - 1)))
		return -EINVAL;
	if (v->running)
		return -EBUSY;
	v->size = (uint16_t)size;
	return vring_update(v);
}

static int set_vring_base(struct vhost_session *s, const struct vhost_msg *msg)
{
	struct vhost_vring *v = vring_at(s, msg->vring_state.index);

	if (!v || msg->vring_state.num > UINT16_MAX)
		return -EINVAL;
	if (v->running)
		return -EBUSY;
	v->base = (uint16_t)msg->vring_state.num;
	return 0;
}

static int set_vring_addr(struct vhost_session *s, const struct vhost_msg *msg)
{
	struct vhost_vring *v = vring_at(s, msg->vring_addr.index);

	if (!v)
		return -EINVAL;
	vring_stop(v);
	v->desc_user = msg->vring_addr.desc_user;
	v->avail_user = msg->vring_addr.avail_user;
	v->used_user = msg->vring_addr.used_user;
	v->addresses_set = true;
	return vring_update(v);
}

static int set_vring_enable(struct vhost_session *s, const struct vhost_msg *msg)
{
	struct vhost_vring *v = vring_at(s, msg->vring_state.index);

	if (!v || msg->vring_state.num > 1)
		return -EINVAL;
	v->enabled = msg->vring_state.num;
	return vring_update(v);
}

static int get_vring_base(struct vhost_session *s, const struct vhost_msg *msg,
			  struct vhost_msg *reply)
{
	struct vhost_vring *v = vring_at(s, msg->vring_state.index);

	if (!v)
		return -EINVAL;
	vring_stop(v);
	fd_close(&v->kick_fd);
	reply->payload = VHOST_PAYLOAD_VRING_STATE;
	reply->vring_state.index = v->index;
	reply->vring_state.num = v->base;
	return 0;
}

/* KICK, CALL and ERR: an fd for a ring, or the message that there is none. */
static int set_vring_fd(struct vhost_session *s, struct vhost_msg *msg)
{
	struct vhost_vring *v = vring_at(s, msg->u64 & VRING_INDEX_MASK);
	bool without = msg->u64 & VRING_NO_FD;
	int fd;

	if (!v || without != (msg->fd_count == 0))
		return -EINVAL;
	if (without && msg->header.request == VHOST_SET_VRING_KICK) {
		log_error("%s: queue %u: the front-end wants it polled: a kick fd is needed",
			  s->conf->name, v->index);
		return -EOPNOTSUPP;
	}
	/* Whatever it really is, writing to it must not block us. */
	fd = vhost_msg_take_fd(msg, 0);
	if (fd >= 0 && fd_set_nonblocking(fd) < 0) {
		fd_close(&fd);
		return -EBADF;
	}
	switch (msg->header.request) {
	case VHOST_SET_VRING_CALL:
		fd_close(&v->call_fd);
		v->call_fd = v->vq.call_fd = fd;
		return 0;
	case VHOST_SET_VRING_ERR:
		fd_close(&v->err_fd);
		v->err_fd = fd;
		return 0;
	default:
		vring_stop(v);
		fd_close(&v->kick_fd);
		v->kick_fd = fd;
		return vring_update(v);
	}
}

static int get_config(struct vhost_session *s, const struct vhost_msg *msg, struct vhost_msg *reply)
{
	if (!s->conf->ops->config_read)
		return -EOPNOTSUPP;
	reply->payload = VHOST_PAYLOAD_CONFIG;
	reply->config.offset = msg->config.offset;
	reply->config.flags = msg->config.flags;
	/* The protocol's way to say no is an answer without data. */
	int r = s->conf->ops->config_read(s->conf->arg, msg->config.offset, msg->config.size,
					  reply->config.data);
	reply->config.size = r < 0 ? 0 : msg->config.size;
	return 0;
}

static int reset_device(struct vhost_session *s)
{
	stop_all(s);
	for (unsigned i = 0; i < s->conf->queue_count; i++) {
		struct vhost_vring *v = &s->vrings[i];

		fd_close(&v->kick_fd);
		v->enabled = v->addresses_set = false;
		v->base = v->size = 0;
	}
	s->features = 0;
	return 0;
}

static int device_message(struct vhost_session *s, const struct vhost_msg *msg)
{
	if (!s->conf->ops->message)
		return -EOPNOTSUPP;
	return s->conf->ops->message(s->conf->arg, msg);
}

static int reply_u64(struct vhost_msg *reply, uint64_t value)
{
	reply->payload = VHOST_PAYLOAD_U64;
	reply->u64 = value;
	return 0;
}

/* Does what the message asks. A reply that the request itself calls for is one with a payload. */
static int handle(struct vhost_session *s, struct vhost_msg *msg, struct vhost_msg *reply)
{
	switch (msg->header.request) {
	case VHOST_GET_FEATURES:
		return reply_u64(reply, offered_features(s));
	case VHOST_GET_PROTOCOL_FEATURES:
		return reply_u64(reply, offered_protocol_features(s));
	case VHOST_GET_QUEUE_NUM:
		return reply_u64(reply, s->conf->queue_num);
	case VHOST_GET_MAX_MEM_SLOTS:
		return reply_u64(reply, GUEST_MEM_REGIONS_MAX);
	case VHOST_SET_FEATURES:
		return set_features(s, msg->u64);
	case VHOST_SET_PROTOCOL_FEATURES:
		if (msg->u64 & ~offered_protocol_features(s))
			return -EINVAL;
		s->protocol_features = msg->u64;
		return 0;
	case VHOST_SET_OWNER:
		return 0;
	case VHOST_RESET_OWNER:
	case VHOST_RESET_DEVICE:
		return reset_device(s);
	case VHOST_SET_MEM_TABLE:
		return set_mem_table(s, msg);
	case VHOST_ADD_MEM_REG:
		return add_mem_region(s, msg);
	case VHOST_REM_MEM_REG:
		return remove_mem_region(s, msg);
	case VHOST_SET_VRING_NUM:
		return set_vring_num(s, msg);
	case VHOST_SET_VRING_BASE:
		return set_vring_base(s, msg);
	case VHOST_SET_VRING_ADDR:
		return set_vring_addr(s, msg);
	case VHOST_SET_VRING_ENABLE:
		return set_vring_enable(s, msg);
	case VHOST_GET_VRING_BASE:
		return get_vring_base(s, msg, reply);
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return set_vring_fd(s, msg);
	case VHOST_GET_CONFIG:
		return get_config(s, msg, reply);
	default:
		return device_message(s, msg);
	}
}

int vhost_session_handle(struct vhost_session *s, struct vhost_msg *msg,
			 struct vhost_msg *ret_reply)
{
	struct vhost_msg reply = {
		.header = {.request = msg->header.request, .reply = true},
		.payload = VHOST_PAYLOAD_NONE,
	};
	bool ack = msg->header.need_reply &&
		   (s->protocol_features & FEATURE(VHOST_PROTOCOL_REPLY_ACK));
	int r = handle(s, msg, &reply);

	vhost_msg_close_fds(msg);
	if (r < 0) {
		log_limited(LOG_LEVEL_ERROR, "%s: %s (%u) from the front-end failed: %s%s",
			    s->conf->name, vhost_request_name(msg->header.request),
			    msg->header.request, strerror(-r),
			    ack ? "" : ": closing the connection");
		if (!ack)
			return r;
	}
	if (reply.payload == VHOST_PAYLOAD_NONE || r < 0) {
		if (!ack)
			return 0;
		reply_u64(&reply, r < 0);
	}
	*ret_reply = reply;
	return 1;
}
