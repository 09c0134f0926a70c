/* SPDX-License-Identifier: Apache-2.0 */
/* See qemu_args.h. */
#include "launcher/qemu_args.h"

#include <errno.h>
#include <inttypes.h>

static void add_board(struct args *args, const struct machine *m, const struct qemu_wiring *w)
{
	bool shared_memory = w->vsock_socket || (w->net_socket && w->net_vhost);

	args_add(args, "-name");
	args_add(args, "guest=");
	args_append_value(args, m->name);
	/* Nothing but what is named here: no configuration of the host's, no default devices. */
	args_add(args, "-no-user-config");
	args_add(args, "-nodefaults");
	args_add(args, "-display");
	args_add(args, "none");
	args_add(args, "-machine");
	args_addf(args, "q35,accel=%s%s", accel_name(w->accel),
		  shared_memory ? ",memory-backend=mem" : "");
	args_add(args, "-cpu");
	args_add(args, w->accel == ACCEL_KVM ? "host" : "max");
	args_add(args, "-smp");
	args_addf(args, "cpus=%u", m->cpus);
	args_add(args, "-m");
	args_addf(args, "size=%" PRIu64 "B", m->mem_bytes);
	/* vhost-user devices reach into the guest's memory; in private memory they would be
	 * silently dead. */
	if (shared_memory) {
		args_add(args, "-object");
		args_addf(args, "memory-backend-memfd,id=mem,size=%" PRIu64 "B,share=on",
			  m->mem_bytes);
	}
	if (m->reboot_ends)
		args_add(args, "-no-reboot");
}

static void add_control(struct args *args, const struct qemu_wiring *w)
{
	args_add(args, "-chardev");
	args_addf(args, "socket,id=qmp,fd=%d", w->qmp_fd);
	args_add(args, "-mon");
	args_add(args, "chardev=qmp,mode=control");
	args_add(args, "-chardev");
	args_addf(args, "socket,id=console,fd=%d", w->console_fd);
	args_add(args, "-serial");
	args_add(args, "chardev:console");
	/* How we learn of a panic, in guests that have its driver; and entropy, so that none waits
	 * for it. */
	args_add(args, "-device");
	args_add(args, "pvpanic-pci");
	args_add(args, "-device");
	args_add(args, "virtio-rng-pci");
}

static void add_net_device(struct args *args, const struct machine *m, const struct qemu_wiring *w)
{
	char mac[MAC_TEXT_MAX];

	if (w->net_vhost) {
		args_add(args, "-chardev");
		args_add(args, "socket,id=net0-socket,path=");
		args_append_value(args, w->net_socket);
		args_add(args, "-netdev");
		args_add(args, "vhost-user,id=net0,chardev=net0-socket");
	} else {
		args_add(args, "-netdev");
		args_add(args, "stream,id=net0,server=off,addr.type=unix,addr.path=");
		args_append_value(args, w->net_socket);
	}
	/* Without its boot ROM: nothing boots from this network. */
	args_add(args, "-device");
	args_addf(args, "virtio-net-pci,netdev=net0,mac=%s,romfile=%s", mac_format(&m->mac, mac),
		  w->net_intx ? ",vectors=0" : "");
}

static void add_network(struct args *args, const struct machine *m, const struct qemu_wiring *w)
{
	if (w->net_socket)
		add_net_device(args, m, w);
	if (w->vsock_socket) {
		args_add(args, "-chardev");
		args_add(args, "socket,id=vsock0,path=");
		args_append_value(args, w->vsock_socket);
		args_add(args, "-device");
		args_add(args, "vhost-user-vsock-pci,chardev=vsock0");
	}
}

static void add_disk(struct args *args, const struct machine_disk *disk, size_t index)
{
	const char *read_only = disk->read_only ? "on" : "off";

	args_add(args, "-blockdev");
	args_addf(args,
		  "driver=file,node-name=disk%zu-file,read-only=%s,discard=unmap,filename=", index,
		  read_only);
	args_append_value(args, disk->path);
	args_add(args, "-blockdev");
	args_addf(args, "driver=%s,node-name=disk%zu,read-only=%s,discard=unmap,file=disk%zu-file",
		  disk->format, index, read_only, index);
	args_add(args, "-device");
	args_addf(args, "virtio-blk-pci,drive=disk%zu,id=disk%zu-device", index, index);
}

static void add_boot(struct args *args, const struct machine *m)
{
	if (!m->kernel)
		return;
	args_add(args, "-kernel");
	args_add(args, m->kernel);
	if (m->initrd) {
		args_add(args, "-initrd");
		args_add(args, m->initrd);
	}
	if (m->cmdline) {
		args_add(args, "-append");
		args_add(args, m->cmdline);
	}
}

int qemu_args_build(const struct machine *machine, const struct qemu_wiring *wiring,
		    struct args *ret_args)
{
	args_add(ret_args, wiring->qemu);
	add_board(ret_args, machine, wiring);
	add_control(ret_args, wiring);
	add_network(ret_args, machine, wiring);
	for (size_t i = 0; i < machine->disk_count; i++)
		add_disk(ret_args, &machine->disks[i], i);
	add_boot(ret_args, machine);
	if (!args_ok(ret_args)) {
		args_clear(ret_args);
		return -ENOMEM;
	}
	return 0;
}
