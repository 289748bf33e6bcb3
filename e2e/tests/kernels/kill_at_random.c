/* Kills a program again and again at random moments, and says whether BPF programs, maps or links of it are left.
 *
 * kill_at_random KILLS SEED PROGRAM [ARG...]
 *
 * Two kinds of moments take turns. For the first kind, the time that PROGRAM takes is cut into as
 * many equal parts as there are kills, and a run is killed at a random moment of its part, so that
 * no part is left out. Few of these moments meet a program that has something loaded, which is only
 * for a short time. For the second kind, the moment is drawn by progress and not by the clock: it
 * is a random beginning or end of a system call that PROGRAM and its children make while something
 * is loaded, counted under ptrace.
 *
 * PROGRAM alone is killed, without its children, or its whole process group: these take turns too.
 * After each kill all its descendants must end by themselves, and then the ids in use must be those
 * from before.
 *
 * Prints a line of JSON: the seed, the kills, how many of them met a program that still ran, how
 * many met one that had something loaded, and the ids before and after all kills. Ends at the first
 * kill after which something is left. */
#define _GNU_SOURCE
#include "loaded.h"
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

struct result { int running, with_loaded; };
/* The time of an undisturbed run, and the number of its stops while something is loaded. */
struct extent { double seconds; int stops; };

static uint64_t state;

/* xorshift64*, 53 bits: at least 0 and less than 1. */
static double random_part(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)(state * 2685821657736338717ULL >> 11) / (double)(1ULL << 53);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pass(double seconds)
{
    struct timespec time = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    while (nanosleep(&time, &time) < 0 && errno == EINTR) {}
}

static pid_t start(char **command, int traced)
{
    pid_t pid = fork();
    if (pid < 0) { perror("fork"); exit(2); }
    if (pid == 0) {
        setpgid(0, 0);
        if (traced) ptrace(PTRACE_TRACEME, 0, 0, 0);
        if (!freopen("/dev/null", "w", stdout)) _exit(126);
        execv(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    setpgid(pid, pid); /* both do it, as either may be the first */
    return pid;
}

/* Waits for the process and for its orphans, which become our children. 1: it was still running when it was killed. */
static int reap(pid_t program)
{
    int status, killed = 0;
    for (pid_t pid; (pid = wait(&status)) > 0;)
        if (pid == program) killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return killed;
}

/* Runs the command under ptrace, children included, and returns the number of its stops while something is loaded. At the
 * stop with the number `at` the run is killed. */
static int trace(char **command, int at, int group, struct loaded before, struct result *result)
{
    int stops = 0;
    pid_t program = start(command, 1);
    int status;
    waitpid(program, &status, 0);
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    ptrace(PTRACE_SETOPTIONS, program, 0, options);
    ptrace(PTRACE_SYSCALL, program, 0, 0);
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status)) continue;
        int signal = WSTOPSIG(status);
        if (signal == (SIGTRAP | 0x80)) {
            if (!same(loaded(), before) && stops++ == at) {
                result->running++;
                result->with_loaded++;
                kill(group ? -program : program, SIGKILL);
            }
        }
        if (signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP) signal = 0;
        ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    return stops;
}

/* Kills the run with that number and waits for its end. */
static void kill_one(struct result *result, struct extent extent, int number, int kills, struct loaded before, char **command)
{
    int group = number / 2 % 2;
    if (number % 2 && extent.stops > 0) {
        trace(command, (int)(extent.stops * random_part()), group, before, result);
        return;
    }
    pid_t program = start(command, 0);
    pass(extent.seconds * (number + random_part()) / kills);
    result->with_loaded += !same(loaded(), before);
    kill(group ? -program : program, SIGKILL);
    result->running += reap(program);
}

static struct extent measure(struct loaded before, char **command)
{
    struct result none;
    struct extent extent = { .stops = trace(command, -1, 0, before, &none) };
    double begun = now();
    reap(start(command, 0));
    extent.seconds = now() - begun;
    return extent;
}

int main(int argc, char **argv)
{
    if (argc < 4) { fprintf(stderr, "usage: %s KILLS SEED PROGRAM [ARG...]\n", argv[0]); return 64; }
    int kills = atoi(argv[1]), done = 0;
    uint64_t seed = strtoull(argv[2], NULL, 10);
    state = seed * 2 + 1; /* zero would stay zero */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct loaded before = loaded(), after = before;
    struct extent extent = measure(before, argv + 3);
    struct result result = { 0, 0 };
    while (done < kills && same(after, before)) {
        kill_one(&result, extent, done++, kills, before, argv + 3);
        after = settled(before);
    }
    printf("{\"seed\": %llu, \"kills\": %d, \"running\": %d, \"with_loaded\": %d, ", (unsigned long long)seed, done,
        result.running, result.with_loaded);
    print("before", before, ", ");
    print("after", after, "}\n");
    return 0;
}
