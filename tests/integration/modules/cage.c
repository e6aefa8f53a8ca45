/*
 * cage.c: a task that tries what a worker that was taken over would try, and says what came of it.
 */
#define _GNU_SOURCE
#include <celeriac/task_module.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *g_file; /* of the caller's */

static int end(pid_t child)
{
	int status = 0;

	if (child == 0)
		_exit(0);
	if (child > 0)
		waitpid(child, &status, 0);
	return child < 0 ? -1 : 0;
}

static int close_it(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static int try_execve(void)
{
	char *argv[] = {"/bin/true", NULL};
	pid_t child = vfork(); /* where this is refused, execve itself is tried */

	if (child <= 0) {
		execve(argv[0], argv, NULL);
		if (child == 0)
			_exit(0);
		return -1;
	}
	return end(child);
}

static int try_fork(void)
{
	return end(fork());
}

static int try_clone_process(void)
{
	return end((pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int try_ptrace(void)
{
	return (int)ptrace(PTRACE_SEIZE, getppid(), 0, 0) < 0
		       ? -1
		       : (int)ptrace(PTRACE_DETACH, getppid(), 0, 0);
}

static int try_shadow(void)
{
	return close_it(open("/etc/shadow", O_RDONLY));
}

static int try_read_file(void)
{
	return close_it(open(g_file, O_RDONLY));
}

static int try_write_file(void)
{
	return close_it(open(g_file, O_WRONLY | O_APPEND));
}

static int try_parents_environment(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)getppid());
	return close_it(open(path, O_RDONLY));
}

static int try_own_memory(void)
{
	return close_it(open("/proc/self/mem", O_RDWR));
}

static int try_packet(void)
{
	return close_it(socket(AF_PACKET, SOCK_RAW, 0));
}

static int try_raw(void)
{
	return close_it(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int try_audit(void)
{
	return close_it(socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT));
}

static int try_bind(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0),
	    rc = bind(fd, (struct sockaddr *)&any, sizeof(any)), why = errno;

	close(fd);
	errno = why;
	return rc;
}

static int try_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -1;
	return munmap(page, 4096);
}

static int try_later_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc = mprotect(page, 4096, PROT_READ | PROT_EXEC), why = errno;

	munmap(page, 4096);
	errno = why;
	return rc;
}

static int try_signal(void)
{
	return kill(getppid(), 0);
}

static int try_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int try_mount(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static int try_typing(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static int try_keys(void)
{
	return (int)syscall(SYS_keyctl, 0, -3, 0) < 0 ? -1 : 0;
}

static int try_other_program(void)
{
	/* the address of the path that a restart executes, with another path at it */
	char *page = (char *)0x200000000000;
	char *argv[] = {"/bin/true", NULL};

	if (mprotect(page, 4096, PROT_READ | PROT_WRITE) < 0 && munmap(page, 4096) < 0 &&
	    mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x210000000000) ==
		    MAP_FAILED &&
	    mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) == MAP_FAILED)
		return -1;
	strcpy(page, argv[0]);
	return execve(page, argv, NULL);
}

/* What ordinary work needs. */
static int try_hosts(void)
{
	return close_it(open("/etc/hosts", O_RDONLY));
}

static int try_tcp(void)
{
	return close_it(socket(AF_INET6, SOCK_STREAM, 0));
}

static const struct {
	const char *name;
	int (*try)(void);
} tries[] = {
	{"fork", try_fork},
	{"clone", try_clone_process},
	{"execve", try_execve},
	{"ptrace", try_ptrace},
	{"shadow", try_shadow},
	{"read", try_read_file},
	{"write", try_write_file},
	{"environ", try_parents_environment},
	{"memory", try_own_memory},
	{"packet", try_packet},
	{"raw", try_raw},
	{"audit", try_audit},
	{"bind", try_bind},
	{"code", try_code},
	{"later code", try_later_code},
	{"signal", try_signal},
	{"namespace", try_namespace},
	{"mount", try_mount},
	{"keys", try_keys},
	{"typing", try_typing},
	{"other program", try_other_program},
	{"hosts", try_hosts},
	{"tcp", try_tcp},
};

static int run_try(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	const char *name = json_string_value(values[0]);

	(void)ctx;
	g_file = json_string_value(values[1]);
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		if (strcmp(tries[i].name, name) != 0)
			continue;
		errno = 0;
		*ret = tries[i].try() == 0 ? json_string("done")
					   : json_string(strerrorname_np(errno));
		return 0;
	}
	return err_set(err, ERR_INVALID, "no such try");
}

static const struct task_param params[] = {{"name", PARAM_STR, true}, {"file", PARAM_STR, true}};
static const struct task tasks[] = {
	{.name = "cage.try", .run = run_try, .params = params, .param_count = ARRAY_LEN(params)},
};

TASK_MODULE(.name = "cage", .tasks = tasks, .task_count = ARRAY_LEN(tasks));
