"""Builds the compiled core: ext/ into penstock._core and penstock._kernels.*, proto/ into a descriptor set.

Switches, all from the environment: SANITIZE=address,undefined or SANITIZE=thread, DEBUG=1, JOBS=N.
Objects are kept in build/<variant>/ and made again only when their source, a header they include or the flags
changed.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SANITIZE = os.environ.get("SANITIZE", "")
DEBUG = os.environ.get("DEBUG", "") not in ("", "0")
# -Wno-restrict: GCC 12 sees an overlap in std::string's operator+ that is not there (GCC bug 105651).
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wnon-virtual-dtor", "-Wno-restrict", "-Werror"]
# What Cython writes is not ours to polish; our own sources are held to WARNINGS.
CYTHON_WARNINGS = ["-Wall", "-Wno-unused-function", "-Wno-cpp", "-Wno-maybe-uninitialized"]
NEEDED_HEADERS = {"nghttp2/nghttp2.h": "libnghttp2-dev", "Python.h": "python3-dev"}

compile_flags = ["-fvisibility=hidden", "-fno-plt", "-pthread", "-g1", "-I", str(ROOT / "ext")]
link_flags = ["-pthread", "-Wl,--as-needed"]
if DEBUG:
    compile_flags += ["-O0", "-g3"]
elif SANITIZE:
    compile_flags += ["-O1", "-g"]
else:
    compile_flags += ["-O3", "-DNDEBUG"]
if SANITIZE:
    compile_flags += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
    link_flags += [f"-fsanitize={SANITIZE}"]


def variant() -> str:
    return (SANITIZE.replace(",", "-") or "release") + ("-debug" if DEBUG else "")


def sources(*rooms: str) -> list[str]:
    return sorted(str(p.relative_to(ROOT)) for room in rooms for p in (ROOT / "ext" / room).glob("*.cc"))


def core_sources() -> list[str]:
    return sources("base", "codec", "transform", "executor", "route", "stats", "engine", "net")


def extensions() -> list[Extension]:
    found = [
        Extension(
            "penstock._core",
            ["ext/bindings/_core.pyx", *core_sources()],
            language="c++",
            libraries=["nghttp2", "dl"],
        ),
        # On its own: who serves does not load what makes load.
        Extension(
            "penstock._loadgen",
            ["ext/bindings/_loadgen.pyx", *sources("base", "loadgen")],
            language="c++",
            libraries=["nghttp2"],
        ),
    ]
    for kernel in sorted((ROOT / "ext" / "kernels").glob("*.pyx")):
        if kernel.stem.endswith("_avx2") and platform.machine() != "x86_64":
            continue
        found.append(
            Extension(f"penstock._kernels.{kernel.stem}", [str(kernel.relative_to(ROOT))], language="c++")
        )
    return found


class BuildExtension(build_ext):
    """Compiles each object on its own, in parallel, and only when it is out of date."""

    def build_extensions(self) -> None:
        self.missing_headers()
        super().build_extensions()

    def missing_headers(self) -> None:
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            sys.exit(f"penstock: no C++ compiler '{compiler}'. On Debian: apt-get install g++ (or set CXX).")
        include = [f"-I{d}" for d in self.compiler.include_dirs]
        for header, package in NEEDED_HEADERS.items():
            probe = subprocess.run(
                [compiler, "-x", "c++", "-E", "-", "-o", os.devnull, *include],
                input=f"#include <{header}>\n",
                text=True,
                capture_output=True,
            )
            if probe.returncode:
                sys.exit(f"penstock: the header {header} is missing. On Debian: apt-get install {package}")

    def build_extension(self, ext: Extension) -> None:
        compiler = os.environ.get("CXX", "g++")
        include = [f"-I{d}" for d in self.compiler.include_dirs]
        objects_dir = ROOT / "build" / variant() / "obj"
        jobs = []
        for source in ext.sources:
            generated = source.startswith("build/")  # where cythonize puts what it makes of .pyx
            # Kernels promise IEEE results whatever the machine: no contraction into fused multiply-add.
            flags = ["-std=c++20", "-fPIC", "-ffp-contract=off", *compile_flags, *include]
            flags += CYTHON_WARNINGS if generated else WARNINGS
            if ext.name.endswith("_avx2"):
                flags.append("-march=x86-64-v3")
            target = objects_dir / ext.name / (source.replace("/", "_") + ".o")
            jobs.append((source, target, [compiler, *flags, "-MMD", "-c", source, "-o", str(target)]))
        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", os.cpu_count() or 1))) as pool:
            fresh = list(pool.map(lambda job: self.compile_object(*job), jobs))
        output = Path(self.get_ext_fullpath(ext.name))
        output.parent.mkdir(parents=True, exist_ok=True)
        link = [compiler, "-shared", *[str(t) for _, t, _ in jobs], *link_flags]
        link += [f"-l{library}" for library in ext.libraries] + ["-o", str(output)]
        stamp = objects_dir / ext.name / "link.cmd"
        if any(fresh) or not output.exists() or not stamp.exists() or stamp.read_text() != " ".join(link):
            self.announce(f"linking {output.name}", 2)
            self.checked(link, str(output))
            stamp.write_text(" ".join(link))

    def compile_object(self, source: str, target: Path, command: list[str]) -> bool:
        digest = hashlib.sha256(" ".join(command).encode()).hexdigest()
        stamp = target.with_suffix(".cmd")
        if target.exists() and stamp.exists() and stamp.read_text() == digest:
            made = target.stat().st_mtime
            if all(Path(d).exists() and Path(d).stat().st_mtime <= made for d in read_dependencies(target)):
                return False
        target.parent.mkdir(parents=True, exist_ok=True)
        self.announce(f"compiling {source} ({variant()})", 2)
        self.checked(command, source)
        stamp.write_text(digest)
        return True

    def checked(self, command: list[str], what: str) -> None:
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
        if done.returncode:
            sys.stderr.write(done.stderr)
            raise SystemExit(f"penstock: building {what} failed")


def read_dependencies(target: Path) -> list[str]:
    listing = target.with_suffix(".d")
    if not listing.exists():
        return ["/nonexistent"]
    words = listing.read_text().replace("\\\n", " ").split()
    return [str(ROOT / word) for word in words[1:]]


class BuildPython(build_py):
    """Compiles proto/ into the descriptor set that penstock._proto reads in place of generated code."""

    def run(self) -> None:
        build_descriptors()
        super().run()


def build_descriptors() -> None:
    from grpc_tools import protoc

    target = ROOT / "src" / "penstock" / "_proto" / "descriptors.binpb"
    protos = sorted((ROOT / "proto").rglob("*.proto"))
    if not protos:
        return
    if target.exists() and all(p.stat().st_mtime <= target.stat().st_mtime for p in protos):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    arguments = ["protoc", f"-I{ROOT / 'proto'}", "--include_imports", f"--descriptor_set_out={target}"]
    if protoc.main(arguments + [str(p) for p in protos]):
        raise SystemExit("penstock: compiling proto/ failed")


class Develop(BuildExtension):
    """Makes the descriptors too, so that `setup.py build_ext --inplace` leaves a tree that runs."""

    def run(self) -> None:
        build_descriptors()
        super().run()
        package = ROOT / "src" if self.inplace else Path(self.build_lib)
        remove_stale_kernels(package / "penstock" / "_kernels")


def remove_stale_kernels(folder: Path) -> None:
    """Kernels whose source is gone: all that lies in the package is loaded."""
    sources = {path.stem for path in (ROOT / "ext" / "kernels").glob("*.pyx")}
    for built in folder.glob("*.so"):
        if built.name.partition(".")[0] not in sources:
            built.unlink()


setup(
    ext_modules=cythonize(
        extensions(),
        build_dir=f"build/{variant()}/cython",
        include_path=["ext"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "embedsignature": True,
            "freethreading_compatible": False,
        },
        quiet=True,
    ),
    cmdclass={"build_ext": Develop, "build_py": BuildPython},
)
