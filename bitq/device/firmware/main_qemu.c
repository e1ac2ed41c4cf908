/* The application for QEMU: takes inputs from the host's standard input, one after the other, and gives back scores and
 * winner of each on its standard output. */
#include <stdint.h>

int32_t BITQ_RUN(const BITQ_INPUT_TYPE *input, int32_t *scores);

__attribute__((aligned(4))) static BITQ_INPUT_TYPE bitq_input[BITQ_INPUT_LENGTH];
static int32_t bitq_result[BITQ_SCORES_LENGTH + 1];

int main(void);

/* Arm's semihosting: the debugger, here QEMU, does an operation of the host. */
__attribute__((noinline)) static int32_t bitq_host(int32_t operation, const void *arguments)
{
    register int32_t result __asm__("r0") = operation;
    register const void *block __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(result) : "r"(block) : "memory");
    return result;
}

int main(void)
{
    /* Operations: 1 open, 5 write, 6 read, 0x18 exit; ":tt" is the console, mode 0 to read and 4 to write. */
    static const char console[] = ":tt";
    const uintptr_t open_in[3] = {(uintptr_t)console, 0u, 3u};
    const uintptr_t open_out[3] = {(uintptr_t)console, 4u, 3u};
    const uintptr_t in[3] = {(uintptr_t)bitq_host(1, open_in), (uintptr_t)bitq_input, sizeof bitq_input};
    const uintptr_t out[3] = {(uintptr_t)bitq_host(1, open_out), (uintptr_t)bitq_result, sizeof bitq_result};
    while (bitq_host(6, in) == 0) {
        bitq_result[BITQ_SCORES_LENGTH] = BITQ_RUN(bitq_input, bitq_result);
        (void)bitq_host(5, out);
    }
    (void)bitq_host(0x18, (const void *)0x20026);
    return 0;
}
