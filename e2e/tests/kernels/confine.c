/* Runs a program with less than this process may do.
 *
 * confine [-c CAPABILITY-NUMBER]... [-k CAPABILITY-NUMBER]... [-b ERRNO|kill] [-p ERRNO] PROGRAM
 * [ARG...]
 *
 * -c  without that capability -k  without any capability but this one and those of further -k -b
 * under a seccomp filter that answers bpf(2) with that errno, or kills the process -p  under a
 * seccomp filter that answers prctl(2) with that errno where it does not know the option: options
 * up to 100 and
 *     the two with names in place of numbers, PR_SET_VMA and PR_SET_PTRACER, are allowed
 *
 * Needs root. Capabilities are removed from the bounding set, which limits what execve(2) gives. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define IF_ABOVE(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (value), (yes), (no))
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, (action))

static void require(int ok, const char *what)
{
    if (!ok) { perror(what); exit(125); }
}

static void filter(struct sock_filter *code, unsigned short length)
{
    struct sock_fprog program = { length, code };
    require(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

static uint32_t answer(const char *text)
{
    return strcmp(text, "kill") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | (uint32_t)atoi(text);
}

static void filter_bpf(uint32_t action)
{
    struct sock_filter code[] = { FIELD(nr), IF(SYS_bpf, 0, 1), ANSWER(action), ANSWER(SECCOMP_RET_ALLOW) };
    filter(code, sizeof code / sizeof *code);
}

/* The lower half of the option decides. It comes first, as both architectures are little-endian. */
static void filter_prctl(uint32_t action)
{
    struct sock_filter code[] = {
        FIELD(nr), IF(SYS_prctl, 0, 4),
        FIELD(args[0]), IF_ABOVE(100, 0, 2), IF(PR_SET_VMA, 1, 0), IF(PR_SET_PTRACER, 0, 1),
        ANSWER(SECCOMP_RET_ALLOW), ANSWER(action),
    };
    filter(code, sizeof code / sizeof *code);
}

static void keep_only(uint64_t kept)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (!(kept >> capability & 1)) require(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0, "capability");
}

int main(int argc, char **argv)
{
    uint64_t dropped = 0, kept = 0;
    uint32_t bpf = 0, options = 0;
    for (int option; (option = getopt(argc, argv, "+c:k:b:p:")) != -1;) {
        switch (option) {
        case 'c': dropped |= 1ULL << atoi(optarg); break;
        case 'k': kept |= 1ULL << atoi(optarg); break;
        case 'b': bpf = answer(optarg); break;
        case 'p': options = answer(optarg); break;
        default: return 64;
        }
    }
    if (optind >= argc) { fprintf(stderr, "usage: see the top of confine.c\n"); return 64; }
    /* Filters first: they need CAP_SYS_ADMIN, which may be removed next. */
    if (options) filter_prctl(options);
    if (bpf) filter_bpf(bpf);
    if (dropped || kept) keep_only(kept ? kept : ~dropped);
    execvp(argv[optind], argv + optind);
    perror(argv[optind]);
    return 127;
}
