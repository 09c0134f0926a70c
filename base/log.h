/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: one line per event to standard error or a file, with a level and the module's name.
 *
 * A source file names its module once, after its includes:
 *
 *	LOG_MODULE("dhcp");
 *
 * and then calls log_error() ... log_debug(). What a guest or an API client can trigger at will
 * goes through log_limited(), so that nobody can fill the host's disk by sending packets.
 *
 * This is the one module with process-wide state: the level, the module filters and the output.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR, /* something asked for did not happen */
	LOG_LEVEL_WARN,  /* it works, but not as the user would expect */
	LOG_LEVEL_INFO,  /* milestones: started, guest attached, port published */
	LOG_LEVEL_DEBUG, /* one line per flow or message */
};

/* At most LOG_LIMIT_BURST lines per call site in LOG_LIMIT_WINDOW_MS; the next line that passes
 * says how many were left out. */
#define LOG_LIMIT_BURST     5
#define LOG_LIMIT_WINDOW_MS 10000

struct log_limit {
	uint64_t window_start_ms;
	uint32_t in_window;
	uint32_t suppressed;
};

#define LOG_MODULE(NAME) static const char log_module[] = NAME

void log_write(enum log_level level, const char *module, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void log_write_limited(struct log_limit *limit, enum log_level level, const char *module,
		       const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Whether a line of this level from this module would be written; for work done only to log. */
bool log_enabled(enum log_level level, const char *module);

/* Sets the levels from text such as "info" or "warn,dhcp=debug,vsock=debug".
 * Returns 0, or -EINVAL with nothing changed. */
int log_set_levels(const char *text);

/* Appends to the file at `path` instead of standard error; reopens it when called again with the
 * same path (log rotation). NULL goes back to standard error. Returns 0 or -errno with the old
 * output kept. */
int log_set_file(const char *path);
/* Appends each line to `fd` as well, borrowed, until the next call; -1: nowhere. */
void log_set_copy(int fd);

#define log_error(...) log_write(LOG_LEVEL_ERROR, log_module, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, log_module, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, log_module, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, log_module, __VA_ARGS__)

/* log_limited(LOG_LEVEL_WARN, "..."): one limit per call site. */
#define log_limited(LEVEL, ...)                                                   \
	do {                                                                      \
		static struct log_limit limit_here;                               \
		log_write_limited(&limit_here, (LEVEL), log_module, __VA_ARGS__); \
	} while (0)

#endif
