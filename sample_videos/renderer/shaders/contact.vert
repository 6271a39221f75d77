// A dark soft patch on the road under something that stands on it.
in vec2 in_position;
in vec4 place;   // x, z, half width, half length
in vec2 turn;    // heading, darkness
uniform mat4 view_projection;
out vec2 at;
out float dark;

void main() {
    at = in_position * 1.35;
    dark = turn.y;
    float c = cos(turn.x), s = sin(turn.x);
    vec2 q = at * place.zw;
    vec3 p = vec3(place.x + c * q.x + s * q.y, 0.012, place.y - s * q.x + c * q.y);
    gl_Position = view_projection * vec4(p, 1.0);
    gl_Position.z -= 0.0004 * gl_Position.w;
}
