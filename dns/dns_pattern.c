/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles regular expressions to programs of relative jumps, and runs all their threads at once.
 */
#include "dns/dns_pattern.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum op { OP_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_MATCH };

/* Jumps are relative to the step that they are in, so that a run of steps can be moved and copied.
 */
struct step {
	enum op op;
	int x, y;        /* SPLIT: both ways; JUMP: x */
	uint32_t set[8]; /* SET: the characters */
};

struct dns_pattern {
	size_t count;
	struct step steps[];
};

struct compiler {
	const char *p;
	size_t count;
	unsigned depth;
	const char *complaint; /* the first one; NULL: none */
	struct step steps[DNS_PATTERN_STEPS_MAX];
};

static void parse_alternatives(struct compiler *c);

static void complain(struct compiler *c, const char *complaint)
{
	if (!c->complaint)
		c->complaint = complaint;
}

/* Makes room for a step at `at`, moving what is behind it. Always returns one that may be written.
 */
static struct step *insert(struct compiler *c, size_t at, enum op op)
{
	if (c->count == DNS_PATTERN_STEPS_MAX) {
		complain(c, "is too large when its repeats are written out");
		c->count = at = 0;
	}
	memmove(&c->steps[at + 1], &c->steps[at], (c->count - at) * sizeof(c->steps[0]));
	c->count++;
	c->steps[at] = (struct step){.op = op};
	return &c->steps[at];
}

static struct step *append(struct compiler *c, enum op op)
{
	return insert(c, c->count, op);
}

static void append_jumps(struct compiler *c, enum op op, int x, int y)
{
	struct step *step = append(c, op);

	step->x = x;
	step->y = y;
}

static void append_copy(struct compiler *c, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct step step = steps[i];

		*append(c, step.op) = step;
	}
}

static void set_add(struct step *step, unsigned char byte)
{
	unsigned char both[] = {(unsigned char)tolower(byte), (unsigned char)toupper(byte)};

	for (int i = 0; i < 2; i++)
		step->set[both[i] / 32] |= 1u << both[i] % 32;
}

static bool set_has(const struct step *step, unsigned char byte)
{
	return step->set[byte / 32] >> byte % 32 & 1;
}

static void set_invert(struct step *step)
{
	for (int i = 0; i < 8; i++)
		step->set[i] = ~step->set[i];
}

static int is_word(int byte)
{
	return isalnum(byte) || byte == '_';
}

static void set_add_class(struct step *step, int (*is)(int), bool negated)
{
	for (int byte = 1; byte < 256; byte++) {
		if ((byte < 128 && is(byte) != 0) != negated)
			set_add(step, (unsigned char)byte);
	}
}

/* \d and its kin; returns whether the letter is one. */
static bool set_add_escape(struct step *step, char letter)
{
	switch (tolower((unsigned char)letter)) {
	case 'd':
		set_add_class(step, isdigit, letter == 'D');
		return true;
	case 'w':
		set_add_class(step, is_word, letter == 'W');
		return true;
	case 's':
		set_add_class(step, isspace, letter == 'S');
		return true;
	}
	return false;
}

/* [:alpha:] and its kin, at its first character; returns its length, or 0 when it isn't known. */
static size_t set_add_named(struct step *step, const char *p)
{
	static const struct {
		const char *name;
		int (*is)(int);
	} classes[] = {{"[:alpha:]", isalpha}, {"[:digit:]", isdigit}, {"[:alnum:]", isalnum},
		       {"[:lower:]", isalpha}, {"[:upper:]", isalpha}, {"[:xdigit:]", isxdigit},
		       {"[:punct:]", ispunct}, {"[:space:]", isspace}};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		size_t size = strlen(classes[i].name);

		if (strncmp(p, classes[i].name, size) == 0) {
			set_add_class(step, classes[i].is, false);
			return size;
		}
	}
	return 0;
}

/* One member of a bracket expression: a class, a character or a range. */
static void parse_member(struct compiler *c, struct step *step)
{
	if (c->p[0] == '[' && c->p[1] == ':') {
		size_t size = set_add_named(step, c->p);

		if (size == 0)
			complain(c, "has an unknown class such as [:word:]");
		c->p += size ? size : 1;
		return;
	}
	if (c->p[0] == '\\' && c->p[1]) {
		c->p++;
		if (set_add_escape(step, *c->p)) {
			c->p++;
			return;
		}
	}
	unsigned char first = (unsigned char)*c->p++, last = first;
	if (c->p[0] == '-' && c->p[1] && c->p[1] != ']') {
		last = (unsigned char)c->p[1];
		c->p += 2;
	}
	if (last < first)
		complain(c, "has a range that ends before it begins");
	for (unsigned byte = first; byte <= last; byte++)
		set_add(step, (unsigned char)byte);
}

static void parse_bracket(struct compiler *c)
{
	struct step *step = append(c, OP_SET);
	bool negated = *c->p == '^';

	c->p += negated;
	do {
		if (!*c->p) {
			complain(c, "has a [ without a ]");
			return;
		}
		parse_member(c, step);
	} while (*c->p != ']');
	c->p++;
	if (negated)
		set_invert(step);
}

static void parse_group(struct compiler *c)
{
	if (c->p[0] == '?') {
		if (c->p[1] != ':')
			complain(c,
				 "has a group of a kind that isn't known: write (...) or (?:...)");
		c->p += c->p[1] ? 2 : 1;
	}
	if (c->depth == DNS_PATTERN_DEPTH_MAX) {
		complain(c, "has too many groups within each other");
		return;
	}
	c->depth++;
	parse_alternatives(c);
	c->depth--;
	if (*c->p != ')')
		complain(c, "has a ( without a )");
	else
		c->p++;
}

static void parse_escape(struct compiler *c)
{
	char letter = *c->p;

	if (!letter) {
		complain(c, "ends in a backslash");
		return;
	}
	c->p++;
	if (letter == 'A' || letter == 'z') {
		append(c, letter == 'A' ? OP_BEGIN : OP_END);
		return;
	}
	struct step *step = append(c, OP_SET);
	if (set_add_escape(step, letter))
		return;
	if (isalnum((unsigned char)letter))
		complain(c, "has an escape that isn't known, or a back-reference");
	set_add(step, (unsigned char)letter);
}

static void parse_atom(struct compiler *c)
{
	char byte = *c->p++;

	switch (byte) {
	case '(':
		parse_group(c);
		return;
	case '[':
		parse_bracket(c);
		return;
	case '\\':
		parse_escape(c);
		return;
	case '^':
		append(c, OP_BEGIN);
		return;
	case '$':
		append(c, OP_END);
		return;
	case '.':
		set_invert(append(c, OP_SET));
		return;
	case '*':
	case '+':
	case '?':
	case '{':
		complain(c, "repeats nothing: write \\* for the character itself");
		return;
	}
	set_add(append(c, OP_SET), (unsigned char)byte);
}

/* The numbers of {n}, {n,} and {n,m}; *ret_max is -1 for no end. */
static void parse_counts(struct compiler *c, int *ret_min, int *ret_max)
{
	char *end;
	long min = isdigit((unsigned char)*c->p) ? strtol(c->p, &end, 10) : -1;
	long max = min;

	if (min >= 0 && *end == ',') {
		const char *number = end + 1;

		max = isdigit((unsigned char)*number) ? strtol(number, &end, 10) : -1;
		if (max < 0)
			end++;
	}
	if (min < 0 || *end != '}' || min > DNS_PATTERN_REPEAT_MAX ||
	    max > DNS_PATTERN_REPEAT_MAX || (max >= 0 && max < min)) {
		complain(c, "has wrong counts in {}: they may be at most 255");
		return;
	}
	c->p = end + 1;
	*ret_min = (int)min;
	*ret_max = (int)max;
}

/* Writes out the steps from `start` on `min` times, and then up to `max` times or for ever. */
static void repeat(struct compiler *c, size_t start, int min, int max)
{
	size_t count = c->count - start;
	int length = (int)count;
	struct step *once = malloc((count + 1) * sizeof(*once));

	if (!once) {
		complain(c, "could not be compiled: out of memory");
		return;
	}
	memcpy(once, &c->steps[start], count * sizeof(*once));
	c->count = start;
	for (int i = 0; i < min && !c->complaint; i++)
		append_copy(c, once, count);
	for (int i = min; i < max && !c->complaint; i++) {
		append_jumps(c, OP_SPLIT, 1, length + 1);
		append_copy(c, once, count);
	}
	if (max < 0) {
		append_jumps(c, OP_SPLIT, 1, length + 2);
		append_copy(c, once, count);
		append_jumps(c, OP_JUMP, -length - 1, 0);
	}
	free(once);
}

/* The quantifiers behind an atom, whose steps begin at `start`. */
static void parse_quantifiers(struct compiler *c, size_t start)
{
	while (!c->complaint && *c->p && strchr("*+?{", *c->p)) {
		char quantifier = *c->p++;
		int min = quantifier == '+', max = quantifier == '?' ? 1 : -1;

		if (quantifier == '+') {
			append_jumps(c, OP_SPLIT, -(int)(c->count - start), 1);
			continue;
		}
		if (quantifier == '{')
			parse_counts(c, &min, &max);
		if (!c->complaint)
			repeat(c, start, min, max);
	}
}

static void parse_sequence(struct compiler *c)
{
	while (!c->complaint && *c->p && *c->p != '|' && *c->p != ')') {
		size_t start = c->count;

		parse_atom(c);
		parse_quantifiers(c, start);
	}
}

static void parse_alternatives(struct compiler *c)
{
	size_t start = c->count;

	parse_sequence(c);
	while (!c->complaint && *c->p == '|') {
		size_t length = c->count - start;
		struct step *split = insert(c, start, OP_SPLIT);

		/* What came so far, and a jump over what comes now. */
		split->x = 1;
		split->y = (int)length + 2;
		append(c, OP_JUMP);
		size_t jump = c->count - 1;
		c->p++;
		parse_sequence(c);
		if (!c->complaint)
			c->steps[jump].x = (int)(c->count - jump);
	}
}

int dns_pattern_new(const char *text, struct dns_pattern **ret_pattern, const char **ret_complaint)
{
	struct compiler *c = calloc(1, sizeof(*c));
	struct dns_pattern *pattern = NULL;
	int r = -ENOMEM;

	if (!c)
		return -ENOMEM;
	c->p = text;
	if (strlen(text) > DNS_PATTERN_SIZE_MAX)
		complain(c, "is longer than 256 characters");
	else
		parse_alternatives(c);
	if (!c->complaint && *c->p == ')')
		complain(c, "has a ) without a (");
	append(c, OP_MATCH);
	if (c->complaint) {
		*ret_complaint = c->complaint;
		r = -EINVAL;
		goto out;
	}
	pattern = malloc(sizeof(*pattern) + c->count * sizeof(c->steps[0]));
	if (!pattern)
		goto out;
	pattern->count = c->count;
	memcpy(pattern->steps, c->steps, c->count * sizeof(c->steps[0]));
	*ret_pattern = pattern;
	r = 0;
out:
	free(c);
	return r;
}

void dns_pattern_free(struct dns_pattern *pattern)
{
	free(pattern);
}

/* The steps that threads have reached at one place of the text. */
struct threads {
	size_t count;
	uint16_t steps[DNS_PATTERN_STEPS_MAX]; /* the SETs among them */
	bool is_in[DNS_PATTERN_STEPS_MAX];
};

/* Starts a thread, and follows it to all SETs that it reaches without a character. Returns whether
 * it comes to the match. */
static bool follow(const struct dns_pattern *pattern, struct threads *threads, size_t first,
		   bool at_begin, bool at_end)
{
	/* A step is put on the stack twice at most, by two others; each is worked off once. */
	uint16_t stack[2 * DNS_PATTERN_STEPS_MAX + 1];
	size_t count = 0;

	stack[count++] = (uint16_t)first;
	while (count > 0) {
		size_t at = stack[--count];
		const struct step *step = &pattern->steps[at];

		if (threads->is_in[at])
			continue;
		threads->is_in[at] = true;
		switch (step->op) {
		case OP_MATCH:
			return true;
		case OP_SET:
			threads->steps[threads->count++] = (uint16_t)at;
			break;
		case OP_SPLIT:
			stack[count++] = (uint16_t)((int)at + step->y);
			stack[count++] = (uint16_t)((int)at + step->x);
			break;
		case OP_JUMP:
			stack[count++] = (uint16_t)((int)at + step->x);
			break;
		case OP_BEGIN:
		case OP_END:
			if (step->op == OP_BEGIN ? at_begin : at_end)
				stack[count++] = (uint16_t)(at + 1);
			break;
		}
	}
	return false;
}

static void threads_clear(struct threads *threads, size_t step_count)
{
	threads->count = 0;
	memset(threads->is_in, 0, step_count * sizeof(threads->is_in[0]));
}

bool dns_pattern_matches(const struct dns_pattern *pattern, const char *text)
{
	struct threads lists[2], *now = &lists[0], *next = &lists[1];

	threads_clear(now, pattern->count);
	for (const char *p = text;; p++) {
		/* A match may begin at every character. */
		if (follow(pattern, now, 0, p == text, *p == '\0'))
			return true;
		if (!*p)
			return false;
		threads_clear(next, pattern->count);
		for (size_t i = 0; i < now->count; i++) {
			size_t at = now->steps[i];

			if (set_has(&pattern->steps[at], (unsigned char)*p) &&
			    follow(pattern, next, at + 1, false, p[1] == '\0'))
				return true;
		}
		struct threads *swap = now;
		now = next;
		next = swap;
	}
}
