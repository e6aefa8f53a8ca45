/*
 * agent_fixture.h: the real agent as PID 1 of namespaces of its own, on this machine, without an
 * engine. Its root holds the machine's programs, an empty /sandbox and /tmp in memory, and nothing
 * else; it runs as uid 10001 without capabilities.
 */
#ifndef CELERIAC_TESTS_AGENT_FIXTURE_H
#define CELERIAC_TESTS_AGENT_FIXTURE_H

#include <sys/types.h>

#include "base.h"
#include "buf.h"
#include "common/sandbox/frame.h"

struct agent_box {
	pid_t pid; /* of the agent, as seen from here */
	int to, from;
	uint32_t epoch;
	struct frame_reader reader;
	unsigned char bytes[32768];
	size_t have, used;
};

/* False where namespaces cannot be made (not root). */
bool agent_box_possible(void);
/* NULL when they could not be made. */
struct agent_box *agent_box_new(void);
/* The next ones have a kernel that does not know openat2, as some sandboxes' kernels do. */
void agent_box_old_kernel(bool on);
void agent_box_free(struct agent_box *b);

void agent_box_send_raw(struct agent_box *b, const void *data, size_t len);
void agent_box_send(struct agent_box *b, enum frame_type type, unsigned flags, uint32_t run,
		    const void *data, size_t len);
/* The next frame, or false after `timeout_ms` or at the end of the stream. Borrowed until the next
 * call. */
bool agent_box_read(struct agent_box *b, int timeout_ms, struct frame *ret);

/* Introduces itself as a worker of `version` … */
uint32_t agent_box_hello_as(struct agent_box *b, uint32_t epoch, uint32_t version);
/* Introduces itself with `epoch` and waits for the answer; the welcome's flags. */
uint32_t agent_box_hello(struct agent_box *b, uint32_t epoch);

struct agent_result {
	struct buf out, err;	   /* heads and tails */
	size_t out_tail, err_tail; /* how much of it was tail */
	uint32_t taken;		   /* bytes of standard input */
	struct frame_exit exit;
	char text[1024];
};
/* Only asks for the run of a shell script. */
void agent_box_start(struct agent_box *b, uint32_t run, const char *script, unsigned timeout_ms,
		     unsigned limit, unsigned flags);
/* The same with a key. */
void agent_box_start_keyed(struct agent_box *b, uint32_t run, const char *key, const char *script,
			   unsigned timeout_ms, unsigned limit, unsigned flags);
/* Asks for the run of `key`, to be called `run`; the state, and what STATE says. */
enum frame_run_state agent_box_ask(struct agent_box *b, uint32_t run, const char *key,
				   struct frame_state *ret);
/* Reads up to the EXIT. */
void agent_box_finish(struct agent_box *b, uint32_t run, struct agent_result *ret);
/* Both, with 64 KiB of output. */
void agent_box_run(struct agent_box *b, uint32_t run, const char *script, unsigned timeout_ms,
		   struct agent_result *ret);
void agent_result_done(struct agent_result *r);

void agent_box_put(struct agent_box *b, uint32_t run, const char *name, const char *text);

/* Makes an empty file in /sandbox, past the agent: what a run waits for. */
void agent_box_touch(const struct agent_box *b, const char *name);

/* Harvests; "+name:size " per file, "-name:reason " per skipped one, in the order they came. */
void agent_box_harvest(struct agent_box *b, const struct frame_harvest *limits, struct buf *out);

/* The same for the files of one run. */
void agent_box_harvest_run(struct agent_box *b, uint32_t run, const struct frame_harvest *limits,
			   struct buf *out);

/* Asks only: for now, or for the end of the run that is being put together. Reads one. */
void agent_box_ask_harvest(struct agent_box *b, uint32_t run, const struct frame_harvest *limits);
void agent_box_take_harvest(struct agent_box *b, struct buf *out);

/* Processes in the agent's PID namespace besides itself. */
int agent_box_alive(const struct agent_box *b);

#endif
