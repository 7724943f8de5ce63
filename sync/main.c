/* The one program: picks the role and hands over. */
#include "sync/cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
