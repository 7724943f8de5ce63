#include "sync/net/ws_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <unistd.h>

static const char *why(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text != NULL ? text : "unknown error";
}

static void set_common(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
}

/* OpenSSL says of a missing file that something is wrong with "system lib". */
static int check_file(const char *file, struct err *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s; give a file in PEM", file,
                       errno == ENOENT ? "does not exist" : strerror(errno));
    close(fd);
    return 0;
}

int ws_tls_load(SSL_CTX *ctx, const struct ws_tls_files *files)
{
    set_common(ctx);
    /* libwebsockets would look for another virtual host by the name that the client asks for. */
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
    ERR_clear_error();
    int rc = check_file(files->cert_file, files->err);
    if (rc == 0)
        rc = check_file(files->key_file, files->err);
    if (rc == 0 && SSL_CTX_use_certificate_chain_file(ctx, files->cert_file) != 1)
        rc = err_set(files->err, -ENOENT, "%s: cannot load the certificate: %s; give a file in PEM",
                     files->cert_file, why());
    if (rc == 0 && SSL_CTX_use_PrivateKey_file(ctx, files->key_file, SSL_FILETYPE_PEM) != 1)
        rc = err_set(files->err, -ENOENT,
                     "%s: cannot load the key of the certificate: %s; give its key, in PEM",
                     files->key_file, why());
    ERR_clear_error();
    return rc;
}

int ws_tls_client(const char *ca_file, SSL_CTX **ret, struct err *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return err_set(err, -ENOMEM, "TLS: out of memory");
    set_common(ctx);
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int ok = ca_file != NULL ? SSL_CTX_load_verify_file(ctx, ca_file)
                             : SSL_CTX_set_default_verify_paths(ctx);
    if (ok != 1) {
        int rc = err_set(err, -ENOENT, "%s: cannot load certificates of authorities: %s",
                         ca_file != NULL ? ca_file : "the system's folder", why());
        SSL_CTX_free(ctx);
        ERR_clear_error();
        return rc;
    }
    *ret = ctx;
    return 0;
}
