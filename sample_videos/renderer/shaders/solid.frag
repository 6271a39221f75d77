// Things of one colour per corner. kind: 0 matt, 1 tinted, 2 chrome, 3 glass, 4 signal lamp,
// 5 glowing, 6 rubber, 7 glossy tint.
void main() {
    vec3 v = normalize(eye - position);
    vec3 n = normalize(normal);
    if (dot(n, v) < 0.0) n = -n;
    float kind = floor(colour.a + 0.5);
    vec3 albedo = colour.rgb;
    float gloss = 0.0, mirror = 0.04;
    vec3 glow = vec3(0.0);
    if (kind == 1.0 || kind == 7.0) albedo *= tinted.rgb;
    if (kind == 1.0) {
        // Folds and wear of cloth.
        vec2 at = local.xy * vec2(0.8, 0.35) + local.zx * 0.5 + tinted.rb;
        albedo *= 0.72 + 0.56 * texture(noise, at * 0.7).g;
    }
    if (kind == 2.0) { gloss = 0.8; mirror = 0.6; }
    if (kind == 3.0) { gloss = 1.0; mirror = 0.06; albedo = vec3(0.015); }
    if (kind == 7.0) { gloss = 0.9; }
    if (kind == 4.0) {
        float lit = step(abs(uv.x - state.w), 0.1) + step(2.5, state.w) * step(0.5, 1.5 - uv.x);
        float rim = smoothstep(1.0, 0.75, uv.y);
        glow = albedo * albedo * lit * mix(1.2, 3.4, rim) * state.x;
        albedo *= 0.07;
        gloss = 0.3;
    }
    if (kind == 5.0) { glow = albedo * state.x; }
    if (kind == 8.0) { glow = vec3(4.5, 4.2, 3.6) * state.x; albedo = vec3(0.5); gloss = 0.6; }
    if (kind == 9.0) { glow = vec3(2.2, 0.05, 0.03) * (state.y * 0.5 + state.z); gloss = 0.5; }
    float sun = sunlit(position, n);
    vec3 c = shade(albedo, gloss, mirror, sun, n, v, position) + glow;
    result = vec4(hazed(c, position), 1.0);
}
