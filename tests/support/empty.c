/* Keeps the support library a library before anything is shared. */
typedef int support_is_empty;
