// Signs and plates: a picture with a cut-out outline, on the front only; grey behind.
uniform sampler2DArray pictures;

void main() {
    vec4 c = texture(pictures, vec3(uv.xy, state.w));
    if (c.a < 0.5) discard;
    vec3 v = normalize(eye - position);
    vec3 n = normalize(normal);
    bool back = dot(n, v) < 0.0;
    if (back) { n = -n; c.rgb = vec3(0.33); }
    float sun = sunlit(position, n);
    float dirt = texture(noise, uv.xy * 0.3 + state.yz).g;
    vec3 albedo = c.rgb * c.rgb * (0.72 + 0.3 * dirt) * tinted.rgb;
    vec3 light = shade(albedo, 0.12, 0.03, sun, n, v, position);
#ifdef NIGHT
    // Retroreflecting foil throws the beam back.
    vec3 f = normalize(position - beam_origin);
    float cone = max(dot(f, beam_direction), 0.0);
    if (!back) light += albedo * beam_power * pow(cone, 14.0) * 1.2
        / (1.0 + 0.0016 * dot(position - beam_origin, position - beam_origin));
#endif
    result = vec4(hazed(light, position), 1.0);
}
