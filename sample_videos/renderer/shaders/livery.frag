// A vehicle body: paint, glass, lamps and trim mixed by the weights of its livery.
uniform sampler2DArray liveries;

void main() {
    vec3 v = normalize(eye - position);
    vec3 n = normalize(normal);
    if (dot(n, v) < 0.0) n = -n;
    vec4 w = texture(liveries, uv);
    float rest = clamp(1.0 - w.r - w.g - w.b, 0.0, 1.0);
    float dirt = texture(noise, local.xz * 0.21 + local.y * 0.13 + state.w).g;
    float low = smoothstep(0.9, 0.1, local.y) * dirt * 0.35;
    vec3 paint = mix(tinted.rgb, vec3(0.16, 0.14, 0.12), low);
    bool ahead = local.z > 0.0;
    vec3 lens = ahead ? vec3(0.55, 0.57, 0.6) : vec3(0.42, 0.015, 0.015);
    vec3 albedo = paint * w.r + vec3(0.012, 0.014, 0.016) * w.g + lens * w.b
        + vec3(w.a * 0.8) * rest;
    float gloss = w.r * (1.0 - low * 2.0) + w.g + w.b * 0.8 + rest * (0.1 + 0.6 * w.a);
    float mirror = 0.04 + w.g * 0.06 + rest * w.a * 0.3;
    float sun = sunlit(position, n);
    // The underside and the wells under the sills see little sky.
    float shut = smoothstep(0.05, 0.5, local.y + 0.12);
    vec3 c = shade(albedo * mix(0.35, 1.0, shut), gloss, mirror, sun, n, v, position);
    // Seats and far windows seen faintly through the glass.
    c += w.g * ground_light * 0.10 * texture(noise, uv.xy * vec2(0.9, 0.4) + state.w).b;
#ifdef NIGHT
    float seats = texture(noise, uv.xy * vec2(2.3, 0.9) + state.w).b;
    if (state.w > 1.5 && local.y > 1.1)
        c += w.g * vec3(0.20, 0.19, 0.155) * (0.2 + 0.9 * seats) * (abs(local.x) > 1.2 ? 1.0 : 0.25);
#endif
    vec3 glow = ahead ? vec3(5.5, 5.2, 4.6) * state.x : vec3(1.9, 0.04, 0.02)
        * (state.y * 0.45 + state.z * 1.3);
    c += glow * w.b * w.b;
    result = vec4(hazed(c, position), 1.0);
}
