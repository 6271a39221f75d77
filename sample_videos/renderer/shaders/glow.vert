// A round light drawn facing the eye.
in vec2 in_position;
in vec4 place;   // centre, radius
in vec3 light;
uniform mat4 view_projection;
uniform vec3 right;
uniform vec3 up;
out vec2 at;
out vec3 shine;

void main() {
    at = in_position;
    shine = light;
    vec3 p = place.xyz + (right * in_position.x + up * in_position.y) * place.w;
    gl_Position = view_projection * vec4(p, 1.0);
    gl_Position.z -= 0.002 * gl_Position.w;
}
