"""Machine code that LLVM made: for which machine, what it needs, and how it gets into this process."""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from llvmlite import binding as llvm

ENTRY = "penstock_kernel"

_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym: name, info, other, section, value, size; gABI, chapter 4
_engines: list[llvm.ExecutionEngine] = []  # each owns the memory of one kernel


@dataclass(frozen=True)
class MachineCode:
    """An object file with the function ENTRY. `portable`: it holds no address of the process that made it."""

    content: bytes
    portable: bool

    def needed(self) -> list[str]:
        """The symbols that it takes from outside."""
        return list(_needed(llvm.ObjectFileRef.from_data(self.content)))


@cache
def processor() -> tuple[str, str]:
    """Name and features of this machine's CPU, as LLVM calls them."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def target_machine() -> llvm.TargetMachine:
    """What makes code for this machine, to run where it is made."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = processor()
    relocation = "static" if platform.machine() in ("x86_64", "AMD64") else "default"
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=3, reloc=relocation, codemodel="jitdefault", jit=True
    )


def load(content: bytes) -> int | None:
    """The address of an object file's ENTRY, for the rest of the process; None where it needs what is not
    there.

    The content must be what LLVM made: nothing of it is checked. Each object file has names of its own, so
    that two with the same functions do not meet.
    """
    machine = target_machine()  # LLVM must be there before it parses
    # With an engine, LLVM also knows the symbols of the process, libm's among them.
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    file = llvm.ObjectFileRef.from_data(content)
    if any(llvm.address_of_symbol(name) is None for name in _needed(file)):
        return None  # LLVM would end the process
    engine.add_object_file(file)
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(ENTRY))


def _needed(file: llvm.ObjectFileRef) -> Iterator[str]:
    """The symbols that an ELF object file takes from outside."""
    sections = {section.name(): section.data() for section in file.sections() if section.name()}
    names = sections[b".strtab"]
    for name, _, _, section, _, _ in _SYMBOL.iter_unpack(sections[b".symtab"]):
        if name and not section:
            yield names[name : names.index(b"\0", name)].decode()
