// Trees and bushes: pictures of leaves that turn towards the eye.
uniform sampler2DArray foliage;

void main() {
    vec4 c = texture(foliage, vec3(uv.xy, state.w));
    if (c.a < 0.5) discard;
    vec3 v = normalize(eye - position);
    vec3 n = normalize(vec3(v.x, 0.0, v.z) + vec3(0.0, 0.6, 0.0)
        + vec3(v.z, 0.0, -v.x) * (uv.x - 0.5) * 2.2);
    vec3 albedo = c.rgb * c.rgb * tinted.rgb;
    vec3 light = shade(albedo, 0.0, 0.0, 0.85, n, v, position);
    result = vec4(hazed(light, position), 1.0);
}
