"""Recover the texture and the corners of a cube from pictures of it."""

import nvdiffrast.torch as dr
import torch
import torch.nn.functional as F

device = "cuda" if torch.cuda.is_available() else "cpu"
glctx = dr.RasterizeCudaContext(device=device)
# Eight shared corners; every face shows the whole texture through its own uv triangles.
corners = torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1, 1) for z in (-1, 1)], device=device)
quads = [[4, 6, 7, 5], [1, 3, 2, 0], [2, 3, 7, 6], [0, 4, 5, 1], [1, 5, 7, 3], [0, 2, 6, 4]]
pos_idx = torch.tensor([q[:3] for q in quads] + [[q[0], q[2], q[3]] for q in quads]).int().to(device)
uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]], device=device)
uv_idx = torch.tensor([[0, 1, 2]] * 6 + [[0, 2, 3]] * 6).int().to(device)


def true_texture(size):
    y, x = torch.meshgrid(*[torch.linspace(0, 1, size, device=device)] * 2, indexing="ij")
    waves = [torch.sin(a * x + b * y + c) for a, b, c in ((9, 5, 0), (-7, 11, 2), (3, -13, 4))]
    return 0.5 + 0.4 * torch.stack(waves, dim=-1)


def random_cameras(count):
    turns, _ = torch.linalg.qr(torch.randn(count, 3, 3))
    mtx = torch.eye(4).repeat(count, 1, 1)
    mtx[:, :3, :3] = turns * torch.linalg.det(turns)[:, None, None]
    mtx[:, 2, 3] = -4.0 - 3.0 * torch.rand(count)
    proj = torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, -1.2, -2.2], [0, 0, -1, 0]])
    return (proj @ mtx).to(device)


def render(mtx, pos, tex, resolution):
    pos_clip = torch.matmul(F.pad(pos, (0, 1), value=1.0), mtx.transpose(1, 2)).contiguous()
    rast, rast_db = dr.rasterize(glctx, pos_clip, pos_idx, resolution=[resolution, resolution])
    texc, texd = dr.interpolate(uv[None, ...], rast, uv_idx, rast_db=rast_db, diff_attrs="all")
    color = dr.texture(tex[None, ...], texc, texd, filter_mode="linear-mipmap-linear", boundary_mode="clamp")
    color = torch.where(rast[..., 3:] > 0, color, torch.ones_like(color))
    return dr.antialias(color, rast, pos_clip, pos_idx)


def fit(steps=200, resolution=48):
    torch.manual_seed(0)
    goal = true_texture(32)
    pos = (corners + 0.1 * torch.randn(8, 3).to(device)).requires_grad_()
    tex = torch.full_like(goal, 0.5).requires_grad_()
    optimizer = torch.optim.Adam([{"params": [tex], "lr": 2e-2}, {"params": [pos], "lr": 5e-3}])
    for _ in range(steps):
        mtx = random_cameras(4)
        fine = render(mtx, corners, goal, 4 * resolution)
        target = fine.reshape(4, resolution, 4, resolution, 4, 3).mean((2, 4))
        loss = torch.mean((render(mtx, pos, tex, resolution) - target) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item(), (tex - goal).abs().mean().item(), (pos - corners).abs().max().item()


if __name__ == "__main__":
    for i, (loss, tex_error, pos_error) in enumerate(fit()):
        print(f"{i:4d}  loss {loss:.6f}  texture off by {tex_error:.4f}  corners by {pos_error:.4f}")
