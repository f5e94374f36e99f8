/* sandbox: verbs that only read drop, before they touch the file, what they do not need:
 * with Landlock the view of every other file, with seccomp writing, sockets, new programs
 * and what changes names. Where the kernel has neither, and on Windows, the verb runs as it is: this
 * is a second wall, not the first. Kernel documentation: userspace-api/landlock, userspace-api/seccomp_filter. */
#define _GNU_SOURCE /* syscall, O_PATH */
#include "tool.h"

#if defined(__linux__) && !defined(MEMFILE_NO_SANDBOX) && __has_include(<linux/landlock.h>) && __has_include(<linux/seccomp.h>)

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reading of this one file is all that is left of the file system. */
static bool restrict_files(const char *path)
{
    /* rights of ABI 1, which every kernel with Landlock knows; later ones only add */
    struct landlock_ruleset_attr rules = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    struct landlock_path_beneath_attr file = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE};
    struct stat st;
    int ruleset = (int)syscall(__NR_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (ruleset < 0)
        return false;
    file.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (file.parent_fd >= 0 && fstat(file.parent_fd, &st) == 0 && S_ISDIR(st.st_mode))
        file.allowed_access = LANDLOCK_ACCESS_FS_READ_DIR; /* so that what is wrong can be said */
    bool done = file.parent_fd >= 0 &&
                syscall(__NR_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &file, 0) == 0 &&
                syscall(__NR_landlock_restrict_self, ruleset, 0) == 0;
    if (file.parent_fd >= 0)
        close(file.parent_fd);
    close(ruleset);
    return done;
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

#define LOW_WORD(n) (offsetof(struct seccomp_data, args) + 8 * (n)) /* both are little-endian */
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define ANSWER(how) BPF_STMT(BPF_RET | BPF_K, (how))
#define REFUSE ANSWER(SECCOMP_RET_ERRNO | EPERM)
#define UNLESS(number, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, (skip))
#define NOT(name) UNLESS(__NR_##name, 1), REFUSE
#define FLAGS(name, argument) /* opening is for reading */                                                             \
    UNLESS(__NR_##name, 4), LOAD(LOW_WORD(argument)),                                                                  \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 1), REFUSE, ANSWER(SECCOMP_RET_ALLOW)

static bool restrict_calls(void)
{
    struct sock_filter program[] = {
        LOAD(offsetof(struct seccomp_data, arch)),
        UNLESS(ARCHITECTURE, 1),
        BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
        REFUSE,
        LOAD(offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* the x32 calls */
        REFUSE,
        FLAGS(open, 1),
        NOT(creat),
        NOT(fork),
        NOT(vfork),
        NOT(rename),
        NOT(link),
        NOT(symlink),
        NOT(unlink),
        NOT(mkdir),
        NOT(rmdir),
        NOT(mknod),
        NOT(chmod),
        NOT(chown),
        NOT(lchown),
#endif
        FLAGS(openat, 2),
        NOT(openat2),
        NOT(execve),
        NOT(execveat),
        NOT(socket),
        NOT(socketpair),
        NOT(connect),
        NOT(bind),
        NOT(listen),
        NOT(sendto),
        NOT(sendmsg),
        NOT(truncate),
        NOT(ftruncate),
        NOT(fallocate),
        NOT(renameat2),
        NOT(linkat),
        NOT(symlinkat),
        NOT(unlinkat),
        NOT(mkdirat),
        NOT(mknodat),
        NOT(fchmod),
        NOT(fchmodat),
        NOT(fchown),
        NOT(fchownat),
        NOT(setxattr),
        NOT(lsetxattr),
        NOT(fsetxattr),
        NOT(ptrace),
        NOT(process_vm_readv),
        NOT(process_vm_writev),
        NOT(kill),
        NOT(tkill),
        NOT(mount),
        NOT(umount2),
        NOT(bpf),
        NOT(keyctl),
        NOT(add_key),
        NOT(unshare),
        NOT(setns),
        NOT(pidfd_open),
        NOT(pidfd_getfd),
        NOT(io_uring_setup),
        NOT(userfaultfd),
        NOT(perf_event_open),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

#else
static bool restrict_calls(void)
{
    return false;
}
#endif

unsigned sandbox_for_reading(const char *path)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return 0;
    return (restrict_files(path) ? SANDBOX_FILES : 0) | (restrict_calls() ? SANDBOX_CALLS : 0);
}

#else

unsigned sandbox_for_reading(const char *path)
{
    (void)path;
    return 0;
}

#endif
