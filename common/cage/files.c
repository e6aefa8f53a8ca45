/*
 * files.c: which files, ports and processes are within reach, by Landlock.
 *
 * The numbers are the kernel's (landlock(7)); headers of older systems lack those of newer kernels.
 * Each kernel is asked for what it knows (its ABI) and no more.
 */
#include "cage_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mem.h"

#define CREATE_RULESET 444
#define ADD_RULE       445
#define RESTRICT_SELF  446
#define ASK_VERSION    1u
#define RULE_PATH      1
#define RULE_PORT      2

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_ALL_1 = (1 << 13) - 1,
	FS_REFER = 1 << 13,    /* ABI 2 */
	FS_TRUNCATE = 1 << 14, /* 3 */
	FS_IOCTL = 1 << 15,    /* 5 */
	NET_BIND = 1 << 0,     /* 4 */
	SCOPE_SIGNAL = 1 << 1, /* 6 */
};
#define OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL)

struct ruleset_attr {
	uint64_t fs, net, scoped;
};
struct path_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));
struct port_attr {
	uint64_t allowed, port;
};

static struct ruleset_attr known_by(long abi)
{
	return (struct ruleset_attr){
		.fs = FS_ALL_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
		      (abi >= 5 ? FS_IOCTL : 0),
		.net = abi >= 4 ? NET_BIND : 0,
		.scoped = abi >= 6 ? SCOPE_SIGNAL : 0,
	};
}

static uint64_t rights(unsigned access)
{
	uint64_t all = 0;

	if (access & CAGE_READ)
		all |= FS_READ_FILE | FS_READ_DIR;
	if (access & CAGE_EXECUTE)
		all |= FS_EXECUTE | FS_READ_FILE;
	if (access & CAGE_DEVICE)
		all |= FS_WRITE_FILE | FS_TRUNCATE;
	if (access & CAGE_WRITE)
		all |= FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG |
		       FS_MAKE_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR | FS_REFER;
	return all;
}

static int add_path(int ruleset, const struct ruleset_attr *known, const char *path,
		    unsigned access, struct err *err)
{
	_cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct path_attr attr = {.allowed = rights(access) & known->fs, .fd = fd};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* what is not there need not be reached */
	if (!S_ISDIR(st.st_mode))
		attr.allowed &= OF_FILES;
	if (attr.allowed != 0 && syscall(ADD_RULE, ruleset, RULE_PATH, &attr, 0) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "Landlock: %.120s", path);
	return 0;
}

/* The port of "host:port". */
static int add_port(int ruleset, const struct ruleset_attr *known, const char *listens,
		    struct err *err)
{
	const char *colon = strrchr(listens, ':');
	struct port_attr attr = {.allowed = NET_BIND};

	if (known->net == 0 || colon == NULL)
		return 0;
	attr.port = strtoul(colon + 1, NULL, 10) & 0xffff;
	if (syscall(ADD_RULE, ruleset, RULE_PORT, &attr, 0) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "Landlock: port");
	return 0;
}

int cage_files(const struct cage_plan *plan, const struct cage_paths *paths, char *detail,
	       size_t size, struct err *err)
{
	long abi = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);
	struct ruleset_attr known = known_by(abi);
	int rc = 0;

	if (abi < 1)
		return err_set(err, ERR_UNSUPPORTED, "this kernel has no Landlock: %s",
			       strerror(errno));
	_cleanup_fd_ int ruleset = (int)syscall(CREATE_RULESET, &known, sizeof(known), 0);
	if (ruleset < 0)
		return err_set_errno(err, ERR_UNSUPPORTED, errno, "Landlock");
	for (size_t i = 0; rc == 0 && i < paths->count; i++)
		rc = add_path(ruleset, &known, paths->items[i].path, paths->items[i].access, err);
	if (rc == 0)
		rc = add_port(ruleset, &known, plan->listens, err);
	if (rc == 0 && syscall(RESTRICT_SELF, ruleset, 0) < 0)
		rc = err_set_errno(err, ERR_UNSUPPORTED, errno, "Landlock");
	if (rc == 0)
		snprintf(detail, size, "Landlock ABI %ld: files%s%s", abi,
			 known.net ? ", the port that is listened at" : "",
			 known.scoped ? ", no signals to others" : "");
	return rc;
}
