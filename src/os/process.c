/* One child process: spawn, pipes, time-out, end. Keeps true: the child leads its own group, so a
 * kill reaches what it started; the exit is told once, after both outputs have ended or have been
 * given up; memory is freed only when every handle has closed. */
#include "os/process.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

extern char **environ;

#define KILL_GRACE (2 * NS_PER_S)
#define PIPE_GRACE                                                                                 \
    NS_PER_S /* a grandchild may keep the pipes open; what is in them is read, then they are       \
                closed */
#define READ_CHUNK 65536

struct process {
    struct loop *loop;
    uv_process_t handle;
    uv_pipe_t out, err;
    int in; /* our end of its stdin: a socket, as a pipe would end this process by SIGPIPE; -1 */
    struct loop_io *in_io;
    bool out_open, err_open, paused, exited, told, closed, killing, piped;
    int handles; /* open uv handles */
    struct loop_timer *timer, *grace;
    struct arena arena;
    struct str input; /* what it has not got yet */
    struct buf more;  /* where that is, after process_write */
    bool hold_input;
    size_t left[2];
    struct process_result result;
    process_output_fn output;
    process_exit_fn exit_fn;
    void *ud;
    char chunk[READ_CHUNK];
};

static void maybe_free(struct process *p)
{
    if (!p->closed || p->handles > 0) return;
    arena_free(&p->arena);
    buf_free(&p->more);
    mem_free(p);
}

static void on_closed(uv_handle_t *h)
{
    struct process *p = h->data;
    p->handles--;
    maybe_free(p);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h)) uv_close(h, on_closed);
}

static void tell_exit(struct process *p)
{
    if (p->told || p->closed || !p->exited || p->out_open || p->err_open) return;
    p->told = true;
    loop_timer_stop(p->timer);
    loop_timer_stop(p->grace);
    p->exit_fn(p->ud, &p->result);
}

void process_kill(struct process *p, int sig)
{
    if (p->piped && p->handle.pid > 0) kill(-p->handle.pid, sig);
}

static void kill_for(struct process *p, int code, const char *text)
{
    if (p->result.err.code == 0) err_set(&p->result.err, code, "%s", text);
    if (p->killing) return;
    p->killing = true;
    process_kill(p, code == ERR_TIMEOUT ? SIGTERM : SIGKILL);
    loop_timer_start(p->timer, KILL_GRACE);
}

static void on_timeout(void *ud)
{
    struct process *p = ud;
    if (p->killing) {
        process_kill(p, SIGKILL);
    } else {
        kill_for(p, ERR_TIMEOUT, "the program ran longer than its timeout and was killed");
    }
}

static void end_stream(struct process *p, uv_pipe_t *pipe)
{
    bool *open = pipe == &p->out ? &p->out_open : &p->err_open;
    if (!*open) return;
    *open = false;
    close_handle((uv_handle_t *)pipe);
    tell_exit(p);
}

static void on_grace(void *ud)
{
    struct process *p = ud;
    if (p->paused) { /* its reader is slow, the data are still wanted */
        loop_timer_start(p->grace, PIPE_GRACE);
        return;
    }
    end_stream(p, &p->out);
    if (!p->closed) end_stream(p, &p->err);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct process *p = h->data;
    (void)hint;
    *buf = uv_buf_init(p->chunk, READ_CHUNK);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = s->data;
    if (n == 0) return;
    if (n < 0) {
        end_stream(p, (uv_pipe_t *)s);
        return;
    }
    int which = (uv_pipe_t *)s == &p->out ? 0 : 1;
    size_t take = (size_t)n > p->left[which] ? p->left[which] : (size_t)n;
    p->left[which] -= take;
    if (take < (size_t)n)
        kill_for(p, ERR_LIMIT,
                 "the program wrote more than its limit (option max_bytes) and was killed");
    if (p->exited) loop_timer_start(p->grace, PIPE_GRACE);
    if (take && p->output) p->output(p->ud, which + 1, str_make(buf->base, take));
}

static void on_exit_(uv_process_t *h, int64_t status, int sig)
{
    struct process *p = h->data;
    p->exited = true;
    p->piped = false; /* the group may be gone and its number used again */
    p->result.exit_code = sig ? -1 : (int)status;
    p->result.signal = sig;
    close_handle((uv_handle_t *)h);
    if (p->killing) kill(-h->pid, SIGKILL); /* what it left behind in its group */
    if (p->closed) return;
    if (p->out_open || p->err_open) loop_timer_start(p->grace, PIPE_GRACE);
    tell_exit(p);
}

static void close_input(struct process *p)
{
    if (p->in_io) loop_io_close(p->in_io);
    if (p->in >= 0) close(p->in);
    p->in_io = NULL;
    p->in = -1;
}

/* A program may close its stdin early. */
static void on_input(void *ud, int events, int error)
{
    struct process *p = ud;
    (void)events;
    while (!error && p->input.n) {
        ssize_t n = send(p->in, p->input.p, p->input.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (n < 0) {
            error = errno;
            break;
        }
        p->input = str_make(p->input.p + n, p->input.n - (size_t)n);
    }
    if (p->hold_input && !error)
        loop_io_want(p->in_io, 0);
    else
        close_input(p);
}

int process_write(struct process *p, struct str text)
{
    struct buf all;
    if (p->in < 0 || p->closed) return ERR_CLOSED;
    buf_init(&all, 64u << 20);
    buf_putstr(&all, p->input);
    buf_putstr(&all, text);
    if (all.code) {
        int code = all.code;
        buf_free(&all);
        return code;
    }
    buf_free(&p->more);
    p->more = all;
    p->input = buf_str(&p->more);
    loop_io_want(p->in_io, LOOP_WRITE);
    return 0;
}

/* The end that the program gets, open here until it has started; -1: none, -2: no descriptor. */
static int open_input(struct process *p, const struct process_options *o)
{
    int fd[2];
    if (!o->input.p && !o->hold_input) return -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0) return -2;
    p->in = fd[0];
    return fd[1];
}

/* The environment as an array in the arena; NULL when out of memory. */
static char **build_env(struct arena *a, const struct process_options *o)
{
    size_t n = 0, inherited = 0;
    while (!o->env_clear && environ[inherited])
        inherited++;
    char **env = arena_alloc(a, (inherited + o->n_env + 1) * sizeof *env);
    if (!env) return NULL;
    for (size_t i = 0; i < inherited; i++) {
        const char *eq = strchr(environ[i], '=');
        size_t len = eq ? (size_t)(eq - environ[i]) + 1 : strlen(environ[i]);
        bool replaced = false;
        for (size_t k = 0; k < o->n_env && !replaced; k++)
            replaced = o->env[k].n >= len && memcmp(o->env[k].p, environ[i], len) == 0;
        if (!replaced) env[n++] = environ[i];
    }
    for (size_t k = 0; k < o->n_env; k++) {
        struct str s = arena_str(a, o->env[k]);
        if (!s.p) return NULL;
        memcpy(&env[n++], &s.p, sizeof s.p);
    }
    return env;
}

static int check(const struct process_options *o, struct err *e)
{
    if (o->n_args == 0 || o->args[0].n == 0) return err_set(e, ERR_ARG, "no program was named");
    if (o->n_args > PROCESS_ARGS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d arguments", PROCESS_ARGS_MAX);
    for (size_t i = 0; i < o->n_args; i++)
        if (o->args[i].n && memchr(o->args[i].p, 0, o->args[i].n))
            return err_set(e, ERR_ARG, "argument %zu has a NUL byte", i);
    for (size_t i = 0; i < o->n_env; i++)
        if (memchr(o->env[i].p, 0, o->env[i].n) || !memchr(o->env[i].p, '=', o->env[i].n))
            return err_set(e, ERR_ARG, "environment entry %zu is not NAME=value", i + 1);
    return 0;
}

static int pipe_open(struct process *p, uv_pipe_t *pipe)
{
    int rc = uv_pipe_init(loop_uv(p->loop), pipe, 0);
    if (rc < 0) return rc;
    pipe->data = p;
    p->handles++;
    return 0;
}

static int spawn(struct process *p, const struct process_options *o, struct err *e)
{
    uv_process_options_t u;
    uv_stdio_container_t io[3];
    memset(&u, 0, sizeof u);
    char **args = arena_alloc(&p->arena, (o->n_args + 1) * sizeof *args);
    u.env = build_env(&p->arena, o);
    u.cwd = o->cwd.n ? arena_str(&p->arena, o->cwd).p : NULL;
    for (size_t i = 0; args && i < o->n_args; i++) {
        struct str s = o->args[i].n ? arena_str(&p->arena, o->args[i]) : STR("");
        memcpy(&args[i], &s.p, sizeof s.p);
    }
    if (o->input.n) p->input = arena_str(&p->arena, o->input);
    if (arena_failed(&p->arena)) return err_set(e, ERR_NOMEM, "no memory for a program");
    if (pipe_open(p, &p->out) < 0) return err_set(e, ERR_IO, "no pipe");
    p->out_open = true;
    if (pipe_open(p, &p->err) < 0) return err_set(e, ERR_IO, "no pipe");
    p->err_open = true;
    int in = open_input(p, o);
    if (in == -2) return err_set(e, ERR_IO, "no pipe: %s", strerror(errno));
    io[0].flags = in >= 0 ? UV_INHERIT_FD : UV_IGNORE;
    io[0].data.fd = in;
    io[1].flags = io[2].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    io[1].data.stream = (uv_stream_t *)&p->out;
    io[2].data.stream = (uv_stream_t *)&p->err;
    u.file = args[0];
    u.args = args;
    u.exit_cb = on_exit_;
    u.stdio = io;
    u.stdio_count = 3;
    u.flags = UV_PROCESS_DETACHED; /* its own session, so its own group */
    p->handle.data = p;
    int rc = uv_spawn(loop_uv(p->loop), &p->handle, &u);
    p->handles++;
    if (in >= 0) close(in);
    if (rc == 0) {
        p->piped = true;
        return 0;
    }
    uv_close((uv_handle_t *)&p->handle, on_closed);
    if (rc == UV_ENOENT && u.cwd)
        return err_set(e, ERR_NOTFOUND, "no program '%s', or no folder '%s'", args[0], u.cwd);
    if (rc == UV_ENOENT)
        return err_set(e, ERR_NOTFOUND, "no program '%s' (is it installed and in PATH?)", args[0]);
    return err_set(e, rc == UV_ENOMEM ? ERR_NOMEM : ERR_IO, "'%s' could not be started: %s",
                   args[0], uv_strerror(rc));
}

int process_start(struct loop *l, const struct process_options *o, process_output_fn output,
                  process_exit_fn exit_fn, void *ud, struct process **out, struct err *e)
{
    int code = check(o, e);
    if (code < 0) return code;
    struct process *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "no memory for a program");
    p->loop = l;
    p->in = -1;
    p->hold_input = o->hold_input;
    buf_init(&p->more, 64u << 20);
    p->output = output;
    p->exit_fn = exit_fn;
    p->ud = ud;
    p->left[0] = p->left[1] = o->max_bytes ? o->max_bytes : PROCESS_OUTPUT_MAX;
    arena_init(&p->arena, o->input.n + (16u << 20));
    if (loop_timer_open(l, on_timeout, p, &p->timer) < 0 ||
        loop_timer_open(l, on_grace, p, &p->grace) < 0) {
        code = err_set(e, ERR_NOMEM, "no memory for a program");
    } else {
        code = spawn(p, o, e);
        if (code == 0 && p->in >= 0 && loop_io_open(l, p->in, on_input, p, &p->in_io) < 0)
            code = err_set(e, ERR_NOMEM, "no memory for a program's input");
    }
    if (code < 0) {
        process_close(p);
        return code;
    }
    uv_read_start((uv_stream_t *)&p->out, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&p->err, on_alloc, on_read);
    if (p->in_io) loop_io_want(p->in_io, LOOP_WRITE);
    if (o->timeout_ns > 0) loop_timer_start(p->timer, o->timeout_ns);
    *out = p;
    return 0;
}

void process_pause(struct process *p, bool on)
{
    if (p->paused == on || p->closed) return;
    p->paused = on;
    uv_pipe_t *pipes[2] = {p->out_open ? &p->out : NULL, p->err_open ? &p->err : NULL};
    for (int i = 0; i < 2; i++) {
        if (!pipes[i]) continue;
        if (on) {
            uv_read_stop((uv_stream_t *)pipes[i]);
        } else {
            uv_read_start((uv_stream_t *)pipes[i], on_alloc, on_read);
        }
    }
}

void process_close(struct process *p)
{
    if (!p || p->closed) return;
    p->closed = true;
    p->handles++;             /* keep it while closing */
    process_kill(p, SIGKILL); /* its handle closes when it has ended, so that it is reaped */
    close_input(p);
    if (p->out_open) close_handle((uv_handle_t *)&p->out);
    if (p->err_open) close_handle((uv_handle_t *)&p->err);
    if (p->timer) loop_timer_close(p->timer);
    if (p->grace) loop_timer_close(p->grace);
    p->handles--;
    maybe_free(p);
}

int process_id(const struct process *p)
{
    return p->handle.pid;
}
