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

static bool net_in(const struct qemu_wiring *w, enum plug_set set)
{
	return w->net_socket && (w->net_vhost || (set == PLUG_PROXY && !w->net_reconnects));
}

static size_t volumes_in(const struct machine *machine, enum plug_set set)
{
	return set == PLUG_VHOST_USER ? machine->volume_count : 0;
}

void plug_out(struct script *script, const struct machine *machine,
	      const struct qemu_wiring *wiring, enum plug_set set)
{
	char id[32], device[48];

	if (net_in(wiring, set)) {
		script_add(script, SCRIPT_DEVICE_DELETED, QEMU_NET_DEVICE, "device_del",
			   plug_object("id", QEMU_NET_DEVICE, NULL));
		script_add(script, SCRIPT_MAY_FAIL, NULL, "netdev_del",
			   plug_object("id", QEMU_NET_ID, NULL));
		if (wiring->net_vhost)
			script_add(script, SCRIPT_MAY_FAIL, NULL, "chardev-remove",
				   plug_object("id", QEMU_NET_ID "-socket", NULL));
	}
	if (wiring->vsock_socket) {
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

static void add_chardev(struct script *script, const char *id, const char *path)
{
	struct json_object *arguments = plug_object("id", id, NULL);
	struct json_object *backend = plug_object("type", "socket", NULL);
	struct json_object *data = json_object_new_object();
	struct json_object *address = plug_object("type", "unix", NULL);

	json_object_object_add(address, "data", unix_address(path));
	json_object_object_add(data, "addr", address);
	json_object_object_add(data, "server", json_object_new_boolean(false));
	json_object_object_add(backend, "data", data);
	json_object_object_add(arguments, "backend", backend);
	script_add(script, SCRIPT_ANSWER, NULL, "chardev-add", arguments);
}

static void plug_in_net(struct script *script, const struct machine *machine,
			const struct qemu_wiring *w)
{
	char mac[MAC_TEXT_MAX];
	struct json_object *netdev = plug_object("id", QEMU_NET_ID, NULL), *device;

	if (w->net_vhost) {
		add_chardev(script, QEMU_NET_ID "-socket", w->net_socket);
		json_object_object_add(netdev, "type", json_object_new_string("vhost-user"));
		json_object_object_add(netdev, "chardev",
				       json_object_new_string(QEMU_NET_ID "-socket"));
	} else {
		struct json_object *address = plug_object("type", "unix", "path", w->net_socket,
							  NULL);

		json_object_object_add(netdev, "type", json_object_new_string("stream"));
		json_object_object_add(netdev, "server", json_object_new_boolean(false));
		json_object_object_add(netdev, "addr", address);
	}
	script_add(script, SCRIPT_ANSWER, NULL, "netdev_add", netdev);
	device = plug_object("driver", "virtio-net-pci", "id", QEMU_NET_DEVICE, "netdev",
			     QEMU_NET_ID, "mac", mac_format(&machine->mac, mac), "bus",
			     "port-" QEMU_NET_ID, "romfile", "", NULL);
	if (w->net_intx)
		json_object_object_add(device, "vectors", json_object_new_int(0));
	script_add(script, SCRIPT_ANSWER, NULL, "device_add", device);
}

void plug_in(struct script *script, const struct machine *machine, const struct qemu_wiring *wiring,
	     enum plug_set set)
{
	char id[32], device[48], port[48], path[PATH_MAX], socket[32];

	if (net_in(wiring, set))
		plug_in_net(script, machine, wiring);
	if (wiring->vsock_socket) {
		add_chardev(script, QEMU_VSOCK_ID, wiring->vsock_socket);
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
		add_chardev(script, id, path);
		script_add(script, SCRIPT_ANSWER, NULL, "device_add",
			   plug_object("driver", "vhost-user-fs-pci", "id", device, "chardev", id,
				       "bus", port, "tag", machine->volumes[i].tag, NULL));
	}
}
