/* Writes random programs for another engine to run: DIR/program-N.lua and DIR/program-N.json (the
 * messages from outside; see random_program.h).
 *
 * Usage: random_program --seed S --program N [--programs COUNT] [--unit SECONDS] --out DIR */
#include "random_program.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_file(const char *dir, unsigned long long number, const char *end, struct str text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/program-%llu.%s", dir, number, end);
    FILE *f = fopen(path, "w");
    bool good = f && fwrite(text.p, 1, text.n, f) == text.n;
    if (f && fclose(f)) good = false;
    if (!good) fprintf(stderr, "%s cannot be written: %s\n", path, strerror(errno));
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    unsigned long long seed = 1, number = 1, count = 1;
    const char *unit = "1", *out = NULL;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--program") == 0)
            number = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--programs") == 0)
            count = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--unit") == 0 && strtod(value, NULL) > 0)
            unit = value;
        else if (strcmp(argv[i], "--out") == 0)
            out = value;
        else
            out = NULL, i = argc;
    }
    if (!out) {
        fprintf(stderr, "usage: random_program --seed S --program N [--programs COUNT] [--unit "
                        "SECONDS] --out DIR\n");
        return 2;
    }
    struct random_program p;
    struct buf json;
    int rc = 0;
    random_program_init(&p);
    buf_init(&json, 1u << 20);
    for (unsigned long long n = number; n < number + count && !rc; n++) {
        random_program_make(&p, seed, n, unit);
        buf_reset(&json);
        random_program_json(&p, unit, &json);
        rc = write_file(out, n, "lua", buf_str(&p.lua));
        if (!rc) rc = write_file(out, n, "json", buf_str(&json));
    }
    buf_free(&json);
    random_program_free(&p);
    return rc;
}
