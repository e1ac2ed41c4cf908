import pytest

from bitq.core.errors import DeployError
from bitq.device import deployment, image, isa
from bitq.device.config import CORES, TargetConfig
from bitq.device.isa import Instruction

from .toys import one_function, write_project


def build(tmp_path, name, body, before=""):
    folder = write_project(tmp_path / "toy", one_function(body, before=before))
    (tmp_path / "out").mkdir(exist_ok=True)
    built = image.link(deployment.read(folder), TargetConfig(name=name), tmp_path / "out")
    return built.elf, isa.disassemble(built.elf)


# An assembler directive lets an instruction through that the compiler would refuse for the core.
ASSEMBLY = '    int32_t x = input[0];\n    __asm__ volatile("{}" : "+r"(x));\n    scores[0] = x;\n    return 0;'


@pytest.mark.parametrize(
    ("name", "instruction", "allowed"),
    [
        ("cortex_m0plus", ".cpu cortex-m3\\n sdiv %0, %0, %0", False),
        ("cortex_m0", ".cpu cortex-m3\\n 1: cbz %0, 2f\\n nop\\n 2:", False),
        ("cortex_m3", ".cpu cortex-m4\\n smlad %0, %0, %0, %0", False),
        ("cortex_m33", ".cpu cortex-m4\\n sxtb16 %0, %0, ror #8", False),
        ("rv32ec", ".option arch, +m\\n mul %0, %0, %0", False),
        ("rv32imc", "mul %0, %0, %0", True),
        ("cortex_m33_dsp", "usada8 %0, %0, %0, %0", True),
        ("cortex_m4", ".cpu cortex-m4\\n smlad %0, %0, %0, %0", True),
        ("cortex_m3", "sdiv %0, %0, %0", True),
        ("cortex_m0", "rev %0, %0", True),
    ],
)
def test_instructions_that_the_core_lacks_are_refused(tmp_path, name, instruction, allowed):
    elf, instructions = build(tmp_path, name, ASSEMBLY.format(instruction))
    core = CORES[name]
    if allowed:
        isa.check(elf, instructions, core.instruction_set, core.display)
        return
    with pytest.raises(DeployError, match=rf"toy_run at 0x\w+: .* {core.instruction_set}, which {core.display}"):
        isa.check(elf, instructions, core.instruction_set, core.display)


def test_bytes_that_are_no_instruction_are_refused(tmp_path):
    with pytest.raises(DeployError, match="no known instruction"):
        build(tmp_path, "cortex_m0", ASSEMBLY.format(".inst.w 0xffffffff"))


@pytest.mark.parametrize(
    ("name", "size", "v6", "v7", "v7e", "v8"),
    [
        ("adds", 2, True, True, True, True),
        ("bl", 4, True, True, True, True),
        ("dmb", 4, True, True, True, True),
        ("it", 2, False, True, True, True),
        ("itte", 2, False, True, True, True),
        ("cbnz", 2, False, True, True, True),
        ("mla", 4, False, True, True, True),
        ("smull", 4, False, True, True, True),
        ("ssat", 4, False, True, True, True),
        ("udiv", 4, False, True, True, True),
        ("sxtb.w", 4, False, True, True, True),
        ("smlabb", 4, False, False, True, False),
        ("smladx", 4, False, False, True, False),
        ("smlaldx", 4, False, False, True, False),
        ("smlalbb", 4, False, False, True, False),
        ("smmulr", 4, False, False, True, False),
        ("smulbt", 4, False, False, True, False),
        ("smladeq", 4, False, False, True, False),
        ("uadd8", 4, False, False, True, False),
        ("usada8", 4, False, False, True, False),
        ("uxtab16", 4, False, False, True, False),
        ("pkhbt", 4, False, False, True, False),
        ("vadd.f32", 4, False, False, False, False),
        ("vldr", 4, False, False, False, False),
        ("mcr", 4, False, False, False, False),
        ("lda", 4, False, False, False, True),
        ("stlexb", 4, False, False, False, True),
    ],
)
def test_instruction_sets(name, size, v6, v7, v7e, v8):
    found = [
        isa.is_allowed(Instruction(0, size, name, "r0, r0"), isa_name)
        for isa_name in ("ARMv6-M", "ARMv7-M", "ARMv7E-M", "ARMv8-M")
    ]
    assert found == [v6, v7, v7e, v8]


@pytest.mark.parametrize(
    ("name", "operands", "imc", "ec"),
    [
        ("addi", "a0, a0, 1", True, True),
        ("c.lwsp", "ra, 0xc(sp)", True, True),
        ("ret", "", True, True),
        ("mul", "a0, a0, a1", True, False),
        ("divu", "a0, a0, a1", True, False),
        ("add", "a0, a6, a1", True, False),
        ("c.mv", "s2, a0", True, False),
        ("lw", "t3, 0(a0)", True, False),
        ("lw", "t2, 0(s1)", True, True),
        ("amoadd.w", "a0, a1, (a2)", False, False),
        ("sh1add", "a0, a0, a1", False, False),
        ("fadd.s", "fa0, fa0, fa1", False, False),
    ],
)
def test_risc_v_instruction_sets(name, operands, imc, ec):
    found = [isa.is_allowed(Instruction(0, 4, name, operands), allowed) for allowed in ("RV32IMC", "RV32EC")]
    assert found == [imc, ec]


def test_the_dsp_extension_and_low_overhead_loops_belong_to_some_cores(tmp_path):
    for name, v8, v8_dsp, v81 in [
        ("usada8", False, True, True),
        ("le", False, False, True),
        ("lda", True, True, True),
    ]:
        found = [
            isa.is_allowed(Instruction(0, 4, name, ""), allowed)
            for allowed in ("ARMv8-M", "ARMv8-M with DSP", "ARMv8.1-M with DSP")
        ]
        assert found == [v8, v8_dsp, v81]
    loop = "    int32_t sum = 0;\n    for (int32_t i = 0; i < input[0]; ++i) {\n        sum += input[i & 7];\n    }\n"
    elf, instructions = build(tmp_path, "cortex_m55", f"{loop}    scores[0] = sum;\n    return 0;")
    isa.check(elf, instructions, "ARMv8.1-M with DSP", "cortex-m55")
    assert {"le"} <= {found.mnemonic for found in instructions}
    with pytest.raises(DeployError, match="not in ARMv8-M"):
        isa.check(elf, instructions, "ARMv8-M", "cortex-m33")


def test_starts_count_the_instructions_of_any_stretch(tmp_path):
    elf, instructions = build(tmp_path, "cortex_m4", "    scores[0] = input[0] * 1000003;\n    return 0;")
    base, starts = isa.starts(elf, instructions)
    for begin in range(0, len(instructions), 7):
        for end in range(begin + 1, len(instructions), 5):
            a, b = instructions[begin].address, instructions[end].address
            assert starts[(b - base) // 2] - starts[(a - base) // 2] == end - begin
