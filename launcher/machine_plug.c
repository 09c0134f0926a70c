/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_plug.h. The ids and properties are those of qemu_network.c and qemu_media.c. */
#include "launcher/machine_plug.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "launcher/volume.h"

struct json_object *plug_object(const char *key, ...)
{
	struct json_object *object = json_object_new_object();
	va_list list;

	va_start(list, key);
	for (; key; key = va_arg(list, const char *))
		json_object_object_add(object, key,
				       json_object_new_string(va_arg(list, const char *)));
	va_end(list);
	return object;
}

static bool net_in(const struct qemu_wiring *w, unsigned set)
{
	return w->net_socket && w->net_vhost && (set & PLUG_NET);
}

static bool vsock_in(const struct qemu_wiring *w, unsigned set)
{
	return w->vsock_socket && (set & PLUG_VSOCK);
}

static size_t volumes_in(const struct machine *machine, unsigned set)
{
	return set & PLUG_VOLUMES ? machine->volume_count : 0;
}

void plug_out(struct script *script, const struct machine *machine,
	      const struct qemu_wiring *wiring, unsigned set)
{
	char id[32], device[48];

	if (net_in(wiring, set)) {
		script_add(script, SCRIPT_DEVICE_DELETED, QEMU_NET_DEVICE, "device_del",
			   plug_object("id", QEMU_NET_DEVICE, NULL));
		script_add(script, SCRIPT_MAY_FAIL, NULL, "netdev_del",
			   plug_object("id", QEMU_NET_ID, NULL));
		script_add(script, SCRIPT_MAY_FAIL, NULL, "chardev-remove",
			   plug_object("id", QEMU_NET_SOCKET, NULL));
	}
	if (vsock_in(wiring, set)) {
		script_add(script, SCRIPT_DEVICE_DELETED, QEMU_VSOCK_DEVICE, "device_del",
			   plug_object("id", QEMU_VSOCK_DEVICE, NULL));
		script_add(script, SCRIPT_MAY_FAIL, NULL, "chardev-remove",
			   plug_object("id", QEMU_VSOCK_ID, NULL));
	}
	for (size_t i = 0; i < volumes_in(machine, set); i++) {
		snprintf(id, sizeof(id), QEMU_FS_ID, i);
		snprintf(device, sizeof(device), "%s-device", id);
		script_add(script, SCRIPT_DEVICE_DELETED, device, "device_del",
			   plug_object("id", device, NULL));
		script_add(script, SCRIPT_MAY_FAIL, NULL, "chardev-remove",
			   plug_object("id", id, NULL));
	}
}

static struct json_object *unix_address(const char *path)
{
	return plug_object("path", path, NULL);
}

/* `reconnects`: QEMU connects again, as it says; NULL: only once. */
static void add_chardev(struct script *script, const char *id, const char *path,
			const struct qemu_wiring *reconnects)
{
	struct json_object *arguments = plug_object("id", id, NULL);
	struct json_object *backend = plug_object("type", "socket", NULL);
	struct json_object *data = json_object_new_object();
	struct json_object *address = plug_object("type", "unix", NULL);

	json_object_object_add(address, "data", unix_address(path));
	json_object_object_add(data, "addr", address);
	json_object_object_add(data, "server", json_object_new_boolean(false));
	if (reconnects && reconnects->reconnect_ms)
		json_object_object_add(data, "reconnect-ms",
				       json_object_new_int(QEMU_RECONNECT_MS));
	else if (reconnects)
		json_object_object_add(data, "reconnect", json_object_new_int(QEMU_RECONNECT_S));
	json_object_object_add(backend, "data", data);
	json_object_object_add(arguments, "backend", backend);
	script_add(script, SCRIPT_ANSWER, NULL, "chardev-add", arguments);
}

static void await_socket(struct script *script)
{
	script_add(script, SCRIPT_CONNECTED, QEMU_NET_SOCKET, "query-chardev", NULL);
}

static void plug_in_net(struct script *script, const struct machine *machine,
			const struct qemu_wiring *w)
{
	char mac[MAC_TEXT_MAX];
	struct json_object *device;

	add_chardev(script, QEMU_NET_SOCKET, w->net_socket, w->net_reconnects ? w : NULL);
	/* The netdev would wait for that, and all of QEMU with it. */
	await_socket(script);
	script_add(script, SCRIPT_ANSWER, NULL, "netdev_add",
		   plug_object("id", QEMU_NET_ID, "type", "vhost-user", "chardev", QEMU_NET_SOCKET,
			       NULL));
	device = plug_object("driver", "virtio-net-pci", "id", QEMU_NET_DEVICE, "netdev",
			     QEMU_NET_ID, "mac", mac_format(&machine->mac, mac), "bus",
			     "port-" QEMU_NET_ID, "romfile", "", NULL);
	if (w->net_intx)
		json_object_object_add(device, "vectors", json_object_new_int(0));
	if (qemu_net_steady(w))
		json_object_object_add(device, "status", json_object_new_boolean(false));
	script_add(script, SCRIPT_ANSWER, NULL, "device_add", device);
}

/*
 * Another stream takes the place of one that has ended. A stream of QEMU's that ended while it was
 * full (up to 10.0 at least, also one that connects again) leaves what the guest was sending in a
 * queue that nobody looks at any more, and the guest's driver waits for that for good: only when
 * the machine stops is every such queue emptied.
 */
static void plug_stream(struct script *script, const struct qemu_wiring *w, bool guest_runs)
{
	struct json_object *stream = plug_object("type", "stream", "id", QEMU_NET_STREAM, NULL);
	struct json_object *port = plug_object("type", "hubport", "id", QEMU_NET_PORT, "netdev",
					       QEMU_NET_STREAM, NULL);

	json_object_object_add(stream, "server", json_object_new_boolean(false));
	json_object_object_add(stream, "addr",
			       plug_object("type", "unix", "path", w->net_socket, NULL));
	json_object_object_add(port, "hubid", json_object_new_int(0));
	script_add(script, SCRIPT_MAY_FAIL, NULL, "netdev_del",
		   plug_object("id", QEMU_NET_PORT, NULL));
	script_add(script, SCRIPT_MAY_FAIL, NULL, "netdev_del",
		   plug_object("id", QEMU_NET_STREAM, NULL));
	script_add(script, SCRIPT_STREAM, QEMU_NET_STREAM, "netdev_add", stream);
	script_add(script, SCRIPT_ANSWER, NULL, "netdev_add", port);
	if (guest_runs) {
		script_add(script, SCRIPT_ANSWER, NULL, "stop", NULL);
		script_add(script, SCRIPT_ANSWER, NULL, "cont", NULL);
	}
}

void plug_net_back(struct script *script, const struct qemu_wiring *wiring, bool guest_runs)
{
	if (wiring->net_hub)
		plug_stream(script, wiring, guest_runs);
	else if (wiring->net_vhost)
		await_socket(script);
}

void plug_in(struct script *script, const struct machine *machine, const struct qemu_wiring *wiring,
	     unsigned set)
{
	char id[32], device[48], port[48], path[PATH_MAX], socket[32];

	if (net_in(wiring, set))
		plug_in_net(script, machine, wiring);
	if (vsock_in(wiring, set)) {
		add_chardev(script, QEMU_VSOCK_ID, wiring->vsock_socket, NULL);
		script_add(script, SCRIPT_ANSWER, NULL, "device_add",
			   plug_object("driver", "vhost-user-vsock-pci", "id", QEMU_VSOCK_DEVICE,
				       "chardev", QEMU_VSOCK_ID, "bus", "port-" QEMU_VSOCK_ID,
				       NULL));
	}
	for (size_t i = 0; i < volumes_in(machine, set); i++) {
		snprintf(id, sizeof(id), QEMU_FS_ID, i);
		snprintf(device, sizeof(device), "%s-device", id);
		snprintf(port, sizeof(port), "port-%s", id);
		snprintf(socket, sizeof(socket), VOLUME_SOCKET, i);
		snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX / 2, wiring->dir, socket);
		add_chardev(script, id, path, NULL);
		script_add(script, SCRIPT_ANSWER, NULL, "device_add",
			   plug_object("driver", "vhost-user-fs-pci", "id", device, "chardev", id,
				       "bus", port, "tag", machine->volumes[i].tag, NULL));
	}
}
