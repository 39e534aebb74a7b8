/* Starts tests/support/http_server.py for one C test. It ends with the test: its stdin is a pipe
 * that closes then. */
#ifndef ML_TESTS_HTTP_SERVER_H
#define ML_TESTS_HTTP_SERVER_H
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct test_server {
    int pid, port, in;
};

static inline struct test_server test_server_start(const char *cert, const char *key)
{
    struct test_server s = {0};
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0) abort();
    s.pid = fork();
    if (s.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execlp("python3", "python3", ML_TEST_HTTP_SERVER, cert ? "--tls" : (char *)NULL, cert, key,
               (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    s.in = to[1];
    FILE *f = fdopen(from[0], "r");
    if (!f || fscanf(f, "%d", &s.port) != 1) {
        fprintf(stderr, "the test server did not start\n");
        exit(1);
    }
    fclose(f);
    return s;
}

static inline void test_server_stop(struct test_server *s)
{
    close(s->in);
    waitpid(s->pid, NULL, 0);
}

/* A self-signed certificate for the names in folder: cert.pem, key.pem. */
static inline void test_server_certificate_for(const char *folder, const char *names)
{
    char cmd[1024];
    snprintf(
        cmd, sizeof cmd,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=127.0.0.1 "
        "-addext subjectAltName=%s -keyout %s/key.pem -out %s/cert.pem >/dev/null 2>&1",
        names, folder, folder);
    if (system(cmd) != 0) {
        fprintf(stderr, "openssl could not make a certificate\n");
        exit(1);
    }
}

static inline void test_server_certificate(const char *folder)
{
    test_server_certificate_for(folder, "IP:127.0.0.1");
}

#endif
