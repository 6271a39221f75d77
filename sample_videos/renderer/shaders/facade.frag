// House fronts: storeys of windows, a shop storey, plaster or brick. uv in metres, layer = seed.
void main() {
    vec3 v = normalize(eye - position);
    vec3 n = normalize(normal);
    if (dot(n, v) < 0.0) n = -n;
    float seed = state.w;
    vec2 cell = vec2(2.2 + fract(seed * 7.13) * 1.6, 3.0 + fract(seed * 3.7) * 0.5);
    vec2 at = uv.xy / cell;
    vec2 id = floor(at);
    vec2 f = fract(at);
    float pick = fract(sin(dot(id, vec2(12.98, 78.2)) + seed * 91.0) * 43758.5);
    bool shop = uv.y < cell.y * 1.05;
    vec2 low = shop ? vec2(0.06, 0.02) : vec2(0.24 - 0.12 * fract(seed * 5.3), 0.24);
    vec2 high = shop ? vec2(0.94, 0.72) : vec2(0.76 + 0.12 * fract(seed * 5.3), 0.82);
    vec2 soft = fwidth(at) * 0.7 + 0.004;
    vec2 inside = smoothstep(low - soft, low + soft, f) * smoothstep(high + soft, high - soft, f);
    float pane = inside.x * inside.y;
    vec2 frame = smoothstep(low + 0.035 - soft, low + 0.035 + soft, f)
        * smoothstep(high - 0.035 + soft, high - 0.035 - soft, f);
    float bar = smoothstep(0.015 + soft.x, 0.015, abs(f.x - 0.5));
    float glass = pane * frame.x * frame.y * (1.0 - bar * (shop ? 0.0 : 1.0));
    float far = clamp(1.2 - max(soft.x, soft.y) * 2.0, 0.0, 1.0);
    glass *= far; pane *= far;
    if (n.y > 0.7) { glass = 0.0; pane = 0.0; }
    float stain = texture(noise, uv.xy * 0.05 + seed).b * 0.5 + texture(noise, uv.xy * 0.6).g * 0.2;
    vec3 wall = tinted.rgb * (0.68 + stain * 0.6);
    vec2 brick = vec2(uv.x / 0.25, uv.y / 0.08);
    brick.x += 0.5 * step(1.0, mod(brick.y, 2.0));
    vec2 b = fract(brick);
    float mortar = 1.0 - smoothstep(0.0, 0.1, b.x) * smoothstep(0.0, 0.2, b.y);
    wall *= 1.0 - 0.25 * mortar * step(0.6, fract(seed * 2.31)) * (1.0 - smoothstep(0.2, 1.0, fwidth(brick.y)));
    if (shop) wall = mix(wall, vec3(0.2, 0.19, 0.18), 0.7);
    float house = fract(seed * 13.7 + floor(id.x / 3.0) * 0.37);
    vec3 fascia = mix(vec3(0.25), 0.5 + 0.5 * cos(6.28 * (vec3(0.0, 0.33, 0.67) + house)), 0.45)
        * (0.15 + 0.8 * fract(house * 5.7));
    if (shop && f.y > 0.76) wall = fascia;
    vec3 albedo = mix(wall, vec3(0.55, 0.54, 0.52), pane - glass);
    albedo = mix(albedo, vec3(0.03 + 0.06 * pick), glass);
    float curtain = step(0.55, pick) * step(f.y, 0.5 + pick * 0.3) * glass * (shop ? 0.0 : 1.0);
    albedo = mix(albedo, vec3(0.4, 0.39, 0.36), curtain * 0.6);
    float sun = sunlit(position, n);
    vec3 c = shade(albedo, glass * 0.95, 0.07, sun, n, v, position);
#ifdef NIGHT
    float on = shop ? 0.9 : step(0.72, pick);
    vec3 warm = mix(vec3(1.0, 0.72, 0.4), vec3(0.8, 0.9, 1.0), fract(pick * 7.0));
    c += warm * glass * on * (shop ? 0.55 : 0.28) * (0.6 + 0.4 * texture(noise, uv.xy * 0.2).g);
#endif
    result = vec4(hazed(c, position), 1.0);
}
