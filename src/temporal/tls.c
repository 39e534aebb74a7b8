/* See tls.h. */
#include "temporal/tls.h"
#include "base/mem.h"
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct tls {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    bool has_cert, ready;
    char name[256];
};

#define HINT_CA "give the certificate that signed it: --tls-ca or TEMPORAL_TLS_SERVER_CA_CERT_PATH"
#define HINT_NAME "give the name to expect: --tls-server-name or TEMPORAL_TLS_SERVER_NAME"
#define HINT_CERT                                                                                  \
    "--tls-cert and --tls-key, or TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"

/* ---- certificates ---- */

static int read_file(struct str path, struct buf *out, const char *what, struct err *e)
{
    char name[4096];
    if (path.n >= sizeof name) return err_set(e, ERR_ARG, "the path of the %s is too long", what);
    memcpy(name, path.p, path.n);
    name[path.n] = '\0';
    FILE *f = fopen(name, "rbe");
    if (!f) return err_set(e, ERR_IO, "the %s cannot be read: %s: %s", what, name, strerror(errno));
    char piece[8192];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0 && !out->code)
        buf_put(out, piece, n);
    int bad = ferror(f) ? errno : 0;
    fclose(f);
    OPENSSL_cleanse(piece, sizeof piece);
    if (bad) return err_set(e, ERR_IO, "the %s cannot be read: %s: %s", what, name, strerror(bad));
    if (out->code == ERR_LIMIT)
        return err_set(e, ERR_ARG, "the %s %s is larger than 4 MiB", what, name);
    return out->code ? err_set(e, ERR_NOMEM, "out of memory for the %s", what) : 0;
}

/* The text of a pair as a BIO; *out stays NULL when neither is set. `held` keeps a file's content
 * for as long as the BIO lives. */
static int open_pem(struct str file, struct str data, const char *what, struct buf *held, BIO **out,
                    struct err *e)
{
    *out = NULL;
    if (!data.n && !file.n) return 0;
    if (!data.n) {
        int rc = read_file(file, held, what, e);
        if (rc) return rc;
        data = buf_str(held);
    }
    if (data.n > TLS_PEM_MAX) return err_set(e, ERR_ARG, "the %s is larger than 4 MiB", what);
    *out = BIO_new_mem_buf(data.n ? data.p : "", (int)data.n);
    return *out ? 0 : err_set(e, ERR_NOMEM, "out of memory for the %s", what);
}

static int bad_pem(const char *what, struct str file, const char *want, struct err *e)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return err_set(e, ERR_ARG,
                   "the %s"
                   "%s" STR_FMT " cannot be used: it must be %s%s%s%s",
                   what, file.n ? " " : "", STR_ARG(file), want, reason ? " (" : "",
                   reason ? reason : "", reason ? ")" : "");
}

static int load_ca(struct tls *t, const struct tls_options *o, struct buf *held, struct err *e)
{
    BIO *b;
    int rc = open_pem(o->ca_file, o->ca_data, "CA certificate", held, &b, e);
    if (rc) return rc;
    if (!b) {
        SSL_CTX_set_default_verify_paths(t->ctx);
        ERR_clear_error();
        return 0;
    }
    int n = 0;
    X509_STORE *store = SSL_CTX_get_cert_store(t->ctx);
    for (X509 *x; (x = PEM_read_bio_X509_AUX(b, NULL, NULL, "")) != NULL; n++) {
        X509_STORE_add_cert(store, x);
        X509_free(x);
    }
    BIO_free(b);
    if (!n)
        return bad_pem("CA certificate", o->ca_data.n ? (struct str){0} : o->ca_file,
                       "one or more certificates in PEM form", e);
    ERR_clear_error();
    return 0;
}

/* An encrypted key would ask at the terminal. */
static int no_password(char *p, int n, int writing, void *ud)
{
    (void)p;
    (void)n;
    (void)writing;
    *(bool *)ud = true;
    return -1;
}

static int load_cert(struct tls *t, const struct tls_options *o, struct buf *held, struct err *e)
{
    BIO *b;
    int rc = open_pem(o->cert_file, o->cert_data, "client certificate", held, &b, e);
    if (rc || !b) return rc;
    struct str file = o->cert_data.n ? (struct str){0} : o->cert_file;
    X509 *x = PEM_read_bio_X509_AUX(b, NULL, NULL, "");
    if (!x || SSL_CTX_use_certificate(t->ctx, x) != 1)
        rc = bad_pem("client certificate", file, "a certificate in PEM form", e);
    X509_free(x);
    for (X509 *more; !rc && (more = PEM_read_bio_X509(b, NULL, NULL, "")) != NULL;)
        if (SSL_CTX_add0_chain_cert(t->ctx, more) != 1) {
            X509_free(more);
            rc = bad_pem("client certificate", file, "a chain of certificates in PEM form", e);
        }
    BIO_free(b);
    if (!rc) ERR_clear_error();
    t->has_cert = true;
    return rc;
}

static int load_key(struct tls *t, const struct tls_options *o, struct buf *held, struct err *e)
{
    BIO *b;
    int rc = open_pem(o->key_file, o->key_data, "client key", held, &b, e);
    if (rc || !b) return rc;
    bool asked = false;
    struct str file = o->key_data.n ? (struct str){0} : o->key_file;
    EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, no_password, &asked);
    BIO_free(b);
    if (asked) {
        ERR_clear_error();
        rc = err_set(e, ERR_ARG,
                     "the client key " STR_FMT " is encrypted; decrypt it first (openssl pkey)",
                     STR_ARG(file));
    } else if (!k || SSL_CTX_use_PrivateKey(t->ctx, k) != 1) {
        bool wrong = k != NULL;
        rc = bad_pem("client key", file,
                     wrong ? "the key of the client certificate" : "a private key in PEM form", e);
    }
    EVP_PKEY_free(k);
    return rc;
}

static int load_all(struct tls *t, const struct tls_options *o, struct err *e)
{
    bool cert = o->cert_file.n || o->cert_data.n, key = o->key_file.n || o->key_data.n;
    if (cert != key)
        return err_set(e, ERR_ARG, "a client %s is set without its %s: give both (" HINT_CERT ")",
                       cert ? "certificate" : "key", cert ? "key" : "certificate");
    int (*const steps[])(struct tls *, const struct tls_options *, struct buf *,
                         struct err *) = {load_ca, load_cert, load_key};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct buf held;
        buf_init(&held, TLS_PEM_MAX);
        int rc = steps[i](t, o, &held, e);
        if (held.p) OPENSSL_cleanse(held.p, held.cap);
        buf_free(&held);
        if (rc) return rc;
    }
    if (cert && SSL_CTX_check_private_key(t->ctx) != 1)
        return bad_pem("client key", o->key_data.n ? (struct str){0} : o->key_file,
                       "the key of the client certificate", e);
    return 0;
}

/* ---- opening ---- */

static int set_up(struct tls *t, const struct tls_options *o, struct err *e)
{
    static const unsigned char h2[] = {2, 'h', '2'};
    ERR_clear_error();
    t->ctx = SSL_CTX_new(TLS_client_method());
    if (!t->ctx) return err_set(e, ERR_NOMEM, "out of memory for TLS");
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS);
    int rc = load_all(t, o, e);
    if (rc) return rc;
    t->ssl = SSL_new(t->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        return err_set(e, ERR_NOMEM, "out of memory for TLS");
    }
    BIO_set_mem_eof_return(t->in, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    if (SSL_set_alpn_protos(t->ssl, h2, sizeof h2) != 0)
        return err_set(e, ERR_NOMEM, "out of memory for TLS");
    X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
    bool is_ip = X509_VERIFY_PARAM_set1_ip_asc(p, t->name) == 1;
    if (!is_ip) {
        ERR_clear_error();
        X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (X509_VERIFY_PARAM_set1_host(p, t->name, 0) != 1 ||
            SSL_set_tlsext_host_name(t->ssl, t->name) != 1)
            return err_set(e, ERR_ARG, "'%s' cannot be the name of a TLS server", t->name);
    }
    SSL_set_verify(t->ssl, o->no_verification ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return 0;
}

int tls_open(const struct tls_options *o, struct tls **out, struct err *e)
{
    if (strlen(o->name) >= sizeof((struct tls *)0)->name)
        return err_set(e, ERR_ARG, "the name of the TLS server is longer than 255 bytes");
    struct tls *t = mem_zalloc(sizeof *t);
    if (!t) return err_set(e, ERR_NOMEM, "out of memory for TLS");
    snprintf(t->name, sizeof t->name, "%s", o->name);
    int rc = set_up(t, o, e);
    if (rc) {
        tls_close(t);
        return rc;
    }
    SSL_do_handshake(t->ssl); /* writes the first message */
    ERR_clear_error();
    *out = t;
    return 0;
}

void tls_close(struct tls *t)
{
    if (!t) return;
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    mem_free(t);
}

/* ---- what went wrong, and what to do ---- */

static int certificate_refused(struct tls *t, struct err *e)
{
    long v = SSL_get_verify_result(t->ssl);
    const char *text = X509_verify_cert_error_string(v);
    switch (v) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return err_set(e, ERR_PROTO,
                       "the server's certificate is for another name than '%s'; when that is "
                       "right, " HINT_NAME,
                       t->name);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return err_set(e, ERR_PROTO, "the server's certificate is not trusted (%s); " HINT_CA,
                       text);
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return err_set(e, ERR_PROTO,
                       "the server's certificate has expired; the server needs a new one (or this "
                       "machine's clock is wrong)");
    default:
        return err_set(e, ERR_PROTO, "the server's certificate is not accepted: %s", text);
    }
}

static int alert_received(struct tls *t, int reason, const char *text, bool *hopeless,
                          struct err *e)
{
    *hopeless = true;
    switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
        if (!t->has_cert)
            return err_set(e, ERR_PROTO,
                           "the server refused the TLS handshake (%s): it probably wants a client "
                           "certificate; give one: " HINT_CERT,
                           text);
        break;
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
        return err_set(e, ERR_PROTO, "the server does not know the name '%s'; " HINT_NAME, t->name);
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        return err_set(e, ERR_PROTO,
                       "the server does not speak HTTP/2 over TLS (ALPN): is the address that of "
                       "the gRPC frontend?");
    case SSL_R_TLSV1_ALERT_INTERNAL_ERROR:
        *hopeless = false;
        break;
    default:
        break;
    }
    if (t->has_cert)
        return err_set(e, ERR_PROTO,
                       "the server refused the TLS connection (%s): check the client certificate, "
                       "its key and who signed it (" HINT_CERT ")",
                       text);
    return err_set(e, ERR_PROTO, "the server refused the TLS connection: %s", text);
}

static int failed(struct tls *t, bool *hopeless, struct err *e)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    bool lib = ERR_GET_LIB(code) == ERR_LIB_SSL;
    ERR_clear_error();
    if (!text) text = "no reason given";
    *hopeless = false;
    if (lib && reason == ERR_R_MALLOC_FAILURE)
        return err_set(e, ERR_NOMEM, "out of memory for TLS");
    if (!t->ready && lib && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        *hopeless = true;
        return certificate_refused(t, e);
    }
    if (lib && reason == SSL_R_WRONG_VERSION_NUMBER) {
        *hopeless = true;
        return err_set(e, ERR_PROTO,
                       "the server does not answer in TLS: is TLS off there? (then --no-tls, or "
                       "TEMPORAL_TLS=false)");
    }
    if (lib && reason >= SSL_AD_REASON_OFFSET) return alert_received(t, reason, text, hopeless, e);
    if (!t->ready) *hopeless = lib;
    return err_set(e, ERR_PROTO, "TLS failed: %s", text);
}

/* ---- bytes ---- */

static int check_alpn(struct tls *t, bool *hopeless, struct err *e)
{
    const unsigned char *p;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &p, &n);
    if (n == 2 && memcmp(p, "h2", 2) == 0) return 0;
    *hopeless = true;
    return err_set(
        e, ERR_PROTO,
        "the server does not agree on HTTP/2 over TLS (ALPN): is the address that of the "
        "gRPC frontend?");
}

int tls_feed(struct tls *t, const char *p, size_t n, struct buf *plain, bool *closed,
             bool *hopeless, struct err *e)
{
    ERR_clear_error();
    *hopeless = false;
    if (closed) *closed = false;
    if (n > INT_MAX || BIO_write(t->in, p, (int)n) != (int)n)
        return err_set(e, ERR_NOMEM, "out of memory for TLS");
    if (!t->ready) {
        int rc = SSL_do_handshake(t->ssl);
        if (rc != 1) {
            if (SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ) return 0;
            return failed(t, hopeless, e);
        }
        rc = check_alpn(t, hopeless, e);
        if (rc) return rc;
        t->ready = true;
    }
    for (;;) {
        char piece[16384];
        int got = SSL_read(t->ssl, piece, sizeof piece);
        if (got > 0) {
            if (buf_put(plain, piece, (size_t)got))
                return err_set(e, ERR_NOMEM, "out of memory for TLS");
            continue;
        }
        int why = SSL_get_error(t->ssl, got);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return 0;
        if (why != SSL_ERROR_ZERO_RETURN) return failed(t, hopeless, e);
        if (closed) *closed = true;
        return 0;
    }
}

bool tls_ready(const struct tls *t)
{
    return t->ready;
}

int tls_put(struct tls *t, const void *p, size_t n, struct err *e)
{
    bool hopeless;
    size_t done;
    ERR_clear_error();
    if (!n) return 0;
    return SSL_write_ex(t->ssl, p, n, &done) == 1 && done == n ? 0 : failed(t, &hopeless, e);
}

void tls_end(struct tls *t)
{
    if (t->ready) SSL_shutdown(t->ssl);
    ERR_clear_error();
}

int tls_out(struct tls *t, struct buf *wire)
{
    char *p;
    long n = BIO_get_mem_data(t->out, &p);
    if (n <= 0) return 0;
    if (buf_put(wire, p, (size_t)n)) return ERR_NOMEM;
    (void)BIO_reset(t->out);
    return 0;
}
