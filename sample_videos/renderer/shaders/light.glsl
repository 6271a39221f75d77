// Sky, sun, shadow, haze, lamps: shared by every surface.
in vec3 position;
in vec3 normal;
in vec3 uv;
in vec4 colour;
in vec3 local;
flat in vec4 tinted;
flat in vec4 state;
out vec4 result;

uniform vec3 eye;
uniform vec3 sun_direction;
uniform vec3 sun_colour;
uniform vec3 zenith;
uniform vec3 horizon;
uniform vec3 ground_light;
uniform vec3 haze;
uniform float haze_density;
uniform float wet;
uniform float skyline;
uniform sampler2D noise;
uniform sampler2DShadow shadow_map;
uniform mat4 shadow_matrix;

#ifdef NIGHT
uniform int lamp_count;
uniform vec3 lamp_position[6];
uniform vec3 lamp_colour[6];
uniform vec3 beam_origin;
uniform vec3 beam_direction;
uniform float beam_power;
#endif

vec3 sky_gradient(vec3 d) {
    float up = clamp(d.y, 0.0, 1.0);
    vec3 c = mix(horizon, zenith, pow(up, 0.5));
    float glow = max(dot(d, sun_direction), 0.0);
    return c + sun_colour * (0.05 * pow(glow, 6.0) + 0.12 * pow(glow, 60.0));
}

// What a shiny surface mirrors: sky, a dark skyline, the road.
vec3 surroundings(vec3 d) {
    float azimuth = atan(d.x, d.z);
    float ridge = skyline * (0.25 + textureLod(noise, vec2(azimuth * 0.9, 0.3), 2.0).g * 1.3);
    vec3 dark = ground_light * 0.55;
    vec3 above = sky_gradient(d);
    vec3 c = mix(dark, above, smoothstep(ridge - 0.05, ridge + 0.04, d.y));
    return mix(ground_light * 0.9, c, smoothstep(-0.06, 0.0, d.y));
}

float sunlit(vec3 p, vec3 n) {
    vec4 s = shadow_matrix * vec4(p + n * 0.04, 1.0);
    if (any(greaterThan(abs(s.xyz), vec3(0.99)))) return 1.0;
    s.xyz = s.xyz * 0.5 + 0.5;
    s.z -= 0.0012;
#ifdef SOFT
    float t = 0.0;
    float e = 0.00045;
    t += texture(shadow_map, s.xyz + vec3(-e, -e, 0.0));
    t += texture(shadow_map, s.xyz + vec3(e, -e, 0.0));
    t += texture(shadow_map, s.xyz + vec3(-e, e, 0.0));
    t += texture(shadow_map, s.xyz + vec3(e, e, 0.0));
    return t * 0.25;
#else
    return texture(shadow_map, s.xyz);
#endif
}

// Light that leaves a surface towards the eye.
vec3 shade(vec3 albedo, float gloss, float mirror, float sun, vec3 n, vec3 v, vec3 p) {
    vec3 sky_light = mix(horizon, zenith, 0.55);
    vec3 ambient = mix(ground_light, sky_light, n.y * 0.5 + 0.5);
    float lambert = max(dot(n, sun_direction), 0.0);
    vec3 light = ambient + sun_colour * lambert * sun;
    vec3 r = reflect(-v, n);
    float shine = 0.0;
    if (gloss > 0.05) {
        float facing = clamp(dot(n, v), 0.0, 1.0);
        float fresnel = mirror + (1.0 - mirror) * pow(1.0 - facing, 5.0) * gloss;
        shine = fresnel * gloss;
    }
    vec3 c = vec3(0.0);
#ifdef NIGHT
    for (int i = 0; i < lamp_count; ++i) {
        vec3 to = lamp_position[i] - p;
        float d2 = dot(to, to);
        vec3 l = to * inversesqrt(d2);
        float near = 1.0 / (1.0 + d2 * 0.02);
        light += lamp_colour[i] * max(dot(n, l), 0.0) * near;
        c += lamp_colour[i] * near * shine * 3.0 * pow(max(dot(r, l), 0.0), 60.0);
    }
    vec3 from = p - beam_origin;
    float d = length(from);
    vec3 f = from / d;
    vec3 sideways = vec3(beam_direction.z, 0.0, -beam_direction.x);
    float across = dot(f, sideways) / max(dot(f, beam_direction), 0.05);
    float pitch = f.y;
    float cone = exp(-across * across * 5.0) * step(0.0, dot(f, beam_direction));
    float cut = smoothstep(0.035, -0.03, pitch) * 0.94 + 0.06;
    float beam = beam_power * cone * cut / (1.0 + d * d * 0.006);
    light += vec3(1.0, 0.95, 0.85) * beam * (0.25 + 0.75 * max(dot(n, -f), 0.0));
#endif
    c += albedo * light;
    if (shine > 0.0) {
        c = mix(c, surroundings(r), min(shine, 1.0));
        c += sun_colour * sun * shine * 14.0 * pow(max(dot(r, sun_direction), 0.0), 220.0);
    }
    return c;
}

vec3 hazed(vec3 c, vec3 p) {
    float d = length(p - eye);
    return mix(haze, c, exp(-d * haze_density));
}
