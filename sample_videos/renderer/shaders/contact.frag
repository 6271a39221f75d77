// Multiplies the road by the share of sky that is left.
in vec2 at;
in float dark;
out vec4 result;

void main() {
    vec2 q = smoothstep(1.35, 0.70, abs(at));
    float round_ = smoothstep(1.35, 0.2, length(at));
    result = vec4(0.0, 0.0, 0.0, (dark > 0.6 ? q.x * q.y : round_) * dark);
}
