/* Writes inputs for fuzz_replay out of real histories, into the current folder:
 *   fuzz_seeds SCRIPT HISTORY.json NAME     of an exported history (moonloop show --json)
 *   fuzz_seeds random SEED N                of N random programs against the made-up engine */
#include "../replay/replay_engine.h"
#include "fuzz.h"
#include <unistd.h>

static void write_seed(const char *name, char flags, struct str script, struct rec *const *events,
                       size_t n)
{
    struct buf out;
    buf_init(&out, 1 << 26);
    buf_putc(&out, flags);
    buf_putc(&out, 20);
    buf_putstr(&out, script);
    buf_putc(&out, 0);
    FUZZ_CHECK(history_blob_encode(events, n, &out) == 0);
    FILE *f = fopen(name, "wb");
    FUZZ_CHECK(f && fwrite(out.p, 1, out.n, f) == out.n && fclose(f) == 0);
    buf_free(&out);
}

static void random_seeds(uint64_t seed, uint64_t n)
{
    char dir[] = "/tmp/mlseedsXXXXXX", name[64];
    struct sim *s = malloc(sizeof *s);
    FUZZ_CHECK(s && mkdtemp(dir));
    for (uint64_t i = 1; i <= n; i++) {
        struct random_program p;
        random_program_init(&p);
        random_program_make(&p, seed, i, "1");
        sim_run(s, &p, dir);
        snprintf(name, sizeof name, "random-%llu-%llu", (unsigned long long)seed,
                 (unsigned long long)i);
        write_seed(name, (char)(8 | (i & 7)), buf_str(&p.lua), s->h.ev, s->h.n);
        sim_free(s);
        random_program_free(&p);
    }
    free(s);
}

int main(int argc, char **argv)
{
    struct arena a;
    struct err e = {0};
    char *script = NULL, *json = NULL;
    size_t script_n = 0, json_n = 0, n = 0;
    struct rec **events = NULL;
    if (argc != 4) {
        fprintf(stderr, "usage: fuzz_seeds SCRIPT HISTORY.json NAME | random SEED N\n");
        return 2;
    }
    if (strcmp(argv[1], "random") == 0) {
        random_seeds(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
        return 0;
    }
    arena_init(&a, 0);
    if (bundle_read_text(argv[1], &script, &script_n, &e) ||
        bundle_read_text(argv[2], &json, &json_n, &e) ||
        history_from_json(&a, str_make(json, json_n), &events, &n, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    write_seed(argv[3], 8, str_make(script, script_n), events, n);
    return 0;
}
