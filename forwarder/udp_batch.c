/* SPDX-License-Identifier: Apache-2.0 */
/* Guests' datagrams to host sockets; see udp_batch.h. */
#include "forwarder/udp_batch.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH_MAX       64
#define BATCH_BYTES_MAX (256 * 1024)

/* What one sendmsg() with UDP_SEGMENT takes, and from how many datagrams on it is worth one. */
#define SEGMENTS_MAX       64
#define SEGMENTS_BYTES_MAX 65000
#define SEGMENTS_MIN       3

/*
 * How many datagrams with the same new marks make them the socket's own. Up to then each carries
 * its marks in control messages, which costs no system call: a DNS query needs none, and neither
 * does the row of hop limits of a traceroute.
 */
#define MARKS_SETTLE 4

/* Every path takes packets of that size: whether they may be fragmented makes no difference. */
#define DONT_FRAGMENT_MIN4 576
#define DONT_FRAGMENT_MIN6 1280

struct udp_batch {
	struct loop *loop;
	struct stack *stack;
	struct udp_sender *sender; /* whose; NULL: empty */
	unsigned count;
	size_t used; /* bytes of `packets` */
	struct mmsghdr msgs[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	struct sockaddr_storage to[BATCH_MAX];
	struct flow_marks marks[BATCH_MAX];
	_Alignas(struct cmsghdr) uint8_t control[BATCH_MAX][FLOW_CONTROL_SIZE];
	struct {
		const uint8_t *ip;
		size_t ip_size;
	} quoted[BATCH_MAX];
	uint8_t *packets; /* BATCH_BYTES_MAX */
	struct loop_task task;
	struct udp_batch_counters counters;
};

static bool same_marks(const struct flow_marks *a, const struct flow_marks *b)
{
	return a->ttl == b->ttl && a->tos == b->tos;
}

/* ---- Sending ---- */

/* How many datagrams from `from` on are alike: to one place, with the same marks, of one size, of
 * which only the last may be less. */
static unsigned like_datagrams(const struct udp_batch *batch, unsigned from)
{
	size_t size = batch->iov[from].iov_len;
	size_t total = 0;
	unsigned at = from;

	if (size > batch->sender->segment_max)
		return 0;
	while (at < batch->count && at - from < SEGMENTS_MAX) {
		size_t this_size = batch->iov[at].iov_len;

		if (!this_size || this_size > size || total + this_size > SEGMENTS_BYTES_MAX ||
		    !same_marks(&batch->marks[at], &batch->marks[from]) ||
		    memcmp(&batch->to[at], &batch->to[from],
			   batch->msgs[from].msg_hdr.msg_namelen) != 0)
			break;
		total += this_size;
		at++;
		if (this_size < size)
			break;
	}
	return at - from;
}

/* Sends `count` like datagrams as one: one way through the host's network for all of them
 * (UDP_SEGMENT, udp(7)). Returns whether that went. */
static bool send_segmented(struct udp_batch *batch, unsigned from, unsigned count)
{
	uint8_t control[FLOW_CONTROL_SIZE + CMSG_SPACE(sizeof(uint16_t))] = {0};
	struct msghdr msg = batch->msgs[from].msg_hdr;
	uint16_t size = (uint16_t)batch->iov[from].iov_len;
	struct cmsghdr segment = {
		.cmsg_len = CMSG_LEN(sizeof(size)),
		.cmsg_level = IPPROTO_UDP,
		.cmsg_type = UDP_SEGMENT,
	};
	uint8_t *at = control + msg.msg_controllen;

	if (msg.msg_controllen)
		memcpy(control, msg.msg_control, msg.msg_controllen);
	memcpy(at, &segment, sizeof(segment));
	memcpy(at + CMSG_LEN(0), &size, sizeof(size));
	msg.msg_control = control;
	msg.msg_controllen += CMSG_SPACE(sizeof(size));
	msg.msg_iovlen = count;
	return sendmsg(batch->sender->relay.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* Sends what the batch holds from `from` on, or the first part of it. Returns how many the socket
 * took before an error, which is in errno when it is none. */
static unsigned send_from(struct udp_batch *batch, unsigned from)
{
	struct udp_sender *sender = batch->sender;
	unsigned like = like_datagrams(batch, from);
	int sent;

	if (like >= SEGMENTS_MIN) {
		if (send_segmented(batch, from, like))
			return like;
		/* The path's MTU, or a device that can't: each by itself tells more. */
		if (errno == EINVAL || errno == EMSGSIZE)
			sender->segment_max = (uint32_t)batch->iov[from].iov_len - 1;
		else if (errno == EIO || errno == EOPNOTSUPP)
			sender->segment_max = 0;
	}
	sent = sendmmsg(sender->relay.fd, batch->msgs + from, batch->count - from,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent > 0 ? (unsigned)sent : 0;
}

static void batch_clear(struct udp_batch *batch)
{
	batch->sender = NULL;
	batch->count = 0;
	batch->used = 0;
	loop_task_cancel(batch->loop, &batch->task);
}

/* Notes the last packets: errors about them will come. */
static void keep_last(struct udp_batch *batch)
{
	unsigned i = batch->count > ICMP_RELAY_KEPT ? batch->count - ICMP_RELAY_KEPT : 0;

	for (; i < batch->count; i++)
		icmp_relay_keep(&batch->sender->relay, batch->quoted[i].ip,
				batch->quoted[i].ip_size);
}

/* Sends the batch. A datagram that fails is tried once more: the error may have been that of an
 * earlier one, and is on the socket's error queue then. */
static void batch_send(struct udp_batch *batch)
{
	bool retried = false;
	unsigned done = 0;

	if (!batch->sender)
		return;
	keep_last(batch);
	while (done < batch->count) {
		unsigned sent = send_from(batch, done);
		int error = errno;
		unsigned mtu;

		for (unsigned i = 0; i < sent; i++)
			batch->counters.bytes += batch->iov[done + i].iov_len;
		done += sent;
		if (sent) {
			retried = false;
			continue;
		}
		if (error == EAGAIN) {
			/* The host's queue is full: what came with this datagram is lost, too. */
			batch->counters.dropped += batch->count - done;
			break;
		}
		mtu = icmp_relay_errors(&batch->sender->relay);
		if (!retried && !(error == EMSGSIZE && mtu)) {
			retried = true;
			continue;
		}
		batch->counters.dropped++;
		icmp_relay_failure(batch->stack, error, mtu, batch->quoted[done].ip,
				   batch->quoted[done].ip_size);
		retried = false;
		done++;
	}
	batch_clear(batch);
}

static void on_task(void *arg)
{
	batch_send(arg);
}

void udp_batch_flush(struct udp_batch *batch, const struct udp_sender *sender)
{
	if (batch->sender == sender)
		batch_send(batch);
}

/* ---- Taking ---- */

/* Makes the socket treat datagrams that are too large for the path as the guest wants it. */
static void prepare_dont_fragment(struct udp_batch *batch, struct udp_sender *sender,
				  const struct stack_datagram *datagram)
{
	sa_family_t family = sender->relay.guest.addr.family;
	size_t min = family == AF_INET6 ? DONT_FRAGMENT_MIN6 : DONT_FRAGMENT_MIN4;

	if (datagram->ip_size <= min ||
	    sender->dont_fragment == (datagram->dont_fragment ? UDP_DF_SET : UDP_DF_CLEAR))
		return;
	udp_batch_flush(batch, sender);
	if (flow_sock_set_dont_fragment(sender->relay.fd, family, datagram->dont_fragment) == 0)
		sender->dont_fragment = datagram->dont_fragment ? UDP_DF_SET : UDP_DF_CLEAR;
}

/* Makes marks the socket's own that are more than a passing thing. */
static void prepare_marks(struct udp_batch *batch, struct udp_sender *sender,
			  const struct flow_marks *marks)
{
	if (same_marks(&sender->marks, marks)) {
		sender->unlike = 0;
		return;
	}
	if (++sender->unlike < MARKS_SETTLE)
		return;
	sender->unlike = 0;
	udp_batch_flush(batch, sender); /* with those that they came with */
	if (flow_sock_set_marks(sender->relay.fd, sender->relay.guest.addr.family, marks) == 0)
		sender->marks = *marks;
}

void udp_batch_add(struct udp_batch *batch, struct udp_sender *sender,
		   const struct stack_datagram *datagram, const struct endpoint *host)
{
	struct flow_marks marks = {.ttl = flow_ttl_next(datagram->ttl), .tos = datagram->tos};
	uint8_t *copy;
	unsigned i;

	if (batch->sender && (batch->sender != sender || batch->count == BATCH_MAX ||
			      batch->used + datagram->ip_size > BATCH_BYTES_MAX))
		batch_send(batch);
	prepare_dont_fragment(batch, sender, datagram);
	prepare_marks(batch, sender, &marks);
	i = batch->count++;
	copy = batch->packets + batch->used;
	memcpy(copy, datagram->ip, datagram->ip_size);
	batch->used += datagram->ip_size;
	batch->sender = sender;
	batch->quoted[i].ip = copy;
	batch->quoted[i].ip_size = datagram->ip_size;
	batch->iov[i] = (struct iovec){.iov_base = copy + (datagram->payload - datagram->ip),
				       .iov_len = datagram->size};
	batch->marks[i] = marks;
	batch->msgs[i].msg_hdr = (struct msghdr){
		.msg_name = &batch->to[i],
		.msg_namelen = endpoint_to_sockaddr(host, &batch->to[i]),
		.msg_iov = &batch->iov[i],
		.msg_iovlen = 1,
	};
	if (!same_marks(&sender->marks, &marks))
		flow_control_put(&batch->msgs[i].msg_hdr, batch->control[i],
				 sender->relay.guest.addr.family, &marks);
	loop_task_schedule(batch->loop, &batch->task);
}

/* ---- Life ---- */

void udp_sender_init(struct udp_sender *sender, struct stack *stack, int fd,
		     const struct endpoint *guest)
{
	*sender = (struct udp_sender){
		.relay = {.stack = stack, .fd = fd, .guest = *guest, .protocol = IPPROTO_UDP},
		.segment_max = UINT16_MAX,
	};
}

struct udp_batch_counters udp_batch_counters(const struct udp_batch *batch)
{
	return batch->counters;
}

int udp_batch_new(struct loop *loop, struct stack *stack, struct udp_batch **ret_batch)
{
	struct udp_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return -ENOMEM;
	batch->packets = malloc(BATCH_BYTES_MAX);
	if (!batch->packets) {
		free(batch);
		return -ENOMEM;
	}
	batch->loop = loop;
	batch->stack = stack;
	batch->task = (struct loop_task){.fn = on_task, .arg = batch};
	*ret_batch = batch;
	return 0;
}

void udp_batch_free(struct udp_batch *batch)
{
	if (!batch)
		return;
	loop_task_cancel(batch->loop, &batch->task);
	free(batch->packets);
	free(batch);
}
