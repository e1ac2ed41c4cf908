/* Counts executed instructions, their cycles and the deepest stack while an emulator runs, at native speed.
 *
 * The emulator calls these hooks through plain function pointers; nothing of it is included or linked here.
 * `starts[i]` is the number of instructions that begin in the first i halfwords of the code, `costs[i]` the cycles that
 * a manual gives for them; a block that does not follow the one before takes `refill` more. The first block does so in
 * place of the return, behind which there is none. */
#include <stdint.h>

typedef struct {
    uint64_t executed;
    uint64_t limit;
    uint64_t base;
    uint64_t halfwords;
    const uint32_t *starts;
    const uint32_t *costs;
    uint64_t cycles;
    uint64_t refill;
    uint64_t next;
    int (*stop)(void *engine);
    int (*read_register)(void *engine, int index, void *value);
    int stack_pointer;
    uint32_t lowest;
} Counter;

void bitq_block(void *engine, uint64_t address, uint32_t size, Counter *counter);
void bitq_stack(void *engine, uint64_t address, uint32_t size, Counter *counter);

/* At the entry of every basic block of `size` bytes. */
void bitq_block(void *engine, uint64_t address, uint32_t size, Counter *counter)
{
    const uint64_t first = (address - counter->base) / 2u;
    const uint64_t last = first + size / 2u;
    if (address < counter->base || last > counter->halfwords) {
        return;
    }
    counter->executed += counter->starts[last] - counter->starts[first];
    counter->cycles += counter->costs[last] - counter->costs[first];
    if (address != counter->next) {
        counter->cycles += counter->refill;
    }
    counter->next = address + size;
    if (counter->executed > counter->limit) {
        (void)counter->stop(engine);
    }
}

/* Behind every instruction that lowers the stack pointer. */
void bitq_stack(void *engine, uint64_t address, uint32_t size, Counter *counter)
{
    uint32_t now = 0;
    (void)address;
    (void)size;
    if (counter->read_register(engine, counter->stack_pointer, &now) == 0 && now < counter->lowest) {
        counter->lowest = now;
    }
}
