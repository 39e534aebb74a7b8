/* Two threads write one word without a lock: what the thread sanitizer must see. `scripts/test
 * tsan` runs it first, so that a sanitizer that cannot start here, or that sees nothing, fails the
 * stage. */
#include <pthread.h>
#include <stdio.h>

static int word;

static void *write_word(void *ud)
{
    (void)ud;
    word++;
    return NULL;
}

int main(void)
{
    pthread_t one, two;
    if (pthread_create(&one, NULL, write_word, NULL) ||
        pthread_create(&two, NULL, write_word, NULL))
        return 1;
    pthread_join(one, NULL);
    pthread_join(two, NULL);
    printf("a race was not seen: %d\n", word);
    return 0;
}
