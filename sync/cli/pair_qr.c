#include "sync/cli/pair_qr.h"

#include <errno.h>
#include <qrencode.h>
#include <sodium.h>

enum { QUIET = 2 /* light modules around it: a terminal has no more room for them */ };

static bool is_dark(const QRcode *code, int x, int y)
{
    bool inside = x >= 0 && y >= 0 && x < code->width && y < code->width;
    return inside && (code->data[y * code->width + x] & 1) != 0;
}

/* Two rows of modules in a line: black on white, which a dark terminal does not turn around. */
static void put_line(const QRcode *code, int y, struct buf *ret)
{
    static const char *const blocks[] = {" ", "\u2584", "\u2580", "\u2588"};
    buf_put_bytes(ret, bytes_str("\033[30;47m"));
    for (int x = -QUIET; x < code->width + QUIET; x++)
        buf_put_bytes(ret, bytes_str(blocks[2 * is_dark(code, x, y) + is_dark(code, x, y + 1)]));
    buf_put_bytes(ret, bytes_str("\033[0m\n"));
}

int pair_qr(const char *text, struct buf *ret)
{
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (code == NULL)
        return errno == ERANGE ? -E2BIG : -ENOMEM;
    for (int y = -QUIET; y < code->width + QUIET; y += 2)
        put_line(code, y, ret);
    sodium_memzero(code->data, (size_t)code->width * (size_t)code->width);
    QRcode_free(code);
    return buf_status(ret);
}
