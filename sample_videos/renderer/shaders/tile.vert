// Draws one object alone into its own tile of an atlas, to count its unhidden pixels.
in vec3 in_position;
in vec3 in_uv;
in vec4 row0;
in vec4 row1;
in vec4 row2;
in vec4 params;
in vec4 fit;     // scale and offset from picture to tile, in device coordinates
in vec4 limits;  // the tile's limits, in device coordinates

uniform mat4 view_projection;
out vec3 uv;
out vec2 device;
flat out vec4 state;
flat out vec4 inside;

void main() {
    vec4 p = vec4(in_position, 1.0);
    vec4 q = view_projection * vec4(dot(row0, p), dot(row1, p), dot(row2, p), 1.0);
    uv = in_uv;
    state = params;
    inside = limits;
    gl_Position = vec4(q.xy * fit.xy + fit.zw * q.w, q.z, q.w);
}
