/*
 * agent.h: the resident agent, PID 1 of a sandbox, reached over its standard input and output.
 *
 * A small static program on libc alone, so that it runs in any image. It shares its user with the
 * hostile code it starts; what protects it: it is not dumpable (no ptrace, no /proc/1/fd), as PID 1
 * it gets no signal it does not want, its descriptors are closed on exec, and between two runs
 * nothing else is alive in its PID namespace. What a run can still do to it (lower its limits, slow
 * it down) costs only that sandbox, and is reported. One thread, one poll loop.
 */
#ifndef CELERIAC_SANDBOX_AGENT_H
#define CELERIAC_SANDBOX_AGENT_H

#include <sys/resource.h>
#include <sys/types.h>

#include "../frame.h"
#include "python.h"

#define AGENT_HOME	 "/sandbox"
#define AGENT_OUTPUT	 "output"
#define AGENT_QUEUE	 (4 * (FRAME_HEADER + FRAME_PAYLOAD)) /* bytes on their way to the worker */
#define AGENT_ARGS_BYTES (128u << 10) /* argument vector, environment: bytes each */
#define AGENT_STRINGS	 1024	      /* argument vector, environment: entries each */
#define AGENT_PUT_DEPTH	 4	      /* components of an input file's name */
#define AGENT_DRAIN_MS	 100   /* children of an ended leader may finish their output for so long */
#define AGENT_EXIT_MS	 10    /* and, with that finished, exit */
#define AGENT_KILL_MS	 3000  /* rounds of killing */
#define AGENT_SEND_MS	 30000 /* a worker that does not read */
#define AGENT_LINGER_MS	 3     /* what a run says may wait for more of it so long, … */
#define AGENT_LINGER	 16384 /* … unless it is so many bytes */
#define AGENT_RESET_MS	 20000 /* emptying the output directory */
#define AGENT_NOTE_MS	 10000 /* looking for the new files of a run that nobody has asked for */
#define AGENT_KEPT_RUNS	 8     /* ended runs that nobody has acknowledged, … */
#define AGENT_KEPT_BYTES (8u << 20) /* … and their output, besides that of the last one */
#define AGENT_SPARE_MS	 500	    /* of them, for so long those that spare the fork server */
#define RUN_NICE	 10	    /* of everything that a run is */
#define AGENT_STEPS	 4	    /* of one run */
#define AGENT_MEASURE_MS 2000	    /* between two looks at what an installation has made */

/* NUL-terminated strings one after another. */
struct strings {
	char *bytes;
	size_t len, count;
	bool bad; /* too many, or not terminated */
};

/* One of a run's output streams: the head is kept, of the rest only the end, in a ring. */
struct capture {
	int fd; /* -1 = at its end */
	enum frame_type type;
	unsigned char *head;
	size_t head_size, head_room; /* how long it may become, how much there is memory for */
	size_t head_len, sent;	     /* of which the attached worker has been given so much */
	unsigned char *ring;
	size_t ring_size, ring_len, ring_pos; /* ring_pos: where the next byte goes */
	uint64_t total, dropped;
};

/* Standard input on its way to the run. */
struct feed {
	int fd; /* -1 = closed */
	unsigned char *bytes;
	size_t begin, len;
	bool last; /* nothing will come after these */
};

/* Memory of the whole container in bytes, 0 where the kernel does not show it. */
struct memory_use {
	uint64_t now, peak; /* peak: since the container began */
};

/* The three ends that a process gets, and the three that stay here (-1 = none). */
struct stdio {
	int child[3], ours[3];
};
#define STDIO_INIT                                                                                 \
	{                                                                                          \
		.child = {-1, -1, -1}, .ours = { -1, -1, -1 }                                      \
	}

/* What is being put together for the next run, or the run that is going. */
struct run {
	uint32_t id;		       /* what the attached worker calls it */
	char key[FRAME_KEY_BYTES + 1]; /* "" = it ends with its attachment */
	uint32_t note;
	bool attached; /* somebody has been told of it and gets what it says */
	struct strings args, env;
	size_t step_ends[AGENT_STEPS],
		step_count;    /* of each step: how many of `args` there are then */
	size_t step;	       /* the one that is going */
	const char *step_args; /* its strings, one after another */
	size_t step_len;
	struct frame_run spec;	      /* without its key */
	struct frame_harvest harvest; /* for its end */
	bool harvest_asked;
	struct stdio io; /* the children's ends, until the last step has them */
	int put_fd;	 /* file being filled, -1 = none */
	uint64_t put_left;
	char put_name[FRAME_NAME_BYTES + 1];
	int start_errno; /* first thing that went wrong before the start */
	char start_text[FRAME_NAME_BYTES + 256];

	pid_t leader; /* 0 = not running */
	bool leader_gone;
	bool is_python; /* the fork server may come to be useful */
	int leader_status;
	usec_t began, ended, deadline, drain_deadline; /* monotonic */
	usec_t next_measure;			       /* of a run that installs; else NEVER */
	struct capture out, err;
	struct feed in;
	uint64_t stdin_got, stdin_taken; /* bytes */
	uint64_t cpu_us, peak_memory;
	uint64_t cpu_before; /* of a leader that is older than its run */
	uint32_t oom_kills_before;
	struct memory_use before;
};

/* A file as it was when it was looked at. Its ctime cannot be set by anyone. */
struct seen_file {
	uint64_t ino, size;
	int64_t ctime_ns;
};
/* What a run has left in the output directory: new files, and what is no file to take. */
struct found_file {
	char *path;
	enum frame_skip skip; /* not to be taken, and why */
	struct seen_file file;
};
struct found {
	struct found_file *files;
	size_t count, room, bytes;
};

/* A run that has ended. */
struct kept {
	struct kept *next;
	char key[FRAME_KEY_BYTES + 1]; /* "" = only until the next one begins */
	uint32_t run;		       /* what the attached worker calls it, 0 = not of it yet */
	uint32_t note;
	struct frame_exit exit;
	char *text; /* why it could not start, or NULL */
	uint64_t stdin_got, stdin_taken;
	struct capture out, err;
	bool noted; /* `found` is what it has left */
	struct found found;
};

/* A connection of the run's to the proxy, or to the run's server. */
struct channel {
	int fd; /* -1 = free */
	uint32_t id;
	uint16_t port;	      /* of a dialled one: where it leads, … */
	bool connecting, v6;  /* … whether it is there yet, and by which address */
	size_t credit;	      /* bytes that may be sent to the worker */
	unsigned char *bytes; /* on their way to the client */
	size_t begin, len;
	size_t taken;		       /* written to the client and not told */
	bool client_done, worker_done; /* nothing more will come from there */
};
struct proxy {
	int listener; /* -1 = the run has no way out */
	bool dials;   /* the run is a server */
	uint32_t last_id;
	size_t first; /* whose turn it is */
	size_t room;  /* channels that there may be */
	struct channel channels[FRAME_DIALS];
};

struct agent {
	int control_in, control_out, signals;
	uint32_t epoch;	  /* 0 = no worker yet */
	uint32_t version; /* that both speak */
	uint32_t waiting; /* run for which a worker waits until the one that is going has ended, 0 =
			     none */
	struct frame_reader reader;
	unsigned char *queue;
	size_t queue_begin, queue_len;
	bool stalled; /* the worker did not read for AGENT_SEND_MS */
	bool corked;  /* what is queued goes out together with what follows */
	usec_t due;   /* when what is queued goes out at the latest; 0 = as soon as it can */
	struct run run;
	struct kept *kept; /* last ended first */
	struct proxy proxy;
	struct seen_file *seen; /* sorted */
	size_t seen_count;
	struct rlimit limits[RLIM_NLIMITS]; /* as they were at the start */
	int nice, policy;
	struct python python;
};

/* main.c */
usec_t now_mono(void);

/* control.c: frames in and out */
void control_read(struct agent *a);
/* Appends a whole frame, waiting for room if it must; a worker that does not read for AGENT_SEND_MS
 * loses it. */
void control_send(struct agent *a, enum frame_type type, unsigned flags, uint32_t run,
		  const void *data, size_t len);
void control_flush(struct agent *a);
/* For poll, in ms: until what lingers has to go out; -1 = nothing does. */
int control_timeout(const struct agent *a);
/* Sends what has lingered for long enough. */
void control_tick(struct agent *a);
/* Frames that belong together, in one piece as far as there is room. */
void control_cork(struct agent *a);
void control_uncork(struct agent *a);
/* Room for a full frame and for what ends a run. */
bool control_has_room(const struct agent *a);
void control_complain(struct agent *a, const char *text);

/* request.c: what comes before a run */
bool strings_add(struct strings *s, const struct frame *f);
void strings_done(struct strings *s);
/* The vector, NULL-terminated, pointing into `s`; or NULL. */
char **strings_vector(struct strings *s);
void put_begin(struct agent *a, const struct frame *f);
void put_data(struct agent *a, const struct frame *f);
/* Remembers why the run cannot be started; the first reason counts. */
void run_spoil(struct run *r, int error, const char *what, const char *name);

/* run.c: one run from start to EXIT */
void run_prepare(struct agent *a, uint32_t id);
void run_start(struct agent *a, const struct frame_run *spec);
void run_end(struct agent *a, enum frame_end end);
void run_tick(struct agent *a);
/* Milliseconds until run_tick has something to do, -1 = never. */
int run_timeout(const struct agent *a);
void run_stdin(struct agent *a, const struct frame *f);
void run_feed(struct agent *a);
/* Sends what the attached worker has not been given yet, as far as there is room. */
void run_pump(struct agent *a);
/* A new worker is attached: a run with a key goes on unseen, any other is ended. */
void run_detach(struct agent *a);
/* From now on the run that is going is `id`, told from its beginning. */
void run_attach(struct agent *a, uint32_t id);
uint32_t run_left_ms(const struct agent *a);

/* The leader has ended, or says that it is through. */
void run_leader_gone(struct run *r, int status);

/* measure.c: is there more than FRAME_INSTALL_MAX, or what cannot be measured? */
bool measure_is_over(const char *path);

/* spawn.c: a process, from fork to exec */
/* Without input it is /dev/null. 0 or an errno, and then nothing is open. */
int stdio_open(struct stdio *io, bool with_stdin);
void stdio_close(struct stdio *io);
void stdio_close_child(struct stdio *io);
struct spawn {
	const struct stdio *io;	      /* NULL = /dev/null */
	const struct frame_run *spec; /* its limits, or NULL */
	const char *const *argv, *const *envp;
	int extra[2]; /* become its descriptors 3 and 4, -1 = none */
	bool is_ours; /* no run: others are to go first when memory is short */
};
/* 0 or an errno. */
int spawn(const struct spawn *s, pid_t *ret_pid);

/* step.c */
/* The strings up to here are a step's. */
void step_end(struct run *r);
bool step_is_last(const struct run *r);
/* Starts `step`. 0 or an errno, and the run is spoilt. */
int step_start(struct agent *a);

/* seccomp.c: for the process that calls it, and for all it starts. 0 or an errno; a kernel without
 * filters is no error, since whether it may be is decided before. */
int seccomp_subtract(void);

/* capture.c */
void capture_init(struct capture *c, int fd, enum frame_type type, size_t limit);
/* Reads once. */
void capture_read(struct capture *c);
/* Reads what is left and closes. All writers must be gone. */
void capture_close(struct capture *c);
/* Sends of the head what was not sent yet, as far as there is room. */
void capture_pump(struct agent *a, struct capture *c, uint32_t run);
/* Sends the rest of the head and the end, waiting for room. */
void capture_send_rest(struct agent *a, struct capture *c, uint32_t run);
size_t capture_bytes(const struct capture *c);
void capture_free(struct capture *c);

/* kept.c: ended runs */
/* Keeps the run that has just ended (its captures are taken), and tells it to who is attached. */
void kept_add(struct agent *a, struct run *r, const struct frame_exit *e, bool tell);
struct kept *kept_find(struct agent *a, uint32_t run);
/* A HELLO of a higher epoch has come: nobody has a name for any of them. */
void kept_detach(struct agent *a);
/* Before a run begins: what the last one has left is written down while it can be told from what
 * comes now. */
void kept_settle(struct agent *a);
void kept_ask(struct agent *a, const struct frame *f);
void kept_acknowledge(struct agent *a, const struct frame *f);
void kept_free_all(struct agent *a);

/* reap.c: processes that end */
void reap(struct agent *a);
/* Ends everything else that is still alive here after `grace`. How many that were, and how many
 * there still are. True: it took the end of everything, the fork servers too. */
bool reap_everything(struct agent *a, usec_t grace, uint32_t *ret_left, uint32_t *ret_remaining);

/* state.c: what the kernel says about this sandbox */
uint32_t state_oom_kills(void);
void state_memory(struct memory_use *ret);
/* A small file of the kernel's as a string; false when it is not to be had. */
bool state_read_text(const char *path, char *text, size_t size);
void state_space(const char *path, uint64_t *ret_bytes, uint64_t *ret_inodes);
void state_remember(struct agent *a);
bool state_is_tampered(const struct agent *a);
/* Is `pid` (0 = we ourselves) scheduled otherwise than a process of ours is? */
bool state_is_rescheduled(const struct agent *a, pid_t pid, int nice);
/* Has `pid`, which handles no signal, ended, or been sent one that it has not come to? */
bool state_is_dying(pid_t pid);

/* bounds.c */
void bounds_tell(struct agent *a, uint32_t run);

/* tree.c: paths below a directory that hostile code has filled. No call follows a link. */
/* The directory /sandbox, usable by us whatever its mode was; -1 and errno. */
int tree_home(void);
/* Opens `path` (checked components) below `dir`; no links, no other file system. -1 and errno. */
int tree_open(int dir, const char *path, int flags);
/* The directory `name` in `dir`, made if it is not there, replaced if it is something else. -1 and
 * errno. */
int tree_make_dir(int dir, const char *name);
/* Removes everything in `dir`; how much was removed, and what is left at the deadline. */
void tree_empty(int dir, usec_t deadline, uint64_t *ret_removed, uint64_t *ret_left);

/* harvest.c */
/* Looks for files that are new or changed since this was last called. */
void harvest_look(struct agent *a, const struct frame_harvest *limits, struct found *ret);
void found_free(struct found *f);
void harvest(struct agent *a, const struct frame_harvest *limits, uint32_t run);
void reset_output(struct agent *a, uint32_t run);

#endif
