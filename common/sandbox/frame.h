/*
 * frame.h: the frames that the worker and the agent in a sandbox exchange over the container's
 * attached stream.
 *
 * Shared by both sides, needs libc only, knows no descriptors. Everything is little endian. A frame
 * is a header of FRAME_HEADER bytes type u8 · flags u8 · reserved u16 (0) · epoch u32 · run u32 ·
 * length u32 and `length` (at most FRAME_PAYLOAD) bytes. `epoch` is the attachment's: the agent
 * obeys the highest one it has seen a HELLO for and ignores the others, so a worker that was
 * replaced can say nothing more (it is told by SUPERSEDED). `run` is what this attachment calls a
 * run, 0 = none.
 *
 * A stream can be joined in the middle of a frame, in both directions. Therefore a HELLO and its
 * answer are preceded by frame_sync_mark, and a worker that joins a container it did not make sends
 * FRAME_PREAMBLE zero bytes first: they fill whatever frame was half sent, the next header is then
 * invalid (type 0), and the agent looks for the mark. The worker in turn discards everything until
 * mark, header and its own nonce (frame_reader_init): nothing a run printed earlier can imitate
 * that.
 *
 * A run is ARGS and ENV (NUL-terminated strings, as many frames as needed; ARGS flagged FRAME_LAST
 * are the last of a step, and the next step is started when that one has ended with 0), PUT …
 * PUT_DATA per input file, then RUN; what went wrong with a PUT is said in the EXIT of that run, so
 * all of it is sent in one go. The agent says STARTED, sends STDOUT and STDERR as they come up to
 * the head's size, the tails flagged FRAME_TAIL at the end, then EXIT. Standard input has a window:
 * at most FRAME_STDIN_WINDOW bytes may be sent beyond what STDIN_TAKEN has acknowledged. After the
 * EXIT the worker asks for HARVEST: FILE, FILE_DATA …, FILE_END per file, SKIPPED for what is left
 * out, HARVESTED at the end. A HARVEST between the first of a run's frames and its RUN is kept for
 * the run's end: the harvest then follows an EXIT that leaves files without being asked for [3].
 *
 * A run that was given a key (the task's id) does not depend on its attachment: it goes on when a
 * HELLO of a higher epoch comes, and its output, its EXIT and its new files are kept, within
 * bounds, until ACK. Whoever is attached then may ASK for it: STATE, and where there is such a run
 * everything it said from the beginning, then what it says, as if it had been started here.
 *
 * Versions: 2 did not know what is marked [3]. Both sides speak the lower of the two versions, and
 * either puts up with one that is one behind. A run without a key ends with its attachment.
 */
#ifndef CELERIAC_SANDBOX_FRAME_H
#define CELERIAC_SANDBOX_FRAME_H

#include "base.h"
#include "bounds.h"

#ifndef FRAME_VERSION /* a test builds an agent that is one behind */
#define FRAME_VERSION 3
#endif
#define FRAME_VERSION_MIN  (FRAME_VERSION - 1) /* the oldest that is understood */
#define FRAME_HEADER	   16u
#define FRAME_PAYLOAD	   BOUND_FRAME_BYTES
#define FRAME_PREAMBLE	   (FRAME_HEADER + FRAME_PAYLOAD)
#define FRAME_NONCE	   16u
#define FRAME_NAME_BYTES   1024u	/* a path below /sandbox or /sandbox/output */
#define FRAME_STDIN_WINDOW (256u << 10) /* bytes the agent keeps for a run that does not read */
#define FRAME_OUTPUT_MAX   (16u << 20)	/* the largest output limit an agent accepts, per stream */
#define FRAME_KEY_BYTES	   BOUND_TASK_ID_BYTES
#define FRAME_SKIPPED_MAX  64 /* SKIPPED frames of one harvest; more are only counted */

/* Numbers are for ever: an agent may be older than the worker that adopts its container. */
enum frame_type {
	/* worker to agent */
	FRAME_HELLO = 1,	  /* nonce[16] · version u32 */
	FRAME_ARGS = 2,		  /* strings */
	FRAME_ENV = 3,		  /* strings */
	FRAME_PUT = 4,		  /* size u64 · mode u32 · name; opens a file below /sandbox */
	FRAME_PUT_DATA = 5,	  /* bytes of it; it is closed when `size` have come */
	FRAME_RUN = 6,		  /* struct frame_run */
	FRAME_STDIN = 7,	  /* bytes; FRAME_LAST = end of input after them */
	FRAME_CANCEL = 8,	  /* ends the run */
	FRAME_HARVEST = 9,	  /* struct frame_harvest; [3] also before its RUN */
	FRAME_RESET = 10,	  /* empties /sandbox/output */
	FRAME_ASK = 11,		  /* key: from now on `run` is the run that was begun with it */
	FRAME_ACK = 12,		  /* key: what is kept of that run is not needed any more */
	FRAME_LOOK = 13,	  /* [3] asks for BOUNDS; between two runs */
	FRAME_CHANNEL_DATA = 16,  /* channel u32 · bytes for the client */
	FRAME_CHANNEL_END = 17,	  /* channel u32 · enum frame_channel_end u32 */
	FRAME_CHANNEL_TAKEN = 18, /* channel u32 · bytes u32 of SENT that are out of the way */
	FRAME_CHANNEL_DIAL = 19,  /* channel u32 · port u32: connect to the run's server */
	/* agent to worker */
	FRAME_WELCOME = 32, /* nonce[16] · struct frame_welcome; answers HELLO, under the epoch of
			       the HELLO */
	FRAME_STDOUT = 33,  /* bytes; FRAME_TAIL = of the end, after a gap */
	FRAME_STDERR = 34,
	FRAME_STDIN_TAKEN = 35, /* bytes u32 that the run has read or that were thrown away as it
				   reads no more */
	FRAME_EXIT = 36,	/* struct frame_exit · text why it could not start */
	FRAME_FILE = 37,	/* size u64 · name */
	FRAME_FILE_DATA = 38,
	FRAME_FILE_END = 39,	  /* u32: 0 whole, else enum frame_skip */
	FRAME_SKIPPED = 40,	  /* enum frame_skip u32 · name */
	FRAME_HARVESTED = 41,	  /* struct frame_harvested */
	FRAME_RESET_DONE = 42,	  /* entries removed u64 · entries left u64 */
	FRAME_COMPLAINT = 43,	  /* text; the agent could not make sense of a frame, for the log */
	FRAME_STATE = 44,	  /* struct frame_state; answers ASK */
	FRAME_SUPERSEDED = 45,	  /* to the epoch that is obeyed no more */
	FRAME_STARTED = 46,	  /* the run's program is there */
	FRAME_BOUNDS = 47,	  /* [3] struct frame_bounds · text the kernel's release */
	FRAME_CHANNEL_OPEN = 52,  /* channel u32: a client has connected */
	FRAME_CHANNEL_SENT = 53,  /* channel u32 · bytes of the client */
	FRAME_CHANNEL_ENDED = 54, /* channel u32 · enum frame_channel_end u32 */
	FRAME_CHANNEL_WRITTEN = 55, /* channel u32 · bytes u32 of DATA that the client has got */
	FRAME_TYPE_END
};

/*
 * Channels, of a run with FRAME_RUN_PROXY: each is one connection of a client in the sandbox to
 * 127.0.0.1:FRAME_PROXY_PORT. In each direction at most FRAME_CHANNEL_WINDOW bytes may be on their
 * way beyond what TAKEN or WRITTEN has acknowledged, and END or ENDED with HALF says that nothing
 * more will come. A channel is over when both directions are, or with RESET; what still comes for
 * it afterwards is ignored.
 */
/*
 * Channels of a run with FRAME_RUN_SERVER go the other way: the worker DIALs, under numbers of its
 * own that it uses once, a port of the run's loopback address, and the agent answers OPEN, or ENDED
 * with RESET when nobody takes the connection. From there on they are the same.
 */
#define FRAME_CHANNELS	      32
#define FRAME_DIALS	      256 /* channels of a server */
#define FRAME_CHANNEL_WINDOW  (64u << 10)
#define FRAME_PROXY_PORT      3128
#define FRAME_PROXY_PORT_TEXT "3128"
enum frame_channel_end { FRAME_CHANNEL_HALF, FRAME_CHANNEL_RESET };

enum frame_flag {
	FRAME_TAIL = 1u << 0,
	FRAME_LAST = 1u << 1,
};

/* Borrowed: `data` until the next call of the reader it came from. */
struct frame {
	uint8_t type, flags;
	uint32_t epoch, run;
	uint32_t len;
	const unsigned char *data;
};

/* ---- payloads ---- */
struct frame_run {
	uint32_t timeout_ms;
	uint32_t output_limit; /* bytes kept per stream, half head and half tail */
	uint32_t nofile;       /* 0 = as the container has it */
	uint32_t flags;	       /* enum frame_run_flag */
	uint64_t file_size;    /* largest file, 0 = as the container has it */
	uint32_t note;	       /* handed back in STATE */
	struct slice key;      /* "" = none; borrowed */
};
enum frame_run_flag {
	FRAME_RUN_STDIN = 1u << 0, /* STDIN frames follow; else it is /dev/null */
	FRAME_RUN_PROXY = 1u << 1, /* channels */
	FRAME_RUN_PYTHON = 1u << 2, /* its arguments are python3 -u FILE …: a fork of an interpreter
				       that has the usual packages loaded may run it */
	FRAME_RUN_STATEFUL = 1u << 3, /* and with PYTHON: in the interpreter that keeps variables */
	FRAME_RUN_PLAIN = 1u << 4,    /* with PYTHON: it is not expected to load packages */
	FRAME_RUN_SERVER = 1u << 5,   /* CHANNEL_DIAL, without PROXY; only for containers that
					 nobody else takes over, whose agents are the worker's own */
	FRAME_RUN_INSTALL =
		1u << 6, /* what it makes below FRAME_INSTALL_DIR is bounded; likewise */
};

#define FRAME_INSTALL_DIR "/package/p"
#define FRAME_INSTALL_MAX (1ull << 30) /* bytes */

enum frame_end {
	FRAME_END_EXITED,
	FRAME_END_TIMEOUT,
	FRAME_END_CANCELLED,
	FRAME_END_SUPERSEDED, /* a HELLO of a higher epoch came */
	FRAME_END_NOT_STARTED,
	FRAME_END_TOO_LARGE, /* only with RUN_INSTALL */
};
enum frame_exit_flag {
	FRAME_EXIT_TAMPERED =
		1u << 0, /* the agent's own limits were changed: use no more of this container */
	FRAME_EXIT_STATE_LOST = 1u << 1, /* the interpreter that kept variables is gone */
	FRAME_EXIT_SWEPT =
		1u << 2,     /* rounds were not enough: all of its user's was killed at once */
	FRAME_EXIT_STEP = 8, /* from this bit on, eight of them: the step that was last */
};
struct frame_exit {
	uint32_t end;	      /* enum frame_end */
	uint32_t exit_code;   /* of the leader, if it was not signalled */
	uint32_t term_signal; /* 0 = none */
	uint32_t start_errno; /* NOT_STARTED: why */
	uint32_t flags;
	uint32_t left;	    /* processes killed after the leader was gone, or at the limit */
	uint32_t remaining; /* still there after all rounds: 0 unless the kernel holds them */
	uint32_t oom_kills; /* by the kernel, in this container, during the run */
	uint64_t wall_us, cpu_us;
	uint64_t peak_memory; /* bytes: of all processes together, or of the largest */
	uint64_t stdout_total, stdout_dropped, stderr_total, stderr_dropped;
	uint64_t free_bytes, free_inodes; /* of /sandbox when the leader was gone */
	uint64_t tmp_free_bytes;	  /* of /tmp */
};

struct frame_harvest {
	uint32_t files, depth, entries, time_ms;
	uint64_t file_size, total_size;
};
enum frame_skip {
	FRAME_SKIP_NONE,
	FRAME_SKIP_SYMLINK,
	FRAME_SKIP_NOT_REGULAR,
	FRAME_SKIP_FILE_SIZE,
	FRAME_SKIP_TOTAL_SIZE,
	FRAME_SKIP_FILES,
	FRAME_SKIP_DEPTH,
	FRAME_SKIP_ENTRIES,
	FRAME_SKIP_TIME,
	FRAME_SKIP_NAME,
	FRAME_SKIP_UNREADABLE,
	FRAME_SKIP_CHANGED,
	FRAME_SKIP_OTHER_FS,
	FRAME_SKIP_COUNT
};
struct frame_harvested {
	uint32_t files, skipped; /* all that were skipped, also those beyond FRAME_SKIPPED_MAX */
};

/* What the sandbox is bounded by, as its kernel says inside. */
#define FRAME_UNBOUND UINT64_MAX
#define FRAME_UNSEEN  (UINT64_MAX - 1) /* the kernel does not say */
struct frame_bounds {
	uint64_t memory, swap; /* bytes; swap: of memory and swap together */
	uint64_t pids, cpu;    /* cpu: thousandths of a processor */
	uint64_t nofile, file_size, core;
	uint64_t home, tmp, shm;   /* bytes of /sandbox, /tmp, /dev/shm */
	uint64_t capabilities;	   /* any that it has or could get */
	uint64_t seccomp;	   /* 2 = a filter */
	uint64_t root_is_writable; /* or not (0) */
	uint64_t routes;	   /* of IPv4 and IPv6, beyond loopback */
	uint64_t uid;
	uint64_t reachable; /* of the agent's descriptors, those that a run could open */
};

enum frame_run_state {
	FRAME_STATE_NONE, /* there is no run of this key, and no other is going */
	FRAME_STATE_BUSY, /* there is none, but another run is going: a NONE follows at its end */
	FRAME_STATE_GOING,
	FRAME_STATE_ENDED,
};
struct frame_state {
	uint32_t state;	  /* enum frame_run_state */
	uint32_t note;	  /* as RUN had it */
	uint32_t left_ms; /* until the time limit of the run that is going */
	uint32_t reserved;
	uint64_t stdin_got,
		stdin_taken; /* bytes of standard input, as STDIN and STDIN_TAKEN count */
};

enum frame_welcome_flag {
	FRAME_WELCOME_OBEYS = 1u << 0, /* else this epoch is too low: `epoch` is the one obeyed */
	FRAME_WELCOME_ENDED = 1u << 1, /* a run was going and has been ended */
	FRAME_WELCOME_BUSY = 1u << 2,  /* a run is going */
};
struct frame_welcome {
	uint32_t version, flags, epoch;
};
#define FRAME_WELCOME_SIZE (FRAME_NONCE + 12u)

/* ---- integers in payloads ---- */
/* Reads past the end, or more than was asked for, make it bad; values are then 0. */
struct frame_cursor {
	const unsigned char *data;
	size_t left;
	bool bad;
};
uint32_t frame_get_u32(struct frame_cursor *c);
uint64_t frame_get_u64(struct frame_cursor *c);
/* Writes, into room the caller knows to be there. Returns the end. */
unsigned char *frame_put_u32(unsigned char *p, uint32_t v);
unsigned char *frame_put_u64(unsigned char *p, uint64_t v);

/* Fixed payloads to bytes, returning their length, and back: false when the payload is too short.
 */
#define FRAME_STRUCT_MAX 512u
/* A key that is too long, or holds a NUL, is
 * read as bad. */
size_t frame_run_encode(const struct frame_run *r, unsigned char out[FRAME_STRUCT_MAX]);
bool frame_key_is_good(struct slice key);
bool frame_run_decode(const struct frame *f, struct frame_run *ret);
size_t frame_exit_encode(const struct frame_exit *e, unsigned char out[FRAME_STRUCT_MAX]);
/* `ret_text`: what follows, borrowed from the frame. */
bool frame_exit_decode(const struct frame *f, struct frame_exit *ret, struct slice *ret_text);
/* Nothing of the run is alive, and what it has left is its own: the files of one that was
 * cancelled, or never began, count as the next one's. */
bool frame_exit_leaves_files(const struct frame_exit *e);
size_t frame_state_encode(const struct frame_state *s, unsigned char out[FRAME_STRUCT_MAX]);
bool frame_state_decode(const struct frame *f, struct frame_state *ret);
size_t frame_bounds_encode(const struct frame_bounds *b, unsigned char out[FRAME_STRUCT_MAX]);
/* `ret_kernel`: borrowed from the frame. */
bool frame_bounds_decode(const struct frame *f, struct frame_bounds *ret, struct slice *ret_kernel);
size_t frame_harvest_encode(const struct frame_harvest *h, unsigned char out[FRAME_STRUCT_MAX]);
bool frame_harvest_decode(const struct frame *f, struct frame_harvest *ret);

/* ---- building ---- */
void frame_header(unsigned char out[FRAME_HEADER], enum frame_type type, unsigned flags,
		  uint32_t epoch, uint32_t run, uint32_t len);
extern const unsigned char frame_sync_mark[FRAME_HEADER];

/* ---- reading ---- */
#define FRAME_NEEDLE (2 * FRAME_HEADER + FRAME_NONCE)
struct frame_reader {
	unsigned char bytes[FRAME_HEADER + FRAME_PAYLOAD];
	size_t have;
	bool lost;	  /* looking for the needle */
	uint64_t skipped; /* bytes thrown away while lost */
	unsigned char needle[FRAME_NEEDLE];
	uint8_t back[FRAME_NEEDLE]; /* where to go on in the needle after a mismatch */
	size_t needle_len, matched;
};

/* The agent's: in step from the start, and when it gets lost it looks for the mark. */
void frame_reader_init(struct frame_reader *r);
/* The worker's: throws everything away until the answer to its HELLO of `epoch` with `nonce`, which
 * is the first frame. */
void frame_reader_init_joining(struct frame_reader *r, uint32_t epoch,
			       const unsigned char nonce[FRAME_NONCE]);

/*
 * Takes bytes from `data` up to the end of one frame. Returns how many were taken (all of them if
 * no frame ended); *ret_whole says that a frame is in `ret`. A header that cannot be makes the
 * reader lost; it is found again at the next mark. Never fails, never allocates.
 */
size_t frame_read(struct frame_reader *r, const void *data, size_t len, struct frame *ret,
		  bool *ret_whole);

/*
 * A relative path of plain components: no empty ones, no "." and "..", no NUL, no control
 * characters, valid UTF-8, at most FRAME_NAME_BYTES in all, BOUND_FILE_NAME_BYTES each and `depth`
 * of them.
 */
bool frame_name_is_good(const char *name, size_t len, unsigned depth);

#endif
