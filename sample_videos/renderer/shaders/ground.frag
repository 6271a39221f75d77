// The ground: asphalt with its markings along the road, then kerb paving or grass.
uniform vec3 wave[3];          // amplitude, wavenumber, phase of the road's bends
uniform vec2 edges;            // sideways limits of the asphalt
uniform vec4 verge;            // left paving width, right paving width, grass or paving beyond, dirt
uniform int line_count;
uniform vec4 lines[10];        // sideways place, width (negative: yellow), dash, period
uniform int crossing_count;
uniform vec4 crossings[6];     // z, half length, kind (0 road, 1 zebra, 2 stop line), sideways
uniform vec3 road_tone;        // brightness, patchiness, wear of the paint
uniform vec3 grass_colour;
uniform sampler2D mirror_image;
uniform vec2 screen;

float band(float x, float half_width) {
    float soft = fwidth(x) * 0.6 + 1e-4;
    return smoothstep(half_width + soft, half_width - soft, abs(x))
        * min(1.0, half_width * 2.0 / max(soft, 1e-4));
}

void main() {
    vec3 v = normalize(eye - position);
    vec3 n = vec3(0.0, 1.0, 0.0);
    float z = position.z;
    float bend = 0.0, slope = 0.0;
    for (int i = 0; i < 3; ++i) {
        bend += wave[i].x * sin(z * wave[i].y + wave[i].z);
        slope += wave[i].x * wave[i].y * cos(z * wave[i].y + wave[i].z);
    }
    float s = (position.x - bend) * inversesqrt(1.0 + slope * slope);
    vec4 fine = texture(noise, position.xz * 0.83);
    vec4 middle = texture(noise, position.xz * 0.071);
    vec4 large = texture(noise, position.xz * 0.0113);
    bool cross_road = false;
    float paint = 0.0;
    float yellow = 0.0;
    float wear = smoothstep(road_tone.z - 0.15, road_tone.z + 0.2, fine.r * 0.5 + middle.g * 0.6);
    for (int i = 0; i < crossing_count; ++i) {
        float dz = z - crossings[i].x;
        if (crossings[i].z < 0.5) {
            if (abs(dz) < crossings[i].y) cross_road = true;
        } else if (crossings[i].z < 1.5) {
            float bars = abs(mod(s + 50.0, 1.0) - 0.5);
            float soft = min(fwidth(s) * 0.6 + 1e-4, 0.4);
            float bar = smoothstep(0.25 + soft, 0.25 - soft, bars);
            paint = max(paint, bar * band(dz, crossings[i].y));
        } else {
            float mid = crossings[i].w;
            float across = step(min(mid, 0.0), s) * step(s, max(mid, 0.0));
            paint = max(paint, band(dz, crossings[i].y) * across);
        }
    }
    bool on_road = s > edges.x && s < edges.y;
    bool in_box = cross_road && on_road;
    if (!cross_road) {
        for (int i = 0; i < line_count; ++i) {
            float w = abs(lines[i].y);
            float on = band(s - lines[i].x, w * 0.5);
            if (lines[i].z < lines[i].w) {
                float run = mod(z, lines[i].w);
                float soft = fwidth(z) * 0.6 + 0.01;
                float share = lines[i].z / lines[i].w;
                float dash = smoothstep(-soft, soft, run) * smoothstep(lines[i].z + soft, lines[i].z - soft, run);
                on *= mix(dash, share, clamp(soft / lines[i].w * 2.0 - 0.5, 0.0, 1.0));
            }
            if (lines[i].y < 0.0) yellow = max(yellow, on);
            paint = max(paint, on);
        }
    }
    bool asphalt = on_road || cross_road;
    vec3 albedo;
    float rough = 1.0;
    float along = z;
    if (asphalt) {
        float tone = road_tone.x * (0.80 + 0.34 * fine.r + 0.26 * (middle.g - 0.5) + 0.35 * (large.b - 0.5));
        // Wheels polish two tracks in each lane.
        float lane = mod(s - edges.x, 3.5) - 1.75;
        tone *= 1.0 + 0.10 * exp(-pow((abs(lane) - 0.8) / 0.3, 2.0)) - 0.07 * exp(-lane * lane * 6.0);
        float patchy = smoothstep(0.56, 0.58, texture(noise, vec2(s * 0.021, z * 0.0043)).g) * road_tone.y;
        tone *= 1.0 - 0.28 * patchy;
        float crack = texture(noise, position.xz * 0.19).a * smoothstep(0.45, 0.6, large.g);
        tone *= 1.0 - 0.5 * crack * road_tone.y;
        // Sealed joints between the lanes and grit that the grain alone does not show.
        tone *= 0.90 + 0.20 * texture(noise, position.xz * 3.1).r;
        albedo = tone * vec3(1.0, 0.985, 0.96);
        vec3 line_colour = mix(vec3(0.74, 0.74, 0.72), vec3(0.72, 0.48, 0.06), yellow);
        albedo = mix(albedo, line_colour, clamp(paint, 0.0, 1.0) * (1.0 - wear * 0.75));
    } else {
        float side = s < edges.x ? edges.x - s : s - edges.y;
        float paved = s < edges.x ? verge.x : verge.y;
        vec2 slab = vec2(s, z) / vec2(0.5, 0.5);
        vec2 joint = abs(fract(slab) - 0.5);
        float seam = smoothstep(0.46, 0.5, max(joint.x, joint.y)) * (1.0 - smoothstep(0.1, 0.5, fwidth(slab.y)));
        vec3 paving = vec3(0.30, 0.29, 0.275) * (0.8 + 0.25 * fine.g + 0.3 * (middle.b - 0.3)) * (1.0 - 0.3 * seam);
        vec3 grass = grass_colour * (0.45 + 0.65 * fine.r + 0.5 * middle.g) * (0.7 + 0.6 * large.g);
        grass = mix(grass, vec3(0.20, 0.16, 0.10) * (0.7 + 0.6 * fine.r), verge.w * smoothstep(0.45, 0.7, middle.b));
        vec3 beyond = mix(grass, paving * 0.9, verge.z);
        albedo = mix(paving, beyond, smoothstep(paved - 0.05, paved + 0.05, side));
        if (paved < 0.3) {
            // A ragged gravel edge between asphalt and grass.
            float gravel = smoothstep(1.1, 0.2, side + (middle.g - 0.5) * 1.2);
            albedo = mix(albedo, vec3(0.26, 0.24, 0.21) * (0.6 + 0.7 * fine.r), gravel);
        }
        rough = 0.7 + 0.3 * verge.z;
    }
    float sun = sunlit(position, n);
    float damp = wet * (asphalt ? 1.0 : 0.5);
    albedo *= 1.0 - 0.5 * damp;
    vec3 c = shade(albedo, 0.0, 0.0, sun, n, v, position);
    float graze = pow(1.0 - max(v.y, 0.0), 5.0);
#ifdef WET
    float d = length(position - eye);
    vec2 at = gl_FragCoord.xy / screen;
    float pool = smoothstep(0.42, 0.62, middle.g * 0.6 + large.b * 0.5);
    float ripple = (1.0 - pool * 0.8);
    vec2 jolt = (fine.rg - 0.5) * vec2(0.010, 0.05) * ripple / (1.0 + d * 0.03);
    float spread = (0.016 + 0.05 * ripple) / (1.0 + d * 0.015);
    vec3 r = vec3(0.0);
    for (int i = -3; i <= 3; ++i)
        r += textureLod(mirror_image, at + jolt + vec2(0.0, (float(i) + fine.g - 0.5) * spread), 0.0).rgb;
    r /= 7.0;
    float f = (0.04 + 0.75 * graze) * damp * mix(0.55, 1.0, pool);
    c = mix(c, r, clamp(f, 0.0, 0.9));
#else
    c = mix(c, sky_gradient(reflect(-v, n)), 0.35 * graze * graze * (asphalt ? 1.0 : 0.0));
#endif
    result = vec4(hazed(c, position), 1.0);
}
