/* Feeds files, and all files of folders, to the fuzz target it is linked with: how builds without
 * libFuzzer replay a corpus. Says each file's name before it, so that the last one named is the one
 * that failed. */
#include "fuzz.h"
#include <dirent.h>
#include <sys/stat.h>

#pragma weak LLVMFuzzerInitialize

static size_t fed;

/* A custom mutator of a target refers to it; nothing calls it here. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max)
{
    (void)data;
    return n < max ? n : max;
}

static void feed(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    FUZZ_CHECK(f && fstat(fileno(f), &st) == 0);
    size_t n = (size_t)st.st_size;
    uint8_t *p = malloc(n ? n : 1); /* its own block: a read past the end is seen */
    FUZZ_CHECK(p && fread(p, 1, n, f) == n);
    fclose(f);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(p, n);
    free(p);
    fed++;
}

static void feed_path(const char *path)
{
    struct dirent **names;
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        feed(path);
        return;
    }
    int n = scandir(path, &names, NULL, alphasort);
    FUZZ_CHECK(n >= 0);
    for (int i = 0; i < n; i++) {
        char full[4096];
        snprintf(full, sizeof full, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') feed_path(full);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        feed_path(argv[i]);
    if (fed == 0) {
        fprintf(stderr, "no input: name files or folders\n");
        return 1;
    }
    printf("%zu inputs\n", fed);
    return 0;
}
