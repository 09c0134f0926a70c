/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_args.h. */
#include "launcher/machine_args.h"

#include "launcher/snapshot.h"
#include "launcher/store.h"

static void add_file(struct args *args, const char *dir, const char *name)
{
	args_append_value(args, dir);
	args_append(args, "/");
	args_append(args, name);
}

static void add_port(struct args *args, const char *dir, const char *id, const char *socket,
		     const char *name)
{
	args_add(args, "-chardev");
	args_addf(args, "socket,id=%s,server=on,wait=off,path=", id);
	add_file(args, dir, socket);
	args_add(args, "-device");
	args_addf(args, "virtserialport,bus=ports.0,chardev=%s,name=%s", id, name);
}

void machine_args_add(struct args *args, const char *dir, const struct ready_spec *ready,
		      bool stopped)
{
	args_add(args, "-pidfile");
	args_addf(args, "%s/" STORE_QEMU_PID, dir);
	args_add(args, "-blockdev");
	args_add(args, "driver=file,node-name=" SNAPSHOT_NODE "-file,filename=");
	add_file(args, dir, STORE_VMSTATE);
	args_add(args, "-blockdev");
	args_add(args, "driver=qcow2,node-name=" SNAPSHOT_NODE ",file=" SNAPSHOT_NODE "-file");
	args_add(args, "-device");
	args_add(args, "virtio-serial-pci,id=ports");
	add_port(args, dir, "ready0", READY_SOCKET, "org.netproxy.ready");
	add_port(args, dir, "qga0", MACHINE_QGA_SOCKET, "org.qemu.guest_agent.0");
	if (ready->kind == READY_VSOCK) {
		args_add(args, "-smbios");
		args_addf(args,
			  "type=11,value=io.systemd.credential:vmm.notify_socket=vsock-stream:2:%u",
			  ready->port);
	}
	if (stopped)
		args_add(args, "-S");
}
