/* Reset handler for any RISC-V core: set the stack, copy .data, clear .bss, call main. */
#include <stdint.h>

extern uint32_t bitq_data_image[], bitq_data_begin[], bitq_data_end[];
extern uint32_t bitq_bss_begin[], bitq_bss_end[], bitq_stack_top[];

int main(void);
void bitq_boot(void);

void bitq_boot(void)
{
    const uint32_t *from = bitq_data_image;
    for (uint32_t *to = bitq_data_begin; to < bitq_data_end; ++to) {
        *to = *from;
        ++from;
    }
    for (uint32_t *to = bitq_bss_begin; to < bitq_bss_end; ++to) {
        *to = 0u;
    }
    (void)main();
    for (;;) {
    }
}

__asm__(".section .boot,\"ax\",@progbits\n"
        ".globl Reset_Handler\n"
        ".type Reset_Handler, @function\n"
        "Reset_Handler:\n"
        "    la sp, bitq_stack_top\n"
        "    j bitq_boot\n"
        ".size Reset_Handler, .-Reset_Handler\n"
        ".text\n");
