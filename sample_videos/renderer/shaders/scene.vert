// Places one instance of a mesh in the world.
in vec3 in_position;
in vec3 in_normal;
in vec3 in_uv;
in vec4 in_colour;
in vec4 row0;
in vec4 row1;
in vec4 row2;
in vec4 tint;    // rgb, identity
in vec4 params;  // front lamps, rear lamps, brake, picture

uniform mat4 view_projection;

out vec3 position;
out vec3 normal;
out vec3 uv;
out vec4 colour;
out vec3 local;
flat out vec4 tinted;
flat out vec4 state;

void main() {
    vec4 p = vec4(in_position, 1.0);
    position = vec3(dot(row0, p), dot(row1, p), dot(row2, p));
    mat3 m = transpose(mat3(row0.xyz, row1.xyz, row2.xyz));
    mat3 cofactor = mat3(cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1]));
    normal = cofactor * in_normal;
    uv = in_uv;
    colour = in_colour;
    local = in_position;
    tinted = tint;
    state = params;
    gl_Position = view_projection * vec4(position, 1.0);
}
