/* SPDX-License-Identifier: Apache-2.0 */
/* See option_values.h. */
#include "launcher/option_values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/machine.h"

int option_text(char **to, const char *flag, const char *value, struct problem *problem)
{
	char *copy;

	if (value[0] == '\0')
		return problem_set(problem, -EINVAL, "-%s: the value is empty", flag);
	copy = strdup(value);
	if (!copy)
		return problem_set(problem, -ENOMEM, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

int option_number(unsigned *to, const char *flag, const char *value, unsigned min, unsigned max,
		  struct problem *problem)
{
	unsigned long number = 0;
	size_t length = strlen(value);

	if (length > 0 && length <= 9 && strspn(value, DIGITS) == length)
		number = strtoul(value, NULL, 10);
	else
		number = max + 1ul;
	if (number < min || number > max)
		return problem_set(problem, -EINVAL, "-%s \"%s\": a number from %u to %u is wanted",
				   flag, value, min, max);
	*to = (unsigned)number;
	return 0;
}

int option_memory(uint64_t *to, const char *flag, const char *value, struct problem *problem)
{
	uint64_t bytes;

	if (size_parse(value, &bytes) < 0)
		return problem_set(
			problem, -EINVAL,
			"-%s \"%s\": write mebibytes, such as 1024, or a suffix: 512M, 2G", flag,
			value);
	if (bytes < MACHINE_MEM_MIN || bytes > MACHINE_MEM_MAX)
		return problem_set(problem, -ERANGE,
				   "-%s \"%s\": a machine can have from 32M to 4T of memory", flag,
				   value);
	if (bytes % (UINT64_C(1) << 20) != 0)
		return problem_set(problem, -EINVAL, "-%s \"%s\": whole mebibytes are wanted", flag,
				   value);
	*to = bytes;
	return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	size_t digits = strspn(text, DIGITS);
	const char *suffix = text + digits;
	unsigned shift = 20;
	uint64_t number;

	if (digits == 0 || digits > 15)
		return -EINVAL;
	number = strtoull(text, NULL, 10);
	if (*suffix != '\0') {
		const char upper = (char)(*suffix & ~0x20);
		const char *unit = strchr(units, upper);

		if (!unit || upper == '\0')
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
		suffix++;
		if (strcmp(suffix, "iB") == 0)
			suffix += 2;
		else if (strcmp(suffix, "B") == 0)
			suffix++;
	}
	if (*suffix != '\0' || number > UINT64_MAX >> shift)
		return -EINVAL;
	*ret_bytes = number << shift;
	return 0;
}
