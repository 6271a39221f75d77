// Sky with clouds, and far hills or roofs along the horizon.
in vec3 direction;
out vec4 result;
uniform vec3 sun_direction;
uniform vec3 sun_colour;
uniform vec3 zenith;
uniform vec3 horizon;
uniform vec3 haze;
uniform vec3 ground_light;
uniform float skyline;
uniform float haze_density;
uniform vec3 clouds;   // cover, brightness, offset
uniform sampler2D noise;

void main() {
    vec3 d = normalize(direction);
    float up = max(d.y, 0.0);
    vec3 c = mix(horizon, zenith, pow(up, 0.5));
    float glow = max(dot(d, sun_direction), 0.0);
    c += sun_colour * (0.06 * pow(glow, 5.0) + 0.25 * pow(glow, 80.0) + 6.0 * pow(glow, 3000.0));
    vec2 at = d.xz / (up + 0.09) * 0.045 + clouds.z;
    float n = texture(noise, at).g * 0.55 + texture(noise, at * 3.1).g * 0.28 + texture(noise, at * 9.3).r * 0.17;
    float puff = smoothstep(0.72 - clouds.x * 0.5, 1.0 - clouds.x * 0.45, n + 0.12);
    float shade = 1.0 - 0.35 * smoothstep(0.5, 0.9, texture(noise, at + sun_direction.xz * 0.006).g);
    c = mix(c, (horizon * 0.55 + sun_colour * 0.22) * clouds.y * shade, puff * smoothstep(0.0, 0.12, up));
    float azimuth = atan(d.x, d.z);
    float ridge = skyline * 0.16 * (0.3 + texture(noise, vec2(azimuth * 0.35, 0.3)).g
        + 0.25 * texture(noise, vec2(azimuth * 3.0, 0.7)).r);
    float hill = smoothstep(ridge + 0.002, ridge - 0.002, d.y);
    vec3 far = mix(haze, ground_light * 0.5 * vec3(0.8, 1.0, 0.85), exp(-haze_density * 420.0) * 0.8);
    c = mix(c, far, hill);
    c = mix(c, haze, smoothstep(0.02, -0.01, d.y) * 0.6 + (1.0 - exp(-haze_density * 600.0 * exp(-up * 9.0))) * 0.7);
    result = vec4(c, 1.0);
}
