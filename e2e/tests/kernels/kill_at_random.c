/* Kills a program again and again at random moments, and says whether BPF programs, maps or links of it are left.
 *
 * kill_at_random KILLS SEED PROGRAM [ARG...]
 *
 * Runs PROGRAM once to its end, for the time that it takes, and the time for which something of it is loaded. The first
 * is cut into as many equal parts as there are kills, and each run is killed at a random moment of its part, so that no
 * part is left out. Every other run is killed at a random moment of the second time instead, counted from when something
 * is loaded: a moment that few kills would meet otherwise. It is PROGRAM alone that is killed (its children are left to
 * their own) or, in turns, its whole process group. After each kill everything that descends from it must go by itself,
 * and then the ids in use must be those from before.
 *
 * Prints a line of JSON: the seed, the kills, how many of them met a program that still ran, and how many one of which
 * something was loaded; the ids before and after all. Ends at the first kill after which something is left. */
#define _GNU_SOURCE
#include "loaded.h"
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct times { double all, loaded; };
struct result { int running, with_loaded; };

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

static pid_t start(char **command)
{
    pid_t pid = fork();
    if (pid < 0) { perror("fork"); exit(2); }
    if (pid == 0) {
        setpgid(0, 0);
        if (!freopen("/dev/null", "w", stdout)) _exit(126);
        execv(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    setpgid(pid, pid); /* whoever of both comes first */
    return pid;
}

/* It has ended; it is still to be reaped. */
static int ended(pid_t pid)
{
    siginfo_t info = { 0 };
    return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

/* Waits until something of the process is loaded, or it has ended. */
static void await_loaded(pid_t pid, struct loaded before)
{
    while (same(loaded(), before) && !ended(pid)) pass(0.001);
}

/* Waits for the process and all that it leaves behind, which come to us. 1: it was still running when killed. */
static int reap(pid_t program)
{
    int status, killed = 0;
    for (pid_t pid; (pid = wait(&status)) > 0;)
        if (pid == program) killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return killed;
}

/* Kills the run with that number and waits for its end. */
static void kill_one(struct result *result, struct times times, int number, int kills, struct loaded before, char **command)
{
    pid_t program = start(command);
    if (number % 2) {
        await_loaded(program, before);
        pass(times.loaded * random_part());
    } else {
        pass(times.all * (number + random_part()) / kills);
    }
    result->with_loaded += !same(loaded(), before);
    kill(number / 2 % 2 ? -program : program, SIGKILL);
    result->running += reap(program);
}

/* An undisturbed run. */
static struct times measure(struct loaded before, char **command)
{
    double begun = now();
    pid_t program = start(command);
    await_loaded(program, before);
    double loaded = now();
    reap(program);
    return (struct times){ now() - begun, now() - loaded };
}

int main(int argc, char **argv)
{
    if (argc < 4) { fprintf(stderr, "usage: %s KILLS SEED PROGRAM [ARG...]\n", argv[0]); return 64; }
    int kills = atoi(argv[1]), done = 0;
    uint64_t seed = strtoull(argv[2], NULL, 10);
    state = seed * 2 + 1; /* zero would stay zero */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct loaded before = loaded(), after = before;
    struct times times = measure(before, argv + 3);
    struct result result = { 0, 0 };
    while (done < kills && same(after, before)) {
        kill_one(&result, times, done++, kills, before, argv + 3);
        after = settled(before);
    }
    printf("{\"seed\": %llu, \"kills\": %d, \"running\": %d, \"with_loaded\": %d, ", (unsigned long long)seed, done,
        result.running, result.with_loaded);
    print("before", before, ", ");
    print("after", after, "}\n");
    return 0;
}
