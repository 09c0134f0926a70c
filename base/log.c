/* SPDX-License-Identifier: Apache-2.0 */
/* Logging. Each line is one write(2), so that lines of several processes don't mix in one file. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_SIZE_MAX     2048
#define TEXT_SIZE_MAX     1024
#define FILTERS_MAX       32
#define MODULE_NAME_MAX   24
#define MODULE_NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"

struct filter {
	char module[MODULE_NAME_MAX];
	enum log_level level;
};

struct levels {
	enum log_level base;    /* of modules without a filter */
	enum log_level highest; /* of all; a quick no for most debug lines */
	struct filter filters[FILTERS_MAX];
	size_t filter_count;
};

static struct levels levels = {.base = LOG_LEVEL_INFO, .highest = LOG_LEVEL_INFO};
static int output_fd = STDERR_FILENO;
static int copy_fd = -1;

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

#define LEVEL_COUNT (sizeof(level_names) / sizeof(level_names[0]))

bool log_enabled(enum log_level level, const char *module)
{
	if (level > levels.highest)
		return false;
	for (size_t i = 0; i < levels.filter_count; i++) {
		if (strcmp(levels.filters[i].module, module) == 0)
			return level <= levels.filters[i].level;
	}
	return level <= levels.base;
}

/* How many bytes the character at `text` has, if it may be shown as it is; 0 if it is a control
 * character or not UTF-8. Whatever a guest puts into a name, it must not forge a line or steer a
 * terminal. */
static size_t printable_size(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t size;

	if (c[0] < 0x80)
		return c[0] >= 0x20 && c[0] != 0x7f;
	if (c[0] >= 0xc2 && c[0] <= 0xdf)
		size = 2;
	else if (c[0] >= 0xe0 && c[0] <= 0xef)
		size = 3;
	else if (c[0] >= 0xf0 && c[0] <= 0xf4)
		size = 4;
	else
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	/* U+0080 to U+009F are control characters too. */
	return c[0] == 0xc2 && c[1] < 0xa0 ? 0 : size;
}

/* Copies `text` to `to`, escaping what isn't printable, as far as it fits; returns the bytes
 * written. */
static size_t escape(const char *text, char *to, size_t to_size)
{
	static const char hex[] = "0123456789abcdef";
	size_t written = 0;

	while (*text) {
		size_t size = printable_size(text);
		unsigned char c = (unsigned char)*text;
		const char code[] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
		const char *from = size ? text : code;
		size_t from_size = size ? size : sizeof(code);

		if (c == '\n') {
			from = "\\n";
			from_size = 2;
		}
		if (written + from_size > to_size)
			break;
		memcpy(to + written, from, from_size);
		written += from_size;
		text += size ? size : 1;
	}
	return written;
}

/* "10:21:07.123 warn dhcp: "; with the date in files, which outlive the day. */
static size_t format_head(char *to, size_t to_size, int fd, enum log_level level,
			  const char *module)
{
	struct timespec now;
	struct tm tm;
	size_t size;
	int more;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	size = strftime(to, to_size, fd == STDERR_FILENO ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
	more = snprintf(to + size, to_size - size, ".%03d %s %.*s: ", (int)(now.tv_nsec / 1000000),
			level_names[level], MODULE_NAME_MAX, module);
	return size + (size_t)more;
}

static void write_line_to(int fd, enum log_level level, const char *module, const char *text)
{
	char line[LINE_SIZE_MAX];
	size_t size = format_head(line, sizeof(line), fd, level, module);
	ssize_t r;

	size += escape(text, line + size, sizeof(line) - 1 - size);
	line[size++] = '\n';
	/* A line that can't be written is lost: there is nobody to tell. */
	do {
		r = write(fd, line, size);
	} while (r < 0 && errno == EINTR);
}

static void write_line(enum log_level level, const char *module, const char *text)
{
	write_line_to(output_fd, level, module, text);
	if (copy_fd >= 0)
		write_line_to(copy_fd, level, module, text);
}

void log_write(enum log_level level, const char *module, const char *format, ...)
{
	int saved_errno = errno;
	char text[TEXT_SIZE_MAX];
	va_list args;

	if (!log_enabled(level, module))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(level, module, text);
	errno = saved_errno;
}

/* Counts one line at `now_ms`. Whether it may pass, and in *ret_left_out how many didn't before it.
 */
static bool limit_pass(struct log_limit *limit, uint64_t now_ms, uint32_t *ret_left_out)
{
	if (limit->in_window == 0 || now_ms - limit->window_start_ms >= LOG_LIMIT_WINDOW_MS) {
		limit->window_start_ms = now_ms;
		limit->in_window = 0;
	}
	if (limit->in_window == LOG_LIMIT_BURST) {
		if (limit->suppressed < UINT32_MAX)
			limit->suppressed++;
		return false;
	}
	limit->in_window++;
	*ret_left_out = limit->suppressed;
	limit->suppressed = 0;
	return true;
}

void log_write_limited(struct log_limit *limit, enum log_level level, const char *module,
		       const char *format, ...)
{
	int saved_errno = errno;
	char text[TEXT_SIZE_MAX];
	uint32_t left_out;
	va_list args;
	int size;

	if (!log_enabled(level, module) || !limit_pass(limit, clock_ms(), &left_out))
		return;
	/* clock_ms() may not have touched it, but the message may use %m. */
	errno = saved_errno;
	va_start(args, format);
	size = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (left_out > 0 && size >= 0 && (size_t)size < sizeof(text))
		snprintf(text + size, sizeof(text) - (size_t)size, " (%u more like this left out)",
			 left_out);
	write_line(level, module, text);
	errno = saved_errno;
}

static int level_parse(const char *name, size_t size, enum log_level *ret)
{
	for (size_t i = 0; i < LEVEL_COUNT; i++) {
		if (strlen(level_names[i]) == size && memcmp(level_names[i], name, size) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Parses "module=level" or "level", `size` bytes of it, into `to`. */
static int levels_parse_item(const char *item, size_t size, struct levels *to)
{
	const char *equals = memchr(item, '=', size);
	size_t name_size = equals ? (size_t)(equals - item) : 0;
	struct filter *filter = &to->filters[to->filter_count];

	if (!equals)
		return level_parse(item, size, &to->base);
	if (name_size == 0 || name_size >= MODULE_NAME_MAX || to->filter_count == FILTERS_MAX)
		return -EINVAL;
	if (strspn(item, MODULE_NAME_CHARS) != name_size)
		return -EINVAL;
	memcpy(filter->module, item, name_size);
	filter->module[name_size] = '\0';
	to->filter_count++;
	return level_parse(equals + 1, size - name_size - 1, &filter->level);
}

int log_set_levels(const char *text)
{
	struct levels parsed = {.base = LOG_LEVEL_INFO};

	for (;;) {
		size_t size = strcspn(text, ",");
		int r = levels_parse_item(text, size, &parsed);

		if (r < 0)
			return r;
		if (text[size] == '\0')
			break;
		text += size + 1;
	}
	parsed.highest = parsed.base;
	for (size_t i = 0; i < parsed.filter_count; i++) {
		if (parsed.filters[i].level > parsed.highest)
			parsed.highest = parsed.filters[i].level;
	}
	levels = parsed;
	return 0;
}

int log_set_file(const char *path)
{
	int fd = STDERR_FILENO;

	if (path) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return -errno;
	}
	if (output_fd != STDERR_FILENO)
		close(output_fd);
	output_fd = fd;
	return 0;
}

void log_set_copy(int fd)
{
	copy_fd = fd;
}
