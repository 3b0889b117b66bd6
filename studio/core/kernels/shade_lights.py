"""Surfaces under direct lights, as C++ of lanes (see lanes.py): what shade.py and its adjoint share.

views  [N, 5] rows of three: the rotation into light space by rows, the camera in world and in
       light space
lights [L, 4] rows of three: direction or position, radiance, axis, (cos outer, cos inner, 0)
"""

from __future__ import annotations

MIN_DISTANCE2 = 1.0e-4
"""A point light closer than 0.01 units does not get brighter."""

# Surfaces in light space; `view` is the view's rows.
SURFACE = """
    struct Surface {
        V n, v, p, albedo;
        F distance, rough, alpha, raw_nov, nov, metallic;
        // From albedo, metallic, and n, p, rough as they are in the picture.
        void place(const float* view) {
            const V d = (V::of(view + 9) - p).by(view);
            distance = Each::max(d.length(), F(1.0e-12f));
            n = n.by(view);
            v = d * (1.0f / distance);
            p = V::of(view + 12) - d;
            const F r = Each::max(rough, F(MIN_ROUGHNESS));
            alpha = r * r;
            raw_nov = n.dot(v);
            nov = Each::clamp(raw_nov, MIN_NOV, 1.0f);
        }
        V reflected() const { return n * (2.0f * raw_nov) - v; }
    };
"""

LIGHTS = (
    f"""
    constexpr int DIRECTIONAL = 0, SPOT = 2, AREA = 3;
    constexpr float MIN_DISTANCE2 = {MIN_DISTANCE2}f;
"""
    + """
    // A light as one surface sees it. Where it is below the horizon `near` is 0 and NoL 1.
    struct Ray {
        V l;
        F length, nol, near, inside, cosine;
        static Ray of(const Surface& s, int kind, const float* light) {
            Ray o;
            const V d = kind == DIRECTIONAL ? V::of(light) : V::of(light) - s.p;
            o.length = Each::max(d.length(), F(1.0e-12f));
            o.l = d * (1.0f / o.length);
            o.nol = s.n.dot(o.l);
            const auto lit = o.nol > 0.0f;
            o.nol = lit ? o.nol : F(1.0f);
            o.near = F(1.0f);
            if (kind != DIRECTIONAL) o.near = 1.0f / Each::max(o.length * o.length, F(MIN_DISTANCE2));
            o.near = lit ? o.near : F(0.0f);
            o.inside = F(1.0f);
            o.cosine = F(1.0f);
            if (kind == SPOT) {
                o.cosine = V::of(light + 6).dot(o.l);
                const F t = fade(o.cosine, light);
                o.inside = t * t * (3.0f - 2.0f * t);
            }
            return o;
        }
        // Where between a spot's outer and inner angle, 0..1; its share is smooth in between.
        static float width(const float* light) {
            const float w = light[10] - light[9];
            return w > 1.0e-6f ? w : 1.0e-6f;
        }
        static F fade(F cosine, const float* light) {
            return Each::clamp((cosine - light[9]) * (1.0f / width(light)), 0.0f, 1.0f);
        }
    };
    // Light on the surface: diffuse, the specular part without / with the Fresnel weight, and what
    // area lights fill of the lobe.
    struct Incoming {
        V diffuse, s0, s1, glossy;
        void add_panel(const float* light, const F* seen, F open) {
            const V e = V::of(light + 3) * open;
            diffuse += e * seen[0];
            glossy += e * seen[1];
        }
        void add(const Surface& s, const Ray& ray, const float* light, F open) {
            const V e = V::of(light + 3) * (ray.near * ray.inside * open);
            const Lobe lobe = Lobe::of(Half::of(s.n, s.v, ray.l, ray.nol, s.nov, s.alpha), ray.nol);
            const F with = lobe.value * lobe.fresnel;
            diffuse += e * ray.nol;
            s0 += e * (lobe.value - with);
            s1 += e * with;
        }
    };
"""
)

# How a surface answers the light: f0 * p + q, compensated, mixed from a dielectric's f0 and a
# metal's. Each has its own compensation: that of the mixed f0 would lose up to 16 % of the light of
# a half-metal. p and q are what the lobe returns without and with the Fresnel weight. A lobe of
# reflectance f0 is compensated by the factor 1 + f0 * more for what scatters more than once between
# microfacets: Lagarde and Golubev 2018 after Kulla and Conty 2017.
MATERIAL = """
    struct Material {
        F a, b, more;
        float f0;
        static Material of(const Surface& s, float f0) {
            const Dfg ab = Dfg::of(s.nov, s.alpha);
            return {ab.a, ab.b, 1.0f / (ab.a + ab.b) - 1.0f, f0};
        }
        V specular(const Surface& s, V p, V q) const {
            const V comp = V::all(F(1.0f)) + s.albedo * more;
            const F dielectric = (1.0f - s.metallic) * (1.0f + f0 * more);
            return (p * F(f0) + q) * dielectric + comp * (s.albedo * p + q) * s.metallic;
        }
        // Part of the light that a dielectric does not reflect; it feeds the diffuse part. The same
        // for all directions of light: energy is conserved at grazing angles, where weighting each
        // light by 1 - F(LoH), as glTF's sample does, would return twice the light.
        F entering() const { return 1.0f - (f0 * a + b) * (1.0f + f0 * more); }
    };
"""

# Environment of spherical harmonics, rows of three at `sh`, before the soft clamp.
ENVIRONMENT = """
    struct Lookup {
        F basis[25], nine[9], blur;
        V diffuse, specular;
        void at(const Surface& s, const float* sh) {
            blur = Each::exp2(LobeBlur::value(s.alpha) * -2.88539008f);  // exp(-2 k)
            Harmonics::basis(s.reflected(), basis);
            Harmonics::blur(basis, blur);
            Harmonics::irradiance(s.n, nine);
            diffuse = Harmonics::sum(nine, sh, 9);
            specular = Harmonics::sum(basis, sh, 25);
        }
    };
    // The environment at a pixel, irradiance over pi and what the lobe sees, and their shares that
    // get through ambient occlusion.
    struct Around {
        V diffuse, specular;
        F ao, so;
        void look(Lookup& raw, const Surface& s, const float* sh, const float* mean) {
            raw.at(s, sh);
            diffuse = SoftClamp::value(raw.diffuse, mean);
            specular = SoftClamp::value(raw.specular, mean);
        }
    };
"""

# Reads the surfaces of a block, and what of each light gets through (all where nobody says).
READ_BLOCK = """
        const float* view = (const float*)views.data + 15 * (where[0] / view_pixels);
        constexpr int STEP = sizeof(Surface) / sizeof(F);
        read(albedo, &s[0].albedo.x, STEP, 3);
        read(normal, &s[0].n.x, STEP, 3);
        read(position, &s[0].p.x, STEP, 3);
        read(roughness, &s[0].rough, STEP, 1);
        read(metallic, &s[0].metallic, STEP, 1);
        read(visibility, open[0], 4, 4);
        for (int j = 0; j < groups; ++j) s[j].place(view);
        // The light from all lamps.
        for (int j = 0; j < groups; ++j) in[j] = {};
        for (int i = 0, panel = 0; i < lamps; ++i) {
            const float* light = (const float*)lights.data + 12 * i;
            const bool wide = kinds[i] == AREA;
            if (wide) read(panels, seen[0], 2, 2, 2 * panel++);
            for (int j = 0; j < groups; ++j) {
                const F part = i < 4 ? open[j][i] : F(1.0f);
                if (wide) in[j].add_panel(light, seen[j], part);
                else in[j].add(s[j], Ray::of(s[j], kinds[i], light), light, part);
            }
        }
        // What of the environment arrives.
        const bool occluded = ao.shape[0] > 0, mapped = env_diffuse.shape[0] > 0;
        read(env_diffuse, &around[0].diffuse.x, sizeof(Around) / sizeof(F), 3);
        read(env_specular, &around[0].specular.x, sizeof(Around) / sizeof(F), 3);
        for (int j = 0; j < groups; ++j) around[j].ao = around[j].so = F(1.0f);
        if (occluded) {
            read(ao, &around[0].ao, sizeof(Around) / sizeof(F), 1);
            for (int j = 0; j < groups; ++j)
                around[j].so = SpecularOcclusion::value(s[j].nov, around[j].ao, s[j].alpha);
        }
"""

# What READ_BLOCK fills in.
BLOCK_STATE = """
    Surface s[GROUPS];
    Incoming in[GROUPS];
    Around around[GROUPS];
    F open[GROUPS][4], seen[GROUPS][2];
    for (int j = 0; j < GROUPS; ++j) {
        for (int i = 0; i < 4; ++i) open[j][i] = F(1.0f);
        seen[j][0] = seen[j][1] = F(0.0f);
    }
    const int* kinds = (const int*)kind.data;
    const int lamps = kind.shape[0];
    const float f0 = *(const float*)specular_f0.data;
    const float* S = (const float*)sh.data;
    const float mean[3] = {K0 * S[0], K0 * S[1], K0 * S[2]};
"""
