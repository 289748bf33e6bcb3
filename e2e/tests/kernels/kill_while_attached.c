/* Kills a program at the very moment at which a child of it has attached a BPF program, and says what is left.
 *
 * kill_while_attached PROGRAM [ARG...]
 *
 * Runs PROGRAM under ptrace, children included. When BPF_RAW_TRACEPOINT_OPEN (how an LSM program is attached) has
 * succeeded in any of them, all are held, what is loaded is counted, and PROGRAM itself gets SIGKILL; the child is left
 * to its own. Prints a line of JSON: the ids in use before, while attached, and after all is gone. Exit code 0 when
 * something was attached, 1 when nothing ever was. x86-64. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct counts { int programs, maps, links; };

static int count(int command)
{
    union bpf_attr attr;
    int n = 0;
    unsigned int id = 0;
    for (;;) {
        memset(&attr, 0, sizeof attr);
        attr.start_id = id;
        if (syscall(SYS_bpf, command, &attr, sizeof attr) < 0) {
            if (errno != ENOENT) { perror("bpf(2)"); exit(2); }
            return n;
        }
        id = attr.next_id;
        n++;
    }
}

static struct counts loaded(void)
{
    struct counts c = { count(BPF_PROG_GET_NEXT_ID), count(BPF_MAP_GET_NEXT_ID), count(BPF_LINK_GET_NEXT_ID) };
    return c;
}

static void print(const char *name, struct counts c, const char *end)
{
    printf("\"%s\": {\"programs\": %d, \"maps\": %d, \"links\": %d}%s", name, c.programs, c.maps, c.links, end);
}

static int same(struct counts a, struct counts b)
{
    return a.programs == b.programs && a.maps == b.maps && a.links == b.links;
}

/* The kernel frees programs and maps after a grace period: looks for up to ten seconds. */
static struct counts settled(struct counts wanted)
{
    struct timespec pause = { 0, 50 * 1000 * 1000 };
    struct counts now = loaded();
    for (int look = 0; look < 200 && !same(now, wanted); look++) {
        nanosleep(&pause, NULL);
        now = loaded();
    }
    return now;
}

/* The process is at the end of a bpf(2) that attached a program. */
static int has_attached(pid_t pid)
{
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs) < 0) return 0;
    return regs.orig_rax == SYS_bpf && (regs.rdi == BPF_RAW_TRACEPOINT_OPEN || regs.rdi == BPF_LINK_CREATE)
        && (long)regs.rax != -ENOSYS && (long)regs.rax >= 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) { fprintf(stderr, "usage: %s PROGRAM [ARG...]\n", argv[0]); return 64; }
    struct counts before = loaded(), attached = { 0, 0, 0 };
    pid_t program = fork();
    if (program == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    int status, found = 0;
    waitpid(program, &status, 0);
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    ptrace(PTRACE_SETOPTIONS, program, 0, options);
    ptrace(PTRACE_SYSCALL, program, 0, 0);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) break; /* all are gone */
        if (!WIFSTOPPED(status)) continue;
        int signal = WSTOPSIG(status);
        if (signal == (SIGTRAP | 0x80) && !found && has_attached(pid)) {
            found = 1;
            attached = loaded();
            kill(program, SIGKILL);
            continue; /* pid stays held: only a signal of the kernel's can end it now */
        }
        if (signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP) signal = 0;
        ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    struct counts after = settled(before);
    printf("{");
    print("before", before, ", ");
    print("attached", attached, ", ");
    print("after", after, "}\n");
    return found ? 0 : 1;
}
