/* The agent in namespaces, and a worker's half of the conversation in its simplest form. */
#include "agent_fixture.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

extern const unsigned char celeriac_agent_start[], celeriac_agent_end[];

#define UNTIL_STUCK_MS 60000
#define NAMESPACES     (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET)

static void or_die(int rc, const char *what)
{
	if (rc >= 0)
		return;
	perror(what);
	_exit(99);
}

static bool g_old_kernel;

void agent_box_old_kernel(bool on)
{
	g_old_kernel = on;
}

static void forget_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

	or_die(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}

static void mount_dir(const char *root, const char *dir, const char *options)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", root, dir);
	or_die(mkdir(path, 0755), path);
	or_die(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options), path);
}

static void bind(const char *root, const char *from)
{
	char path[128], target[128];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "%s%s", root, from);
	if (lstat(from, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode)) {
		n = readlink(from, target, sizeof(target) - 1);
		or_die((int)n, from);
		target[n] = '\0';
		or_die(symlink(target, path), path);
		return;
	}
	if (S_ISDIR(st.st_mode))
		or_die(mkdir(path, 0755), path);
	else
		or_die(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), path);
	or_die(mount(from, path, NULL, MS_BIND, NULL), path);
}

static void make_root(const char *root)
{
	const char *what[] = {"/usr",	"/bin",	     "/sbin",	  "/lib",
			      "/lib64", "/dev/null", "/dev/zero", "/dev/urandom"};
	char path[128];

	or_die(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
	or_die(mount("tmpfs", root, "tmpfs", 0, "size=1m"), root);
	snprintf(path, sizeof(path), "%s/dev", root);
	or_die(mkdir(path, 0755), path);
	for (size_t i = 0; i < ARRAY_LEN(what); i++)
		bind(root, what[i]);
	mount_dir(root, "/sandbox", "size=16m,nr_inodes=4096,uid=10001,gid=10001,mode=0700");
	mount_dir(root, "/tmp", "size=4m,mode=1777");
	snprintf(path, sizeof(path), "%s/proc", root);
	or_die(mkdir(path, 0755), path);
	or_die(mount("proc", path, "proc", 0, NULL), path);
	or_die(chroot(root), root);
	or_die(chdir("/"), "/");
}

static _Noreturn void be_agent(const char *root, int in, int out, int image)
{
	char *argv[] = {(char[]){"/celeriac/agent"}, NULL},
	     *envp[] = {(char[]){"SECRET=of the agent"}, NULL};

	make_root(root);
	if (g_old_kernel)
		forget_openat2();
	or_die(setgroups(0, NULL), "groups");
	or_die(setresgid(10001, 10001, 10001), "gid");
	or_die(setresuid(10001, 10001, 10001), "uid");
	or_die(dup2(in, 0), "stdin");
	or_die(dup2(out, 1), "stdout");
	if (!getenv("AGENT_STDERR"))
		or_die(dup2(out, 2), "stderr");
	syscall(SYS_execveat, image, "", argv, envp, AT_EMPTY_PATH);
	or_die(-1, "exec");
	_exit(98);
}

static int agent_image(void)
{
	int fd = memfd_create("agent", MFD_CLOEXEC);
	size_t len = (size_t)(celeriac_agent_end - celeriac_agent_start);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, celeriac_agent_start, len), (ssize_t)len);
	return fd;
}

struct agent_box *agent_box_new(void)
{
	struct agent_box *b = xcalloc(1, sizeof(*b));
	char root[] = "/tmp/celeriac-agent-XXXXXX";
	int to[2], from[2], image = agent_image();

	ck_assert(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0 &&
		  mkdtemp(root) != NULL);
	b->pid = (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, 0, 0, 0, 0);
	if (b->pid == 0)
		be_agent(root, to[0], from[1], image);
	close(image);
	close(to[0]);
	close(from[1]);
	b->to = to[1];
	b->from = from[0];
	frame_reader_init(&b->reader);
	if (b->pid > 0) {
		agent_box_hello(b, 1);
		rmdir(root);
		return b;
	}
	rmdir(root);
	agent_box_free(b);
	return NULL;
}

bool agent_box_possible(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

void agent_box_free(struct agent_box *b)
{
	if (b == NULL)
		return;
	if (b->pid > 0) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
	}
	close(b->to);
	close(b->from);
	free(b);
}

void agent_box_send_raw(struct agent_box *b, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(b->to, (const char *)data + done, len - done);

		ck_assert_msg(n > 0, "write to the agent: %s", strerror(errno));
		done += (size_t)n;
	}
}

void agent_box_send(struct agent_box *b, enum frame_type type, unsigned flags, uint32_t run,
		    const void *data, size_t len)
{
	unsigned char head[FRAME_HEADER];

	frame_header(head, type, flags, b->epoch, run, (uint32_t)len);
	agent_box_send_raw(b, head, sizeof(head));
	if (len > 0)
		agent_box_send_raw(b, data, len);
}

bool agent_box_read(struct agent_box *b, int timeout_ms, struct frame *ret)
{
	usec_t deadline = clock_deadline(timeout_ms * USEC_PER_MSEC);
	bool whole = false;

	for (;;) {
		struct pollfd fd = {.fd = b->from, .events = POLLIN};
		ssize_t n;

		while (b->used < b->have && !whole)
			b->used += frame_read(&b->reader, b->bytes + b->used, b->have - b->used,
					      ret, &whole);
		if (whole)
			return true;
		if (poll(&fd, 1, clock_left_ms(deadline)) <= 0)
			return false;
		n = read(b->from, b->bytes, sizeof(b->bytes));
		if (n <= 0)
			return false;
		b->have = (size_t)n;
		b->used = 0;
	}
}

uint32_t agent_box_hello(struct agent_box *b, uint32_t epoch)
{
	return agent_box_hello_as(b, epoch, FRAME_VERSION);
}

uint32_t agent_box_hello_as(struct agent_box *b, uint32_t epoch, uint32_t version)
{
	unsigned char payload[FRAME_NONCE + 4] = "nonce of a test";
	struct frame_cursor c;
	struct frame f;
	uint32_t flags;

	payload[0] = (unsigned char)epoch;
	frame_put_u32(payload + FRAME_NONCE, version);
	b->epoch = epoch;
	agent_box_send_raw(b, frame_sync_mark, FRAME_HEADER);
	frame_reader_init_joining(&b->reader, epoch, payload);
	agent_box_send(b, FRAME_HELLO, 0, 0, payload, sizeof(payload));
	ck_assert(agent_box_read(b, UNTIL_STUCK_MS, &f));
	ck_assert_uint_eq(f.type, FRAME_WELCOME);
	c = (struct frame_cursor){.data = f.data + FRAME_NONCE, .left = f.len - FRAME_NONCE};
	ck_assert_uint_eq(frame_get_u32(&c), FRAME_VERSION);
	flags = frame_get_u32(&c);
	b->epoch = frame_get_u32(&c);
	return flags;
}

void agent_box_start(struct agent_box *b, uint32_t run, const char *script, unsigned timeout_ms,
		     unsigned limit, unsigned flags)
{
	agent_box_start_keyed(b, run, "", script, timeout_ms, limit, flags);
}

enum frame_run_state agent_box_ask(struct agent_box *b, uint32_t run, const char *key,
				   struct frame_state *ret)
{
	struct frame f;

	agent_box_send(b, FRAME_ASK, 0, run, key, strlen(key));
	ck_assert_msg(agent_box_read(b, UNTIL_STUCK_MS, &f), "the agent went silent");
	ck_assert_uint_eq(f.type, FRAME_STATE);
	ck_assert_uint_eq(f.run, run);
	ck_assert(frame_state_decode(&f, ret));
	return (enum frame_run_state)ret->state;
}

void agent_box_start_keyed(struct agent_box *b, uint32_t run, const char *key, const char *script,
			   unsigned timeout_ms, unsigned limit, unsigned flags)
{
	static const char env[] = "PATH=/usr/bin:/bin\0GIVEN=yes", shell[] = "/bin/sh\0-c";
	struct frame_run spec = {.timeout_ms = timeout_ms,
				 .output_limit = limit,
				 .flags = flags,
				 .note = 3,
				 .key = {key, strlen(key)}};
	unsigned char bytes[FRAME_STRUCT_MAX];

	agent_box_send(b, FRAME_ARGS, 0, run, shell, sizeof(shell));
	agent_box_send(b, FRAME_ARGS, 0, run, script, strlen(script) + 1);
	agent_box_send(b, FRAME_ENV, 0, run, env, sizeof(env));
	agent_box_send(b, FRAME_RUN, 0, run, bytes, frame_run_encode(&spec, bytes));
}

static void take(struct buf *b, size_t *tail, const struct frame *f)
{
	buf_append(b, f->data, f->len);
	if (f->flags & FRAME_TAIL)
		*tail += f->len;
}

void agent_box_finish(struct agent_box *b, uint32_t run, struct agent_result *ret)
{
	struct slice text;
	struct frame f;

	*ret = (struct agent_result){.out = BUF_INIT(64 << 20), .err = BUF_INIT(64 << 20)};
	for (;;) {
		struct frame_cursor c;

		ck_assert_msg(agent_box_read(b, UNTIL_STUCK_MS, &f), "the agent went silent");
		ck_assert_uint_eq(f.epoch, b->epoch);
		ck_assert_uint_eq(f.run, run);
		c = (struct frame_cursor){.data = f.data, .left = f.len};
		if (f.type == FRAME_STDOUT)
			take(&ret->out, &ret->out_tail, &f);
		else if (f.type == FRAME_STDERR)
			take(&ret->err, &ret->err_tail, &f);
		else if (f.type == FRAME_STDIN_TAKEN)
			ret->taken += frame_get_u32(&c);
		else if (f.type != FRAME_STARTED)
			break;
	}
	ck_assert_uint_eq(f.type, FRAME_EXIT);
	ck_assert(frame_exit_decode(&f, &ret->exit, &text));
	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)text.len, text.data);
}

void agent_box_run(struct agent_box *b, uint32_t run, const char *script, unsigned timeout_ms,
		   struct agent_result *ret)
{
	agent_box_start(b, run, script, timeout_ms, 64 << 10, 0);
	agent_box_finish(b, run, ret);
}

void agent_result_done(struct agent_result *r)
{
	buf_done(&r->out);
	buf_done(&r->err);
}

void agent_box_put(struct agent_box *b, uint32_t run, const char *name, const char *text)
{
	unsigned char bytes[12 + 2048];
	size_t len = strlen(name);

	memcpy(frame_put_u32(frame_put_u64(bytes, strlen(text)), 0644), name, len);
	agent_box_send(b, FRAME_PUT, 0, run, bytes, 12 + len);
	if (*text)
		agent_box_send(b, FRAME_PUT_DATA, 0, run, text, strlen(text));
}

void agent_box_touch(const struct agent_box *b, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/%d/root%s/%s", b->pid, "/sandbox", name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	close(fd);
}

void agent_box_harvest(struct agent_box *b, const struct frame_harvest *limits, struct buf *out)
{
	agent_box_harvest_run(b, 5, limits, out);
}

void agent_box_harvest_run(struct agent_box *b, uint32_t run, const struct frame_harvest *limits,
			   struct buf *out)
{
	agent_box_ask_harvest(b, run, limits);
	agent_box_take_harvest(b, out);
}

void agent_box_ask_harvest(struct agent_box *b, uint32_t run, const struct frame_harvest *limits)
{
	unsigned char bytes[FRAME_STRUCT_MAX];

	agent_box_send(b, FRAME_HARVEST, 0, run, bytes, frame_harvest_encode(limits, bytes));
}

void agent_box_take_harvest(struct agent_box *b, struct buf *out)
{
	uint64_t size = 0, got = 0;
	struct frame f;

	buf_reset(out);
	for (;;) {
		struct frame_cursor c;
		uint32_t n;

		ck_assert_msg(agent_box_read(b, UNTIL_STUCK_MS, &f), "the agent went silent");
		c = (struct frame_cursor){.data = f.data, .left = f.len};
		if (f.type == FRAME_FILE) {
			size = frame_get_u64(&c);
			got = 0;
			buf_appendf(out, "+%.*s:%llu ", (int)c.left, c.data,
				    (unsigned long long)size);
		} else if (f.type == FRAME_FILE_DATA) {
			got += f.len;
			ck_assert_uint_le(got, size);
		} else if (f.type == FRAME_FILE_END) {
			n = frame_get_u32(&c);
			if (n)
				buf_appendf(out, "!%u ", n);
			else
				ck_assert_uint_eq(got, size);
		} else if (f.type == FRAME_SKIPPED) {
			n = frame_get_u32(&c);
			buf_appendf(out, "-%.*s:%u ", (int)c.left, c.data, n);
		} else {
			break;
		}
	}
	ck_assert_uint_eq(f.type, FRAME_HARVESTED);
}

int agent_box_alive(const struct agent_box *b)
{
	char path[64], mine[64], other[64];
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int n = 0;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", b->pid);
	len = readlink(path, mine, sizeof(mine) - 1);
	ck_assert_int_gt(len, 0);
	mine[len] = '\0';
	while ((e = readdir(proc)) != NULL) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
		    strtol(e->d_name, NULL, 10) == b->pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/ns/pid", e->d_name);
		len = readlink(path, other, sizeof(other) - 1);
		if (len <= 0)
			continue;
		other[len] = '\0';
		n += strcmp(mine, other) == 0;
	}
	closedir(proc);
	return n;
}
