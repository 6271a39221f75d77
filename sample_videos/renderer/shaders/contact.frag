// Multiplies the road by the share of sky that is left.
in vec2 at;
in float dark;
out vec4 result;

void main() {
    vec2 q = smoothstep(1.35, 0.72, abs(at));
    result = vec4(0.0, 0.0, 0.0, q.x * q.y * dark);
}
