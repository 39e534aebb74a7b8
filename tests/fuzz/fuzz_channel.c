/* What a Temporal server, or what stands in its place, sends on a connection. Keeps true: whatever
 * comes, in whatever pieces, each call is answered exactly once, never inside the call that started
 * it and never after it was cancelled; a reply is well-formed. The first byte chooses: the frame
 * around a message in pieces, or frames of HTTP/2, made as `one` says so that the search need not
 * find their lengths. The sockets are this file's own, in place of channel_sock.c. */
#include "base/mem.h"
#include "fuzz.h"
#include "temporal/channel_internal.h"

#define CALLS 8
#define SOCKS 32
#define OPS_MAX 200

/* Time stands still but where `end_all` moves it. */
static int64_t now_ns;
static int64_t now(void *ud)
{
    (void)ud;
    return now_ns;
}
static const struct clock still = {now, now, NULL};

/* ---- sockets ---- */
struct sock {
    const struct sock_events *ev;
    void *ud;
    struct buf out;
    bool open, writing;
};
static struct sock *socks[SOCKS]; /* by time of opening; NULL: closed */
static size_t n_socks;
static bool slow; /* writes take until the input says so */

int sock_open(struct loop *l, const char *host, int port, const struct sock_events *ev, void *ud,
              struct sock **out, struct err *e)
{
    (void)l;
    FUZZ_CHECK(host[0] && port > 0);
    if (n_socks == SOCKS) return err_set(e, ERR_NOMEM, "enough");
    struct sock *s = mem_zalloc(sizeof *s);
    FUZZ_CHECK(s);
    s->ev = ev;
    s->ud = ud;
    buf_init(&s->out, SOCK_OUT_MAX);
    socks[n_socks++] = *out = s;
    return 0;
}
void sock_close(struct sock *s)
{
    if (!s) return;
    for (size_t i = 0; i < n_socks; i++)
        if (socks[i] == s) socks[i] = NULL;
    buf_free(&s->out);
    mem_free(s);
}
struct buf *sock_out(struct sock *s)
{
    FUZZ_CHECK(!s->writing);
    return &s->out;
}
bool sock_writing(const struct sock *s)
{
    return s->writing;
}
void sock_send(struct sock *s)
{
    FUZZ_CHECK(!s->writing && s->open);
    s->writing = slow && s->out.n > 0;
    buf_reset(&s->out);
}
const char *sock_doing(const struct sock *s)
{
    (void)s;
    return "connecting";
}

/* ---- calls ---- */
struct asked {
    uint64_t id;
    bool answered, cancelled;
};
static struct asked asked[CALLS];
static size_t n_asked;
static bool calling;
static struct fuzz_in in;
static struct channel *channel;

static void call(void);

static void on_reply(void *ud, const struct channel_reply *r)
{
    struct asked *a = ud;
    FUZZ_CHECK(!calling && !a->answered && !a->cancelled);
    a->answered = true;
    FUZZ_CHECK(r->message.p && r->body.p);
    FUZZ_CHECK(r->code == 0 || r->body.n == 0);
    FUZZ_CHECK(r->transport ? r->code != 0 && r->message.n > 0 && !r->details.n
                            : !r->hopeless && !r->unsent);
    if (fuzz_byte(&in) % 8 == 1) call();
}

static void call(void)
{
    struct err e = {0};
    struct channel_call_options o = {.lane = fuzz_byte(&in) % 4 == 3 ? CHANNEL_POLL : CHANNEL_CALL};
    if (n_asked == CALLS) return;
    struct asked *a = &asked[n_asked++];
    *a = (struct asked){0};
    calling = true;
    FUZZ_CHECK(channel_call(channel, "/service/Method", STR("question"), &o, on_reply, a, &a->id,
                            &e) == 0);
    calling = false;
}

static void cancel(struct asked *a)
{
    if (a->answered || a->cancelled) return;
    a->cancelled = true;
    channel_cancel(channel, a->id);
}

/* ---- what comes ---- */
static struct sock *newest(void)
{
    for (size_t i = n_socks; i > 0; i--)
        if (socks[i - 1]) return socks[i - 1];
    return NULL;
}

static void down(struct sock *s)
{
    struct err e;
    err_set(&e, ERR_IO, "the server closed the connection");
    s->ev->on_down(s->ud, &e);
}

static void give(struct buf *b)
{
    struct sock *s = newest();
    if (s && !s->open) {
        s->open = true;
        s->ev->on_open(s->ud);
        s = newest();
    }
    if (s && s->open && b->n) s->ev->on_data(s->ud, b->p, b->n);
    buf_reset(b);
}

static void frame(struct buf *b, unsigned type, unsigned flags, unsigned stream, struct str p)
{
    const unsigned char head[9] = {(unsigned char)(p.n >> 16),
                                   (unsigned char)(p.n >> 8),
                                   (unsigned char)p.n,
                                   (unsigned char)type,
                                   (unsigned char)flags,
                                   0,
                                   0,
                                   0,
                                   (unsigned char)stream};
    FUZZ_CHECK(buf_put(b, head, sizeof head) == 0 && buf_putstr(b, p) == 0);
}

static struct str some(void)
{
    size_t n = fuzz_byte(&in);
    if (n > in.n) n = in.n;
    struct str s = str_make(n ? (const char *)in.p : "", n);
    in.p += n;
    in.n -= n;
    return s;
}

static void trailers(struct buf *b, unsigned stream, unsigned status)
{
    char p[] = "\x40\x0bgrpc-status\x01.";
    p[sizeof p - 2] = (char)('0' + status % 10);
    frame(b, 1, 5, stream, str_make(p, sizeof p - 1));
}

/* One thing that happens. Below 128 it is sent at once, else with the next. */
static void one(struct buf *b)
{
    unsigned op = fuzz_byte(&in), kind = op % 16, flags, stream;
    struct sock *s = newest();
    if (kind < 10) { /* a frame of the type */
        flags = fuzz_byte(&in);
        stream = fuzz_byte(&in) % 16;
        frame(b, kind, flags, stream, some());
    } else if (kind == 10) {
        FUZZ_CHECK(buf_putstr(b, some()) == 0);
    } else if (kind == 11) {
        frame(b, 1, 4, fuzz_byte(&in) % 16,
              STR("\x88\x5f\x10"
                  "application/grpc"));
    } else if (kind == 12) {
        stream = fuzz_byte(&in) % 16;
        trailers(b, stream, fuzz_byte(&in));
    } else if (kind == 13) {
        if (n_asked) cancel(&asked[fuzz_byte(&in) % n_asked]);
    } else if (kind == 14) {
        if (s && s->writing) {
            s->writing = false;
            s->ev->on_written(s->ud);
        }
    } else if (fuzz_byte(&in) % 2) {
        call();
    } else if (s) {
        buf_reset(b);
        down(s);
    }
    if (op < 128) give(b);
}

static void end_all(struct loop *loop)
{
    for (int i = 0; i < 100; i++) {
        struct sock *s = newest();
        if (s) down(s);
        now_ns += CHANNEL_BACKOFF_MAX_NS * 2;
        channel_turn(channel);
        loop_turn(loop, 0);
    }
    for (size_t i = 0; i < n_asked; i++)
        FUZZ_CHECK(asked[i].answered || asked[i].cancelled);
}

static void http2(unsigned how)
{
    struct channel_options o = {.address = STR("server:1"), .reply_max = 1000};
    struct loop *loop = NULL;
    struct err e = {0};
    struct buf b;
    buf_init(&b, 1 << 24);
    slow = how & 2;
    if (how & 4) o.proxy = STR("proxy:2");
    n_socks = n_asked = 0;
    now_ns = NS_PER_S;
    FUZZ_CHECK(loop_open(&still, &loop, &e) == 0);
    FUZZ_CHECK(channel_open(loop, &o, &channel, &e) == 0);
    call();
    call();
    loop_turn(loop, 0);
    if (how & 8) { /* as far as a good server gets */
        frame(&b, 4, 0, 0, STR(""));
        give(&b);
    }
    for (int i = 0; in.n && i < OPS_MAX; i++) {
        one(&b);
        loop_turn(loop, 0);
    }
    give(&b);
    bool all = how & 16;
    if (all) end_all(loop);
    channel_close(channel);
    for (size_t i = 0; i < n_asked; i++)
        asked[i].cancelled = true; /* no answer any more */
    loop_close(loop);
    for (size_t i = 0; i < n_socks; i++)
        FUZZ_CHECK(!socks[i]);
    buf_free(&b);
}

/* ---- the frame around a message ---- */
static int read_in(struct grpc_reader *r, struct str s, size_t piece)
{
    struct err e = {0};
    int rc = 0;
    grpc_reader_init(r, 4000);
    for (size_t i = 0; i < s.n && rc == 0; i += piece)
        rc = grpc_reader_feed(r, s.p + i, piece < s.n - i ? piece : s.n - i, &e);
    FUZZ_CHECK(rc == 0 || (rc == e.code && e.text[0]));
    return rc;
}

static void message(struct str s)
{
    struct grpc_reader whole, p;
    int rc = read_in(&whole, s, s.n + 1);
    for (size_t piece = 1; piece < 8; piece++) {
        FUZZ_CHECK(read_in(&p, s, piece) == rc);
        if (rc == 0) {
            FUZZ_CHECK(grpc_reader_complete(&whole) == grpc_reader_complete(&p));
            FUZZ_SAME(buf_str(&whole.body), buf_str(&p.body));
        }
        grpc_reader_free(&p);
    }
    grpc_reader_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    in = (struct fuzz_in){data, n};
    unsigned how = fuzz_byte(&in);
    if (how % 2)
        http2(how);
    else
        message(fuzz_rest(&in));
    return 0;
}
