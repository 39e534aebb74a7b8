/* Frames on a socket: any split of the bytes gives the same frames; what breaks the protocol ends
 * the connection. */
#include "check.h"
#include "host/host_internal.h"
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct conn *c;
static int peer, frames, closed, last_n;

static void on_frame(void *ud, cJSON *f)
{
    (void)ud;
    frames++;
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(f, "n");
    last_n = cJSON_IsNumber(n) ? n->valueint : -1;
}

static void on_closed(void *ud)
{
    (void)ud;
    closed++;
    c = NULL;
}

static void begin(const char *name)
{
    int fd[2];
    struct err e;
    CASE(name);
    frames = closed = 0;
    CHECK_INT(loop_open(&clock_system, &loop, &e), 0);
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    peer = fd[1];
    CHECK_INT(conn_new(loop, fd[0], on_frame, on_closed, NULL, &c), 0);
}

static void end(void)
{
    if (c) conn_free(c);
    close(peer);
    loop_close(loop);
}

static void turns(int n)
{
    while (n--)
        loop_turn(loop, 0);
}

static size_t frame(char *out, const char *json)
{
    size_t n = strlen(json);
    out[0] = out[1] = 0;
    out[2] = (char)(n >> 8);
    out[3] = (char)n;
    memcpy(out + 4, json, n);
    return n + 4;
}

static void splits(void)
{
    char bytes[200];
    size_t n = frame(bytes, "{\"v\":1,\"n\":1}");
    n += frame(bytes + n, "{\"v\":1,\"n\":2}");
    for (size_t at = 1; at < n; at++) {
        begin("two frames, cut at every byte");
        CHECK_INT(write(peer, bytes, at), (long)at);
        turns(3);
        CHECK_INT(write(peer, bytes + at, n - at), (long)(n - at));
        turns(3);
        CHECK_INT(frames, 2);
        CHECK_INT(last_n, 2);
        CHECK_INT(closed, 0);
        end();
    }
}

static void broken(void)
{
    static const char *const bad[] = {"{\"v\":2}", "{\"n\":1}", "not json", "[1]"};
    char bytes[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin("another version, or no JSON, ends the connection");
        size_t n = frame(bytes, bad[i]);
        CHECK_INT(write(peer, bytes, n), (long)n);
        turns(3);
        CHECK_INT(frames, 0);
        CHECK_INT(closed, 1);
        end();
    }
    begin("a length past 16 MiB ends the connection before anything is kept");
    CHECK_INT(write(peer, "\x01\x00\x00\x01", 4), 4);
    turns(3);
    CHECK_INT(closed, 1);
    end();
    begin("a peer that leaves ends it once");
    close(peer);
    peer = dup(2);
    turns(3);
    CHECK_INT(closed, 1);
    end();
}

static void sending(void)
{
    begin("a large frame waits for a slow reader and arrives whole; one past the limit is refused");
    size_t n = 3u << 20, got = 0;
    char *text = malloc(n + 1);
    memset(text, 'x', n);
    text[n] = 0;
    cJSON *f = cJSON_CreateObject();
    cJSON_AddStringToObject(f, "t", text);
    CHECK_INT(conn_send(c, f), 0);
    while (got < n + 4) {
        char chunk[65536];
        ssize_t k = recv(peer, chunk, sizeof chunk, MSG_DONTWAIT);
        if (k > 0) got += (size_t)k;
        turns(1);
        if (got > n) break;
    }
    CHECK(got > n);
    free(text);
    n = (size_t)17 << 20;
    text = malloc(n + 1);
    memset(text, 'x', n);
    text[n] = 0;
    f = cJSON_CreateObject();
    cJSON_AddStringToObject(f, "t", text);
    CHECK_INT(conn_send(c, f), ERR_LIMIT);
    free(text);
    end();
}

int main(void)
{
    splits();
    broken();
    sending();
    return CHECK_DONE();
}
