"""Shader sources: includes, line numbers in errors; and the colour maps' polynomials."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from studio.core.errors import WorkError
from studio.gl.colormap import COLORMAPS, colormap
from studio.gl.program import HEADER, ProgramCache, ShaderSource, carry_uniforms
from tests.needs import need


@pytest.fixture
def shaders(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "a.glsl").write_text('#include "common/b.glsl"\nfloat a() { return b(); }\n')
    (tmp_path / "common" / "b.glsl").write_text("float b() { return 0.5; }\n")
    (tmp_path / "full.vert").write_text("void main() { gl_Position = vec4(0.0); }\n")
    return tmp_path


def test_includes_are_resolved_once_each(shaders):
    (shaders / "x.frag").write_text('#include "common/b.glsl"\n#include "common/a.glsl"\nvoid main() {}\n')
    source = ShaderSource("x.frag", root=shaders)
    assert source.text.startswith(HEADER + "\n")
    assert source.text.count("float b()") == 1
    assert source.text.index("float b()") < source.text.index("float a()")
    assert source.files == ["x.frag", "common/b.glsl", "common/a.glsl"]


def test_defines_come_before_the_source(shaders):
    (shaders / "x.frag").write_text("void main() {}\n")
    lines = ShaderSource("x.frag", ("GROUND", "TERMS 3"), shaders).text.splitlines()
    assert lines[:4] == [HEADER, "#define GROUND", "#define TERMS 3", "void main() {}"]


def test_files_that_include_each_other_end(shaders):
    (shaders / "common" / "b.glsl").write_text('#include "common/a.glsl"\nfloat b() { return 0.5; }\n')
    (shaders / "x.frag").write_text('#include "common/a.glsl"\nvoid main() {}\n')
    assert ShaderSource("x.frag", root=shaders).text.count("float a()") == 1


def test_a_missing_include_names_who_asked(shaders):
    (shaders / "x.frag").write_text('\n#include "common/nope.glsl"\nvoid main() {}\n')
    with pytest.raises(WorkError, match=r"common/nope\.glsl, included by x\.frag:2"):
        ShaderSource("x.frag", root=shaders)


@pytest.mark.parametrize(
    "message",
    ["0:4(5): error: `foo' undeclared", "0(4) : error C1503: undefined", "ERROR: 0:4: 'foo' : undeclared"],
)
def test_every_vendor_s_message_is_located(shaders, message):
    (shaders / "x.frag").write_text('// one\n#include "common/b.glsl"\nvoid main() {}\n')  # line 4 of all
    place = ShaderSource("x.frag", root=shaders).locate("GLSL Compiler failed\n" + message)
    assert place is not None
    assert place.startswith("x.frag:3: ")


def test_compile_errors_name_file_and_line(shaders):
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.resources import Resources

    (shaders / "x.frag").write_text(
        'out vec4 f_color;\n#include "common/a.glsl"\nvoid main() {\n    f_color = vec4(undefined_it);\n}\n'
    )
    (shaders / "y.frag").write_text('#include "common/c.glsl"\nout vec4 f;\nvoid main() { f = vec4(c()); }\n')
    (shaders / "common" / "c.glsl").write_text("// one\n// two\nfloat c() { return nothing_here; }\n")
    with headless_context() as ctx:
        programs = ProgramCache(Resources(ctx), shaders)
        with pytest.raises(WorkError, match=r"shader x\.frag:4: .*undefined_it"):
            programs.get("full.vert", "x.frag")
        with pytest.raises(WorkError, match=r"shader common/c\.glsl:3: .*nothing_here"):
            programs.get("full.vert", "y.frag")
        assert len(programs) == 0
        programs.release()


def test_uniforms_of_every_kind_are_set_from_arrays(shaders):
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.resources import Resources

    (shaders / "x.frag").write_text(
        "uniform float u_f; uniform float u_fs[3]; uniform vec3 u_v; uniform vec2 u_vs[2]; uniform int u_i;\n"
        "uniform mat4 u_m; uniform mat4 u_ms[2]; out vec4 f;\n"
        "void main() { f = (u_m + u_ms[0] + u_ms[1]) * vec4(u_v * u_f, u_fs[0] + u_fs[1] + u_fs[2]\n"
        "+ float(u_i)) + vec4(u_vs[0], u_vs[1]); }\n"
    )
    matrix = np.arange(16.0).reshape(4, 4)
    with headless_context() as context:
        resources = Resources(context)
        program = ProgramCache(resources, shaders).get("full.vert", "x.frag")
        for name, value in (
            *(("u_f", 2), ("u_fs", [1.0, 2.0]), ("u_v", (1, 2, 3)), ("u_vs", np.ones((4, 2)))),
            *(("u_i", 7.0), ("u_m", matrix), ("u_ms", [matrix, 2 * matrix]), ("u_absent", 1)),
        ):
            program.set_any(name, value)
        got = program.glo
        assert (got["u_f"].value, got["u_i"].value, got["u_v"].value) == (2.0, 7, (1.0, 2.0, 3.0))
        assert got["u_fs"].value == [1.0, 2.0, 0.0]  # what is not given is zero
        assert got["u_vs"].value == [(1.0, 1.0), (1.0, 1.0)]
        assert got["u_m"].value == tuple(matrix.T.ravel())  # columns
        assert got["u_ms"].value[1] == tuple(2 * matrix.T.ravel())
        for name, value in (("u_v", (1, 2)), ("u_f", (1, 2)), ("u_m", np.eye(3))):
            with pytest.raises(WorkError, match=name):
                program.set_any(name, value)
        program.set_any("u_v", [(4, 5, 6), (7, 8, 9)])  # as of an array that was cut down to its first
        assert got["u_v"].value == (4.0, 5.0, 6.0)
        program.release()
        resources.release_all()


def test_carried_uniforms_are_the_same_numbers(shaders):
    """On software OpenGL the vertex shader hands them over; arrays only where indices are numbers."""
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.resources import Resources

    (shaders / "fullscreen.vert").write_text(
        "void main() {\n    gl_Position = vec4(float(gl_VertexID & 1) * 4.0 - 1.0,\n"
        "                       float(gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0);\n}\n"
    )
    (shaders / "x.frag").write_text(
        "uniform float u_a, u_b;  // two\nuniform vec3 u_fixed[2];\nuniform vec3 u_any[2];\nout vec4 f;\n"
        "uniform int u_n;\nuniform mat4 u_m;\n"
        "void main() {\n    vec3 sum = u_fixed[0] + u_fixed[1];\n"
        "    for (int i = 0; i < u_n; i++) sum += u_any[i];\n    f = u_m * vec4(sum, u_a - u_b);\n}\n"
    )
    vertex, fragment = (ShaderSource(name, root=shaders) for name in ("fullscreen.vert", "x.frag"))
    carry_uniforms(vertex, fragment)
    assert "flat in vec3 carried_u_fixed_0, carried_u_fixed_1;" in fragment.text
    assert "uniform vec3 u_any[2];" in fragment.text
    assert fragment.text.count("uniform") == 1
    assert fragment.locate(f"0:{fragment.lines.index('out vec4 f;') + 1}(1): error: x") == "x.frag:4: x"
    matrix = np.arange(16.0).reshape(4, 4)
    seen = []
    with headless_context() as context:
        resources = Resources(context)
        fbo = resources.framebuffer([resources.texture((4, 4), 4, dtype="f4")])
        for software in (True, False):
            programs = ProgramCache(resources, shaders)
            programs._software = software
            program = programs.get("fullscreen.vert", "x.frag")
            for name, value in (
                *(("u_a", 0.7), ("u_b", 0.2), ("u_n", 2), ("u_m", matrix)),
                *(("u_fixed", [(1, 2, 3), (4, 5, 6)]), ("u_any", [(0.1, 0.2, 0.3), (7, 8, 9)])),
            ):
                program.set_any(name, value)
            fbo.use()
            programs.draw_fullscreen(program)
            seen.append(np.frombuffer(fbo.read(components=4, dtype="f4"), np.float32))
            programs.release()
        resources.release_all()
    assert np.allclose(seen[0][:4], matrix @ [12.1, 15.2, 18.3, 0.5], rtol=1e-5)
    assert np.array_equal(*seen)


@pytest.mark.parametrize("name", sorted(COLORMAPS))
def test_colormap_polynomials_follow_matplotlib(name):
    """0.045: the error of a polynomial of degree 6, largest at the dark end of inferno."""
    t = np.linspace(0, 1, 256)
    table = matplotlib.colormaps[name](t)[:, :3]
    assert np.abs(colormap(name, t) - table).max() < 0.045
