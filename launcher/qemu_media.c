/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine boots from and keeps its data on, in QEMU's words: firmware, kernel, disks, CDs,
 * volumes; see qemu_args.h. */
#include <stdio.h>

#include "launcher/qemu_args.h"
#include "launcher/volume.h"

void qemu_args_disk_nodes(struct args *args, const struct machine_disk *disk, size_t index)
{
	const char *read_only = disk->read_only ? "on" : "off";

	args_add(args, "-blockdev");
	args_addf(args, "driver=%s,node-name=disk%zu-file,read-only=%s,discard=unmap,filename=",
		  disk->device ? "host_device" : "file", index, read_only);
	args_append_value(args, disk->path);
	args_add(args, "-blockdev");
	args_addf(args, "driver=%s,node-name=disk%zu,read-only=%s,discard=unmap,file=disk%zu-file",
		  disk->format, index, read_only, index);
}

static void add_disk(struct args *args, const struct machine_disk *disk, size_t index, bool boots)
{
	qemu_args_disk_nodes(args, disk, index);
	args_add(args, "-device");
	args_addf(args, "virtio-blk-pci,drive=disk%zu,id=disk%zu-device%s", index, index,
		  boots ? ",bootindex=1" : "");
}

static void add_cd(struct args *args, const char *path, const char *id, bool boots)
{
	args_add(args, "-blockdev");
	args_addf(args, "driver=file,node-name=%s-file,read-only=on,filename=", id);
	args_append_value(args, path);
	args_add(args, "-blockdev");
	args_addf(args, "driver=raw,node-name=%s,read-only=on,file=%s-file", id, id);
	args_add(args, "-device");
	args_addf(args, "scsi-cd,bus=scsi0.0,drive=%s,id=%s-device%s", id, id,
		  boots ? ",bootindex=0" : "");
}

static void add_disks(struct args *args, const struct machine *m)
{
	size_t first = 0;

	/* A kernel's squashfs is its /dev/vda. */
	if (m->kernel && m->squashfs) {
		const struct machine_disk root = {
			.path = m->squashfs, .format = "raw", .read_only = true};

		add_disk(args, &root, first++, false);
	}
	for (size_t i = 0; i < m->disk_count; i++)
		add_disk(args, &m->disks[i], first + i, i == 0 && !m->kernel);
}

/* On virtio-scsi: every board has it, and small kernels have no driver for others. */
static void add_cds(struct args *args, const struct machine *m, const struct qemu_wiring *w)
{
	const char *data = w->prepared ? w->prepared->data_iso : "";

	if (!m->iso && !data[0])
		return;
	args_add(args, "-device");
	args_add(args, "virtio-scsi-pci,id=scsi0");
	if (m->iso)
		add_cd(args, m->iso, "cd0", !m->kernel);
	if (data[0])
		add_cd(args, data, "data0", false);
}

static void add_firmware(struct args *args, const struct prepared *p)
{
	if (!p || !p->fw_code[0])
		return;
	if (!p->fw_vars[0]) {
		args_add(args, "-bios");
		args_add(args, p->fw_code);
		return;
	}
	args_add(args, "-blockdev");
	args_add(args, "driver=file,node-name=fw-code-file,read-only=on,filename=");
	args_append_value(args, p->fw_code);
	args_add(args, "-blockdev");
	args_add(args, "driver=raw,node-name=fw-code,read-only=on,file=fw-code-file");
	args_add(args, "-blockdev");
	args_add(args, "driver=file,node-name=fw-vars-file,filename=");
	args_append_value(args, p->fw_vars);
	args_add(args, "-blockdev");
	args_add(args, "driver=qcow2,node-name=fw-vars,file=fw-vars-file");
	args_add(args, "-machine");
	args_add(args, "pflash0=fw-code,pflash1=fw-vars");
}

static void add_kernel(struct args *args, const struct machine *m)
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

static void add_volume(struct args *args, const struct machine_volume *volume, size_t index,
		       const struct qemu_wiring *w)
{
	char id[32], port[48];

	snprintf(id, sizeof(id), QEMU_FS_ID, index);
	if (w->unplugged) {
		qemu_args_port(args, w, id, port);
		return;
	}
	args_add(args, "-chardev");
	args_addf(args, "socket,id=%s,path=", id);
	args_append_value(args, w->dir);
	args_append(args, "/");
	snprintf(port, sizeof(port), VOLUME_SOCKET, index);
	args_append(args, port);
	qemu_args_port(args, w, id, port);
	args_add(args, "-device");
	args_addf(args, "vhost-user-fs-pci,chardev=%s,id=%s-device%s,tag=", id, id, port);
	args_append_value(args, volume->tag);
}

void qemu_args_media(struct args *args, const struct machine *machine,
		     const struct qemu_wiring *wiring)
{
	add_firmware(args, wiring->prepared);
	add_disks(args, machine);
	add_cds(args, machine, wiring);
	if (machine->ignition) {
		args_add(args, "-fw_cfg");
		args_add(args, "name=opt/com.coreos/config,file=");
		args_append_value(args, machine->ignition);
	}
	for (size_t i = 0; i < machine->volume_count && wiring->dir; i++)
		add_volume(args, &machine->volumes[i], i, wiring);
	add_kernel(args, machine);
}
