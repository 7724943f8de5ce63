#include "sync/server/request.h"

#include <arpa/inet.h>
#include <errno.h>

#include "sync/server/session.h"

struct bytes srv_request_address(const struct ws_request *request, uint8_t raw[static 16])
{
    size_t n = inet_pton(AF_INET, request->address, raw) == 1    ? 4
               : inet_pton(AF_INET6, request->address, raw) == 1 ? 16
                                                                 : 0;
    return bytes_of(raw, n);
}

unsigned srv_request_token(struct srv_accounts *a, const struct ws_request *request,
                           struct srv_token *ret)
{
    uint8_t raw[16];
    int rc = srv_token_check(a, request->token, srv_request_address(request, raw), srv_now_ms(),
                             ret, NULL);
    return rc == 0 ? 0 : rc == -EACCES ? 401 : rc == -EAGAIN ? 429 : 503;
}
