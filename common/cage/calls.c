/*
 * calls.c: which system calls there are, by seccomp (libseccomp writes the filter).
 *
 * An allow-list. What is not on it is answered as by a kernel that does not have it, so that
 * libraries which try something newer fall back; what an attacker would want is answered with
 * EPERM, which tells the difference in a trace. Conditions are on plain words: a filter cannot
 * follow a pointer.
 */
#include "cage_internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"

static const char *const allowed[] = {
	/* files */
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"preadv",
	"pwritev",
	"preadv2",
	"pwritev2",
	"open",
	"openat",
	"openat2",
	"close",
	"close_range",
	"stat",
	"lstat",
	"fstat",
	"newfstatat",
	"fstatat64",
	"statx",
	"access",
	"faccessat",
	"faccessat2",
	"lseek",
	"getdents",
	"getdents64",
	"readlink",
	"readlinkat",
	"rename",
	"renameat",
	"renameat2",
	"link",
	"linkat",
	"unlink",
	"unlinkat",
	"mkdir",
	"mkdirat",
	"rmdir",
	"truncate",
	"ftruncate",
	"fallocate",
	"fsync",
	"fdatasync",
	"fchmod",
	"chmod",
	"fchmodat",
	"umask",
	"chdir",
	"fchdir",
	"getcwd",
	"dup",
	"dup2",
	"dup3",
	"fcntl",
	"flock",
	"fadvise64",
	"statfs",
	"fstatfs",
	"utimensat",
	"copy_file_range",
	"sendfile",
	/* memory */
	"munmap",
	"mremap",
	"madvise",
	"brk",
	"msync",
	"mincore",
	"mlock",
	"mlock2",
	"munlock",
	"membarrier",
	"mseal",
	/* threads and what a process may ask of itself */
	"exit",
	"exit_group",
	"futex",
	"futex_waitv",
	"set_tid_address",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"gettid",
	"getpid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getresuid",
	"getresgid",
	"getgroups",
	"getpgrp",
	"getpgid",
	"getsid",
	"capget",
	"sched_yield",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"getpriority",
	"getrlimit",
	"setrlimit",
	"getrusage",
	"times",
	"sysinfo",
	"uname",
	"getcpu",
	"arch_prctl",
	"restart_syscall",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigpending",
	"rt_sigtimedwait",
	"rt_sigsuspend",
	"sigaltstack",
	"pause",
	"wait4",
	"waitid",
	/* time */
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_gettime",
	"setitimer",
	"getitimer",
	"alarm",
	/* waiting */
	"poll",
	"ppoll",
	"select",
	"pselect6",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"eventfd",
	"eventfd2",
	"pipe",
	"pipe2",
	"signalfd",
	"signalfd4",
	/* connections */
	"socketpair",
	"connect",
	"bind",
	"listen",
	"accept",
	"accept4",
	"shutdown",
	"getsockname",
	"getpeername",
	"getsockopt",
	"setsockopt",
	"sendto",
	"sendmsg",
	"sendmmsg",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	/* the rest */
	"getrandom",
};

/* Refused by name. */
static const char *const refused[] = {
	"execveat",
	"fork",
	"vfork",
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"kcmp",
	"pidfd_open",
	"pidfd_getfd",
	"pidfd_send_signal",
	"unshare",
	"setns",
	"mount",
	"umount2",
	"pivot_root",
	"chroot",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"io_uring_setup",
	"keyctl",
	"add_key",
	"request_key",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"swapon",
	"swapoff",
	"acct",
	"quotactl",
	"syslog",
	"open_by_handle_at",
	"name_to_handle_at",
	"personality",
	"modify_ldt",
	"iopl",
	"ioperm",
	"memfd_create",
	"mknod",
	"mknodat",
	"symlink",
	"symlinkat",
	"setuid",
	"setgid",
	"setresuid",
	"setresgid",
	"setreuid",
	"setregid",
	"setgroups",
	"capset",
	"clock_settime",
	"settimeofday",
	"sethostname",
	"setdomainname",
	"tkill",
	"pkey_mprotect",
	"shmget",
	"shmat",
	"msgget",
};

/* A call that is allowed where `compare` of one argument holds; several rows of a call are "or". */
struct condition {
	const char *call;
	struct scmp_arg_cmp a, b;
};
#define IS(arg, value)                                                                             \
	{                                                                                          \
		(arg), SCMP_CMP_EQ, (scmp_datum_t)(value), 0                                       \
	}
#define BITS(arg, mask, value)                                                                     \
	{                                                                                          \
		(arg), SCMP_CMP_MASKED_EQ, (mask), (value)                                         \
	}
#define ANY(arg)                                                                                   \
	{                                                                                          \
		(arg), SCMP_CMP_MASKED_EQ, 0, 0                                                    \
	}

static const struct condition conditions[] = {
	/* a thread, never a process (the C library takes this road where clone3 is not there) */
	{"clone", BITS(0, CLONE_THREAD | CLONE_VM | CLONE_NEWUSER, CLONE_THREAD | CLONE_VM),
	 ANY(1)},
	/* no memory is writable and executable; a file that was written can still be mapped, as
	 * far as it is not on a file system without exec */
	{"mmap", BITS(2, PROT_WRITE | PROT_EXEC, 0), ANY(3)},
	{"mmap", BITS(2, PROT_WRITE | PROT_EXEC, PROT_WRITE), ANY(3)},
	{"mmap", BITS(2, PROT_WRITE | PROT_EXEC, PROT_EXEC), ANY(3)},
	{"mprotect", BITS(2, PROT_EXEC, 0), ANY(1)},
	/* of TCP, UDP and unix sockets; and the kernel's list of addresses, for look-ups of names
	 */
	{"socket", IS(0, AF_UNIX), BITS(1, 0xf, SOCK_DGRAM)}, /* to a service manager */
	{"socket", IS(0, AF_INET), BITS(1, 0xf, SOCK_STREAM)},
	{"socket", IS(0, AF_INET), BITS(1, 0xf, SOCK_DGRAM)},
	{"socket", IS(0, AF_INET6), BITS(1, 0xf, SOCK_STREAM)},
	{"socket", IS(0, AF_INET6), BITS(1, 0xf, SOCK_DGRAM)},
	{"socket", IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE)},
	/* what is asked of a connection, a terminal or an interface; never to type into a terminal
	 * that somebody else reads from (TIOCSTI, TIOCLINUX) */
	{"ioctl", IS(1, FIONBIO), ANY(2)},
	{"ioctl", IS(1, FIONREAD), ANY(2)},
	{"ioctl", IS(1, FIOCLEX), ANY(2)},
	{"ioctl", IS(1, FIONCLEX), ANY(2)},
	{"ioctl", IS(1, TIOCOUTQ), ANY(2)},
	{"ioctl", IS(1, TIOCGWINSZ), ANY(2)},
	{"ioctl", IS(1, TCGETS), ANY(2)},
	{"ioctl", IS(1, SIOCGIFCONF), ANY(2)},
	{"ioctl", IS(1, SIOCGIFINDEX), ANY(2)},
	{"ioctl", IS(1, SIOCGIFNAME), ANY(2)},
	{"ioctl", IS(1, SIOCGIFFLAGS), ANY(2)},
	{"ioctl", IS(1, SIOCGIFADDR), ANY(2)},
	{"prlimit64", IS(0, 0), ANY(1)},
	{"prctl", IS(0, PR_SET_NAME), ANY(1)},
	{"prctl", IS(0, PR_GET_NAME), ANY(1)},
	{"prctl", IS(0, PR_GET_DUMPABLE), ANY(1)},
	{"prctl", IS(0, PR_SET_DUMPABLE), IS(1, 0)},
	{"prctl", IS(0, PR_GET_SECCOMP), ANY(1)},
	{"prctl", IS(0, PR_GET_NO_NEW_PRIVS), ANY(1)},
	{"prctl", IS(0, PR_CAPBSET_READ), ANY(1)},
	{"prctl", IS(0, 0x53564d41 /* PR_SET_VMA: names of memory */), ANY(1)},
};

static int add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
	       const struct scmp_arg_cmp *args, struct err *err)
{
	int call = seccomp_syscall_resolve_name(name);
	int rc;

	if (call == __NR_SCMP_ERROR)
		return 0; /* a call of other machines, or of newer kernels than the library knows */
	rc = seccomp_rule_add_array(filter, action, call, count, args);
	/* -EDOM: not a call of this machine */
	if (rc < 0 && rc != -EDOM)
		return err_set_errno(err, ERR_FAILED, -rc, "seccomp: %s", name);
	return 0;
}

/* What depends on this very process: signals to itself alone, and its own program alone, which a
 * filter knows by the address its path is at (daemon.h: that memory cannot be changed where the
 * kernel has mseal, from 6.10 on). */
static int add_own(scmp_filter_ctx filter, const struct cage_plan *plan, struct err *err)
{
	const struct scmp_arg_cmp self = IS(0, getpid()), path = IS(0, (uintptr_t)plan->program);
	int rc = add(filter, SCMP_ACT_ALLOW, "kill", 1, &self, err);

	if (rc == 0)
		rc = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &self, err);
	if (rc == 0 && plan->program)
		rc = add(filter, SCMP_ACT_ALLOW, "execve", 1, &path, err);
	else if (rc == 0)
		rc = add(filter, SCMP_ACT_ERRNO(EPERM), "execve", 0, NULL, err);
	return rc;
}

/* Connections to unix sockets; without them the engine's is out of reach, whatever the groups and
 * modes of files say. A pair that is made here is connected already. */
static bool has_unix(const struct cage_plan *plan)
{
	return !plan->engine_apart || cage_needs_unix(plan->settings);
}

static int fill(scmp_filter_ctx filter, const struct cage_plan *plan, struct err *err)
{
	const struct scmp_arg_cmp unix_socket = IS(0, AF_UNIX);
	int rc = has_unix(plan) ? add(filter, SCMP_ACT_ALLOW, "socket", 1, &unix_socket, err) : 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(allowed); i++)
		rc = add(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(refused); i++)
		rc = add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0, NULL, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(conditions); i++) {
		const struct scmp_arg_cmp args[] = {conditions[i].a, conditions[i].b};

		rc = add(filter, SCMP_ACT_ALLOW, conditions[i].call, 2, args, err);
	}
	return rc < 0 ? rc : add_own(filter, plan, err);
}

int cage_calls(const struct cage_plan *plan, char *detail, size_t size, struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int rc;

	if (filter == NULL)
		return err_set(err, ERR_NOMEM, "seccomp");
	/* these two are for speed alone: a library or kernel that has neither does without */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	rc = fill(filter, plan, err);
	if (rc == 0 && (rc = seccomp_load(filter)) < 0)
		rc = err_set_errno(err, ERR_UNSUPPORTED, -rc, "seccomp");
	seccomp_release(filter);
	if (rc == 0)
		snprintf(detail, size, "seccomp: an allow-list%s%s",
			 plan->program ? ", of programs this one alone" : ", no program",
			 has_unix(plan) ? "" : ", no unix socket");
	return rc;
}
