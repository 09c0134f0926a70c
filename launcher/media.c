/* SPDX-License-Identifier: Apache-2.0 */
/* See media.h. */
#include "launcher/media.h"

#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sock.h"

/* What cloud-init reads where nobody said anything. */
#define EMPTY_USER_DATA "#cloud-config\n{}\n"

bool media_wanted(const struct machine *machine)
{
	return machine->data || machine->ssh_key;
}

static uint64_t hash(uint64_t from, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		from = (from ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return from;
}

size_t media_meta_data(const struct machine *machine, char *to, size_t size)
{
	const char *key = machine->ssh_key ? machine->ssh_key : "";
	uint64_t id = hash(UINT64_C(0xcbf29ce484222325), machine->data ? machine->data : "",
			   machine->data_size);
	size_t length;

	id = hash(id, key, strlen(key));
	length = (size_t)snprintf(to, size,
				  "instance-id: \"%s-%016" PRIx64 "\"\nlocal-hostname: \"%s\"\n",
				  machine->name, id, machine->name);
	if (key[0] == '\0' || length + 2 * strlen(key) + 32 >= size)
		return length < size ? length : size - 1;
	length += (size_t)snprintf(to + length, size - length, "public-keys:\n  - '");
	/* In YAML's single quotes only the quote itself is special. */
	for (; *key; key++) {
		to[length++] = *key;
		if (*key == '\'')
			to[length++] = '\'';
	}
	length += (size_t)snprintf(to + length, size - length, "'\n");
	return length;
}

bool media_is_public_key(const char *text)
{
	static const char *const kinds[] = {"ssh-", "ecdsa-", "sk-"};
	bool known = false;
	size_t length = strlen(text);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		known |= strncmp(text, kinds[i], strlen(kinds[i])) == 0;
	if (!known || !strchr(text, ' ') || length >= MEDIA_KEY_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (iscntrl((unsigned char)text[i]))
			return false;
	return true;
}

static int add_file(struct archive *archive, const char *name, const char *data, size_t size)
{
	struct archive_entry *entry = archive_entry_new();
	int r;

	if (!entry)
		return ARCHIVE_FATAL;
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0400);
	archive_entry_set_size(entry, (la_int64_t)size);
	r = archive_write_header(archive, entry);
	if (r == ARCHIVE_OK && archive_write_data(archive, data, size) != (la_ssize_t)size)
		r = ARCHIVE_FATAL;
	archive_entry_free(entry);
	return r;
}

static int add_all(struct archive *archive, const struct machine *m)
{
	char meta[MEDIA_META_DATA_MAX];
	const char *data = m->data ? m->data : EMPTY_USER_DATA;
	size_t size = m->data ? m->data_size : sizeof(EMPTY_USER_DATA) - 1;
	int r;

	if (m->data_format == MACHINE_DATA_CONFIG)
		return add_file(archive, "config", data, size);
	r = add_file(archive, "user-data", data, size);
	if (r == ARCHIVE_OK)
		r = add_file(archive, "meta-data", meta, media_meta_data(m, meta, sizeof(meta)));
	return r;
}

static int write_iso(const struct machine *m, int fd, struct problem *problem)
{
	struct archive *archive = archive_write_new();
	const char *options = m->data_format == MACHINE_DATA_NOCLOUD ? "iso9660:volume-id=CIDATA"
								     : "iso9660:volume-id=CONFIG";
	int r;

	if (!archive)
		return problem_set(problem, -ENOMEM, "out of memory");
	r = archive_write_set_format_iso9660(archive);
	if (r == ARCHIVE_OK)
		r = archive_write_set_options(archive, options);
	if (r == ARCHIVE_OK)
		r = archive_write_open_fd(archive, fd);
	if (r == ARCHIVE_OK)
		r = add_all(archive, m);
	if (r == ARCHIVE_OK)
		r = archive_write_close(archive);
	if (r != ARCHIVE_OK) {
		const char *why = archive_error_string(archive);

		r = problem_set(problem, -EIO, "the metadata's CD can't be made: %s",
				why ? why : "unknown error");
	}
	archive_write_free(archive);
	return r;
}

int media_write(const struct machine *machine, const char *path, struct problem *problem)
{
	int fd, r;

	/* It may hold secrets, and a guest that has the one before keeps it. */
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return problem_set(problem, -errno, "%s can't be made: %s", path, strerror(errno));
	r = write_iso(machine, fd, problem);
	fd_close(&fd);
	if (r < 0)
		unlink(path);
	return r;
}
