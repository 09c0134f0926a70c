/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-net device over vhost-user as a link: see link_vhost.h. Here is how links come and go;
 * frames from the guest are in link_vhost_in.c, those to it in link_vhost_out.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "netstack/link_vhost_private.h"

LOG_MODULE("link");

/* --- The link --- */

static struct link_vhost *vhost_of(struct link *link)
{
	return container_of(link, struct link_vhost, link);
}

static int vhost_send(struct link *link, const struct frame *frames, unsigned count)
{
	struct link_vhost *vhost = vhost_of(link);

	return vhost->listener ? vhost_out_send(vhost->listener, frames, count) : -EPIPE;
}

static void vhost_flush(struct link *link)
{
	struct link_vhost *vhost = vhost_of(link);

	if (vhost->listener)
		vhost_out_flush(vhost->listener);
}

/* Parts device and link. */
static void detach(struct link_vhost_listener *l)
{
	l->link->listener = NULL;
	l->link = NULL;
	l->blocked = false;
	vhost_out_clear(l);
}

static void vhost_destroy(struct link *link)
{
	struct link_vhost *vhost = vhost_of(link);

	if (vhost->listener)
		detach(vhost->listener);
	loop_task_cancel(vhost->loop, &vhost->gone_task);
	free(vhost);
}

static const struct link_ops vhost_ops = {
	.kind = "vhost",
	.send = vhost_send,
	.flush = vhost_flush,
	.destroy = vhost_destroy,
};

static void tell_gone(void *arg)
{
	struct link_vhost *vhost = arg;

	vhost->link.user->gone(vhost->link.user_arg, vhost->gone_reason); /* may destroy */
}

void vhost_link_fail(struct link_vhost_listener *l, const char *reason)
{
	struct link_vhost *vhost = l->link;

	if (!vhost)
		return;
	detach(l);
	vhost->gone_reason = reason;
	loop_task_schedule(l->loop, &vhost->gone_task);
}

void vhost_link_broken(struct link_vhost_listener *l, unsigned index)
{
	vhost_user_queue_broken(l->vhost, index);
	vhost_link_fail(l, "the guest's driver broke a queue");
}

static void link_make(struct link_vhost_listener *l, uint64_t features)
{
	struct link_vhost *vhost = calloc(1, sizeof(*vhost));

	if (!vhost) {
		log_error("vhost:%s: no link: out of memory", l->path);
		return;
	}
	vhost->link.ops = &vhost_ops;
	vhost->link.caps = vhost_net_caps(features);
	snprintf(vhost->link.name, sizeof(vhost->link.name), "vhost:%s #%u", l->path,
		 ++l->links_made);
	vhost->loop = l->loop;
	vhost->listener = l;
	vhost->gone_task = (struct loop_task){.fn = tell_gone, .arg = vhost};
	l->features = features;
	l->header_size = vhost_net_header_size(features);
	l->link = vhost;
	l->sink.attached(l->sink.arg, &vhost->link); /* may destroy */
}

/* --- The device --- */

static void on_queue_started(void *arg, unsigned index, struct virtq *vq)
{
	struct link_vhost_listener *l = arg;
	uint64_t features;

	if (index == VHOST_NET_QUEUE_TO_GUEST) {
		l->to_guest = vq;
	} else {
		l->from_guest = vq;
		vhost_in_start(l);
	}
	if (!l->to_guest || !l->from_guest || l->to_guest->broken || l->from_guest->broken)
		return;
	features = vhost_user_features(l->vhost);
	if (l->link && l->features != features)
		vhost_link_fail(l, "the guest's driver came back with other features");
	if (!l->link)
		link_make(l, features);
	/* Each queue may have been left waiting for the other one. */
	loop_task_schedule(l->loop, &l->in_task);
	loop_task_schedule(l->loop, &l->room_task);
}

static void on_queue_kicked(void *arg, unsigned index)
{
	struct link_vhost_listener *l = arg;

	if (index == VHOST_NET_QUEUE_TO_GUEST)
		vhost_out_room(l);
	else
		vhost_in_work(l);
}

static void on_queue_stopped(void *arg, unsigned index)
{
	struct link_vhost_listener *l = arg;

	if (index == VHOST_NET_QUEUE_TO_GUEST) {
		l->to_guest = NULL;
		return;
	}
	vhost_in_release(l);
	l->from_guest = NULL;
}

static int on_message(void *arg, const struct vhost_msg *msg)
{
	(void)arg;
	if (msg->header.request != VHOST_NET_SET_MTU)
		return -EOPNOTSUPP;
	/* What the VMM tells its guest; the link takes any frame. */
	return msg->u64 >= VHOST_NET_MTU_MIN && msg->u64 <= VHOST_NET_MTU_MAX ? 0 : -EINVAL;
}

static void on_detached(void *arg)
{
	vhost_link_fail(arg, "closed by the VMM");
}

static const struct vhost_device_ops device_ops = {
	.queue_started = on_queue_started,
	.queue_kicked = on_queue_kicked,
	.queue_stopped = on_queue_stopped,
	.message = on_message,
	.detached = on_detached,
};

int link_vhost_listen(struct loop *loop, const char *path, const struct link_sink *sink,
		      struct link_vhost_listener **ret_listener)
{
	struct link_vhost_listener *l = calloc(1, sizeof(*l));
	int status;

	if (!l)
		return -ENOMEM;
	l->loop = loop;
	l->sink = *sink;
	snprintf(l->path, sizeof(l->path), "%s", path);
	l->conf = (struct vhost_conf){
		.name = "net",
		.features = vhost_net_features(),
		.protocol_features = FEATURE(VHOST_PROTOCOL_NET_MTU),
		.queue_count = 2,
		.queue_num = 1, /* pairs */
		.ops = &device_ops,
		.arg = l,
	};
	vhost_out_init(l);
	status = vhost_in_init(l);
	if (status == 0)
		status = vhost_user_new(loop, path, &l->conf, &l->vhost);
	if (status < 0) {
		link_vhost_listener_free(l);
		return status;
	}
	*ret_listener = l;
	return 0;
}

void link_vhost_listener_free(struct link_vhost_listener *l)
{
	if (!l)
		return;
	vhost_user_free(l->vhost);
	vhost_link_fail(l, "the listener ends");
	vhost_in_done(l);
	vhost_out_done(l);
	free(l);
}
