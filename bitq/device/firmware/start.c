/* Vector table and reset handler for any Cortex-M: copy .data, clear .bss, call main. */
#include <stdint.h>

extern uint32_t bitq_data_image[], bitq_data_begin[], bitq_data_end[];
extern uint32_t bitq_bss_begin[], bitq_bss_end[], bitq_stack_top[];

int main(void);
void Reset_Handler(void);
void Fault_Handler(void);

void Fault_Handler(void)
{
    for (;;) {
    }
}

void Reset_Handler(void)
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
    Fault_Handler();
}

typedef union {
    const uint32_t *stack;
    void (*handler)(void);
} Vector;

extern const Vector bitq_vectors[16];
__attribute__((section(".vectors"), used)) const Vector bitq_vectors[16] = {
    {.stack = bitq_stack_top},
    {.handler = Reset_Handler},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    {.stack = 0},
    {.stack = 0},
    {.stack = 0},
    {.stack = 0},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    {.stack = 0},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
};
