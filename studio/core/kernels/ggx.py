"""The GGX lobe of one direct light and its adjoint, as C++ of lanes (see lanes.py).

Kept apart from shade.py because this is the part with a closed form worth reading alone.
The lobe is pi * D_GGX * V_SmithGGXCorrelated * NoL; the light's radiance convention (a white
Lambertian surface facing it has radiance `intensity`) puts the pi there.

    D_GGX = k^2, k = alpha / (|n x h|^2 + alpha^2 NoH^2)    Walter et al. 2007, without 1 / pi;
                                                            |n x h|^2 where 1 - NoH^2 cancels
    V_SmithGGXCorrelated = 0.5 / (NoL root_v + NoV root_l)  Heitz 2014
    F_Schlick = f0 + (1 - f0) (1 - LoH)^5                   Schlick 1994
"""

GGX = """
    // What lobe and adjoint are made of; unit n, v and l, NoL > 0.
    struct Half {
        V h;
        F length, raw_noh, noh, loh, a2, den, k, root_v, root_l, vis;
        static Half of(V n, V v, V l, F nol, F nov, F alpha) {
            Half o;
            const V s = l + v;
            o.length = Each::max(s.length(), F(1.0e-6f));
            o.h = s * (1.0f / o.length);
            o.raw_noh = n.dot(o.h);
            o.noh = Each::max(o.raw_noh, F(0.0f));
            o.loh = Each::clamp(l.dot(o.h), 0.0f, 1.0f);
            const V nxh = n.cross(o.h);
            o.a2 = alpha * alpha;
            // alpha^2 at least; 1 where h has no direction, with the light right opposite to the viewer.
            const F least = o.length > 1.0e-6f ? F(1.0e-6f) : F(1.0f);
            o.den = Each::max(nxh.dot(nxh) + o.a2 * o.noh * o.noh, least);
            o.k = alpha / o.den;
            o.root_v = Each::sqrt(nov * nov * (1.0f - o.a2) + o.a2);
            o.root_l = Each::sqrt(nol * nol * (1.0f - o.a2) + o.a2);
            o.vis = 0.5f / (nol * o.root_v + nov * o.root_l);
            return o;
        }
    };
    // Value of the lobe and the Fresnel weight (1 - LoH)^5.
    struct Lobe {
        F value, fresnel;
        static Lobe of(const Half& o, F nol) {
            const F u = 1.0f - o.loh, u2 = u * u;
            return {o.k * o.k * o.vis * nol, u2 * u2 * u};
        }
    };
"""

GGX_ADJOINT = """
    // Gradients of what the lobe was made from, for those at its value and Fresnel weight.
    struct LobeAdjoint {
        V n, v, l;
        F nov, alpha;
        static LobeAdjoint of(const Half& o, V n, V l, F nol, F nov, F alpha, F g_value, F g_fresnel) {
            const F g = o.k * o.vis * g_value;
            const F g_k = 2.0f * nol * g;
            const F g_sum = -2.0f * o.vis * o.k * nol * g;
            const F inverse = 1.0f / o.den, g_den = -g_k * o.k * inverse;
            const F to_v = nol / o.root_v, to_l = nov / o.root_l, rest = 1.0f - o.a2;
            const F g_nol = o.k * g + g_sum * (o.root_v + to_l * nol * rest);
            F g_a2 = g_sum * 0.5f * (to_v * (1.0f - nov * nov) + to_l * (1.0f - nol * nol));
            g_a2 += g_den * o.noh * o.noh;
            const F g_noh = g_den * 2.0f * o.a2 * o.noh;
            const F u = 1.0f - o.loh, u2 = u * u;
            const F g_loh = -5.0f * u2 * u2 * g_fresnel;
            const V g_h = l * g_loh + (o.h - n * o.raw_noh) * (2.0f * g_den) + n * g_noh;
            const V g_s = (g_h - o.h * o.h.dot(g_h)) * (1.0f / o.length);
            LobeAdjoint out;
            out.n = (n - o.h * o.raw_noh) * (2.0f * g_den) + o.h * g_noh + l * g_nol;
            out.v = g_s;
            out.l = g_s + o.h * g_loh + n * g_nol;
            out.nov = g_sum * (o.root_l + to_v * nov * rest);
            out.alpha = g_k * inverse + 2.0f * alpha * g_a2;
            return out;
        }
    };
"""
