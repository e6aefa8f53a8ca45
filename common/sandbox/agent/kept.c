/*
 * Runs that have ended: output, verdict and new files of each are kept until somebody says that
 * they are safe elsewhere. Bounded: beyond the bounds the oldest are forgotten.
 */
#include "agent.h"

#include <stdlib.h>
#include <string.h>

static const struct frame_harvest all_new = {
	.depth = BOUND_OUTPUT_DEPTH, .entries = BOUND_OUTPUT_WALK, .time_ms = AGENT_NOTE_MS};

static void forget(struct kept **p)
{
	struct kept *k = *p;

	*p = k->next;
	capture_free(&k->out);
	capture_free(&k->err);
	found_free(&k->found);
	free(k->text);
	free(k);
}

/* From `p` on. */
static void trim(struct kept **p)
{
	size_t bytes = 0, count = 1;

	while (*p) {
		bytes += capture_bytes(&(*p)->out) + capture_bytes(&(*p)->err) + (*p)->found.bytes;
		if (++count > AGENT_KEPT_RUNS || bytes > AGENT_KEPT_BYTES)
			forget(p);
		else
			p = &(*p)->next;
	}
}

static bool has_key(const struct kept *k, const struct frame *f)
{
	return strlen(k->key) == f->len && memcmp(k->key, f->data, f->len) == 0;
}

static void send_exit(struct agent *a, const struct kept *k)
{
	unsigned char bytes[FRAME_STRUCT_MAX + sizeof(a->run.start_text)];
	size_t len = frame_exit_encode(&k->exit, bytes), text = k->text ? strlen(k->text) : 0;

	if (text > 0)
		memcpy(bytes + len, k->text, text);
	control_send(a, FRAME_EXIT, 0, k->run, bytes, len + text);
}

/* Everything that was not told yet, up to the EXIT. */
static void tell(struct agent *a, struct kept *k)
{
	capture_send_rest(a, &k->out, k->run);
	capture_send_rest(a, &k->err, k->run);
	send_exit(a, k);
}

void kept_add(struct agent *a, struct run *r, const struct frame_exit *e, bool told)
{
	struct kept *k = calloc(1, sizeof(*k)), spare = {0};

	if (k == NULL)
		k = &spare;
	*k = (struct kept){.run = told ? r->id : 0,
			   .note = r->note,
			   .exit = *e,
			   .stdin_got = r->stdin_got,
			   .stdin_taken = r->stdin_taken,
			   .out = r->out,
			   .err = r->err,
			   .text = *r->start_text ? strdup(r->start_text) : NULL};
	memcpy(k->key, r->key, sizeof(k->key));
	r->out = r->err = (struct capture){.fd = -1};
	if (told)
		tell(a, k);
	if (k == &spare) {
		capture_free(&k->out);
		capture_free(&k->err);
		free(k->text);
		return;
	}
	k->next = a->kept;
	a->kept = k;
	trim(&k->next);
}

struct kept *kept_find(struct agent *a, uint32_t run)
{
	for (struct kept *k = a->kept; k && run; k = k->next)
		if (k->run == run)
			return k;
	return NULL;
}

/* Those that match; NULL = those without a key. */
static void forget_all(struct agent *a, const struct frame *f)
{
	for (struct kept **p = &a->kept; *p;) {
		if (f ? has_key(*p, f) : (*p)->key[0] == '\0')
			forget(p);
		else
			p = &(*p)->next;
	}
}

void kept_detach(struct agent *a)
{
	forget_all(a, NULL);
	for (struct kept *k = a->kept; k; k = k->next)
		k->run = 0;
}

void kept_settle(struct agent *a)
{
	/* The files of a run that was cancelled, or never began, count as the next one's. */
	for (struct kept *k = a->kept; k; k = k->next) {
		if (k->noted || k->key[0] == '\0' || k->exit.end == FRAME_END_CANCELLED ||
		    k->exit.end == FRAME_END_NOT_STARTED)
			continue;
		harvest_look(a, &all_new, &k->found);
		k->noted = true;
	}
	forget_all(a, NULL);
	if (a->kept)
		trim(&a->kept->next);
}

static void send_state(struct agent *a, uint32_t run, const struct frame_state *s)
{
	unsigned char bytes[FRAME_STRUCT_MAX];

	control_send(a, FRAME_STATE, 0, run, bytes, frame_state_encode(s, bytes));
}

/* The one that is going, under the name the asker gives it. */
static void tell_going(struct agent *a, uint32_t run)
{
	const struct run *r = &a->run;
	const struct frame_state s = {.state = FRAME_STATE_GOING,
				      .note = r->note,
				      .left_ms = run_left_ms(a),
				      .stdin_got = r->stdin_got,
				      .stdin_taken = r->stdin_taken};

	send_state(a, run, &s);
	run_attach(a, run);
}

static void tell_ended(struct agent *a, struct kept *k, uint32_t run)
{
	const struct frame_state s = {.state = FRAME_STATE_ENDED,
				      .note = k->note,
				      .stdin_got = k->stdin_got,
				      .stdin_taken = k->stdin_taken};

	k->run = run;
	k->out.sent = k->err.sent = 0;
	send_state(a, run, &s);
	tell(a, k);
}

void kept_ask(struct agent *a, const struct frame *f)
{
	struct frame_state s = {.state = FRAME_STATE_NONE};

	if (f->run == 0 || !frame_key_is_good((struct slice){(const char *)f->data, f->len}))
		return control_complain(a, "ASK needs a run and a key");
	a->waiting = 0;
	if (a->run.leader && strlen(a->run.key) == f->len &&
	    memcmp(a->run.key, f->data, f->len) == 0)
		return tell_going(a, f->run);
	for (struct kept *k = a->kept; k; k = k->next)
		if (has_key(k, f))
			return tell_ended(a, k, f->run);
	if (a->run.leader) {
		s.state = FRAME_STATE_BUSY;
		s.left_ms = run_left_ms(a);
		a->waiting = f->run;
	}
	send_state(a, f->run, &s);
}

void kept_acknowledge(struct agent *a, const struct frame *f)
{
	if (f->len > 0)
		forget_all(a, f);
}

void kept_free_all(struct agent *a)
{
	while (a->kept)
		forget(&a->kept);
}
