// SPDX-License-Identifier: Apache-2.0
/* Preloaded into a process, answers in the kernel's place when the program called $REFUSED_PROGRAM is loaded: EINVAL,
   as the verifier does. Everything else goes to the kernel. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

long syscall(long number, ...)
{
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    const char *refused = getenv("REFUSED_PROGRAM");
    long given[6];
    va_list arguments;

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_bpf && given[0] == BPF_PROG_LOAD && refused != NULL) {
        const union bpf_attr *load = (const union bpf_attr *)given[1];
        if (strncmp(load->prog_name, refused, BPF_OBJ_NAME_LEN) == 0) {
            errno = EINVAL;
            return -1;
        }
    }
    return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
