/* AES-256-GCM with named keys (codec.h): the form of the official SDKs' encryption samples, so that
 * their workers and a codec server read what we write, and the other way round. */
#include "base/mem.h"
#include "history/event.h"
#include "temporal/codec.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_ID "encryption-key-id"
#define KEYS_MAX 1000
#define TEXT_MAX ((size_t)1 << 20)
#define PAYLOAD_MAX ((size_t)64 << 20)
enum { KEY_BYTES = 32, NONCE = 12, TAG = 16, ID_MAX = 200 };

struct key {
    char id[ID_MAX + 1];
    unsigned char bytes[KEY_BYTES];
};
struct codec_keys {
    const struct entropy *entropy;
    EVP_CIPHER_CTX *ctx;
    size_t n;
    struct key keys[];
};

/* ---- reading them ---- */
static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct str word(struct str *line)
{
    while (line->n && blank(*line->p))
        line->p++, line->n--;
    struct str w = {line->p, 0};
    while (line->n && !blank(*line->p))
        line->p++, line->n--, w.n++;
    return w;
}

static struct str next_line(struct str *text)
{
    const char *nl = memchr(text->p, '\n', text->n);
    struct str line = {text->p, nl ? (size_t)(nl - text->p) : text->n};
    size_t skip = line.n + (nl ? 1 : 0);
    text->p += skip;
    text->n -= skip;
    return line;
}

static int read_key(struct key *k, struct str id, struct str base64, int line, struct err *e)
{
    struct buf b;
    buf_init(&b, 4 * KEY_BYTES);
    int rc = base64_decode(base64, &b);
    if (rc || b.n != KEY_BYTES)
        rc = err_set(e, ERR_ARG,
                     "codec keys, line %d: the key must be 32 bytes in base64 (as `openssl rand "
                     "-base64 32` makes it)",
                     line);
    else if (id.n > ID_MAX || str_utf8_valid(id) != id.n || memchr(id.p, 0, id.n))
        rc = err_set(e, ERR_ARG, "codec keys, line %d: a key id has at most %d bytes of text", line,
                     ID_MAX);
    if (!rc) {
        memcpy(k->id, id.p, id.n);
        memcpy(k->bytes, b.p, KEY_BYTES);
    }
    codec_wipe(&b);
    return rc;
}

static const struct key *find(const struct codec_keys *k, struct str id)
{
    for (size_t i = 0; i < k->n; i++)
        if (str_eqz(id, k->keys[i].id)) return &k->keys[i];
    return NULL;
}

static int read_lines(struct codec_keys *k, struct str text, size_t most, struct err *e)
{
    for (int number = 1; text.n; number++) {
        struct str line = next_line(&text);
        struct str id = word(&line), key = word(&line), more = word(&line);
        if (!id.n || *id.p == '#') continue;
        if (!key.n || (more.n && *more.p != '#'))
            return err_set(e, ERR_ARG,
                           "codec keys, line %d: a line holds an id and a key in base64", number);
        if (find(k, id))
            return err_set(e, ERR_ARG, "codec keys, line %d: this id was there already", number);
        if (k->n == most) return err_set(e, ERR_LIMIT, "more than %d codec keys", KEYS_MAX);
        int rc = read_key(&k->keys[k->n], id, key, number, e);
        if (rc) return rc;
        k->n++;
    }
    return k->n ? 0 : err_set(e, ERR_ARG, "there is no key among the codec keys");
}

int codec_keys_open(struct str text, const struct entropy *entropy, struct codec_keys **out,
                    struct err *e)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    if (lines > KEYS_MAX) lines = KEYS_MAX;
    struct codec_keys *k = mem_zalloc(sizeof *k + lines * sizeof *k->keys);
    if (!k) return err_set(e, ERR_NOMEM, "out of memory for the codec's keys");
    k->entropy = entropy ? entropy : &entropy_system;
    k->ctx = EVP_CIPHER_CTX_new();
    int rc = k->ctx ? read_lines(k, text, lines, e)
                    : err_set(e, ERR_NOMEM, "out of memory for the codec's keys");
    if (rc)
        codec_keys_close(k);
    else
        *out = k;
    return rc;
}

void codec_keys_close(struct codec_keys *k)
{
    if (!k) return;
    EVP_CIPHER_CTX_free(k->ctx);
    OPENSSL_cleanse(k->keys, k->n * sizeof *k->keys);
    mem_free(k);
}

void codec_wipe(struct buf *b)
{
    if (b->p) OPENSSL_cleanse(b->p, b->n);
    buf_free(b);
}

static int read_all(int fd, struct buf *text)
{
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0) buf_put(text, part, (size_t)n);
    OPENSSL_cleanse(part, sizeof part);
    return n < 0 ? ERR_IO : text->code;
}

int codec_keys_read(const char *path, struct buf *text, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    if (fd < 0) return err_set(e, ERR_IO, "codec keys %s: %s", path, strerror(errno));
    if (fstat(fd, &st))
        rc = err_set(e, ERR_IO, "codec keys %s: %s", path, strerror(errno));
    else if (S_ISREG(st.st_mode) && st.st_mode & 077)
        rc = err_set(e, ERR_ARG,
                     "codec keys %s: others may read or change the file (mode %03o): chmod 600 it",
                     path, (unsigned)st.st_mode & 0777);
    buf_init(text, TEXT_MAX);
    if (!rc) rc = read_all(fd, text);
    if (rc && !e->code)
        err_set(e, rc, "codec keys %s: %s", path, rc == ERR_IO ? strerror(errno) : err_name(rc));
    if (rc) codec_wipe(text);
    close(fd);
    return rc;
}

/* ---- one payload ---- */
/* Nonce, ciphertext and tag of `in`, in `to`, which has room for them. */
static bool seal(struct codec_keys *k, struct str in, unsigned char *to)
{
    int n = 0, end = 0;
    unsigned char *text = to + NONCE;
    return EVP_EncryptInit_ex(k->ctx, EVP_aes_256_gcm(), NULL, k->keys[0].bytes, to) == 1 &&
           EVP_EncryptUpdate(k->ctx, text, &n, (const unsigned char *)in.p, (int)in.n) == 1 &&
           EVP_EncryptFinal_ex(k->ctx, text + n, &end) == 1 && (size_t)(n + end) == in.n &&
           EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_GCM_GET_TAG, TAG, text + in.n) == 1;
}

static bool unseal(struct codec_keys *k, const struct key *key, struct str in, unsigned char *to)
{
    int n = 0, end = 0;
    const unsigned char *p = (const unsigned char *)in.p;
    size_t length = in.n - NONCE - TAG;
    unsigned char tag[TAG];
    memcpy(tag, p + NONCE + length, TAG);
    return EVP_DecryptInit_ex(k->ctx, EVP_aes_256_gcm(), NULL, key->bytes, p) == 1 &&
           EVP_DecryptUpdate(k->ctx, to, &n, p + NONCE, (int)length) == 1 &&
           EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
           EVP_DecryptFinal_ex(k->ctx, to + n, &end) == 1;
}

static int encode(void *ud, struct str in, struct buf *out, struct err *e)
{
    struct codec_keys *k = ud;
    if (in.n > PAYLOAD_MAX) return err_set(e, ERR_LIMIT, "a payload is too large to be encrypted");
    unsigned char *sealed = mem_alloc(NONCE + in.n + TAG);
    if (!sealed) return err_set(e, ERR_NOMEM, "out of memory for a payload");
    struct arena a;
    arena_init(&a, 0);
    int rc = entropy_fill(k->entropy, sealed, NONCE)
                 ? err_set(e, ERR_IO, "the system gives no random bytes for a payload")
                 : 0;
    if (!rc && !seal(k, in, sealed)) rc = err_set(e, ERR_FAILED, "a payload was not encrypted");
    struct rec *p =
        rc ? NULL : payload_new(&a, CODEC_ENCRYPTED, str_make(sealed, NONCE + in.n + TAG));
    if (!rc) {
        rec_map_set_str(p, T(payload, metadata), STR(KEY_ID), str_of(k->keys[0].id));
        rc = arena_failed(&a) ? ERR_NOMEM : rec_encode(p, out);
        if (rc) err_set(e, rc, "out of memory for a payload");
    }
    arena_free(&a);
    mem_free(sealed);
    return rc;
}

static int unknown_key(const struct codec_keys *k, struct str id, struct err *e)
{
    return err_set(e, ERR_NOTFOUND,
                   "a payload is encrypted with the key \"" STR_FMT "\", %s: add it (--codec-keys)",
                   STR_ARG(id),
                   k ? "which is not among the codec keys here"
                     : "and there are no codec keys here");
}

static int open_sealed(struct codec_keys *k, struct str id, struct str data, struct buf *out,
                       struct err *e)
{
    const struct key *key = k ? find(k, id) : NULL;
    if (!key) return unknown_key(k, id, e);
    if (data.n < NONCE + TAG || data.n > PAYLOAD_MAX)
        return err_set(e, ERR_PROTO, "a payload of the key \"%s\" is cut off", key->id);
    unsigned char *plain = mem_alloc(data.n);
    if (!plain) return err_set(e, ERR_NOMEM, "out of memory for a payload");
    size_t n = data.n - NONCE - TAG;
    int rc = unseal(k, key, data, plain)
                 ? buf_put(out, plain, n)
                 : err_set(e, ERR_PROTO,
                           "a payload does not fit its key \"%s\": another key bears that id "
                           "here, or the payload was changed",
                           key->id);
    OPENSSL_cleanse(plain, n);
    mem_free(plain);
    return rc;
}

static int decode(void *ud, struct str in, struct buf *out, struct err *e)
{
    struct arena a;
    struct rec *p;
    arena_init(&a, 0);
    int rc = rec_decode(&a, &rec_type_payload, in, &p, e);
    if (!rc && !str_eqz(payload_encoding(p), CODEC_ENCRYPTED))
        rc = buf_putstr(out, in);
    else if (!rc)
        rc = open_sealed(ud, rec_map_get_str(p, T(payload, metadata), STR(KEY_ID)), payload_data(p),
                         out, e);
    arena_free(&a);
    return rc;
}

const struct codec codec_no_keys = {.decode = decode};

struct codec codec_keys_codec(struct codec_keys *k)
{
    return (struct codec){encode, decode, k, false};
}
