/* Frames on the socket between processes. Keeps true: any bytes, in any pieces, give frames or the
 * end of the connection, and what was sent by the other side before the first wrong byte arrives.
 * The first byte seeds the pieces. */
#include "base/rng.h"
#include "fuzz.h"
#include "host/host_internal.h"
#include <sys/socket.h>
#include <unistd.h>

struct end {
    struct conn *c;
    struct buf seen;
    bool closed;
};

static void on_frame(void *ud, cJSON *f)
{
    struct end *x = ud;
    char *text = cJSON_PrintUnformatted(f);
    FUZZ_CHECK(text && !x->closed);
    buf_puts(&x->seen, text);
    buf_putc(&x->seen, '\n');
    cJSON_free(text);
    if (x->seen.n & 1) FUZZ_CHECK(conn_send(x->c, cJSON_CreateObject()) == 0);
}
static void on_closed(void *ud)
{
    struct end *x = ud;
    FUZZ_CHECK(!x->closed);
    x->closed = true;
}

static void run(struct str bytes, struct rng *r, struct buf *seen, bool *closed)
{
    struct loop *loop = NULL;
    struct end x = {0};
    int fd[2];
    char drop[4096];
    buf_init(&x.seen, 1 << 26);
    FUZZ_CHECK(loop_open(&clock_system, &loop, NULL) == 0);
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
    FUZZ_CHECK(conn_new(loop, fd[0], on_frame, on_closed, &x, &x.c) == 0);
    while (bytes.n && !x.closed) {
        size_t n = r ? 1 + rng_below(r, bytes.n < 64 ? bytes.n : 64) : bytes.n;
        ssize_t k = send(fd[1], bytes.p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k > 0) bytes = str_make(bytes.p + k, bytes.n - (size_t)k);
        loop_turn(loop, 0);
        while (recv(fd[1], drop, sizeof drop, MSG_DONTWAIT) > 0) {
        }
    }
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    *closed = x.closed;
    if (!x.closed) conn_free(x.c);
    close(fd[1]);
    loop_close(loop);
    *seen = x.seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rng r;
    struct buf whole, pieces;
    bool closed, closed_too;
    if (n == 0) return 0;
    rng_seed(&r, str_make(data, 1));
    struct str bytes = str_make(data + 1, n - 1);
    run(bytes, NULL, &whole, &closed);
    run(bytes, &r, &pieces, &closed_too);
    FUZZ_CHECK(closed == closed_too);
    FUZZ_SAME(buf_str(&whole), buf_str(&pieces));
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
