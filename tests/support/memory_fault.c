/* Faults that valgrind must see, so that its runs are known to be able to fail: `leak` loses a
 * block, `unset` decides by memory that nobody set, `beyond` writes behind a block. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "";
    volatile char *volatile block = malloc(16);
    if (!block) return 1;
    if (strcmp(fault, "unset") == 0 && block[3] == 'x') puts("x");
    if (strcmp(fault, "beyond") == 0) block[16 + (argc > 2)] = 1;
    if (strcmp(fault, "leak") == 0) block = NULL;
    free((void *)block);
    return 0;
}
