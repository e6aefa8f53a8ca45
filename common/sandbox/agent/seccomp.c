/*
 * System calls that code in a sandbox never needs, taken away on top of the engine's own filter.
 *
 * Filters add up: the engine's default profile stays as its version has it (a profile of our own
 * would replace it, and break a libc one day), whatever it allows, the strictest answer counts.
 * What is taken away are ways into the kernel that have been the beginning of many an escape, and
 * ways from one process of a user into another. Calls that runtimes try and do without answer "not
 * there"; the others "not allowed".
 */
#include "agent.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE	  AUDIT_ARCH_X86_64
#define OTHER_ABI 0x40000000u /* x32: the same calls by other numbers */
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#endif

static const struct {
	int call, error;
} taken[] = {
	/* the kernel's keyrings are not part of any namespace */
	{SYS_add_key, EPERM},
	{SYS_request_key, EPERM},
	{SYS_keyctl, EPERM},
	/* large interfaces, and stopping the kernel in the middle of a copy */
	{SYS_bpf, EPERM},
	{SYS_perf_event_open, EPERM},
	{SYS_userfaultfd, EPERM},
	{425 /* io_uring_setup */, ENOSYS},
	{426 /* io_uring_enter */, ENOSYS},
	{427 /* io_uring_register */, ENOSYS},
	/* namespaces (user namespaces are how one becomes root in one) and mounts */
	{SYS_unshare, EPERM},
	{SYS_setns, EPERM},
	{SYS_mount, EPERM},
	{SYS_umount2, EPERM},
	{SYS_pivot_root, EPERM},
	{SYS_chroot, EPERM},
	{428 /* open_tree */, EPERM},
	{429 /* move_mount */, EPERM},
	{430 /* fsopen */, EPERM},
	{431 /* fsconfig */, EPERM},
	{432 /* fsmount */, EPERM},
	{433 /* fspick */, EPERM},
	{442 /* mount_setattr */, EPERM},
	/* its flags cannot be looked at: who gets this answer uses clone */
	{435 /* clone3 */, ENOSYS},
	/* into another process */
	{SYS_ptrace, EPERM},
	{SYS_process_vm_readv, EPERM},
	{SYS_process_vm_writev, EPERM},
	{SYS_kcmp, EPERM},
	{438 /* pidfd_getfd */, EPERM},
	/* of another time, or the machine's */
	{SYS_name_to_handle_at, EPERM},
	{SYS_open_by_handle_at, EPERM},
	{SYS_fanotify_init, EPERM},
	{SYS_vhangup, EPERM},
	{SYS_acct, EPERM},
	{SYS_quotactl, EPERM},
	{SYS_syslog, EPERM},
	{SYS_reboot, EPERM},
	{SYS_swapon, EPERM},
	{SYS_swapoff, EPERM},
	{SYS_init_module, EPERM},
	{SYS_finit_module, EPERM},
	{SYS_delete_module, EPERM},
	{SYS_kexec_load, EPERM},
	{SYS_settimeofday, EPERM},
	{SYS_clock_settime, EPERM},
#ifdef SYS_modify_ldt
	{SYS_modify_ldt, EPERM},
	{SYS_iopl, EPERM},
	{SYS_ioperm, EPERM},
	{SYS_uselib, EPERM},
#endif
};

#define NEW_NAMESPACES                                                                             \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

struct program {
	struct sock_filter code[2 * (sizeof(taken) / sizeof(taken[0])) + 32];
	unsigned short len;
};

static void add(struct program *p, struct sock_filter instruction)
{
	p->code[p->len++] = instruction;
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(how, value, skip)                                                                       \
	BPF_JUMP(BPF_JMP | (how) | BPF_K, (unsigned)(value), 0, (unsigned char)(skip))
#define ANSWER(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)(error))
#define ALLOW	      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Argument 0 of both is a word that is looked at in its lower half alone, as the kernel does. */
static void add_clone(struct program *p)
{
	add(p, (struct sock_filter)IF(BPF_JEQ, SYS_clone, 4));
	add(p, (struct sock_filter)LOAD(args[0]));
	add(p, (struct sock_filter)IF(BPF_JSET, NEW_NAMESPACES, 1));
	add(p, (struct sock_filter)ANSWER(EPERM));
	add(p, (struct sock_filter)ALLOW);
}

static void add_socket(struct program *p)
{
	size_t n = sizeof(families) / sizeof(families[0]);

	add(p, (struct sock_filter)IF(BPF_JEQ, SYS_socket, 2 * n + 2));
	add(p, (struct sock_filter)LOAD(args[0]));
	for (size_t i = 0; i < n; i++) {
		add(p, (struct sock_filter)IF(BPF_JEQ, families[i], 1));
		add(p, (struct sock_filter)ALLOW);
	}
	add(p, (struct sock_filter)ANSWER(EAFNOSUPPORT));
}

int seccomp_subtract(void)
{
#ifdef NATIVE
	struct program p = {.len = 0};
	struct sock_fprog all = {.filter = p.code};

	add(&p, (struct sock_filter)LOAD(arch));
	add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0));
	add(&p, (struct sock_filter)ANSWER(ENOSYS));
	add(&p, (struct sock_filter)LOAD(nr));
#ifdef OTHER_ABI
	add(&p, (struct sock_filter)IF(BPF_JGE, OTHER_ABI, 1));
	add(&p, (struct sock_filter)ANSWER(ENOSYS));
#endif
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		add(&p, (struct sock_filter)IF(BPF_JEQ, taken[i].call, 1));
		add(&p, (struct sock_filter)ANSWER(taken[i].error));
	}
	add_clone(&p);
	add_socket(&p);
	add(&p, (struct sock_filter)ALLOW);
	all.len = p.len;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) < 0 && errno != EINVAL)
		return errno;
#endif
	return 0;
}
