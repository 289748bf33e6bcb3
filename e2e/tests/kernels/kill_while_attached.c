/* Kills a program at the very moment at which a child of it has attached a BPF program, and says what is left.
 *
 * kill_while_attached PROGRAM [ARG...]
 *
 * Runs PROGRAM under ptrace, children included. When BPF_RAW_TRACEPOINT_OPEN or BPF_LINK_CREATE
 * (how an LSM program is attached) has succeeded in any of them, all are stopped, what is loaded is
 * noted, and PROGRAM itself gets SIGKILL. The child is not killed. Prints a line of JSON: the ids
 * in use before, while attached, and after all is gone. Exit code 0 when something was attached, 1
 * when nothing ever was; a line is printed then as well. */
#define _GNU_SOURCE
#include "loaded.h"
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* Whether the process is at the end of a bpf(2) that attached a program. ptrace gives the number of a call only at its
 * beginning. */
static int has_attached(pid_t pid)
{
    static pid_t attaching;
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0) return 0;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        int command = info.entry.args[0];
        int attaches = command == BPF_RAW_TRACEPOINT_OPEN || command == BPF_LINK_CREATE;
        if (info.entry.nr == SYS_bpf && attaches) attaching = pid;
        return 0;
    }
    if (info.op != PTRACE_SYSCALL_INFO_EXIT || pid != attaching) return 0;
    attaching = 0;
    return info.exit.rval >= 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) { fprintf(stderr, "usage: %s PROGRAM [ARG...]\n", argv[0]); return 64; }
    struct loaded before = loaded(), attached = { 0 };
    pid_t program = fork();
    if (program == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        if (!freopen("/dev/null", "w", stdout)) _exit(126);
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
            continue; /* pid stays stopped: only a signal from the kernel can end it now */
        }
        if (signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP) signal = 0;
        ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    struct loaded after = settled(before);
    printf("{");
    print("before", before, ", ");
    print("attached", attached, ", ");
    print("after", after, "}\n");
    return found ? 0 : 1;
}
