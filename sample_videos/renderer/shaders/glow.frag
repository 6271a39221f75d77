// The halo of a lamp; `soft` 1 makes it a dark contact shadow's counterpart.
in vec2 at;
in vec3 shine;
out vec4 result;

void main() {
    float r = length(at);
    float halo = max(1.0 - r, 0.0);
    float core = smoothstep(0.22, 0.10, r);
    float ray = max(1.0 - abs(at.x * at.y) * 60.0, 0.0) * halo * halo * 0.15;
    result = vec4(shine * (core + 0.22 * halo * halo * halo + ray), 0.0);
}
