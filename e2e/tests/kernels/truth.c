/* The truth about LSM BPF, found in another way than lsm-ready's: can a program deny something here?
 *
 * truth
 *
 * Uses only bpf(2) and no library for it: looks up bpf_lsm_task_setnice in /sys/kernel/btf/vmlinux,
 * loads a program for it, attaches it, and asks for two niceness values of a child. The program
 * denies one of them with ENOMSG when this process asks, and nothing else to any process. It counts
 * as denied when the request was refused while the program was attached and succeeded before and
 * after, and the request for the other value always succeeded.
 *
 * Prints a line of JSON: {"loaded", "attached", "denied", "stage": where it ended, "errno": of that
 * stage (0: nothing failed)}. The exit code is always 0. When the program is killed, there is no
 * line. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOOK "bpf_lsm_task_setnice"
#define DENIED_NICE 6
#define OTHER_NICE 7

static struct { int loaded, attached, denied; } truth;

static void end(const char *stage, int error)
{
    printf("{\"loaded\": %s, \"attached\": %s, \"denied\": %s, \"stage\": \"%s\", \"errno\": %d}\n",
        truth.loaded ? "true" : "false", truth.attached ? "true" : "false", truth.denied ? "true" : "false", stage, error);
    exit(0);
}

static long bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* The whole file. Its size is not used, because sysfs may give any size. */
static char *content(const char *path, size_t *length)
{
    size_t room = 1 << 20;
    char *bytes = malloc(room);
    int file = open(path, O_RDONLY);
    if (file < 0 || !bytes) end("btf", errno);
    for (*length = 0;;) {
        ssize_t got = read(file, bytes + *length, room - *length);
        if (got < 0) end("btf", errno);
        if (got == 0) break;
        *length += got;
        if (*length == room && !(bytes = realloc(bytes, room *= 2))) end("btf", ENOMEM);
    }
    close(file);
    return bytes;
}

/* How many bytes follow a type of that kind (Documentation/bpf/btf.rst); -1: an unknown kind. */
static long tail(unsigned kind, unsigned members)
{
    switch (kind) {
    case BTF_KIND_PTR: case BTF_KIND_FWD: case BTF_KIND_TYPEDEF: case BTF_KIND_VOLATILE: case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT: case BTF_KIND_FUNC: case BTF_KIND_FLOAT: case 18 /* TYPE_TAG */: return 0;
    case BTF_KIND_INT: case BTF_KIND_VAR: case 17 /* DECL_TAG */: return 4;
    case BTF_KIND_ARRAY: return 12;
    case BTF_KIND_STRUCT: case BTF_KIND_UNION: case BTF_KIND_DATASEC: case 19 /* ENUM64 */: return 12L * members;
    case BTF_KIND_ENUM: case BTF_KIND_FUNC_PROTO: return 8L * members;
    default: return -1;
    }
}

/* The id of the function with that name. Types are numbered from 1, in their order. */
static int function_id(const char *btf, size_t length, const char *name)
{
    const struct btf_header *header = (const void *)btf;
    if (length < sizeof *header || header->magic != BTF_MAGIC) end("btf", EBADMSG);
    const char *strings = btf + header->hdr_len + header->str_off;
    const char *at = btf + header->hdr_len + header->type_off, *stop = at + header->type_len;
    if (stop > btf + length || strings + header->str_len > btf + length) end("btf", EBADMSG);
    for (int id = 1; at < stop; id++) {
        const struct btf_type *type = (const void *)at;
        unsigned kind = type->info >> 24 & 0x1f;
        long more = tail(kind, type->info & 0xffff);
        if (more < 0) end("btf", EPROTO);
        if (kind == BTF_KIND_FUNC && strcmp(strings + type->name_off, name) == 0) return id;
        at += sizeof *type + more;
    }
    end("hook", ENOENT);
    return 0;
}

#define INSN(op, dst, src, offset, value) \
    { .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (value) }

/* int task_setnice(struct task_struct *p, int nice): both arguments are in the context, eight bytes each. */
static int load(int hook)
{
    struct bpf_insn program[] = {
        INSN(BPF_LDX | BPF_DW | BPF_MEM, 6, 1, 8, 0),                /* r6 = nice */
        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid),
        INSN(BPF_ALU64 | BPF_RSH | BPF_K, 0, 0, 0, 32),              /* r0 = tgid */
        INSN(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 3, getpid()),          /* another process: let it */
        INSN(BPF_JMP32 | BPF_JNE | BPF_K, 6, 0, 2, DENIED_NICE),     /* another value: let it */
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, -ENOMSG),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_LSM,
        .expected_attach_type = BPF_LSM_MAC,
        .attach_btf_id = hook,
        .insns = (uintptr_t)program,
        .insn_cnt = sizeof program / sizeof *program,
        .license = (uintptr_t)"GPL",
    };
    int fd = bpf(BPF_PROG_LOAD, &attr);
    if (fd < 0) end("load", errno);
    return fd;
}

static int attach(int program)
{
    union bpf_attr attr = { .raw_tracepoint = { .prog_fd = program } };
    int link = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
    if (link < 0) end("attach", errno);
    return link;
}

/* Asks for that niceness, for a new child each time: any process may raise it, but not lower it again. */
static int ask_for(int nice)
{
    pid_t child = fork();
    if (child < 0) end("fork", errno);
    if (child == 0) for (;;) pause();
    int error = setpriority(PRIO_PROCESS, child, nice) < 0 ? errno : 0;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return error;
}

int main(void)
{
    size_t length;
    char *btf = content("/sys/kernel/btf/vmlinux", &length);
    int hook = function_id(btf, length, HOOK);
    free(btf);
    int program = load(hook);
    truth.loaded = 1;
    int before = ask_for(DENIED_NICE);
    int link = attach(program);
    truth.attached = 1;
    int denied = ask_for(DENIED_NICE), other = ask_for(OTHER_NICE);
    close(link);
    int after = ask_for(DENIED_NICE);
    truth.denied = before == 0 && denied == ENOMSG && other == 0 && after == 0;
    if (truth.denied) end("denied", 0);
    int errors[] = { before, other, after };
    for (int i = 0; i < 3; i++) if (errors[i]) end("comparison", errors[i]);
    end(denied ? "denial" : "silent", denied);
}
