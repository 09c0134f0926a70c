/* SPDX-License-Identifier: Apache-2.0 */
/* The network's and vsock's part of QEMU's command line; see qemu_args.h. */
#include <inttypes.h>
#include <stdio.h>

#include "launcher/qemu_args.h"

/* QEMU's own network forwards ports itself. */
static void add_host_forwards(struct args *args, const struct machine *m)
{
	char address[ADDR_TEXT_MAX], guest[ADDR_TEXT_MAX];

	for (size_t i = 0; i < m->publish_count; i++) {
		const struct publish *p = &m->publish[i].parsed;
		char text[2 * ADDR_TEXT_MAX + 64];

		snprintf(text, sizeof(text), ",hostfwd=%s:%s:%u-%s:%u", p->udp ? "udp" : "tcp",
			 p->host.addr.family == AF_UNSPEC ? ""
							  : addr_format(&p->host.addr, address),
			 p->host.port,
			 p->guest.family == AF_UNSPEC ? "" : addr_format(&p->guest, guest),
			 p->guest_port);
		args_append(args, text);
	}
}

void qemu_wiring_way_back(struct qemu_wiring *w)
{
	/* Only a machine that is kept has its netproxy started again, and somebody who exchanges a
	 * stream; that is better than QEMU's own way (machine_plug.c). */
	w->net_reconnects = w->net_socket &&
			    (w->net_vhost ? w->hotplug : w->reconnect_ms && !w->hotplug);
	w->net_hub = w->net_socket && !w->net_vhost && w->hotplug;
}

static void add_reconnect(struct args *args, const struct qemu_wiring *w)
{
	char text[48];

	if (!w->net_reconnects)
		return;
	if (w->reconnect_ms)
		snprintf(text, sizeof(text), ",reconnect-ms=%d", QEMU_RECONNECT_MS);
	else
		snprintf(text, sizeof(text), ",reconnect=%d", QEMU_RECONNECT_S);
	args_append(args, text);
}

static void add_socket_backend(struct args *args, const struct qemu_wiring *w)
{
	if (w->net_vhost) {
		args_add(args, "-chardev");
		args_add(args, "socket,id=" QEMU_NET_SOCKET ",path=");
		args_append_value(args, w->net_socket);
		add_reconnect(args, w);
		args_add(args, "-netdev");
		args_add(args, "vhost-user,id=" QEMU_NET_ID ",chardev=" QEMU_NET_SOCKET);
		return;
	}
	args_add(args, "-netdev");
	args_addf(args, "stream,id=%s,server=off,addr.type=unix,addr.path=",
		  w->net_hub ? QEMU_NET_STREAM : QEMU_NET_ID);
	args_append_value(args, w->net_socket);
	add_reconnect(args, w);
	if (w->net_hub) {
		args_add(args, "-netdev");
		args_add(args, "hubport,id=" QEMU_NET_PORT ",hubid=0,netdev=" QEMU_NET_STREAM);
		args_add(args, "-netdev");
		args_add(args, "hubport,id=" QEMU_NET_ID ",hubid=0");
	}
}

/* Whether the network device ends at a netproxy. */
static bool on_socket(const struct machine *m, const struct qemu_wiring *w)
{
	return w->net_socket && (m->network == MACHINE_NETWORK_USERSPACE ||
				 m->network == MACHINE_NETWORK_USERSPACE_SHARED);
}

/* Returns false where there is no network. */
static bool add_backend(struct args *args, const struct machine *m, const struct qemu_wiring *w)
{
	switch (m->network) {
	case MACHINE_NETWORK_USERSPACE:
	case MACHINE_NETWORK_USERSPACE_SHARED:
		if (!w->net_socket)
			return false;
		add_socket_backend(args, w);
		return true;
	case MACHINE_NETWORK_USER:
		args_add(args, "-netdev");
		args_add(args, "user,id=" QEMU_NET_ID);
		add_host_forwards(args, m);
		return true;
	case MACHINE_NETWORK_BRIDGED:
		args_add(args, "-netdev");
		args_add(args, "bridge,id=" QEMU_NET_ID ",br=");
		args_append_value(args, m->network_if);
		return true;
	case MACHINE_NETWORK_TAP:
		args_add(args, "-netdev");
		args_add(args, "tap,id=" QEMU_NET_ID ",script=no,downscript=no,ifname=");
		args_append_value(args, m->network_if);
		return true;
	case MACHINE_NETWORK_NONE:
		break;
	}
	return false;
}

void qemu_args_network(struct args *args, const struct machine *machine,
		       const struct qemu_wiring *wiring)
{
	char mac[MAC_TEXT_MAX], port[48];

	if (wiring->unplugged && wiring->net_vhost && on_socket(machine, wiring)) {
		qemu_args_port(args, wiring, QEMU_NET_ID, port);
	} else if (add_backend(args, machine, wiring)) {
		qemu_args_port(args, wiring, QEMU_NET_ID, port);
		/* Without its boot ROM: nothing boots from this network. */
		args_add(args, "-device");
		args_addf(args,
			  "virtio-net-pci,netdev=" QEMU_NET_ID ",id=" QEMU_NET_DEVICE
			  ",mac=%s,romfile=%s%s%s",
			  mac_format(&machine->mac, mac), wiring->net_intx ? ",vectors=0" : "",
			  qemu_net_steady(wiring) ? ",status=off" : "", port);
	}
	if (wiring->vsock_socket && wiring->unplugged) {
		qemu_args_port(args, wiring, QEMU_VSOCK_ID, port);
	} else if (wiring->vsock_socket) {
		args_add(args, "-chardev");
		args_add(args, "socket,id=" QEMU_VSOCK_ID ",path=");
		args_append_value(args, wiring->vsock_socket);
		qemu_args_port(args, wiring, QEMU_VSOCK_ID, port);
		args_add(args, "-device");
		args_addf(args,
			  "vhost-user-vsock-pci,chardev=" QEMU_VSOCK_ID ",id=" QEMU_VSOCK_DEVICE
			  "%s",
			  port);
	}
}
