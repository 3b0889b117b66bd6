"""Shader programs: sources with includes in, linked programs out, errors with file and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import moderngl
import numpy as np

from studio.core.errors import WorkError, describe
from studio.gl.context import describe_context
from studio.gl.resources import Resources

SHADERS = Path(__file__).resolve().parent.parent / "shaders"
HEADER = "#version 410 core"

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"\s*$')
# Mesa writes "0:12(5): error: ...", NVIDIA "0(12) : error C1: ...", Apple and AMD "ERROR: 0:12: ...".
_UNIFORM = re.compile(r"^uniform\s+(int|float|[iu]?vec[234]|mat[34])\s+([^;]+);")
_NAME = re.compile(r"(\w+)(\[(\d+)\])?")
_USE = re.compile(r"\b(u_\w+)\b(?:\[(\d+)\])?")
_LOCATION = re.compile(r"\b\d+(?::(\d+)|\((\d+)\))(?:\(\d+\))?\s*:\s*(?:error\b)?[:\s]*(.*)", re.I)


class ShaderSource:
    """One stage's source with its includes resolved.

    Each file is included once, whoever asks for it. The origin of every line is kept here
    and not in `#line` directives: Mesa reports some errors under the wrong file number.

    Attributes:
        lines: what the driver gets.
        files: names in the order in which they were begun.
    """

    def __init__(self, name: str, defines: tuple[str, ...] = (), root: Path = SHADERS):
        self._root = root
        self.files: list[str] = []
        self.lines = [HEADER, *(f"#define {define}" for define in defines)]
        self._origin = [(name, 1)] * len(self.lines)
        self._append(name, self.lines, asked_by="")

    @property
    def text(self) -> str:
        """What the driver gets."""
        return "\n".join(self.lines) + "\n"

    def insert(self, at: int, lines: list[str]) -> None:
        """Put lines of our own before line `at`, which counts from 0."""
        self.lines[at:at] = lines
        self._origin[at:at] = [self._origin[at]] * len(lines)

    def _append(self, name: str, lines: list[str], asked_by: str) -> None:
        if name in self.files:
            return
        path = self._root / name
        try:
            source = path.read_text("utf-8")
        except OSError as error:
            by = f", included by {asked_by}" if asked_by else ""
            raise WorkError(f"shader {name}{by}: cannot be read ({error.strerror})") from None
        self.files.append(name)
        for index, line in enumerate(source.splitlines(), start=1):
            match = _INCLUDE.match(line)
            if match:
                self._append(match.group(1), lines, asked_by=f"{name}:{index}")
            else:
                lines.append(line)
                self._origin.append((name, index))

    def locate(self, message: str) -> str | None:
        """The first "file:line: what" found in a driver's message about this source."""
        for line in message.splitlines():
            match = _LOCATION.search(line)
            number = int(match.group(1) or match.group(2)) if match else 0
            if match and 1 <= number <= len(self._origin):
                name, index = self._origin[number - 1]
                return f"{name}:{index}: {match.group(3).strip()}"
        return None


def carry_uniforms(vertex: ShaderSource, fragment: ShaderSource) -> None:
    """Let the vertex shader read the fragment shader's uniforms and hand them over as flat inputs.

    Mesa's software renderer checks the bounds of every uniform that a pixel reads: a number costs
    .34 ns a pixel, as much as a fifth of a texture look-up; a flat input costs a ninth of that.
    Arrays are taken element by element, where all their indices are written out: there is room
    for 32 vectors, and what is not used takes none.
    """
    whole = fragment.text
    kinds: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for number, line in enumerate(fragment.lines):
        match = _UNIFORM.match(line)
        parts = match.group(2).split(",") if match else []
        found = [name for name in (_NAME.fullmatch(part.strip()) for part in parts) if name]
        if match is None or len(found) < len(parts) or not all(_indexed_by_numbers(f, whole) for f in found):
            continue
        inputs = []
        for name, _, size in (f.groups() for f in found):
            kinds[name], sizes[name] = match.group(1), int(size or 0)
            inputs += [carried for carried, _ in _carried(name, sizes[name])]
        fragment.lines[number] = f"flat in {match.group(1)} {', '.join(inputs)};"
    for number, line in enumerate(fragment.lines):
        fragment.lines[number] = _USE.sub(lambda use: _renamed(use, sizes), line)
    main = next(number for number, line in enumerate(vertex.lines) if line.startswith("void main"))
    for name, kind in kinds.items():
        both = _carried(name, sizes[name])
        vertex.insert(main + 1, [f"{carried} = {given};" for carried, given in both])
        vertex.insert(
            main,
            [
                f"uniform {kind} {name}{f'[{sizes[name]}]' if sizes[name] else ''};",
                f"flat out {kind} {', '.join(carried for carried, _ in both)};",
            ],
        )
        main += 2


def _carried(name: str, size: int) -> list[tuple[str, str]]:
    """(flat input, expression that is handed over in it) of a uniform, or of an array's elements."""
    if not size:
        return [(f"carried_{name}", name)]
    return [(f"carried_{name}_{i}", f"{name}[{i}]") for i in range(size)]


def _renamed(use: re.Match[str], sizes: dict[str, int]) -> str:
    """A name in a shader, with the index behind it, as it is called where uniforms are carried."""
    name, index = use.groups()
    if name not in sizes:
        return use.group(0)
    return f"carried_{name}_{index}" if sizes[name] else f"carried_{name}" + (f"[{index}]" if index else "")


def _indexed_by_numbers(name: re.Match[str], text: str) -> bool:
    """Whether a declared name is no array, or one of which only numbered elements are used."""
    uses = re.findall(rf"\b{name.group(1)}\b(\[\d+\])?", text)
    return not name.group(2) or all(uses)


class Program:
    """A linked program whose uniforms may be absent.

    Drivers drop uniforms that a shader declares but does not use, so setting one that is
    not there is no error: effect shaders take what they need of the contract.
    """

    def __init__(self, ctx: moderngl.Context, vertex: ShaderSource, fragment: ShaderSource):
        try:
            self.glo = ctx.program(vertex_shader=vertex.text, fragment_shader=fragment.text)
        except moderngl.Error as error:
            message = str(error)
            stage = fragment if "fragment_shader" in message else vertex
            place = stage.locate(message) or f"{stage.files[0]}: {describe(error)}"
            raise WorkError(f"shader {place}") from None
        self._members: dict[str, Any] = {name: self.glo[name] for name in self.glo}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def set(self, name: str, value: Any) -> None:
        """Set a scalar or vector uniform, if the program has it."""
        member = self._members.get(name)
        if member is not None:
            member.value = value

    def set_matrix(self, name: str, matrix: np.ndarray) -> None:
        """Set a [4, 4] matrix that acts on column vectors (GLSL stores columns)."""
        member = self._members.get(name)
        if member is not None:
            member.write(np.ascontiguousarray(matrix.T, dtype=np.float32))

    def set_array(self, name: str, values: np.ndarray) -> None:
        """Set a uniform array from [n, c] numbers, float32 or int32; extra rows are dropped."""
        member = self._members.get(name)
        if member is not None:
            member.write(np.ascontiguousarray(values[: member.array_length]))

    def set_any(self, name: str, value: Any) -> None:
        """Set a uniform of any kind from a number, a [c] vector, [n, c] rows, or [4, 4] or
        [n, 4, 4] matrices; missing rows of an array become zero, extra ones are dropped (drivers
        cut arrays down to the elements that a shader uses, even to one).

        Raises:
            WorkError: the numbers do not fit the uniform's type.
        """
        member = self._members.get(name)
        if member is None:
            return
        values = np.asarray(value, np.int32 if member.fmt.endswith("i") else np.float32)
        several = values.ndim > (2 if member.matrix else 1)
        if member.matrix:
            values = np.swapaxes(values.reshape(-1, *values.shape[-2:]), 1, 2)
        rows = values.reshape(-1, member.dimension) if values.size % member.dimension == 0 else None
        if rows is None or (member.array_length == 1 and len(rows) != 1 and not several):
            raise WorkError(f"shader: {name} holds {member.fmt}, and got an array {np.shape(value)}")
        whole = np.zeros((member.array_length, member.dimension), values.dtype)
        whole[: len(rows)] = rows[: member.array_length]
        member.write(whole)

    def release(self) -> None:
        self.glo.release()


class ProgramCache:
    """Every program of one context, compiled when first asked for."""

    def __init__(self, resources: Resources, root: Path = SHADERS):
        self.ctx = resources.ctx
        self._resources = resources
        self._root = root
        self._software = describe_context(self.ctx).software
        self._programs: dict[tuple[str, str, tuple[str, ...]], Program] = {}
        self._fullscreen: dict[int, moderngl.VertexArray] = {}

    def get(self, vertex: str, fragment: str, defines: tuple[str, ...] = ()) -> Program:
        """The program of two files below the shader folder.

        Args:
            vertex, fragment: e.g. "fullscreen.vert", "pbr.frag".
            defines: lines for `#define`, seen by both stages.
        Raises:
            WorkError: file and line of what does not compile.
        """
        key = (vertex, fragment, defines)
        if key not in self._programs:
            self._programs[key] = self._carried(key) or Program(self.ctx, *self._sources(key))
        return self._programs[key]

    def _sources(self, key: tuple[str, str, tuple[str, ...]]) -> list[ShaderSource]:
        return [ShaderSource(name, key[2], self._root) for name in key[:2]]

    def _carried(self, key: tuple[str, str, tuple[str, ...]]) -> Program | None:
        """The program with its uniforms carried, where that is faster and there is room for them."""
        if not self._software or key[0] != "fullscreen.vert":
            return None
        sources = self._sources(key)
        carry_uniforms(*sources)
        try:
            return Program(self.ctx, *sources)
        except WorkError:
            return None  # what is wrong with the shader itself is said of its own text

    def draw_fullscreen(self, program: Program) -> None:
        """Run a program of "fullscreen.vert" over every pixel of the framebuffer in use."""
        key = program.glo.glo
        if key not in self._fullscreen:
            self._fullscreen[key] = self._resources.vertex_array(program.glo, [])
        self._fullscreen[key].render(moderngl.TRIANGLES, vertices=3)

    def __len__(self) -> int:
        return len(self._programs)

    def release(self) -> None:
        self._resources.release(*self._fullscreen.values())
        self._fullscreen.clear()
        for program in self._programs.values():
            program.release()
        self._programs.clear()
