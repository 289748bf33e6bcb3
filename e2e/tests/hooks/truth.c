/* The truth about a kernel's LSM hooks, found without any of the probe's code; and what a run of the probe leaves loaded.
 *
 * truth PROGRAM [ARG...]
 *
 * Runs PROGRAM, whose output goes where this program's goes, and prints a line of JSON after it:
 * the number of programs that were loaded before and after PROGRAM, how many got an id meanwhile
 * (ids only grow), every function bpf_lsm_* of the kernel's BTF, those of them that take a program
 * by bpf(2), and those that take a sleepable one. The exit code is PROGRAM's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024

static const char *names[MOST];
static int takes[MOST], takes_sleepable[MOST], hooks;

static int load(int type, int attach_type, unsigned int id, unsigned int flags)
{
    struct bpf_insn insns[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = type;
    attr.insns = (unsigned long)insns;
    attr.insn_cnt = 2;
    attr.license = (unsigned long)"GPL";
    attr.expected_attach_type = attach_type;
    attr.attach_btf_id = id;
    attr.prog_flags = flags;
    return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

static int takes_program(unsigned int id, unsigned int flags)
{
    int fd = load(BPF_PROG_TYPE_LSM, BPF_LSM_MAC, id, flags);
    if (fd < 0) return 0;
    close(fd);
    return 1;
}

/* The last id that was given to a program: that of a socket filter which is loaded only for its id. */
static unsigned int last_id(void)
{
    struct bpf_prog_info info;
    union bpf_attr attr;
    int fd = load(BPF_PROG_TYPE_SOCKET_FILTER, 0, 0, 0);
    memset(&info, 0, sizeof info);
    memset(&attr, 0, sizeof attr);
    attr.info.bpf_fd = fd;
    attr.info.info_len = sizeof info;
    attr.info.info = (unsigned long)&info;
    if (fd < 0 || syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) < 0) { perror("bpf(2)"); exit(2); }
    close(fd);
    return info.id;
}

static int programs(void)
{
    union bpf_attr attr;
    int n = 0;
    unsigned int id = 0;
    for (;;) {
        memset(&attr, 0, sizeof attr);
        attr.start_id = id;
        if (syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attr, sizeof attr) < 0) {
            if (errno != ENOENT) { perror("bpf(2)"); exit(2); }
            return n;
        }
        id = attr.next_id;
        n++;
    }
}

/* The kernel frees a closed program a moment later: waits for up to ten seconds. */
static int settled(int wanted)
{
    struct timespec pause = { 0, 50 * 1000 * 1000 };
    int now = programs();
    for (int look = 0; look < 200 && now != wanted; look++) {
        nanosleep(&pause, NULL);
        now = programs();
    }
    return now;
}

static size_t length(const struct btf_type *type)
{
    size_t n = BTF_INFO_VLEN(type->info);
    switch (BTF_INFO_KIND(type->info)) {
    case BTF_KIND_INT: case BTF_KIND_VAR: case BTF_KIND_DECL_TAG: return sizeof *type + 4;
    case BTF_KIND_ARRAY: return sizeof *type + sizeof(struct btf_array);
    case BTF_KIND_ENUM: return sizeof *type + n * sizeof(struct btf_enum);
    case BTF_KIND_FUNC_PROTO: return sizeof *type + n * sizeof(struct btf_param);
    case BTF_KIND_STRUCT: case BTF_KIND_UNION: case BTF_KIND_DATASEC: case BTF_KIND_ENUM64:
        return sizeof *type + n * 12;
    default: return sizeof *type;
    }
}

static void try_hooks(void)
{
    struct stat stat;
    int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);
    if (fd < 0 || fstat(fd, &stat) < 0) { perror("BTF"); exit(2); }
    char *bytes = malloc(stat.st_size);
    for (ssize_t got, all = 0; all < stat.st_size; all += got) {
        got = read(fd, bytes + all, stat.st_size - all);
        if (got <= 0) { perror("BTF"); exit(2); }
    }
    const struct btf_header *header = (void *)bytes;
    const char *types = bytes + header->hdr_len + header->type_off, *end = types + header->type_len;
    const char *strings = bytes + header->hdr_len + header->str_off;
    unsigned int id = 1;
    for (const char *at = types; at < end; at += length((const void *)at), id++) {
        const struct btf_type *type = (const void *)at;
        const char *name = strings + type->name_off;
        if (BTF_INFO_KIND(type->info) != BTF_KIND_FUNC || strncmp(name, "bpf_lsm_", 8) || hooks == MOST) continue;
        names[hooks] = name + 8;
        takes[hooks] = takes_program(id, 0);
        takes_sleepable[hooks] = takes_program(id, BPF_F_SLEEPABLE);
        hooks++;
    }
}

static void print(const char *name, const int *only, const char *end)
{
    printf("\"%s\": [", name);
    for (int i = 0, first = 1; i < hooks; i++) {
        if (only && !only[i]) continue;
        printf("%s\"%s\"", first ? "" : ", ", names[i]);
        first = 0;
    }
    printf("]%s", end);
}

int main(int argc, char **argv)
{
    if (argc < 2) { fprintf(stderr, "usage: %s PROGRAM [ARG...]\n", argv[0]); return 64; }
    unsigned int begin = last_id();
    int before = settled(programs()), status;
    pid_t program = fork();
    if (program == 0) {
        execv(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    waitpid(program, &status, 0);
    int after = settled(before);
    unsigned int ids = last_id() - begin - 1;
    try_hooks();
    printf("{\"before\": %d, \"after\": %d, \"ids\": %u, ", before, after, ids);
    print("functions", NULL, ", ");
    print("attachable", takes, ", ");
    print("sleepable", takes_sleepable, "}\n");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
