// The halo of a lamp; `soft` 1 makes it a dark contact shadow's counterpart.
in vec2 at;
in vec3 shine;
out vec4 result;

void main() {
    float r = length(at);
    float halo = max(1.0 - r, 0.0);
    float core = smoothstep(0.14, 0.05, r);
    float h = halo * halo * halo;
    float ray = exp(-abs(at.x * at.y) * 90.0) * h * 0.10;
    result = vec4(shine * (core + 0.10 * h + 0.25 * h * h * h + ray), 0.0);
}
