"""The adjoint of how a surface answers the light, part of shade_adjoint.py: no directions in it.

C++ of lanes (see lanes.py); the forward side is in shade_lights.py and shade.py.
"""

from __future__ import annotations

# Gradients of what Material::specular takes, for gradient g at its value.
_SPECULAR = """
    struct SpecularAdjoint {
        V p, q, albedo;
        F metallic, f0, more;
        static SpecularAdjoint of(const Surface& s, const Material& m, V p, V q, V g) {
            const V comp = V::all(F(1.0f)) + s.albedo * m.more;
            const F comp_d = 1.0f + m.f0 * m.more, plain = 1.0f - s.metallic;
            const V lobe_m = s.albedo * p + q, lobe_d = p * F(m.f0) + q;
            const V g_comp = g * lobe_m * s.metallic, g_m = g * comp * s.metallic;
            const V g_d = g * (plain * comp_d);
            const F g_comp_d = plain * g.dot(lobe_d);
            SpecularAdjoint o;
            o.p = g_m * s.albedo + g_d * F(m.f0);
            o.q = g_m + g_d;
            o.albedo = g_m * p + g_comp * m.more;
            o.f0 = g_d.dot(p) + m.more * g_comp_d;
            o.metallic = g.dot(comp * lobe_m - lobe_d * comp_d);
            o.more = g_comp.dot(s.albedo) + g_comp_d * m.f0;
            return o;
        }
        // What another adds to the material; p and q stay.
        void add(const SpecularAdjoint& b) {
            albedo += b.albedo;
            metallic += b.metallic;
            f0 += b.f0;
            more += b.more;
        }
    };
"""

# Gradients of what `shade` of shade.py takes: of the light, of the environment and of the material.
# `offers`: gradients come to more than the colour.
_ANSWER = """
    struct Upstream { V color, irradiance, base, reflectance, reflection; };
    struct MaterialAdjoint {
        Incoming in;
        V env_d, env_s, albedo;
        F ao, metallic, f0, nov, alpha;
        static MaterialAdjoint of(const Surface& s, const Incoming& in, const Around& env, const Upstream& g,
                                  float f0, bool offers, bool occluded) {
            const Material m = Material::of(s, f0);
            const V all = env.specular * env.so + in.glossy;
            SpecularAdjoint back =
                SpecularAdjoint::of(s, m, in.s0 + all * m.a, in.s1 + all * m.b, g.color);
            F g_a = back.p.dot(all), g_b = back.q.dot(all);
            if (offers) {
                const SpecularAdjoint alone =
                    SpecularAdjoint::of(s, m, V::all(m.a), V::all(m.b), g.reflectance);
                g_a += alone.p.sum();
                g_b += alone.q.sum();
                back.add(alone);
            }
            // Through `entering`: 1 - once * twice.
            const F plain = 1.0f - s.metallic, once = f0 * m.a + m.b, twice = 1.0f + f0 * m.more;
            const F rest = 1.0f - once * twice;
            const V g_base = g.color * (in.diffuse + env.diffuse * env.ao) + g.base;
            const F g_shown = s.albedo.dot(g_base), g_rest = plain * g_shown;
            const V g_total = g.color * s.albedo * (plain * rest) + g.irradiance;
            const V g_all = back.p * m.a + back.q * m.b, g_mirrored = g_all + g.reflection;
            MaterialAdjoint o;
            o.in = {g_total, back.p, back.q, g_all};
            o.env_d = g_total * env.ao;
            o.env_s = g_mirrored * env.so;
            o.albedo = back.albedo + g_base * (plain * rest);
            o.metallic = back.metallic - rest * g_shown;
            o.f0 = back.f0 - g_rest * (m.a * twice + once * m.more);
            const F inverse = 1.0f / (m.a + m.b);
            const F g_sum = (g_rest * once * f0 - back.more) * inverse * inverse;
            g_a += g_sum - g_rest * twice * f0;
            g_b += g_sum - g_rest * twice;
            const Dfg::Slopes slopes = Dfg::slopes(s.nov, s.alpha);
            o.ao = g_total.dot(env.diffuse);
            o.nov = g_a * slopes.a_nov + g_b * slopes.b_nov;
            o.alpha = g_a * slopes.a_alpha + g_b * slopes.b_alpha;
            if (occluded) {
                const SpecularOcclusion::Slopes dark = SpecularOcclusion::slopes(s.nov, env.ao, s.alpha);
                const F g_so = g_mirrored.dot(env.specular);
                o.ao += g_so * dark.ao;
                o.nov += g_so * dark.nov;
                o.alpha += g_so * dark.alpha;
            }
            return o;
        }
    };
"""

MATERIAL_ADJOINT = _SPECULAR + _ANSWER
