/* The ids of all BPF programs, maps and links that the kernel has loaded. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST 256

struct ids { unsigned count, ids[MOST]; };
struct loaded { struct ids programs, maps, links; };

static struct ids ids_of(int command)
{
    struct ids all = { 0 };
    union bpf_attr attr;
    for (unsigned id = 0; all.count < MOST; id = attr.next_id) {
        memset(&attr, 0, sizeof attr);
        attr.start_id = id;
        if (syscall(SYS_bpf, command, &attr, sizeof attr) < 0) {
            if (errno != ENOENT) { perror("bpf(2)"); exit(2); }
            return all;
        }
        all.ids[all.count++] = attr.next_id;
    }
    fprintf(stderr, "more than %d of a kind are loaded\n", MOST);
    exit(2);
}

static struct loaded loaded(void)
{
    struct loaded now = { ids_of(BPF_PROG_GET_NEXT_ID), ids_of(BPF_MAP_GET_NEXT_ID), ids_of(BPF_LINK_GET_NEXT_ID) };
    return now;
}

static int same(struct loaded a, struct loaded b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* The kernel frees programs and maps after a grace period: waits for up to ten seconds. */
static struct loaded settled(struct loaded wanted)
{
    struct timespec pause = { 0, 50 * 1000 * 1000 };
    struct loaded now = loaded();
    for (int look = 0; look < 200 && !same(now, wanted); look++) {
        nanosleep(&pause, NULL);
        now = loaded();
    }
    return now;
}

static void print_ids(const char *name, struct ids all, const char *end)
{
    printf("\"%s\": [", name);
    for (unsigned i = 0; i < all.count; i++) printf("%s%u", i ? ", " : "", all.ids[i]);
    printf("]%s", end);
}

static void print(const char *name, struct loaded now, const char *end)
{
    printf("\"%s\": {", name);
    print_ids("programs", now.programs, ", ");
    print_ids("maps", now.maps, ", ");
    print_ids("links", now.links, "}");
    printf("%s", end);
}
